package agent

import (
	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
)

// engineSpec makes what the engines need to know out of what the server wants.
func (a *Agent) engineSpec(sp agentapi.Spec) (engine.Spec, error) {
	listen, err := a.opt.Attach(sp.Attach)
	if err != nil {
		return engine.Spec{}, err
	}
	es := engine.Spec{
		Endpoint: sp.Endpoint, Marker: sp.Marker, Admitted: sp.Admitted, Address: sp.Address, Listen: listen, Dial: listen,
		Backends: sp.Backends, LeastConnections: sp.Balance == agentapi.BalanceLeastConnections,
		Proxy: sp.Proxy, TLVs: sp.TLVs, Network: sp.Network, Filter: sp.Filter, AllowFrom: sp.AllowFrom,
		UserOnly: sp.Engine == agentapi.EngineUser, Limits: engine.Limits(sp.Limits),
	}
	if len(sp.Backends) > 0 {
		if es.Dial, err = a.opt.Attach(sp.Backend); err != nil {
			return engine.Spec{}, err
		}
	}
	if c := sp.Check; c != nil {
		es.Check = &engine.Check{
			HTTP: c.Kind == agentapi.CheckHTTP, Port: c.Port, Path: c.Path, Interval: c.Interval, Timeout: c.Timeout,
		}
	}
	for _, m := range sp.Mappings {
		es.Mappings = append(es.Mappings, engine.Mapping{UDP: m.Protocol == agentapi.UDP, Client: m.Client, Server: m.Server})
	}
	return es, nil
}

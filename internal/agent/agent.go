// Package agent turns what the control plane wants into what the machine does:
// it asks for specs by revision, opens and cuts forwarders, and reports. The
// newest spec of an endpoint wins; work on one endpoint never waits for another
// to be cut, and a decision never queues behind new endpoints being opened.
//
// It imports the agent protocol and the data plane, nothing of the server. Run
// owns every goroutine; when it returns none is left and nothing is carried.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

const (
	// maxOpening is how many endpoints are opened at a time: binding is quick, and
	// a start with many thousands shall leave the processors some air.
	maxOpening = 16
	// retryPause is the pause after an error of the server.
	retryPause = 100 * time.Millisecond
	// reportChunk is how many results are reported in one call.
	reportChunk = 1000
)

// Options describe an Agent.
type Options struct {
	// Name is the agent's name in reports and in the audit log.
	Name string
	// Server is the control plane.
	Server agentapi.Server
	// Attach returns the network that an attachment stands for.
	Attach func(agentapi.Attach) (netattach.Network, error)
	// Log receives what is worth an operator's attention; nil discards it.
	Log *slog.Logger
}

// Agent carries the endpoints of one machine.
type Agent struct {
	opt     Options
	opening chan struct{} // places for those who open

	mu    sync.Mutex
	ports map[string]*port
	work  sync.WaitGroup

	settled chan struct{} // closed when the first delta has been carried out
	first   sync.WaitGroup
}

// port is one endpoint on this machine. The agent's mutex guards its fields;
// only the worker changes carried, so the worker may read it without.
type port struct {
	want    agentapi.Spec
	fresh   bool          // want has not been looked at yet
	busy    bool          // a worker is at it
	first   bool          // part of the first delta, and not yet carried out
	poke    chan struct{} // one place: want has changed
	carried carried
}

// carried is what stands for an endpoint at the moment.
type carried struct {
	forwarder *forward.Forwarder
	admitted  int64
}

func (a *Agent) carry(p *port, c carried) {
	a.mu.Lock()
	p.carried = c
	a.mu.Unlock()
}

// New returns an agent; Run makes it work.
func New(opt Options) *Agent {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		opt: opt, opening: make(chan struct{}, maxOpening), ports: map[string]*port{}, settled: make(chan struct{}),
	}
}

// Settled is closed once all that the control plane wanted at the start stands, or
// has been found impossible.
func (a *Agent) Settled() <-chan struct{} { return a.settled }

// Run follows the control plane until ctx ends, then cuts everything.
func (a *Agent) Run(ctx context.Context) error {
	var since int64
	for ctx.Err() == nil {
		d, err := a.opt.Server.Changes(ctx, a.opt.Name, since)
		if err != nil {
			if ctx.Err() == nil {
				a.opt.Log.WarnContext(ctx, "asking for changes", "since", since, "err", err)
			}
			pause(ctx)
			continue
		}
		a.take(ctx, d, since == 0)
		if since == 0 {
			a.work.Go(func() {
				a.first.Wait()
				close(a.settled)
			})
		}
		// 0 would ask for everything again. The first revision of a log is never
		// that of an endpoint, so nothing is passed over.
		since = max(d.Rev, 1)
	}
	a.work.Wait()
	a.cutAll()
	return nil
}

func pause(ctx context.Context) {
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// take hands every spec to the worker of its endpoint. What is closed and was
// never open here is reported together.
func (a *Agent) take(ctx context.Context, d agentapi.Delta, first bool) {
	var idle []agentapi.Report
	a.mu.Lock()
	if d.Full {
		a.closeOthers(ctx, d)
	}
	for _, sp := range d.Specs {
		p, ok := a.ports[sp.Endpoint]
		switch {
		case !ok && !sp.Open:
			idle = append(idle, agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateClosed})
			continue
		case !ok:
			p = &port{poke: make(chan struct{}, 1), first: first}
			a.ports[sp.Endpoint] = p
			if first {
				a.first.Add(1)
			}
		case sp.Rev <= p.want.Rev:
			continue // older than what is wanted already
		}
		a.assign(ctx, p, sp)
	}
	a.mu.Unlock()
	for len(idle) > 0 {
		n := min(len(idle), reportChunk)
		chunk := idle[:n]
		idle = idle[n:]
		a.work.Go(func() { a.report(ctx, chunk) })
	}
}

// closeOthers closes what stands here and is not in a full delta.
func (a *Agent) closeOthers(ctx context.Context, d agentapi.Delta) {
	wanted := make(map[string]bool, len(d.Specs))
	for _, sp := range d.Specs {
		wanted[sp.Endpoint] = true
	}
	for id, p := range a.ports {
		if !wanted[id] {
			a.assign(ctx, p, agentapi.Spec{Endpoint: id, Rev: d.Rev})
		}
	}
}

// assign makes sp what is wanted and sees to it that a worker knows. The caller
// holds the mutex.
func (a *Agent) assign(ctx context.Context, p *port, sp agentapi.Spec) {
	p.want, p.fresh = sp, true
	if !p.busy {
		p.busy = true
		a.work.Go(func() { a.serve(ctx, p) })
		return
	}
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// serve is the worker of one endpoint: it carries out the newest spec until
// there is no newer one. Results are reported beside the work, so that a cut
// never waits for the store to take an older result.
func (a *Agent) serve(ctx context.Context, p *port) {
	if p.first {
		defer a.first.Done()
		p.first = false
	}
	for {
		sp, more := a.next(p)
		if !more {
			return
		}
		var r agentapi.Report
		if sp.Open && p.carried.forwarder == nil {
			if !a.turn(ctx, p) {
				continue // wanted otherwise before its turn came
			}
			r = a.open(ctx, p, sp, 0)
			<-a.opening
		} else {
			r = a.apply(ctx, p, sp)
		}
		a.work.Go(func() { a.report(ctx, []agentapi.Report{r}) })
	}
}

// next returns what is wanted of the endpoint where it is news, and otherwise
// ends the worker's turn.
func (a *Agent) next(p *port) (agentapi.Spec, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.fresh {
		p.fresh = false
		return p.want, true
	}
	p.busy = false
	if p.carried.forwarder == nil {
		// Nothing stands: closed, or it could not be opened. Whatever comes for it
		// next begins anew, and if nothing does, nothing is kept.
		delete(a.ports, p.want.Endpoint)
	}
	return agentapi.Spec{}, false
}

// turn waits for a place among those who open, and gives up when something else
// is wanted of the endpoint or ctx ends.
func (a *Agent) turn(ctx context.Context, p *port) bool {
	for {
		select {
		case a.opening <- struct{}{}:
			return true
		case <-p.poke:
			a.mu.Lock()
			fresh := p.fresh
			a.mu.Unlock()
			if fresh {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// apply brings what is carried to the spec and says how far it got.
func (a *Agent) apply(ctx context.Context, p *port, sp agentapi.Spec) agentapi.Report {
	flows := 0
	if f := p.carried.forwarder; f != nil && (!sp.Open || p.carried.admitted != sp.Admitted) {
		flows = f.Cut().Flows
		a.carry(p, carried{})
	}
	if !sp.Open {
		return agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateClosed, Flows: flows}
	}
	if p.carried.forwarder == nil {
		return a.open(ctx, p, sp, flows)
	}
	fs, err := a.forwardSpec(sp)
	if err == nil {
		_, err = p.carried.forwarder.Update(fs)
	}
	if err == nil {
		return result(sp, nil, flows)
	}
	// The old spec would still stand: what is reported as failed carries nothing.
	flows += p.carried.forwarder.Cut().Flows
	a.carry(p, carried{})
	if errors.Is(err, forward.ErrReopen) {
		return a.open(ctx, p, sp, flows)
	}
	return result(sp, err, flows)
}

// open opens a forwarder; flows is what was reset before.
func (a *Agent) open(ctx context.Context, p *port, sp agentapi.Spec, flows int) agentapi.Report {
	fs, err := a.forwardSpec(sp)
	if err == nil {
		var f *forward.Forwarder
		if f, err = forward.Open(ctx, fs, forward.Options{Log: a.opt.Log}); err == nil {
			a.carry(p, carried{forwarder: f, admitted: sp.Admitted})
		}
	}
	return result(sp, err, flows)
}

func result(sp agentapi.Spec, err error, flows int) agentapi.Report {
	r := agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateOpen, Flows: flows}
	switch {
	case err == nil:
	case sp.Tolerant && netattach.IsUnbindable(err):
		r.State = agentapi.StateUnattached
	default:
		r.State, r.Message = agentapi.StateFailed, err.Error()
	}
	return r
}

func (a *Agent) forwardSpec(sp agentapi.Spec) (forward.Spec, error) {
	listen, err := a.opt.Attach(sp.Attach)
	if err != nil {
		return forward.Spec{}, err
	}
	fs := forward.Spec{
		EndpointID: sp.Endpoint, Marker: sp.Marker, Address: sp.Address, Backends: sp.Backends,
		Filter: sp.Filter, AllowFrom: sp.AllowFrom, Listen: listen, Dial: listen,
	}
	if len(sp.Backends) > 0 {
		if fs.Dial, err = a.opt.Attach(sp.Backend); err != nil {
			return forward.Spec{}, err
		}
	}
	if sp.Proxy {
		fs.Proxy = forward.ProxyV2
	}
	for _, m := range sp.Mappings {
		fs.Mappings = append(fs.Mappings, forward.Mapping{ClientPort: m.Client, ServerPort: m.Server})
	}
	return fs, nil
}

// report hands in results until the server has taken them or ctx ends.
func (a *Agent) report(ctx context.Context, rs []agentapi.Report) {
	for {
		err := a.opt.Server.Report(ctx, a.opt.Name, rs)
		if err == nil || ctx.Err() != nil {
			return
		}
		a.opt.Log.WarnContext(ctx, "reporting", "results", len(rs), "err", err)
		pause(ctx)
	}
}

// cutAll ends every forwarder, all at once.
func (a *Agent) cutAll() {
	var all sync.WaitGroup
	defer all.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, p := range a.ports {
		if f := p.carried.forwarder; f != nil {
			all.Go(func() { f.Cut() })
		}
		delete(a.ports, id)
	}
}

// Flows returns the number of flows that the endpoint carries now, and whether
// anything stands for it.
func (a *Agent) Flows(endpoint string) (flows int, open bool) {
	a.mu.Lock()
	var f *forward.Forwarder
	if p, ok := a.ports[endpoint]; ok {
		f = p.carried.forwarder
	}
	a.mu.Unlock()
	if f == nil {
		return 0, false
	}
	return f.Stats().Flows, true
}

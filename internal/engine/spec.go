package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// Spec is one endpoint as both engines need to know it.
type Spec struct {
	// Endpoint is the id of the endpoint, Marker its marker_id.
	Endpoint string
	Marker   int32
	// Admitted is the revision of the decision that opened the endpoint. What a
	// crashed process left in the kernel is taken over only where it is the same.
	Admitted int64
	// Listen is the network of Address, Dial that of Backends.
	Listen, Dial netattach.Network
	Address      netip.Addr
	Mappings     []Mapping
	Backends     []netip.Addr
	// LeastConnections sends a new flow to the backend with the fewest, instead of
	// to all in turn.
	LeastConnections bool
	// Check is the active check of the backends; nil is none.
	Check *Check
	// Proxy sends a PROXY header before the bytes of a TCP flow, with the TLVs of
	// these names and, where it is not "", the consumer's network.
	Proxy   bool
	TLVs    []string
	Network string
	// Filter lets in only sources within AllowFrom.
	Filter    bool
	AllowFrom []netip.Prefix
	// UserOnly keeps every mapping in user space.
	UserOnly bool
	Limits   Limits
}

// Mapping forwards one port of the endpoint to one port of its backends.
type Mapping struct {
	UDP            bool
	Client, Server uint16
}

// Limits bound the flows of an endpoint; the fields are those of forward.Spec.
type Limits struct {
	Connections                                 int
	DialTimeout, IdleTimeout, UDPTimeout, Drain time.Duration
}

// Check is an active health check of every backend address.
type Check struct {
	// HTTP asks with GET for Path; otherwise a connection that opens is enough.
	HTTP bool
	Path string
	// Port is asked; 0 is the server port of the first TCP mapping, and without any
	// nothing is checked.
	Port              uint16
	Interval, Timeout time.Duration
}

// Kind is the engine that carries a mapping.
type Kind string

// The engines.
const (
	// User copies the bytes in this process.
	User Kind = "user"
	// Kernel translates the packets in the kernel.
	Kernel Kind = "kernel"
)

// Choice says which engine carries a mapping.
type Choice struct {
	Mapping Mapping
	Engine  Kind
	// Reason says why it is not the kernel, "" where it is.
	Reason string
}

// choose returns the engine of every mapping, in the order of the spec.
func (e *Engines) choose(s *Spec) []Choice {
	out := make([]Choice, 0, len(s.Mappings))
	why := e.whyNotKernel(s)
	for _, m := range s.Mappings {
		c := Choice{Mapping: m, Engine: Kernel, Reason: why}
		if c.Reason == "" && !m.UDP {
			c.Reason = whyNotTCP(s)
		}
		if c.Reason != "" {
			c.Engine = User
		}
		out = append(out, c)
	}
	return out
}

// whyNotKernel returns what keeps all mappings of an endpoint out of the kernel,
// or "".
func (e *Engines) whyNotKernel(s *Spec) string {
	switch {
	case s.UserOnly:
		return "the configuration asks for user space"
	case namespace(s.Listen) == nil || namespace(s.Dial) == nil:
		return "a network is not attached as a namespace"
	case e.opt.Kernel == nil:
		return "this machine has no kernel path: see sallyport doctor"
	case len(s.Backends) == 0:
		return "there is no backend address"
	case e.opt.FlowLog:
		return "the flow log needs every flow in user space"
	case len(s.Backends) > 1 && s.Check == nil:
		return "several backend addresses without an active check: only user space tries the next one"
	case len(s.Backends) > 1 && s.LeastConnections:
		return "least connections are counted in user space"
	}
	return e.opt.Kernel.Supports(kernelSpec(s, s.Mappings, s.Backends))
}

// whyNotTCP returns what keeps TCP mappings out of the kernel, or "".
func whyNotTCP(s *Spec) string {
	switch {
	case s.Proxy:
		return "a PROXY header precedes the bytes"
	case s.Limits.IdleTimeout > 0:
		return "idle connections are reset in user space"
	}
	return ""
}

// of returns the mappings that the engine carries.
func of(choices []Choice, k Kind) []Mapping {
	var out []Mapping
	for _, c := range choices {
		if c.Engine == k {
			out = append(out, c.Mapping)
		}
	}
	return out
}

func userSpec(s *Spec, mappings []Mapping) forward.Spec {
	u := forward.Spec{
		EndpointID: s.Endpoint, Marker: s.Marker, Address: s.Address, Backends: s.Backends,
		NetworkID: s.Network, TLVs: s.TLVs, Filter: s.Filter, AllowFrom: s.AllowFrom,
		MaxConns: s.Limits.Connections, DialTimeout: s.Limits.DialTimeout, IdleTimeout: s.Limits.IdleTimeout,
		UDPTimeout: s.Limits.UDPTimeout, Drain: s.Limits.Drain, Listen: s.Listen, Dial: s.Dial,
	}
	if s.Proxy {
		u.Proxy = forward.ProxyV2
	}
	if s.LeastConnections {
		u.Balance = forward.LeastConnections
	}
	for _, m := range mappings {
		u.Mappings = append(u.Mappings, forward.Mapping{UDP: m.UDP, ClientPort: m.Client, ServerPort: m.Server})
	}
	return u
}

func kernelSpec(s *Spec, mappings []Mapping, up []netip.Addr) nft.Spec {
	k := nft.Spec{
		EndpointID: s.Endpoint, Admitted: s.Admitted,
		Address: s.Address, Backends: up, Filter: s.Filter, AllowFrom: s.AllowFrom,
		MaxConns: cmp.Or(s.Limits.Connections, forward.DefaultMaxConns), Drain: s.Limits.Drain,
	}
	// Not the nil of a type: an interface that holds one is not nil.
	if ns := namespace(s.Listen); ns != nil {
		k.Listen = ns
	}
	if ns := namespace(s.Dial); ns != nil {
		k.Dial = ns
	}
	for _, m := range mappings {
		k.Mappings = append(k.Mappings, nft.Mapping{UDP: m.UDP, ClientPort: m.Client, ServerPort: m.Server})
	}
	return k
}

// namespace returns the namespace that a network is, or nil.
func namespace(n netattach.Network) *netattach.NetNS {
	ns, _ := n.(*netattach.NetNS)
	return ns
}

// targets returns what is checked of a spec.
func targets(s *Spec) map[health.Target]bool {
	if s.Check == nil {
		return nil
	}
	port := s.Check.Port
	if i := slices.IndexFunc(s.Mappings, func(m Mapping) bool { return !m.UDP }); port == 0 && i >= 0 {
		port = s.Mappings[i].Server
	}
	if port == 0 {
		return nil
	}
	kind := health.TCP
	if s.Check.HTTP {
		kind = health.HTTP
	}
	out := make(map[health.Target]bool, len(s.Backends))
	for _, a := range s.Backends {
		out[health.Target{
			Network: s.Dial, Addr: netip.AddrPortFrom(a, port), Kind: kind, Path: s.Check.Path,
			Interval: s.Check.Interval, Timeout: s.Check.Timeout,
		}] = true
	}
	return out
}

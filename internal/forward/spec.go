package forward

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// What a Spec stands for where it says zero.
const (
	// DefaultMaxConns is the number of connections one endpoint holds at a time, the
	// figure of the VPC Endpoint user guide's constraints.
	DefaultMaxConns = 3000
	// DefaultDialTimeout is how long one backend address may take to answer. A
	// client that waits longer has mostly given up by itself.
	DefaultDialTimeout = 5 * time.Second
)

// Limits of a Spec. One that exceeds them is refused.
const (
	// MaxMappings is the most port mappings of one endpoint (VPCEP API reference,
	// Creating a VPC Endpoint Service: up to 200 in ports).
	MaxMappings = 200
	// MaxBackends is the most backend addresses: they are tried one after the other,
	// so their number times DialTimeout is what a client may have to wait.
	MaxBackends = 64
	// MaxAllowFrom is the most whitelist entries: they are compared one by one for
	// each connection. The API admits 60 for an endpoint.
	MaxAllowFrom = 1024
	// maxEndpointID is the longest endpoint id; a UUID has 36 characters. It bounds
	// the PROXY header, which must fit into the first segment of a connection.
	maxEndpointID = 64
)

// Mapping forwards one TCP port of the endpoint to one TCP port of the backend.
// Both are 1 to 65535, and a ClientPort occurs once in a Spec.
type Mapping struct {
	ClientPort, ServerPort uint16
}

// ProxyMode says what precedes the bytes of a connection.
type ProxyMode uint8

// The proxy modes.
const (
	// ProxyOff sends the client's bytes and nothing else.
	ProxyOff ProxyMode = iota
	// ProxyV2 sends a PROXY protocol version 2 header first, in the format of
	// docs/proxy-protocol.md.
	ProxyV2
)

// Spec is one endpoint as the data plane needs to know it. A Forwarder keeps its
// own copy.
type Spec struct {
	// EndpointID is the id of the endpoint, 1 to 64 bytes.
	EndpointID string
	// Marker is the endpoint's marker_id.
	Marker int32
	// Address is where clients connect: one concrete address, never the unspecified
	// one.
	Address netip.Addr
	// Mappings is at least one and at most MaxMappings.
	Mappings []Mapping
	// Backends is where connections go, in turn, at most MaxBackends. Without any,
	// every connection is reset and counted as no_backend.
	Backends []netip.Addr
	// Proxy says whether the backend is told who connects.
	Proxy ProxyMode
	// Filter lets in only sources within AllowFrom, so that an empty AllowFrom lets
	// in nobody. Without Filter AllowFrom means nothing.
	Filter    bool
	AllowFrom []netip.Prefix
	// MaxConns is the most connections at a time, exactly; 0 is DefaultMaxConns.
	MaxConns int
	// DialTimeout is how long each backend address may take to answer; 0 is
	// DefaultDialTimeout.
	DialTimeout time.Duration
	// Listen is the network of Address, Dial that of Backends.
	Listen, Dial netattach.Network
}

// normal returns a copy of its own with the defaults filled in and each address
// in one spelling, or says what is wrong with the spec.
func (s Spec) normal() (*Spec, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", s.EndpointID, err)
	}
	s.Address = s.Address.Unmap()
	s.Mappings = slices.Clone(s.Mappings)
	slices.SortFunc(s.Mappings, func(a, b Mapping) int { return cmp.Compare(a.ClientPort, b.ClientPort) })
	s.Backends = slices.Clone(s.Backends)
	s.AllowFrom = slices.Clone(s.AllowFrom)
	for i, p := range s.AllowFrom {
		// A prefix of mapped addresses contains no IPv4 address, as netip has it.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			s.AllowFrom[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	s.MaxConns = cmp.Or(s.MaxConns, DefaultMaxConns)
	s.DialTimeout = cmp.Or(s.DialTimeout, DefaultDialTimeout)
	return &s, nil
}

// check says what is wrong with the spec.
func (s *Spec) check() error {
	switch {
	case s.EndpointID == "" || len(s.EndpointID) > maxEndpointID:
		return fmt.Errorf("the endpoint id has %d bytes, not 1 to %d", len(s.EndpointID), maxEndpointID)
	case s.Listen == nil || s.Dial == nil:
		return errors.New("a network to listen in or to dial in is missing")
	case !concrete(s.Address):
		return fmt.Errorf("%v is no address to listen on", s.Address)
	case len(s.Mappings) == 0 || len(s.Mappings) > MaxMappings:
		return fmt.Errorf("%d port mappings, not 1 to %d", len(s.Mappings), MaxMappings)
	case len(s.Backends) > MaxBackends:
		return fmt.Errorf("%d backend addresses, more than %d", len(s.Backends), MaxBackends)
	case len(s.AllowFrom) > MaxAllowFrom:
		return fmt.Errorf("%d whitelist entries, more than %d", len(s.AllowFrom), MaxAllowFrom)
	case s.Proxy > ProxyV2:
		return fmt.Errorf("proxy mode %d is unknown", s.Proxy)
	case s.MaxConns < 0 || s.DialTimeout < 0:
		return errors.New("a limit is negative")
	}
	seen := make(map[uint16]bool, len(s.Mappings))
	for _, m := range s.Mappings {
		if m.ClientPort == 0 || m.ServerPort == 0 {
			return fmt.Errorf("port mapping %d to %d: port 0 is no port", m.ClientPort, m.ServerPort)
		}
		if seen[m.ClientPort] {
			return fmt.Errorf("client port %d is mapped twice", m.ClientPort)
		}
		seen[m.ClientPort] = true
	}
	for _, b := range s.Backends {
		if !concrete(b) {
			return fmt.Errorf("%v is no backend address", b)
		}
	}
	for _, p := range s.AllowFrom {
		if !p.IsValid() {
			return fmt.Errorf("%v is no whitelist entry", p)
		}
	}
	return nil
}

// concrete reports whether one host can have the address. The unspecified one
// would bind every address of the machine, or dial the machine itself.
func concrete(a netip.Addr) bool {
	return a.IsValid() && !a.Unmap().IsUnspecified() && !a.Unmap().IsMulticast()
}

// equal reports whether two normalised specs ask for the same.
func (s *Spec) equal(o *Spec) bool {
	return s.sameEndpoint(o) &&
		s.Marker == o.Marker &&
		s.Proxy == o.Proxy &&
		s.Filter == o.Filter &&
		s.MaxConns == o.MaxConns &&
		s.DialTimeout == o.DialTimeout &&
		s.Dial == o.Dial &&
		slices.Equal(s.Mappings, o.Mappings) &&
		slices.Equal(s.Backends, o.Backends) &&
		slices.Equal(s.AllowFrom, o.AllowFrom)
}

// sameEndpoint reports whether two normalised specs are of one endpoint, so that
// one can follow the other without a listener being touched.
func (s *Spec) sameEndpoint(o *Spec) bool {
	return s.EndpointID == o.EndpointID && s.Address == o.Address && s.Listen == o.Listen
}

// allows reports whether the whitelist lets the source in.
func (s *Spec) allows(source netip.Addr) bool {
	if !s.Filter {
		return true
	}
	source = source.WithZone("") // no prefix contains an address with a zone
	return slices.ContainsFunc(s.AllowFrom, func(p netip.Prefix) bool { return p.Contains(source) })
}

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
	// DefaultUDPTimeout is how long a UDP session is remembered that carries nothing.
	// NAT devices keep a mapping for no less than two minutes where they follow RFC
	// 4787, and most keep 30 to 60 seconds: a client behind one has to expect that.
	DefaultUDPTimeout = 60 * time.Second
)

// Limits of a Spec. One that exceeds them is refused.
const (
	// MaxMappings is the most port mappings of one endpoint (VPCEP API reference,
	// Creating a VPC Endpoint Service: up to 200 in ports).
	MaxMappings = 200
	// MaxBackends is the most backend addresses: they are tried one after the other,
	// so their number times DialTimeout is what a client may have to wait, and a flow
	// remembers in one word which it has tried.
	MaxBackends = 64
	// MaxAllowFrom is the most whitelist entries: they are compared one by one for
	// each connection. The API admits 60 for an endpoint.
	MaxAllowFrom = 1024
	// maxEndpointID is the longest endpoint id; a UUID has 36 characters. It bounds
	// the PROXY header, which must fit into the first segment of a connection.
	maxEndpointID = 64
	// maxNetworkID is the longest network id, for the same reason.
	maxNetworkID = 64
	// minTimeout and maxTimeout bound every timeout that is not off: a shorter one
	// would be over before anybody could answer, a longer one means "never".
	minTimeout = time.Millisecond
	maxTimeout = 365 * 24 * time.Hour
)

// Mapping forwards one port of the endpoint to one port of the backend. Both are 1
// to 65535, and a ClientPort occurs once for TCP and once for UDP in a Spec.
type Mapping struct {
	// UDP says that it is a UDP port, not a TCP port.
	UDP                    bool
	ClientPort, ServerPort uint16
}

// protocol is the mapping's protocol as people write it.
func (m Mapping) protocol() string {
	if m.UDP {
		return "UDP"
	}
	return "TCP"
}

// compare orders mappings by what identifies them.
func (m Mapping) compare(o Mapping) int {
	return cmp.Or(cmp.Compare(m.ClientPort, o.ClientPort), cmp.Compare(m.protocol(), o.protocol()))
}

// ProxyMode says what precedes the bytes of a connection.
type ProxyMode uint8

// The proxy modes.
const (
	// ProxyOff sends the client's bytes and nothing else.
	ProxyOff ProxyMode = iota
	// ProxyV2 sends a PROXY protocol version 2 header first, in the format of
	// docs/proxy-protocol.md. UDP sessions have none.
	ProxyV2
)

// Balance says which of several backend addresses a new flow goes to.
type Balance uint8

// The ways to choose.
const (
	// RoundRobin takes them in turn.
	RoundRobin Balance = iota
	// LeastConnections takes the one with the fewest flows of this endpoint.
	LeastConnections
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
	// Backends is where connections go, at most MaxBackends. Without any, every
	// connection is reset and counted as no_backend.
	Backends []netip.Addr
	// Balance says how one of them is chosen.
	Balance Balance
	// Proxy says whether the backend is told who connects, and TLVs with which fields
	// (docs/proxy-protocol.md lists their names); none stands for "sallyport" alone.
	Proxy ProxyMode
	TLVs  []string
	// NetworkID is the id of the consumer's network where the header shall tell it, at
	// most 64 bytes, else empty.
	NetworkID string
	// Filter lets in only sources within AllowFrom, so that an empty AllowFrom lets
	// in nobody. Without Filter AllowFrom means nothing.
	Filter    bool
	AllowFrom []netip.Prefix
	// MaxConns is the most flows at a time, TCP connections and UDP sessions together,
	// exactly; 0 is DefaultMaxConns.
	MaxConns int
	// DialTimeout is how long each backend address may take to answer; 0 is
	// DefaultDialTimeout. Like every timeout here it is kept to within a hundredth of
	// a second.
	DialTimeout time.Duration
	// IdleTimeout resets both sides of a TCP flow that carried no byte either way for
	// so long; 0 is never.
	IdleTimeout time.Duration
	// UDPTimeout forgets a UDP session that carried nothing either way for so long; 0
	// is DefaultUDPTimeout.
	UDPTimeout time.Duration
	// Drain is how long flows may go on whose backend address an Update has removed;
	// then they are reset; with 0 at once.
	Drain time.Duration
	// Mark is set on every socket towards the backend and on what is accepted
	// (SO_MARK), so that rules of the kernel find the endpoint's packets; 0 sets none.
	// Listeners keep the one they were opened with. It needs the capability
	// CAP_NET_ADMIN, and Linux.
	Mark uint32
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
	slices.SortFunc(s.Mappings, Mapping.compare)
	s.Backends = slices.Clone(s.Backends)
	for i, b := range s.Backends {
		s.Backends[i] = b.Unmap()
	}
	s.TLVs = slices.Clone(s.TLVs)
	s.AllowFrom = slices.Clone(s.AllowFrom)
	for i, p := range s.AllowFrom {
		// A prefix of mapped addresses contains no IPv4 address, as netip has it.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			s.AllowFrom[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	s.MaxConns = cmp.Or(s.MaxConns, DefaultMaxConns)
	s.DialTimeout = cmp.Or(s.DialTimeout, DefaultDialTimeout)
	s.UDPTimeout = cmp.Or(s.UDPTimeout, DefaultUDPTimeout)
	return &s, nil
}

// check says what is wrong with the spec.
func (s *Spec) check() error {
	switch {
	case s.EndpointID == "" || len(s.EndpointID) > maxEndpointID:
		return fmt.Errorf("the endpoint id has %d bytes, not 1 to %d", len(s.EndpointID), maxEndpointID)
	case len(s.NetworkID) > maxNetworkID:
		return fmt.Errorf("the network id has %d bytes, more than %d", len(s.NetworkID), maxNetworkID)
	case s.Listen == nil || s.Dial == nil:
		return errors.New("a network to listen in or to dial in is missing")
	case !concrete(s.Address):
		return fmt.Errorf("%v is no address to listen on", s.Address)
	case len(s.Backends) > MaxBackends:
		return fmt.Errorf("%d backend addresses, more than %d", len(s.Backends), MaxBackends)
	case len(s.AllowFrom) > MaxAllowFrom:
		return fmt.Errorf("%d whitelist entries, more than %d", len(s.AllowFrom), MaxAllowFrom)
	case s.Proxy > ProxyV2:
		return fmt.Errorf("proxy mode %d is unknown", s.Proxy)
	case s.Balance > LeastConnections:
		return fmt.Errorf("balance %d is unknown", s.Balance)
	case s.MaxConns < 0:
		return errors.New("the limit of connections is negative")
	}
	for _, d := range []time.Duration{s.DialTimeout, s.IdleTimeout, s.UDPTimeout, s.Drain} {
		if d != 0 && (d < minTimeout || d > maxTimeout) {
			return fmt.Errorf("a timeout of %v is not %v to %v", d, minTimeout, maxTimeout)
		}
	}
	if err := checkTLVs(s.TLVs); err != nil {
		return err
	}
	if err := checkMappings(s.Mappings); err != nil {
		return err
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

// checkMappings says what is wrong with the port mappings.
func checkMappings(all []Mapping) error {
	if len(all) == 0 || len(all) > MaxMappings {
		return fmt.Errorf("%d port mappings, not 1 to %d", len(all), MaxMappings)
	}
	type key struct {
		udp  bool
		port uint16
	}
	seen := make(map[key]bool, len(all))
	for _, m := range all {
		if m.ClientPort == 0 || m.ServerPort == 0 {
			return fmt.Errorf("port mapping %d to %d: port 0 is no port", m.ClientPort, m.ServerPort)
		}
		k := key{m.UDP, m.ClientPort}
		if seen[k] {
			return fmt.Errorf("client port %s %d is mapped twice", m.protocol(), m.ClientPort)
		}
		seen[k] = true
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
		s.Balance == o.Balance &&
		s.Proxy == o.Proxy &&
		s.NetworkID == o.NetworkID &&
		s.Filter == o.Filter &&
		s.MaxConns == o.MaxConns &&
		s.DialTimeout == o.DialTimeout &&
		s.IdleTimeout == o.IdleTimeout &&
		s.UDPTimeout == o.UDPTimeout &&
		s.Drain == o.Drain &&
		s.Mark == o.Mark &&
		s.Dial == o.Dial &&
		slices.Equal(s.TLVs, o.TLVs) &&
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

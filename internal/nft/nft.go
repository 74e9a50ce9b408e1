// Package nft is the kernel engine: it carries flows between two network
// namespaces by address translation in nftables, so that no packet enters the
// process, and it holds the gate that cuts an endpoint with one transaction
// however many flows there are. The gate serves the user-space engine too (Guard).
// The reasons are in docs/adr/0015-kernel-engine.md.
//
// It works on Linux 5.10 and newer with CAP_NET_ADMIN, CAP_SYS_ADMIN (to enter
// namespaces) and, for resets of idle flows, CAP_NET_RAW; elsewhere New answers a
// Kernel that supports nothing.
//
// It imports the standard library, golang.org/x/sys, github.com/google/nftables
// (rules and sets) and github.com/vishvananda/netlink (links and routes), and
// nothing of this repository. Its only goroutines are the timers of drains and the
// goroutines inside one call; Finish and Close wait for them.
package nft

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Namespace is a network namespace as this package needs it; *netattach.NetNS is
// one. It must stay open until Kernel.Close has returned.
type Namespace interface {
	// String names the namespace for people.
	String() string
	// FD is the open descriptor of the namespace.
	FD() int
	// Do runs fn on a thread inside the namespace.
	Do(fn func() error) error
}

// The transit ranges taken where Options names none. 198.18.0.0/15 is set aside
// for tests between networks (RFC 2544), so no real network is numbered from it;
// the other is a unique local prefix (RFC 4193).
var (
	defaultTransit4 = netip.MustParsePrefix("198.18.0.0/15")
	defaultTransit6 = netip.MustParsePrefix("fd53:616c:6c79::/48")
)

// Options adjust a Kernel. The zero value suits production, but for Log.
type Options struct {
	// Log takes what an operator should know; nil discards it.
	Log *slog.Logger
	// Transit4 and Transit6 are the ranges that translated flows use between two
	// namespaces: the lower half for admissions, the upper for links. An address of
	// them cannot be an endpoint's nor a backend's. A prefix must leave room for 4
	// bits at least; zero stands for 198.18.0.0/15 and fd53:616c:6c79::/48.
	Transit4, Transit6 netip.Prefix
	// Now is the clock, nil the real one.
	Now func() time.Time
}

// Mapping carries one port of the endpoint to one port of the backends.
type Mapping struct {
	// UDP says that it is not TCP.
	UDP bool
	// ClientPort is the endpoint's port, ServerPort the backends'.
	ClientPort, ServerPort uint16
}

// Spec says what a Path shall carry.
type Spec struct {
	// EndpointID is the endpoint, 1 to 64 bytes.
	EndpointID string
	// Admitted is the revision of the decision that let it in. With another one,
	// what was carried before is another admission, whose flows are reset.
	Admitted int64
	// Listen is the consumer's namespace, Dial the provider's.
	Listen, Dial Namespace
	// Address is the endpoint's address, which the caller has made local to Listen.
	Address netip.Addr
	// Mappings are at most maxMappings with distinct client ports per protocol.
	Mappings []Mapping
	// Backends are taken in turn; none refuses every new flow.
	Backends []netip.Addr
	// Filter says that only sources within AllowFrom may open flows.
	Filter    bool
	AllowFrom []netip.Prefix
	// MaxConns is the most flows at a time, 0 for no limit.
	MaxConns int
	// Drain is how long flows go on whose backend was removed; 0 resets at once.
	Drain time.Duration
}

// The bounds of a Spec. They keep one endpoint's batch of elements far below the
// 64 KiB that one netlink attribute can hold, with room in the sets for all.
const (
	maxMappings   = 256
	maxBackends   = 16
	maxAllow      = 1024
	maxEndpointID = 64
)

// Reasons of refusals in Stats.Refused, spelt as the agent protocol has them.
const (
	refusedSource    = "not_allowed"
	refusedOverLimit = "over_limit"
	refusedNoBackend = "no_backend"
)

// Stats is what a Path has carried since it was admitted; a restart of the process
// does not set it back. Every number but Flows only grows.
type Stats struct {
	// Flows is the number of TCP connections and UDP flows now, as the kernel's
	// connection tracking sees them: a UDP flow ends by silence (30 or 120 seconds
	// unless the namespace is set otherwise).
	Flows int
	// Total is the number of flows let in; one whose first packet had to be sent
	// again counts again.
	Total uint64
	// PacketsToBackend and the three below are counted at the gate. Bytes are whole
	// IP packets with their headers; packets that the sending or receiving offload
	// has joined count once.
	PacketsToBackend, PacketsToClient uint64
	BytesToBackend, BytesToClient     uint64
	// Refused counts packets that asked for a new flow and were refused, by reason:
	// not_allowed, over_limit, no_backend. A client that tries again counts again.
	Refused map[string]uint64
}

// PortProto is a port of a guarded address.
type PortProto struct {
	UDP  bool
	Port uint16
}

// GuardSpec says which sockets of the user-space engine a Guard can silence.
type GuardSpec struct {
	// Listen is the namespace of the listening sockets, nil where it is the host,
	// which has no gate; Dial is the namespace of the backend sockets, likewise.
	Listen, Dial Namespace
	// Address and Ports are what the listening sockets are bound to. Without Ports
	// they are known by the guard's mark, which they must carry then; so two guards
	// of one address, of an old and a new admission, do not meet.
	Address netip.Addr
	Ports   []PortProto
}

var (
	// ErrReopen is returned by Path.Update where the change needs another Path:
	// address, namespaces, endpoint or admission differ.
	ErrReopen = errors.New("the change needs the endpoint to be opened again")
	// ErrClosed is returned by a Path or Guard that was shut and by a Kernel that
	// was closed.
	ErrClosed = errors.New("the path is closed")
)

// Package agentapi is the agent protocol: what the control plane tells an agent
// to carry and what the agent reports back. An agent inside the server and one
// on another host speak the same types; only the transport differs.
//
// It imports nothing of this repository and only the standard library, so that
// an agent can serve a newer server. It starts no goroutines.
package agentapi

import (
	"context"
	"net/netip"
	"time"
)

// Version is the version of the protocol. History:
//
//	1  2026-11-20  specs by revision, four results, TCP mappings, PROXY v2
//	2  2026-11-20  UDP, namespaces, limits, balance, checks, names, engines, activity
const Version = 2

// AttachMode is how a network is reached from the agent's machine.
type AttachMode string

// The ways a network is attached (docs/configuration.md, attach).
const (
	// AttachHost binds and dials on the machine itself.
	AttachHost AttachMode = "host"
	// AttachNetNS binds and dials inside a named network namespace.
	AttachNetNS AttachMode = "netns"
	// AttachNone is carried by no agent.
	AttachNone AttachMode = "none"
)

// Attach names a network as the agent's machine knows it.
type Attach struct {
	Mode AttachMode `json:"mode"`
	// Name is the name of the namespace, for AttachNetNS only.
	Name string `json:"name,omitempty"`
	// Interface is the one that endpoint addresses are added to in the namespace;
	// "" leaves it to the namespace's routes.
	Interface string `json:"interface,omitempty"`
}

// Protocol is the transport protocol of a mapping.
type Protocol string

// The protocols.
const (
	TCP Protocol = "TCP"
	UDP Protocol = "UDP"
)

// Mapping forwards one port of the endpoint to one port of the backend.
type Mapping struct {
	// Protocol is TCP or UDP; "" stands for TCP, as version 1 had it.
	Protocol Protocol `json:"protocol,omitempty"`
	Client   uint16   `json:"client"`
	Server   uint16   `json:"server"`
}

// Engine says how a mapping is carried.
type Engine string

// The engines.
const (
	// EngineUser copies the bytes in the agent.
	EngineUser Engine = "user"
	// EngineKernel translates the packets in the kernel; they never enter the agent.
	EngineKernel Engine = "kernel"
)

// Balance says which of several backend addresses a new flow goes to.
type Balance string

// The ways to choose.
const (
	// BalanceRoundRobin takes them in turn; it is what "" stands for.
	BalanceRoundRobin Balance = "round_robin"
	// BalanceLeastConnections takes the one with the fewest flows of this endpoint.
	BalanceLeastConnections Balance = "least_connections"
)

// CheckKind is the kind of an active health check.
type CheckKind string

// The kinds of checks.
const (
	// CheckTCP opens a connection and closes it.
	CheckTCP CheckKind = "tcp"
	// CheckHTTP asks with GET and takes any status from 200 to 399.
	CheckHTTP CheckKind = "http"
)

// Check is the active health check of a backend's addresses.
type Check struct {
	Kind CheckKind `json:"kind"`
	// Port is asked; 0 is the server port of the first TCP mapping.
	Port uint16 `json:"port,omitempty"`
	// Path is asked for by CheckHTTP; "" is "/".
	Path string `json:"path,omitempty"`
	// Interval is the time between two checks, Timeout what one may take.
	Interval time.Duration `json:"interval"`
	Timeout  time.Duration `json:"timeout"`
}

// Limits bound the flows of one endpoint. A zero stands for the default of the
// data plane, but for IdleTimeout and Drain, where it switches off.
type Limits struct {
	// Connections is the most flows at a time.
	Connections int `json:"connections,omitempty"`
	// DialTimeout is how long each backend address may take to answer.
	DialTimeout time.Duration `json:"dial_timeout,omitempty"`
	// IdleTimeout resets a TCP flow that carried nothing for so long.
	IdleTimeout time.Duration `json:"idle_timeout,omitempty"`
	// UDPTimeout forgets a UDP session that carried nothing for so long.
	UDPTimeout time.Duration `json:"udp_timeout,omitempty"`
	// Drain is how long flows may go on whose backend address was removed.
	Drain time.Duration `json:"drain,omitempty"`
}

// Spec is what an agent shall do about one endpoint.
type Spec struct {
	// Endpoint is the id of the endpoint.
	Endpoint string `json:"endpoint"`
	// Rev is the revision of this spec; a report names it, and a spec with a
	// smaller one is older and ignored.
	Rev int64 `json:"rev"`
	// Open says whether bytes shall pass. A closed spec needs no other field.
	Open bool `json:"open"`
	// Admitted is the revision of the decision that opened it. Flows that were
	// carried under an older one shall be reset first: between the two lies a
	// reject that the agent may never have seen on its own.
	Admitted int64 `json:"admitted,omitempty"`
	// Tolerant says that an address the machine does not have makes the endpoint
	// unattached instead of failed.
	Tolerant bool         `json:"tolerant,omitempty"`
	Attach   Attach       `json:"attach"`
	Address  netip.Addr   `json:"address"`
	Mappings []Mapping    `json:"mappings,omitempty"`
	Backend  Attach       `json:"backend"`
	Backends []netip.Addr `json:"backends,omitempty"`
	// Balance and Check say how the backend addresses are used.
	Balance Balance `json:"balance,omitempty"`
	Check   *Check  `json:"check,omitempty"`
	// Proxy says that a PROXY protocol v2 header precedes the bytes of TCP flows.
	Proxy bool `json:"proxy,omitempty"`
	// TLVs names the TLVs of that header (docs/proxy-protocol.md); empty stands
	// for our own.
	TLVs []string `json:"tlvs,omitempty"`
	// Network is the consumer's network where the header shall tell it, else "".
	Network string `json:"network,omitempty"`
	Marker  int32  `json:"marker"`
	// Names are the DNS names of the endpoint, without a final dot; none where DNS
	// is off.
	Names []string `json:"names,omitempty"`
	// Engine is EngineUser where every mapping shall be carried so, and "" where
	// the agent chooses.
	Engine Engine `json:"engine,omitempty"`
	Limits Limits `json:"limits,omitzero"`
	// Filter says that only sources within AllowFrom are let in.
	Filter    bool           `json:"filter,omitempty"`
	AllowFrom []netip.Prefix `json:"allow_from,omitempty"`
}

// Delta is what changed since a revision. With Full it is everything, and what
// the agent has beyond it shall be closed.
type Delta struct {
	Rev   int64  `json:"rev"`
	Full  bool   `json:"full,omitempty"`
	Specs []Spec `json:"specs"`
}

// State is how far an agent got with a spec.
type State string

// The four results of a spec.
const (
	// StateOpen means that every listener of the spec stands.
	StateOpen State = "open"
	// StateClosed means that nothing passes any more.
	StateClosed State = "closed"
	// StateFailed means that the spec cannot be opened; Message says why.
	StateFailed State = "failed"
	// StateUnattached means that the address is not one of this machine.
	StateUnattached State = "unattached"
)

// Report is the result of one spec.
type Report struct {
	Endpoint string `json:"endpoint"`
	Rev      int64  `json:"rev"`
	State    State  `json:"state"`
	Message  string `json:"message,omitempty"`
	// Flows is the number of flows that were reset.
	Flows int `json:"flows,omitempty"`
	// Gated says that nothing passes any more while flows are still being reset
	// and counted: another report of the same revision follows with their number.
	Gated bool `json:"gated,omitempty"`
	// Paths says how the mappings of an open endpoint are carried.
	Paths []Path `json:"paths,omitempty"`
}

// Path says how one mapping is carried.
type Path struct {
	Protocol Protocol `json:"protocol"`
	Client   uint16   `json:"client"`
	Engine   Engine   `json:"engine"`
	// Reason says why the engine is not the kernel's, "" where it is.
	Reason string `json:"reason,omitempty"`
}

// Activity is what one endpoint has carried since its agent opened it. Every
// number but Flows only grows while Since stays the same.
type Activity struct {
	Endpoint string `json:"endpoint"`
	// Since is when the counters began.
	Since time.Time `json:"since"`
	// Flows is the number of flows held now, Total that of all let in.
	Flows int    `json:"flows"`
	Total uint64 `json:"total"`
	// ToBackend and ToClient are the bytes carried each way, those of flows that
	// still live included.
	ToBackend uint64 `json:"to_backend"`
	ToClient  uint64 `json:"to_client"`
	// Resets is the number of flows that ended by a reset.
	Resets uint64 `json:"resets"`
	// DialErrors is the number of failed attempts to reach a backend address.
	DialErrors uint64 `json:"dial_errors"`
	// Refused counts connections that were not let in, by reason: not_allowed,
	// no_backend, over_limit, dial_error.
	Refused map[string]uint64 `json:"refused,omitempty"`
	// Last is when a flow came, went or was last seen carrying; zero for never.
	Last time.Time `json:"last,omitzero"`
}

// Server is the control plane as an agent sees it.
type Server interface {
	// Changes returns what changed since the revision, waiting until there is
	// something or ctx ends. A since of 0 asks for everything.
	Changes(ctx context.Context, agent string, since int64) (Delta, error)
	// Report hands in results. An error means that none of them was taken and
	// the agent shall report again.
	Report(ctx context.Context, agent string, results []Report) error
	// Observe hands in the activity of endpoints. It replaces what the agent said
	// of each before; what is lost is made up for by the next.
	Observe(ctx context.Context, agent string, activity []Activity) error
}

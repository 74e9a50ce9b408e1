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
)

// Version is the version of the protocol. History:
//
//	1  2026-11-20  specs by revision, four results, TCP mappings, PROXY v2
const Version = 1

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
	Name string     `json:"name,omitempty"`
}

// Mapping forwards one TCP port of the endpoint to one port of the backend.
type Mapping struct {
	Client uint16 `json:"client"`
	Server uint16 `json:"server"`
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
	// Proxy says that a PROXY protocol v2 header precedes the bytes.
	Proxy  bool  `json:"proxy,omitempty"`
	Marker int32 `json:"marker"`
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
}

// Server is the control plane as an agent sees it.
type Server interface {
	// Changes returns what changed since the revision, waiting until there is
	// something or ctx ends. A since of 0 asks for everything.
	Changes(ctx context.Context, agent string, since int64) (Delta, error)
	// Report hands in results. An error means that none of them was taken and
	// the agent shall report again.
	Report(ctx context.Context, agent string, results []Report) error
}

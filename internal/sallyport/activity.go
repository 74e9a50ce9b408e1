package sallyport

import (
	"iter"
	"time"
)

// Path says how one mapping of an open endpoint is carried.
type Path struct {
	Protocol string // ProtocolTCP or ProtocolUDP
	Client   uint16 // the port the endpoint offers
	Engine   string // kernel or user
	Reason   string // why the engine is not the kernel's, "" where it is
}

// Refusals counts the connections that were not let in, by reason.
type Refusals struct {
	NotAllowed uint64 // the source is not on the endpoint's whitelist
	NoBackend  uint64 // there was no backend address to go to
	OverLimit  uint64 // the endpoint had as many flows as it may have
	DialError  uint64 // no backend address answered
}

// All yields every reason, as the agents spell it, with its number; also those
// that never happened.
func (r Refusals) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		_ = yield("not_allowed", r.NotAllowed) && yield("no_backend", r.NoBackend) &&
			yield("over_limit", r.OverLimit) && yield("dial_error", r.DialError)
	}
}

// Activity is what an endpoint has carried since its agent opened it. Every
// number but Flows only grows while Since stays the same.
type Activity struct {
	Endpoint EndpointID
	Service  ServiceID
	// ObservedAt is when the agent told it, zero where none ever did: then all
	// else is zero too.
	ObservedAt time.Time
	Since      time.Time // when the counters began
	Flows      int       // held now
	Total      uint64    // flows let in
	ToBackend  uint64    // bytes, those of flows that still live included
	ToClient   uint64    // bytes
	Resets     uint64    // flows that ended by a reset
	DialErrors uint64    // failed attempts to reach a backend address
	Refused    Refusals
	Last       time.Time // when a flow was last seen, zero for never
}

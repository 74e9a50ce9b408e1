package forward

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// suspicion is how long a backend address whose dial failed is tried last. It is long
// enough that a dead one costs few clients its DialTimeout, and short enough that one
// that was restarted gets work again while somebody is looking.
const suspicion = 10 * time.Second

// target is one backend address of a forwarder. It outlives the plan that named it:
// an Update that keeps the address keeps the target. All times are the engine's.
type target struct {
	addr   netip.Addr
	active atomic.Int64 // flows to it
	down   atomic.Bool  // as SetHealth said last
	// suspect is until when it is tried last, and leave is when its flows are reset
	// since an Update removed it; 0 is not.
	suspect, leave atomic.Int64
}

// plan is what holds for the flows that began under it: a spec and what was made of
// it. It is never written to.
type plan struct {
	spec    *Spec
	targets []*target
	tail    []byte // of the PROXY header, nil without one
}

// newPlan makes a plan of a normalised spec. What is known of an address that one of
// the earlier targets has is kept.
func newPlan(spec *Spec, earlier []*target) *plan {
	p := &plan{spec: spec, tail: proxyTail(spec)}
	for _, addr := range spec.Backends {
		t := find(earlier, addr)
		if t == nil {
			t = &target{addr: addr}
		}
		t.leave.Store(0)
		p.targets = append(p.targets, t)
	}
	return p
}

func find(all []*target, addr netip.Addr) *target {
	for _, t := range all {
		if t.addr == addr {
			return t
		}
	}
	return nil
}

// class says in which order addresses are tried: 0 first, 2 last.
func (t *target) class(now time.Duration) int8 {
	switch {
	case t.down.Load():
		return 2
	case t.suspect.Load() > int64(now):
		return 1
	}
	return 0
}

// pick returns the index of the target that a flow tries next, or -1. tried has a bit
// for each index it has tried, turn is the flow's number. Addresses that are down are
// tried only if all are.
func (p *plan) pick(tried uint64, turn uint32, now time.Duration) int {
	if len(p.targets) == 1 {
		// Nothing to choose: by far the most endpoints.
		return -int(tried & 1)
	}
	var classes [MaxBackends]int8 // looked up once: they change under our eyes
	best, allDown := int8(3), true
	var count uint32
	for i, t := range p.targets {
		c := t.class(now)
		classes[i] = c
		allDown = allDown && c == 2
		if tried&(1<<i) != 0 || c > best {
			continue
		}
		if c < best {
			best, count = c, 0
		}
		count++
	}
	if best == 3 || best == 2 && !allDown {
		return -1
	}
	// The turn decides within the best class, so that one that is left out does not
	// hand all of its work to its neighbour.
	skip := turn % count
	chosen, fewest := -1, int64(0)
	for i, t := range p.targets {
		if tried&(1<<i) != 0 || classes[i] != best {
			continue
		}
		if p.spec.Balance == RoundRobin {
			if skip == 0 {
				return i
			}
			skip--
			continue
		}
		if n := t.active.Load(); chosen < 0 || n < fewest {
			chosen, fewest = i, n
		}
	}
	return chosen
}

package nft

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// dumps shares walks of connection tracking between those that want one at the same
// time: a walk takes milliseconds whatever it finds, and a thousand endpoints can be
// cut at once.
type dumps struct {
	run  sync.Mutex // held while one is read
	mu   sync.Mutex
	next *dump // not begun yet
}

type dump struct {
	done  chan struct{}
	flows map[netip.Addr][]flow // as a consumer's namespace has them
	err   error
}

// get returns the result of a walk that began after the call.
func (d *dumps) get(read func() (map[netip.Addr][]flow, error)) (map[netip.Addr][]flow, error) {
	d.mu.Lock()
	mine := d.next
	if mine != nil {
		d.mu.Unlock()
		<-mine.done
		return mine.flows, mine.err
	}
	mine = &dump{done: make(chan struct{})}
	d.next = mine
	d.mu.Unlock()

	d.run.Lock()
	defer d.run.Unlock()
	d.mu.Lock()
	d.next = nil
	d.mu.Unlock()
	mine.flows, mine.err = read()
	close(mine.done)
	return mine.flows, mine.err
}

// flowsNow returns the flows of every admission of the family, by transit address.
func (s *space) flowsNow(f family) (map[netip.Addr][]flow, error) {
	return s.dumps[f.proto == ipv6.proto].get(func() (map[netip.Addr][]flow, error) {
		flows := map[netip.Addr][]flow{}
		err := s.track.flows(f.proto == ipv6.proto, consumerSide, netip.Addr{}, func(fl *flow) {
			if t := fl.reply.src.Addr(); s.transit(t) {
				flows[t] = append(flows[t], *fl)
			}
		})
		return flows, err
	})
}

// viewAge is how old the numbers of Stats may be. Reading connection tracking costs
// tens of milliseconds with tens of thousands of flows, so all paths of a namespace
// share one reading.
const viewAge = 2 * time.Second

// view is one reading of a namespace.
type view struct {
	at       time.Time
	counters map[string]counted // by id of the element
	flows    map[netip.Addr]int // live flows by transit address
}

// look returns a reading that is no older than viewAge.
func (s *space) look(now time.Time) (view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.view.at.IsZero() && now.Sub(s.view.at) < viewAge {
		return s.view, nil
	}
	v := view{at: now, counters: map[string]counted{}, flows: map[netip.Addr]int{}}
	for _, f := range []family{ipv4, ipv6} {
		for _, set := range []string{setOpen, setBack, setFresh, setNotAllowed, setOverLimit, setNoBackend} {
			elems, err := s.table.list(set + f.suffix)
			if err != nil {
				return v, err
			}
			for _, el := range elems {
				v.counters[el.id()] = el
			}
		}
		flows, err := s.flowsNow(f)
		if err != nil {
			return v, err
		}
		for t, list := range flows {
			for i := range list {
				if list[i].live() {
					v.flows[t]++
				}
			}
		}
	}
	s.view = v
	return v, nil
}

// Stats says what the path has carried. The numbers are at most two seconds old; of
// a path that was shut they are those of the cut.
func (p *Path) Stats(context.Context) (Stats, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.Lock()
	shut, final := p.shut, p.final
	p.gate.Unlock()
	st := Stats{Refused: map[string]uint64{}}
	gate := func(set string) counted { return final[set+p.f.suffix] }
	if !p.finished {
		v, err := p.c.look(p.k.now())
		if err != nil {
			return st, fmt.Errorf("stats of endpoint %s: %w", p.spec.EndpointID, err)
		}
		at := func(set, key string) counted {
			return v.counters[element{set: set + p.f.suffix, key: key}.id()]
		}
		for reason, set := range map[string]string{
			refusedSource: setNotAllowed, refusedOverLimit: setOverLimit, refusedNoBackend: setNoBackend,
		} {
			if n := at(set, key(p.spec.Address)).packets; n > 0 {
				st.Refused[reason] = n
			}
		}
		if !shut {
			gate = func(set string) counted { return at(set, key(p.t)) }
			st.Flows = v.flows[p.t]
			if err := p.retune(st.Flows); err != nil {
				return st, err
			}
		}
	}
	there, back := gate(setOpen), gate(setBack)
	st.Total = gate(setFresh).packets
	st.PacketsToBackend, st.BytesToBackend = there.packets, there.bytes
	st.PacketsToClient, st.BytesToClient = back.packets, back.bytes
	return st, nil
}

// The kernel counts flows in the element that holds the limit, as they come, and an
// element cannot be changed, only replaced by one that has counted nothing. So a
// changed limit is set less the flows that are there, and corrected as they end. A
// path that kept its limit since it was opened is counted exactly by the kernel
// alone.

// relimit works out the limit to set for the spec. The caller holds p.mu.
func (p *Path) relimit() error {
	want := p.spec.MaxConns
	switch {
	case want <= 0:
		p.limit = nil
		return nil
	case p.cons == nil || p.limit != nil && *p.limit == uint32(want):
		p.limit = limitOf(want)
		return nil
	}
	live := 0
	err := p.c.track.flows(p.t.Is6(), consumerSide, p.t, func(f *flow) {
		if f.live() {
			live++
		}
	})
	p.limit = limitOf(want - live)
	return err
}

// retune corrects a limit that was lowered for the flows of before.
func (p *Path) retune(live int) error {
	want := p.spec.MaxConns
	if p.stopped || p.ending || p.limit == nil || want <= 0 || *p.limit == uint32(want) || *p.limit == *limitOf(want - live) {
		return nil
	}
	p.limit = limitOf(want - live)
	return p.set(p.prov, consumerElements(&p.spec, p.t, p.limit))
}

func limitOf(n int) *uint32 {
	v := uint32(max(n, 0))
	return &v
}

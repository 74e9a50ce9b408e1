package forward

import (
	"context"
	"fmt"
	"slices"
)

// Update makes spec the forwarder's. It reports whether anything differed.
//
// A mapping that stays keeps its listener and its flows. One that is gone closes
// its listener, and one whose server port differs keeps it; both reset their flows
// and Update returns when those are gone. A new mapping is bound before anything
// else happens: if that fails, the error is returned and everything is as before.
// Backends, whitelist, limits, marker and proxy mode hold for connections that
// come from now on; flows keep what they began with, but for those to a backend
// address that is gone, which end when Spec.Drain is over.
//
// It returns ErrReopen for another endpoint, address or listening network, and
// ErrCut once the forwarder is stopped or cut.
func (f *Forwarder) Update(spec Spec) (changed bool, err error) {
	norm, err := spec.normal()
	if err != nil {
		return false, err
	}
	f.turn.Lock()
	defer f.turn.Unlock()

	old := f.plan.Load()
	switch {
	case f.stage.Load() != open:
		return false, ErrCut
	case !norm.sameEndpoint(old.spec):
		return false, fmt.Errorf("endpoint %s: %w", f.id, ErrReopen)
	case norm.equal(old.spec):
		return false, nil
	}
	if norm.Mark != 0 && norm.Mark != old.spec.Mark {
		if err := checkMark(norm.Mark); err != nil {
			return false, fmt.Errorf("endpoint %s: set the mark of its packets: %w", f.id, err)
		}
	}
	added, err := f.prepare(norm, missing(norm.Mappings, old.spec.Mappings))
	if err != nil {
		return false, err
	}
	gone, ok := f.switchTo(norm, old, added)
	if !ok {
		return false, ErrCut
	}
	// Whoever is let in from here on is judged by the new plan.
	f.engine.carrier.silence(f, gone)
	f.engine.carrier.sweep(f, (*passage).stale)
	f.retire(norm, old)
	return true, nil
}

// prepare binds the mappings and makes the doors listen, closed still: who comes
// before the switch is reset. The holder of turn calls it.
func (f *Forwarder) prepare(norm *Spec, mappings []Mapping) ([]*door, error) {
	if len(mappings) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.Background()) // a Shut ends it
	defer cancel()
	f.mu.Lock()
	f.stopBind = cancel
	f.mu.Unlock()
	added, err := f.bind(ctx, norm, mappings)

	f.mu.Lock()
	f.stopBind = nil
	if f.stage.Load() != open {
		f.mu.Unlock()
		f.engine.carrier.silence(f, added)
		return nil, ErrCut
	}
	if err != nil {
		f.mu.Unlock()
		return nil, err
	}
	for _, d := range added {
		d.removed.Store(true)
	}
	f.doors = append(f.doors, added...)
	started := f.engine.carrier.start(added) // before a Shut can stop them
	f.mu.Unlock()
	if err := started(); err != nil {
		f.engine.carrier.silence(f, f.take(func(d *door) bool { return slices.Contains(added, d) }))
		return nil, fmt.Errorf("listen for endpoint %s: %w", f.id, err)
	}
	return added, nil
}

// switchTo puts norm in force. It returns the doors to close, or false if a Shut came
// first.
func (f *Forwarder) switchTo(norm *Spec, old *plan, added []*door) (gone []*door, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage.Load() != open {
		return nil, false
	}
	f.plan.Store(newPlan(norm, slices.Concat(old.targets, f.leaving)))
	for _, d := range added {
		d.removed.Store(false)
	}
	f.doors = slices.DeleteFunc(f.doors, func(d *door) bool {
		i := slices.IndexFunc(norm.Mappings, d.is)
		if i < 0 {
			d.removed.Store(true)
			gone = append(gone, d)
			return true
		}
		d.serverPort.Store(uint32(norm.Mappings[i].ServerPort))
		return false
	})
	return gone, true
}

// retire gives the flows of removed backend addresses their time. The holder of turn
// calls it.
func (f *Forwarder) retire(norm *Spec, old *plan) {
	now := f.plan.Load().targets
	was := slices.Concat(f.leaving, old.targets)
	f.leaving = nil
	drain := false
	for _, t := range was {
		if slices.Contains(now, t) || t.active.Load() == 0 || slices.Contains(f.leaving, t) {
			continue
		}
		f.leaving = append(f.leaving, t)
		if t.leave.Load() == 0 {
			t.leave.Store(int64(f.engine.elapsed() + norm.Drain))
			drain = true
		}
	}
	if drain {
		f.engine.carrier.drain(f)
	}
}

// is reports whether the door is the mapping's.
func (d *door) is(m Mapping) bool { return d.udp == m.UDP && d.clientPort == m.ClientPort }

// missing returns the mappings whose client port is not among have.
func missing(want, have []Mapping) []Mapping {
	return slices.DeleteFunc(slices.Clone(want), func(w Mapping) bool {
		return slices.ContainsFunc(have, func(h Mapping) bool { return h.UDP == w.UDP && h.ClientPort == w.ClientPort })
	})
}

// take takes the doors that match out of the table: whoever has them closes them.
func (f *Forwarder) take(match func(*door) bool) (taken []*door) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doors = slices.DeleteFunc(f.doors, func(d *door) bool {
		if !match(d) {
			return false
		}
		taken = append(taken, d)
		return true
	})
	return taken
}

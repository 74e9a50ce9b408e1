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
// come from now on; flows keep what they began with.
//
// It returns ErrReopen for another endpoint, address or listening network, and
// ErrCut once the forwarder is cut.
func (f *Forwarder) Update(spec Spec) (changed bool, err error) {
	norm, err := spec.normal()
	if err != nil {
		return false, err
	}
	f.turn.Lock()
	defer f.turn.Unlock()

	ctx, cancel := context.WithCancel(context.Background()) // a Cut ends it
	defer cancel()
	f.mu.Lock()
	old := f.spec
	switch {
	case f.cut != nil:
		err = ErrCut
	case !norm.sameEndpoint(old):
		err = fmt.Errorf("endpoint %s: %w", f.id, ErrReopen)
	}
	if err != nil || norm.equal(old) {
		f.mu.Unlock()
		return false, err
	}
	f.stopBind = cancel
	f.mu.Unlock()

	added, err := bind(ctx, norm, missing(norm.Mappings, old.Mappings))

	f.mu.Lock()
	f.stopBind = nil
	if f.cut != nil {
		f.mu.Unlock()
		for _, d := range added {
			d.shut()
		}
		return false, ErrCut
	}
	if err != nil {
		f.mu.Unlock()
		return false, err
	}
	gone, victims, leaving := f.switchTo(norm, added)
	f.mu.Unlock()

	for _, d := range gone {
		d.shut()
	}
	for _, fl := range victims {
		fl.kill()
	}
	await(leaving)
	for _, d := range gone {
		d.loop.Wait()
	}
	return true, nil
}

// switchTo puts norm and the added doors in force. It returns the doors to close
// and the flows to kill and to wait for, as condemn does. mu is held.
func (f *Forwarder) switchTo(norm *Spec, added []*door) (gone []*door, victims, leaving []*flow) {
	f.spec = norm
	doors := added
	stale := make(map[*door]bool)
	for _, d := range f.doors {
		i := slices.IndexFunc(norm.Mappings, func(m Mapping) bool { return m.ClientPort == d.clientPort })
		if i < 0 {
			d.removed, stale[d] = true, true
			gone = append(gone, d)
			continue
		}
		if server := norm.Mappings[i].ServerPort; server != d.serverPort {
			d.serverPort, stale[d] = server, true
		}
		doors = append(doors, d)
	}
	f.doors = doors
	for _, d := range added {
		d.loop.Go(func() { f.accept(d) })
	}
	victims, leaving = f.condemn(func(fl *flow) bool { return stale[fl.door] })
	return gone, victims, leaving
}

// missing returns the mappings whose client port is not among have.
func missing(want, have []Mapping) []Mapping {
	return slices.DeleteFunc(slices.Clone(want), func(w Mapping) bool {
		return slices.ContainsFunc(have, func(h Mapping) bool { return h.ClientPort == w.ClientPort })
	})
}

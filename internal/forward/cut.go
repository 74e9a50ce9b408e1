package forward

// CutResult is what a Cut did.
type CutResult struct {
	// Flows is the number of flows that were reset, those still dialling and those
	// whose last bytes were on their way included. A flow that a peer had reset
	// already is not counted.
	Flows int
}

// cutting is a Cut under way or done.
type cutting struct {
	done   chan struct{} // closed when result stands
	result CutResult
}

// Cut closes every listener and resets every flow on both sides. It returns when
// each goroutine of the forwarder has ended and each descriptor is closed, so that
// no byte passes after it: nothing is left that could send one, in the kernel
// included. It waits for no peer.
//
// Every further Cut, concurrent or later, waits for the first and returns the same
// result.
func (f *Forwarder) Cut() CutResult {
	f.mu.Lock()
	if c := f.cut; c != nil {
		f.mu.Unlock()
		<-c.done
		return c.result
	}
	c := &cutting{done: make(chan struct{})}
	f.cut = c // from here on nobody is let in and no Update begins
	doors := f.doors
	f.doors = nil
	if f.stopBind != nil {
		f.stopBind()
	}
	victims, leaving := f.condemn(func(*flow) bool { return true })
	f.mu.Unlock()

	for _, d := range doors {
		d.shut()
	}
	for _, fl := range victims {
		fl.kill()
	}
	await(leaving)
	for _, d := range doors {
		d.loop.Wait()
	}
	// An Update under way sees the cut, closes what it has bound and ends.
	f.turn.Lock()
	f.turn.Unlock() //nolint:staticcheck // SA2001: the empty section is the wait

	c.result.Flows = len(victims)
	close(c.done)
	return c.result
}

// condemn marks the flows that match as aborted. It returns those the caller has
// to kill, and all that match, to be waited for. mu is held.
func (f *Forwarder) condemn(match func(*flow) bool) (victims, leaving []*flow) {
	for fl := range f.flows {
		if !match(fl) {
			continue
		}
		leaving = append(leaving, fl)
		if !fl.aborted {
			fl.aborted = true
			victims = append(victims, fl)
		}
	}
	return victims, leaving
}

// await returns when every one of the flows is gone.
func await(flows []*flow) {
	for _, fl := range flows {
		<-fl.done
	}
}

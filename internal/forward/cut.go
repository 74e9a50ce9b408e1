package forward

// CutResult is what a Cut did.
type CutResult struct {
	// Flows is the number of flows that were reset, those still dialling, those whose
	// last bytes were on their way and those that Quiesce has reset included. A flow
	// that a peer had reset already is not counted.
	Flows int
}

// cutting is a Cut under way or done.
type cutting struct {
	done   chan struct{} // closed when result stands
	result CutResult
}

// StopNew closes every listener and keeps the flows: the first half of a stop that
// lets clients finish, of which Wait is the second. A UDP socket stays for the
// sessions that it has and begins no more. Nothing lets clients in again.
func (f *Forwarder) StopNew() {
	f.advance(stopped)
	f.engine.carrier.silence(f, f.take(func(d *door) bool { return !d.udp }))
}

// Shut stops the endpoint in user space: when it returns, nobody is let in and no
// byte of it is handed to the kernel any more, however many flows there are. What the
// kernel has queued before may still be sent, and no peer is told anything: that is
// what Cut is for, which includes Shut and comes next. Shutting twice is harmless.
func (f *Forwarder) Shut() {
	f.advance(shut)
	f.engine.carrier.silence(f, f.take(func(*door) bool { return true }))
}

// Quiesce is Shut and more: it also resets the flows of which the kernel has bytes
// that were not acknowledged. So when it returns no byte passes, as after a Cut, at a
// fraction of its price where most flows are idle; Cut comes next all the same.
func (f *Forwarder) Quiesce() {
	f.Shut()
	f.quiesced.Add(int64(f.engine.carrier.flush(f)))
}

// advance moves the stage, never back, and ends the binding of an Update under way.
func (f *Forwarder) advance(to stage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stage.Store(max(f.stage.Load(), to))
	if f.stopBind != nil {
		f.stopBind()
	}
}

// Cut closes every listener and resets every flow on both sides. It returns when
// each descriptor of the forwarder is closed, so that no byte passes after it: nothing
// is left that could send one, in the kernel included. It waits for no peer.
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
	f.cut = c
	f.mu.Unlock()

	f.Shut() // from here on nobody is let in and no Update begins
	c.result.Flows = f.engine.carrier.sweep(f, nil) + int(f.quiesced.Load())
	// An Update under way sees the stage, closes what it has bound and ends.
	f.turn.Lock()
	f.turn.Unlock() //nolint:staticcheck // SA2001: the empty section is the wait
	f.engine.leave(f)
	close(c.done)
	return c.result
}

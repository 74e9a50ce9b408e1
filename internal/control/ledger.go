package control

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// ledger knows how far the data plane has got with every endpoint, and who
// waits for it to get further.
type ledger struct {
	mu    sync.Mutex
	acks  map[sallyport.EndpointID]ack
	waits map[sallyport.EndpointID][]*wait
}

// ack is the newest report about an endpoint.
type ack struct {
	rev   sallyport.Revision
	state agentapi.State
	agent string
	at    time.Time
	flows int
}

// wait is somebody who waits until an endpoint is confirmed at a revision.
type wait struct {
	id   sallyport.EndpointID
	rev  sallyport.Revision
	done chan struct{}
}

func newLedger() *ledger {
	return &ledger{acks: map[sallyport.EndpointID]ack{}, waits: map[sallyport.EndpointID][]*wait{}}
}

// expect describes a wait; it costs nothing until it is awaited, so it may be
// made inside a transaction that runs more than once.
func (l *ledger) expect(id sallyport.EndpointID, rev sallyport.Revision) *wait {
	return &wait{id: id, rev: rev}
}

// enter begins a wait and returns at once where it is fulfilled already.
func (l *ledger) enter(w *wait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.done = make(chan struct{})
	if l.acks[w.id].rev >= w.rev {
		close(w.done)
		return
	}
	l.waits[w.id] = append(l.waits[w.id], w)
}

// leave ends a wait that was not fulfilled.
func (l *ledger) leave(w *wait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.waits[w.id][:0]
	for _, o := range l.waits[w.id] {
		if o != w {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		delete(l.waits, w.id)
		return
	}
	l.waits[w.id] = rest
}

// note takes a report and wakes those it fulfils.
func (l *ledger) note(id sallyport.EndpointID, a ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.acks[id]; have.rev > a.rev {
		return
	}
	l.acks[id] = a
	rest := l.waits[id][:0]
	for _, w := range l.waits[id] {
		if a.rev >= w.rev {
			close(w.done)
			continue
		}
		rest = append(rest, w)
	}
	if len(rest) == 0 {
		delete(l.waits, id)
		return
	}
	l.waits[id] = rest
}

// forget drops what is known of an endpoint that no longer exists, after waking
// those who wait for its end.
func (l *ledger) forget(id sallyport.EndpointID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waits[id] {
		close(w.done)
	}
	delete(l.waits, id)
	delete(l.acks, id)
}

// latest returns the newest report about an endpoint.
func (l *ledger) latest(id sallyport.EndpointID) (ack, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.acks[id]
	return a, ok
}

// await waits for all of the waits, for the confirmation wait at most. It
// reports whether all were fulfilled; the error is that of ctx.
func (p *Plane) await(ctx context.Context, waits ...*wait) (bool, error) {
	timer := time.NewTimer(p.opt.ConfirmWait)
	defer timer.Stop()
	for _, w := range waits {
		p.acks.enter(w)
		defer p.acks.leave(w)
	}
	for _, w := range waits {
		select {
		case <-w.done:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

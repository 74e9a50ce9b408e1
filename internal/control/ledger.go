package control

import (
	"cmp"
	"context"
	"slices"
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
	// owed are the revisions of rejects that are in force and whose proof is to come.
	owed map[sallyport.EndpointID][]sallyport.Revision
}

// maxOwed is how many proofs may be to come for one endpoint. An agent works at
// one reject of an endpoint at a time and the proof follows within moments, so
// more are those of an agent that ended in between: the oldest go.
const maxOwed = 8

// maxPaths is how many paths of an endpoint are kept: the most mappings that a
// service can have (VPCEP API reference, ports).
const maxPaths = 200

// ack is the newest report about an endpoint.
type ack struct {
	rev   sallyport.Revision
	state agentapi.State
	agent string
	at    time.Time
	flows int
	gated bool // flows is yet to come
	paths []sallyport.Path
}

func ackOf(agent string, r agentapi.Report, now time.Time) ack {
	a := ack{
		rev: sallyport.Revision(r.Rev), state: r.State, agent: agent, at: now, flows: r.Flows,
		gated: r.Gated && r.State == agentapi.StateClosed,
	}
	for _, w := range r.Paths[:min(len(r.Paths), maxPaths)] {
		a.paths = append(a.paths, sallyport.Path{
			Protocol: string(cmp.Or(w.Protocol, agentapi.TCP)), Client: w.Client, Engine: string(w.Engine), Reason: w.Reason,
		})
	}
	return a
}

// wait is somebody who waits until an endpoint is confirmed at a revision.
type wait struct {
	id   sallyport.EndpointID
	rev  sallyport.Revision
	done chan struct{}
}

func newLedger() *ledger {
	return &ledger{
		acks: map[sallyport.EndpointID]ack{}, waits: map[sallyport.EndpointID][]*wait{},
		owed: map[sallyport.EndpointID][]sallyport.Revision{},
	}
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
	have := l.acks[id]
	if have.rev > a.rev || have.rev == a.rev && a.gated && have.state == agentapi.StateClosed {
		return // older, or the forerunner of what is known already
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
	delete(l.owed, id)
}

// owe notes that the reject of the revision is in force and its proof to come.
func (l *ledger) owe(id sallyport.EndpointID, rev sallyport.Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	revs := l.owed[id]
	if slices.Contains(revs, rev) {
		return
	}
	if len(revs) == maxOwed {
		revs = slices.Delete(revs, 0, 1)
	}
	l.owed[id] = append(revs, rev)
}

// settle reports whether the proof of the revision was to come, and takes it as
// come.
func (l *ledger) settle(id sallyport.EndpointID, rev sallyport.Revision) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	revs := l.owed[id]
	i := slices.Index(revs, rev)
	if i < 0 {
		return false
	}
	if revs = slices.Delete(revs, i, i+1); len(revs) == 0 {
		delete(l.owed, id)
	} else {
		l.owed[id] = revs
	}
	return true
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

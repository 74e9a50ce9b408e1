package engine

import (
	"sync"
	"time"
)

const (
	// addressLinger is how long the address of a kernel path stays after its end. A
	// peer is reset by an answer to a segment of its own, and only who has the
	// address answers; in three seconds a client that is sending sends again twice.
	addressLinger = 3 * time.Second
	// closeLinger is what is left of it when the process stops: enough for the idle
	// peers, who were asked for a segment, and for all that are sending just now.
	closeLinger = 300 * time.Millisecond
)

// leaving are the addresses that are given back in a moment.
type leaving struct {
	mu   sync.Mutex
	all  map[*time.Timer]func()
	busy sync.WaitGroup // timers that have not run out
}

// later calls release after addressLinger, or when close says so.
func (l *leaving) later(release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*time.Timer]func())
	}
	l.busy.Add(1)
	var t *time.Timer
	t = time.AfterFunc(addressLinger, func() {
		defer l.busy.Done()
		l.mu.Lock()
		delete(l.all, t)
		l.mu.Unlock()
		release()
	})
	l.all[t] = release
}

// close gives all addresses back, after closeLinger if there are any.
func (l *leaving) close() {
	l.mu.Lock()
	some := len(l.all) > 0
	l.mu.Unlock()
	if !some {
		l.busy.Wait()
		return
	}
	wait := time.NewTimer(closeLinger)
	<-wait.C
	l.mu.Lock()
	for t, release := range l.all {
		if t.Stop() {
			release()
			l.busy.Done()
		}
	}
	clear(l.all)
	l.mu.Unlock()
	l.busy.Wait()
}

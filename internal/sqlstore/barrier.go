package sqlstore

import (
	"context"
	"sync"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// barrier lets many readers share one question to the database. A reader may
// only use an answer to a question that was asked after it came, so it joins
// the next one, never the one under way.
type barrier struct {
	wake   chan struct{} // one place: a question waits
	closed chan struct{} // closed when serve has ended

	mu   sync.Mutex
	next *question
}

type question struct {
	done chan struct{}
	rev  sallyport.Revision
	err  error
}

func newBarrier() *barrier {
	return &barrier{wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// revision returns a revision that the database had after the call began.
func (b *barrier) revision(ctx context.Context) (sallyport.Revision, error) {
	b.mu.Lock()
	if b.next == nil {
		b.next = &question{done: make(chan struct{})}
	}
	q := b.next
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // somebody has woken the asker already
	}
	select {
	case <-q.done:
		return q.rev, q.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-b.closed:
		return 0, ErrClosed
	}
}

// serve asks the questions, one after the other, until ctx ends; who waits then,
// or comes later, gets ErrClosed.
func (b *barrier) serve(ctx context.Context, ask func(context.Context) (sallyport.Revision, error)) {
	defer close(b.closed)
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		b.answer(func() (sallyport.Revision, error) {
			ctx, cancel := context.WithTimeout(ctx, batchTimeout)
			defer cancel()
			return ask(ctx)
		})
	}
}

func (b *barrier) answer(ask func() (sallyport.Revision, error)) {
	b.mu.Lock()
	q := b.next
	b.next = nil
	b.mu.Unlock()
	if q == nil {
		return
	}
	q.rev, q.err = ask()
	close(q.done)
}

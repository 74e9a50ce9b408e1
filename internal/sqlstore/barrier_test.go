package sqlstore

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, a reader that comes while a question is under way is given the
// answer to it, which may be older than what it has to see.
func TestBarrierJoinsTheNextQuestion(t *testing.T) {
	b := newBarrier()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked, answer := make(chan struct{}), make(chan sallyport.Revision)
	var server sync.WaitGroup
	server.Go(func() {
		b.serve(ctx, func(context.Context) (sallyport.Revision, error) {
			asked <- struct{}{}
			return <-answer, nil
		})
	})
	read := func() chan sallyport.Revision {
		got := make(chan sallyport.Revision, 1)
		go func() {
			rev, err := b.revision(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- rev
		}()
		return got
	}
	early := read()
	<-asked // the first question is under way
	late := read()
	for len(b.wake) == 0 { // until the second reader has joined a question
		runtime.Gosched()
	}
	answer <- 1
	select {
	case <-asked:
	case rev := <-late:
		t.Fatalf("the second reader got %d, the answer to a question from before it came", rev)
	}
	answer <- 2
	if rev := <-early; rev != 1 {
		t.Errorf("the first reader got %d, want 1", rev)
	}
	if rev := <-late; rev != 2 {
		t.Errorf("the second reader got %d, want 2", rev)
	}
	stop()
	server.Wait()
}

// If this fails, a reader hangs for ever when the store is closed under it.
func TestBarrierEnds(t *testing.T) {
	b := newBarrier()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	errs := make(chan error, 1)
	go func() {
		_, err := b.revision(t.Context())
		errs <- err
	}()
	b.serve(ctx, func(context.Context) (sallyport.Revision, error) { return 0, ErrClosed })
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("who waits is told %v, want ErrClosed", err)
	}
	if _, err := b.revision(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("who comes later is told %v, want ErrClosed", err)
	}
}

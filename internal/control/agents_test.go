package control

import (
	"context"
	"errors"
	"testing"

	"github.com/sallyport-net/sallyport/internal/readmodel"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// untouched is a store that nothing was ever written to.
type untouched struct {
	sallyport.Store
	waiting chan struct{}
}

func (untouched) View(context.Context) (sallyport.View, error) {
	return readmodel.NewDraft().Publish(), nil
}

func (u untouched) Wait(ctx context.Context, _ sallyport.Revision) error {
	close(u.waiting)
	<-ctx.Done()
	return ctx.Err()
}

// If this fails, the agent of a fresh server asks without a pause and burns a
// processor until somebody makes the first service.
func TestChangesWaitsForTheFirstChange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	store := untouched{waiting: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := New(store, Options{}).Agents().Changes(ctx, "local", 0)
		done <- err
	}()
	select {
	case <-store.waiting:
	case err := <-done:
		t.Fatalf("Changes returned without waiting, error %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want the context's", err)
	}
}

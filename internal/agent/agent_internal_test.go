package agent

import (
	"context"
	"errors"
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// oneDelta is a server with one delta, that notes when it is reported on.
type oneDelta struct {
	delta chan agentapi.Delta
	done  chan agentapi.State
}

func (s oneDelta) Changes(ctx context.Context, _ string, _ int64) (agentapi.Delta, error) {
	select {
	case d := <-s.delta:
		return d, nil
	case <-ctx.Done():
		return agentapi.Delta{}, ctx.Err()
	}
}

func (oneDelta) Observe(context.Context, string, []agentapi.Activity) error { return nil }

func (s oneDelta) Report(_ context.Context, _ string, rs []agentapi.Report) error {
	s.done <- rs[0].State
	return nil
}

// What could not be opened and is then deleted is never spoken of again. If this
// fails, the agent remembers every such endpoint as long as it runs.
func TestNothingIsKeptOfWhatDoesNotStand(t *testing.T) {
	t.Parallel()
	s := oneDelta{delta: make(chan agentapi.Delta, 1), done: make(chan agentapi.State, 1)}
	a := New(Options{Server: s, Engines: engine.New(engine.Options{}), Attach: func(agentapi.Attach) (netattach.Network, error) { return nil, errors.New("not here") }})
	s.delta <- agentapi.Delta{Rev: 1, Full: true, Specs: []agentapi.Spec{{Endpoint: "e", Rev: 1, Open: true}}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if got := <-s.done; got != agentapi.StateFailed {
		t.Errorf("reported %s, want failed", got)
	}
	<-a.Settled() // the worker has had its turn
	a.mu.Lock()
	if len(a.ports) != 0 {
		t.Errorf("the agent keeps %v", a.ports)
	}
	a.mu.Unlock()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

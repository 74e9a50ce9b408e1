package agent

import (
	"context"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
)

const (
	// observeEvery is how often the server is told what endpoints carry: as often
	// as a person who watches can follow.
	observeEvery = time.Second
	// observeChunk is how many endpoints one call tells of.
	observeChunk = 1000
)

// observe tells the server what endpoints carry until ctx ends.
func (a *Agent) observe(ctx context.Context) {
	t := time.NewTicker(observeEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			a.observeOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// observeOnce tells of every endpoint that carried something since it was last
// told of.
func (a *Agent) observeOnce(ctx context.Context) {
	chunk := make([]agentapi.Activity, 0, observeChunk)
	flush := func() {
		if len(chunk) == 0 {
			return
		}
		if err := a.opt.Server.Observe(ctx, a.opt.Name, chunk); err != nil && ctx.Err() == nil {
			a.opt.Log.WarnContext(ctx, "telling what endpoints carry", "err", err)
		}
		chunk = chunk[:0]
	}
	for _, p := range a.standing() {
		now, changed := a.activity(ctx, p)
		if !changed {
			continue
		}
		if chunk = append(chunk, now); len(chunk) == observeChunk {
			flush()
		}
	}
	flush()
}

// activity returns what the endpoint of the port carries, and whether the server
// does not know it yet.
func (a *Agent) activity(ctx context.Context, p *port) (agentapi.Activity, bool) {
	a.mu.Lock()
	c, id := p.carried, p.id
	a.mu.Unlock()
	if c.path == nil {
		return agentapi.Activity{}, false
	}
	s, err := c.path.Stats(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.opt.Log.WarnContext(ctx, "reading the counters of an endpoint", "endpoint", id, "err", err)
		}
		return agentapi.Activity{}, false
	}
	if s == c.told {
		return agentapi.Activity{}, false // an idle endpoint costs nothing, here and at the server
	}
	now := agentapi.Activity{
		Endpoint: id, Since: c.since, Flows: s.Flows, Total: s.Total, ToBackend: s.ToBackend, ToClient: s.ToClient,
		Resets: s.Resets, DialErrors: s.DialErrors, Last: s.Last,
	}
	if s.Refused != (engine.Refused{}) {
		now.Refused = map[string]uint64{
			"not_allowed": s.Refused.NotAllowed, "no_backend": s.Refused.NoBackend,
			"over_limit": s.Refused.OverLimit, "dial_error": s.Refused.DialError,
		}
	}
	a.mu.Lock()
	if p.carried.path == c.path {
		p.carried.told = s
	}
	a.mu.Unlock()
	return now, true
}

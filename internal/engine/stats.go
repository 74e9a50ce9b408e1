package engine

import (
	"context"
	"fmt"
	"time"
)

// Stats is what a path has carried since it was opened, by both engines. Every
// number but Flows only grows.
type Stats struct {
	// Flows is the number of flows held now, Total that of all let in.
	Flows int
	Total uint64
	// ToBackend and ToClient are bytes. Those of flows in the kernel include the
	// headers of the packets, which is what the kernel counts.
	ToBackend, ToClient uint64
	Resets, DialErrors  uint64
	// Refused counts connections that were not let in.
	Refused Refused
	// Last is when the path was last seen carrying; zero for never.
	Last time.Time
}

// Refused counts refused connections by reason, as forward.Refused has them.
type Refused struct{ NoBackend, DialError, NotAllowed, OverLimit uint64 }

// Stats returns the counters of both engines.
func (p *Path) Stats(ctx context.Context) (Stats, error) {
	p.mu.Lock()
	user, kernel := p.user, p.kernel
	p.mu.Unlock()
	var s Stats
	if user != nil {
		u := user.Stats()
		s.Flows, s.Total, s.ToBackend, s.ToClient = u.Flows, u.Total, u.BytesToBackend, u.BytesToClient
		s.Resets, s.DialErrors, s.Last = u.Resets, u.DialErrors, u.Last
		s.Refused = Refused(u.Refused)
	}
	if kernel != nil {
		k, err := kernel.Stats(ctx)
		if err != nil {
			return Stats{}, fmt.Errorf("read the kernel's counters: %w", err)
		}
		s.Flows += k.Flows
		s.Total += k.Total
		s.ToBackend += k.BytesToBackend
		s.ToClient += k.BytesToClient
		s.Refused.NotAllowed += k.Refused["not_allowed"]
		s.Refused.OverLimit += k.Refused["over_limit"]
		s.Refused.NoBackend += k.Refused["no_backend"]
	}
	return s, nil
}

// waitEvery is how often Wait asks the kernel whether flows are left; nothing tells
// of their end there.
const waitEvery = 200 * time.Millisecond

// Wait returns when no flow is left or ctx ends. StopNew comes before.
func (p *Path) Wait(ctx context.Context) {
	t := time.NewTicker(waitEvery)
	defer t.Stop()
	for {
		if s, err := p.Stats(ctx); err != nil || s.Flows == 0 {
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

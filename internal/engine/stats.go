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
	// Refused counts connections that were not let in, by reason: not_allowed,
	// no_backend, over_limit, dial_error.
	Refused map[string]uint64
	// Last is when the path was last seen carrying; zero for never.
	Last time.Time
}

// Stats returns the counters of both engines.
func (p *Path) Stats(ctx context.Context) (Stats, error) {
	p.mu.Lock()
	user, kernel := p.user, p.kernel
	p.mu.Unlock()
	s := Stats{Refused: make(map[string]uint64, 4)}
	if user != nil {
		u := user.Stats()
		s.Flows, s.Total, s.ToBackend, s.ToClient = u.Flows, u.Total, u.BytesToBackend, u.BytesToClient
		s.Resets, s.DialErrors, s.Last = u.Resets, u.DialErrors, u.Last
		s.Refused["not_allowed"], s.Refused["no_backend"] = u.Refused.NotAllowed, u.Refused.NoBackend
		s.Refused["over_limit"], s.Refused["dial_error"] = u.Refused.OverLimit, u.Refused.DialError
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
		for reason, n := range k.Refused {
			s.Refused[reason] += n
		}
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

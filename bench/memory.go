package main

import (
	"context"
	"fmt"
	"time"
)

// settleTime is how long a server is left alone before its memory is read: the
// runtime gives back what it does not need within seconds.
const settleTime = 5 * time.Second

// memoryServices times memoryEndpoints is the 10,000 endpoints of the issue.
const (
	memoryServices  = 500
	memoryEndpoints = 20
)

const mib = 1 << 20

// memory measures what 10,000 endpoints cost, pending and with their listeners.
func (b *bench) memory(ctx context.Context) error {
	s, err := b.fresh(ctx, "memory", "")
	if err != nil {
		return err
	}
	defer b.drop(s)
	empty, err := b.resident(ctx, s, "empty table", nil)
	if err != nil {
		return err
	}
	g, err := b.world(s).make(ctx, plan{name: "mem", services: memoryServices, endpoints: memoryEndpoints, vpc: vpcHost, subnet: subnetHost})
	if err != nil {
		return err
	}
	goals := []goal{{Metric: metricValue, Limit: 80, Most: true}}
	if _, err := b.resident(ctx, s, "10,000 pending, just made", goals); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	pending, err := b.resident(ctx, s, "10,000 pending, after a restart", goals)
	if err != nil {
		return err
	}
	if err := b.acceptAll(ctx, s, g); err != nil {
		return err
	}
	if _, err := b.resident(ctx, s, "10,000 accepted and listening, just accepted", goals); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	open, err := b.resident(ctx, s, "10,000 accepted and listening, after a restart", goals)
	if err != nil {
		return err
	}
	n := float64(len(g.endpoints))
	b.number("memory", "per pending endpoint", "KiB", (pending-empty)/n/1024)
	b.number("memory", "per accepted endpoint with its listener", "KiB", (open-empty)/n/1024)
	return nil
}

func (b *bench) acceptAll(ctx context.Context, s *server, g *group) error {
	begin := now()
	err := b.world(s).each(ctx, len(g.endpoints), func(c *conn, i int) error {
		j, err := decision(s.host, g.endpoints[i], true)
		if err != nil {
			return err
		}
		return do(c, j)
	})
	if err != nil {
		return fmt.Errorf("accept all: %w", err)
	}
	b.say("  accepted %d in %.1f s", len(g.endpoints), now().Sub(begin).Seconds())
	return nil
}

// resident adds the memory of the server, after it has settled, and returns it
// in bytes.
func (b *bench) resident(ctx context.Context, s *server, name string, goals []goal) (float64, error) {
	if err := pause(ctx, b.opt.settle); err != nil {
		return 0, err
	}
	rss, peak, err := s.memory()
	if err != nil {
		return 0, err
	}
	r := &row{
		Section: "memory", Name: "RSS, " + name, Store: b.storeName(s), Unit: "MiB", Goals: goals, Rounds: []sample{{Value: rss / mib}},
		Note: fmt.Sprintf("peak %.0f MiB", peak/mib),
	}
	b.add(r)
	b.show(r)
	return rss, b.heap(ctx, s, name)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// renewBatch is how many services one transaction gives a new spec, so that no
// decision waits for a whole reload.
const renewBatch = 256

// SetNetworks replaces the networks and backends, for a reload. What exists keeps
// its address, and is attached as before until its spec changes. Services whose
// backend is another now get a new spec, which is stored when SetNetworks
// returns; flows that are under way to addresses that stay are not touched. After an
// error the networks are those from before, and the same reload can be tried again.
// It is for one caller at a time.
func (p *Plane) SetNetworks(ctx context.Context, n Networks) error {
	// Before the new revisions: who reads a spec with one of them sees n.
	old := p.networks.Swap(&n)
	if err := p.renew(ctx, changedBackends(old, &n)); err != nil {
		p.networks.Store(old)
		return fmt.Errorf("tell agents of new backends: %w", err)
	}
	return nil
}

// changedBackends returns the port ids that stand for something else than before.
func changedBackends(old, now *Networks) map[sallyport.PortID]bool {
	changed := map[sallyport.PortID]bool{}
	for id, b := range now.Backends {
		if was, ok := old.Backends[id]; !ok || !b.same(was) {
			changed[id] = true
		}
	}
	for id := range old.Backends {
		if _, ok := now.Backends[id]; !ok {
			changed[id] = true
		}
	}
	return changed
}

// same reports whether agents are told the same of both.
func (b Backend) same(o Backend) bool {
	return b.VPC == o.VPC && slices.Equal(b.Addresses, o.Addresses) && slices.Equal(b.TLVs, o.TLVs) &&
		cmp.Or(b.Balance, agentapi.BalanceRoundRobin) == cmp.Or(o.Balance, agentapi.BalanceRoundRobin) &&
		(b.Check == nil) == (o.Check == nil) && (b.Check == nil || *b.Check == *o.Check)
}

// renew gives a new spec to the services that forward to one of the port ids.
func (p *Plane) renew(ctx context.Context, ports map[sallyport.PortID]bool) error {
	if len(ports) == 0 {
		return nil
	}
	v, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	var ids []sallyport.ServiceID
	v.ChangesSince(0, func(c sallyport.Change) bool {
		if c.Service != nil && ports[c.Service.PortID] {
			ids = append(ids, c.Service.ID)
		}
		return true
	})
	for batch := range slices.Chunk(ids, renewBatch) {
		err := p.store.Update(ctx, func(tx sallyport.Tx) error {
			for _, id := range batch {
				p.renewService(tx, id, ports)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// renewService gives a service a new spec where an agent carries anything for
// it: what is accepted later gets one of its own.
func (p *Plane) renewService(tx sallyport.Tx, id sallyport.ServiceID, ports map[sallyport.PortID]bool) {
	s, ok := tx.Service(id)
	if !ok || s.ManagedBy != "" || !ports[s.PortID] || admitted(tx, id) == 0 {
		return
	}
	rec := p.record(systemCall("system", "configuration"), serviceTarget(id, "update"), sallyport.OutcomeDone)
	rec.From, rec.To, rec.Detail = "available", "available", "backend="+string(s.PortID)
	next := *s
	next.Rev = tx.Record(rec)
	next.SpecRev = next.Rev // UpdatedAt stays: nothing that clients see has changed
	tx.PutService(&next)
}

package control

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// maxNotes is how many records may wait for the next flush; beyond it a
	// report waits for a place, so that none is dropped.
	maxNotes = 4096
	// notesBatch is how many records one flush stores at most.
	notesBatch = 256
	// notesLinger is how long the first of them waits for company. The decision
	// they prove is durable already; a flush of their own for each would make
	// every reject pay for two.
	notesLinger = 20 * time.Millisecond
	// notesTries is how often a flush is tried, with pauses that double: a database
	// that is away for longer than about a second loses proofs, not decisions.
	notesTries = 6
	// flushWait bounds the last flush when the plane stops.
	flushWait = 5 * time.Second
)

// noteLater stores a record that nobody waits for with the next flush.
func (p *Plane) noteLater(ctx context.Context, r sallyport.Record) {
	select {
	case p.notes <- &r: // also when ctx has ended: what is queued is still flushed
		return
	default:
	}
	select {
	case p.notes <- &r:
	case <-ctx.Done():
	}
}

// maxFollowUp is how many endpoints may wait for a step that follows by itself;
// beyond it the sweep at the next start finds them.
const maxFollowUp = 1 << 16

// confirmLater confirms an endpoint that no agent carries, after the answer to
// its creation has said "creating".
func (p *Plane) confirmLater(ctx context.Context, id sallyport.EndpointID) {
	select {
	case p.followUp <- id:
	default:
		p.opt.Log.WarnContext(ctx, "too many endpoints wait for a follow-up", "endpoint", string(id))
	}
}

// Run carries out what follows by itself until ctx ends; Sweep, before it, what
// an earlier run left. When it returns, no goroutine of the plane is left.
func (p *Plane) Run(ctx context.Context) error {
	var notes sync.WaitGroup
	defer notes.Wait()
	notes.Go(func() { p.keepNotes(ctx) })
	for {
		select {
		case id := <-p.followUp:
			if err := p.settle(ctx, id); err != nil && ctx.Err() == nil {
				p.opt.Log.ErrorContext(ctx, "following up an endpoint", "endpoint", string(id), "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// keepNotes flushes records until ctx ends, and then what is left.
func (p *Plane) keepNotes(ctx context.Context) {
	for {
		select {
		case r := <-p.notes:
			p.flush(ctx, append(make([]*sallyport.Record, 0, notesBatch), r))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWait)
			defer cancel()
			for len(p.notes) > 0 {
				p.flush(last, []*sallyport.Record{<-p.notes})
			}
			return
		}
	}
}

// flush gathers records for the linger and stores them in one update.
func (p *Plane) flush(ctx context.Context, batch []*sallyport.Record) {
	timer := time.NewTimer(notesLinger)
	defer timer.Stop()
	for more := true; more && len(batch) < notesBatch; {
		select {
		case r := <-p.notes:
			batch = append(batch, r)
		case <-timer.C:
			more = false
		case <-ctx.Done():
			more = false
		}
	}
	var err error
	for try := range notesTries {
		err = p.store.Update(context.WithoutCancel(ctx), func(tx sallyport.Tx) error {
			for _, r := range batch {
				tx.Record(*r)
			}
			return nil
		})
		if err == nil {
			return
		}
		timer.Reset(notesLinger << try)
		<-timer.C
	}
	p.opt.Log.ErrorContext(ctx, "storing the proof of cuts", "records", len(batch), "err", err)
}

// Sweep settles what an earlier run left between two steps and no agent will
// ever report on.
func (p *Plane) Sweep(ctx context.Context) error {
	v, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	nets := p.networks.Load()
	var stuck []sallyport.EndpointID
	v.ChangesSince(0, func(c sallyport.Change) bool {
		if e := c.Endpoint; e != nil && p.isStuck(nets, v, e) {
			stuck = append(stuck, e.ID)
		}
		return true
	})
	for _, id := range stuck {
		if err := p.settle(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// isStuck reports whether an endpoint waits for an agent that will never speak of
// it: it is unattached between two steps, or it was carried in a network that
// the configuration has since taken from the agents.
func (p *Plane) isStuck(nets *Networks, v sallyport.View, e *sallyport.Endpoint) bool {
	if e.Unattached {
		return e.Status == sallyport.StatusCreating || e.Status == sallyport.StatusDeleting
	}
	s, ok := v.Service(e.ServiceID)
	return ok && e.Status.Admitted() && p.unattached(nets, s, e.VPCID)
}

// settle takes the step of an endpoint that no agent carries.
func (p *Plane) settle(ctx context.Context, id sallyport.EndpointID) error {
	return p.store.Update(ctx, func(tx sallyport.Tx) error {
		e, ok := tx.Endpoint(id)
		if !ok || !p.isStuck(p.networks.Load(), tx, e) {
			return nil
		}
		switch e.Status {
		case sallyport.StatusAccepted:
			rec := p.record(systemCall("system", "configuration"), endpointTarget(id, e.ServiceID, "detach"), sallyport.OutcomeDone)
			rec.From, rec.To = e.Status.String(), e.Status.String()
			p.detach(tx, e, rec)
		case sallyport.StatusDeleting:
			p.takeReport(tx, "none", agentapi.Report{Endpoint: string(id), Rev: int64(e.SpecRev), State: agentapi.StateClosed})
		default:
			s, _ := tx.Service(e.ServiceID)
			p.takeReport(tx, "none", agentapi.Report{Endpoint: string(id), Rev: int64(specRev(e, s)), State: agentapi.StateUnattached})
		}
		return nil
	})
}

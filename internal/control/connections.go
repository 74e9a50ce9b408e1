package control

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Connections returns one page of the endpoints, of every account, that point
// at the caller's service, and the number of all that match.
func (p *Plane) Connections(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	if _, err := owned(v, c, q.ServiceID); err != nil {
		return nil, 0, err
	}
	q.ProjectID = ""
	page, total := v.Endpoints(q)
	return page, total, nil
}

// Decide accepts or rejects connections of the caller's service, all or none.
//
// A reject returns when no further byte of the connections passes; an accept
// returns when their listeners stand, or after the wait with the status
// "creating". Where a reject is not confirmed within the wait, the decision is
// kept and ReasonUnconfirmed returned; deciding the same again is safe and waits
// again. The same decision twice changes nothing.
func (p *Plane) Decide(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ids []sallyport.EndpointID, a sallyport.Action) ([]*sallyport.Endpoint, error) {
	var (
		out   []*sallyport.Endpoint
		waits []*wait
	)
	t := serviceTarget(id, a.String())
	if len(ids) == 1 {
		t = endpointTarget(ids[0], id, a.String())
	}
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		out, waits = out[:0], waits[:0]
		s, err := owned(tx, c, id)
		if err != nil {
			return err
		}
		steps, err := p.judge(tx, s, ids, a)
		if err != nil {
			return err
		}
		for i := range steps {
			st := &steps[i]
			p.carryOut(tx, c, st, a)
			out = append(out, st.to)
			if !st.to.Unattached {
				waits = append(waits, p.acks.expect(st.to.ID, st.to.SpecRev))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p.confirmDecision(ctx, out, waits, a)
}

// step is one endpoint before and after a decision.
type step struct {
	from, to *sallyport.Endpoint
	changed  bool
}

// judge asks the state machine about every endpoint before anything is written.
func (p *Plane) judge(tx sallyport.Tx, s *sallyport.Service, ids []sallyport.EndpointID, a sallyport.Action) ([]step, error) {
	now := p.now()
	steps := make([]step, 0, len(ids))
	for _, eid := range ids {
		e, ok := tx.Endpoint(eid)
		if !ok || e.ServiceID != s.ID {
			return nil, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonNotConnection,
				"endpoint %s is not a connection of service %s", eid, s.ID)
		}
		next, changed, err := e.Apply(a, now)
		if err != nil {
			return nil, err
		}
		if changed && a == sallyport.ActionAccept {
			// Whether an agent can carry it is asked anew with every accept.
			next.Unattached = p.unattached(p.networks.Load(), s, e.VPCID) && p.quiet(e)
			if next.Unattached {
				next, _, _ = next.Apply(sallyport.ActionConfirm, now)
			}
		}
		steps = append(steps, step{from: e, to: &next, changed: changed})
	}
	return steps, nil
}

// quiet reports whether surely nothing stands for the endpoint. Where an agent
// may still carry it, it has to hear of the accept, or it would never hear of
// the reject before.
func (p *Plane) quiet(e *sallyport.Endpoint) bool {
	if e.Unattached || e.Status == sallyport.StatusPending {
		return true
	}
	a, known := p.acks.latest(e.ID)
	return known && a.state == agentapi.StateClosed && a.rev >= e.SpecRev
}

// carryOut records one step and stores it where it changed something.
func (p *Plane) carryOut(tx sallyport.Tx, c sallyport.Call, st *step, a sallyport.Action) {
	rec := p.record(c, endpointTarget(st.from.ID, st.from.ServiceID, a.String()), outcome(st.changed))
	rec.From, rec.To = st.from.Status.String(), st.to.Status.String()
	if st.to.Unattached {
		rec.Detail = "unattached"
	}
	rev := tx.Record(rec)
	if !st.changed {
		st.to = st.from
		return
	}
	st.to.Rev, st.to.SpecRev = rev, rev
	if a == sallyport.ActionAccept {
		st.to.AdmitRev = rev
	}
	tx.PutEndpoint(st.to)
}

// confirmDecision waits for the data plane and returns the connections as they
// are then.
func (p *Plane) confirmDecision(ctx context.Context, eps []*sallyport.Endpoint, waits []*wait, a sallyport.Action) ([]*sallyport.Endpoint, error) {
	if len(waits) == 0 {
		return eps, nil
	}
	confirmed, err := p.await(ctx, waits...)
	if err != nil {
		return nil, err
	}
	if !confirmed && a == sallyport.ActionReject {
		return nil, p.unconfirmed()
	}
	v, err := p.store.View(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*sallyport.Endpoint, len(eps))
	for i, e := range eps {
		out[i] = e
		if now, ok := v.Endpoint(e.ID); ok && follows(e, now, a) {
			out[i] = now
		}
	}
	return out, nil
}

// follows reports whether now is what became of the decision that left e, and
// not of another decision that came after it.
func follows(e, now *sallyport.Endpoint, a sallyport.Action) bool {
	if a == sallyport.ActionAccept {
		return now.AdmitRev == e.AdmitRev && (now.Status.Admitted() || now.Status == sallyport.StatusFailed)
	}
	return now.SpecRev == e.SpecRev
}

func (p *Plane) unconfirmed() error {
	return sallyport.Refuse(sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed,
		"the change is kept, but the data plane has not confirmed it within %s; repeat the call to wait again",
		p.opt.ConfirmWait)
}

// NoteConnections sets the owner's descriptions of connections, all or none, and
// returns those connections.
func (p *Plane) NoteConnections(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, notes []sallyport.Note) ([]*sallyport.Endpoint, error) {
	var out []*sallyport.Endpoint
	err := p.mutate(ctx, c, serviceTarget(id, "note"), func(tx sallyport.Tx) error {
		out = out[:0]
		if _, err := owned(tx, c, id); err != nil {
			return err
		}
		for _, n := range notes {
			if e, ok := tx.Endpoint(n.Endpoint); !ok || e.ServiceID != id {
				return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonNotConnection,
					"endpoint %s is not a connection of service %s", n.Endpoint, id)
			}
		}
		for _, n := range notes {
			e, _ := tx.Endpoint(n.Endpoint)
			rec := p.record(c, endpointTarget(e.ID, id, "note"), outcome(e.Note != n.Description))
			rec.From, rec.To = e.Status.String(), e.Status.String()
			rev := tx.Record(rec)
			next := *e
			if e.Note != n.Description {
				next.Note, next.UpdatedAt, next.Rev = n.Description, rec.At, rev
				tx.PutEndpoint(&next)
			}
			out = append(out, &next)
		}
		return nil
	})
	return out, err
}

package control_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The data plane does not answer. If this fails, an owner reads "rejected" for a
// connection that may still carry, or the decision is lost with the answer.
func TestUnconfirmedRejectIsKeptAndNoSuccess(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	open := h.spec(e.ID)
	h.report(open, agentapi.StateOpen, "")

	for range 2 { // repeating is safe and waits again
		_, err := r.decide(id, e.ID, sallyport.ActionReject)
		mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
		if got := r.status(e.ID); got != sallyport.StatusRejected {
			t.Fatalf("the endpoint is %s, want the decision kept", got)
		}
	}
	if got := r.last(); got.Action != "reject" || got.Outcome != sallyport.OutcomeUnchanged {
		t.Errorf("the repeated decision is in the log as %+v", got)
	}
	closed := h.spec(e.ID)
	if closed.Open || closed.Rev <= open.Rev {
		t.Errorf("the agent is told %+v after %+v", closed, open)
	}
	// A report about the older spec proves nothing.
	h.report(open, agentapi.StateClosed, "")
	_, err := r.decide(id, e.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)

	h.report(closed, agentapi.StateClosed, "")
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
	until(t, "the cut is in the log", func() bool {
		for _, rec := range r.log() {
			if rec.Action == "cut" && rec.ObjectID == string(e.ID) && rec.UserName == "hand" {
				return true
			}
		}
		return false
	})
}

// An accept that takes longer than the wait. If this fails, an owner reads
// "accepted" before the listener stands, or an error for what is on its way.
func TestUnconfirmedAcceptIsCreating(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	for range 2 {
		r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	}
	if got, _ := r.view().Endpoint(e.ID); got.ShowsAddress() {
		t.Error("the address shows before anybody listens there")
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	if got := r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted); !got.ShowsAddress() {
		t.Error("the address does not show")
	}
	if got := r.last(); got.Action != "accept" || got.From != "accepted" || got.To != "accepted" {
		t.Errorf("the repeated accept is in the log as %+v", got)
	}
}

// If this fails, an answer that comes in time is not waited for, or waits for
// ever, or the caller who hangs up takes the decision along.
func TestDecisionWaitsForTheDataPlane(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	answered := make(chan *sallyport.Endpoint, 1)
	decide := func(a sallyport.Action) {
		go func() {
			list, err := r.plane.Decide(t.Context(), owner(), id, []sallyport.EndpointID{e.ID}, a)
			if err != nil {
				t.Error(err)
				list = []*sallyport.Endpoint{{}}
			}
			answered <- list[0]
		}()
	}
	for _, action := range []sallyport.Action{sallyport.ActionAccept, sallyport.ActionReject} {
		decide(action)
		sp := h.spec(e.ID)
		select {
		case got := <-answered:
			t.Fatalf("%s was answered with %s before the agent said anything", action, got.Status)
		default:
		}
		state, want := agentapi.StateClosed, sallyport.StatusRejected
		if sp.Open {
			state, want = agentapi.StateOpen, sallyport.StatusAccepted
		}
		h.report(sp, state, "")
		if got := <-answered; got.Status != want {
			t.Errorf("%s answers %s, want %s", action, got.Status, want)
		}
	}

	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := r.plane.Decide(ctx, owner(), id, []sallyport.EndpointID{e.ID}, sallyport.ActionAccept)
		left <- err
	}()
	h.spec(e.ID) // so it is decided
	hangUp()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who hung up reads %v", err)
	}
	if got := r.status(e.ID); got != sallyport.StatusCreating {
		t.Errorf("the endpoint is %s, want the decision kept", got)
	}
}

// Every status, with every decision. If this fails, a decision is refused that
// an owner has the right to take, or repeats itself into something else.
func TestDecisionsByStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	// bring makes an endpoint and takes it to a status.
	bring := func(to sallyport.Status) *sallyport.Endpoint {
		e := r.endpoint(id)
		spec := func(a sallyport.Action) agentapi.Spec {
			_, err := r.decide(id, e.ID, a)
			if err != nil && sallyport.KindOf(err) != sallyport.KindUnconfirmed {
				t.Fatal(err)
			}
			return h.spec(e.ID)
		}
		switch to {
		case sallyport.StatusCreating:
			spec(sallyport.ActionAccept)
		case sallyport.StatusAccepted:
			h.report(spec(sallyport.ActionAccept), agentapi.StateOpen, "")
		case sallyport.StatusRejected:
			h.report(spec(sallyport.ActionReject), agentapi.StateClosed, "")
		case sallyport.StatusFailed:
			h.report(spec(sallyport.ActionAccept), agentapi.StateFailed, "the port is taken")
			h.next() // what is left of it shall be closed
		case sallyport.StatusDeleting:
			h.report(spec(sallyport.ActionAccept), agentapi.StateOpen, "")
			if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
				t.Fatal(err)
			}
			h.next()
		default: // it is pending
		}
		if got := r.status(e.ID); got != to {
			t.Fatalf("the endpoint is %s, want %s", got, to)
		}
		return e
	}
	for _, from := range sallyport.Statuses {
		for _, a := range []sallyport.Action{sallyport.ActionAccept, sallyport.ActionReject} {
			t.Run(from.String()+"/"+a.String(), func(t *testing.T) {
				e := bring(from)
				want, possible := sallyport.Next(from, a)
				_, err := r.decide(id, e.ID, a)
				if !possible {
					mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonDeleting)
					want = from
				} else if err != nil && sallyport.KindOf(err) != sallyport.KindUnconfirmed {
					t.Fatal(err)
				}
				if got := r.status(e.ID); got != want {
					t.Errorf("%s in %s leads to %s, want %s", a, from, got, want)
				}
				rec := r.last()
				wantOutcome := sallyport.OutcomeDone
				switch {
				case !possible:
					wantOutcome = sallyport.OutcomeDenied
				case want == from:
					wantOutcome = sallyport.OutcomeUnchanged
				}
				if rec.Action != a.String() || rec.Outcome != wantOutcome {
					t.Errorf("the log has %+v, want %s %s", rec, a, wantOutcome)
				}
				if want != from {
					h.next() // the agent is told, whatever else happens
				}
			})
		}
	}
}

// An owner changes their mind faster than the agent looks. If this fails, the
// agent keeps flows that a reject between two accepts should have cut.
func TestCoalescedDecisionsNameTheNewestAdmission(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	first := h.spec(e.ID)
	h.report(first, agentapi.StateOpen, "")
	_, err := r.decide(id, e.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)

	second := h.spec(e.ID)
	if !second.Open || second.Rev <= first.Rev || second.Admitted <= first.Admitted {
		t.Errorf("the agent is told %+v after %+v, want a newer admission", second, first)
	}
	// The first opening is not what the second accept waits for.
	h.report(first, agentapi.StateOpen, "")
	if got := r.status(e.ID); got != sallyport.StatusCreating {
		t.Errorf("an old report makes it %s", got)
	}
	h.report(second, agentapi.StateOpen, "")
	if got := r.status(e.ID); got != sallyport.StatusAccepted {
		t.Errorf("the endpoint is %s, want accepted", got)
	}
}

// Several connections are decided on together. If this fails, one that is none
// leaves the others half decided.
func TestSeveralAreAllOrNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	id := r.service()
	a, b := r.endpoint(id), r.endpoint(id)
	_, err := r.plane.Decide(t.Context(), owner(), id, []sallyport.EndpointID{a.ID, "none", b.ID}, sallyport.ActionAccept)
	mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonNotConnection)
	if r.status(a.ID) != sallyport.StatusPending || r.status(b.ID) != sallyport.StatusPending {
		t.Error("the refused decision changed something")
	}
	list, err := r.plane.Decide(t.Context(), owner(), id, []sallyport.EndpointID{a.ID, b.ID}, sallyport.ActionAccept)
	if err != nil || len(list) != 2 || list[0].Status != sallyport.StatusAccepted || list[1].Status != sallyport.StatusAccepted {
		t.Errorf("got %v, %v", list, err)
	}
}

// What the agent cannot open. If this fails, nobody learns why, or what is left
// of it stays open.
func TestFailureIsToldAndClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	open := h.spec(e.ID)
	h.report(open, agentapi.StateFailed, "the port is taken")
	got, _ := r.view().Endpoint(e.ID)
	if got.Status != sallyport.StatusFailed || got.Fault == nil || got.Fault.Message != "the port is taken" {
		t.Fatalf("the endpoint is %+v", got)
	}
	if closed := h.spec(e.ID); closed.Open || closed.Rev <= open.Rev {
		t.Errorf("the agent is told %+v, want closed", closed)
	}
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.report(open, agentapi.StateFailed, "late news of the first attempt")
	if got := r.status(e.ID); got != sallyport.StatusCreating {
		t.Errorf("old news make it %s", got)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	if got, _ := r.view().Endpoint(e.ID); got.Status != sallyport.StatusAccepted || got.Fault != nil {
		t.Errorf("the endpoint is %+v, want accepted and without fault", got)
	}
}

// The consumer deletes while the agent is slow. If this fails, a deleted endpoint
// carries, comes back, or stays for ever.
func TestDeletionWaitsForTheDataPlane(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	for range 2 {
		if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
			t.Fatal(err)
		}
		if got := r.status(e.ID); got != sallyport.StatusDeleting {
			t.Fatalf("the endpoint is %s, want deleting until it is closed", got)
		}
	}
	h.report(h.spec(e.ID), agentapi.StateClosed, "")
	if got := r.status(e.ID); got != 0 {
		t.Errorf("the endpoint is %s, want gone", got)
	}
	err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonEndpointNotFound)

	// One that nobody has decided on was never open: it goes at once.
	pending := r.endpoint(id)
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), pending.ID); err != nil || r.status(pending.ID) != 0 {
		t.Errorf("delete of a pending one: %v, it is %s", err, r.status(pending.ID))
	}
}

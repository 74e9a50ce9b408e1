package control_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// open makes an accepted endpoint that the hand carries.
func (h *hand) open(id sallyport.ServiceID) (*sallyport.Endpoint, agentapi.Spec) {
	h.r.t.Helper()
	e := h.r.endpoint(id)
	h.r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	sp := h.spec(e.ID)
	h.report(sp, agentapi.StateOpen, "")
	return e, sp
}

// reject rejects without waiting for the agent, and returns what the agent is told.
func (h *hand) reject(id sallyport.ServiceID, e sallyport.EndpointID) agentapi.Spec {
	h.r.t.Helper()
	_, err := h.r.decide(id, e, sallyport.ActionReject)
	mustRefuse(h.r.t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	return h.spec(e)
}

// cuts returns the details of the proofs of cuts of an endpoint.
func (r *rig) cuts(id sallyport.EndpointID) []string {
	r.t.Helper()
	var out []string
	for _, rec := range r.log() {
		if rec.Action == "cut" && rec.ObjectID == string(id) {
			out = append(out, rec.Detail)
		}
	}
	return out
}

// The gate is closed and a thousand flows are still to be reset. If this fails,
// the owner waits for each of them, or the log has a proof without their number.
func TestGateConfirmsAndTheEndProves(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e, _ := h.open(id)
	sp := h.reject(id, e.ID)

	h.closed(sp, true, 0)
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
	if got, err := r.plane.Enforcement(t.Context(), owner(), e.ID); err != nil || got.State != "closed" || !got.Gated || got.FlowsReset != 0 {
		t.Errorf("with the gate closed: %+v, %v", got, err)
	}
	h.closed(sp, false, 1000)
	h.closed(sp, false, 1000) // told twice
	h.closed(sp, true, 0)     // late
	if got, err := r.plane.Enforcement(t.Context(), owner(), e.ID); err != nil || got.State != "closed" || got.Gated || got.FlowsReset != 1000 {
		t.Errorf("in the end: %+v, %v", got, err)
	}
	// A second reject is written after all that could have come of the first.
	h2, _ := h.open(id)
	last := h.reject(id, h2.ID)
	h.closed(last, false, 3)
	until(t, "the proof of the second is in the log", func() bool { return len(r.cuts(h2.ID)) == 1 })
	want := []string{fmt.Sprintf("state=closed rev=%d flows=1000", sp.Rev)}
	if diff := cmp.Diff(want, r.cuts(e.ID)); diff != "" {
		t.Errorf("proofs (-want +got):\n%s", diff)
	}
}

// The owner accepts and rejects again while flows of the first reject are still
// being reset. If this fails, a reject that was answered has no proof.
func TestProofComesWhateverIsDecidedSince(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e, _ := h.open(id)
	first := h.reject(id, e.ID)
	h.closed(first, true, 0)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	second := h.reject(id, e.ID)
	h.closed(second, true, 0)
	h.closed(first, false, 5)
	if got, err := r.plane.Enforcement(t.Context(), owner(), e.ID); err != nil || int64(got.Revision) != second.Rev || !got.Gated {
		t.Errorf("late news are shown as %+v, %v", got, err)
	}
	h.closed(second, false, 7)
	want := []string{
		fmt.Sprintf("state=closed rev=%d flows=5", first.Rev), fmt.Sprintf("state=closed rev=%d flows=7", second.Rev),
	}
	until(t, "both proofs are in the log", func() bool { return len(r.cuts(e.ID)) == len(want) })
	if diff := cmp.Diff(want, r.cuts(e.ID)); diff != "" {
		t.Errorf("proofs (-want +got):\n%s", diff)
	}
}

// A deleted endpoint whose flows are still held. If this fails, its address goes
// to another endpoint while the old path stands, or the consumer waits for every
// flow.
func TestDeletionIsAnsweredAtTheGateAndDoneAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	accepted := make(chan error, 1)
	go func() {
		_, err := r.plane.Decide(t.Context(), owner(), id, []sallyport.EndpointID{e.ID}, sallyport.ActionAccept)
		accepted <- err
	}()
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID) }()
	sp := h.spec(e.ID)
	select {
	case err := <-deleted:
		t.Fatalf("the deletion was answered with %v before the agent said anything", err)
	default:
	}
	h.closed(sp, true, 0)
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if got := r.status(e.ID); got != sallyport.StatusDeleting {
		t.Errorf("with its flows held, the endpoint is %s", got)
	}
	_, err := r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{
		ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet, Address: e.Address,
	})
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonAddressTaken)
	h.closed(sp, false, 2)
	if got := r.status(e.ID); got != 0 {
		t.Errorf("in the end, the endpoint is %s", got)
	}
	if got := r.last(); got.Action != "remove" || got.Detail != fmt.Sprintf("state=closed rev=%d flows=2", sp.Rev) {
		t.Errorf("the removal is in the log as %+v", got)
	}
	r.endpoint(id, func(n *sallyport.NewEndpoint) { n.Address = e.Address })
}

// If this fails, nobody learns which engine carries a port, or why it is not the
// faster one.
func TestPathsAreShown(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e, sp := h.open(id)
	for _, reason := range []string{"no privileges", ""} { // a later report replaces it
		h.say(agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateOpen, Paths: []agentapi.Path{
			{Client: 80, Engine: agentapi.EngineUser, Reason: reason}, {Protocol: agentapi.UDP, Client: 53, Engine: agentapi.EngineKernel},
		}})
		got, err := r.plane.Enforcement(t.Context(), consumer(), e.ID)
		want := []sallyport.Path{
			{Protocol: "TCP", Client: 80, Engine: "user", Reason: reason}, {Protocol: "UDP", Client: 53, Engine: "kernel"},
		}
		if err != nil || !cmp.Equal(got.Paths, want) {
			t.Errorf("paths %+v, %v, want %+v", got.Paths, err, want)
		}
	}
	h.closed(h.reject(id, e.ID), false, 0)
	if got, err := r.plane.Enforcement(t.Context(), consumer(), e.ID); err != nil || len(got.Paths) != 0 {
		t.Errorf("of a closed one: %+v, %v", got, err)
	}
}

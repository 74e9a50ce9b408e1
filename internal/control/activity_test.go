package control_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// observe tells the activity of endpoints.
func (h *hand) observe(list ...agentapi.Activity) {
	h.r.t.Helper()
	if err := h.r.plane.Agents().Observe(h.r.t.Context(), "hand", list); err != nil {
		h.r.t.Fatal(err)
	}
}

// known returns what the metrics see, by endpoint.
func (r *rig) known() map[sallyport.EndpointID]sallyport.Activity {
	out := map[sallyport.EndpointID]sallyport.Activity{}
	r.plane.EachActivity(func(id sallyport.EndpointID, s sallyport.ServiceID, a sallyport.Activity) {
		if a.Endpoint != id || a.Service != s {
			r.t.Errorf("%+v is told of %s of %s", a, id, s)
		}
		out[id] = a
	})
	return out
}

// What an endpoint carries, as both sides and the metrics see it. If this fails,
// a number is another's, or a flow is shown that was cut.
func TestActivityIsTheNewest(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := newRig(t, control.Options{ConfirmWait: impatience, Now: func() time.Time { return at }})
	h := &hand{r: r}
	id := r.service()
	e, _ := h.open(id)
	quiet := r.endpoint(id)
	since, last := at.Add(-time.Hour), at.Add(-time.Minute)
	h.observe(agentapi.Activity{Endpoint: string(e.ID), Flows: 99, Since: since})
	h.observe(agentapi.Activity{
		Endpoint: string(e.ID), Since: since, Flows: 2, Total: 7, ToBackend: 1 << 40, ToClient: 1 << 41, Resets: 3, DialErrors: 4,
		Refused: map[string]uint64{"not_allowed": 1, "no_backend": 2, "over_limit": 3, "dial_error": 4, "a new one": 5}, Last: last,
	})
	want := sallyport.Activity{
		Endpoint: e.ID, Service: id, ObservedAt: at, Since: since, Flows: 2, Total: 7, ToBackend: 1 << 40, ToClient: 1 << 41, Resets: 3,
		DialErrors: 4, Refused: sallyport.Refusals{NotAllowed: 1, NoBackend: 2, OverLimit: 3, DialError: 4}, Last: last,
	}
	for _, c := range []sallyport.Call{owner(), consumer()} {
		if got, err := r.plane.Activity(t.Context(), c, e.ID); err != nil || got != want {
			t.Errorf("%s sees %+v, %v, want %+v", c.Principal.UserName, got, err, want)
		}
	}
	reasons := map[string]uint64{"not_allowed": 1, "no_backend": 2, "over_limit": 3, "dial_error": 4}
	if got := maps.Collect(want.Refused.All()); !maps.Equal(got, reasons) {
		t.Errorf("refused %v, want %v", got, reasons)
	}
	if got, err := r.plane.Activity(t.Context(), owner(), quiet.ID); err != nil || got != (sallyport.Activity{Endpoint: quiet.ID, Service: id}) {
		t.Errorf("of one that nobody told of: %+v, %v", got, err)
	}
	_, err := r.plane.Activity(t.Context(), call("stranger", "stranger-project", sallyport.RoleAdmin), e.ID)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonEndpointNotFound)
	if got := r.known(); len(got) != 1 || got[e.ID] != want {
		t.Errorf("the metrics see %+v, want %+v", got, want)
	}

	sp := h.reject(id, e.ID)
	for _, step := range []struct {
		gated bool
		flows int
	}{{true, 2}, {false, 0}} {
		h.closed(sp, step.gated, 0)
		want.Flows = step.flows
		if got := r.known(); got[e.ID] != want {
			t.Errorf("closed, gated %v: %+v, want %+v", step.gated, got[e.ID], want)
		}
	}
}

// The page of an owner. If this fails, an owner sees connections of others, or
// not those that the list of connections shows.
func TestConnectionActivity(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	id, other := r.service(), r.service(sallyport.PortMapping{Client: 1, Server: 1, Protocol: "TCP"})
	h := &hand{r: r}
	r.endpoint(other)
	for n := range 3 {
		h.observe(agentapi.Activity{Endpoint: string(r.endpoint(id).ID), Total: uint64(n + 1)})
	}
	for _, page := range []sallyport.Page{{Limit: 10}, {Offset: 1, Limit: 1}, {Offset: 5, Limit: 1}} {
		q := sallyport.EndpointQuery{Page: page, ServiceID: id}
		got, total, err := r.plane.ConnectionActivity(t.Context(), owner(), q)
		list, _, errList := r.plane.Connections(t.Context(), owner(), q)
		if err != nil || errList != nil || total != 3 {
			t.Fatalf("%+v: %d, %v, %v", page, total, err, errList)
		}
		var gotIDs, wantIDs []sallyport.EndpointID
		for _, a := range got {
			gotIDs = append(gotIDs, a.Endpoint)
			if a.Service != id || a.Total == 0 {
				t.Errorf("%+v is among those of %s", a, id)
			}
		}
		for _, e := range list {
			wantIDs = append(wantIDs, e.ID)
		}
		if diff := cmp.Diff(wantIDs, gotIDs); diff != "" {
			t.Errorf("%+v (-connections +activity):\n%s", page, diff)
		}
	}
	_, _, err := r.plane.ConnectionActivity(t.Context(), consumer(), sallyport.EndpointQuery{Page: sallyport.Page{Limit: 1}, ServiceID: id})
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)
}

// If this fails, the memory of a server grows with every endpoint that ever was,
// or metrics go on about what is gone.
func TestActivityGoesWithTheEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	tell := func(id sallyport.EndpointID) {
		t.Helper()
		h.observe(agentapi.Activity{Endpoint: string(id), Total: 1})
	}
	carried, _ := h.open(id)
	pending := r.endpoint(id)
	gate := r.instance(sallyport.InstanceGateway)
	r.permit(gate.ServiceID, "*")
	managed := r.endpoint(gate.ServiceID)
	for _, e := range []sallyport.EndpointID{carried.ID, pending.ID, managed.ID, "unknown"} {
		tell(e)
	}
	want := map[sallyport.EndpointID]bool{carried.ID: true, pending.ID: true, managed.ID: true}
	check := func(after string) {
		t.Helper()
		got := map[sallyport.EndpointID]bool{}
		for id := range r.known() {
			got[id] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("after %s: known are %v, want %v", after, got, want)
		}
	}
	check("telling")
	for _, e := range []sallyport.EndpointID{pending.ID, carried.ID} {
		if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, pending.ID)
	check("the deletion of one that was never open")
	sp := h.spec(carried.ID)
	h.closed(sp, true, 0)
	check("the gate")
	h.closed(sp, false, 0)
	delete(want, carried.ID)
	check("the end")
	tell(carried.ID) // late news
	check("late news")
	if err := r.plane.DeleteInstance(t.Context(), owner(), sallyport.InstanceGateway, gate.ID); err != nil {
		t.Fatal(err)
	}
	delete(want, managed.ID)
	check("the end of a gateway")
}

// The store is away, or an endpoint goes while its activity is being told. If
// this fails, something is kept of an endpoint that may not exist.
func TestActivityOfWhatGoesMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	id := r.service()
	e := r.endpoint(id)
	store := &between{faulty: faulty{Store: r.store}}
	plane := control.New(store, control.Options{Region: "eu-west-101", Networks: networks(), Services: 20, Endpoints: 50})
	w := &rig{t: t, plane: plane, store: r.store}
	list := []agentapi.Activity{{Endpoint: string(e.ID), Total: 1}}
	store.then = func() { store.views.Store(true) }
	if err := plane.Agents().Observe(t.Context(), "hand", list); !errors.Is(err, errDisk) || len(w.known()) != 0 {
		t.Errorf("the store went away: %v, known are %v", err, w.known())
	}
	store.views.Store(false)
	store.then = func() {
		if err := plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
			t.Error(err)
		}
	}
	if err := plane.Agents().Observe(t.Context(), "hand", list); err != nil || len(w.known()) != 0 {
		t.Errorf("the endpoint went: %v, known are %v", err, w.known())
	}
}

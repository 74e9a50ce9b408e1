package control_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const port2 = sallyport.PortID("port-2")

// twoBackends are the usual networks with a second backend.
func twoBackends(change func(*control.Backend)) control.Networks {
	nets := networks()
	nets.Backends[port2] = control.Backend{VPC: hostVPC, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.2")}}
	if change != nil {
		b := nets.Backends[port]
		change(&b)
		nets.Backends[port] = b
	}
	return nets
}

// The operator changes a backend in the file and sends SIGHUP. If this fails,
// endpoints go on to machines that are gone, or those of others are disturbed.
func TestReloadReachesTheEndpointsOfChangedBackends(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience, Networks: twoBackends(nil)})
	h := &hand{r: r}
	id := r.service()
	s2, err := r.plane.CreateService(t.Context(), owner(), sallyport.NewService{
		Name: "other", VPCID: hostVPC, PortID: port2, ServerType: "VM", Approval: true, TCPProxy: sallyport.ProxyPROXY,
		Ports: []sallyport.PortMapping{{Client: 80, Server: 80, Protocol: "TCP"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.permit(s2.ID, "*")
	proxy := sallyport.ProxyPROXY
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{TCPProxy: &proxy}); err != nil {
		t.Fatal(err)
	}
	e, others := r.endpoint(id), r.endpoint(s2.ID)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	r.mustDecide(s2.ID, others.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	r.endpoint(id) // one that nobody has decided on
	rev, changedAt := h.next()[e.ID].Rev, mustService(r, id).UpdatedAt
	check := agentapi.Check{Kind: agentapi.CheckTCP, Interval: time.Second, Timeout: time.Second}
	for _, tt := range []struct {
		name   string
		change func(*control.Backend)
		told   func(agentapi.Spec) bool
	}{
		{"another address", func(b *control.Backend) { b.Addresses = []netip.Addr{netip.MustParseAddr("10.9.0.3")} }, func(s agentapi.Spec) bool {
			return len(s.Backends) == 1 && s.Backends[0] == netip.MustParseAddr("10.9.0.3")
		}},
		{"balance", func(b *control.Backend) { b.Balance = agentapi.BalanceLeastConnections }, func(s agentapi.Spec) bool {
			return s.Balance == agentapi.BalanceLeastConnections
		}},
		{"a check", func(b *control.Backend) { b.Check = &check }, func(s agentapi.Spec) bool { return s.Check != nil && *s.Check == check }},
		{"another check", func(b *control.Backend) {
			c := check
			c.Interval = time.Minute
			b.Check = &c
		}, func(s agentapi.Spec) bool { return s.Check.Interval == time.Minute }},
		{"TLVs", func(b *control.Backend) { b.TLVs = []string{"gcp"} }, func(s agentapi.Spec) bool { return len(s.TLVs) == 1 }},
		{"another network", func(b *control.Backend) { b.VPC = detached }, func(s agentapi.Spec) bool { return s.Backend.Mode == agentapi.AttachNone }},
	} {
		r.reload(twoBackends(tt.change))
		told := h.next()
		got, ok := told[e.ID]
		if !ok || len(told) != 1 || got.Rev <= rev || !tt.told(got) {
			t.Fatalf("%s: told is %+v after revision %d", tt.name, told, rev)
		}
		r.reload(twoBackends(nil))
		rev = h.spec(e.ID).Rev
	}
	if got := mustService(r, id).UpdatedAt; !got.Equal(changedAt) {
		t.Errorf("clients see the service changed at %v, it was at %v", got, changedAt)
	}
}

// If this fails, endpoints go on to a backend that left the file, or are told
// anew of what is as it was.
func TestReloadOfBackendsThatComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience, Networks: twoBackends(nil)})
	h := &hand{r: r}
	e, sp := h.open(r.service())
	gone := twoBackends(nil)
	delete(gone.Backends, port)
	r.reload(gone)
	if got := h.spec(e.ID); len(got.Backends) != 0 || got.Rev <= sp.Rev {
		t.Errorf("after the backend left, told is %+v", got)
	}
	r.reload(twoBackends(nil))
	if got := h.spec(e.ID); len(got.Backends) != 1 {
		t.Errorf("after the backend came back, told is %+v", got)
	}
	before := len(r.log())
	r.reload(twoBackends(func(b *control.Backend) { b.Balance = agentapi.BalanceRoundRobin })) // what it was
	if n := len(r.log()); n != before {
		t.Errorf("a reload that changes nothing leaves %d records", n-before)
	}
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	if d, err := r.plane.Agents().Changes(ctx, "hand", h.since); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told is %+v, %v, want nothing", d, err)
	}
}

// The store is away during a reload. If this fails, the next reload finds nothing
// to do, and agents never hear of what changed.
func TestReloadCanBeRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	store := &faulty{Store: r.store}
	plane := control.New(store, control.Options{Region: "eu-west-101", Networks: networks(), Services: 20, Endpoints: 50})
	h := &hand{r: &rig{t: t, plane: plane, store: r.store}}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	first := h.spec(e.ID)
	nets := twoBackends(func(b *control.Backend) { b.Addresses = []netip.Addr{netip.MustParseAddr("10.9.0.3")} })
	for _, fault := range []func(bool){store.views.Store, store.before.Store} {
		fault(true)
		if err := plane.SetNetworks(t.Context(), nets); !errors.Is(err, errDisk) {
			t.Errorf("the reload ends with %v", err)
		}
		fault(false)
		if d, err := plane.Agents().Changes(t.Context(), "fresh", 0); err != nil || d.Specs[0].Backends[0] != first.Backends[0] {
			t.Errorf("a failed reload is told: %+v, %v", d, err)
		}
	}
	if err := plane.SetNetworks(t.Context(), nets); err != nil {
		t.Fatal(err)
	}
	if got := h.spec(e.ID); got.Rev <= first.Rev || got.Backends[0] != netip.MustParseAddr("10.9.0.3") {
		t.Errorf("told is %+v after %+v", got, first)
	}
}

func mustService(r *rig, id sallyport.ServiceID) *sallyport.Service {
	r.t.Helper()
	s, ok := r.view().Service(id)
	if !ok {
		r.t.Fatalf("service %s is gone", id)
	}
	return s
}

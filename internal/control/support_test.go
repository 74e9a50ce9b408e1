package control_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience bounds every wait for something that must happen.
	patience = 30 * time.Second
	// impatience is the wait for a confirmation in tests where none comes.
	impatience = 20 * time.Millisecond

	ownerDomain    = sallyport.DomainID("owner-domain")
	consumerDomain = sallyport.DomainID("consumer-domain")
	ownerProject   = sallyport.ProjectID("owner-project")
	consumerOwn    = sallyport.ProjectID("consumer-project")

	hostVPC    = sallyport.VPCID("vpc-host")
	detached   = sallyport.VPCID("vpc-none")
	hostSubnet = sallyport.SubnetID("subnet-host")
	noneSubnet = sallyport.SubnetID("subnet-none")
	port       = sallyport.PortID("port-1")
)

// networks are those of most tests: one network on the host, one that no agent
// carries, one backend.
func networks() control.Networks {
	return control.Networks{
		AllowUnknown: true,
		VPCs: map[sallyport.VPCID]control.VPC{
			hostVPC: {
				Attach:  agentapi.Attach{Mode: agentapi.AttachHost},
				Subnets: map[sallyport.SubnetID]netip.Prefix{hostSubnet: netip.MustParsePrefix("10.1.0.0/24")},
			},
			detached: {
				Attach:  agentapi.Attach{Mode: agentapi.AttachNone},
				Subnets: map[sallyport.SubnetID]netip.Prefix{noneSubnet: netip.MustParsePrefix("10.2.0.0/24")},
			},
		},
		Backends: map[sallyport.PortID]control.Backend{port: {VPC: hostVPC, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}},
	}
}

// rig is a plane on a store of its own, with nobody at the data plane yet.
type rig struct {
	t     *testing.T
	plane *control.Plane
	store *sqlstore.Store
}

// newRig returns a running plane. A wait of 0 is the patience.
func newRig(t *testing.T, opt control.Options) *rig {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	opt.Region = "eu-west-101"
	if opt.Networks.VPCs == nil {
		opt.Networks = networks()
	}
	if opt.Services == 0 {
		opt.Services, opt.Endpoints = 20, 50
	}
	if opt.ConfirmWait == 0 {
		opt.ConfirmWait = patience
	}
	r := &rig{t: t, store: store, plane: control.New(store, opt)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.plane.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

var requests atomic.Int64

// call returns a call of a user with these roles.
func call(d sallyport.DomainID, p sallyport.ProjectID, roles ...sallyport.Role) sallyport.Call {
	return sallyport.Call{
		Principal: sallyport.Principal{
			DomainID: d, UserID: "user-of-" + sallyport.UserID(d), UserName: "user of " + string(d),
			ProjectID: p, Roles: roles, Method: sallyport.MethodToken,
		},
		Project: p, Family: "vpcep", Operation: "Test", Source: "192.0.2.1", RequestID: fmt.Sprintf("request-%d", requests.Add(1)),
	}
}

func owner() sallyport.Call    { return call(ownerDomain, ownerProject, sallyport.RoleAdmin) }
func consumer() sallyport.Call { return call(consumerDomain, consumerOwn, sallyport.RoleAdmin) }

// reload gives the plane the networks of a new configuration.
func (r *rig) reload(n control.Networks) {
	r.t.Helper()
	if err := r.plane.SetNetworks(r.t.Context(), n); err != nil {
		r.t.Fatal(err)
	}
}

// view returns the state.
func (r *rig) view() sallyport.View {
	r.t.Helper()
	v, err := r.store.View(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// status returns the status of an endpoint, 0 where it is gone.
func (r *rig) status(id sallyport.EndpointID) sallyport.Status {
	r.t.Helper()
	e, ok := r.view().Endpoint(id)
	if !ok {
		return 0
	}
	return e.Status
}

// log returns the whole audit log.
func (r *rig) log() []sallyport.Record {
	r.t.Helper()
	list, err := r.store.Audit(r.t.Context(), 0, sallyport.MaxPage)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// last returns the newest record of the log.
func (r *rig) last() sallyport.Record {
	r.t.Helper()
	list := r.log()
	return list[len(list)-1]
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("this never happened: %s", what)
		}
	}
}

// service makes a service with approval that lets the consumer in.
func (r *rig) service(ports ...sallyport.PortMapping) sallyport.ServiceID {
	r.t.Helper()
	if len(ports) == 0 {
		ports = []sallyport.PortMapping{{Client: 80, Server: 8080, Protocol: "TCP"}}
	}
	s, err := r.plane.CreateService(r.t.Context(), owner(), sallyport.NewService{
		Name: "web", VPCID: hostVPC, PortID: port, ServerType: "VM", Approval: true, Ports: ports, TCPProxy: sallyport.ProxyClose,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.permit(s.ID, "iam:domain::"+string(consumerDomain))
	return s.ID
}

// permit adds a whitelist record.
func (r *rig) permit(id sallyport.ServiceID, value string) {
	r.t.Helper()
	_, err := r.plane.ChangePermissions(r.t.Context(), owner(), id, sallyport.PermissionChange{
		Add: []sallyport.NewPermission{{Value: value, Type: sallyport.PermissionDomain}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// endpoint makes an endpoint of the consumer.
func (r *rig) endpoint(id sallyport.ServiceID, change ...func(*sallyport.NewEndpoint)) *sallyport.Endpoint {
	r.t.Helper()
	n := sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet}
	for _, f := range change {
		f(&n)
	}
	e, err := r.plane.CreateEndpoint(r.t.Context(), consumer(), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return e.Endpoint
}

// decide decides as the owner.
func (r *rig) decide(id sallyport.ServiceID, e sallyport.EndpointID, a sallyport.Action) (*sallyport.Endpoint, error) {
	r.t.Helper()
	list, err := r.plane.Decide(r.t.Context(), owner(), id, []sallyport.EndpointID{e}, a)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 || list[0].ID != e {
		r.t.Fatalf("%s answers %v", a, list)
	}
	return list[0], nil
}

// mustDecide decides and wants a status.
func (r *rig) mustDecide(id sallyport.ServiceID, e sallyport.EndpointID, a sallyport.Action, want sallyport.Status) *sallyport.Endpoint {
	r.t.Helper()
	got, err := r.decide(id, e, a)
	if err != nil {
		r.t.Fatalf("%s: %v", a, err)
	}
	if got.Status != want {
		r.t.Fatalf("%s answers %s, want %s", a, got.Status, want)
	}
	return got
}

// mustRefuse wants a refusal by this rule.
func mustRefuse(t *testing.T, err error, kind sallyport.Kind, reason sallyport.Reason) {
	t.Helper()
	if err == nil || sallyport.KindOf(err) != kind || sallyport.ReasonOf(err) != reason {
		t.Errorf("got %v (%s, %q), want %s, %q", err, sallyport.KindOf(err), sallyport.ReasonOf(err), kind, reason)
	}
}

// hand is an agent that does only what the test says.
type hand struct {
	r     *rig
	since int64
}

// next returns the specs of the next change, by endpoint.
func (h *hand) next() map[sallyport.EndpointID]agentapi.Spec {
	h.r.t.Helper()
	ctx, cancel := context.WithTimeout(h.r.t.Context(), patience)
	defer cancel()
	d, err := h.r.plane.Agents().Changes(ctx, "hand", h.since)
	if err != nil {
		h.r.t.Fatalf("changes since %d: %v", h.since, err)
	}
	h.since = d.Rev
	out := map[sallyport.EndpointID]agentapi.Spec{}
	for _, s := range d.Specs {
		out[sallyport.EndpointID(s.Endpoint)] = s
	}
	return out
}

// spec waits for the next spec of an endpoint.
func (h *hand) spec(id sallyport.EndpointID) agentapi.Spec {
	h.r.t.Helper()
	for {
		if sp, ok := h.next()[id]; ok {
			return sp
		}
	}
}

// report says what became of a spec.
func (h *hand) report(sp agentapi.Spec, state agentapi.State, message string) {
	h.r.t.Helper()
	h.say(agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: state, Message: message})
}

// closed says that a spec is closed: gated first, then finally, with the number
// of flows that were reset.
func (h *hand) closed(sp agentapi.Spec, gated bool, flows int) {
	h.r.t.Helper()
	h.say(agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateClosed, Gated: gated, Flows: flows})
}

func (h *hand) say(r agentapi.Report) {
	h.r.t.Helper()
	if err := h.r.plane.Agents().Report(h.r.t.Context(), "hand", []agentapi.Report{r}); err != nil {
		h.r.t.Fatal(err)
	}
}

// obey carries every spec out, in words only, until the test ends.
func (r *rig) obey() {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		var since int64
		for {
			d, err := r.plane.Agents().Changes(ctx, "obedient", since)
			if err != nil {
				return
			}
			since = d.Rev
			var results []agentapi.Report
			for _, s := range d.Specs {
				state := agentapi.StateClosed
				if s.Open {
					state = agentapi.StateOpen
				}
				results = append(results, agentapi.Report{Endpoint: s.Endpoint, Rev: s.Rev, State: state})
			}
			if err := r.plane.Agents().Report(ctx, "obedient", results); err != nil && ctx.Err() == nil {
				r.t.Errorf("report: %v", err)
			}
		}
	})
	r.t.Cleanup(func() { stop(); all.Wait() })
}

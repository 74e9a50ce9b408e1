package control_test

import (
	"fmt"
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// A service goes only when nothing of it is admitted; what still points at it
// can tell its name, and can never be accepted again. If this fails, a consumer's
// open connection loses its service, or an owner cannot get rid of one.
func TestServiceDeletion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from    sallyport.Status
		blocked bool
	}{
		{sallyport.StatusPending, false},
		{sallyport.StatusCreating, true},
		{sallyport.StatusAccepted, true},
		{sallyport.StatusRejected, false},
		{sallyport.StatusFailed, false},
	} {
		t.Run(tt.from.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, control.Options{ConfirmWait: impatience})
			h := &hand{r: r}
			id := r.service()
			e := r.endpoint(id)
			switch tt.from {
			case sallyport.StatusCreating, sallyport.StatusAccepted, sallyport.StatusFailed:
				r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
				if state, ok := map[sallyport.Status]agentapi.State{
					sallyport.StatusAccepted: agentapi.StateOpen, sallyport.StatusFailed: agentapi.StateFailed,
				}[tt.from]; ok {
					h.report(h.spec(e.ID), state, "why")
				}
			case sallyport.StatusRejected:
				_, _ = r.decide(id, e.ID, sallyport.ActionReject) // nobody confirms
			default: // it is pending
			}
			if got := r.status(e.ID); got != tt.from {
				t.Fatalf("the endpoint is %s", got)
			}
			err := r.plane.DeleteService(t.Context(), owner(), id)
			if tt.blocked {
				mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonServiceInUse)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkTombstone(r, h, id, e.ID)
		})
	}
}

// checkTombstone checks a deleted service that an endpoint still points at.
func checkTombstone(r *rig, h *hand, id sallyport.ServiceID, e sallyport.EndpointID) {
	t := r.t
	t.Helper()
	seen, err := r.plane.Endpoint(t.Context(), consumer(), e)
	if err != nil || seen.Service == nil || seen.Service.FullName() != "eu-west-101.web."+string(id) {
		t.Errorf("the endpoint shows %+v, %v, want the name of its service", seen.Service, err)
	}
	_, err = r.plane.Service(t.Context(), owner(), id)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)
	_, err = r.plane.Describe(t.Context(), consumer(), id, "")
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)
	_, err = r.decide(id, e, sallyport.ActionAccept)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)
	_, err = r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet})
	mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonServiceUnknown)
	if services, _ := r.view().Usage(ownerProject); services != 0 {
		t.Errorf("the deleted service still counts: %d", services)
	}
	// Its backend port is free for another.
	next := r.service()
	if err := r.plane.DeleteService(t.Context(), owner(), next); err != nil {
		t.Error(err)
	}
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e); err != nil {
		t.Fatal(err)
	}
	if r.status(e) == sallyport.StatusDeleting {
		h.report(func() agentapi.Spec {
			for {
				if sp := h.spec(e); sp.Rev == int64(mustEndpoint(r, e).SpecRev) {
					return sp
				}
			}
		}(), agentapi.StateClosed, "")
	}
	if _, there := r.view().Service(id); there || r.status(e) != 0 {
		t.Errorf("the tombstone outlives its last endpoint (%v, %s)", there, r.status(e))
	}
}

func mustEndpoint(r *rig, id sallyport.EndpointID) *sallyport.Endpoint {
	r.t.Helper()
	e, ok := r.view().Endpoint(id)
	if !ok {
		r.t.Fatalf("endpoint %s is gone", id)
	}
	return e
}

// Switching approval. If this fails, a connection that waited for its owner opens
// because of a setting, or one that was accepted waits again.
func TestToggleApprovalKeepsStates(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	id := r.service()
	accepted, pending := r.endpoint(id), r.endpoint(id)
	r.mustDecide(id, accepted.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	set := func(approval bool) {
		t.Helper()
		if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{Approval: &approval}); err != nil {
			t.Fatal(err)
		}
	}
	set(false)
	byItself := r.endpoint(id)
	if byItself.Status != sallyport.StatusCreating {
		t.Errorf("without approval a new endpoint is %s", byItself.Status)
	}
	until(t, "it is accepted by itself", func() bool { return r.status(byItself.ID) == sallyport.StatusAccepted })
	set(true)
	if got := r.endpoint(id); got.Status != sallyport.StatusPending {
		t.Errorf("with approval a new endpoint is %s", got.Status)
	}
	for e, want := range map[*sallyport.Endpoint]sallyport.Status{accepted: sallyport.StatusAccepted, pending: sallyport.StatusPending, byItself: sallyport.StatusAccepted} {
		if got := r.status(e.ID); got != want {
			t.Errorf("endpoint %s is %s, want %s as before", e.ID, got, want)
		}
	}
}

// Who may create endpoints. If this fails, the whitelist lets in whom it does not
// name, or keeps out whom it does.
func TestWhitelistSemantics(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value string
		kind  sallyport.PermissionType
		admit map[sallyport.DomainID]bool
	}{
		{"", "", map[sallyport.DomainID]bool{ownerDomain: true, "a": false}},
		{"iam:domain::a", sallyport.PermissionDomain, map[sallyport.DomainID]bool{ownerDomain: true, "a": true, "b": false, "A": false, "aa": false}},
		{"iam:domain::*", sallyport.PermissionDomain, map[sallyport.DomainID]bool{"a": true, "b": true}},
		{"*", sallyport.PermissionDomain, map[sallyport.DomainID]bool{"a": true, "b": true}},
		{"iam:domain::a*", sallyport.PermissionDomain, map[sallyport.DomainID]bool{"a": false, "ab": false}},
		{"organizations:orgPath::*", sallyport.PermissionPath, map[sallyport.DomainID]bool{ownerDomain: true, "a": false}},
		{"organizations:orgPath::o/r/a", sallyport.PermissionPath, map[sallyport.DomainID]bool{"a": false, "o/r/a": false}},
	} {
		t.Run(tt.value, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, control.Options{})
			s, err := r.plane.CreateService(t.Context(), owner(), sallyport.NewService{
				VPCID: hostVPC, PortID: port, Approval: true, Ports: []sallyport.PortMapping{{Client: 1, Server: 1, Protocol: "TCP"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.value != "" {
				_, err := r.plane.ChangePermissions(t.Context(), owner(), s.ID, sallyport.PermissionChange{
					Add: []sallyport.NewPermission{{Value: tt.value, Type: tt.kind}},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for d, want := range tt.admit {
				e, err := r.plane.CreateEndpoint(t.Context(), call(d, sallyport.ProjectID("project-of-"+d), sallyport.RoleAdmin),
					sallyport.NewEndpoint{ServiceID: s.ID, VPCID: hostVPC, SubnetID: hostSubnet})
				if !want {
					mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonNotWhitelisted)
				} else if err != nil || e.Status != sallyport.StatusPending { // approval holds for everyone
					t.Errorf("%s: %+v, %v", d, e.Endpoint, err)
				}
			}
		})
	}
}

// If this fails, taking an account off the whitelist cuts connections that the
// owner has accepted, or leaves the account in.
func TestRemovedPermissionKeepsEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	forbid := sallyport.PermissionChange{RemoveValues: []string{"iam:domain::" + string(consumerDomain)}}
	for range 2 { // removing what is not there changes nothing
		list, err := r.plane.ChangePermissions(t.Context(), owner(), id, forbid)
		if err != nil || len(list) != 0 {
			t.Fatalf("left are %v, %v", list, err)
		}
	}
	if got := r.last(); got.Action != "forbid" || got.Outcome != sallyport.OutcomeUnchanged {
		t.Errorf("the log has %+v", got)
	}
	if got := r.status(e.ID); got != sallyport.StatusAccepted {
		t.Errorf("the endpoint is %s, want accepted still", got)
	}
	_, err := r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet})
	mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonNotWhitelisted)
}

// If this fails, clients that look for what they added at the head of the list
// do not find it, or a service's whitelist grows without bound.
func TestPermissionsNewestFirstAndBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	id := r.service()
	add := func(values ...string) []*sallyport.Permission {
		t.Helper()
		var ch sallyport.PermissionChange
		for _, v := range values {
			ch.Add = append(ch.Add, sallyport.NewPermission{Value: v, Type: sallyport.PermissionDomain})
		}
		list, err := r.plane.ChangePermissions(t.Context(), owner(), id, ch)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	list := add("iam:domain::x", "iam:domain::y", "iam:domain::x")
	if len(list) != 3 || list[0].Value != "iam:domain::x" || list[1].Value != "iam:domain::y" {
		t.Errorf("the list begins with %v", list)
	}
	id0 := list[0].ID
	if again := add("iam:domain::x"); len(again) != 3 || again[0].ID != id0 {
		t.Errorf("adding what is there makes %v", again)
	}
	var ch sallyport.PermissionChange
	for n := range 498 {
		ch.Add = append(ch.Add, sallyport.NewPermission{Value: fmt.Sprintf("iam:domain::%d", n), Type: sallyport.PermissionDomain})
	}
	_, err := r.plane.ChangePermissions(t.Context(), owner(), id, ch)
	mustRefuse(t, err, sallyport.KindQuota, sallyport.ReasonPermissionsFull)
	ch.Add = ch.Add[1:]
	if list, err := r.plane.ChangePermissions(t.Context(), owner(), id, ch); err != nil || len(list) != 500 {
		t.Errorf("the whitelist has %d records, %v, want 500", len(list), err)
	}
}

// The operator's own services. If this fails, they are lost at a reload, can be
// changed by an account, or are taken away from under their users.
func TestPublicServices(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	dns := control.PublicService{
		ID: "public-dns", Name: "com.example.dns", Owner: "operator", Kind: sallyport.KindInterface, VPCID: hostVPC, PortID: port,
		Ports: []sallyport.PortMapping{{Client: 53, Server: 53, Protocol: "TCP"}},
	}
	storage := control.PublicService{ID: "public-obs", Name: "com.example.obs", Owner: "operator", Kind: sallyport.KindGateway}
	sync := func(want ...control.PublicService) {
		t.Helper()
		if err := r.plane.SyncPublicServices(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (out []string) {
		t.Helper()
		list, _, err := r.plane.Services(t.Context(), consumer(), sallyport.ServiceQuery{Public: true, Page: sallyport.Page{Limit: 10, Ascending: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			out = append(out, s.FullName())
		}
		return out
	}
	sync(dns, storage)
	before := len(r.log())
	sync(dns, storage)
	if len(r.log()) != before {
		t.Errorf("the same again is in the log: %+v", r.log()[before:])
	}
	if got := names(); len(got) != 2 {
		t.Errorf("public are %v", got)
	}
	for _, name := range []string{"com.example.dns", "com.example.obs"} {
		if _, err := r.plane.Describe(t.Context(), consumer(), "", name); err != nil {
			t.Errorf("describe %s: %v", name, err)
		}
	}
	// Everyone may use it, no account owns it.
	e := r.endpoint("public-dns")
	until(t, "the endpoint is accepted", func() bool { return r.status(e.ID) == sallyport.StatusAccepted })
	route := r.endpoint("public-obs", func(n *sallyport.NewEndpoint) { n.SubnetID = "" })
	until(t, "the gateway endpoint is accepted", func() bool { return r.status(route.ID) == sallyport.StatusAccepted })
	err := r.plane.DeleteService(t.Context(), owner(), "public-dns")
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)

	sync(storage) // the other one is in use
	if got := names(); len(got) != 2 {
		t.Errorf("public are %v, want both, as one is used", got)
	}
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
		t.Fatal(err)
	}
	until(t, "the endpoint is gone", func() bool { return r.status(e.ID) == 0 })
	sync(storage)
	if got := names(); !equal(got, []string{"com.example.obs"}) {
		t.Errorf("public are %v", got)
	}
	mine := r.service()
	if err := r.plane.SyncPublicServices(t.Context(), []control.PublicService{{ID: mine, Name: "com.example.theft"}}); err == nil {
		t.Error("the operator took an account's service over")
	}
}

// If this fails, two services forward to one port of a backend, or a service
// cannot change its own.
func TestBackendPortsBelongToOneService(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	first := r.service()
	_, err := r.plane.CreateService(t.Context(), owner(), sallyport.NewService{
		VPCID: hostVPC, PortID: port, Ports: []sallyport.PortMapping{{Client: 99, Server: 8080, Protocol: "TCP"}},
	})
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonPortsConflict)
	second := r.service(sallyport.PortMapping{Client: 80, Server: 8081, Protocol: "TCP"})
	ports := []sallyport.PortMapping{{Client: 80, Server: 8080, Protocol: "TCP"}}
	_, err = r.plane.UpdateService(t.Context(), owner(), second, sallyport.ServiceChange{Ports: &ports})
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonPortsConflict)
	ports = append(ports, sallyport.PortMapping{Client: 443, Server: 8443, Protocol: "TCP"})
	if _, err := r.plane.UpdateService(t.Context(), owner(), first, sallyport.ServiceChange{Ports: &ports}); err != nil {
		t.Error(err)
	}
	// A port of UDP is another one.
	ports = []sallyport.PortMapping{{Client: 80, Server: 8080, Protocol: "UDP"}}
	if _, err := r.plane.UpdateService(t.Context(), owner(), second, sallyport.ServiceChange{Ports: &ports}); err != nil {
		t.Error(err)
	}
	_, err = r.plane.UpdateService(t.Context(), owner(), first, sallyport.ServiceChange{Ports: &ports})
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonPortsConflict)
}

// If this fails, a project makes more than it may, or a refused request counts.
func TestQuotasCountWhatExists(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{Services: 1, Endpoints: 1})
	id := r.service()
	_, err := r.plane.CreateService(t.Context(), owner(), sallyport.NewService{
		VPCID: hostVPC, PortID: port, Ports: []sallyport.PortMapping{{Client: 1, Server: 1, Protocol: "TCP"}},
	})
	mustRefuse(t, err, sallyport.KindQuota, sallyport.ReasonQuota)
	e := r.endpoint(id)
	again := sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet}
	_, err = r.plane.CreateEndpoint(t.Context(), consumer(), again)
	mustRefuse(t, err, sallyport.KindQuota, sallyport.ReasonQuota)
	got, err := r.plane.Quotas(t.Context(), consumer())
	if want := (sallyport.Quotas{Services: sallyport.Quota{Limit: 1}, Endpoints: sallyport.Quota{Used: 1, Limit: 1}}); err != nil || got != want {
		t.Errorf("quotas %+v, %v, want %+v", got, err, want)
	}
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.plane.CreateEndpoint(t.Context(), consumer(), again); err != nil {
		t.Error(err)
	}
}

package control_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// What an agent is told of an open endpoint. If this fails, it listens at the
// wrong place, leads to the wrong backend or lets the wrong sources in.
func TestSpecSaysEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service(sallyport.PortMapping{Client: 80, Server: 8080, Protocol: "TCP"}, sallyport.PortMapping{Client: 443, Server: 8443, Protocol: "TCP"})
	proxy := sallyport.ProxyPROXY
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{TCPProxy: &proxy}); err != nil {
		t.Fatal(err)
	}
	e := r.endpoint(id, func(n *sallyport.NewEndpoint) {
		n.EnableWhitelist, n.Whitelist = true, []string{"192.0.2.7", "198.51.100.9/24"}
		n.Address = netip.MustParseAddr("10.1.0.77")
	})
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	got := h.spec(e.ID)
	now := mustEndpoint(r, e.ID)
	want := agentapi.Spec{
		Endpoint: string(e.ID), Rev: int64(now.SpecRev), Open: true, Admitted: int64(now.AdmitRev),
		Attach: agentapi.Attach{Mode: agentapi.AttachHost}, Address: netip.MustParseAddr("10.1.0.77"),
		Mappings: []agentapi.Mapping{{Client: 80, Server: 8080}, {Client: 443, Server: 8443}},
		Backend:  agentapi.Attach{Mode: agentapi.AttachHost}, Backends: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
		Proxy: true, Marker: int32(now.Marker), Filter: true,
		AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24")},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// An agent that starts from nothing. If this fails, it carries what it must not,
// or leaves out what it must.
func TestFullDeltaIsWhatTheStoreSays(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	id := r.service()
	accepted, rejected, pending := r.endpoint(id), r.endpoint(id), r.endpoint(id)
	nowhere := r.endpoint(id, func(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = detached, noneSubnet })
	r.mustDecide(id, accepted.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	r.mustDecide(id, rejected.ID, sallyport.ActionReject, sallyport.StatusRejected)
	r.mustDecide(id, nowhere.ID, sallyport.ActionAccept, sallyport.StatusAccepted)

	d, err := r.plane.Agents().Changes(t.Context(), "fresh", 0)
	if err != nil || !d.Full || d.Rev != int64(r.view().Revision()) {
		t.Fatalf("%+v, %v, want a full delta at the present revision", d, err)
	}
	open := map[sallyport.EndpointID]bool{}
	for _, s := range d.Specs {
		open[sallyport.EndpointID(s.Endpoint)] = s.Open
	}
	if want := (map[sallyport.EndpointID]bool{accepted.ID: true, rejected.ID: false}); !cmp.Equal(open, want) {
		t.Errorf("told are %v, want %v (pending is %s, nowhere %s)", open, want, pending.ID, nowhere.ID)
	}
}

// An agent of a server that has never been used. If this fails, the server waits
// for the agent before it serves, and the agent for the first change.
func TestFirstDeltaComesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	if got := h.next(); len(got) != 0 || h.since != 0 {
		t.Fatalf("told are %v at revision %d of nothing", got, h.since)
	}
	h.since = 1 // 0 would ask for everything again; no endpoint is the first change
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	if d, err := r.plane.Agents().Changes(ctx, "hand", h.since); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told is %+v, %v, want nothing", d, err)
	}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	if sp := h.spec(e.ID); !sp.Open {
		t.Errorf("told is %+v", sp)
	}
}

// A service's new ports. If this fails, endpoints that are open go on with the
// old ones, or those that are closed open.
func TestServiceUpdateReachesAdmittedEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	open, closed := r.endpoint(id), r.endpoint(id)
	r.mustDecide(id, open.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	first := h.spec(open.ID)
	h.report(first, agentapi.StateOpen, "")
	_, _ = r.decide(id, closed.ID, sallyport.ActionReject) // nobody confirms
	h.spec(closed.ID)
	ports := []sallyport.PortMapping{{Client: 8, Server: 9, Protocol: "TCP"}}
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{Ports: &ports}); err != nil {
		t.Fatal(err)
	}
	told := h.next()
	got, there := told[open.ID]
	if len(told) != 1 || !there || got.Rev <= first.Rev || got.Admitted != first.Admitted || !cmp.Equal(got.Mappings, []agentapi.Mapping{{Client: 8, Server: 9}}) {
		t.Errorf("told is %+v after %+v", told, first)
	}
	// A description is nothing to agents.
	text := "other words"
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{Description: &text}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	if d, err := r.plane.Agents().Changes(ctx, "hand", h.since); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told is %+v, %v, want nothing", d, err)
	}
}

// A network that no agent carries. If this fails, its endpoints wait for nobody.
func TestDetachedNetworkNeedsNoAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{}) // nobody would confirm within the patience
	id := r.service()
	e := r.endpoint(id, func(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = detached, noneSubnet })
	for range 2 {
		got := r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
		if !got.Unattached {
			t.Error("it is not called unattached")
		}
		r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
	}
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	if got, err := r.plane.Enforcement(t.Context(), consumer(), e.ID); err != nil || got.State != "unattached" {
		t.Errorf("%+v, %v, want unattached", got, err)
	}
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil || r.status(e.ID) != 0 {
		t.Errorf("delete: %v, it is %s", err, r.status(e.ID))
	}
	off := false
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{Approval: &off}); err != nil {
		t.Fatal(err)
	}
	e = r.endpoint(id, func(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = detached, noneSubnet })
	if e.Status != sallyport.StatusCreating {
		t.Errorf("the answer to create says %s, want creating", e.Status)
	}
	until(t, "it is accepted by itself", func() bool { return r.status(e.ID) == sallyport.StatusAccepted })
}

// The operator takes a network away from the agent, and gives one to it, while
// endpoints in it are accepted. If this fails, a reject is answered although the
// agent still carries, or waits for an agent that was never told.
func TestRejectCutsAfterNetworksWereReloaded(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	carried := r.endpoint(id)
	r.mustDecide(id, carried.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.report(h.spec(carried.ID), agentapi.StateOpen, "")
	nowhere := r.endpoint(id, func(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = detached, noneSubnet })
	r.mustDecide(id, nowhere.ID, sallyport.ActionAccept, sallyport.StatusAccepted)

	swapped := networks()
	host, none := swapped.VPCs[hostVPC], swapped.VPCs[detached]
	host.Attach, none.Attach = none.Attach, host.Attach
	swapped.VPCs = map[sallyport.VPCID]control.VPC{hostVPC: host, detached: none}
	r.plane.SetNetworks(swapped)

	_, err := r.decide(id, carried.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	closed := h.spec(carried.ID)
	if closed.Open {
		t.Fatalf("the agent is told %+v", closed)
	}
	h.report(closed, agentapi.StateClosed, "")
	r.mustDecide(id, carried.ID, sallyport.ActionReject, sallyport.StatusRejected)

	// Nobody opened the other one, whatever the agent was told since.
	ports := []sallyport.PortMapping{{Client: 8, Server: 9, Protocol: "TCP"}}
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{Ports: &ports}); err != nil {
		t.Fatal(err)
	}
	d, err := r.plane.Agents().Changes(t.Context(), "fresh", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Specs {
		if s.Endpoint == string(nowhere.ID) && s.Open {
			t.Errorf("the agent opens %+v, and a reject would not wait for it", s)
		}
	}
	r.mustDecide(id, nowhere.ID, sallyport.ActionReject, sallyport.StatusRejected)
	// From the next accept on it is carried.
	r.mustDecide(id, nowhere.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	if sp := h.spec(nowhere.ID); !sp.Open {
		t.Errorf("the agent is told %+v, want open", sp)
	}
}

// The address is not one of the machine, and nobody insists on it. If this fails,
// stock requests for addresses of the vendor's examples end as failed.
func TestUnattachedAddressIsAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id, func(n *sallyport.NewEndpoint) {
		n.VPCID, n.SubnetID, n.Address = "vpc-unknown", "subnet-unknown", netip.MustParseAddr("192.168.0.12")
	})
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	sp := h.spec(e.ID)
	if !sp.Tolerant || sp.Address != netip.MustParseAddr("192.168.0.12") {
		t.Errorf("the agent is told %+v", sp)
	}
	h.report(sp, agentapi.StateUnattached, "")
	if got := mustEndpoint(r, e.ID); got.Status != sallyport.StatusAccepted || !got.Unattached || !got.ShowsAddress() {
		t.Errorf("the endpoint is %+v", got)
	}
	if got, err := r.plane.Enforcement(t.Context(), owner(), e.ID); err != nil || got.State != "unattached" {
		t.Errorf("%+v, %v", got, err)
	}
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
}

// Subnets that nobody told us of. If this fails, two of them share addresses, one
// of them overlaps a configured one, or an address is given twice.
func TestUnknownSubnetsGetNetworksOfTheirOwn(t *testing.T) {
	t.Parallel()
	nets := networks()
	vpc := nets.VPCs[hostVPC]
	vpc.Subnets = map[sallyport.SubnetID]netip.Prefix{hostSubnet: netip.MustParsePrefix("127.64.1.0/24")}
	nets.VPCs[hostVPC] = vpc
	r := newRig(t, control.Options{Networks: nets})
	id := r.service()
	in := func(vpc sallyport.VPCID, subnet sallyport.SubnetID) func(*sallyport.NewEndpoint) {
		return func(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = vpc, subnet }
	}
	seen := map[netip.Addr]bool{}
	for _, tt := range []struct {
		subnet sallyport.SubnetID
		want   string
	}{{"a", "127.64.0.0/24"}, {"b", "127.64.2.0/24"}, {"a", "127.64.0.0/24"}, {"c", "127.64.3.0/24"}} {
		e := r.endpoint(id, in("vpc-unknown", tt.subnet))
		if !netip.MustParsePrefix(tt.want).Contains(e.Address) || seen[e.Address] || e.Outside {
			t.Errorf("subnet %s: %s, want a new one of %s", tt.subnet, e.Address, tt.want)
		}
		seen[e.Address] = true
	}
	_, err := r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: "vpc-other", SubnetID: "a"})
	mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonSubnetForeign)
	_, err = r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: detached, SubnetID: hostSubnet})
	mustRefuse(t, err, sallyport.KindInvalid, sallyport.ReasonSubnetForeign)
}

// If this fails, an endpoint has an address that is not of its subnet or that
// another one has.
func TestAskedAddresses(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	id := r.service()
	ask := func(a string) error {
		_, err := r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{
			ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet, Address: netip.MustParseAddr(a),
		})
		return err
	}
	if err := ask("10.1.0.9"); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, ask("10.1.0.9"), sallyport.KindConflict, sallyport.ReasonAddressTaken)
	mustRefuse(t, ask("10.1.1.9"), sallyport.KindInvalid, sallyport.ReasonAddressOutside)
	small := networks()
	vpc := small.VPCs[hostVPC]
	vpc.Subnets = map[sallyport.SubnetID]netip.Prefix{"tiny": netip.MustParsePrefix("10.1.0.0/30")}
	small.VPCs[hostVPC] = vpc
	r.plane.SetNetworks(small)
	for n := 0; ; n++ {
		_, err := r.plane.CreateEndpoint(t.Context(), consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: "tiny"})
		if err != nil {
			mustRefuse(t, err, sallyport.KindQuota, sallyport.ReasonAddressesExhausted)
			if n == 0 || n > 4 {
				t.Errorf("a network of four addresses held %d endpoints", n)
			}
			return
		}
	}
}

// Nobody ever confirms: there is no agent at all. If this fails, a control plane
// alone cannot be used.
func TestAgentless(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{Agentless: true})
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
	d, err := r.plane.Agents().Changes(t.Context(), "lost", 0)
	if err != nil || len(d.Specs) != 0 {
		t.Errorf("an agent is told %+v, %v", d, err)
	}
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil || r.status(e.ID) != 0 {
		t.Errorf("delete: %v, it is %s", err, r.status(e.ID))
	}
}

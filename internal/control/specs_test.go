package control_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

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
	nets, limits := networks(), agentapi.Limits{Connections: 7, IdleTimeout: time.Minute}
	check := &agentapi.Check{Kind: agentapi.CheckHTTP, Port: 9, Path: "/ready", Interval: time.Second, Timeout: time.Second}
	b := nets.Backends[port]
	b.Balance, b.Check, b.TLVs = agentapi.BalanceLeastConnections, check, []string{"aws"}
	nets.Backends[port] = b
	r := newRig(t, control.Options{
		ConfirmWait: impatience, Networks: nets, Limits: limits, Engine: agentapi.EngineUser, DNSSuffix: "vpc.example",
	})
	h := &hand{r: r}
	id := r.service(sallyport.PortMapping{Client: 80, Server: 8080, Protocol: "TCP"}, sallyport.PortMapping{Client: 80, Server: 8080, Protocol: "UDP"})
	proxy := sallyport.ProxyVNI
	if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{TCPProxy: &proxy}); err != nil {
		t.Fatal(err)
	}
	e := r.endpoint(id, func(n *sallyport.NewEndpoint) {
		n.EnableWhitelist, n.Whitelist = true, []string{"192.0.2.7", "198.51.100.9/24"}
		n.Address, n.EnableDNS = netip.MustParseAddr("10.1.0.77"), true
	})
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	got := h.spec(e.ID)
	now := mustEndpoint(r, e.ID)
	want := agentapi.Spec{
		Endpoint: string(e.ID), Rev: int64(now.SpecRev), Open: true, Admitted: int64(now.AdmitRev),
		Attach: agentapi.Attach{Mode: agentapi.AttachHost}, Address: netip.MustParseAddr("10.1.0.77"),
		Mappings: []agentapi.Mapping{{Protocol: agentapi.TCP, Client: 80, Server: 8080}, {Protocol: agentapi.UDP, Client: 80, Server: 8080}},
		Backend:  agentapi.Attach{Mode: agentapi.AttachHost}, Backends: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
		Balance: agentapi.BalanceLeastConnections, Check: check, TLVs: []string{"aws"}, Network: string(hostVPC),
		Names: []string{"vpcep-" + string(e.ID) + ".eu-west-101.vpc.example"}, Engine: agentapi.EngineUser, Limits: limits,
		Proxy: true, Marker: int32(now.Marker), Filter: true,
		AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24")},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// If this fails, a backend is told a network that it did not ask for, or none
// where it did, or finds a header where there must be none.
func TestSpecByProxyMode(t *testing.T) {
	t.Parallel()
	nets := networks()
	b := nets.Backends[port]
	b.TLVs = []string{"azure"}
	nets.Backends[port] = b
	r := newRig(t, control.Options{ConfirmWait: impatience, Networks: nets})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.spec(e.ID)
	for _, tt := range []struct {
		mode    sallyport.ProxyMode
		proxy   bool
		network string
	}{
		{sallyport.ProxyTOA, false, ""},
		{sallyport.ProxyPROXY, true, ""},
		{sallyport.ProxyVNI, true, string(hostVPC)},
		{sallyport.ProxyBoth, true, ""},
		{sallyport.ProxyClose, false, ""},
	} {
		if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{TCPProxy: &tt.mode}); err != nil {
			t.Fatal(err)
		}
		if got := h.spec(e.ID); got.Proxy != tt.proxy || got.Network != tt.network || (len(got.TLVs) > 0) != tt.proxy {
			t.Errorf("%s: header %v with network %q and TLVs %v, want %v with %q", tt.mode, got.Proxy, got.Network, got.TLVs, tt.proxy, tt.network)
		}
	}
}

// If this fails, a name resolves that nobody was told of, or one that was told
// resolves to nothing.
func TestSpecNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	for _, dns := range []bool{true, false} {
		e := r.endpoint(id, func(n *sallyport.NewEndpoint) { n.EnableDNS = dns })
		r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
		var want []string
		if dns {
			want = []string{"vpcep-" + string(e.ID) + ".eu-west-101.sallyport.internal"}
		}
		if got := h.spec(e.ID).Names; !cmp.Equal(got, want) {
			t.Errorf("with enable_dns %v the names are %q, want %q", dns, got, want)
		}
	}
}

// If this fails, an agent goes on with what its endpoint's owner, its service's
// owner or the operator has changed, until something else happens.
func TestEditsReachTheAgent(t *testing.T) {
	t.Parallel()
	nets := networks()
	nets.Backends["port-2"] = control.Backend{VPC: hostVPC, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.2")}}
	r := newRig(t, control.Options{ConfirmWait: impatience, Networks: nets})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	first := h.spec(e.ID)
	other := r.endpoint(id)
	rev := first.Rev
	service := func(ch sallyport.ServiceChange) error {
		_, err := r.plane.UpdateService(t.Context(), owner(), id, ch)
		return err
	}
	endpoint := func(ch sallyport.EndpointChange) error {
		_, err := r.plane.UpdateEndpoint(t.Context(), consumer(), e.ID, ch)
		return err
	}
	for _, tt := range []struct {
		name string
		edit func() error
		told func(agentapi.Spec) bool
	}{
		{"whitelist", func() error { return endpoint(sallyport.EndpointChange{Whitelist: new([]string{"192.0.2.0/24"})}) }, func(s agentapi.Spec) bool { return len(s.AllowFrom) == 1 && !s.Filter }},
		{"enable_whitelist", func() error { return endpoint(sallyport.EndpointChange{EnableWhitelist: new(true)}) }, func(s agentapi.Spec) bool { return s.Filter }},
		{"ports", func() error {
			return service(sallyport.ServiceChange{Ports: new([]sallyport.PortMapping{{Client: 53, Server: 53, Protocol: "UDP"}})})
		}, func(s agentapi.Spec) bool { return s.Mappings[0].Protocol == agentapi.UDP }},
		{"protocol alone", func() error {
			return service(sallyport.ServiceChange{Ports: new([]sallyport.PortMapping{{Client: 53, Server: 53, Protocol: "TCP"}})})
		}, func(s agentapi.Spec) bool { return s.Mappings[0].Protocol == agentapi.TCP }},
		{"tcp_proxy", func() error { return service(sallyport.ServiceChange{TCPProxy: new(sallyport.ProxyBoth)}) }, func(s agentapi.Spec) bool { return s.Proxy }},
		{"port_id", func() error { return service(sallyport.ServiceChange{PortID: new(sallyport.PortID("port-2"))}) }, func(s agentapi.Spec) bool {
			return s.Backends[0] == netip.MustParseAddr("10.9.0.2")
		}},
	} {
		if err := tt.edit(); err != nil && sallyport.KindOf(err) != sallyport.KindUnconfirmed {
			t.Fatalf("%s: %v", tt.name, err)
		}
		told := h.next()
		got, ok := told[e.ID]
		if !ok || len(told) != 1 || got.Rev <= rev || got.Admitted != first.Admitted || !tt.told(got) {
			t.Errorf("%s: told is %+v after revision %d (%s is pending)", tt.name, told, rev, other.ID)
		}
		rev = got.Rev
	}
}

// A cluster moves to other machines. If this fails, its endpoints lead to the old
// ones.
func TestInstanceAddressesReachTheAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	want := control.ConfiguredInstance{
		NewInstance: sallyport.NewInstance{
			ID: "gate", Kind: sallyport.InstanceGateway, Name: "gate", VPCID: hostVPC, SubnetID: hostSubnet,
			Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.201")}, Ports: []uint16{443},
		},
		ProjectID: ownerProject, DomainID: ownerDomain,
	}
	sync := func(address string) {
		t.Helper()
		want.Addresses = []netip.Addr{netip.MustParseAddr(address)}
		if err := r.plane.SyncInstances(t.Context(), []control.ConfiguredInstance{want}); err != nil {
			t.Fatal(err)
		}
	}
	sync("10.1.0.201")
	i, err := r.plane.Instance(t.Context(), owner(), "", "gate")
	if err != nil {
		t.Fatal(err)
	}
	r.permit(i.ServiceID, "*")
	e := r.endpoint(i.ServiceID)
	r.mustDecide(i.ServiceID, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	first := h.spec(e.ID)
	sync("10.1.0.202")
	if got := h.spec(e.ID); got.Rev <= first.Rev || got.Backends[0] != want.Addresses[0] {
		t.Errorf("told is %+v after %+v", got, first)
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
	if len(told) != 1 || !there || got.Rev <= first.Rev || got.Admitted != first.Admitted || !cmp.Equal(got.Mappings, []agentapi.Mapping{{Protocol: agentapi.TCP, Client: 8, Server: 9}}) {
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
	r.reload(swapped)

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
	r.reload(small)
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

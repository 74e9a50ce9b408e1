package control_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func (r *rig) forbid(id sallyport.ServiceID, values ...string) error {
	r.t.Helper()
	_, err := r.plane.ChangePermissions(r.t.Context(), owner(), id, sallyport.PermissionChange{RemoveValues: values})
	return err
}

// reattached are the usual networks with one of them attached otherwise.
func reattached(id sallyport.VPCID, mode agentapi.AttachMode) control.Networks {
	nets := networks()
	vpc := nets.VPCs[id]
	vpc.Attach.Mode = mode
	nets.VPCs[id] = vpc
	return nets
}

// inDetached makes an endpoint in the network that nobody carries.
func inDetached(n *sallyport.NewEndpoint) { n.VPCID, n.SubnetID = detached, noneSubnet }

// If this fails, an owner who asked for the whitelist to be the last word has an
// account connected that is not on it, or one who did not ask loses endpoints.
func TestRevocation(t *testing.T) {
	t.Parallel()
	consumers := "iam:domain::" + string(consumerDomain)
	for _, c := range []struct {
		name        string
		file        sallyport.RevokeMode
		service     *sallyport.RevokeMode
		more        string // another record that admits the account
		want        sallyport.Status
		wantPending sallyport.Status
	}{
		{name: "default", want: sallyport.StatusAccepted, wantPending: sallyport.StatusPending},
		{name: "keep in the file", file: sallyport.RevokeKeep, want: sallyport.StatusAccepted, wantPending: sallyport.StatusPending},
		{name: "cut in the file", file: sallyport.RevokeCut, want: sallyport.StatusRejected, wantPending: sallyport.StatusRejected},
		{name: "cut by the service", service: new(sallyport.RevokeCut), want: sallyport.StatusRejected, wantPending: sallyport.StatusRejected},
		{name: "keep by the service", file: sallyport.RevokeCut, service: new(sallyport.RevokeKeep), want: sallyport.StatusAccepted, wantPending: sallyport.StatusPending},
		{name: "still admitted", file: sallyport.RevokeCut, more: "*", want: sallyport.StatusAccepted, wantPending: sallyport.StatusPending},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, control.Options{OnRevoke: c.file})
			id := r.service()
			if c.more != "" {
				r.permit(id, c.more)
			}
			if c.service != nil {
				if _, err := r.plane.UpdateService(t.Context(), owner(), id, sallyport.ServiceChange{OnRevoke: c.service}); err != nil {
					t.Fatal(err)
				}
			}
			accepted, pending := r.endpoint(id, inDetached), r.endpoint(id, inDetached)
			r.mustDecide(id, accepted.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
			if err := r.forbid(id, consumers); err != nil {
				t.Fatal(err)
			}
			if got := r.status(accepted.ID); got != c.want {
				t.Errorf("the accepted endpoint is %s, want %s", got, c.want)
			}
			if got := r.status(pending.ID); got != c.wantPending {
				t.Errorf("the pending endpoint is %s, want %s", got, c.wantPending)
			}
		})
	}
}

// If this fails, a revocation answers before the bytes have stopped, or calls a
// cut confirmed that is not.
func TestRevocationWaitsForTheCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{OnRevoke: sallyport.RevokeCut, ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	err := r.forbid(id, "iam:domain::"+string(consumerDomain))
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	if got := r.status(e.ID); got != sallyport.StatusRejected {
		t.Errorf("the endpoint is %s, want the decision kept", got)
	}
	h.report(h.spec(e.ID), agentapi.StateClosed, "")
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
}

// If this fails, an endpoint that is accepted as a decision alone is carried once
// its network is attached, and a reject of it would not wait for the cut.
func TestUnattachedIsNeverOffered(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	id := r.service()
	e := r.endpoint(id, inDetached)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	nets := reattached(detached, agentapi.AttachHost)
	r.reload(nets)
	d, err := r.plane.Agents().Changes(t.Context(), "hand", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range d.Specs {
		if sp.Endpoint == string(e.ID) && sp.Open {
			t.Errorf("the agent is told to open %+v", sp)
		}
	}
	r.mustDecide(id, e.ID, sallyport.ActionReject, sallyport.StatusRejected)
}

func (r *rig) instance(kind sallyport.InstanceKind) *sallyport.Instance {
	r.t.Helper()
	i, err := r.plane.CreateInstance(r.t.Context(), owner(), sallyport.NewInstance{
		Kind: kind, Name: "managed", VPCID: detached, SubnetID: noneSubnet,
		Addresses: []netip.Addr{netip.MustParseAddr("10.2.0.200")}, Ports: []uint16{9200},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// If this fails, a gateway is made without its endpoint service, or the service
// can be taken from under it.
func TestGatewayHasItsService(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	i := r.instance(sallyport.InstanceGateway)
	_, s, err := r.plane.ManagedService(t.Context(), owner(), sallyport.InstanceGateway, i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.FullName(), ".apig.") || !r.view().Admits(s.ID, ownerDomain) {
		t.Errorf("service %s, owner admitted %t", s.FullName(), r.view().Admits(s.ID, ownerDomain))
	}
	mustRefuse(t, r.plane.DeleteService(t.Context(), owner(), s.ID), sallyport.KindConflict, sallyport.ReasonServiceManaged)
	_, err = r.plane.Instance(t.Context(), consumer(), sallyport.InstanceGateway, i.ID)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonInstanceNotFound)
	_, err = r.plane.Instance(t.Context(), owner(), sallyport.InstanceCluster, i.ID)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonInstanceNotFound)
	if err := r.plane.DeleteInstance(t.Context(), owner(), sallyport.InstanceGateway, i.ID); err != nil {
		t.Fatal(err)
	}
	if _, there := r.view().Service(s.ID); there {
		t.Error("the service outlives its gateway")
	}
}

// If this fails, opening a cluster leaves it half open, or closing it leaves
// endpoints of other accounts behind.
func TestClusterOpensAndCloses(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	i := r.instance(sallyport.InstanceCluster)
	_, _, err := r.plane.ManagedService(t.Context(), owner(), sallyport.InstanceCluster, i.ID)
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonInstanceClosed)
	before := len(r.log())
	change := owner()
	change.Write = true
	_, _, err = r.plane.ManagedService(t.Context(), change, sallyport.InstanceCluster, i.ID)
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonInstanceClosed)
	if got := r.last(); len(r.log()) != before+1 || got.Outcome != sallyport.OutcomeDenied || got.Reason != sallyport.ReasonInstanceClosed {
		t.Errorf("a refused change leaves %+v", got)
	}
	mustRefuse(t, r.plane.CloseCluster(t.Context(), owner(), i.ID), sallyport.KindConflict, sallyport.ReasonInstanceClosed)
	open, err := r.plane.OpenCluster(t.Context(), owner(), i.ID, sallyport.ClusterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.status(open.EndpointID); got != sallyport.StatusAccepted {
		t.Errorf("the cluster's own endpoint is %s", got)
	}
	_, err = r.plane.OpenCluster(t.Context(), owner(), i.ID, sallyport.ClusterOptions{})
	mustRefuse(t, err, sallyport.KindConflict, sallyport.ReasonInstanceOpen)
	r.permit(open.ServiceID, "*")
	foreign := r.endpoint(open.ServiceID, inDetached)
	r.mustDecide(open.ServiceID, foreign.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	if err := r.plane.CloseCluster(t.Context(), owner(), i.ID); err != nil {
		t.Fatal(err)
	}
	_, there := r.view().Service(open.ServiceID)
	if there || r.status(foreign.ID) != 0 || r.status(open.EndpointID) != 0 {
		t.Errorf("left behind: service %t, endpoints %s and %s", there, r.status(foreign.ID), r.status(open.EndpointID))
	}
}

// If this fails, an endpoint stays "accepted" after a start with a configuration
// that has taken its network from the agents, and nothing says that nobody
// carries it.
func TestDetachedNetworkIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	nets := reattached(hostVPC, agentapi.AttachNone)
	if err := control.New(r.store, control.Options{Networks: nets}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the endpoint is called unattached", func() bool {
		now, _ := r.view().Endpoint(e.ID)
		return now.Unattached && now.Status == sallyport.StatusAccepted
	})
}

// If this fails, an owner who repeats a revocation that was not confirmed reads
// a success while bytes still pass.
func TestRepeatedRevocationWaitsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{OnRevoke: sallyport.RevokeCut, ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	for range 2 {
		err := r.forbid(id, "iam:domain::"+string(consumerDomain))
		mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	}
	h.report(h.spec(e.ID), agentapi.StateClosed, "")
	if err := r.forbid(id, "iam:domain::"+string(consumerDomain)); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

// If this fails, a report about an older close ends the wait for a newer cut.
func TestStaleCloseEndsNoWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionReject); err == nil {
		t.Fatal("a reject was confirmed by nobody")
	}
	stale := h.spec(e.ID)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	_, err := r.decide(id, e.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	if err := r.plane.DeleteEndpoint(t.Context(), consumer(), e.ID); err != nil {
		t.Fatal(err)
	}
	h.report(stale, agentapi.StateClosed, "")
	if got := r.status(e.ID); got != sallyport.StatusDeleting {
		t.Errorf("the endpoint is %s after a report about an older spec", got)
	}
	h.report(h.spec(e.ID), agentapi.StateClosed, "")
	until(t, "the endpoint is gone", func() bool { return r.status(e.ID) == 0 })
}

// If this fails, an endpoint is called unattached while its forwarder stands,
// and the agent never hears that it was rejected.
func TestAcceptAfterReloadReachesTheAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	h := &hand{r: r}
	id := r.service()
	e := r.endpoint(id)
	if _, err := r.decide(id, e.ID, sallyport.ActionAccept); err != nil {
		t.Fatal(err)
	}
	h.report(h.spec(e.ID), agentapi.StateOpen, "")
	nets := reattached(hostVPC, agentapi.AttachNone)
	r.reload(nets)
	_, err := r.decide(id, e.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	sp := h.spec(e.ID)
	if sp.Attach.Mode != agentapi.AttachNone {
		t.Errorf("the agent is told to use %+v", sp.Attach)
	}
	h.report(sp, agentapi.StateFailed, "this network is not carried here")
	until(t, "the endpoint is failed", func() bool { return r.status(e.ID) == sallyport.StatusFailed })
}

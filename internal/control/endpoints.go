package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// CreateEndpoint makes an endpoint to a service. With approval it waits for the
// owner of the service; without it is admitted, answers "creating" and becomes
// accepted as soon as the listener stands.
func (p *Plane) CreateEndpoint(ctx context.Context, c sallyport.Call, n sallyport.NewEndpoint) (sallyport.EndpointView, error) {
	select {
	case p.making <- struct{}{}:
		defer func() { <-p.making }()
	case <-ctx.Done():
		return sallyport.EndpointView{}, fmt.Errorf("wait to make an endpoint: %w", ctx.Err())
	}
	id := sallyport.NewID[sallyport.EndpointID]()
	t := endpointTarget(id, n.ServiceID, "create")
	nets := p.networks.Load()
	var out sallyport.EndpointView
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		s, err := connectable(tx, c, n.ServiceID)
		if err != nil {
			return err
		}
		pl, err := locate(tx, nets, c, s, &n)
		if err != nil {
			return err
		}
		if _, used := tx.Usage(c.Project); used >= p.opt.Endpoints {
			return p.endpointQuota(used)
		}
		marker, ok := tx.NextMarker()
		if !ok {
			return markersExhausted()
		}
		rec := p.record(c, t, sallyport.OutcomeDone)
		first := sallyport.First(s.Approval)
		rec.To = first.String()
		rev := tx.Record(rec)
		p.putLease(tx, rec, pl)
		e := newEndpoint(c, &n, pl)
		e.ID, e.ServiceID, e.Marker, e.Status = id, s.ID, marker, first
		e.Unattached = p.unattached(nets, s, n.VPCID)
		e.CreatedAt, e.UpdatedAt, e.Rev, e.SpecRev, e.AdmitRev = rec.At, rec.At, rev, rev, rev
		tx.PutEndpoint(e)
		out = sallyport.EndpointView{Endpoint: e, Service: s}
		return nil
	})
	if err != nil {
		return sallyport.EndpointView{}, err
	}
	if out.Status == sallyport.StatusCreating && out.Unattached {
		p.confirmLater(ctx, id)
	}
	return out, nil
}

func (p *Plane) endpointQuota(used int) error {
	return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonQuota,
		"the project has %d of %d endpoints", used, p.opt.Endpoints)
}

func markersExhausted() error {
	return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonMarkersExhausted, "all markers are in use")
}

// putLease stores the network that an unknown subnet was given, with a record of
// its own beside rec.
func (p *Plane) putLease(tx sallyport.Tx, rec sallyport.Record, pl place) {
	if pl.lease == nil {
		return
	}
	rec.Object, rec.ObjectID, rec.To = sallyport.ObjectSubnet, string(pl.lease.ID), pl.lease.Prefix.String()
	pl.lease.Rev = tx.Record(rec)
	tx.PutSubnet(pl.lease)
}

func newEndpoint(c sallyport.Call, n *sallyport.NewEndpoint, pl place) *sallyport.Endpoint {
	return &sallyport.Endpoint{
		ProjectID: c.Project, DomainID: c.Principal.DomainID, VPCID: n.VPCID, SubnetID: n.SubnetID,
		Address: pl.address, Outside: pl.outside, EnableDNS: n.EnableDNS, EnableWhitelist: n.EnableWhitelist,
		Whitelist: n.Whitelist, RouteTables: pl.routeTables, Tags: n.Tags, Description: n.Description,
		Specification: n.Specification, IPVersion: n.IPVersion, IPv6Address: n.IPv6Address,
		PolicyStatement: n.PolicyStatement, PolicyDocument: n.PolicyDocument,
	}
}

// locate finds out where a new endpoint lives: an interface endpoint has an
// address in a subnet, a gateway endpoint has route tables of the VPC.
func locate(tx sallyport.Tx, nets *Networks, c sallyport.Call, s *sallyport.Service, n *sallyport.NewEndpoint) (place, error) {
	if (n.PolicyStatement != "" || n.PolicyDocument != "") && !s.Policy {
		return place{}, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonPolicyDisabled, "the service has no policies")
	}
	if s.Kind == sallyport.KindInterface {
		if len(n.RouteTables) > 0 {
			return place{}, routeTableKind()
		}
		return nets.choosePlace(tx, n)
	}
	if n.EnableWhitelist || len(n.Whitelist) > 0 {
		return place{}, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonWhitelistKind,
			"source whitelists belong to interface endpoints")
	}
	if err := nets.checkVPC(n.VPCID); err != nil {
		return place{}, err
	}
	tables := n.RouteTables
	if len(tables) == 0 {
		tables = []string{defaultRouteTable(n.VPCID)}
	}
	e := &sallyport.Endpoint{ServiceID: s.ID, ProjectID: c.Project, VPCID: n.VPCID}
	return place{routeTables: tables}, freeRouteTables(tx, e, tables)
}

// defaultRouteTable returns the id of a VPC's default route table. There are no
// route tables here, so it is made from the VPC's id: always the same, and in
// the form of a UUID.
func defaultRouteTable(id sallyport.VPCID) string {
	h := sha256.Sum256([]byte("default route table of " + id))
	x := hex.EncodeToString(h[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// connectable returns a service that takes endpoints of the caller.
func connectable(v sallyport.View, c sallyport.Call, id sallyport.ServiceID) (*sallyport.Service, error) {
	s, ok := v.Service(id)
	switch {
	case !ok || s.Status == sallyport.ServiceDeleted:
		return nil, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonServiceUnknown, "service %s does not exist", id)
	case s.Status != sallyport.ServiceAvailable:
		return nil, sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonServiceUnavailable, "service %s is not available", id)
	case s.SystemName == "" && s.DomainID != c.Principal.DomainID && !v.Admits(id, c.Principal.DomainID):
		return nil, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonNotWhitelisted,
			"account %s is not on the whitelist of service %s", c.Principal.DomainID, id)
	}
	return s, nil
}

// unattached reports whether no agent will carry an endpoint in the VPC. To an
// operator's service that forwards no port there is nothing to carry.
func (p *Plane) unattached(nets *Networks, s *sallyport.Service, vpc sallyport.VPCID) bool {
	return p.opt.Agentless || s.Kind == sallyport.KindGateway || len(s.Ports) == 0 ||
		nets.attach(vpc).Mode == agentapi.AttachNone
}

// Endpoint returns one of the caller's endpoints.
func (p *Plane) Endpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.EndpointView, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return sallyport.EndpointView{}, err
	}
	e, err := ownEndpoint(v, c, id)
	if err != nil {
		return sallyport.EndpointView{}, err
	}
	s, _ := v.Service(e.ServiceID)
	return sallyport.EndpointView{Endpoint: e, Service: s}, nil
}

// Endpoints returns one page of the caller's endpoints and the number of all
// that match.
func (p *Plane) Endpoints(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]sallyport.EndpointView, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	q.ProjectID, q.ServiceID = c.Project, ""
	page, total := v.Endpoints(q)
	out := make([]sallyport.EndpointView, len(page))
	for i, e := range page {
		s, _ := v.Service(e.ServiceID)
		out[i] = sallyport.EndpointView{Endpoint: e, Service: s}
	}
	return out, total, nil
}

// DeleteEndpoint removes one of the caller's endpoints. Where bytes may still
// pass, the endpoint is "deleting" until the data plane has closed and let go of
// its address; the call waits until no byte passes any more, as long as it waits
// for any confirmation, and succeeds either way, since the endpoint is on its way
// out for good.
func (p *Plane) DeleteEndpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) error {
	t := endpointTarget(id, "", "delete")
	var gone *wait
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		gone = nil
		e, err := ownEndpoint(tx, c, id)
		if err != nil {
			return err
		}
		gone = p.deleteEndpoint(tx, c, e)
		return nil
	})
	if err != nil {
		return err
	}
	if gone == nil {
		p.forget(id) // what an agent once said of it
		return nil
	}
	return ignoreUnconfirmed(p.awaitRemovals(ctx, []*wait{gone}))
}

// deleteEndpoint takes an endpoint out: at once where nothing of it is carried,
// and otherwise when the data plane has closed, which the wait is for.
func (p *Plane) deleteEndpoint(tx sallyport.Tx, c sallyport.Call, e *sallyport.Endpoint) *wait {
	next, changed, _ := e.Apply(sallyport.ActionDelete, p.now()) // every status takes it
	rec := p.record(c, endpointTarget(e.ID, e.ServiceID, "delete"), outcome(changed))
	rec.From, rec.To = e.Status.String(), next.Status.String()
	if e.Unattached || e.Status == sallyport.StatusPending {
		rec.To = "deleted"
		tx.Record(rec)
		removeEndpoint(tx, e)
		return nil
	}
	rev := tx.Record(rec)
	if !changed {
		return p.acks.expect(e.ID, e.SpecRev)
	}
	next.Rev, next.SpecRev = rev, rev
	tx.PutEndpoint(&next)
	return p.acks.expect(e.ID, rev)
}

// ignoreUnconfirmed is for ends that are for good: whoever asked for one sees it
// as done, and the state says how far it is.
func ignoreUnconfirmed(err error) error {
	if sallyport.KindOf(err) == sallyport.KindUnconfirmed {
		return nil
	}
	return err
}

// awaitRemovals waits until of endpoints that are being deleted no byte passes any
// more. They may be "deleting" for a moment longer, while their flows are reset.
func (p *Plane) awaitRemovals(ctx context.Context, waits []*wait) error {
	for _, w := range waits {
		p.acks.enter(w)
		defer p.acks.leave(w)
	}
	v, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	timer := time.NewTimer(p.opt.ConfirmWait)
	defer timer.Stop()
	for _, w := range waits {
		if _, there := v.Endpoint(w.id); !there {
			continue // it went before the wait began
		}
		select {
		case <-w.done:
		case <-timer.C:
			return sallyport.Refuse(sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed,
				"the removal is kept and goes on, but the data plane has not confirmed it within %s", p.opt.ConfirmWait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// removeEndpoint forgets an endpoint, and its service's tombstone with the last.
func removeEndpoint(tx sallyport.Tx, e *sallyport.Endpoint) {
	tx.RemoveEndpoint(e.ID)
	s, ok := tx.Service(e.ServiceID)
	if !ok || s.Status != sallyport.ServiceDeleted {
		return
	}
	if _, left := tx.Endpoints(sallyport.EndpointQuery{ServiceID: e.ServiceID}); left == 0 {
		tx.RemoveService(e.ServiceID)
	}
}

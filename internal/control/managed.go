package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The user's part of the names of managed services, where none is given.
const (
	gatewayServiceName = "apig"
	clusterServiceName = "css"
)

func instanceTarget(id sallyport.InstanceID, action string) target {
	return target{kind: sallyport.ObjectInstance, id: string(id), action: action}
}

func ownInstance(v sallyport.View, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, error) {
	i, ok := v.Instance(id)
	if !ok || i.ProjectID != c.Project || kind != "" && i.Kind != kind {
		return nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonInstanceNotFound, "instance %s does not exist", id)
	}
	return i, nil
}

// CreateInstance declares a cluster or a gateway. A gateway has its endpoint
// service from the start, with its owner's account on the whitelist.
func (p *Plane) CreateInstance(ctx context.Context, c sallyport.Call, n sallyport.NewInstance) (*sallyport.Instance, error) {
	if n.ID == "" {
		n.ID = sallyport.NewID[sallyport.InstanceID]()
	}
	var made *sallyport.Instance
	err := p.mutate(ctx, c, instanceTarget(n.ID, "create"), func(tx sallyport.Tx) error {
		if _, taken := tx.Instance(n.ID); taken {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceExists, "instance %s exists already", n.ID)
		}
		if err := p.networks.Load().checkVPC(n.VPCID); err != nil {
			return err
		}
		if used, _ := tx.Usage(c.Project); n.Kind == sallyport.InstanceGateway && used >= p.opt.Services {
			return p.serviceQuota(used)
		}
		made = p.putInstance(tx, c, c.Principal.DomainID, n, false)
		return nil
	})
	return made, err
}

func (p *Plane) serviceQuota(used int) error {
	return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonQuota,
		"the project has %d of %d endpoint services", used, p.opt.Services)
}

// putInstance stores a new instance, and for a gateway its service.
func (p *Plane) putInstance(tx sallyport.Tx, c sallyport.Call, owner sallyport.DomainID, n sallyport.NewInstance, configured bool) *sallyport.Instance {
	rec := p.record(c, instanceTarget(n.ID, "create"), sallyport.OutcomeDone)
	rec.Detail = "kind=" + string(n.Kind)
	rev := tx.Record(rec)
	i := &sallyport.Instance{
		ID: n.ID, Kind: n.Kind, Name: n.Name, ProjectID: c.Project, DomainID: owner, VPCID: n.VPCID, SubnetID: n.SubnetID,
		Addresses: n.Addresses, Ports: n.Ports, Configured: configured, CreatedAt: rec.At, UpdatedAt: rec.At, Rev: rev,
	}
	if n.Kind == sallyport.InstanceGateway {
		name := n.ServiceName
		if name == "" {
			name = gatewayServiceName
		}
		i.ServiceID = p.putManaged(tx, c, i, name).ID
		p.admitOwner(tx, c, i)
	}
	tx.PutInstance(i)
	return i
}

// putManaged stores the service of an instance.
func (p *Plane) putManaged(tx sallyport.Tx, c sallyport.Call, i *sallyport.Instance, name string) *sallyport.Service {
	id := sallyport.NewID[sallyport.ServiceID]()
	rec := p.record(c, serviceTarget(id, "create"), sallyport.OutcomeDone)
	rec.To, rec.Detail = "available", "instance="+string(i.ID)
	rev := tx.Record(rec)
	s := &sallyport.Service{
		ID: id, Name: name, Region: p.opt.Region, Kind: sallyport.KindInterface, ServerType: "LB", ProjectID: i.ProjectID,
		DomainID: i.DomainID, VPCID: i.VPCID, PortID: sallyport.PortID(i.ID), TCPProxy: sallyport.ProxyClose, Approval: true,
		Status: sallyport.ServiceAvailable, ManagedBy: i.ID, CreatedAt: rec.At, UpdatedAt: rec.At, Rev: rev, SpecRev: rev,
		Ports: managedPorts(i.Ports),
	}
	tx.PutService(s)
	return s
}

func managedPorts(ports []uint16) []sallyport.PortMapping {
	out := make([]sallyport.PortMapping, len(ports))
	for n, port := range ports {
		out[n] = sallyport.PortMapping{Client: port, Server: port, Protocol: "TCP"}
	}
	return out
}

// admitOwner puts the owner's account on the whitelist of a gateway's service,
// as the gateway documents it; a cluster's owner is admitted without a record.
func (p *Plane) admitOwner(tx sallyport.Tx, c sallyport.Call, i *sallyport.Instance) {
	t := target{kind: sallyport.ObjectPermissions, id: string(i.ServiceID), service: i.ServiceID, action: "permit"}
	rec := p.record(c, t, sallyport.OutcomeDone)
	rev := tx.Record(rec)
	tx.PutPermission(&sallyport.Permission{
		ID: sallyport.NewID[sallyport.PermissionID](), ServiceID: i.ServiceID, Value: "iam:domain::" + string(i.DomainID),
		Type: sallyport.PermissionDomain, CreatedAt: rec.At, Rev: rev,
	})
}

// ConfiguredInstance is an instance that the configuration file declares.
type ConfiguredInstance struct {
	sallyport.NewInstance
	ProjectID sallyport.ProjectID
	DomainID  sallyport.DomainID
}

// SyncInstances makes the stored configured instances those of the file: new
// ones are made, changed addresses and ports taken over. One that left the file
// stays, and can from then on be deleted like any other.
func (p *Plane) SyncInstances(ctx context.Context, want []ConfiguredInstance) error {
	return p.store.Update(ctx, func(tx sallyport.Tx) error {
		for _, w := range want {
			c := systemCall("system", "configuration")
			c.Project = w.ProjectID
			old, ok := tx.Instance(w.ID)
			if !ok {
				p.putInstance(tx, c, w.DomainID, w.NewInstance, true)
				continue
			}
			if old.Kind != w.Kind || old.ProjectID != w.ProjectID {
				return fmt.Errorf("instance %s: the file says another kind or project than the database", w.ID)
			}
			p.refreshInstance(tx, c, old, w.NewInstance)
		}
		p.releaseInstances(tx, want)
		return nil
	})
}

// releaseInstances marks the instances that left the file as nobody's but their
// owners'.
func (p *Plane) releaseInstances(tx sallyport.Tx, want []ConfiguredInstance) {
	var left []*sallyport.Instance
	tx.EachInstance(func(i *sallyport.Instance) bool {
		if i.Configured && !slices.ContainsFunc(want, func(w ConfiguredInstance) bool { return w.ID == i.ID }) {
			left = append(left, i)
		}
		return true
	})
	for _, i := range left {
		rec := p.record(systemCall("system", "configuration"), instanceTarget(i.ID, "update"), sallyport.OutcomeDone)
		rec.ProjectID, rec.Detail = i.ProjectID, "left the configuration"
		next := *i
		next.Configured, next.UpdatedAt, next.Rev = false, rec.At, tx.Record(rec)
		tx.PutInstance(&next)
	}
}

// refreshInstance takes over what the file says of an instance that exists.
func (p *Plane) refreshInstance(tx sallyport.Tx, c sallyport.Call, old *sallyport.Instance, n sallyport.NewInstance) {
	if old.Configured && old.Name == n.Name && old.VPCID == n.VPCID && old.SubnetID == n.SubnetID &&
		slices.Equal(old.Addresses, n.Addresses) && slices.Equal(old.Ports, n.Ports) {
		return
	}
	rec := p.record(c, instanceTarget(old.ID, "update"), sallyport.OutcomeDone)
	rev := tx.Record(rec)
	next := *old
	next.Name, next.VPCID, next.SubnetID, next.Addresses, next.Ports = n.Name, n.VPCID, n.SubnetID, n.Addresses, n.Ports
	next.Configured, next.UpdatedAt, next.Rev = true, rec.At, rev
	tx.PutInstance(&next)
	s, ok := tx.Service(next.ServiceID)
	if !ok {
		return
	}
	srec := p.record(c, serviceTarget(s.ID, "update"), sallyport.OutcomeDone)
	srec.From, srec.To = "available", "available"
	service := *s
	service.Rev = tx.Record(srec)
	service.SpecRev, service.UpdatedAt, service.VPCID = service.Rev, srec.At, next.VPCID
	service.Ports = managedPorts(next.Ports)
	tx.PutService(&service)
}

// Instance returns one of the caller's clusters or gateways.
func (p *Plane) Instance(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, err
	}
	return ownInstance(v, c, kind, id)
}

// Instances returns one page of the caller's clusters or gateways, and the
// number of all.
func (p *Plane) Instances(ctx context.Context, c sallyport.Call, q sallyport.InstanceQuery) ([]*sallyport.Instance, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	q.ProjectID = c.Project
	page, total := v.Instances(q)
	return page, total, nil
}

// ManagedService returns an instance of the caller with its endpoint service.
// Where a cluster has none, the reason is ReasonInstanceClosed. A refusal on the
// way to a change is recorded, as it is when the change itself is refused.
func (p *Plane) ManagedService(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, *sallyport.Service, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, nil, p.denied(ctx, c, id, err)
	}
	i, err := ownInstance(v, c, kind, id)
	if err != nil {
		return nil, nil, p.denied(ctx, c, id, err)
	}
	s, ok := v.Service(i.ServiceID)
	if !ok {
		return i, nil, p.denied(ctx, c, id, instanceClosed(id))
	}
	return i, s, nil
}

// denied records a refusal of a call that asks for a change, and returns it.
func (p *Plane) denied(ctx context.Context, c sallyport.Call, id sallyport.InstanceID, refusal error) error {
	if !c.Write || sallyport.KindOf(refusal) == sallyport.KindInternal {
		return refusal
	}
	err := p.store.Update(ctx, func(tx sallyport.Tx) error {
		rec := p.record(c, instanceTarget(id, "change"), sallyport.OutcomeDenied)
		rec.Reason = sallyport.ReasonOf(refusal)
		tx.Record(rec)
		return nil
	})
	if err != nil {
		return err
	}
	return refusal
}

func instanceClosed(id sallyport.InstanceID) error {
	return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceClosed,
		"the endpoint service of instance %s is not open", id)
}

// OpenCluster gives a cluster its endpoint service, and one endpoint in the
// cluster's own subnet that needs nobody's approval. It returns when the
// endpoint's listener stands, or after the wait.
func (p *Plane) OpenCluster(ctx context.Context, c sallyport.Call, id sallyport.InstanceID, opt sallyport.ClusterOptions) (*sallyport.Instance, error) {
	var (
		out  *sallyport.Instance
		open []*wait
	)
	eid := sallyport.NewID[sallyport.EndpointID]()
	err := p.mutate(ctx, c, instanceTarget(id, "open"), func(tx sallyport.Tx) error {
		open = open[:0]
		i, err := ownInstance(tx, c, sallyport.InstanceCluster, id)
		if err != nil {
			return err
		}
		if i.ServiceID != "" {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceOpen,
				"the endpoint service of cluster %s is open already", id)
		}
		n := sallyport.NewEndpoint{VPCID: i.VPCID, SubnetID: i.SubnetID, EnableDNS: opt.DNS}
		pl, marker, err := p.roomFor(tx, c, &n)
		if err != nil {
			return err
		}
		rec := p.record(c, instanceTarget(id, "open"), sallyport.OutcomeDone)
		rec.From, rec.To = "closed", "open"
		next := *i
		next.UpdatedAt, next.Rev = rec.At, tx.Record(rec)
		s := p.putManaged(tx, c, &next, clusterServiceName)
		next.ServiceID, next.EndpointID = s.ID, eid
		n.ServiceID = s.ID
		e := p.putOwnEndpoint(tx, c, &n, pl, eid, marker, s)
		e.Professional = opt.Professional
		tx.PutEndpoint(e)
		tx.PutInstance(&next)
		out = &next
		if !e.Unattached {
			open = append(open, p.acks.expect(eid, e.SpecRev))
		}
		return nil
	})
	if err == nil && len(open) > 0 {
		_, err = p.await(ctx, open...)
	}
	return out, err
}

// roomFor finds the address and the marker of a cluster's endpoint, within the
// project's quotas.
func (p *Plane) roomFor(tx sallyport.Tx, c sallyport.Call, n *sallyport.NewEndpoint) (place, sallyport.Marker, error) {
	services, endpoints := tx.Usage(c.Project)
	if services >= p.opt.Services {
		return place{}, 0, p.serviceQuota(services)
	}
	if endpoints >= p.opt.Endpoints {
		return place{}, 0, p.endpointQuota(endpoints)
	}
	pl, err := p.networks.Load().choosePlace(tx, n)
	if err != nil {
		return place{}, 0, err
	}
	marker, ok := tx.NextMarker()
	if !ok {
		return place{}, 0, markersExhausted()
	}
	return pl, marker, nil
}

// putOwnEndpoint records and makes a cluster's endpoint; the caller puts it.
func (p *Plane) putOwnEndpoint(tx sallyport.Tx, c sallyport.Call, n *sallyport.NewEndpoint, pl place, id sallyport.EndpointID, marker sallyport.Marker, s *sallyport.Service) *sallyport.Endpoint {
	rec := p.record(c, endpointTarget(id, s.ID, "create"), sallyport.OutcomeDone)
	e := newEndpoint(c, n, pl)
	e.DomainID = s.DomainID
	e.ID, e.ServiceID, e.Marker, e.Status = id, s.ID, marker, sallyport.StatusCreating
	e.CreatedAt, e.UpdatedAt = rec.At, rec.At
	e.Unattached = p.unattached(p.networks.Load(), s, n.VPCID)
	if e.Unattached {
		*e, _, _ = e.Apply(sallyport.ActionConfirm, rec.At)
	}
	rec.To = e.Status.String()
	rev := tx.Record(rec)
	e.Rev, e.SpecRev, e.AdmitRev = rev, rev, rev
	p.putLease(tx, rec, pl)
	return e
}

// CloseCluster takes the endpoint service away from a cluster, and with it every
// endpoint that points at it. It returns when no byte of theirs passes any more.
func (p *Plane) CloseCluster(ctx context.Context, c sallyport.Call, id sallyport.InstanceID) error {
	return p.shut(ctx, c, instanceTarget(id, "close"), func(tx sallyport.Tx) (*sallyport.Instance, error) {
		i, err := ownInstance(tx, c, sallyport.InstanceCluster, id)
		if err == nil && i.ServiceID == "" {
			err = instanceClosed(id)
		}
		return i, err
	})
}

// DeleteInstance removes a cluster or a gateway with its endpoint service. One
// that the configuration file declares is refused.
func (p *Plane) DeleteInstance(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) error {
	return p.shut(ctx, c, instanceTarget(id, "delete"), func(tx sallyport.Tx) (*sallyport.Instance, error) {
		i, err := ownInstance(tx, c, kind, id)
		if err == nil && i.Configured {
			err = sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceConfigured,
				"instance %s is declared in the configuration file", id)
		}
		return i, err
	})
}

// shut carries out the end of an instance's service: find says which instance,
// and whether it may be done.
func (p *Plane) shut(ctx context.Context, c sallyport.Call, t target, find func(sallyport.Tx) (*sallyport.Instance, error)) error {
	var (
		cut  []*wait
		gone []sallyport.EndpointID
	)
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		cut, gone = cut[:0], gone[:0]
		i, err := find(tx)
		if err != nil {
			return err
		}
		rec := p.record(c, t, sallyport.OutcomeDone)
		rec.From, rec.To = "open", "closed"
		rev := tx.Record(rec)
		cut, gone = p.dropService(tx, c, i.ServiceID, cut, gone)
		if t.action == "delete" {
			tx.RemoveInstance(i.ID)
			return nil
		}
		next := *i
		next.ServiceID, next.EndpointID, next.UpdatedAt, next.Rev = "", "", rec.At, rev
		tx.PutInstance(&next)
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range gone {
		p.forget(id)
	}
	if len(cut) == 0 {
		return nil
	}
	return p.awaitRemovals(ctx, cut)
}

// dropService deletes a service with its whitelist and every endpoint, and
// returns what has to be waited for, and which endpoints are gone already.
func (p *Plane) dropService(tx sallyport.Tx, c sallyport.Call, id sallyport.ServiceID, cut []*wait, gone []sallyport.EndpointID) ([]*wait, []sallyport.EndpointID) {
	s, ok := tx.Service(id)
	if !ok {
		return cut, gone
	}
	var all []*sallyport.Endpoint
	for _, st := range sallyport.Statuses {
		eachEndpoint(tx, id, st, func(e *sallyport.Endpoint) { all = append(all, e) })
	}
	// The service first: the last endpoint takes the tombstone along.
	p.buryService(tx, c, s, len(all) > 0)
	for _, e := range all {
		if w := p.deleteEndpoint(tx, c, e); w != nil {
			cut = append(cut, w)
		} else {
			gone = append(gone, e.ID)
		}
	}
	return cut, gone
}

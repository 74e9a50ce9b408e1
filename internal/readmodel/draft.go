package readmodel

import (
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Draft is the state that the one writer changes. It is a View of all that was
// put so far; Mark and Undo take back what a refused or failed step put.
type Draft struct {
	Model
	gen  uint64
	keep bool // record how to undo: from the first Publish on, so that loading is cheap
	undo []func()
}

// NewDraft returns an empty state at revision 0.
func NewDraft() *Draft { return &Draft{Model: newModel(), gen: 1} }

// Publish returns an immutable picture of the draft and forgets what could be
// undone. The cost is that of a dozen small structs, however much is in it.
func (d *Draft) Publish() *Model {
	clear(d.undo)
	d.undo, d.keep = d.undo[:0], true
	d.gen++
	return d.fork()
}

// Mark returns a position that Undo goes back to.
func (d *Draft) Mark() int { return len(d.undo) }

// Undo takes back all that was put after the mark, last first.
func (d *Draft) Undo(mark int) {
	for i := len(d.undo) - 1; i >= mark; i-- {
		d.undo[i]()
		d.undo[i] = nil
	}
	d.undo = d.undo[:mark]
}

func (d *Draft) onUndo(f func()) {
	if d.keep {
		d.undo = append(d.undo, f)
	}
}

// SetRevision sets the revision of the draft.
func (d *Draft) SetRevision(r sallyport.Revision) {
	old := d.rev
	d.onUndo(func() { d.rev = old })
	d.rev = r
}

// SetService puts s in place of what is there under the id, or removes it where
// s is nil.
func (d *Draft) SetService(id sallyport.ServiceID, s *sallyport.Service) {
	old := d.replaceService(id, s)
	d.onUndo(func() { d.replaceService(id, old) })
}

func (d *Draft) replaceService(id sallyport.ServiceID, cur *sallyport.Service) *sallyport.Service {
	e := d.ownService(id)
	old := e.service
	e.service = cur
	if old != nil {
		d.listService(old, nil)
		d.serviceRev.Delete(old)
	}
	if cur != nil {
		d.listService(nil, cur)
		d.serviceRev.Set(cur)
	}
	d.forgetEmpty(e)
	return old
}

// forgetEmpty removes the entry of a service that is gone with all its lists.
func (d *Draft) forgetEmpty(e *serviceEntry) {
	if e.service == nil && e.conns.len() == 0 && e.perms.len() == 0 {
		d.services.Delete(e)
	}
}

// listService puts a service into, or takes it out of, the lists that callers
// see. A tombstone is in none of them.
func (d *Draft) listService(old, cur *sallyport.Service) {
	s := cur
	if s == nil {
		s = old
	}
	if s.Status == sallyport.ServiceDeleted {
		return
	}
	if s.SystemName != "" {
		d.public.set(old, cur)
		return
	}
	p := d.ownProject(s.ProjectID)
	p.services.set(old, cur)
	setTags(d, p, sallyport.ObjectService, old, cur, (*tagEntry).serviceTree)
	for _, p := range s.Ports {
		k := portKey{port: s.PortID, server: p.Server, protocol: p.Protocol, service: s.ID}
		if cur != nil {
			d.ports.Set(k)
		} else if have, ok := d.ports.Get(k); ok && have.service == s.ID {
			d.ports.Delete(k)
		}
	}
}

// SetEndpoint puts e in place of what is there under the id, or removes it
// where e is nil.
func (d *Draft) SetEndpoint(id sallyport.EndpointID, e *sallyport.Endpoint) {
	old := d.replaceEndpoint(id, e)
	d.onUndo(func() { d.replaceEndpoint(id, old) })
}

func (d *Draft) replaceEndpoint(id sallyport.EndpointID, cur *sallyport.Endpoint) *sallyport.Endpoint {
	old, _ := d.endpoints.Get(&sallyport.Endpoint{ID: id})
	if old == nil && cur == nil {
		return nil
	}
	if old != nil && cur != nil && moved(old, cur) {
		d.replaceEndpoint(id, nil)
		d.replaceEndpoint(id, cur)
		return old
	}
	if old != nil {
		d.endpntRev.Delete(old)
	}
	if cur == nil {
		d.endpoints.Delete(old)
		d.freeKeys(old)
	} else {
		d.endpoints.Set(cur)
		d.endpntRev.Set(cur)
		if old == nil {
			d.markers.Set(markerKey{marker: cur.Marker, id: id})
			if cur.Address.IsValid() {
				d.addresses.Set(addressKey{subnet: cur.SubnetID, address: cur.Address, id: id})
			}
		}
	}
	d.listEndpoint(old, cur)
	return old
}

// moved reports whether b stands elsewhere than a in the lists and indexes that
// an ordinary change leaves alone.
func moved(a, b *sallyport.Endpoint) bool {
	return a.ServiceID != b.ServiceID || a.ProjectID != b.ProjectID || a.VPCID != b.VPCID ||
		a.SubnetID != b.SubnetID || a.Address != b.Address || a.Marker != b.Marker || !a.CreatedAt.Equal(b.CreatedAt)
}

// freeKeys gives up the marker and the address of an endpoint, unless another
// one has taken them over: a replica hears of both in any order.
func (d *Draft) freeKeys(e *sallyport.Endpoint) {
	if k, ok := d.markers.Get(markerKey{marker: e.Marker}); ok && k.id == e.ID {
		d.markers.Delete(k)
	}
	if k, ok := d.addresses.Get(addressKey{subnet: e.SubnetID, address: e.Address}); ok && k.id == e.ID {
		d.addresses.Delete(k)
	}
}

func (d *Draft) listEndpoint(old, cur *sallyport.Endpoint) {
	e := cur
	if e == nil {
		e = old
	}
	p := d.ownProject(e.ProjectID)
	p.endpoints.set(old, cur)
	ownGroup(d, &p.byVPC, e.VPCID).endpoints.set(old, cur)
	ownGroup(d, &p.byService, e.ServiceID).endpoints.set(old, cur)
	setTags(d, p, sallyport.ObjectEndpoint, old, cur, (*tagEntry).endpointTree)
	s := d.ownService(e.ServiceID)
	s.conns.set(old, cur)
	if old != nil && cur != nil && old.Status == cur.Status {
		s.byStatus[cur.Status].set(old, cur)
		return
	}
	if old != nil {
		s.byStatus[old.Status].set(old, nil)
	}
	if cur != nil {
		s.byStatus[cur.Status].set(nil, cur)
	}
	d.forgetEmpty(s)
}

// SetPermission puts p in place of the whitelist record with the id, or removes
// that record where p is nil.
func (d *Draft) SetPermission(s sallyport.ServiceID, id sallyport.PermissionID, p *sallyport.Permission) {
	old := d.replacePermission(s, id, p)
	d.onUndo(func() { d.replacePermission(s, id, old) })
}

func (d *Draft) replacePermission(s sallyport.ServiceID, id sallyport.PermissionID, cur *sallyport.Permission) *sallyport.Permission {
	e := d.ownService(s)
	if e.permByID == nil {
		e.permByID = newTree(func(a, b *sallyport.Permission) bool { return a.ID < b.ID })
	}
	old, _ := e.permByID.Get(&sallyport.Permission{ID: id})
	e.perms.set(old, cur)
	switch {
	case cur != nil:
		e.permByID.Set(cur)
	case old != nil:
		e.permByID.Delete(old)
	}
	d.forgetEmpty(e)
	return old
}

// SetInstance puts i in place of what is there under the id, or removes it where
// i is nil.
func (d *Draft) SetInstance(id sallyport.InstanceID, i *sallyport.Instance) {
	old := d.replaceInstance(id, i)
	d.onUndo(func() { d.replaceInstance(id, old) })
}

func (d *Draft) replaceInstance(id sallyport.InstanceID, cur *sallyport.Instance) *sallyport.Instance {
	old, _ := d.instances.Get(&sallyport.Instance{ID: id})
	if old != nil {
		d.instances.Delete(old)
		d.ownProject(old.ProjectID).instances.set(old, nil)
	}
	if cur != nil {
		d.instances.Set(cur)
		d.ownProject(cur.ProjectID).instances.set(nil, cur)
	}
	return old
}

// SetSubnet puts l in place of what is there under the id.
func (d *Draft) SetSubnet(l *sallyport.SubnetLease) {
	last := d.lastSubnet
	old, replaced := d.subnets.Set(l)
	if !last.IsValid() || last.Addr().Less(l.Prefix.Addr()) {
		d.lastSubnet = l.Prefix
	}
	d.onUndo(func() {
		d.lastSubnet = last
		if replaced {
			d.subnets.Set(old)
			return
		}
		d.subnets.Delete(l)
	})
}

// SetRevocation puts r. Revocations are never taken back; those of expired
// tokens are left out when the state is next loaded.
func (d *Draft) SetRevocation(r *sallyport.Revocation) {
	old, replaced := d.revoked.Set(r)
	d.onUndo(func() {
		if replaced {
			d.revoked.Set(old)
			return
		}
		d.revoked.Delete(r)
	})
}

// NextMarker returns a marker that no endpoint has: one more than the highest
// in use, or the lowest gap once the highest possible one is taken.
func (d *Draft) NextMarker() (sallyport.Marker, bool) {
	top, ok := d.markers.Max()
	if !ok {
		return 1, true
	}
	if top.marker < sallyport.MaxMarker {
		return top.marker + 1, true
	}
	want := sallyport.Marker(1)
	d.markers.Scan(func(k markerKey) bool {
		if k.marker != want {
			return false
		}
		want++
		return want > 0 // past MaxMarker it wraps around
	})
	return want, want > 0
}

// ownService returns the service's entry, one that this draft may change.
func (d *Draft) ownService(id sallyport.ServiceID) *serviceEntry {
	e, ok := d.entry(id)
	switch {
	case !ok:
		e = &serviceEntry{gen: d.gen, id: id}
	case e.gen == d.gen:
		return e
	default:
		c := &serviceEntry{
			gen: d.gen, id: id, service: e.service, perms: e.perms.fork(), permByID: fork(e.permByID), conns: e.conns.fork(),
		}
		for i := range e.byStatus {
			c.byStatus[i] = e.byStatus[i].fork()
		}
		e = c
	}
	d.services.Set(e)
	return e
}

// ownProject returns the project's entry, one that this draft may change.
func (d *Draft) ownProject(id sallyport.ProjectID) *projectEntry {
	e, ok := d.projects.Get(&projectEntry{id: id})
	switch {
	case !ok:
		e = &projectEntry{gen: d.gen, id: id}
	case e.gen == d.gen:
		return e
	default:
		e = &projectEntry{
			gen: d.gen, id: id, services: e.services.fork(), endpoints: e.endpoints.fork(),
			instances: e.instances.fork(), byVPC: fork(e.byVPC), byService: fork(e.byService), tags: fork(e.tags),
		}
	}
	d.projects.Set(e)
	return e
}

// ownGroup returns the group of the key, one that this draft may change. Empty
// groups stay: a project has few networks and few services to come back to.
func ownGroup[K ~string](d *Draft, groups **tree[*group[K]], key K) *group[K] {
	if *groups == nil {
		*groups = newGroups[K]()
	}
	g, ok := (*groups).Get(&group[K]{key: key})
	switch {
	case !ok:
		g = &group[K]{gen: d.gen, key: key}
	case g.gen == d.gen:
		return g
	default:
		g = forkGroup(g, d.gen)
	}
	(*groups).Set(g)
	return g
}

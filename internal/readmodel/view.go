package readmodel

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Revision returns the revision of the picture.
func (m *Model) Revision() sallyport.Revision { return m.rev }

func (m *Model) entry(id sallyport.ServiceID) (*serviceEntry, bool) {
	return m.services.Get(&serviceEntry{id: id})
}

// Service returns the service; a deleted one is returned with its status.
func (m *Model) Service(id sallyport.ServiceID) (*sallyport.Service, bool) {
	e, ok := m.entry(id)
	if !ok || e.service == nil {
		return nil, false
	}
	return e.service, true
}

// Services returns one page of a project's services, or of the operator's own.
func (m *Model) Services(q sallyport.ServiceQuery) ([]*sallyport.Service, int) {
	list := m.public
	if !q.Public {
		p, ok := m.projects.Get(&projectEntry{id: q.ProjectID})
		if !ok {
			return nil, 0
		}
		list = p.services
	}
	plain := sallyport.ServiceQuery{Page: q.Page, ProjectID: q.ProjectID, Public: q.Public}
	if q == plain {
		return list.page(q.Page), list.len()
	}
	q.Name = strings.ToLower(q.Name)
	return list.search(q.Page, func(s *sallyport.Service) bool { return matchService(&q, s) })
}

func matchService(q *sallyport.ServiceQuery, s *sallyport.Service) bool {
	return (q.ID == "" || s.ID == q.ID) && (q.Status == 0 || s.Status == q.Status) &&
		(q.ServerType == "" || s.ServerType == q.ServerType) && (q.NetType == "" || s.NetType() == q.NetType) &&
		(q.BorderGroup == "" || s.BorderGroup == q.BorderGroup) && (q.Name == "" || hasName(s, q.Name))
}

// hasName reports whether the full name has the part, which is in lower case.
func hasName(s *sallyport.Service, part string) bool {
	return strings.Contains(strings.ToLower(s.FullName()), part)
}

// Endpoint returns the endpoint.
func (m *Model) Endpoint(id sallyport.EndpointID) (*sallyport.Endpoint, bool) {
	return m.endpoints.Get(&sallyport.Endpoint{ID: id})
}

// Endpoints returns one page of a project's endpoints or of a service's
// connections. Whatever the filters, the cost grows with the page and with the
// number of services or networks that match, not with the number of endpoints;
// only two filters together that no list is kept for walk what is left.
func (m *Model) Endpoints(q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int) {
	if q.ID != "" || q.Marker != 0 {
		return m.single(&q)
	}
	if q.ServiceID != "" {
		return m.connections(&q)
	}
	p, ok := m.projects.Get(&projectEntry{id: q.ProjectID})
	if !ok {
		return nil, 0
	}
	lists := []*order[sallyport.Endpoint]{&p.endpoints}
	byName := q.ServiceName != "" || q.BorderGroup != ""
	switch {
	case byName:
		lists = m.listsByService(p, &q)
	case q.VPCID != "":
		g, ok := groupOf(p.byVPC, q.VPCID)
		if !ok {
			return nil, 0
		}
		lists[0] = &g.endpoints
	}
	if q.Status == 0 && (q.VPCID == "" || !byName) {
		return pageOf(lists, q.Page)
	}
	return searchOf(lists, q.Page, func(e *sallyport.Endpoint) bool {
		return (q.VPCID == "" || e.VPCID == q.VPCID) && (q.Status == 0 || e.Status == q.Status)
	})
}

// connections answers a query for the endpoints of one service.
func (m *Model) connections(q *sallyport.EndpointQuery) ([]*sallyport.Endpoint, int) {
	e, ok := m.entry(q.ServiceID)
	if !ok || int(q.Status) >= len(e.byStatus) {
		return nil, 0
	}
	list := &e.conns
	if q.Status != 0 {
		list = &e.byStatus[q.Status]
	}
	if q.VPCID != "" || q.ServiceName != "" || q.BorderGroup != "" || q.ProjectID != "" {
		return list.search(q.Page, func(c *sallyport.Endpoint) bool { return m.matches(q, c) })
	}
	return list.page(q.Page), list.len()
}

// listsByService returns the endpoints of the services that q asks for by name
// or label; each service is looked at once.
func (m *Model) listsByService(p *projectEntry, q *sallyport.EndpointQuery) []*order[sallyport.Endpoint] {
	var out []*order[sallyport.Endpoint]
	part := strings.ToLower(q.ServiceName)
	if p.byService == nil {
		return nil
	}
	p.byService.Scan(func(g *group[sallyport.ServiceID]) bool {
		s, ok := m.Service(g.key)
		if ok && (q.BorderGroup == "" || s.BorderGroup == q.BorderGroup) && (part == "" || hasName(s, part)) {
			out = append(out, &g.endpoints)
		}
		return true
	})
	return out
}

func groupOf[K ~string](groups *tree[*group[K]], key K) (*group[K], bool) {
	if groups == nil {
		return nil, false
	}
	return groups.Get(&group[K]{key: key})
}

// single answers a query that names one endpoint by id or marker.
func (m *Model) single(q *sallyport.EndpointQuery) ([]*sallyport.Endpoint, int) {
	id := q.ID
	if q.Marker != 0 {
		k, ok := m.markers.Get(markerKey{marker: q.Marker})
		if !ok || id != "" && id != k.id {
			return nil, 0
		}
		id = k.id
	}
	e, ok := m.Endpoint(id)
	if !ok || !m.matches(q, e) {
		return nil, 0
	}
	if q.Offset > 0 || q.Limit <= 0 {
		return nil, 1
	}
	return []*sallyport.Endpoint{e}, 1
}

// matches reports whether an endpoint is what q selects, its id and marker apart.
func (m *Model) matches(q *sallyport.EndpointQuery, e *sallyport.Endpoint) bool {
	switch {
	case q.ServiceID != "" && e.ServiceID != q.ServiceID,
		q.ProjectID != "" && e.ProjectID != q.ProjectID,
		q.Status != 0 && e.Status != q.Status,
		q.VPCID != "" && e.VPCID != q.VPCID:
		return false
	case q.ServiceName == "" && q.BorderGroup == "":
		return true
	}
	s, ok := m.Service(e.ServiceID)
	return ok && (q.BorderGroup == "" || s.BorderGroup == q.BorderGroup) &&
		(q.ServiceName == "" || hasName(s, strings.ToLower(q.ServiceName)))
}

// Permission returns one record of a service's whitelist.
func (m *Model) Permission(s sallyport.ServiceID, id sallyport.PermissionID) (*sallyport.Permission, bool) {
	e, ok := m.entry(s)
	if !ok || e.permByID == nil {
		return nil, false
	}
	return e.permByID.Get(&sallyport.Permission{ID: id})
}

// Permissions returns one page of a service's whitelist.
func (m *Model) Permissions(q sallyport.PermissionQuery) ([]*sallyport.Permission, int) {
	e, ok := m.entry(q.ServiceID)
	if !ok {
		return nil, 0
	}
	if q.Contains == "" {
		return e.perms.page(q.Page), e.perms.len()
	}
	return e.perms.search(q.Page, func(p *sallyport.Permission) bool {
		return strings.Contains(p.Value, q.Contains)
	})
}

// Admits reports whether a whitelist record of the service admits the account.
func (m *Model) Admits(id sallyport.ServiceID, d sallyport.DomainID) bool {
	e, ok := m.entry(id)
	if !ok || e.perms.created == nil {
		return false
	}
	found := false
	e.perms.created.Scan(func(p *sallyport.Permission) bool {
		found = p.Admits(d)
		return !found
	})
	return found
}

// Connections returns the number of the service's endpoints in the status.
func (m *Model) Connections(id sallyport.ServiceID, st sallyport.Status) int {
	e, ok := m.entry(id)
	if !ok || int(st) >= len(e.byStatus) {
		return 0
	}
	return e.byStatus[st].len()
}

// Usage returns how many services and endpoints the project has.
func (m *Model) Usage(id sallyport.ProjectID) (services, endpoints int) {
	p, ok := m.projects.Get(&projectEntry{id: id})
	if !ok {
		return 0, 0
	}
	return p.services.len(), p.endpoints.len()
}

// BackendPort returns the service that forwards to this port of the backend.
func (m *Model) BackendPort(id sallyport.PortID, p sallyport.PortMapping) (sallyport.ServiceID, bool) {
	k, ok := m.ports.Get(portKey{port: id, server: p.Server, protocol: p.Protocol})
	return k.service, ok
}

// Instance returns the managed resource.
func (m *Model) Instance(id sallyport.InstanceID) (*sallyport.Instance, bool) {
	return m.instances.Get(&sallyport.Instance{ID: id})
}

// Instances returns one page of a project's managed resources.
func (m *Model) Instances(q sallyport.InstanceQuery) ([]*sallyport.Instance, int) {
	p, ok := m.projects.Get(&projectEntry{id: q.ProjectID})
	if !ok {
		return nil, 0
	}
	return p.instances.search(q.Page, func(i *sallyport.Instance) bool { return q.Kind == "" || i.Kind == q.Kind })
}

// EachInstance calls yield for the managed resources of all projects.
func (m *Model) EachInstance(yield func(*sallyport.Instance) bool) { m.instances.Scan(yield) }

// Subnet returns the network given to a subnet.
func (m *Model) Subnet(id sallyport.SubnetID) (*sallyport.SubnetLease, bool) {
	return m.subnets.Get(&sallyport.SubnetLease{ID: id})
}

// LastSubnet returns the highest network that was given, invalid before the
// first.
func (m *Model) LastSubnet() netip.Prefix { return m.lastSubnet }

// AddressOf returns the endpoint that has the address in the subnet.
func (m *Model) AddressOf(id sallyport.SubnetID, a netip.Addr) (sallyport.EndpointID, bool) {
	k, ok := m.addresses.Get(addressKey{subnet: id, address: a})
	return k.id, ok
}

// FreeAddress returns the address after the highest in use, or else the lowest
// gap, so that freed addresses rest for as long as there are others. The first address (the gateway's by custom), the network's own and the broadcast
// address are never given.
func (m *Model) FreeAddress(id sallyport.SubnetID, within netip.Prefix) (netip.Addr, bool) {
	first := within.Masked().Addr().Next().Next()
	last := lastHost(within)
	top := netip.Addr{}
	m.addresses.Descend(addressKey{subnet: id, address: last}, func(k addressKey) bool {
		if k.subnet == id && within.Contains(k.address) {
			top = k.address
		}
		return false
	})
	if !top.IsValid() || top.Less(first) {
		return first, within.Contains(first) && !last.Less(first)
	}
	if next := top.Next(); !last.Less(next) {
		return next, true
	}
	want := first
	m.addresses.Ascend(addressKey{subnet: id, address: first}, func(k addressKey) bool {
		if k.subnet != id || k.address != want {
			return false
		}
		want = want.Next()
		return true
	})
	return want, within.Contains(want) && !last.Less(want)
}

// lastHost returns the highest address of the prefix that a host may have.
func lastHost(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	if a.Is4() {
		return a.Prev() // the last one is the broadcast address
	}
	return a
}

// Revoked reports whether the token was revoked.
func (m *Model) Revoked(id string) bool {
	_, ok := m.revoked.Get(&sallyport.Revocation{TokenID: id})
	return ok
}

// Revocations returns the number of revoked tokens that have not expired.
func (m *Model) Revocations(now time.Time) int {
	n := 0
	m.revoked.Scan(func(r *sallyport.Revocation) bool {
		if r.ExpiresAt.After(now) {
			n++
		}
		return true
	})
	return n
}

// ChangesSince calls yield for services and endpoints whose last change is
// beyond since, in order of their revisions.
func (m *Model) ChangesSince(since sallyport.Revision, yield func(sallyport.Change) bool) {
	services := m.serviceRev.Iter()
	defer services.Release()
	endpoints := m.endpntRev.Iter()
	defer endpoints.Release()
	moreS := services.Seek(&sallyport.Service{Rev: since + 1})
	moreE := endpoints.Seek(&sallyport.Endpoint{Rev: since + 1})
	for moreS || moreE {
		if !moreE || moreS && services.Item().Rev < endpoints.Item().Rev {
			s := services.Item()
			if !yield(sallyport.Change{Rev: s.Rev, Service: s}) {
				return
			}
			moreS = services.Next()
			continue
		}
		e := endpoints.Item()
		if !yield(sallyport.Change{Rev: e.Rev, Endpoint: e}) {
			return
		}
		moreE = endpoints.Next()
	}
}

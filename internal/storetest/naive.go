package storetest

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Naive is a sallyport.Tx made of maps that are walked for every question:
// slow and plainly right. Its zero value is not ready; call NewNaive.
type Naive struct {
	rev         sallyport.Revision
	services    map[sallyport.ServiceID]*sallyport.Service
	endpoints   map[sallyport.EndpointID]*sallyport.Endpoint
	permissions map[permissionKey]*sallyport.Permission
	subnets     map[sallyport.SubnetID]*sallyport.SubnetLease
	revoked     map[string]*sallyport.Revocation
	instances   map[sallyport.InstanceID]*sallyport.Instance
}

type permissionKey struct {
	service sallyport.ServiceID
	id      sallyport.PermissionID
}

var _ sallyport.Tx = (*Naive)(nil)

// NewNaive returns an empty state at revision 0.
func NewNaive() *Naive {
	return &Naive{
		services: map[sallyport.ServiceID]*sallyport.Service{}, endpoints: map[sallyport.EndpointID]*sallyport.Endpoint{},
		permissions: map[permissionKey]*sallyport.Permission{}, subnets: map[sallyport.SubnetID]*sallyport.SubnetLease{},
		revoked: map[string]*sallyport.Revocation{}, instances: map[sallyport.InstanceID]*sallyport.Instance{},
	}
}

// Clone returns a copy that later changes of n do not reach.
func (n *Naive) Clone() *Naive {
	return &Naive{
		rev: n.rev, services: maps.Clone(n.services), endpoints: maps.Clone(n.endpoints),
		permissions: maps.Clone(n.permissions), subnets: maps.Clone(n.subnets), revoked: maps.Clone(n.revoked),
		instances: maps.Clone(n.instances),
	}
}

// Record counts one revision.
func (n *Naive) Record(sallyport.Record) sallyport.Revision {
	n.rev++
	return n.rev
}

// PutService puts s.
func (n *Naive) PutService(s *sallyport.Service) { n.services[s.ID] = s }

// RemoveService removes the service.
func (n *Naive) RemoveService(id sallyport.ServiceID) { delete(n.services, id) }

// PutEndpoint puts e.
func (n *Naive) PutEndpoint(e *sallyport.Endpoint) { n.endpoints[e.ID] = e }

// RemoveEndpoint removes the endpoint.
func (n *Naive) RemoveEndpoint(id sallyport.EndpointID) { delete(n.endpoints, id) }

// PutPermission puts p.
func (n *Naive) PutPermission(p *sallyport.Permission) {
	n.permissions[permissionKey{p.ServiceID, p.ID}] = p
}

// RemovePermission removes the whitelist record.
func (n *Naive) RemovePermission(s sallyport.ServiceID, id sallyport.PermissionID) {
	delete(n.permissions, permissionKey{s, id})
}

// PutSubnet puts l.
func (n *Naive) PutSubnet(l *sallyport.SubnetLease) { n.subnets[l.ID] = l }

// PutRevocation puts r.
func (n *Naive) PutRevocation(r *sallyport.Revocation) { n.revoked[r.TokenID] = r }

// NextMarker returns one more than the highest marker, or the lowest gap.
func (n *Naive) NextMarker() (sallyport.Marker, bool) {
	taken := map[sallyport.Marker]bool{}
	top := sallyport.Marker(0)
	for _, e := range n.endpoints {
		taken[e.Marker] = true
		top = max(top, e.Marker)
	}
	if top < sallyport.MaxMarker {
		return top + 1, true
	}
	for m := sallyport.Marker(1); ; m++ { // a test cannot have 2^31 endpoints
		if !taken[m] {
			return m, true
		}
	}
}

// Revision returns the number of records.
func (n *Naive) Revision() sallyport.Revision { return n.rev }

// Service returns the service.
func (n *Naive) Service(id sallyport.ServiceID) (*sallyport.Service, bool) {
	s, ok := n.services[id]
	return s, ok
}

// Services returns one page.
func (n *Naive) Services(q sallyport.ServiceQuery) ([]*sallyport.Service, int) {
	var all []*sallyport.Service
	for _, s := range n.services {
		mine := s.ProjectID == q.ProjectID && s.SystemName == ""
		if q.Public {
			mine = s.SystemName != ""
		}
		if mine && s.Status != sallyport.ServiceDeleted && (q.ID == "" || s.ID == q.ID) &&
			(q.Status == 0 || s.Status == q.Status) && containsFold(s.FullName(), q.Name) &&
			hasLabels(s, q.ServerType, q.NetType, q.BorderGroup) {
			all = append(all, s)
		}
	}
	return page(all, q.Page, func(s *sallyport.Service) key { return key{s.CreatedAt, s.UpdatedAt, string(s.ID)} })
}

// Endpoint returns the endpoint.
func (n *Naive) Endpoint(id sallyport.EndpointID) (*sallyport.Endpoint, bool) {
	e, ok := n.endpoints[id]
	return e, ok
}

// Endpoints returns one page.
func (n *Naive) Endpoints(q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int) {
	var all []*sallyport.Endpoint
	for _, e := range n.endpoints {
		name, border := "", ""
		if s, ok := n.services[e.ServiceID]; ok {
			name, border = s.FullName(), s.BorderGroup
		}
		if (q.ProjectID == "" || e.ProjectID == q.ProjectID) && (q.ServiceID == "" || e.ServiceID == q.ServiceID) &&
			(q.ID == "" || e.ID == q.ID) && (q.Marker == 0 || e.Marker == q.Marker) &&
			(q.Status == 0 || e.Status == q.Status) && (q.VPCID == "" || e.VPCID == q.VPCID) &&
			containsFold(name, q.ServiceName) && (q.BorderGroup == "" || border == q.BorderGroup) {
			all = append(all, e)
		}
	}
	return page(all, q.Page, func(e *sallyport.Endpoint) key { return key{e.CreatedAt, e.UpdatedAt, string(e.ID)} })
}

// Permissions returns one page.
func (n *Naive) Permissions(q sallyport.PermissionQuery) ([]*sallyport.Permission, int) {
	var all []*sallyport.Permission
	for _, p := range n.permissions {
		if p.ServiceID == q.ServiceID && strings.Contains(p.Value, q.Contains) {
			all = append(all, p)
		}
	}
	return page(all, q.Page, func(p *sallyport.Permission) key { return key{p.CreatedAt, p.CreatedAt, string(p.ID)} })
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

type key struct {
	created, updated time.Time
	id               string
}

// page sorts all and cuts out what p asks for.
func page[T any](all []*T, p sallyport.Page, keyOf func(*T) key) ([]*T, int) {
	slices.SortFunc(all, func(a, b *T) int {
		x, y := keyOf(a), keyOf(b)
		c := x.created.Compare(y.created)
		if p.Sort == sallyport.SortUpdated {
			c = x.updated.Compare(y.updated)
		}
		if c = cmp.Or(c, cmp.Compare(x.id, y.id)); !p.Ascending {
			c = -c
		}
		return c
	})
	from := min(p.Offset, len(all))
	to := min(from+min(p.Limit, sallyport.MaxPage), len(all))
	if from == to {
		return nil, len(all)
	}
	return all[from:to], len(all)
}

// Admits asks every whitelist record.
func (n *Naive) Admits(s sallyport.ServiceID, d sallyport.DomainID) bool {
	for _, p := range n.permissions {
		if p.ServiceID == s && p.Admits(d) {
			return true
		}
	}
	return false
}

// Connections counts.
func (n *Naive) Connections(s sallyport.ServiceID, st sallyport.Status) int {
	_, total := n.Endpoints(sallyport.EndpointQuery{ServiceID: s, Status: st})
	return total
}

// Usage counts.
func (n *Naive) Usage(p sallyport.ProjectID) (services, endpoints int) {
	_, services = n.Services(sallyport.ServiceQuery{ProjectID: p})
	_, endpoints = n.Endpoints(sallyport.EndpointQuery{ProjectID: p})
	return services, endpoints
}

// BackendPort asks every service.
func (n *Naive) BackendPort(id sallyport.PortID, port sallyport.PortMapping) (sallyport.ServiceID, bool) {
	for _, s := range n.services {
		if s.PortID != id || s.SystemName != "" || s.Status == sallyport.ServiceDeleted {
			continue
		}
		for _, p := range s.Ports {
			if p.Server == port.Server && p.Protocol == port.Protocol {
				return s.ID, true
			}
		}
	}
	return "", false
}

// Subnet returns the lease.
func (n *Naive) Subnet(id sallyport.SubnetID) (*sallyport.SubnetLease, bool) {
	l, ok := n.subnets[id]
	return l, ok
}

// LastSubnet compares all.
func (n *Naive) LastSubnet() netip.Prefix {
	var last netip.Prefix
	for _, l := range n.subnets {
		if !last.IsValid() || last.Addr().Less(l.Prefix.Addr()) {
			last = l.Prefix
		}
	}
	return last
}

// AddressOf asks every endpoint.
func (n *Naive) AddressOf(s sallyport.SubnetID, a netip.Addr) (sallyport.EndpointID, bool) {
	for _, e := range n.endpoints {
		if e.SubnetID == s && e.Address.IsValid() && e.Address == a {
			return e.ID, true
		}
	}
	return "", false
}

// FreeAddress returns the address after the highest in use, or the lowest gap,
// of those that a host may have: not the network's, not the gateway's (the
// first) and not the broadcast address.
func (n *Naive) FreeAddress(s sallyport.SubnetID, within netip.Prefix) (netip.Addr, bool) {
	var hosts []netip.Addr
	for a := within.Masked().Addr(); within.Contains(a); a = a.Next() {
		hosts = append(hosts, a)
	}
	if len(hosts) < 4 {
		return netip.Addr{}, false
	}
	hosts = hosts[2 : len(hosts)-1]
	taken := func(a netip.Addr) bool { _, ok := n.AddressOf(s, a); return ok }
	after := 0
	for i, a := range hosts {
		if taken(a) {
			after = i + 1
		}
	}
	for _, a := range slices.Concat(hosts[after:], hosts) {
		if !taken(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Revoked looks.
func (n *Naive) Revoked(id string) bool {
	_, ok := n.revoked[id]
	return ok
}

// Revocations counts.
func (n *Naive) Revocations(now time.Time) int {
	count := 0
	for _, r := range n.revoked {
		if r.ExpiresAt.After(now) {
			count++
		}
	}
	return count
}

// ChangesSince sorts all by revision.
func (n *Naive) ChangesSince(since sallyport.Revision, yield func(sallyport.Change) bool) {
	var all []sallyport.Change
	for _, s := range n.services {
		all = append(all, sallyport.Change{Rev: s.Rev, Service: s})
	}
	for _, e := range n.endpoints {
		all = append(all, sallyport.Change{Rev: e.Rev, Endpoint: e})
	}
	sortChanges(all)
	for _, c := range all {
		if c.Rev > since && !yield(c) {
			return
		}
	}
}

// sortChanges puts changes in order of revisions; the order of those that share
// one is nobody's business, so they are put in order of their ids.
func sortChanges(all []sallyport.Change) {
	id := func(c sallyport.Change) string {
		if c.Service != nil {
			return "service " + string(c.Service.ID)
		}
		return "endpoint " + string(c.Endpoint.ID)
	}
	slices.SortFunc(all, func(a, b sallyport.Change) int {
		return cmp.Or(cmp.Compare(a.Rev, b.Rev), bytes.Compare([]byte(id(a)), []byte(id(b))))
	})
}

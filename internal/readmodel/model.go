package readmodel

import (
	"cmp"
	"net/netip"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// serviceEntry is a service with the lists that belong to it.
type serviceEntry struct {
	gen      uint64 // the draft generation that may change this entry in place
	id       sallyport.ServiceID
	service  *sallyport.Service
	perms    order[sallyport.Permission]
	permByID *tree[*sallyport.Permission]
	conns    order[sallyport.Endpoint]
	byStatus [sallyport.StatusDeleting + 1]order[sallyport.Endpoint]
}

// projectEntry is a project with the lists that belong to it.
type projectEntry struct {
	gen       uint64
	id        sallyport.ProjectID
	services  order[sallyport.Service]
	endpoints order[sallyport.Endpoint]
	instances order[sallyport.Instance]
	byVPC     *tree[*group[sallyport.VPCID]]
	byService *tree[*group[sallyport.ServiceID]]
	tags      *tree[*tagEntry]
}

// group is the part of a project's endpoints that have one thing in common.
type group[K ~string] struct {
	gen       uint64
	key       K
	endpoints order[sallyport.Endpoint]
}

func newGroups[K ~string]() *tree[*group[K]] {
	return newTree(func(a, b *group[K]) bool { return a.key < b.key })
}

func forkGroup[K ~string](g *group[K], gen uint64) *group[K] {
	return &group[K]{gen: gen, key: g.key, endpoints: g.endpoints.fork()}
}

type markerKey struct {
	marker sallyport.Marker
	id     sallyport.EndpointID
}

type addressKey struct {
	subnet  sallyport.SubnetID
	address netip.Addr
	id      sallyport.EndpointID
}

type portKey struct {
	port     sallyport.PortID
	server   uint16
	protocol string
	service  sallyport.ServiceID
}

// Model is the state at one revision. It implements sallyport.View and is never
// changed after a Draft has published it.
type Model struct {
	rev        sallyport.Revision
	lastSubnet netip.Prefix
	services   *tree[*serviceEntry]
	projects   *tree[*projectEntry]
	endpoints  *tree[*sallyport.Endpoint]
	public     order[sallyport.Service]
	markers    *tree[markerKey]
	addresses  *tree[addressKey]
	ports      *tree[portKey]
	subnets    *tree[*sallyport.SubnetLease]
	revoked    *tree[*sallyport.Revocation]
	instances  *tree[*sallyport.Instance]
	serviceRev *tree[*sallyport.Service]
	endpntRev  *tree[*sallyport.Endpoint]
}

var _ sallyport.View = (*Model)(nil)

func newModel() Model {
	return Model{
		services:   newTree(func(a, b *serviceEntry) bool { return a.id < b.id }),
		projects:   newTree(func(a, b *projectEntry) bool { return a.id < b.id }),
		endpoints:  newTree(func(a, b *sallyport.Endpoint) bool { return a.ID < b.ID }),
		markers:    newTree(func(a, b markerKey) bool { return a.marker < b.marker }),
		addresses:  newTree(lessAddress),
		ports:      newTree(lessPort),
		subnets:    newTree(func(a, b *sallyport.SubnetLease) bool { return a.ID < b.ID }),
		revoked:    newTree(func(a, b *sallyport.Revocation) bool { return a.TokenID < b.TokenID }),
		instances:  newTree(func(a, b *sallyport.Instance) bool { return a.ID < b.ID }),
		serviceRev: newTree(func(a, b *sallyport.Service) bool { return lessRev(a.Rev, b.Rev, a.ID, b.ID) }),
		endpntRev:  newTree(func(a, b *sallyport.Endpoint) bool { return lessRev(a.Rev, b.Rev, a.ID, b.ID) }),
	}
}

func lessRev[T ~string](a, b sallyport.Revision, ia, ib T) bool {
	if a != b {
		return a < b
	}
	return ia < ib
}

func lessAddress(a, b addressKey) bool {
	if a.subnet != b.subnet {
		return a.subnet < b.subnet
	}
	return a.address.Less(b.address)
}

func lessPort(a, b portKey) bool {
	if c := cmp.Compare(a.port, b.port); c != 0 {
		return c < 0
	}
	if a.server != b.server {
		return a.server < b.server
	}
	return a.protocol < b.protocol
}

// fork returns a picture of m that later changes of m do not reach.
func (m *Model) fork() *Model {
	return &Model{
		rev: m.rev, lastSubnet: m.lastSubnet, services: fork(m.services), projects: fork(m.projects), endpoints: fork(m.endpoints),
		public: m.public.fork(), markers: fork(m.markers), addresses: fork(m.addresses), ports: fork(m.ports),
		subnets: fork(m.subnets), revoked: fork(m.revoked), instances: fork(m.instances),
		serviceRev: fork(m.serviceRev), endpntRev: fork(m.endpntRev),
	}
}

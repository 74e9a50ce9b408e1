package sallyport

import (
	"context"
	"net/netip"
	"time"
)

// Store keeps the truth. What it promises, on every database:
//
//   - Update is atomic and durable: when it returns nil, all that fn put is on
//     disk together with its records; when it returns an error, none of it is
//     seen, then or later, unless the error says that the outcome is unknown.
//   - Revisions have no holes and are in commit order: whoever has seen n and
//     asks for what came after n misses nothing.
//   - View is never stale: it shows at least every Update that had returned
//     before View was called, on this process or on another.
//
// A Store is safe for concurrent use.
type Store interface {
	// View returns the state at one revision, immutable.
	View(ctx context.Context) (View, error)

	// Update runs fn in a transaction. Several callers may share one durable
	// transaction; each fn is judged on its own and sees all before it. fn must
	// be quick, must not block, and may run more than once, so it sets its
	// captured results anew each time. An error of fn discards what it put and is
	// returned as it is.
	Update(ctx context.Context, fn func(Tx) error) error

	// Wait returns when the store's revision is beyond since, or when ctx ends.
	Wait(ctx context.Context, since Revision) error

	// Audit returns up to limit records with a revision beyond since, in order.
	Audit(ctx context.Context, since Revision, limit int) ([]Record, error)

	// Secret returns the secret with this name, 32 random bytes made and kept on
	// the first call and the same for every process that shares the store.
	Secret(ctx context.Context, name string) ([]byte, error)

	// Close releases the store; an Update after it returns an error.
	Close() error
}

// Tx is one transaction's view and pen. Reads see what the transaction put.
type Tx interface {
	View

	// Record appends r to the log and returns its revision. Objects put because
	// of it carry that revision in Rev.
	Record(r Record) Revision

	PutService(s *Service)
	// RemoveService forgets the row: only for a tombstone without endpoints.
	RemoveService(id ServiceID)
	PutEndpoint(e *Endpoint)
	RemoveEndpoint(id EndpointID)
	PutPermission(p *Permission)
	RemovePermission(s ServiceID, id PermissionID)
	PutSubnet(l *SubnetLease)
	PutRevocation(r *Revocation)
	PutInstance(i *Instance)
	RemoveInstance(id InstanceID)

	// NextMarker returns a marker that no endpoint has, or false when all are
	// taken.
	NextMarker() (Marker, bool)
}

// Sort is the key of a list; ties are broken by id.
type Sort uint8

// The two sort keys of every list.
const (
	SortCreated Sort = iota
	SortUpdated
)

// MaxPage is the largest page a View hands out (VPCEP API reference, limit).
const MaxPage = 1000

// Page says which part of a list is wanted and in which order. The zero value
// asks for nothing: Limit is the number of items, 0…MaxPage.
type Page struct {
	Offset, Limit int
	Sort          Sort
	Ascending     bool // default is newest first
}

// ServiceQuery selects services. Deleted ones are never among them.
type ServiceQuery struct {
	Page
	ProjectID ProjectID // "" with Public
	Public    bool      // the operator's own services instead of a project's
	ID        ServiceID
	Name      string // case-insensitive part of the full name
	Status    ServiceStatus
	// ServerType, NetType and BorderGroup are exact; "" is any.
	ServerType, NetType, BorderGroup string
}

// EndpointQuery selects endpoints: those of a project, or the connections of a
// service. Exactly one of ProjectID and ServiceID is set.
type EndpointQuery struct {
	Page
	ProjectID   ProjectID
	ServiceID   ServiceID
	ID          EndpointID
	Marker      Marker
	Status      Status
	VPCID       VPCID
	ServiceName string // case-insensitive part of the service's full name
	BorderGroup string // of the endpoint's service
}

// PermissionQuery selects whitelist records of a service.
type PermissionQuery struct {
	Page
	ServiceID ServiceID
	Contains  string // case-sensitive part of the value
}

// TagFilter names a key and the values it may have; no values is any value.
type TagFilter struct {
	Key    string
	Values []string
}

// TagQuery selects a project's services or endpoints by their tags. All that is
// given has to hold; nothing given selects everything.
type TagQuery struct {
	Page
	ProjectID ProjectID
	Kind      ObjectKind  // ObjectService or ObjectEndpoint
	All       []TagFilter // has each of the keys
	Any       []TagFilter // has one of the keys
	NotAll    []TagFilter // has not all of the keys
	NotAny    []TagFilter // has none of the keys
	Untagged  bool        // has no tag at all; the four lists are then ignored
	Name      string      // case-insensitive part of the name
	ID        string      // exact
}

// Change is one object that changed, for those who follow the log.
type Change struct {
	Rev      Revision
	Service  *Service
	Endpoint *Endpoint
}

// View is the state at one revision. Everything it hands out is shared and must
// not be changed.
type View interface {
	Revision() Revision
	// Service returns the service; a deleted one is returned with its status.
	Service(id ServiceID) (*Service, bool)
	// Services returns one page and the number of all that match.
	Services(q ServiceQuery) ([]*Service, int)
	Endpoint(id EndpointID) (*Endpoint, bool)
	// Endpoints returns one page and the number of all that match.
	Endpoints(q EndpointQuery) ([]*Endpoint, int)
	// Permissions returns one page and the number of all that match.
	Permissions(q PermissionQuery) ([]*Permission, int)
	// Admits reports whether a whitelist record of the service admits the account.
	Admits(s ServiceID, d DomainID) bool
	// Connections returns the number of endpoints of the service in the status.
	Connections(s ServiceID, st Status) int
	// Usage returns how many services and endpoints the project has.
	Usage(p ProjectID) (services, endpoints int)
	// Permission returns one record of a service's whitelist.
	Permission(s ServiceID, id PermissionID) (*Permission, bool)
	// Tagged returns one page of the resources that match, and the number of all.
	Tagged(q TagQuery) ([]TaggedResource, int)
	// TagKeys returns the keys and values of all resources of the kind, sorted.
	TagKeys(p ProjectID, kind ObjectKind) []TagKey
	// BackendPort returns the service that forwards to this port of the backend.
	BackendPort(p PortID, port PortMapping) (ServiceID, bool)
	// Instance returns the managed resource.
	Instance(id InstanceID) (*Instance, bool)
	// Instances returns one page of a project's managed resources and the number
	// of all that match.
	Instances(q InstanceQuery) ([]*Instance, int)
	// EachInstance calls yield for the managed resources of all projects until it
	// returns false.
	EachInstance(yield func(*Instance) bool)
	// Subnet returns the network given to a subnet.
	Subnet(id SubnetID) (*SubnetLease, bool)
	// LastSubnet returns the highest network that was given, invalid before the
	// first. They are given in order and never taken back.
	LastSubnet() netip.Prefix
	// AddressOf returns the endpoint that has the address in the subnet.
	AddressOf(s SubnetID, a netip.Addr) (EndpointID, bool)
	// FreeAddress returns an address of the prefix that no endpoint of the subnet
	// has: the one after the highest in use, or else the lowest gap.
	FreeAddress(s SubnetID, within netip.Prefix) (netip.Addr, bool)
	// Revoked reports whether the token was revoked.
	Revoked(tokenID string) bool
	// Revocations returns the number of revoked tokens that have not expired.
	Revocations(now time.Time) int
	// ChangesSince calls yield for services and endpoints whose last change is
	// beyond since, in order of their revisions, until yield returns false.
	ChangesSince(since Revision, yield func(Change) bool)
}

package storetest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// epoch is the time at which tests play. It lies in the future, so that a store
// with a real clock does not take their revocations for expired.
var epoch = time.Date(2096, 2, 29, 23, 59, 59, 123456000, time.UTC)

// expiry is how long tokens of tests live after epoch.
const expiry = time.Hour

// The small worlds that random tests choose from.
var (
	projects    = []sallyport.ProjectID{"project-a", "project-b", "project-c"}
	domains     = []sallyport.DomainID{"domain-a", "domain-b", "domain-c"}
	vpcs        = []sallyport.VPCID{"vpc-a", "vpc-b"}
	subnets     = []sallyport.SubnetID{"subnet-a", "subnet-b"}
	ports       = []sallyport.PortID{"port-a", "port-b", "port-c"}
	serverPorts = []sallyport.PortMapping{{Server: 80, Protocol: "TCP"}, {Server: 443, Protocol: "TCP"}, {Server: 80, Protocol: "UDP"}}
	network     = netip.MustParsePrefix("127.64.1.0/28")
)

// Service returns a service with every field set, made at epoch.
func Service(project sallyport.ProjectID) *sallyport.Service {
	id := sallyport.NewID[sallyport.ServiceID]()
	return &sallyport.Service{
		ID: id, Name: "Orders", Region: "eu-west-101", Kind: sallyport.KindInterface,
		ServerType: "VM", ProjectID: project, DomainID: "domain-a", VPCID: "vpc-a", PortID: sallyport.PortID("port of " + id),
		VIPPortID: "vip", PoolID: "pool", IP: "10.0.0.1", IPVersion: "ipv4", SNATNetwork: "snat",
		Ports:    []sallyport.PortMapping{{Client: 8080, Server: 80, Protocol: "TCP"}, {Client: 8443, Server: 443, Protocol: "TCP"}},
		TCPProxy: sallyport.ProxyBoth, Approval: true, Policy: true, Status: sallyport.ServiceAvailable,
		Description: "Bestellungen „à la carte“ <&> \U0001f6aa", Tags: []sallyport.Tag{{Key: "tier", Value: "1"}, {Key: "ключ", Value: ""}},
		Professional: true, Resources: []sallyport.ServerResource{{ID: "balancer", Zone: "eu-west-101a"}},
		BorderGroup: "edge", OnRevoke: sallyport.RevokeCut, ManagedBy: "gateway",
		CreatedAt: epoch, UpdatedAt: epoch.Add(time.Second),
	}
}

// Endpoint returns an endpoint to the service with every field set, made at
// epoch; n makes its address and its marker: 2 and more, below 60,000.
func Endpoint(s *sallyport.Service, n int) *sallyport.Endpoint {
	return &sallyport.Endpoint{
		ID: sallyport.NewID[sallyport.EndpointID](), ServiceID: s.ID, ProjectID: "project-b", DomainID: "domain-b",
		VPCID: "vpc-b", SubnetID: "subnet-b", Address: netip.AddrFrom4([4]byte{127, 64, byte(n >> 8), byte(n)}), Outside: true,
		Marker: sallyport.Marker(n), Status: sallyport.StatusPending, WasAccepted: true, Unattached: true,
		Fault: &sallyport.Fault{Reason: "bind", Message: "the address is \"taken\""}, EnableDNS: true, EnableWhitelist: true,
		Whitelist: []string{"10.0.0.0/8", "192.168.1.1"}, RouteTables: []string{"table-1"}, Tags: []sallyport.Tag{{Key: "k", Value: "v"}},
		Description: "the consumer's", Note: "the owner's", Specification: "default", IPVersion: "ipv4",
		IPv6Address: "2001:db8::1", PolicyStatement: `[{"Effect":"Allow"}]`, PolicyDocument: `{"Version":"5.0"}`, Professional: true,
		CreatedAt: epoch, UpdatedAt: epoch.Add(time.Second),
	}
}

// Permission returns a whitelist record of the service with every field set.
func Permission(s sallyport.ServiceID, d sallyport.DomainID) *sallyport.Permission {
	return &sallyport.Permission{
		ID: sallyport.NewID[sallyport.PermissionID](), ServiceID: s, Value: "iam:domain::" + string(d),
		Type: sallyport.PermissionDomain, Description: "a friend", CreatedAt: epoch,
	}
}

// Subnet returns the lease of the n-th network, n below 256.
func Subnet(n int) *sallyport.SubnetLease {
	return &sallyport.SubnetLease{
		ID: sallyport.SubnetID(fmt.Sprintf("leased-%d", n)), VPCID: "vpc-a",
		Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 65, byte(n), 0}), 24),
	}
}

// Instance returns a managed resource with every field set.
func Instance(project sallyport.ProjectID) *sallyport.Instance {
	return &sallyport.Instance{
		ID: sallyport.NewID[sallyport.InstanceID](), Kind: sallyport.InstanceCluster, Name: "search", ProjectID: project,
		DomainID: "domain-a", VPCID: "vpc-a", SubnetID: "subnet-a",
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}, Ports: []uint16{9200},
		ServiceID: "service", EndpointID: "endpoint", Configured: true, CreatedAt: epoch, UpdatedAt: epoch.Add(time.Second),
	}
}

// Revocation returns a revoked token that lives until epoch and expiry.
func Revocation(id string) *sallyport.Revocation {
	return &sallyport.Revocation{TokenID: id, ExpiresAt: epoch.Add(expiry)}
}

// record returns a record about an object with every field set that a store
// does not fill in itself.
func record(kind sallyport.ObjectKind, id string) sallyport.Record {
	return sallyport.Record{
		At: epoch, Family: "vpcep", Operation: "AcceptOrRejectEndpoint", Action: "accept", Outcome: sallyport.OutcomeDone,
		Reason: sallyport.ReasonRefused, Object: kind, ObjectID: id, ServiceID: "service", From: "pending", To: "creating",
		DomainID: "domain-a", ProjectID: "project-a", UserID: "user", UserName: "Пола", Method: "token",
		Source: "[2001:db8::1]:443", RequestID: "request", Detail: "flows=3 agents=1",
	}
}

// CreateService records and puts s.
func CreateService(tx sallyport.Tx, s *sallyport.Service) {
	c := *s
	c.Rev = tx.Record(record(sallyport.ObjectService, string(s.ID)))
	c.SpecRev = c.Rev
	tx.PutService(&c)
}

// CreateEndpoint records and puts e.
func CreateEndpoint(tx sallyport.Tx, e *sallyport.Endpoint) {
	c := *e
	c.Rev = tx.Record(record(sallyport.ObjectEndpoint, string(e.ID)))
	c.SpecRev, c.AdmitRev = c.Rev, c.Rev
	tx.PutEndpoint(&c)
}

// CreatePermission records and puts p.
func CreatePermission(tx sallyport.Tx, p *sallyport.Permission) {
	c := *p
	c.Rev = tx.Record(record(sallyport.ObjectPermissions, string(p.ServiceID)))
	tx.PutPermission(&c)
}

// CreateSubnet records and puts l.
func CreateSubnet(tx sallyport.Tx, l *sallyport.SubnetLease) {
	c := *l
	c.Rev = tx.Record(record(sallyport.ObjectSubnet, string(l.ID)))
	tx.PutSubnet(&c)
}

// CreateInstance records and puts i.
func CreateInstance(tx sallyport.Tx, i *sallyport.Instance) {
	c := *i
	c.Rev = tx.Record(record(sallyport.ObjectInstance, string(i.ID)))
	tx.PutInstance(&c)
}

// RemoveInstance records the end of the managed resource and removes it.
func RemoveInstance(tx sallyport.Tx, id sallyport.InstanceID) {
	tx.Record(record(sallyport.ObjectInstance, string(id)))
	tx.RemoveInstance(id)
}

// CreateRevocation records and puts r.
func CreateRevocation(tx sallyport.Tx, r *sallyport.Revocation) {
	c := *r
	c.Rev = tx.Record(record(sallyport.ObjectToken, r.TokenID))
	tx.PutRevocation(&c)
}

// RemoveEndpoint records the end of the endpoint and removes it.
func RemoveEndpoint(tx sallyport.Tx, id sallyport.EndpointID) {
	tx.Record(record(sallyport.ObjectEndpoint, string(id)))
	tx.RemoveEndpoint(id)
}

// RemovePermission records the end of the whitelist record and removes it.
func RemovePermission(tx sallyport.Tx, s sallyport.ServiceID, id sallyport.PermissionID) {
	tx.Record(record(sallyport.ObjectPermissions, string(s)))
	tx.RemovePermission(s, id)
}

// RemoveService records the end of the service and removes it.
func RemoveService(tx sallyport.Tx, id sallyport.ServiceID) {
	tx.Record(record(sallyport.ObjectService, string(id)))
	tx.RemoveService(id)
}

// Decide records and applies an action to an endpoint, as a use case does.
func Decide(tx sallyport.Tx, id sallyport.EndpointID, a sallyport.Action, now time.Time) error {
	e, ok := tx.Endpoint(id)
	if !ok {
		return sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonEndpointNotFound, "endpoint %s does not exist", id)
	}
	next, changed, err := e.Apply(a, now)
	if err != nil || !changed {
		return err
	}
	r := record(sallyport.ObjectEndpoint, string(id))
	r.Action, r.From, r.To, r.At = a.String(), e.Status.String(), next.Status.String(), now
	next.Rev = tx.Record(r)
	next.SpecRev = next.Rev
	if a == sallyport.ActionAccept {
		next.AdmitRev = next.Rev
	}
	tx.PutEndpoint(&next)
	return nil
}

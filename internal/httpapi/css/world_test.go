package css

import (
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

var _ Plane = (*control.Plane)(nil)

// What there is. Project, cluster and pending endpoint are those of the
// reference's example of updating a connection.
const (
	cluster1 = "4f3deec3-efa8-4598-bf91-560aad1377a3" // open
	closed   = "4f3deec3-efa8-4598-bf91-560aad1377a4"
	service1 = "4189d3c2-8882-4871-a3c2-d380272eed88"

	own      = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd3" // the cluster's own endpoint
	pending  = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd4"
	accepted = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd5"
	rejected = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd6" // was accepted before
	deleting = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd7"
	carried  = "f132bb14-e1d5-4f25-9f7c-a29e4c8effd8" // accepted, by an agent that does not answer

	record = "8a1c6f64-2f3e-4f0e-9a55-1f2f3a4b5c6d" // admits the consumer
	vpc    = "5b2c1d00-0000-4000-8000-000000000001"
	subnet = "5b2c1d00-0000-4000-8000-000000000004"
)

var firstDay = time.Date(2024, 6, 11, 9, 36, 24, 0, time.UTC)

// today is the world of every test.
var today = familytest.World{
	Now: firstDay.Add(24 * time.Hour), Fill: fill,
	Family: func(p *control.Plane) edge.Family { return New(p, Options{}) },
}

func fill(tx sallyport.Tx) error {
	rec := func(kind sallyport.ObjectKind, id string) sallyport.Revision {
		return tx.Record(sallyport.Record{
			At: firstDay, Family: "system", Operation: "fill", Action: "fill", Outcome: sallyport.OutcomeDone, Object: kind, ObjectID: id,
		})
	}
	for n, i := range []*sallyport.Instance{
		{ID: cluster1, Name: "search", ServiceID: service1, EndpointID: own},
		{ID: closed, Name: "archive"},
	} {
		i.Kind, i.ProjectID, i.DomainID, i.VPCID, i.SubnetID = sallyport.InstanceCluster, familytest.OwnerProject, familytest.OwnerDomain, vpc, subnet
		i.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 0, byte(10 * (n + 1))}), netip.AddrFrom4([4]byte{192, 168, 0, byte(10*(n+1) + 1)})}
		i.Ports = []uint16{9200}
		i.CreatedAt, i.UpdatedAt = firstDay.Add(-time.Duration(n)*time.Hour), firstDay
		i.Rev = rec(sallyport.ObjectInstance, string(i.ID))
		tx.PutInstance(i)
	}
	s := &sallyport.Service{
		ID: service1, Name: "css", Region: "eu-west-101", Kind: sallyport.KindInterface, ServerType: "LB", ManagedBy: cluster1,
		ProjectID: familytest.OwnerProject, DomainID: familytest.OwnerDomain, VPCID: vpc, PortID: cluster1, Approval: true,
		Ports: []sallyport.PortMapping{{Client: 9200, Server: 9200, Protocol: "TCP"}}, TCPProxy: sallyport.ProxyClose,
		Status: sallyport.ServiceAvailable, CreatedAt: firstDay, UpdatedAt: firstDay,
	}
	s.Rev = rec(sallyport.ObjectService, service1)
	s.SpecRev = s.Rev
	tx.PutService(s)
	for n, e := range endpoints() {
		e.ServiceID, e.Marker = service1, sallyport.Marker(16777341+n)
		e.CreatedAt = firstDay.Add(time.Duration(n) * time.Minute)
		e.UpdatedAt = e.CreatedAt
		e.Rev = rec(sallyport.ObjectEndpoint, string(e.ID))
		e.SpecRev = e.Rev
		tx.PutEndpoint(e)
	}
	tx.PutPermission(&sallyport.Permission{
		ID: record, ServiceID: service1, Value: "iam:domain::" + familytest.ConsumerDomain, Type: sallyport.PermissionDomain,
		CreatedAt: firstDay, Rev: rec(sallyport.ObjectPermissions, service1),
	})
	return nil
}

func endpoints() []*sallyport.Endpoint {
	of := func(id sallyport.EndpointID, st sallyport.Status, address string) *sallyport.Endpoint {
		return &sallyport.Endpoint{
			ID: id, ProjectID: familytest.ConsumerProject, DomainID: familytest.ConsumerDomain,
			VPCID: "84758cf5-9c62-43ae-a778-3dbd8370c0a4", SubnetID: "16d59b0a-51d9-4a6b-8f41-5b9e3a2c8a01",
			Address: netip.MustParseAddr(address), Status: st, Unattached: true,
			WasAccepted: st == sallyport.StatusAccepted || st == sallyport.StatusRejected,
		}
	}
	first := of(own, sallyport.StatusAccepted, "192.168.0.100")
	first.ProjectID, first.DomainID, first.VPCID, first.SubnetID, first.EnableDNS = familytest.OwnerProject, familytest.OwnerDomain, vpc, subnet, true
	last := of(carried, sallyport.StatusAccepted, "127.64.0.15")
	last.Unattached = false
	return []*sallyport.Endpoint{
		first,
		of(pending, sallyport.StatusPending, "127.64.0.10"),
		of(accepted, sallyport.StatusAccepted, "127.64.0.11"),
		of(rejected, sallyport.StatusRejected, "127.64.0.12"),
		of(deleting, sallyport.StatusDeleting, "127.64.0.14"),
		last,
	}
}

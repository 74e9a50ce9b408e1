package apig

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

var _ Plane = (*control.Plane)(nil)

// What there is. The accepted connection of the first gateway is that of the
// reference's example of querying connections, which has two in all.
const (
	gateway1 = "eddc4d25480b4cd6b512f270a1b8b341"
	service1 = "5b2c1d00-0000-4000-8000-000000000041"
	example  = "76ad893c-6a1e-4055-8019-fe9c9bd3204d" // accepted
	waiting  = "76ad893c-6a1e-4055-8019-fe9c9bd3204c" // pending

	gateway2 = "eddc4d25480b4cd6b512f270a1b8b342" // has connections in every state
	service2 = "5b2c1d00-0000-4000-8000-000000000042"
	pending  = "76ad893c-6a1e-4055-8019-fe9c9bd32050"
	accepted = "76ad893c-6a1e-4055-8019-fe9c9bd32051"
	rejected = "76ad893c-6a1e-4055-8019-fe9c9bd32052"
	failed   = "76ad893c-6a1e-4055-8019-fe9c9bd32053"
	deleting = "76ad893c-6a1e-4055-8019-fe9c9bd32054"
	carried  = "76ad893c-6a1e-4055-8019-fe9c9bd32055" // accepted, by an agent that does not answer

	record1 = "3e4ad73d-59be-4ecb-93d4-46a9bb3b6581" // the owner's own, on the first
	record2 = "3e4ad73d-59be-4ecb-93d4-46a9bb3b6582" // the owner's own, on the second
	record3 = "3e4ad73d-59be-4ecb-93d4-46a9bb3b6583" // the consumer's, on the second

	gateway3 = "eddc4d25480b4cd6b512f270a1b8b343" // its service is missing
	gateway9 = "eddc4d25480b4cd6b512f270a1b8b349" // the use case fails for it

	vpc    = "5b2c1d00-0000-4000-8000-000000000001"
	subnet = "5b2c1d00-0000-4000-8000-000000000004"
)

var (
	firstDay = time.Date(2021, 4, 29, 2, 12, 44, 0, time.UTC)
	today    = familytest.World{
		Now: firstDay.Add(24 * time.Hour), Fill: fill,
		Family: func(p *control.Plane) edge.Family { return New(faulty{p}) },
	}
)

// faulty is a plane whose store breaks whenever one gateway is looked for.
type faulty struct{ *control.Plane }

// ManagedService fails for one gateway with an error that nobody may see.
func (f faulty) ManagedService(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, *sallyport.Service, error) {
	if id == gateway9 {
		return nil, nil, errors.New("read page 7: dial tcp 10.0.0.5:5432: refused")
	}
	return f.Plane.ManagedService(ctx, c, kind, id)
}

func fill(tx sallyport.Tx) error {
	rec := func(kind sallyport.ObjectKind, id string) sallyport.Revision {
		return tx.Record(sallyport.Record{
			At: firstDay, Family: "system", Operation: "fill", Action: "fill", Outcome: sallyport.OutcomeDone, Object: kind, ObjectID: id,
		})
	}
	for n, i := range []*sallyport.Instance{
		{ID: gateway1, Name: "orders", ServiceID: service1},
		{ID: gateway2, Name: "search", ServiceID: service2},
		{ID: gateway3, Name: "archive"},
	} {
		i.Kind, i.ProjectID, i.DomainID, i.VPCID, i.SubnetID = sallyport.InstanceGateway, familytest.OwnerProject, familytest.OwnerDomain, vpc, subnet
		i.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 0, byte(10 * (n + 1))})}
		i.Ports = []uint16{80, 443}
		i.Configured = n == 0
		i.CreatedAt, i.UpdatedAt = firstDay.Add(-time.Duration(n)*time.Hour), firstDay
		i.Rev = rec(sallyport.ObjectInstance, string(i.ID))
		tx.PutInstance(i)
		if i.ServiceID == "" {
			continue
		}
		s := &sallyport.Service{
			ID: i.ServiceID, Name: "apig", Region: "eu-west-101", Kind: sallyport.KindInterface, ServerType: "LB", ManagedBy: i.ID,
			ProjectID: i.ProjectID, DomainID: i.DomainID, VPCID: vpc, PortID: sallyport.PortID(i.ID), Approval: true,
			TCPProxy: sallyport.ProxyClose, Status: sallyport.ServiceAvailable, CreatedAt: i.CreatedAt, UpdatedAt: i.CreatedAt,
		}
		s.Rev = rec(sallyport.ObjectService, string(s.ID))
		s.SpecRev = s.Rev
		tx.PutService(s)
	}
	for n, e := range endpoints() {
		if e.Marker == 0 {
			e.Marker = sallyport.Marker(167960100 + n)
		}
		e.CreatedAt = firstDay.Add(-time.Duration(n) * time.Minute)
		e.UpdatedAt = e.CreatedAt.Add(time.Second)
		e.Rev = rec(sallyport.ObjectEndpoint, string(e.ID))
		e.SpecRev = e.Rev
		tx.PutEndpoint(e)
	}
	for n, p := range []*sallyport.Permission{
		{ID: record1, ServiceID: service1, Value: "iam:domain::" + familytest.OwnerDomain},
		{ID: record2, ServiceID: service2, Value: "iam:domain::" + familytest.OwnerDomain},
		{ID: record3, ServiceID: service2, Value: "iam:domain::" + familytest.ConsumerDomain},
	} {
		p.Type, p.CreatedAt = sallyport.PermissionDomain, firstDay.Add(time.Duration(n)*time.Second)
		p.Rev = rec(sallyport.ObjectPermissions, string(p.ServiceID))
		tx.PutPermission(p)
	}
	return nil
}

func endpoints() []*sallyport.Endpoint {
	of := func(id sallyport.EndpointID, service sallyport.ServiceID, st sallyport.Status, address string) *sallyport.Endpoint {
		return &sallyport.Endpoint{
			ID: id, ServiceID: service, ProjectID: familytest.ConsumerProject, DomainID: familytest.ConsumerDomain,
			VPCID: "84758cf5-9c62-43ae-a778-3dbd8370c0a4", SubnetID: "16d59b0a-51d9-4a6b-8f41-5b9e3a2c8a01",
			Address: netip.MustParseAddr(address), Status: st, Unattached: true,
			WasAccepted: st == sallyport.StatusAccepted || st == sallyport.StatusRejected,
		}
	}
	first := of(example, service1, sallyport.StatusAccepted, "127.64.0.20")
	first.Marker = 167960098
	last := of(carried, service2, sallyport.StatusAccepted, "127.64.0.15")
	last.Unattached = false
	return []*sallyport.Endpoint{
		first,
		of(waiting, service1, sallyport.StatusPending, "127.64.0.21"),
		of(pending, service2, sallyport.StatusPending, "127.64.0.10"),
		of(accepted, service2, sallyport.StatusAccepted, "127.64.0.11"),
		of(rejected, service2, sallyport.StatusRejected, "127.64.0.12"),
		of(failed, service2, sallyport.StatusFailed, "127.64.0.13"),
		of(deleting, service2, sallyport.StatusDeleting, "127.64.0.14"),
		last,
	}
}

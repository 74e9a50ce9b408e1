package vpcep

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

var _ Plane = (*control.Plane)(nil)

// The accounts and things of the world that requests are made in. The ids of
// the service, the endpoint and the account are those of the reference's
// example of accepting an endpoint.
const (
	ownerProject    = "6204a5bd270343b5885144cf9c8c158d"
	ownerDomain     = "d0a1b2c3d4e5f60718293a4b5c6d7e8f"
	consumerProject = "aabbccddeeff00112233445566778899"
	consumerDomain  = "6e9dfd51d1124e8d8498dce894923a0d"
	strangerProject = "11223344556677889900aabbccddeeff"
	strangerDomain  = "0123456789abcdef0123456789abcdef"

	orders   = "4189d3c2-8882-4871-a3c2-d380272eed88" // the owner decides, the consumer is whitelisted
	open     = "4189d3c2-8882-4871-a3c2-d380272eed89" // everyone is whitelisted, no decision is needed
	unused   = "4189d3c2-8882-4871-a3c2-d380272eed8a" // nobody connects
	resolver = "4189d3c2-8882-4871-a3c2-d380272eed8b" // the operator's own
	storage  = "4189d3c2-8882-4871-a3c2-d380272eed8c" // the operator's own, by routes

	pending  = "705290f3-0d00-41f2-aedc-71f09844e879"
	accepted = "705290f3-0d00-41f2-aedc-71f09844e87a"
	rejected = "705290f3-0d00-41f2-aedc-71f09844e87b" // was accepted before
	failed   = "705290f3-0d00-41f2-aedc-71f09844e87c"
	deleting = "705290f3-0d00-41f2-aedc-71f09844e87d"
	carried  = "705290f3-0d00-41f2-aedc-71f09844e87e" // by an agent that does not answer
	other    = "705290f3-0d00-41f2-aedc-71f09844e87f" // of the open service
	routed   = "705290f3-0d00-41f2-aedc-71f09844e880" // of the operator's gateway
)

// world is when things happen in a test.
type world struct {
	created time.Time // when the endpoints were made
	now     time.Time
}

var (
	firstDay = time.Date(2022, 4, 1, 8, 0, 0, 0, time.UTC)
	// today is the day of the newer example of the reference.
	today = world{
		created: time.Date(2022, 4, 14, 9, 35, 47, 0, time.UTC),
		now:     time.Date(2022, 4, 14, 9, 36, 47, 0, time.UTC),
	}
)

// serve fills a store with the world and serves the family on a socket.
func serve(t *testing.T, w world) *httptest.Server {
	t.Helper()
	clock := func() time.Time { return w.now }
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Dir: t.TempDir(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Update(t.Context(), w.fill); err != nil {
		t.Fatal(err)
	}
	var ticks atomic.Int64 // what happens later is newer, and within the same second
	plane := control.New(store, control.Options{
		Region: "eu-west-101", Networks: control.Networks{AllowUnknown: true}, Services: 4, Endpoints: 20,
		ConfirmWait: time.Millisecond, Agentless: true,
		Now: func() time.Time { return w.now.Add(time.Duration(ticks.Add(1)) * time.Millisecond) },
	})
	family := New(plane, Options{PublicURL: "http://sallyport.example:8780/"})
	srv := httptest.NewServer(edge.New(edge.Options{
		Gate: gate{}, Projects: projects{}, Families: []edge.Family{family}, Now: clock,
	}))
	t.Cleanup(srv.Close)
	return srv
}

func (w world) fill(tx sallyport.Tx) error {
	record := func(kind sallyport.ObjectKind, id string) sallyport.Revision {
		return tx.Record(sallyport.Record{
			At: firstDay, Family: "system", Operation: "fill", Action: "fill", Outcome: sallyport.OutcomeDone, Object: kind, ObjectID: id,
		})
	}
	for i, s := range w.services() {
		s.Rev = record(sallyport.ObjectService, string(s.ID))
		s.SpecRev = s.Rev
		s.CreatedAt = firstDay.Add(time.Duration(i) * time.Hour)
		s.UpdatedAt = s.CreatedAt
		s.Status, s.Region = sallyport.ServiceAvailable, "eu-west-101"
		tx.PutService(s)
	}
	for i, e := range w.endpoints() {
		e.Rev = record(sallyport.ObjectEndpoint, string(e.ID))
		e.SpecRev = e.Rev
		e.CreatedAt = w.created.Add(-time.Duration(i) * time.Minute)
		e.UpdatedAt = e.CreatedAt
		e.Marker = sallyport.Marker(16777341 + i)
		tx.PutEndpoint(e)
	}
	tx.PutPermission(&sallyport.Permission{
		ID: "8a1c6f64-2f3e-4f0e-9a55-1f2f3a4b5c6d", ServiceID: orders, Value: "iam:domain::" + consumerDomain,
		Type: sallyport.PermissionDomain, Description: "the web shop", CreatedAt: firstDay,
		Rev: record(sallyport.ObjectPermissions, orders),
	})
	tx.PutPermission(&sallyport.Permission{
		ID: "8a1c6f64-2f3e-4f0e-9a55-1f2f3a4b5c6e", ServiceID: open, Value: "*",
		Type: sallyport.PermissionDomain, CreatedAt: firstDay, Rev: record(sallyport.ObjectPermissions, open),
	})
	return nil
}

func (w world) services() []*sallyport.Service {
	web := []sallyport.PortMapping{{Client: 80, Server: 8080, Protocol: "TCP"}}
	backend := func(id sallyport.ServiceID, name, kind string, port sallyport.PortID, approval bool) *sallyport.Service {
		return &sallyport.Service{
			ID: id, Name: name, Kind: sallyport.KindInterface, ServerType: kind, ProjectID: ownerProject, DomainID: ownerDomain,
			VPCID: "4189d3c2-8882-4871-a3c2-d380272eed80", PortID: port, Ports: web, TCPProxy: sallyport.ProxyClose, Approval: approval,
		}
	}
	list := []*sallyport.Service{
		backend(orders, "orders", "LB", "4189d3c2-8882-4871-a3c2-d380272eed81", true),
		backend(open, "", "VM", "4189d3c2-8882-4871-a3c2-d380272eed82", false),
		backend(unused, "archive", "VM", "4189d3c2-8882-4871-a3c2-d380272eed83", true),
		{ID: resolver, SystemName: "com.example.eu-west-101.dns", Kind: sallyport.KindInterface, ServerType: "LB", DomainID: "operator"},
		{ID: storage, SystemName: "com.example.eu-west-101.obs", Kind: sallyport.KindGateway, ServerType: "LB", DomainID: "operator", Policy: true},
	}
	list[0].Description = "orders of the shop"
	list[0].Tags = []sallyport.Tag{{Key: "env", Value: "prod"}}
	return list
}

func (w world) endpoints() []*sallyport.Endpoint {
	make := func(id sallyport.EndpointID, service sallyport.ServiceID, st sallyport.Status, address string) *sallyport.Endpoint {
		return &sallyport.Endpoint{
			ID: id, ServiceID: service, ProjectID: consumerProject, DomainID: consumerDomain,
			VPCID: "84758cf5-9c62-43ae-a778-3dbd8370c0a4", SubnetID: "16d59b0a-51d9-4a6b-8f41-5b9e3a2c8a01",
			Address: netip.MustParseAddr(address), Status: st, Unattached: true,
			WasAccepted: st == sallyport.StatusAccepted || st == sallyport.StatusRejected,
		}
	}
	list := []*sallyport.Endpoint{
		make(pending, orders, sallyport.StatusPending, "127.64.0.10"),
		make(accepted, orders, sallyport.StatusAccepted, "127.64.0.11"),
		make(rejected, orders, sallyport.StatusRejected, "127.64.0.12"),
		make(failed, orders, sallyport.StatusFailed, "127.64.0.13"),
		make(deleting, orders, sallyport.StatusDeleting, "127.64.0.14"),
		make(carried, orders, sallyport.StatusAccepted, "127.64.0.15"),
		make(other, open, sallyport.StatusAccepted, "127.64.0.16"),
		make(routed, storage, sallyport.StatusAccepted, "127.64.0.17"),
	}
	full := list[1]
	full.EnableDNS, full.EnableWhitelist, full.Whitelist = true, true, []string{"192.168.1.0/24", "192.168.2.7"}
	full.Description, full.Note = "checkout", "agreed with the shop"
	full.Tags = []sallyport.Tag{{Key: "team", Value: "结算"}}
	list[3].Fault = &sallyport.Fault{Reason: "bind", Message: "address 127.64.0.13 is in use on the machine"}
	list[5].Unattached = false
	list[7].SubnetID, list[7].Address = "", netip.Addr{}
	list[7].RouteTables = []string{"99477d3b-87f6-49d2-8f3b-2ffc72731a38"}
	return list
}

// gate knows callers by tokens that say who they are.
type gate struct{}

type unknownCaller struct{}

func (unknownCaller) Error() string           { return "no such token" }
func (unknownCaller) Unauthenticated() string { return "The token is not valid." }

func (gate) Authenticate(_ context.Context, r *http.Request, _ []byte) (sallyport.Principal, error) {
	p := sallyport.Principal{UserName: r.Header.Get("X-Auth-Token"), Method: sallyport.MethodToken, Roles: []sallyport.Role{sallyport.RoleAdmin}}
	switch p.UserName {
	case "owner":
		p.DomainID, p.ProjectID = ownerDomain, ownerProject
	case "owner-who-may-only-look":
		p.DomainID, p.ProjectID, p.Roles = ownerDomain, ownerProject, []sallyport.Role{sallyport.RoleReader}
	case "consumer":
		p.DomainID, p.ProjectID = consumerDomain, consumerProject
	case "stranger":
		p.DomainID, p.ProjectID = strangerDomain, strangerProject
	case "broken":
		return p, errors.New("the directory at 10.0.0.5 does not answer")
	default:
		return p, unknownCaller{}
	}
	return p, nil
}

type projects struct{}

func (projects) Owns(sallyport.DomainID, sallyport.ProjectID) bool { return false }

//nolint:thelper // these are tests, not helpers: a failure is reported where it is
package storetest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// listed is a small world with lists whose right answers can be seen by eye:
// letters name objects, digits are seconds after epoch.
//
//	service   a  b  c  d(deleted)  p(public)
//	created   1  2  2  0           5
//	updated   9  3  2  0           5
//
//	endpoint  k  l  m  n           to service a, but for n: to d
//	created   1  2  3  4
//	updated   8  7  6  5
//	status    P  A  A  A           pending, accepted
//	vpc       a  a  b  b
func listed(tx sallyport.Tx) {
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		id               sallyport.ServiceID
		created, updated int
	}{{"a", 1, 9}, {"b", 2, 3}, {"c", 2, 2}, {"d", 0, 0}, {"p", 5, 5}} {
		s := Service("project-a")
		s.ID, s.CreatedAt, s.UpdatedAt = c.id, at(c.created), at(c.updated)
		switch c.id {
		case "b":
			s.Name = "Billing"
		case "d":
			s.Status = sallyport.ServiceDeleted
		case "p":
			s.SystemName = "com.example.Storage"
		}
		CreateService(tx, s)
	}
	for i, c := range []struct {
		id  sallyport.EndpointID
		to  sallyport.ServiceID
		st  sallyport.Status
		vpc sallyport.VPCID
	}{
		{"k", "a", sallyport.StatusPending, "vpc-a"},
		{"l", "a", sallyport.StatusAccepted, "vpc-a"},
		{"m", "a", sallyport.StatusAccepted, "vpc-b"},
		{"n", "d", sallyport.StatusAccepted, "vpc-b"},
	} {
		e := Endpoint(&sallyport.Service{ID: c.to}, 100+i)
		e.ID, e.Status, e.VPCID, e.CreatedAt, e.UpdatedAt = c.id, c.st, c.vpc, at(1+i), at(8-i)
		CreateEndpoint(tx, e)
	}
	for i, value := range []string{"iam:domain::one", "iam:domain::TWO", "*"} {
		p := Permission("c", "")
		p.ID, p.Value, p.CreatedAt = sallyport.PermissionID("xyz"[i]), value, at(i)
		CreatePermission(tx, p)
	}
}

// If this fails, a client sees another order, page, total or filter than the
// documents promise: newest first unless asked otherwise, ties by id.
func lists(t *testing.T, db Database) {
	s := db.open(t)
	update(t, s, listed)
	check := func() {
		t.Helper()
		v := view(t, s)
		serviceLists(t, v)
		endpointLists(t, v)
		permissionLists(t, v)
	}
	check()
	s = db.reopen(t, s)
	check()
}

type page10 = sallyport.Page

func all() page10 { return page10{Limit: 10} }

func serviceLists(t *testing.T, v sallyport.View) {
	t.Helper()
	for _, c := range []struct {
		q    sallyport.ServiceQuery
		want string
	}{
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: all()}, "cba 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 10, Ascending: true}}, "abc 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 10, Sort: sallyport.SortUpdated}}, "abc 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 10, Sort: sallyport.SortUpdated, Ascending: true}}, "cba 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 2}}, "cb 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 2, Offset: 2}}, "a 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 2, Offset: 3}}, " 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Page: page10{Limit: 2, Offset: 1 << 40}}, " 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a"}, " 3"},
		{sallyport.ServiceQuery{ProjectID: "project-b", Page: all()}, " 0"},
		{sallyport.ServiceQuery{Page: all()}, " 0"},
		{sallyport.ServiceQuery{Public: true, Page: all()}, "p 1"},
		{sallyport.ServiceQuery{Public: true, Name: "storage", Page: all()}, "p 1"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Name: "BILL", Page: all()}, "b 1"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Name: "eu-WEST-101.or", Page: all()}, "ca 2"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Name: "orders", Page: page10{Limit: 1, Offset: 1}}, "a 2"},
		{sallyport.ServiceQuery{ProjectID: "project-a", ID: "b", Page: all()}, "b 1"},
		{sallyport.ServiceQuery{ProjectID: "project-b", ID: "b", Page: all()}, " 0"},
		{sallyport.ServiceQuery{ProjectID: "project-a", ID: "d", Page: all()}, " 0"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Status: sallyport.ServiceAvailable, Page: all()}, "cba 3"},
		{sallyport.ServiceQuery{ProjectID: "project-a", Status: sallyport.ServiceDeleted, Page: all()}, " 0"},
		{sallyport.ServiceQuery{ProjectID: "project-a", ID: "p", Page: all()}, " 0"},
	} {
		got, total := v.Services(c.q)
		expect(t, c.q, got, total, func(s *sallyport.Service) string { return string(s.ID) }, c.want)
	}
}

func endpointLists(t *testing.T, v sallyport.View) {
	t.Helper()
	for _, c := range []struct {
		q    sallyport.EndpointQuery
		want string
	}{
		{sallyport.EndpointQuery{ProjectID: "project-b", Page: all()}, "nmlk 4"},
		{sallyport.EndpointQuery{ProjectID: "project-a", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Page: page10{Limit: 10, Sort: sallyport.SortUpdated}}, "klmn 4"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Page: page10{Limit: 2, Offset: 1, Ascending: true}}, "lm 4"},
		{sallyport.EndpointQuery{ServiceID: "a", Page: all()}, "mlk 3"},
		{sallyport.EndpointQuery{ServiceID: "a", Page: page10{Limit: 1, Offset: 2}}, "k 3"},
		{sallyport.EndpointQuery{ServiceID: "b", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ServiceID: "nobody's", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ServiceID: "d", Page: all()}, "n 1"},
		{sallyport.EndpointQuery{ServiceID: "a", Status: sallyport.StatusAccepted, Page: all()}, "ml 2"},
		{sallyport.EndpointQuery{ServiceID: "a", Status: sallyport.StatusAccepted, Page: page10{Limit: 1, Sort: sallyport.SortUpdated, Ascending: true}}, "m 2"},
		{sallyport.EndpointQuery{ServiceID: "a", Status: sallyport.StatusFailed, Page: all()}, " 0"},
		{sallyport.EndpointQuery{ServiceID: "a", Status: 99, Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Status: sallyport.StatusAccepted, Page: all()}, "nml 3"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Status: 99, Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", VPCID: "vpc-a", Page: all()}, "lk 2"},
		{sallyport.EndpointQuery{ServiceID: "a", Status: sallyport.StatusAccepted, VPCID: "vpc-b", Page: all()}, "m 1"},
		{sallyport.EndpointQuery{ProjectID: "project-b", ServiceName: "ORDERS.a", Page: all()}, "mlk 3"},
		{sallyport.EndpointQuery{ProjectID: "project-b", ServiceName: "orders.D", Page: all()}, "n 1"},
		{sallyport.EndpointQuery{ProjectID: "project-b", ID: "l", Page: all()}, "l 1"},
		{sallyport.EndpointQuery{ProjectID: "project-a", ID: "l", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ServiceID: "d", ID: "l", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", ID: "l", Page: page10{Limit: 10, Offset: 1}}, " 1"},
		{sallyport.EndpointQuery{ProjectID: "project-b", ID: "l"}, " 1"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Marker: 102, Page: all()}, "m 1"},
		{sallyport.EndpointQuery{ServiceID: "a", Marker: 102, Status: sallyport.StatusPending, Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Marker: 102, ID: "l", Page: all()}, " 0"},
		{sallyport.EndpointQuery{ProjectID: "project-b", Marker: 999, Page: all()}, " 0"},
	} {
		got, total := v.Endpoints(c.q)
		expect(t, c.q, got, total, func(e *sallyport.Endpoint) string { return string(e.ID) }, c.want)
	}
	if s, e := v.Usage("project-a"); s != 3 || e != 0 {
		t.Errorf("project-a has %d services and %d endpoints, want 3 and 0", s, e)
	}
	if s, e := v.Usage("project-b"); s != 0 || e != 4 {
		t.Errorf("project-b has %d services and %d endpoints, want 0 and 4", s, e)
	}
}

func permissionLists(t *testing.T, v sallyport.View) {
	t.Helper()
	for _, c := range []struct {
		q    sallyport.PermissionQuery
		want string
	}{
		{sallyport.PermissionQuery{ServiceID: "c", Page: all()}, "zyx 3"},
		{sallyport.PermissionQuery{ServiceID: "c", Page: page10{Limit: 2, Ascending: true, Sort: sallyport.SortUpdated}}, "xy 3"},
		{sallyport.PermissionQuery{ServiceID: "c", Contains: "two", Page: all()}, " 0"},
		{sallyport.PermissionQuery{ServiceID: "c", Contains: "TWO", Page: all()}, "y 1"},
		{sallyport.PermissionQuery{ServiceID: "c", Contains: "iam:", Page: page10{Limit: 1, Offset: 1}}, "x 2"},
		{sallyport.PermissionQuery{ServiceID: "a", Page: all()}, " 0"},
		{sallyport.PermissionQuery{ServiceID: "nobody's", Page: all()}, " 0"},
	} {
		got, total := v.Permissions(c.q)
		expect(t, c.q, got, total, func(p *sallyport.Permission) string { return string(p.ID) }, c.want)
	}
	if !v.Admits("c", "anybody") || v.Admits("a", "anybody") || v.Admits("nobody's", "anybody") {
		t.Error("the whitelist of c admits all, the others nobody")
	}
}

func expect[T any](t *testing.T, q any, got []*T, total int, id func(*T) string, want string) {
	t.Helper()
	var b strings.Builder
	for _, v := range got {
		b.WriteString(id(v))
	}
	if have := fmt.Sprintf("%s %d", b.String(), total); have != want {
		t.Errorf("%+v: got %q, want %q", q, have, want)
	}
}

// If this fails, an endpoint cannot tell its service's name after the service
// was deleted, or a deleted service is still found.
func tombstones(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	do := func(fn func(sallyport.Tx)) {
		t.Helper()
		fn(want)
		update(t, s, fn)
		same(t, s, want)
	}
	svc := Service("project-a")
	e := Endpoint(svc, 2)
	do(func(tx sallyport.Tx) { CreateService(tx, svc); CreateEndpoint(tx, e) })
	dead := *svc
	dead.Status = sallyport.ServiceDeleted
	do(func(tx sallyport.Tx) { CreateService(tx, &dead) })
	s = db.reopen(t, s)
	same(t, s, want)
	v := view(t, s)
	if got, ok := v.Service(svc.ID); !ok || got.Status != sallyport.ServiceDeleted {
		t.Errorf("the tombstone: %v, %t", got, ok)
	}
	q := sallyport.EndpointQuery{ProjectID: e.ProjectID, ServiceName: svc.FullName(), Page: all()}
	if _, n := v.Endpoints(q); n != 1 {
		t.Errorf("%d endpoints are found by the name of the deleted service, want 1", n)
	}
	if _, ok := v.BackendPort(svc.PortID, svc.Ports[0]); ok {
		t.Error("a deleted service holds its backend port")
	}
	do(func(tx sallyport.Tx) { RemoveEndpoint(tx, e.ID); RemoveService(tx, svc.ID) })
	s = db.reopen(t, s)
	same(t, s, want)
	if _, ok := view(t, s).Service(svc.ID); ok {
		t.Error("the tombstone outlived its last endpoint")
	}
}

// If this fails, two services forward to one port of a backend, or a port that
// was given up stays taken.
func backendPorts(t *testing.T, db Database) {
	s := db.open(t)
	a, b := Service("project-a"), Service("project-b")
	a.PortID, b.PortID = "port", "port"
	b.Ports = []sallyport.PortMapping{{Client: 1, Server: 8080, Protocol: "TCP"}, {Client: 2, Server: 8080, Protocol: "TCP"}}
	owner := func(server uint16, protocol string) string {
		t.Helper()
		id, ok := view(t, s).BackendPort("port", sallyport.PortMapping{Client: 9, Server: server, Protocol: protocol})
		switch {
		case ok && id == a.ID:
			return "a"
		case ok && id == b.ID:
			return "b"
		case ok:
			return string(id)
		}
		return ""
	}
	expectOwners := func(want string) {
		t.Helper()
		got := strings.Join([]string{owner(80, "TCP"), owner(443, "TCP"), owner(8080, "TCP"), owner(80, "UDP")}, " ")
		if got != want {
			t.Errorf("ports 80, 443, 8080 and 80/UDP: %q, want %q", got, want)
		}
	}
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, a); CreateService(tx, b) })
	expectOwners(`a a b `)
	swapped, given := *b, *a
	given.Ports = a.Ports[:1]
	swapped.Ports = []sallyport.PortMapping{{Client: 1, Server: 443, Protocol: "TCP"}}
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, &given); CreateService(tx, &swapped) })
	expectOwners(`a b  `)
	err := s.Update(t.Context(), func(tx sallyport.Tx) error { CreateService(tx, a); RemoveService(tx, a.ID); return errRefused })
	if err == nil {
		t.Fatal("acknowledged")
	}
	expectOwners(`a b  `)
	s = db.reopen(t, s)
	expectOwners(`a b  `)
}

// If this fails, two endpoints share an address, an address is used again at
// once although others are free, or the last free one is not found.
func addresses(t *testing.T, db Database) {
	s := db.open(t)
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	byAddress := map[string]*sallyport.Endpoint{}
	n := 1000
	take := func(address string) {
		t.Helper()
		n++
		e := Endpoint(svc, n)
		e.SubnetID, e.Address = "subnet-a", netip.MustParseAddr(address)
		byAddress[address] = e
		update(t, s, func(tx sallyport.Tx) { CreateEndpoint(tx, e) })
	}
	leave := func(address string) {
		t.Helper()
		update(t, s, func(tx sallyport.Tx) { RemoveEndpoint(tx, byAddress[address].ID) })
	}
	prefix := netip.MustParsePrefix("127.64.1.0/29") // hosts .2 to .6
	free := func(want string) {
		t.Helper()
		got, ok := view(t, s).FreeAddress("subnet-a", prefix)
		if (want == "") == ok || ok && got.String() != want {
			t.Errorf("free address %s, %t, want %q", got, ok, want)
		}
	}
	free("127.64.1.2")
	take("127.64.1.2")
	free("127.64.1.3")
	take("127.64.1.4") // asked for
	free("127.64.1.5")
	leave("127.64.1.2")
	free("127.64.1.5") // .2 rests
	take("127.64.1.5")
	take("127.64.1.7") // the broadcast address, asked for all the same
	free("127.64.1.6")
	take("127.64.1.6")
	free("127.64.1.2") // wrapped around to the lowest gap
	take("127.64.1.2")
	free("127.64.1.3")
	take("127.64.1.3")
	free("") // exhausted
	take("127.64.0.9")
	take("127.64.2.9") // other networks are not in the way
	free("")
	leave("127.64.1.5")
	free("127.64.1.5")
	s = db.reopen(t, s)
	free("127.64.1.5")
	v := view(t, s)
	if id, ok := v.AddressOf("subnet-a", netip.MustParseAddr("127.64.1.3")); !ok || id != byAddress["127.64.1.3"].ID {
		t.Errorf("owner of 127.64.1.3: %s, %t", id, ok)
	}
	if id, ok := v.AddressOf("subnet-b", netip.MustParseAddr("127.64.1.3")); ok {
		t.Errorf("the address is taken in another subnet, by %s", id)
	}
	for small, want := range map[string]string{"10.0.0.0/32": "", "10.0.0.0/31": "", "10.0.0.0/30": "10.0.0.2", "10.0.0.99/24": "10.0.0.2"} {
		got, ok := v.FreeAddress("subnet-c", netip.MustParsePrefix(small))
		if (want == "") == ok || ok && got.String() != want {
			t.Errorf("free address of %s: %s, %t, want %q", small, got, ok, want)
		}
	}
}

// If this fails, two endpoints share a marker, or none is found though there
// are some.
func markers(t *testing.T, db Database) {
	s := db.open(t)
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	made := map[sallyport.Marker]*sallyport.Endpoint{}
	take := func(m sallyport.Marker) {
		t.Helper()
		e := Endpoint(svc, 2+len(made))
		e.Marker = m
		made[m] = e
		update(t, s, func(tx sallyport.Tx) { CreateEndpoint(tx, e) })
	}
	next := func(want sallyport.Marker) {
		t.Helper()
		update(t, s, func(tx sallyport.Tx) {
			if got, ok := tx.NextMarker(); !ok || got != want {
				t.Errorf("next marker %d, %t, want %d", got, ok, want)
			}
		})
	}
	next(1)
	take(1)
	take(2)
	next(3)
	update(t, s, func(tx sallyport.Tx) { RemoveEndpoint(tx, made[1].ID) })
	next(3) // 1 rests
	take(sallyport.MaxMarker)
	next(1) // wrapped around to the lowest gap
	take(1)
	next(3)
	s = db.reopen(t, s)
	next(3)
	update(t, s, func(tx sallyport.Tx) { RemoveEndpoint(tx, made[sallyport.MaxMarker].ID) })
	next(3)
}

//nolint:thelper // these are tests, not helpers: a failure is reported where it is
package storetest

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, some sequence of changes, refusals and restarts makes the
// store answer a question otherwise than the naive state does.
func randomHistory(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	FewerChecks(t)
	rapid.Check(t, func(rt *rapid.T) {
		// One database serves all histories: opening one for each takes too long.
		w := NewWorldFrom(want)
		empty := w.Clear()
		if err := s.Update(t.Context(), func(tx sallyport.Tx) error { empty(tx); return nil }); err != nil {
			rt.Fatal(err)
		}
		want = w.now
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				v, err := s.View(t.Context())
				if err != nil {
					rt.Fatal(err)
				}
				w.Check(rt, v)
			},
			"update": func(rt *rapid.T) {
				ops, after := w.Draw(rt)
				refuse := rapid.Float64().Draw(rt, "fate") < 0.25
				diff := ""
				err := s.Update(t.Context(), func(tx sallyport.Tx) error {
					for _, op := range ops {
						op(tx)
					}
					diff = Diff(tx, after, w.now)
					got, ok := tx.NextMarker()
					if wantM, wantOK := after.NextMarker(); got != wantM || ok != wantOK {
						diff += fmt.Sprintf("next marker %d, %t, want %d, %t\n", got, ok, wantM, wantOK)
					}
					if refuse {
						return errRefused
					}
					return nil
				})
				if diff != "" {
					rt.Fatalf("the transaction does not see what it put:\n%s", diff)
				}
				if refuse != errors.Is(err, errRefused) || !refuse && err != nil {
					rt.Fatalf("refuse %t: %v", refuse, err)
				}
				w.Took(after, !refuse)
				want = w.now
			},
		})
	})
	s = db.reopen(t, s)
	same(t, s, want)
	readLog(t, s)
}

// storeChecks is how many random histories a store runs where the command line
// does not say: the read model runs more of them, without a disk.
const storeChecks = "15"

// FewerChecks lowers the number of random histories for a test that needs a
// database for each step, unless the command line says how many it wants.
func FewerChecks(t *testing.T) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(storeChecks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
}

// World draws random changes to a state and random questions about it. Its
// state is the naive one, so that any view can be compared with it.
type World struct {
	now  *Naive
	past *Naive // the last state but one, or one that was refused: what should be gone
	made int    // objects, to name them apart and alike in every repetition
}

// NewWorld begins with nothing.
func NewWorld() *World { return NewWorldFrom(NewNaive()) }

// NewWorldFrom begins with a state.
func NewWorldFrom(n *Naive) *World { return &World{now: n, past: n} }

// Clear removes all that can be removed from the state, and returns the function
// that does the same to a store.
func (w *World) Clear() func(sallyport.Tx) {
	full, empty := w.now, w.now.Clone()
	removeAll(empty, full)
	w.now, w.past = empty, full
	return func(tx sallyport.Tx) { removeAll(tx, full) }
}

func newID[T ~string](w *World) T {
	w.made++
	return T(fmt.Sprintf("id-%04d", w.made))
}

// State returns the state, which later changes do not reach.
func (w *World) State() *Naive { return w.now }

// Took makes after the state where it was kept, and remembers the other one.
func (w *World) Took(after *Naive, kept bool) {
	if kept {
		w.now, w.past = after, w.now
		return
	}
	w.past = after
}

// Draw draws up to six changes. It returns them as functions that may run any
// number of times, and the state after them.
func (w *World) Draw(rt *rapid.T) (ops []func(sallyport.Tx), after *Naive) {
	after = w.now.Clone()
	for range rapid.IntRange(1, 6).Draw(rt, "changes") {
		op := w.drawOp(rt, after)
		op(after)
		ops = append(ops, op)
	}
	return ops, after
}

// drawOp draws one change that is allowed in the state.
func (w *World) drawOp(rt *rapid.T, n *Naive) func(sallyport.Tx) {
	services, endpoints := sorted(n.services), sorted(n.endpoints)
	switch kind := rapid.IntRange(0, 13).Draw(rt, "kind"); {
	case kind == 0 || len(services) == 0:
		s := Service(rapid.SampledFrom(projects).Draw(rt, "project"))
		s.ID = newID[sallyport.ServiceID](w)
		return drawService(rt, n, s)
	case kind == 1:
		s := *n.services[rapid.SampledFrom(services).Draw(rt, "service")]
		return drawService(rt, n, &s)
	case kind == 2:
		return drawRemoval(n, rapid.SampledFrom(services).Draw(rt, "service"))
	case kind == 3:
		p := Permission(rapid.SampledFrom(services).Draw(rt, "service"), rapid.SampledFrom(domains).Draw(rt, "domain"))
		p.ID, p.CreatedAt = newID[sallyport.PermissionID](w), drawTime(rt)
		return func(tx sallyport.Tx) { CreatePermission(tx, p) }
	case kind == 4 && len(n.permissions) > 0:
		return drawPermission(rt, n)
	case kind == 5:
		l := Subnet(rapid.IntRange(0, 255).Draw(rt, "subnet"))
		return func(tx sallyport.Tx) { CreateSubnet(tx, l) }
	case kind == 6:
		r := Revocation(fmt.Sprint("token-", rapid.IntRange(0, 20).Draw(rt, "token")))
		r.ExpiresAt = r.ExpiresAt.Add(time.Duration(rapid.IntRange(0, 2).Draw(rt, "hours")) * time.Hour)
		return func(tx sallyport.Tx) { CreateRevocation(tx, r) }
	case kind == 7:
		return drawInstance(rt, w, n)
	case kind <= 9 || len(endpoints) == 0:
		return w.drawEndpoint(rt, n, n.services[rapid.SampledFrom(services).Draw(rt, "service")])
	case kind == 10:
		id := rapid.SampledFrom(endpoints).Draw(rt, "endpoint")
		return func(tx sallyport.Tx) { RemoveEndpoint(tx, id) }
	default:
		return drawChange(rt, n, *n.endpoints[rapid.SampledFrom(endpoints).Draw(rt, "endpoint")])
	}
}

func sorted[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func drawTime(rt *rapid.T) time.Time {
	return epoch.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "seconds")) * time.Second)
}

// The tags that random tests choose from.
var (
	tagKeys   = []string{"env", "team", "tier"}
	tagValues = []string{"", "a", "b"}
)

func drawTags(rt *rapid.T) []sallyport.Tag {
	var out []sallyport.Tag
	for _, k := range tagKeys {
		if rapid.Bool().Draw(rt, "tagged") {
			out = append(out, sallyport.Tag{Key: k, Value: rapid.SampledFrom(tagValues).Draw(rt, "value")})
		}
	}
	return out
}

func drawFilters(rt *rapid.T, name string) []sallyport.TagFilter {
	var out []sallyport.TagFilter
	for _, k := range append(tagKeys, "none") {
		if rapid.IntRange(0, 5).Draw(rt, name) == 0 {
			values := rapid.SliceOfN(rapid.SampledFrom(append(tagValues, "none")), 0, 2)
			out = append(out, sallyport.TagFilter{Key: k, Values: values.Draw(rt, "values")})
		}
	}
	return out
}

func drawService(rt *rapid.T, n *Naive, s *sallyport.Service) func(sallyport.Tx) {
	s.Name = rapid.SampledFrom([]string{"", "orders", "Billing"}).Draw(rt, "name")
	s.CreatedAt, s.UpdatedAt = drawTime(rt), drawTime(rt)
	s.SystemName = rapid.SampledFrom([]string{"", "", "", "public." + string(s.ID)}).Draw(rt, "system")
	s.Status = rapid.SampledFrom([]sallyport.ServiceStatus{1, 1, 1, 2}).Draw(rt, "status")
	s.PortID = rapid.SampledFrom(ports).Draw(rt, "port")
	s.Tags, s.BorderGroup = drawTags(rt), rapid.SampledFrom([]string{"", "edge"}).Draw(rt, "group")
	s.IP = rapid.SampledFrom([]string{"", "10.0.0.1"}).Draw(rt, "ip")
	s.Ports = nil
	for _, p := range serverPorts {
		owner, taken := n.BackendPort(s.PortID, p)
		if (!taken || owner == s.ID) && rapid.Bool().Draw(rt, "mapped") {
			s.Ports = append(s.Ports, p)
		}
	}
	return func(tx sallyport.Tx) { CreateService(tx, s) }
}

// drawRemoval removes a service with all that belongs to it.
func drawRemoval(n *Naive, id sallyport.ServiceID) func(sallyport.Tx) {
	var eps []sallyport.EndpointID
	for _, e := range sorted(n.endpoints) {
		if n.endpoints[e].ServiceID == id {
			eps = append(eps, e)
		}
	}
	perms, _ := n.Permissions(sallyport.PermissionQuery{ServiceID: id, Page: sallyport.Page{Limit: sallyport.MaxPage}})
	return func(tx sallyport.Tx) {
		for _, e := range eps {
			RemoveEndpoint(tx, e)
		}
		for _, p := range perms {
			RemovePermission(tx, id, p.ID)
		}
		RemoveService(tx, id)
	}
}

// drawPermission changes or removes a whitelist record.
func drawPermission(rt *rapid.T, n *Naive) func(sallyport.Tx) {
	byID := map[sallyport.PermissionID]*sallyport.Permission{}
	for k, p := range n.permissions {
		byID[k.id] = p
	}
	p := *byID[rapid.SampledFrom(sorted(byID)).Draw(rt, "permission")]
	if rapid.Bool().Draw(rt, "remove") {
		return func(tx sallyport.Tx) { RemovePermission(tx, p.ServiceID, p.ID) }
	}
	p.Description += "+"
	p.CreatedAt = drawTime(rt)
	return func(tx sallyport.Tx) { CreatePermission(tx, &p) }
}

// drawEndpoint makes an endpoint as a use case does: with the next marker and
// the free address, or without an address.
func (w *World) drawEndpoint(rt *rapid.T, n *Naive, s *sallyport.Service) func(sallyport.Tx) {
	e := Endpoint(s, 2)
	e.ID = newID[sallyport.EndpointID](w)
	e.ProjectID, e.VPCID = rapid.SampledFrom(projects).Draw(rt, "project"), rapid.SampledFrom(vpcs).Draw(rt, "vpc")
	e.SubnetID = rapid.SampledFrom(subnets).Draw(rt, "subnet")
	e.CreatedAt, e.UpdatedAt = drawTime(rt), drawTime(rt)
	e.Status, e.Tags = rapid.SampledFrom(sallyport.Statuses).Draw(rt, "status"), drawTags(rt)
	e.Marker, _ = n.NextMarker()
	if rapid.IntRange(0, 9).Draw(rt, "wrap") == 0 && n.markerFree(sallyport.MaxMarker) {
		e.Marker = sallyport.MaxMarker
	}
	e.Address, _ = n.FreeAddress(e.SubnetID, network) // invalid where none is free
	return func(tx sallyport.Tx) { CreateEndpoint(tx, e) }
}

func (n *Naive) markerFree(m sallyport.Marker) bool {
	for _, e := range n.endpoints {
		if e.Marker == m {
			return false
		}
	}
	return true
}

// drawChange changes an endpoint: mostly as a decision does, seldom all of it.
func drawChange(rt *rapid.T, n *Naive, e sallyport.Endpoint) func(sallyport.Tx) {
	e.Status = rapid.SampledFrom(sallyport.Statuses).Draw(rt, "status")
	e.UpdatedAt = drawTime(rt)
	switch rapid.IntRange(0, 5).Draw(rt, "how much") {
	case 0:
		e.Whitelist = []string{rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}).Draw(rt, "white")}
		e.Note += "."
		e.Tags = drawTags(rt)
	case 1:
		e.ProjectID, e.CreatedAt = rapid.SampledFrom(projects).Draw(rt, "project"), drawTime(rt)
		e.ServiceID = rapid.SampledFrom(sorted(n.services)).Draw(rt, "service")
		e.SubnetID = rapid.SampledFrom(subnets).Draw(rt, "subnet")
		if e.Address = (netip.Addr{}); rapid.Bool().Draw(rt, "address") {
			e.Address, _ = n.FreeAddress(e.SubnetID, network)
		}
		e.Marker, _ = n.NextMarker()
	}
	return func(tx sallyport.Tx) { CreateEndpoint(tx, &e) }
}

// Check compares a view with the state: everything that has an id, and a
// handful of random lists.
func (w *World) Check(rt *rapid.T, v sallyport.View) {
	rt.Helper()
	if diff := Diff(v, w.now, w.past); diff != "" {
		rt.Fatalf("the state is not what was put:\n%s", diff)
	}
	d := &differ{got: v, want: w.now}
	for range 4 {
		d.lists(rt)
	}
	for _, id := range subnets {
		got, ok := v.FreeAddress(id, network)
		want, wantOK := w.now.FreeAddress(id, network)
		if ok != wantOK || ok && got != want {
			rt.Fatalf("free address of %s: %s, %t, want %s, %t", id, got, ok, want, wantOK)
		}
	}
	if d.out.Len() > 0 {
		rt.Fatal(d.out.String())
	}
}

// lists asks one random question of every kind of list.
func (d *differ) lists(rt *rapid.T) {
	page := rapid.Custom(func(rt *rapid.T) sallyport.Page {
		return sallyport.Page{
			Offset: rapid.IntRange(0, 12).Draw(rt, "offset"), Limit: rapid.IntRange(0, 8).Draw(rt, "limit"),
			Sort: sallyport.Sort(rapid.IntRange(0, 1).Draw(rt, "sort")), Ascending: rapid.Bool().Draw(rt, "ascending"),
		}
	})
	names := rapid.SampledFrom([]string{"", "", "ORD", "eu-west", "public", "none"})
	services := append(sorted(d.want.services), "", "")

	s := sallyport.ServiceQuery{
		Page: page.Draw(rt, "page"), ProjectID: rapid.SampledFrom(projects).Draw(rt, "project"),
		Public: rapid.Bool().Draw(rt, "public"), Name: names.Draw(rt, "name"),
		Status:      rapid.SampledFrom([]sallyport.ServiceStatus{0, 0, 1, 2}).Draw(rt, "status"),
		ServerType:  rapid.SampledFrom([]string{"", "", "VM", "LB"}).Draw(rt, "server type"),
		NetType:     rapid.SampledFrom([]string{"", "", "vlan", "vxlan"}).Draw(rt, "net type"),
		BorderGroup: rapid.SampledFrom([]string{"", "", "edge"}).Draw(rt, "group"),
	}
	if rapid.IntRange(0, 5).Draw(rt, "by id") == 0 {
		s.ID = rapid.SampledFrom(services).Draw(rt, "id")
	}
	got, total := d.got.Services(s)
	want, wantTotal := d.want.Services(s)
	d.compare(total, wantTotal, "total of %+v", s)
	d.compare(got, want, "%+v", s)

	e := sallyport.EndpointQuery{
		Page: page.Draw(rt, "page"), Status: rapid.SampledFrom(append(sallyport.Statuses, 0, 0, 0, 0)).Draw(rt, "status"),
		VPCID: rapid.SampledFrom([]sallyport.VPCID{"", "", "vpc-a", "vpc-b"}).Draw(rt, "vpc"), ServiceName: names.Draw(rt, "name"),
		BorderGroup: rapid.SampledFrom([]string{"", "", "edge"}).Draw(rt, "group"),
	}
	if e.ServiceID = rapid.SampledFrom(services).Draw(rt, "service"); e.ServiceID == "" {
		e.ProjectID = rapid.SampledFrom(projects).Draw(rt, "project")
	}
	switch endpoints := sorted(d.want.endpoints); {
	case len(endpoints) == 0:
	case rapid.IntRange(0, 5).Draw(rt, "by id") == 0:
		e.ID = rapid.SampledFrom(endpoints).Draw(rt, "id")
	case rapid.IntRange(0, 5).Draw(rt, "by marker") == 0:
		e.Marker = d.want.endpoints[rapid.SampledFrom(endpoints).Draw(rt, "marker")].Marker
	}
	gotE, total := d.got.Endpoints(e)
	wantE, wantTotal := d.want.Endpoints(e)
	d.compare(total, wantTotal, "total of %+v", e)
	d.compare(gotE, wantE, "%+v", e)

	t := sallyport.TagQuery{
		Page: page.Draw(rt, "page"), ProjectID: rapid.SampledFrom(projects).Draw(rt, "project"),
		Kind: rapid.SampledFrom([]sallyport.ObjectKind{sallyport.ObjectService, sallyport.ObjectEndpoint}).Draw(rt, "kind"),
		All:  drawFilters(rt, "all"), Any: drawFilters(rt, "any"), NotAll: drawFilters(rt, "not all"), NotAny: drawFilters(rt, "not any"),
		Untagged: rapid.IntRange(0, 9).Draw(rt, "untagged") == 0, Name: rapid.SampledFrom([]string{"", "", "", "ID-000", "edge"}).Draw(rt, "name"),
	}
	t.Sort = sallyport.SortCreated // there is no other order for these
	gotT, total := d.got.Tagged(t)
	wantT, wantTotal := d.want.Tagged(t)
	d.compare(total, wantTotal, "total of %+v", t)
	d.compare(gotT, wantT, "%+v", t)

	p := sallyport.PermissionQuery{
		Page: page.Draw(rt, "page"), ServiceID: rapid.SampledFrom(services).Draw(rt, "service"),
		Contains: rapid.SampledFrom([]string{"", "domain-a", "iam", "IAM"}).Draw(rt, "contains"),
	}
	gotP, total := d.got.Permissions(p)
	wantP, wantTotal := d.want.Permissions(p)
	d.compare(total, wantTotal, "total of %+v", p)
	d.compare(gotP, wantP, "%+v", p)
}

// drawInstance draws a new, a changed or a removed managed resource.
func drawInstance(rt *rapid.T, w *World, n *Naive) func(sallyport.Tx) {
	ids := slices.Sorted(maps.Keys(n.instances))
	if len(ids) > 0 && rapid.Bool().Draw(rt, "old instance") {
		id := rapid.SampledFrom(ids).Draw(rt, "instance")
		if rapid.Bool().Draw(rt, "remove instance") {
			return func(tx sallyport.Tx) { RemoveInstance(tx, id) }
		}
		i := *n.instances[id]
		i.ServiceID, i.UpdatedAt = newID[sallyport.ServiceID](w), drawTime(rt)
		return func(tx sallyport.Tx) { CreateInstance(tx, &i) }
	}
	i := Instance(rapid.SampledFrom(projects).Draw(rt, "project"))
	i.ID, i.CreatedAt = newID[sallyport.InstanceID](w), drawTime(rt)
	return func(tx sallyport.Tx) { CreateInstance(tx, i) }
}

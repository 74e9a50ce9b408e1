package storetest

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// options compare nouns: a list without elements may come back as nil.
var options = []cmp.Option{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// Diff returns how got differs from the naive state, "" where it does not:
// every object with every field, every counter, every index, and the log of
// changes. Ids that want has never had, but before has, are looked for as well.
func Diff(got sallyport.View, want *Naive, before ...*Naive) string {
	d := &differ{got: got, want: want}
	d.compare(got.Revision(), want.Revision(), "revision")
	universe := slices.Concat(before, []*Naive{want})
	d.changes()
	d.services(universe)
	d.endpoints(universe)
	d.permissions(universe)
	d.others(universe)
	d.instances(universe)
	return d.out.String()
}

type differ struct {
	got  sallyport.View
	want *Naive
	out  strings.Builder
}

// compare notes a difference. What is equal at first sight, as nearly all is,
// costs little: a random test compares millions of times.
func (d *differ) compare(got, want any, what string, args ...any) {
	if reflect.DeepEqual(got, want) {
		return
	}
	if diff := cmp.Diff(want, got, options...); diff != "" {
		fmt.Fprintf(&d.out, "%s (-want +got):\n%s", fmt.Sprintf(what, args...), diff)
	}
}

// ids collects what a map of any of the states has for keys.
func ids[K comparable, V any](universe []*Naive, of func(*Naive) map[K]V) []K {
	all := map[K]bool{}
	for _, n := range universe {
		for k := range of(n) {
			all[k] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

func (d *differ) changes() {
	read := func(v sallyport.View, since sallyport.Revision) (all []sallyport.Change) {
		v.ChangesSince(since, func(c sallyport.Change) bool { all = append(all, c); return true })
		return all
	}
	for _, since := range []sallyport.Revision{0, d.want.Revision() / 2, d.want.Revision() - 1, d.want.Revision()} {
		got := read(d.got, since)
		if !slices.IsSortedFunc(got, func(a, b sallyport.Change) int { return int(a.Rev - b.Rev) }) {
			fmt.Fprintf(&d.out, "changes since %d are not in order of their revisions\n", since)
		}
		sortChanges(got)
		d.compare(got, read(d.want, since), "changes since %d", since)
	}
	if all := read(d.got, 0); len(all) > 1 {
		seen := 0
		d.got.ChangesSince(0, func(sallyport.Change) bool { seen++; return false })
		d.compare(seen, 1, "changes until the first no")
	}
}

func (d *differ) services(universe []*Naive) {
	projects, ports := map[sallyport.ProjectID]bool{}, map[sallyport.PortID]bool{}
	for _, id := range ids(universe, func(n *Naive) map[sallyport.ServiceID]*sallyport.Service { return n.services }) {
		got, gotOK := d.got.Service(id)
		want, wantOK := d.want.Service(id)
		d.compare(gotOK, wantOK, "service %s known", id)
		d.compare(got, want, "service %s", id)
		for _, st := range sallyport.Statuses {
			d.compare(d.got.Connections(id, st), d.want.Connections(id, st), "connections of %s in %s", id, st)
		}
		for _, n := range universe {
			if s, ok := n.Service(id); ok {
				projects[s.ProjectID], ports[s.PortID] = true, true
			}
		}
	}
	for id := range projects {
		gotS, gotE := d.got.Usage(id)
		wantS, wantE := d.want.Usage(id)
		d.compare([2]int{gotS, gotE}, [2]int{wantS, wantE}, "usage of %s", id)
		for _, kind := range []sallyport.ObjectKind{sallyport.ObjectService, sallyport.ObjectEndpoint} {
			d.compare(d.got.TagKeys(id, kind), d.want.TagKeys(id, kind), "tags of %s in %s", kind, id)
		}
	}
	for id := range ports {
		for _, m := range serverPorts {
			got, gotOK := d.got.BackendPort(id, m)
			want, wantOK := d.want.BackendPort(id, m)
			d.compare(fmt.Sprint(got, gotOK), fmt.Sprint(want, wantOK), "service on port %d of %s", m.Server, id)
		}
	}
}

func (d *differ) endpoints(universe []*Naive) {
	for _, id := range ids(universe, func(n *Naive) map[sallyport.EndpointID]*sallyport.Endpoint { return n.endpoints }) {
		got, gotOK := d.got.Endpoint(id)
		want, wantOK := d.want.Endpoint(id)
		d.compare(gotOK, wantOK, "endpoint %s known", id)
		d.compare(got, want, "endpoint %s", id)
		for _, n := range universe {
			e, ok := n.Endpoint(id)
			if !ok {
				continue
			}
			gotID, gotOK := d.got.AddressOf(e.SubnetID, e.Address)
			wantID, wantOK := d.want.AddressOf(e.SubnetID, e.Address)
			d.compare(fmt.Sprint(gotID, gotOK), fmt.Sprint(wantID, wantOK), "owner of %s", e.Address)
			q := sallyport.EndpointQuery{ProjectID: e.ProjectID, Marker: e.Marker, Page: sallyport.Page{Limit: 1}}
			gotM, _ := d.got.Endpoints(q)
			wantM, _ := d.want.Endpoints(q)
			d.compare(gotM, wantM, "owner of marker %d", e.Marker)
		}
	}
}

func (d *differ) permissions(universe []*Naive) {
	for _, k := range ids(universe, func(n *Naive) map[permissionKey]*sallyport.Permission { return n.permissions }) {
		gotP, gotOK := d.got.Permission(k.service, k.id)
		wantP, wantOK := d.want.Permission(k.service, k.id)
		d.compare(gotOK, wantOK, "permission %s known", k.id)
		d.compare(gotP, wantP, "permission %s", k.id)
		q := sallyport.PermissionQuery{ServiceID: k.service, Page: sallyport.Page{Limit: sallyport.MaxPage}}
		got, gotN := d.got.Permissions(q)
		want, wantN := d.want.Permissions(q)
		d.compare(gotN, wantN, "number of permissions of %s", k.service)
		d.compare(got, want, "permissions of %s", k.service)
		for _, domain := range domains {
			d.compare(d.got.Admits(k.service, domain), d.want.Admits(k.service, domain), "%s admits %s", k.service, domain)
		}
	}
}

func (d *differ) others(universe []*Naive) {
	d.compare(d.got.LastSubnet(), d.want.LastSubnet(), "last subnet")
	for _, id := range ids(universe, func(n *Naive) map[sallyport.SubnetID]*sallyport.SubnetLease { return n.subnets }) {
		got, gotOK := d.got.Subnet(id)
		want, wantOK := d.want.Subnet(id)
		d.compare(gotOK, wantOK, "subnet %s known", id)
		d.compare(got, want, "subnet %s", id)
	}
	for _, now := range []time.Time{epoch, epoch.Add(expiry), epoch.Add(2 * expiry)} {
		d.compare(d.got.Revocations(now), d.want.Revocations(now), "revocations at %s", now)
	}
	for _, id := range ids(universe, func(n *Naive) map[string]*sallyport.Revocation { return n.revoked }) {
		d.compare(d.got.Revoked(id), d.want.Revoked(id), "revoked %s", id)
	}
}

func (d *differ) instances(universe []*Naive) {
	for _, id := range ids(universe, func(n *Naive) map[sallyport.InstanceID]*sallyport.Instance { return n.instances }) {
		got, gotOK := d.got.Instance(id)
		want, wantOK := d.want.Instance(id)
		d.compare(gotOK, wantOK, "instance %s known", id)
		d.compare(got, want, "instance %s", id)
	}
	for _, p := range projects {
		for _, kind := range []sallyport.InstanceKind{"", sallyport.InstanceCluster, sallyport.InstanceGateway} {
			q := sallyport.InstanceQuery{ProjectID: p, Kind: kind, Page: sallyport.Page{Limit: sallyport.MaxPage}}
			got, gotTotal := d.got.Instances(q)
			want, wantTotal := d.want.Instances(q)
			d.compare(gotTotal, wantTotal, "number of instances of %s in %s", kind, p)
			if gotTotal > 0 {
				d.compare(got, want, "instances of %s in %s", kind, p)
			}
		}
	}
}

package readmodel_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-net/sallyport/internal/readmodel"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

// pen makes a draft a sallyport.Tx, as the store's transaction does.
type pen struct{ *readmodel.Draft }

var _ sallyport.Tx = pen{}

func (p pen) Record(sallyport.Record) sallyport.Revision {
	p.SetRevision(p.Revision() + 1)
	return p.Revision()
}

func (p pen) PutService(s *sallyport.Service)        { p.SetService(s.ID, s) }
func (p pen) RemoveService(id sallyport.ServiceID)   { p.SetService(id, nil) }
func (p pen) PutEndpoint(e *sallyport.Endpoint)      { p.SetEndpoint(e.ID, e) }
func (p pen) RemoveEndpoint(id sallyport.EndpointID) { p.SetEndpoint(id, nil) }
func (p pen) PutPermission(w *sallyport.Permission)  { p.SetPermission(w.ServiceID, w.ID, w) }
func (p pen) PutSubnet(l *sallyport.SubnetLease)     { p.SetSubnet(l) }
func (p pen) PutRevocation(r *sallyport.Revocation)  { p.SetRevocation(r) }
func (p pen) PutInstance(i *sallyport.Instance)      { p.SetInstance(i.ID, i) }
func (p pen) RemoveInstance(id sallyport.InstanceID) { p.SetInstance(id, nil) }
func (p pen) RemovePermission(s sallyport.ServiceID, id sallyport.PermissionID) {
	p.SetPermission(s, id, nil)
}

// If this fails, some sequence of puts, removals and undoings makes the counted
// trees answer otherwise than maps that are walked, or changes a picture that
// was published before.
func TestRandomHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, d := storetest.NewWorld(), readmodel.NewDraft()
		shown := d.Publish()
		var old *readmodel.Model
		var oldState *storetest.Naive
		draw := func(rt *rapid.T) (*storetest.Naive, int) {
			mark := d.Mark()
			ops, after := w.Draw(rt)
			for _, op := range ops {
				op(pen{d})
			}
			if diff := storetest.Diff(d, after); diff != "" {
				rt.Fatalf("the draft is not what was put:\n%s", diff)
			}
			got, ok := d.NextMarker()
			if want, wantOK := after.NextMarker(); got != want || ok != wantOK {
				rt.Fatalf("next marker %d, %t, want %d, %t", got, ok, want, wantOK)
			}
			return after, mark
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) { w.Check(rt, shown) },
			"put": func(rt *rapid.T) {
				after, _ := draw(rt)
				w.Took(after, true)
				shown = d.Publish()
			},
			"refuse": func(rt *rapid.T) {
				after, mark := draw(rt)
				w.Took(after, false)
				d.Undo(mark)
				w.Check(rt, d)
			},
			"refuse a part": func(rt *rapid.T) {
				after, _ := draw(rt)
				w.Took(after, true)
				after, mark := draw(rt)
				w.Took(after, false)
				d.Undo(mark)
				w.Check(rt, d)
				shown = d.Publish()
			},
			"look back": func(rt *rapid.T) {
				if old != nil {
					if diff := storetest.Diff(old, oldState, w.State()); diff != "" {
						rt.Fatalf("a published picture changed:\n%s", diff)
					}
				}
				old, oldState = shown, w.State()
			},
		})
	})
}

// A replica hears that one endpoint went and that another one came, in any
// order; the newcomer may have the address and the marker of the one that went.
// If this fails, the replica gives them out again.
func TestTakenOverAddressAndMarker(t *testing.T) {
	svc := storetest.Service("project-a")
	gone, came := storetest.Endpoint(svc, 7), storetest.Endpoint(svc, 7)
	for _, goneFirst := range []bool{true, false} {
		d := readmodel.NewDraft()
		d.SetEndpoint(gone.ID, gone)
		d.Publish()
		if goneFirst {
			d.SetEndpoint(gone.ID, nil)
		}
		d.SetEndpoint(came.ID, came)
		if !goneFirst {
			d.SetEndpoint(gone.ID, nil)
		}
		if id, ok := d.AddressOf(came.SubnetID, came.Address); !ok || id != came.ID {
			t.Errorf("gone first %t: the address belongs to %q, want %q", goneFirst, id, came.ID)
		}
		if m, ok := d.NextMarker(); !ok || m != came.Marker+1 {
			t.Errorf("gone first %t: next marker %d, want %d", goneFirst, m, came.Marker+1)
		}
		d.Undo(0)
		if id, ok := d.AddressOf(gone.SubnetID, gone.Address); !ok || id != gone.ID {
			t.Errorf("gone first %t: after undo the address belongs to %q, want %q", goneFirst, id, gone.ID)
		}
	}
}

// maxEndpointBytes is what one endpoint may cost in memory, lists and indexes
// included: a million of them fit into one gigabyte.
const maxEndpointBytes = 1024

// If this fails, a server with a million connections needs more memory than the
// operating guide says.
func TestMemoryPerEndpoint(t *testing.T) {
	const n, perService, perProject = 100_000, 100, 50
	d := readmodel.NewDraft()
	before := heap()
	var svc *sallyport.Service
	for i := range n {
		if i%perService == 0 {
			svc = storetest.Service("project-a")
			d.SetService(svc.ID, svc)
		}
		e := sallyport.Endpoint{
			ID: sallyport.NewID[sallyport.EndpointID](), ServiceID: svc.ID, DomainID: svc.DomainID,
			ProjectID: projects[i/perProject%len(projects)], VPCID: vpcs[i/perProject%len(vpcs)], SubnetID: subnets[i/perProject%len(subnets)],
			Address: netip.AddrFrom4([4]byte{127, 64 + byte(i>>16), byte(i >> 8), byte(i)}), Marker: sallyport.Marker(i + 1),
			Status: sallyport.StatusAccepted, WasAccepted: true, Specification: "default", IPVersion: "ipv4",
			CreatedAt: start.Add(time.Duration(i) * time.Second), UpdatedAt: start.Add(time.Duration(i+5) * time.Second),
			Rev: sallyport.Revision(i + 1), SpecRev: sallyport.Revision(i + 1), AdmitRev: sallyport.Revision(i + 1),
		}
		d.SetEndpoint(e.ID, &e)
	}
	m := d.Publish()
	got := (heap() - before) / n
	t.Logf("%d bytes per endpoint", got)
	if got > maxEndpointBytes {
		t.Errorf("%d bytes per endpoint, want %d at most", got, maxEndpointBytes)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(d)
}

var (
	start    = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	projects = names[sallyport.ProjectID]("project", 2000)
	vpcs     = names[sallyport.VPCID]("vpc", 2000)
	subnets  = names[sallyport.SubnetID]("subnet", 2000)
)

func names[T ~string](prefix string, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = T(fmt.Sprintf("%s-%027d", prefix, i))
	}
	return out
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

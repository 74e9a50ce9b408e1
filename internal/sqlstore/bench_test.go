package sqlstore_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

// loaded is how many endpoints there are while decisions are measured.
const loaded = 100_000

// BenchmarkDecide measures durable decisions, each a record and a changed
// endpoint, on SQLite with a hundred thousand endpoints, at several numbers of
// callers. It reports decisions per second, and the memory of one endpoint.
func BenchmarkDecide(b *testing.B) {
	opt := sqlstore.Options{Dir: b.TempDir()}
	ids := fill(b, opt)
	before := heap()
	s := open(b, opt)
	perEndpoint := float64(heap()-before) / loaded
	for _, callers := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			decide(b, s, ids, callers)
			b.ReportMetric(perEndpoint, "B/endpoint")
		})
	}
}

// fill makes a database with endpoints, a hundred to a service.
func fill(b *testing.B, opt sqlstore.Options) []sallyport.EndpointID {
	b.Helper()
	s := open(b, opt)
	ids := make([]sallyport.EndpointID, 0, loaded)
	var svc *sallyport.Service
	for len(ids) < loaded {
		svc = storetest.Service("project-a")
		update(b, s, func(tx sallyport.Tx) {
			storetest.CreateService(tx, svc)
			for range 100 {
				n := len(ids)
				e := storetest.Endpoint(svc, 2)
				e.ProjectID = sallyport.ProjectID(fmt.Sprintf("project-%d", n/50))
				e.Address, e.Marker = netip.AddrFrom4([4]byte{127, 64 + byte(n>>16), byte(n >> 8), byte(n)}), sallyport.Marker(n+1)
				e.Status, e.Whitelist, e.RouteTables, e.Tags, e.Fault = sallyport.StatusRejected, nil, nil, nil, nil
				e.Description, e.Note, e.PolicyStatement, e.PolicyDocument, e.IPv6Address = "", "", "", "", ""
				storetest.CreateEndpoint(tx, e)
				ids = append(ids, e.ID)
			}
		})
	}
	shut(b, s)
	return ids
}

// decide lets the callers share b.N decisions: each accepts and rejects in turn.
func decide(b *testing.B, s sallyport.Store, ids []sallyport.EndpointID, callers int) {
	b.Helper()
	var next atomic.Int64
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				id := ids[n*7919%loaded] // spread, as decisions are
				err := s.Update(context.Background(), func(tx sallyport.Tx) error {
					action := sallyport.ActionAccept
					if e, _ := tx.Endpoint(id); e.Status != sallyport.StatusRejected {
						action = sallyport.ActionReject
					}
					return storetest.Decide(tx, id, action, now.Add(time.Duration(n)*time.Millisecond))
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

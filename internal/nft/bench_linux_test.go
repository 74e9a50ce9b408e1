package nft_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/nft"
)

// fill opens n flows through an endpoint, to be closed by what it returns.
func fill(b *testing.B, c *network, to netip.AddrPort, s *server, n int) (empty func()) {
	b.Helper()
	var ends []*net.TCPConn
	for range n {
		cl, err := c.Dial(b.Context(), to)
		if err != nil {
			b.Fatal(err)
		}
		ends = append(ends, cl, <-s.conns)
	}
	return func() {
		for _, c := range ends {
			c.Close()
		}
	}
}

// BenchmarkShut measures the cut at several numbers of live flows, and what follows
// it. Its time must not grow with them; that of finish may. The most are what 20,000
// open files allow, as both ends of every flow are this process's.
func BenchmarkShut(b *testing.B) {
	for _, flows := range []int{1, 1000, 9000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			c, p := newNetwork(b), newNetwork(b)
			hold(b, c, endpoint4)
			k := kernel(b)
			s := serve(b, p.NetNS, first4, 8080)
			sp := spec("ep-1", c, p, endpoint4, first4)
			var shut []time.Duration
			var finish time.Duration
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				sp.Admitted++
				path := open(b, k, sp)
				empty := fill(b, c, at(endpoint4, 80), s, flows)
				b.StartTimer()
				begin := time.Now()
				if err := path.Shut(context.Background()); err != nil {
					b.Fatal(err)
				}
				done := time.Now()
				shut = append(shut, done.Sub(begin))
				n, err := path.Finish(context.Background())
				if err != nil || n != flows {
					b.Fatalf("finish: %d flows, %v", n, err)
				}
				finish += time.Since(done)
				b.StopTimer()
				empty()
				b.StartTimer()
			}
			slices.Sort(shut)
			b.ReportMetric(float64(shut[len(shut)/2].Microseconds()), "shut-p50-µs")
			b.ReportMetric(float64(shut[len(shut)-1].Microseconds()), "shut-max-µs")
			b.ReportMetric(float64(finish.Microseconds())/float64(b.N), "finish-µs/op")
		})
	}
}

// BenchmarkShutWhileOpening measures the cut while a thousand endpoints are being
// opened in the same namespaces.
func BenchmarkShutWhileOpening(b *testing.B) {
	c, p := newNetwork(b), newNetwork(b)
	k := kernel(b)
	var paths []*nft.Path
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }
	for i := range b.N {
		paths = append(paths, open(b, k, spec(fmt.Sprintf("cut-%d", i), c, p, address(i), first4)))
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil && n < 20000; n++ {
			if _, err := k.Open(ctx, spec(fmt.Sprintf("new-%d", n), c, p, address(30000+n), first4)); err != nil {
				break
			}
		}
		done <- n
	}()
	var shut []time.Duration
	b.ResetTimer()
	for _, path := range paths {
		begin := time.Now()
		if err := path.Shut(context.Background()); err != nil {
			b.Fatal(err)
		}
		shut = append(shut, time.Since(begin))
	}
	b.StopTimer()
	stop()
	opened := <-done
	slices.Sort(shut)
	b.ReportMetric(float64(shut[len(shut)/2].Microseconds()), "shut-p50-µs")
	b.ReportMetric(float64(shut[len(shut)*99/100].Microseconds()), "shut-p99-µs")
	b.ReportMetric(float64(opened), "opened")
}

// BenchmarkConnect measures new connections through the path and over a plain veth.
func BenchmarkConnect(b *testing.B) {
	c, p := newNetwork(b), newNetwork(b)
	hold(b, c, endpoint4)
	k := kernel(b)
	s := serve(b, p.NetNS, first4, 8080)
	beside := serve(b, c.behind, second4, 8080)
	sp := spec("ep-1", c, p, endpoint4, first4)
	open(b, k, sp)
	capped := netip.MustParseAddr("10.0.0.101")
	hold(b, c, capped)
	sp.EndpointID, sp.Address, sp.MaxConns = "ep-2", capped, 3000
	open(b, k, sp)
	for name, to := range map[string]struct {
		addr netip.AddrPort
		s    *server
	}{"veth": {at(second4, 8080), beside}, "path": {at(endpoint4, 80), s}, "capped": {at(capped, 80), s}} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				cl, err := c.Dial(b.Context(), to.addr)
				if err != nil {
					b.Fatal(err)
				}
				back := <-to.s.conns
				for _, conn := range []*net.TCPConn{cl, back} {
					_ = conn.SetLinger(0)
					conn.Close()
				}
			}
		})
	}
}

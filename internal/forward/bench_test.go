//go:build linux

package forward_test

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// ways runs a benchmark through a forwarder and, for comparison, without one.
func ways(b *testing.B, to *backend, run func(*testing.B, netip.AddrPort)) {
	b.Helper()
	_, spec := open(b, baseSpec(to))
	b.Run("forwarded", func(b *testing.B) { run(b, endpointOf(spec)) })
	b.Run("direct", func(b *testing.B) { run(b, to.addr) })
}

// BenchmarkBulk is how fast one connection moves bytes.
func BenchmarkBulk(b *testing.B) {
	to := newBackend(b)
	ways(b, to, func(b *testing.B, addr netip.AddrPort) {
		b.Helper()
		const block = 256 << 10
		client := connectTo(b, addr)
		server := to.next(b)
		done := make(chan int64, 1)
		go func() {
			// A reader that copies nowhere: the sink must not be the bottleneck.
			n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{server}, make([]byte, block))
			done <- n
		}()
		data := make([]byte, block)
		b.SetBytes(block)
		b.ResetTimer()
		for range b.N {
			if _, err := client.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		client.CloseWrite()
		if got, want := <-done, int64(b.N)*block; got != want {
			b.Fatalf("%d bytes arrived, want %d", got, want)
		}
	})
}

// BenchmarkRequestResponse is one 64-byte question and its answer on a connection
// that stands.
func BenchmarkRequestResponse(b *testing.B) {
	to := echoBackend(b)
	word := string(make([]byte, 64))
	ways(b, to, func(b *testing.B, addr netip.AddrPort) {
		b.Helper()
		client := connectTo(b, addr)
		b.ResetTimer()
		for range b.N {
			ask(b, client, word)
		}
	})
}

// BenchmarkConnect is a whole connection with one question and its answer.
func BenchmarkConnect(b *testing.B) {
	to := echoBackend(b)
	ways(b, to, func(b *testing.B, addr netip.AddrPort) {
		b.Helper()
		for range b.N {
			c, err := dialFrom(netip.Addr{}, addr)
			if err != nil {
				b.Fatal(err)
			}
			ask(b, c, "x")
			c.SetLinger(0) // leave no TIME_WAIT behind: ports are few
			c.Close()
		}
	})
}

// BenchmarkCut is the price of a decision: the time to reset all of an endpoint's
// flows.
func BenchmarkCut(b *testing.B) {
	const flows = 500
	to := newBackend(b)
	for range b.N {
		b.StopTimer()
		f, spec := open(b, baseSpec(to))
		var ends []net.Conn
		for range flows {
			client := connect(b, spec)
			ends = append(ends, client, to.next(b))
		}
		b.StartTimer()
		if got := f.Cut().Flows; got != flows {
			b.Fatalf("cut %d flows, want %d", got, flows)
		}
		b.StopTimer()
		for _, c := range ends {
			c.Close()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/flows, "µs/flow")
}

// BenchmarkIdleForwarder is what an endpoint costs that nobody uses: the Go heap and
// the stacks. The kernel's memory for the listening socket comes on top.
func BenchmarkIdleForwarder(b *testing.B) {
	const n = 2000
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	e := newEngine(b, forward.Options{})
	for range b.N {
		all := make([]*forward.Forwarder, 0, n)
		before := inUse()
		for i := range n {
			spec := baseSpec()
			spec.Address = netip.AddrFrom4([4]byte{127, 64, byte(i >> 8), byte(i)})
			spec.Backends = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
			f, err := e.Open(b.Context(), spec)
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, f)
		}
		b.ReportMetric(float64(inUse()-before)/n, "B/forwarder")
		for _, f := range all {
			f.Cut()
		}
	}
}

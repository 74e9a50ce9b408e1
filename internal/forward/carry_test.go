//go:build linux

package forward_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// Bytes must arrive whole and in order, both ways at once, and be counted.
func TestCarriesBothWays(t *testing.T) {
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	client := connect(t, spec)
	server := b.next(t)

	const size = 1 << 20
	up, down := make([]byte, size), make([]byte, size)
	rand.Read(up)
	rand.Read(down)
	send := func(c *net.TCPConn, data []byte) error {
		if _, err := c.Write(data); err != nil {
			return err
		}
		return c.CloseWrite()
	}
	var wg sync.WaitGroup
	var sendUp, sendDown, readUp, readDown error
	var gotUp, gotDown []byte
	wg.Go(func() { sendUp = send(client, up) })
	wg.Go(func() { sendDown = send(server, down) })
	wg.Go(func() { gotUp, readUp = io.ReadAll(server) })
	wg.Go(func() { gotDown, readDown = io.ReadAll(client) })
	wg.Wait()
	if err := errors.Join(sendUp, sendDown, readUp, readDown); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gotUp, up) || !bytes.Equal(gotDown, down) {
		t.Fatal("bytes arrived changed")
	}

	eventually(t, "the flow leaves the table", func() bool { return f.Stats().Flows == 0 })
	want := forward.Stats{Total: 1, BytesToBackend: size, BytesToClient: size}
	if diff := cmp.Diff(want, counters(f)); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// A side that has said its last word must still be able to listen, and the other
// must learn that nothing more comes.
func TestHalfClose(t *testing.T) {
	for _, clientFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("client first %v", clientFirst), func(t *testing.T) {
			b := newBackend(t)
			f, spec := open(t, baseSpec(b))
			first, second := pair(t, spec, b)
			if !clientFirst {
				first, second = second, first
			}
			first.Write([]byte("question"))
			first.CloseWrite()
			if got, err := io.ReadAll(second); err != nil || string(got) != "question" {
				t.Fatalf("got %q, %v, want the question and its end", got, err)
			}
			second.Write([]byte("answer"))
			second.CloseWrite()
			if got, err := io.ReadAll(first); err != nil || string(got) != "answer" {
				t.Fatalf("got %q, %v, want the answer and its end", got, err)
			}
			eventually(t, "the flow leaves the table", func() bool { return f.Stats().Flows == 0 })
			if got := f.Stats().Resets; got != 0 {
				t.Errorf("got %d resets for an ordinary end", got)
			}
		})
	}
}

// A reset must stay a reset on the other side: closed quietly, half a transfer
// would look whole. It must be passed on at once, also when the direction that
// would notice has ended before.
func TestResetIsPassedOn(t *testing.T) {
	tests := []struct {
		name            string
		byClient, later bool // later: the one who resets has half-closed before
	}{
		{"client", true, false},
		{"backend", false, false},
		{"client after half-close", true, true},
		{"backend after half-close", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBackend(t)
			f, spec := open(t, baseSpec(b))
			from, to := pair(t, spec, b)
			if !tt.byClient {
				from, to = to, from
			}
			if tt.later {
				from.CloseWrite()
				if _, err := to.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Fatalf("got %v, want the end of file", err)
				}
			}
			from.SetLinger(0)
			from.Close()
			if tt.later {
				// Reading shows the end of file once more; only the flow's end tells.
				eventually(t, "the flow leaves the table", func() bool { return f.Stats().Flows == 0 })
				eventually(t, "writing fails", func() bool { _, err := to.Write([]byte{1}); return isReset(err) })
			} else {
				wantReset(t, "the other side", to)
			}
			eventually(t, "the reset is counted", func() bool { return f.Stats().Resets == 1 })
		})
	}
}

// A socket tells of its reset once, to its reader or to its writer, and whoever comes
// second reads an end of file. Passed on as one, it would tell the backend that the
// client had said everything. Here the forwarder is reading from the client and stuck
// in a write to it when the reset comes, so that either can be the one who is told.
func TestResetIsNeverReadAsEnd(t *testing.T) {
	b := newBackend(t)
	spec := baseSpec(b)
	spec.Listen = narrowNet(unix.SO_SNDBUF)
	_, spec = open(t, spec)
	for range 30 {
		client := connectNarrow(t, spec)
		server := b.next(t)
		if _, err := server.Write(make([]byte, 128<<10)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the client's receive queue is full", full(client))
		client.SetLinger(0)
		client.Close()
		wantReset(t, "backend", server)
		if t.Failed() {
			return
		}
	}
}

// The same, with the forwarder in the middle of sending one small thing after the other
// when the reset comes: it is a write that is told, and the end of file that it would
// read next must go nowhere.
func TestResetDuringWritesIsNoEnd(t *testing.T) {
	b := newBackend(t)
	_, spec := open(t, baseSpec(b))
	for range 200 {
		client, server := pair(t, spec, b)
		var wg sync.WaitGroup
		wg.Go(func() {
			client.Read(make([]byte, 1))
			client.SetLinger(0)
			client.Close()
		})
		var told error
		for range 100 {
			if _, told = server.Write([]byte{0}); told != nil {
				break
			}
		}
		wg.Wait()
		if _, err := io.Copy(io.Discard, server); told == nil && !isReset(err) {
			t.Fatalf("the backend got %v, want a reset", err)
		}
		server.Close()
	}
}

// A client whose backend cannot be reached must see a reset, never a connection
// that was accepted and says nothing, and each reason has its own counter.
func TestRefusals(t *testing.T) {
	down := &backend{addr: netip.AddrPortFrom(randomAddr(), randomPort())}
	tests := []struct {
		name string
		spec forward.Spec
		want forward.Stats
	}{
		{"no backend", baseSpec(), forward.Stats{Refused: forward.Refused{NoBackend: 1}}},
		{"backend down", baseSpec(down), forward.Stats{Total: 1, DialErrors: 1, Refused: forward.Refused{DialError: 1}}},
		{"two backends down", baseSpec(down, down), forward.Stats{Total: 1, DialErrors: 2, Refused: forward.Refused{DialError: 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, spec := open(t, tt.spec)
			wantRefused(t, "client", spec)
			eventually(t, "the refusal is counted", func() bool { return cmp.Equal(counters(f), tt.want) })
			if got := f.Cut().Flows; got != 0 {
				t.Errorf("cut %d flows, want none", got)
			}
		})
	}
}

// One backend address that is down must cost nobody the connection, and those that
// are up must share the work evenly.
func TestBackendsTakeTurns(t *testing.T) {
	first := newBackend(t)
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(randomAddr(), port) }
	second := backendAt(t, at(first.addr.Port()))
	f, spec := open(t, baseSpec(first, second))
	for range 4 {
		connect(t, spec)
	}
	for _, b := range []*backend{first, second} {
		b.next(t)
		b.next(t)
	}

	down := &backend{addr: at(first.addr.Port())}
	spec.Backends = []netip.Addr{down.addr.Addr(), first.addr.Addr()}
	if changed, err := f.Update(spec); err != nil || !changed {
		t.Fatalf("got %v, %v, want a change", changed, err)
	}
	for range 4 {
		pair(t, spec, first)
	}
	if got := f.Stats().Refused.DialError; got != 0 {
		t.Errorf("got %d dial errors, want the other address to answer", got)
	}
}

// A backend address that does not answer must be given up after DialTimeout, or the
// next one would never be asked.
func TestDialTimeout(t *testing.T) {
	silent := silentBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	b := backendAt(t, netip.AddrPortFrom(randomAddr(), silent.Port()))
	spec := baseSpec(b)
	spec.Backends = []netip.Addr{silent.Addr(), b.addr.Addr()}
	spec.DialTimeout = 100 * time.Millisecond
	f, spec := open(t, spec)
	pair(t, spec, b)
	if got := f.Stats(); got.DialErrors != 1 || got.Refused.DialError != 0 {
		t.Errorf("got %+v, want one failed attempt and nobody refused", got)
	}
}

// The limit is exact: one more is refused, and one that leaves makes room.
func TestOverLimit(t *testing.T) {
	const limit, extra = 5, 4
	spec := baseSpec(echoBackend(t))
	spec.MaxConns = limit
	f, spec := open(t, spec)

	var mu sync.Mutex
	var served []*net.TCPConn
	refused := 0
	var wg sync.WaitGroup
	for range limit + extra {
		wg.Go(func() {
			c, err := knock(netip.Addr{}, spec)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				served = append(served, c)
			case isReset(err):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(served) != limit || refused != extra {
		t.Fatalf("served %d and refused %d, want %d and %d", len(served), refused, limit, extra)
	}
	if got := f.Stats(); got.Flows != limit || got.Refused.OverLimit != extra {
		t.Errorf("got %+v, want %d flows and %d over the limit", got, limit, extra)
	}

	for _, c := range served {
		defer c.Close()
	}
	served[0].Close()
	eventually(t, "the place is free", func() bool { return f.Stats().Flows == limit-1 })
	ask(t, connect(t, spec), "now?")
	wantRefused(t, "one more", spec)
}

// The whitelist lets in exactly what it lists.
func TestFilter(t *testing.T) {
	me := netip.MustParseAddr("127.0.0.77")
	tests := []struct {
		name   string
		filter bool
		allow  []string
		want   bool
	}{
		{"off", false, nil, true},
		{"off, list of others", false, []string{"10.0.0.0/8"}, true},
		{"on, empty: nobody", true, nil, false},
		{"on, others", true, []string{"10.0.0.0/8", "127.0.0.78/32"}, false},
		{"on, the address", true, []string{"10.0.0.0/8", "127.0.0.77/32"}, true},
		{"on, its network", true, []string{"127.0.0.0/24"}, true},
		{"on, with host bits", true, []string{"127.0.0.9/24"}, true},
		{"on, mapped spelling", true, []string{"::ffff:127.0.0.0/120"}, true},
		{"on, every IPv6 address", true, []string{"::/0"}, false},
	}
	b := echoBackend(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := baseSpec(b)
			spec.Filter = tt.filter
			for _, p := range tt.allow {
				spec.AllowFrom = append(spec.AllowFrom, netip.MustParsePrefix(p))
			}
			f, spec := open(t, spec)
			c, err := knock(me, spec)
			if err == nil {
				c.Close()
			}
			if tt.want && err != nil || !tt.want && !isReset(err) {
				t.Errorf("got %v, want let in: %v", err, tt.want)
			}
			if got := f.Stats().Refused.NotAllowed; (got == 0) != tt.want {
				t.Errorf("counted %d as not allowed", got)
			}
		})
	}
}

// When one of several ports cannot be bound, none may stay open: an endpoint that
// failed would otherwise let connections in.
func TestOpenIsAllOrNothing(t *testing.T) {
	taken := newBackend(t).addr
	spec := baseSpec()
	spec.Address = taken.Addr()
	free := min(taken.Port()-1, 11000)
	spec.Mappings = []forward.Mapping{{ClientPort: free, ServerPort: 1}, {ClientPort: taken.Port(), ServerPort: 2}}

	f, err := newEngine(t, forward.Options{}).Open(t.Context(), spec)
	if err == nil {
		f.Cut()
	}
	var bind *netattach.BindError
	if !errors.As(err, &bind) || bind.Addr != taken || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v, want the bind error of %v", err, taken)
	}
	if c, err := dialFrom(netip.Addr{}, netip.AddrPortFrom(taken.Addr(), free)); err == nil {
		c.Close()
		t.Error("the free port was left open")
	}
}

// An endpoint that cannot mean what it says must be refused, above all one that
// would listen on every address of the machine.
func TestSpecIsChecked(t *testing.T) {
	many := make([]netip.Addr, forward.MaxBackends+1)
	for i := range many {
		many[i] = randomAddr()
	}
	tests := map[string]func(*forward.Spec){
		"no id":               func(s *forward.Spec) { s.EndpointID = "" },
		"long id":             func(s *forward.Spec) { s.EndpointID = string(make([]byte, 65)) },
		"no address":          func(s *forward.Spec) { s.Address = netip.Addr{} },
		"every IPv4 address":  func(s *forward.Spec) { s.Address = netip.IPv4Unspecified() },
		"every mapped":        func(s *forward.Spec) { s.Address = netip.MustParseAddr("::ffff:0.0.0.0") },
		"every IPv6 address":  func(s *forward.Spec) { s.Address = netip.IPv6Unspecified() },
		"no mapping":          func(s *forward.Spec) { s.Mappings = nil },
		"too many mappings":   func(s *forward.Spec) { s.Mappings = make([]forward.Mapping, forward.MaxMappings+1) },
		"port 0":              func(s *forward.Spec) { s.Mappings[0].ClientPort = 0 },
		"server port 0":       func(s *forward.Spec) { s.Mappings[0].ServerPort = 0 },
		"port twice":          func(s *forward.Spec) { s.Mappings = append(s.Mappings, s.Mappings[0]) },
		"unspecified backend": func(s *forward.Spec) { s.Backends = []netip.Addr{netip.IPv4Unspecified()} },
		"too many backends":   func(s *forward.Spec) { s.Backends = many },
		"invalid prefix":      func(s *forward.Spec) { s.AllowFrom = make([]netip.Prefix, 1) },
		"too many prefixes":   func(s *forward.Spec) { s.AllowFrom = make([]netip.Prefix, forward.MaxAllowFrom+1) },
		"negative limit":      func(s *forward.Spec) { s.MaxConns = -1 },
		"negative timeout":    func(s *forward.Spec) { s.DialTimeout = -1 },
		"endless timeout":     func(s *forward.Spec) { s.IdleTimeout = 1 << 62 },
		"short timeout":       func(s *forward.Spec) { s.UDPTimeout = 1 },
		"negative drain":      func(s *forward.Spec) { s.Drain = -time.Second },
		"balance":             func(s *forward.Spec) { s.Balance = 9 },
		"unknown field":       func(s *forward.Spec) { s.TLVs = []string{"alibaba"} },
		"field twice":         func(s *forward.Spec) { s.TLVs = []string{"aws", "gcp", "aws"} },
		"long network":        func(s *forward.Spec) { s.NetworkID = string(make([]byte, 65)) },
		"UDP port twice": func(s *forward.Spec) {
			s.Mappings = []forward.Mapping{{UDP: true, ClientPort: 53, ServerPort: 1}, {UDP: true, ClientPort: 53, ServerPort: 2}}
		},
		"proxy mode": func(s *forward.Spec) { s.Proxy = 9 },
		"no network": func(s *forward.Spec) { s.Dial = nil },
	}
	e := newEngine(t, forward.Options{})
	for name, spoil := range tests {
		spec := baseSpec()
		spoil(&spec)
		if f, err := e.Open(t.Context(), spec); err == nil {
			f.Cut()
			t.Errorf("%s: opened", name)
		}
	}
}

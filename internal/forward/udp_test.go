//go:build linux

package forward_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// shortly is how long a test waits for a datagram that must not come. It can be too
// short to see a fault, never too short to report one.
const shortly = 50 * time.Millisecond

// udpBackend is a socket that a test answers from.
func udpBackend(tb testing.TB, at netip.AddrPort) *net.UDPConn {
	tb.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func portOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// udpSpec is a spec with one UDP mapping to the socket.
func udpSpec(b *net.UDPConn) forward.Spec {
	spec := baseSpec()
	spec.Backends = []netip.Addr{portOf(b).Addr()}
	spec.Mappings = []forward.Mapping{{UDP: true, ClientPort: randomPort(), ServerPort: portOf(b).Port()}}
	return spec
}

func udpClient(tb testing.TB, spec forward.Spec) *net.UDPConn {
	tb.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(endpointOf(spec)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// get reads one datagram and says who sent it.
func get(tb testing.TB, c *net.UDPConn, want []byte) netip.AddrPort {
	tb.Helper()
	buf := make([]byte, 64<<10)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil || !bytes.Equal(buf[:n], want) {
		tb.Fatalf("got %d bytes, %v, want %d", n, err, len(want))
	}
	return from
}

// silence expects no datagram.
func silence(tb testing.TB, who string, c *net.UDPConn) {
	tb.Helper()
	c.SetReadDeadline(time.Now().Add(shortly))
	defer c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 64<<10)
	if n, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) && err == nil {
		tb.Errorf("%s got a datagram of %d bytes", who, n)
	}
}

// greet sends a datagram of the client and the answer, and returns the address that
// the backend sees the client as.
func greet(tb testing.TB, client, server *net.UDPConn) netip.AddrPort {
	tb.Helper()
	if _, err := client.Write([]byte("hello")); err != nil {
		tb.Fatal(err)
	}
	from := get(tb, server, []byte("hello"))
	if _, err := server.WriteToUDPAddrPort([]byte("welcome"), from); err != nil {
		tb.Fatal(err)
	}
	get(tb, client, []byte("welcome"))
	return from
}

// A datagram must arrive as it was sent: whole, alone, also when it is empty or the
// largest that there is, and the answer must come from the endpoint to the one who
// asked.
func TestUDPCarriesDatagrams(t *testing.T) {
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	f, spec := open(t, udpSpec(server))
	one, two := udpClient(t, spec), udpClient(t, spec)
	as1, as2 := greet(t, one, server), greet(t, two, server)
	if as1 == as2 {
		t.Fatalf("both clients are %v to the backend", as1)
	}
	total := 10
	for _, size := range []int{0, 1, 1472, 9000, 65507} {
		for i, c := range []*net.UDPConn{one, two} {
			data := bytes.Repeat([]byte{byte(i + 1)}, size)
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			if from, want := get(t, server, data), []netip.AddrPort{as1, as2}[i]; from != want {
				t.Errorf("client %d came as %v, want %v", i, from, want)
			}
			if _, err := server.WriteToUDPAddrPort(data, []netip.AddrPort{as1, as2}[i]); err != nil {
				t.Fatal(err)
			}
			get(t, c, data)
			total += size
		}
	}
	want := forward.Stats{Flows: 2, Total: 2, BytesToBackend: uint64(total), BytesToClient: uint64(total + 4)}
	eventually(t, "every byte is counted", func() bool { return cmp.Equal(want, counters(f)) })
}

// A consumer of one family must reach a provider of the other with datagrams, too.
func TestUDPFamilies(t *testing.T) {
	six := netip.MustParseAddr("::1")
	for _, tt := range []struct{ endpoint, backend netip.Addr }{{six, six}, {randomAddr(), six}, {six, randomAddr()}} {
		server := udpBackend(t, netip.AddrPortFrom(tt.backend, 0))
		spec := udpSpec(server)
		spec.Address = tt.endpoint
		_, spec = open(t, spec)
		greet(t, udpClient(t, spec), server)
	}
}

// Many datagrams of many clients at once must each go where they belong, in order.
func TestUDPBatches(t *testing.T) {
	const clients, each = 5, 40
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	_, spec := open(t, udpSpec(server))
	all := make([]*net.UDPConn, clients)
	for i := range all {
		all[i] = udpClient(t, spec)
	}
	for n := range each {
		for i, c := range all {
			if _, err := fmt.Fprintf(c, "%d %d", i, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := map[netip.AddrPort]int{}
	buf := make([]byte, 100)
	for range clients * each {
		n, from, err := server.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		var who, number int
		if _, err := fmt.Sscanf(string(buf[:n]), "%d %d", &who, &number); err != nil || number != next[from] {
			t.Fatalf("%v sent %q, want its number %d", from, buf[:n], next[from])
		}
		next[from]++
		server.WriteToUDPAddrPort(buf[:n], from)
	}
	for i, c := range all {
		for n := range each {
			get(t, c, fmt.Appendf(nil, "%d %d", i, n))
		}
	}
}

// A session that carries nothing must be forgotten, or the endpoint would be full one
// day, and its client must be let in again.
func TestUDPSessionExpires(t *testing.T) {
	var log records
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	spec := udpSpec(server)
	spec.UDPTimeout = 20 * time.Millisecond
	f, spec := openWith(t, forward.Options{Loops: 2, FlowLog: log.add}, spec)
	client := udpClient(t, spec)
	greet(t, client, server)
	eventually(t, "the session is forgotten", func() bool { return f.Stats().Flows == 0 })
	greet(t, client, server)
	got := log.endings(t, 2)
	if diff := cmp.Diff([]forward.Ending{forward.Expired, forward.Expired}, got); diff != "" || f.Stats().Resets != 0 {
		t.Errorf("endings (-want +got):\n%s", diff)
	}
}

// A backend where nobody listens must be noticed, and the next datagram must go to one
// where somebody does.
func TestUDPBackendGone(t *testing.T) {
	var log records
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	spec := udpSpec(server)
	spec.Backends = []netip.Addr{randomAddr(), portOf(server).Addr()}
	f, spec := openWith(t, forward.Options{Loops: 2, FlowLog: log.add}, spec)
	client := udpClient(t, spec)
	client.Write([]byte("lost"))
	eventually(t, "the session is over", func() bool { s := f.Stats(); return s.Flows == 0 && s.DialErrors == 1 })
	greet(t, client, server)
	f.Cut()
	if diff := cmp.Diff([]forward.Ending{forward.BackendGone, forward.ByCut}, log.endings(t, 2)); diff != "" {
		t.Errorf("endings (-want +got):\n%s", diff)
	}
}

// Limit and whitelist must hold for sessions as they do for connections.
func TestUDPAdmission(t *testing.T) {
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	spec := udpSpec(server)
	spec.MaxConns = 1
	f, spec := open(t, spec)
	first := udpClient(t, spec)
	greet(t, first, server)
	udpClient(t, spec).Write([]byte("too many"))
	eventually(t, "the second is refused", func() bool { return f.Stats().Refused.OverLimit == 1 })

	spec.MaxConns, spec.Filter = 10, true
	update(t, f, spec)
	udpClient(t, spec).Write([]byte("stranger"))
	eventually(t, "the stranger is refused", func() bool { return f.Stats().Refused.NotAllowed == 1 })
	greet(t, first, server)

	spec.Filter, spec.Backends = false, nil
	update(t, f, spec)
	udpClient(t, spec).Write([]byte("whereto"))
	eventually(t, "who has no backend is refused", func() bool { return f.Stats().Refused.NoBackend == 1 })
	silence(t, "backend", server)
}

// After a cut no datagram must pass in either direction, though clients and backends
// of UDP are told nothing; and a mapping next to one that is removed must not notice.
func TestUDPCut(t *testing.T) {
	for _, how := range []string{"cut", "shut", "update"} {
		t.Run(how, func(t *testing.T) {
			server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
			spec := udpSpec(server)
			other := spec.Mappings[0]
			other.ClientPort++
			spec.Mappings = append(spec.Mappings, other)
			f, spec := open(t, spec)
			client := udpClient(t, spec)
			from := greet(t, client, server)
			neighbour := spec
			neighbour.Mappings = spec.Mappings[1:]
			friend := udpClient(t, neighbour)
			greet(t, friend, server)
			switch how {
			case "cut":
				if got := f.Cut().Flows; got != 2 {
					t.Errorf("cut %d sessions, want 2", got)
				}
			case "shut":
				f.Shut()
			case "update":
				update(t, f, neighbour)
				greet(t, friend, server)
				if got := f.Stats(); got.Flows != 1 || got.Resets != 1 {
					t.Errorf("got %+v, want one session and one reset", got)
				}
			}
			server.WriteToUDPAddrPort([]byte("late"), from)
			client.Write([]byte("late"))
			silence(t, "backend", server)
			silence(t, "client", client)
		})
	}
}

// A port may mean one thing for TCP and another for UDP. StopNew must keep the
// sessions that are there, and begin no more.
func TestUDPNextToTCP(t *testing.T) {
	server := udpBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	b := echoBackendAt(t, netip.AddrPortFrom(portOf(server).Addr(), 0))
	spec := udpSpec(server)
	spec.Mappings = append(spec.Mappings, forward.Mapping{ClientPort: spec.Mappings[0].ClientPort, ServerPort: b.addr.Port()})
	f, spec := open(t, spec)
	client := udpClient(t, spec)
	greet(t, client, server)
	ask(t, connect(t, spec), "tcp")

	f.StopNew()
	greet(t, client, server)
	udpClient(t, spec).Write([]byte("new"))
	silence(t, "backend", server)
	if got := f.Stats().Flows; got != 2 {
		t.Errorf("%d flows, want both", got)
	}
	if got := f.Cut().Flows; got != 2 {
		t.Errorf("cut %d flows, want 2", got)
	}
}

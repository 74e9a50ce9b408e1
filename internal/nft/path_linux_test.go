package nft_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// The four corners of the lab: clients in the consumer's namespace and behind it,
// backends in the provider's and behind it, both address families. If one fails, a
// kind of client or backend has no kernel path at all, or keeps it after the cut, or
// an idle peer is not told.
func TestCarriesAndCuts(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	k := kernel(t)
	for _, tt := range []struct {
		name              string
		endpoint, backend netip.Addr
		client, backendIn *netattach.NetNS
	}{
		{"v4 client inside, backend inside", endpoint4, first4, c.NetNS, p.NetNS},
		{"v4 client behind, backend inside", endpoint4, first4, c.behind, p.NetNS},
		{"v4 client inside, backend behind", endpoint4, second4, c.NetNS, p.behind},
		{"v4 client behind, backend behind", endpoint4, second4, c.behind, p.behind},
		{"v6 client inside, backend inside", endpoint6, first6, c.NetNS, p.NetNS},
		{"v6 client behind, backend inside", endpoint6, first6, c.behind, p.NetNS},
		{"v6 client inside, backend behind", endpoint6, second6, c.NetNS, p.behind},
		{"v6 client behind, backend behind", endpoint6, second6, c.behind, p.behind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.backendIn, tt.backend, 8080)
			path := open(t, k, spec("ep-1", c, p, tt.endpoint, tt.backend))
			one := connect(t, tt.client, at(tt.endpoint, 80), s)
			two := connect(t, tt.client, at(tt.endpoint, 80), s)
			wantRefused(t, tt.client, at(tt.endpoint, 81))
			if n := finish(t, path); n != 2 {
				t.Errorf("ended %d flows, want 2", n)
			}
			one.wantReset(t)
			two.wantReset(t)
			wantRefused(t, tt.client, at(tt.endpoint, 80))
		})
	}
}

// A cut endpoint's neighbours: one in the same namespaces, one of another consumer
// with the same address, one of the other family. A byte lost by any of them would
// break the promise that a decision touches one endpoint; that holds with the kernel's
// own mistake in filtering IPv6 flows, too.
func TestNeighboursAreUntouched(t *testing.T) {
	c1, c2, p := newNetwork(t), newNetwork(t), newNetwork(t)
	other4, other6 := netip.MustParseAddr("10.0.0.101"), netip.MustParseAddr("fd00::101")
	for _, a := range []netip.Addr{endpoint4, endpoint6, other4, other6} {
		hold(t, c1, a)
		hold(t, c2, a)
	}
	k := kernel(t)
	s4, s6 := serve(t, p.NetNS, first4, 8080), serve(t, p.NetNS, first6, 8080)
	cut4 := open(t, k, spec("cut-4", c1, p, endpoint4, first4))
	cut6 := open(t, k, spec("cut-6", c1, p, endpoint6, first6))
	open(t, k, spec("same-4", c1, p, other4, first4))
	open(t, k, spec("same-6", c1, p, other6, first6))
	open(t, k, spec("twin-4", c2, p, endpoint4, first4))
	open(t, k, spec("twin-6", c2, p, endpoint6, first6))

	var gone, stay []conn
	for _, client := range []*netattach.NetNS{c1.NetNS, c1.behind} {
		gone = append(gone, connect(t, client, at(endpoint4, 80), s4), connect(t, client, at(endpoint6, 80), s6))
		stay = append(stay, connect(t, client, at(other4, 80), s4), connect(t, client, at(other6, 80), s6))
	}
	for _, client := range []*netattach.NetNS{c2.NetNS, c2.behind} {
		stay = append(stay, connect(t, client, at(endpoint4, 80), s4), connect(t, client, at(endpoint6, 80), s6))
	}
	for _, path := range []*nft.Path{cut4, cut6} {
		if n := finish(t, path); n != 2 {
			t.Errorf("ended %d flows, want 2", n)
		}
	}
	for _, f := range gone {
		f.wantReset(t)
	}
	for _, f := range stay {
		f.talk(t)
	}
}

// pump writes without end until the connection fails, which it returns.
func pump(c *net.TCPConn) <-chan error {
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 64<<10)
		for {
			if _, err := c.Write(b); err != nil {
				done <- err
				return
			}
		}
	}()
	return done
}

// A transfer at full speed in both directions is cut at the gate. Bytes after Shut
// would be bytes after the answer to a reject.
func TestNoByteAfterShut(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	for _, client := range []*netattach.NetNS{c.NetNS, c.behind} {
		path := open(t, k, spec("ep-1", c, p, endpoint4, first4))
		up, down := connect(t, client, at(endpoint4, 80), s), connect(t, client, at(endpoint4, 80), s)
		senders := []<-chan error{pump(up.client), pump(down.backend)}
		receivers := []*net.TCPConn{up.backend, down.client}
		for _, r := range receivers {
			if _, err := io.CopyN(io.Discard, r, 4<<20); err != nil {
				t.Fatal(err)
			}
		}
		if err := path.Shut(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What was in the receivers' buffers is theirs. They are empty when nothing
		// comes for a moment, and no retransmission may come behind that.
		for i, r := range receivers {
			for _, wait := range []time.Duration{50 * time.Millisecond, 400 * time.Millisecond} {
				_ = r.SetReadDeadline(time.Now().Add(wait))
				n, err := io.Copy(io.Discard, r)
				if wait > 100*time.Millisecond && n > 0 {
					t.Errorf("receiver %d got %d bytes after the gate was shut", i, n)
				}
				// A reset is told once, and is the end of the file from then on.
				if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.ECONNRESET) && err != nil {
					t.Errorf("receiver %d: got %v, want silence or a reset", i, err)
				}
			}
		}
		if n, err := path.Finish(t.Context()); err != nil || n != 2 {
			t.Errorf("finish: got %d flows, %v, want 2", n, err)
		}
		for i, done := range senders {
			if err := <-done; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("sender %d: got %v, want a reset", i, err)
			}
		}
		for i, r := range receivers {
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if n, err := r.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("receiver %d: got %d bytes, %v at the end, want a reset", i, n, err)
			}
		}
	}
}

// An endpoint that is accepted again at once: its old flows must be dead and its new
// ones alive. A flow of the old admission that lived on would have outlived a reject.
func TestAcceptedAgainAtOnce(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	sp := spec("ep-1", c, p, endpoint4, first4)
	var old []conn
	for sp.Admitted = range int64(4) {
		path := open(t, k, sp)
		for _, f := range old {
			f.wantReset(t)
		}
		old = []conn{connect(t, c.NetNS, at(endpoint4, 80), s), connect(t, c.behind, at(endpoint4, 80), s)}
		finish(t, path)
	}
}

// UDP has its own sockets, no resets and other limits in the rules: what holds for TCP
// must hold for it, or a cut leaves a channel open.
func TestUDP(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	k := kernel(t)
	for _, tt := range []struct {
		endpoint, backend netip.Addr
		in                *netattach.NetNS
	}{{endpoint4, first4, p.NetNS}, {endpoint6, second6, p.behind}} {
		echo(t, tt.in, at(tt.backend, 8080))
		path := open(t, k, spec("udp-"+tt.endpoint.String(), c, p, tt.endpoint, tt.backend))
		ask := func(from *net.UDPConn, size int, wait time.Duration) (int, error) {
			return ask(from, at(tt.endpoint, 80), size, wait)
		}
		local, remote := tt.endpoint, second4
		if tt.endpoint.Is6() {
			remote = second6
		}
		inside, err := c.ListenPacket(t.Context(), at(local, 5353))
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		behind, err := c.behind.ListenPacket(t.Context(), at(remote, 5353)) // the same port
		if err != nil {
			t.Fatal(err)
		}
		defer behind.Close()
		for name, conn := range map[string]*net.UDPConn{"inside": inside, "behind": behind} {
			for _, size := range []int{1, 1400} {
				if n, err := ask(conn, size, patience); err != nil || n != size {
					t.Errorf("client %s: got %d bytes, %v, want %d", name, n, err, size)
				}
			}
		}
		if n := finish(t, path); n != 2 {
			t.Errorf("ended %d flows, want 2", n)
		}
		for name, conn := range map[string]*net.UDPConn{"inside": inside, "behind": behind} {
			if n, err := ask(conn, 1, 100*time.Millisecond); err == nil {
				t.Errorf("client %s: got %d bytes after the cut", name, n)
			}
		}
	}
}

// stats reads the numbers as they are now.
func stats(t *testing.T, k *testKernel, path *nft.Path) (nft.Stats, error) {
	t.Helper()
	k.later()
	return path.Stats(t.Context())
}

// What is counted is what users are shown and billed by; a cut must not lose it.
func TestStats(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	path := open(t, k, spec("ep-1", c, p, endpoint4, first4))
	f := connect(t, c.behind, at(endpoint4, 80), s)
	const size = 1 << 20
	go func() { _, _ = f.client.Write(make([]byte, size)) }()
	if _, err := io.CopyN(io.Discard, f.backend, size); err != nil {
		t.Fatal(err)
	}
	st, err := stats(t, k, path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(st nft.Stats, flows int) {
		t.Helper()
		if st.Flows != flows || st.Total != 1 || st.BytesToBackend < size || st.BytesToBackend > 2*size ||
			st.PacketsToBackend == 0 || st.PacketsToClient == 0 || st.BytesToClient == 0 || st.BytesToClient > size/2 {
			t.Errorf("got %+v, want %d of 1 flow and a bit over %d bytes to the backend", st, flows, size)
		}
	}
	check(st, 1)
	if err := path.Shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err = stats(t, k, path); err != nil {
		t.Fatal(err)
	}
	check(st, 0)
}

// Two namespaces serve each other, and many endpoints open and close at once. The
// rules of a consumer and of a provider share a table, and must not refuse each other's
// packets.
func TestBothRolesAtOnce(t *testing.T) {
	a, b := newNetwork(t), newNetwork(t)
	k := kernel(t)
	sa, sb := serve(t, a.NetNS, first4, 8080), serve(t, b.NetNS, first4, 8080)
	ip(t, "-n", a.behind.Name(), "route", "add", "10.0.1.0/24", "via", "10.0.0.1")
	ip(t, "-n", b.behind.Name(), "route", "add", "10.0.1.0/24", "via", "10.0.0.1")
	const each = 20
	var wg sync.WaitGroup
	for i := range each {
		address := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		hold(t, a, address)
		hold(t, b, address)
		for _, way := range []struct {
			c, p *network
			s    *server
		}{{a, b, sb}, {b, a, sa}} {
			wg.Go(func() {
				path, err := k.Open(t.Context(), spec(fmt.Sprintf("ep-%d-%s", i, way.c), way.c, way.p, address, first4))
				if err != nil {
					t.Error(err)
					return
				}
				for _, client := range []*netattach.NetNS{way.c.NetNS, way.c.behind} {
					c, err := client.Dial(t.Context(), at(address, 80))
					if err != nil {
						t.Errorf("%s to %s: %v", client, address, err)
						continue
					}
					defer c.Close()
				}
				if i%2 == 0 {
					return
				}
				if n, err := path.Finish(t.Context()); err != nil || n != 2 {
					t.Errorf("finish: got %d flows, %v, want 2", n, err)
				}
			})
		}
	}
	wg.Wait()
}

// A narrow network on either side: the message that a packet is too big must find its
// way back through the translation, or transfers hang.
func TestPathMTU(t *testing.T) {
	for _, tt := range []struct{ endpoint, backend netip.Addr }{{endpoint4, second4}, {endpoint6, second6}} {
		for _, narrow := range []string{"consumer", "provider"} {
			t.Run(tt.endpoint.String()+" "+narrow, func(t *testing.T) {
				c, p := newNetwork(t), newNetwork(t)
				hold(t, c, tt.endpoint)
				k := kernel(t)
				s := serve(t, p.behind, tt.backend, 8080)
				squeezed := map[string]*network{"consumer": c, "provider": p}[narrow]
				open(t, k, spec("ep-1", c, p, tt.endpoint, tt.backend))
				ip(t, "-n", squeezed.Name(), "link", "set", "eth0", "mtu", "1300")
				f := connect(t, c.behind, at(tt.endpoint, 80), s)
				for _, way := range [][2]*net.TCPConn{{f.client, f.backend}, {f.backend, f.client}} {
					const size = 1 << 20
					go func() { _, _ = way[0].Write(make([]byte, size)) }()
					_ = way[1].SetReadDeadline(time.Now().Add(patience))
					if n, err := io.CopyN(io.Discard, way[1], size); err != nil {
						t.Fatalf("got %d of %d bytes, %v", n, size, err)
					}
				}
			})
		}
	}
}

// Datagrams larger than the networks on either side take must go in pieces. If this
// fails, a program that sends such gets an error for each, for ever: it sees the way to
// the endpoint's address, which takes more.
func TestLargeDatagrams(t *testing.T) {
	for name, prepare := range map[string]func(testing.TB, *network){
		"routed": func(testing.TB, *network) {}, "bridged": bridged,
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newNetwork(t), newNetwork(t)
			prepare(t, c)
			prepare(t, p)
			hold(t, c, endpoint4)
			hold(t, c, endpoint6)
			k := kernel(t)
			for _, tt := range []struct {
				endpoint, backend, inside, behind netip.Addr
				in                                *netattach.NetNS
			}{
				{endpoint4, first4, first4, second4, p.NetNS},
				{endpoint4, second4, first4, second4, p.behind},
				{endpoint6, first6, first6, second6, p.NetNS},
				{endpoint6, second6, first6, second6, p.behind},
			} {
				echo(t, tt.in, at(tt.backend, 8080))
				path := open(t, k, spec("ep-1", c, p, tt.endpoint, tt.backend))
				for from, ns := range map[netip.Addr]*netattach.NetNS{tt.inside: c.NetNS, tt.behind: c.behind} {
					conn, err := ns.ListenPacket(t.Context(), at(from, 0))
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					for _, size := range []int{1473, 9000, 40000} {
						if n, err := ask(conn, at(tt.endpoint, 80), size, patience); err != nil || n != size {
							t.Errorf("%d bytes from %s by %s to %s: got %d, %v", size, from, tt.endpoint, tt.backend, n, err)
						}
					}
				}
				finish(t, path)
			}
		})
	}
}

// Without an endpoint nothing of one network may be reached from the other, and with
// one nothing but it: not over the transit addresses, not over the interfaces that
// were made to forward.
func TestNothingElseIsReachable(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){
		"forwarding by interface": func(*testing.T) {}, "forwarding as a whole": nft.WithoutForceForwarding,
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			nothingElse(t)
		})
	}
}

func nothingElse(t *testing.T) {
	t.Helper()
	c, p, q := newNetwork(t), newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	k := kernel(t)
	for _, n := range []*network{c, p} { // listeners on whatever address
		for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			for _, ns := range []*netattach.NetNS{n.NetNS, n.behind} {
				serve(t, ns, any, 22)
				serve(t, ns, any, 8080)
			}
		}
	}
	// A second network behind the consumer's, and routes to it.
	ip(t, "-n", c.Name(), "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", q.Name())
	for i, n := range []*network{c, q} {
		ip(t, "-n", n.Name(), "link", "set", "eth1", "addrgenmode", "none")
		ip(t, "-n", n.Name(), "address", "add", fmt.Sprintf("10.9.0.%d/24", i+1), "dev", "eth1")
		ip(t, "-n", n.Name(), "address", "add", fmt.Sprintf("fd09::%d/64", i+1), "dev", "eth1", "nodad")
		ip(t, "-n", n.Name(), "link", "set", "eth1", "up")
	}
	serve(t, q.NetNS, netip.MustParseAddr("10.9.0.2"), 22)
	serve(t, q.NetNS, netip.MustParseAddr("fd09::2"), 22)
	ip(t, "-n", q.Name(), "route", "add", "10.0.0.2/32", "via", "10.9.0.1")
	ip(t, "-n", q.Name(), "route", "add", "fd00::2/128", "via", "fd09::1")
	for _, n := range []*network{c, p} {
		ip(t, "-n", n.behind.Name(), "route", "add", "default", "via", "10.0.0.1")
		ip(t, "-n", n.behind.Name(), "route", "add", "default", "via", "fd00::1")
	}
	open(t, k, spec("ep-4", c, p, endpoint4, first4))
	open(t, k, spec("ep-6", c, p, endpoint6, first6))

	near := map[*network][]string{c: {"198.19.0.0", "[fd53:616c:6c79:8000::]"}, p: {"198.19.0.1", "[fd53:616c:6c79:8000::1]"}}
	for _, n := range []*network{c, p} {
		far := p
		if n == p {
			far = c
		}
		for _, from := range []*netattach.NetNS{n.NetNS, n.behind} {
			for _, to := range append([]string{"198.18.0.1", "[fd53:616c:6c79::1]"}, near[far]...) {
				for _, port := range []string{"22", "80", "8080"} {
					reach(t, from, to+":"+port, false)
				}
			}
		}
	}
	for _, to := range []string{"10.9.0.2:22", "[fd09::2]:22"} {
		reach(t, c.NetNS, to, true)
		reach(t, c.behind, to, false)
	}
	// An address that only the provider has, over the link by hand.
	link := strings.TrimSuffix(strings.Fields(run(t, c.NetNS, "sh", "-c", "ip -o link | grep -o 'sp[0-9a-f]*@'"))[0], "@")
	ip(t, "-n", c.Name(), "route", "add", "10.0.0.77/32", "via", "198.19.0.1", "dev", link)
	ip(t, "-n", p.Name(), "address", "add", "10.0.0.77/32", "dev", "lo")
	reach(t, c.NetNS, "10.0.0.77:22", false)
	reach(t, c.behind, "10.0.0.77:22", false)
	// And still the endpoints work.
	reach(t, c.behind, endpoint4.String()+":80", true)
	reach(t, c.behind, "["+endpoint6.String()+"]:80", true)
}

// reach tries to connect, and fails the test where the outcome is not the wanted.
func reach(t *testing.T, from *netattach.NetNS, to string, want bool) {
	t.Helper()
	done := make(chan error, 1)
	wait := 100 * time.Millisecond // nothing comes later on machines without a queue
	if want {
		wait = patience
	}
	d := time.Now().Add(wait)
	err := from.Do(func() error {
		c, err := (&net.Dialer{Deadline: d}).Dial("tcp", to)
		if err == nil {
			c.Close()
		}
		done <- err
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; (err == nil) != want {
		t.Errorf("%s to %s: got %v, want it reached: %v", from, to, err, want)
	}
}

// Specs that the kernel cannot carry must be known before anything is done, so that
// user space takes them.
func TestSupports(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	k := kernel(t)
	for want, change := range map[string]func(*nft.Spec){
		"": func(*nft.Spec) {},
		"consumer and provider are in the same namespace":                             func(s *nft.Spec) { s.Dial = c.NetNS },
		"the kernel engine needs a network namespace on either side":                  func(s *nft.Spec) { s.Listen = nil },
		"endpoint and backend are of different address families":                      func(s *nft.Spec) { s.Backends = []netip.Addr{first6} },
		"backend address 127.0.0.1 is a loopback address, which cannot be translated": func(s *nft.Spec) { s.Backends = []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		"endpoint address 198.18.4.4 is within the transit range: set another range":  func(s *nft.Spec) { s.Address = netip.MustParseAddr("198.18.4.4") },
		"the kernel engine balances over at most 16 backend addresses":                func(s *nft.Spec) { s.Backends = make([]netip.Addr, 17) },
		"the endpoint id has not 1 to 64 bytes":                                       func(s *nft.Spec) { s.EndpointID = "" },
		"backend address fe80::1 is a link-local address, which cannot be translated": func(s *nft.Spec) { s.Backends = []netip.Addr{netip.MustParseAddr("fe80::1")} },
		"endpoint address invalid IP is not the address of one host":                  func(s *nft.Spec) { s.Address = netip.Addr{} },
	} {
		s := spec("ep-1", c, p, endpoint4, first4)
		change(&s)
		if diff := cmp.Diff(want, k.Supports(s)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

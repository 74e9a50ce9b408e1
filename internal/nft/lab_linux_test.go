package nft_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ nft.Namespace = (*netattach.NetNS)(nil)

// The addresses of the lab. Every network is 10.0.0.0/24 and fd00::/64.
var (
	endpoint4 = netip.MustParseAddr("10.0.0.100")
	endpoint6 = netip.MustParseAddr("fd00::100")
	first4    = netip.MustParseAddr("10.0.0.1") // the namespace itself
	first6    = netip.MustParseAddr("fd00::1")
	second4   = netip.MustParseAddr("10.0.0.2") // the machine behind it
	second6   = netip.MustParseAddr("fd00::2")
)

// patience bounds every wait of a test that something happens.
const patience = 10 * time.Second

func ip(tb testing.TB, args ...string) {
	tb.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// network is a namespace with lo up and, with behind, a machine of its own behind an
// interface.
type network struct {
	*netattach.NetNS
	behind *netattach.NetNS
}

func namespace(tb testing.TB) *netattach.NetNS {
	tb.Helper()
	name := "spt-nft-" + strings.ToLower(rand.Text()[:8])
	ip(tb, "netns", "add", name)
	tb.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip(tb, "-n", name, "link", "set", "lo", "up")
	n, err := netattach.OpenNetNS(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

func newNetwork(tb testing.TB) *network {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("network namespaces need root")
	}
	if os.Getenv("CI") != "" {
		tb.Skip("network namespaces are not made in CI")
	}
	n := &network{namespace(tb), namespace(tb)}
	ip(tb, "-n", n.Name(), "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", n.behind.Name())
	for i, ns := range []*netattach.NetNS{n.NetNS, n.behind} {
		// Duplicate address detection of a link-local address would take a second.
		ip(tb, "-n", ns.Name(), "link", "set", "eth0", "addrgenmode", "none")
		ip(tb, "-n", ns.Name(), "address", "add", fmt.Sprintf("10.0.0.%d/24", i+1), "dev", "eth0")
		ip(tb, "-n", ns.Name(), "address", "add", fmt.Sprintf("fd00::%d/64", i+1), "dev", "eth0", "nodad")
		ip(tb, "-n", ns.Name(), "link", "set", "eth0", "up")
	}
	return n
}

// hold makes the endpoint's address local, as the caller of Open does.
func hold(tb testing.TB, n *network, addr netip.Addr) {
	tb.Helper()
	release, err := n.Hold(tb.Context(), addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
}

// state is everything of a namespace that somebody could have changed.
func state(tb testing.TB, n *network) string {
	tb.Helper()
	var b strings.Builder
	for _, args := range [][]string{
		{"nft", "list", "ruleset"},
		{"ip", "-o", "address"},
		{"ip", "-o", "link"},
		{"ip", "route", "show", "table", "all"},
		{"ip", "-6", "route", "show", "table", "all"},
		{"sh", "-c", "cd /proc/sys/net && grep -rH . ipv4/conf/*/forwarding ipv4/conf/*/rp_filter ipv6/conf/*/*forwarding ipv6/conf/*/accept_ra"},
	} {
		fmt.Fprintln(&b, strings.Join(args, " "))
		b.WriteString(run(tb, n.NetNS, args...))
	}
	return b.String()
}

// run runs a command inside a namespace and returns its output.
func run(tb testing.TB, ns *netattach.NetNS, args ...string) string {
	tb.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns.Name()}, args...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s in %s: %v\n%s", strings.Join(args, " "), ns, err, out)
	}
	return string(out)
}

// server is a listener whose accepted connections the test takes.
type server struct {
	*net.TCPListener
	conns chan *net.TCPConn
	addr  netip.AddrPort
}

func serve(tb testing.TB, ns *netattach.NetNS, addr netip.Addr, port uint16) *server {
	tb.Helper()
	ln, err := ns.Listen(tb.Context(), netip.AddrPortFrom(addr, port))
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{TCPListener: ln, conns: make(chan *net.TCPConn, 8192), addr: netip.AddrPortFrom(addr, port)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			s.conns <- c
		}
	}()
	tb.Cleanup(func() {
		ln.Close()
		<-done
		close(s.conns)
		for c := range s.conns {
			c.Close()
		}
	})
	return s
}

// next returns the connection that was accepted next.
func (s *server) next(tb testing.TB) *net.TCPConn {
	tb.Helper()
	select {
	case c := <-s.conns:
		tb.Cleanup(func() { c.Close() })
		return c
	case <-time.After(patience):
		tb.Fatalf("nothing connected to %s", s.addr)
		return nil
	}
}

// conn is a flow with both of its ends.
type conn struct{ client, backend *net.TCPConn }

func dial(tb testing.TB, from *netattach.NetNS, to netip.AddrPort) (*net.TCPConn, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	c, err := from.Dial(ctx, to)
	if err == nil {
		tb.Cleanup(func() { c.Close() })
	}
	return c, err
}

// connect opens a flow and says a word each way.
func connect(tb testing.TB, from *netattach.NetNS, to netip.AddrPort, s *server) conn {
	tb.Helper()
	c, err := dial(tb, from, to)
	if err != nil {
		tb.Fatalf("connect from %s to %s: %v", from, to, err)
	}
	f := conn{c, s.next(tb)}
	f.talk(tb)
	return f
}

// talk fails the test unless bytes pass both ways.
func (f conn) talk(tb testing.TB) {
	tb.Helper()
	for _, way := range [][2]*net.TCPConn{{f.client, f.backend}, {f.backend, f.client}} {
		want := []byte(rand.Text())
		got := make([]byte, len(want))
		if err := way[0].SetDeadline(time.Now().Add(patience)); err != nil {
			tb.Fatal(err)
		}
		if err := way[1].SetDeadline(time.Now().Add(patience)); err != nil {
			tb.Fatal(err)
		}
		if _, err := way[0].Write(want); err != nil {
			tb.Fatalf("write: %v", err)
		}
		if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, want) {
			tb.Fatalf("read %q, %v, want %q", got, err, want)
		}
	}
}

// echo sends every datagram back that comes to an address.
func echo(tb testing.TB, ns *netattach.NetNS, addr netip.AddrPort) {
	tb.Helper()
	conn, err := ns.ListenPacket(tb.Context(), addr)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	tb.Cleanup(func() { conn.Close(); <-done })
}

// ask sends a datagram of some bytes and returns how many come back.
func ask(from *net.UDPConn, to netip.AddrPort, size int, wait time.Duration) (int, error) {
	if _, err := from.WriteToUDPAddrPort(make([]byte, size), to); err != nil {
		return 0, err
	}
	_ = from.SetReadDeadline(time.Now().Add(wait))
	n, _, err := from.ReadFromUDPAddrPort(make([]byte, 64<<10))
	return n, err
}

// wantReset fails the test unless both ends see a reset, the idle ones too.
func (f conn) wantReset(tb testing.TB) {
	tb.Helper()
	for name, c := range map[string]*net.TCPConn{"client": f.client, "backend": f.backend} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) {
			tb.Errorf("%s of %s: got %d bytes, %v, want a reset", name, f.client.LocalAddr(), n, err)
		}
	}
}

// wantRefused fails the test unless a connection is refused at once.
func wantRefused(tb testing.TB, from *netattach.NetNS, to netip.AddrPort) {
	tb.Helper()
	if c, err := dial(tb, from, to); !errors.Is(err, syscall.ECONNREFUSED) {
		tb.Errorf("connect from %s to %s: got %v, %v, want refused", from, to, c, err)
	}
}

// clock is the time that Kernels of tests see: the real one and what was added.
type clock struct{ added atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.added.Load())) }

// later makes everything that was read before stale.
func (c *clock) later() { c.added.Add(int64(time.Minute)) }

// kernel is a Kernel that is closed at the end of the test.
func kernel(tb testing.TB) *testKernel {
	tb.Helper()
	k := crashing(tb)
	tb.Cleanup(func() {
		if err := k.Close(context.Background()); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return k
}

type testKernel struct {
	*nft.Kernel
	clock
}

// crashing is a Kernel that is never closed, as if its process had died.
func crashing(tb testing.TB) *testKernel {
	tb.Helper()
	k := &testKernel{}
	k.Kernel = nft.New(nft.Options{Log: slog.New(slog.NewTextHandler(tb.Output(), nil)), Now: k.now})
	return k
}

// spec is one TCP and one UDP mapping of port 80 to 8080.
func spec(id string, c, p *network, address netip.Addr, backends ...netip.Addr) nft.Spec {
	return nft.Spec{
		EndpointID: id, Admitted: 1, Listen: c.NetNS, Dial: p.NetNS, Address: address,
		Mappings: []nft.Mapping{{ClientPort: 80, ServerPort: 8080}, {UDP: true, ClientPort: 80, ServerPort: 8080}},
		Backends: backends,
	}
}

func open(tb testing.TB, k *testKernel, s nft.Spec) *nft.Path {
	tb.Helper()
	p, err := k.Open(tb.Context(), s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// finish cuts a path and returns how many flows that ended.
func finish(tb testing.TB, p *nft.Path) int {
	tb.Helper()
	if err := p.Shut(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	n, err := p.Finish(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

//go:build linux

package forward_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// patience is how long a test waits for what must happen; nothing depends on its
// value but how late a broken test is seen to be broken.
const patience = 60 * time.Second

const endpointID = "9f2c1e64-7b1d-4d5a-8f3e-2a6b0c4d8e10"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine starts an engine that is closed when the test ends.
func newEngine(tb testing.TB, opt forward.Options) *forward.Engine {
	tb.Helper()
	e, err := forward.NewEngine(opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

// openWith opens a forwarder on an engine of its own.
func openWith(tb testing.TB, opt forward.Options, spec forward.Spec) (*forward.Forwarder, forward.Spec) {
	tb.Helper()
	return openOn(tb, newEngine(tb, opt), spec)
}

// randomAddr is an address of the host that hardly anybody else uses, and
// randomPort a port below the range the kernel hands out by itself.
func randomAddr() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(65 + rand.N(60)), byte(rand.N(256)), byte(1 + rand.N(254))})
}
func randomPort() uint16 { return uint16(12000 + rand.N(18000)) }

// baseSpec is a spec of the host with one mapping from a random address and port
// to the backend's port.
func baseSpec(backends ...*backend) forward.Spec {
	s := forward.Spec{
		EndpointID: endpointID,
		Marker:     16777341,
		Address:    randomAddr(),
		Mappings:   []forward.Mapping{{ClientPort: randomPort(), ServerPort: 9}},
		Listen:     netattach.Host(),
		Dial:       netattach.Host(),
	}
	for _, b := range backends {
		s.Backends = append(s.Backends, b.addr.Addr())
		s.Mappings[0].ServerPort = b.addr.Port()
	}
	return s
}

// open opens a forwarder on the spec, elsewhere if its address is taken, and cuts
// it when the test ends. It returns the spec as opened.
func open(tb testing.TB, spec forward.Spec) (*forward.Forwarder, forward.Spec) {
	tb.Helper()
	// Two loops, so that something can go wrong between them.
	return openWith(tb, forward.Options{Loops: 2}, spec)
}

func openOn(tb testing.TB, e *forward.Engine, spec forward.Spec) (*forward.Forwarder, forward.Spec) {
	tb.Helper()
	for range 10 {
		f, err := e.Open(tb.Context(), spec)
		if err == nil {
			return f, spec
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			tb.Fatal(err)
		}
		spec.Address = randomAddr()
	}
	tb.Fatal("no address is free")
	return nil, spec
}

func endpointOf(spec forward.Spec) netip.AddrPort {
	return netip.AddrPortFrom(spec.Address, spec.Mappings[0].ClientPort)
}

// connect dials the first mapping of the spec.
func connect(tb testing.TB, spec forward.Spec) *net.TCPConn {
	tb.Helper()
	return connectTo(tb, endpointOf(spec))
}

func connectTo(tb testing.TB, addr netip.AddrPort) *net.TCPConn {
	tb.Helper()
	c, err := dialFrom(netip.Addr{}, addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func dialFrom(source netip.Addr, addr netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := d.Dial("tcp", addr.String())
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// backend is a listener whose connections a test takes one by one, or gives to a
// handler.
type backend struct {
	addr  netip.AddrPort
	conns chan *net.TCPConn
}

// backendAt listens on addr, and queues what it accepts for next.
func backendAt(tb testing.TB, addr netip.AddrPort) *backend {
	tb.Helper()
	b := &backend{conns: make(chan *net.TCPConn, 4096)}
	b.addr = serve(tb, addr, func(c *net.TCPConn) { b.conns <- c })
	tb.Cleanup(func() {
		close(b.conns)
		for c := range b.conns {
			c.Close()
		}
	})
	return b
}

func newBackend(tb testing.TB) *backend {
	tb.Helper()
	return backendAt(tb, netip.AddrPortFrom(randomAddr(), 0))
}

// next returns the connection that the backend accepted next.
func (b *backend) next(tb testing.TB) *net.TCPConn {
	tb.Helper()
	select {
	case c := <-b.conns:
		tb.Cleanup(func() { c.Close() })
		return c
	case <-time.After(patience):
		tb.Fatal("no connection came to the backend")
		return nil
	}
}

// serve accepts until the test ends, when it has waited for its goroutine.
func serve(tb testing.TB, addr netip.AddrPort, handle func(*net.TCPConn)) netip.AddrPort {
	tb.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // a test has taken the descriptors away for a moment
			}
			c.SetDeadline(time.Now().Add(patience))
			handle(c)
		}
	})
	tb.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// silentBackend is an address that takes no connection any more: its queue, of length
// 0, holds the one that it can. A dial hangs in the kernel.
func silentBackend(tb testing.TB, at netip.AddrPort) netip.AddrPort {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		tb.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	at = netip.AddrPortFrom(at.Addr(), uint16(name.(*unix.SockaddrInet4).Port))
	connectTo(tb, at)
	return at
}

// echoBackend sends back what it receives.
func echoBackend(tb testing.TB) *backend {
	tb.Helper()
	return echoBackendAt(tb, netip.AddrPortFrom(randomAddr(), 0))
}

func echoBackendAt(tb testing.TB, at netip.AddrPort) *backend {
	tb.Helper()
	var wg sync.WaitGroup
	tb.Cleanup(wg.Wait) // runs after serve's cleanup
	addr := serve(tb, at, func(c *net.TCPConn) {
		wg.Go(func() {
			defer c.Close()
			io.Copy(c, c)
		})
	})
	return &backend{addr: addr}
}

// ask sends a word and expects it back.
func ask(tb testing.TB, c net.Conn, word string) {
	tb.Helper()
	if err := echo(c, word); err != nil {
		tb.Fatalf("echo of %q: %v", word, err)
	}
}

func echo(c net.Conn, word string) error {
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	buf := make([]byte, len(word))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != word {
		return errors.New("got back " + string(buf))
	}
	return nil
}

// pair connects through the endpoint and returns both ends, a byte having passed
// each way.
func pair(tb testing.TB, spec forward.Spec, b *backend) (client, server *net.TCPConn) {
	tb.Helper()
	client = connect(tb, spec)
	server = b.next(tb)
	pass(tb, client, server)
	pass(tb, server, client)
	return client, server
}

// pass sends one byte from a to b.
func pass(tb testing.TB, a, b net.Conn) {
	tb.Helper()
	if _, err := a.Write([]byte{0}); err != nil {
		tb.Fatal(err)
	}
	var buf [1]byte
	if _, err := io.ReadFull(b, buf[:]); err != nil {
		tb.Fatal(err)
	}
}

// counters is the forwarder's without the time, which a test cannot know.
func counters(f *forward.Forwarder) forward.Stats {
	s := f.Stats()
	s.Last = time.Time{}
	return s
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wantReset reads until the connection ends, which must be by a reset.
func wantReset(tb testing.TB, who string, c net.Conn) {
	tb.Helper()
	if _, err := io.Copy(io.Discard, c); !isReset(err) {
		tb.Errorf("%s: connection ended with %v, want a reset", who, err)
	}
}

// wantRefused connects through the endpoint and expects to be reset, which may come
// so early that connecting itself says so.
func wantRefused(tb testing.TB, who string, spec forward.Spec) {
	tb.Helper()
	c, err := dialFrom(netip.Addr{}, endpointOf(spec))
	if isReset(err) {
		return
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	wantReset(tb, who, c)
}

// knock connects through the endpoint and has a word echoed.
func knock(source netip.Addr, spec forward.Spec) (*net.TCPConn, error) {
	c, err := dialFrom(source, endpointOf(spec))
	if err != nil {
		return nil, err
	}
	if err := echo(c, "in?"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// eventually waits for what a forwarder does by itself soon.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			tb.Fatalf("never came: %s", what)
		}
	}
}

// flood writes until an error, each time a block filled with the byte that mark
// returns just before.
func flood(c net.Conn, mark func() byte) error {
	for {
		if _, err := c.Write(bytes.Repeat([]byte{mark()}, 16<<10)); err != nil {
			return err
		}
	}
}

// narrow makes a socket hold a few KiB in the direction of option, so that little
// is needed to fill it.
func narrow(c syscall.RawConn, option int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 4096)
	}); cerr != nil {
		return cerr
	}
	return err
}

// narrowNet is the host with listeners whose connections hold little in the direction
// of option.
func narrowNet(option int) netattach.Network {
	return &fakeNet{Network: netattach.Host(), listen: func(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
		ln, err := netattach.Host().Listen(ctx, addr)
		if err != nil {
			return nil, err
		}
		raw, err := ln.SyscallConn()
		if err != nil {
			return nil, err
		}
		return ln, narrow(raw, option) // accepted sockets inherit it
	}}
}

// connectNarrow connects with a receive window of a few KiB.
func connectNarrow(tb testing.TB, spec forward.Spec) *net.TCPConn {
	tb.Helper()
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
		return narrow(c, unix.SO_RCVBUF)
	}}
	c, err := d.DialContext(tb.Context(), "tcp", endpointOf(spec).String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// fakeNet is the host with Listen replaced where it is set. Each is a network of its
// own.
type fakeNet struct {
	netattach.Network
	listen func(context.Context, netip.AddrPort) (*net.TCPListener, error)
}

func (n *fakeNet) Listen(ctx context.Context, a netip.AddrPort) (*net.TCPListener, error) {
	if n.listen == nil {
		return netattach.Host().Listen(ctx, a)
	}
	return n.listen(ctx, a)
}

package lab_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Every combination of engine, address family, backend and PROXY header. If this
// fails, a mapping is carried otherwise than its owner reads, or bytes are lost or
// changed on the way, or one side is not told what the other did.
func TestEngines(t *testing.T) {
	kinds := []struct {
		name     string
		port, ip string // of the backend
		proxy    string
		six      bool // the consumer's address
		tcp, udp string
	}{
		{name: "IPv4 to a machine", port: portFirst, ip: firstIP, tcp: "kernel", udp: "kernel"},
		{name: "IPv4 to the router", port: portRouter, ip: routerIP, tcp: "kernel", udp: "kernel"},
		{name: "IPv6 to a machine", port: portFirst6, ip: firstIP6, six: true, tcp: "kernel", udp: "kernel"},
		{name: "IPv4 to IPv6", port: portFirst6, ip: firstIP6, tcp: "user", udp: "user"},
		{name: "IPv6 to IPv4", port: portFirst, ip: firstIP, six: true, tcp: "user", udp: "user"},
		{name: "PROXY header", port: portFirst, ip: firstIP, proxy: "proxy_open", tcp: "user", udp: "kernel"},
	}
	for _, engine := range []string{"auto", "user"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := newServer(t, w, settings{Engine: engine})
			provider := server.as(t, paula)
			for n, k := range kinds {
				t.Run(k.name, func(t *testing.T) {
					m := w.p.first
					if k.port == portRouter {
						m = w.p.router
					}
					echo := (&backend{proxy: k.proxy != ""}).listen(t, m, k.ip, 8100+n)
					service := provider.createService(k.port, k.proxy, mapping{7100, 8100 + n, "TCP"}, mapping{7100, 8100 + n, "UDP"})
					router, first, subnet, ip := routerIP, firstIP, map[string]string{"A": subnetA, "B": subnetB}, "10.0.0.5"+strconv.Itoa(n)
					if k.six {
						router, first, subnet, ip = routerIP6, firstIP6, map[string]string{"A": subnetA6, "B": subnetB6}, ""
					}
					open := func(c *caller, subnet string) (to string) {
						id := c.create(of(service, subnet, ip))
						provider.decide(service, id, "receive")
						for protocol, want := range map[string]string{"TCP": k.tcp, "UDP": k.udp} {
							if engine == "user" {
								want = "user"
							}
							if got := c.engineOf(id, protocol, 7100); got.Engine != want || (got.Reason == "") != (want == "kernel") {
								t.Errorf("%s is carried by %q because of %q, want %s", protocol, got.Engine, got.Reason, want)
							}
						}
						return at(c.read(id).IP, 7100)
					}
					toB := open(server.as(t, bert), subnet["B"])
					to := open(server.as(t, anna), subnet["A"])
					if k.six == (to[0] != '[') {
						t.Fatalf("the endpoint is at %s", to)
					}
					for _, way := range []struct {
						m        *machine
						from, to string
					}{{w.a.router, "", to}, {w.a.router, router, to}, {w.a.first, first, to}, {w.b.router, router, toB}, {w.b.first, first, toB}} {
						carries(t, way.m, way.from, way.to, echo)
					}
					for from, m := range map[string]*machine{router: w.a.router, first: w.a.first} {
						carriesMuch(t, m, from, to)
					}
					t.Run("large datagrams", func(t *testing.T) {
						carriesDatagrams(t, w.a.first, first, to, 1473, 9000, 40000) // they go in fragments
						carriesDatagrams(t, w.a.router, router, to, 1473, 9000, 40000)
					})
				})
			}
			server.stop(t)
			w.mustBeAsBefore(t)
		})
	}
}

// carries wants TCP and UDP to work on a way to an echo.
func carries(t *testing.T, m *machine, from, to string, echo *backend) {
	t.Helper()
	mustEcho(t, m, "udp", from, to)
	carriesDatagrams(t, m, from, to, 1, 512, 1400)
	mustEcho(t, m, "tcp", from, to)
	if echo.proxy {
		tellsClient(t, m, from, to, echo)
	}
}

// carriesMuch wants many bytes to come back as they were, with both ends of the
// connection closed one after the other, and those of a slow reader too.
func carriesMuch(t *testing.T, m *machine, from, to string) {
	t.Helper()
	const bulk = 10 << 20
	echoesBulk(t, connect(t, m, from, to), bulk)
	readsSlowly(t, connect(t, m, from, to))
}

// connect opens a TCP connection until the end of the test.
func connect(t *testing.T, m *machine, from, to string) *net.TCPConn {
	t.Helper()
	c, err := m.dial(t.Context(), "tcp", from, to, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// carriesDatagrams wants datagrams of some sizes back as they were.
func carriesDatagrams(t *testing.T, m *machine, from, to string, sizes ...int) {
	t.Helper()
	c, err := m.dial(t.Context(), "udp", from, to, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 64<<10)
	for _, size := range sizes {
		sent := make([]byte, size)
		_, _ = rand.Read(sent)
		var n int
		var err error
		// A program may have to send again once it has learnt how much a way takes.
		for try := 0; try < 3 && (try == 0 || err != nil); try++ {
			_ = c.SetDeadline(time.Now().Add(datagramTimeout / 3))
			if _, err = c.Write(sent); err == nil {
				n, err = c.Read(got)
			}
		}
		if err != nil || !bytes.Equal(got[:n], sent) {
			t.Errorf("a datagram of %d bytes from %s in %s came back as %d bytes, %v", size, from, m.name, n, err)
		}
	}
}

// tellsClient wants the header of the next connection to name its client.
func tellsClient(t *testing.T, m *machine, from, to string, echo *backend) {
	t.Helper()
	for len(echo.headers) > 0 {
		<-echo.headers
	}
	c := connect(t, m, from, to)
	if err := echoOn(c, newFrame(tag{}), patience); err != nil {
		t.Fatal(err)
	}
	h := <-echo.headers
	if h == nil {
		t.Fatal("the backend got no header")
	}
	if got, want := h.SourceAddr.String(), c.LocalAddr().String(); got != want {
		t.Errorf("the header tells the source %s, want %s", got, want)
	}
	if got := h.DestinationAddr.String(); got != to {
		t.Errorf("the header tells the destination %s, want %s", got, to)
	}
}

// echoesBulk sends many bytes while they come back, ends its direction, and wants
// all of them and then the end.
func echoesBulk(t *testing.T, c *net.TCPConn, size int) {
	t.Helper()
	sent := make([]byte, size)
	_, _ = rand.Read(sent)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := c.Write(sent); err != nil {
			t.Errorf("send: %v", err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Errorf("end one direction: %v", err)
		}
	})
	got, err := io.ReadAll(c)
	all.Wait()
	if err != nil {
		t.Errorf("receive: %v", err)
	}
	if len(got) != size || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("%d of %d bytes came back, or other ones", len(got), size)
	}
}

// readsSlowly sends and reads nothing until nobody takes any more, and wants every
// byte that was sent once it reads.
func readsSlowly(t *testing.T, c *net.TCPConn) {
	t.Helper()
	const most = 256 << 20 // more than all queues on the way may hold
	chunk := make([]byte, 64<<10)
	_, _ = rand.Read(chunk)
	total := 0
	for total < most {
		_ = c.SetWriteDeadline(time.Now().Add(moment))
		n, err := c.Write(chunk)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", total, err)
		}
	}
	if total >= most {
		t.Errorf("%d bytes were taken though nobody reads", total)
	}
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err != nil || len(got) != total {
		t.Fatalf("%d of %d bytes came back: %v", len(got), total, err)
	}
	for part := range slices.Chunk(got, len(chunk)) {
		if !bytes.HasPrefix(chunk, part) {
			t.Fatal("other bytes came back")
		}
	}
}

package lab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// limit is how many connections the endpoints of these tests may have.
const limit = 50

// If this fails, an endpoint takes fewer connections than it may have, or more, or
// counts such as are over, or one consumer uses up what is another's.
func TestCap(t *testing.T) {
	for _, engine := range []string{"kernel", "user"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := newServer(t, w, settings{Engine: map[string]string{"kernel": "auto", "user": "user"}[engine], Connections: limit})
			provider, annas, berts := server.as(t, paula), server.as(t, anna), server.as(t, bert)
			(&backend{}).listen(t, w.p.first, firstIP, 8100)
			service := provider.createService(portFirst, "", mapping{7100, 8100, "TCP"})
			id := annas.create(of(service, subnetA, "10.0.0.50"))
			provider.decide(service, id, "receive")
			other := berts.create(of(service, subnetB, "10.0.0.50"))
			provider.decide(service, other, "receive")
			if got := annas.engineOf(id, "TCP", 7100).Engine; got != engine {
				t.Fatalf("the mapping is carried by %s", got)
			}

			c := &crowd{v: w.a, to: "10.0.0.50:7100"}
			t.Cleanup(func() { c.leave(len(c.conns)) })
			for len(c.conns) < limit {
				if err := c.join(t); err != nil {
					t.Fatalf("connection %d of %d: %v", len(c.conns)+1, limit, err)
				}
			}
			c.mustBeFull(t)
			mustEcho(t, w.b.first, "tcp", firstIP, "10.0.0.50:7100")
			for _, n := range []int{1, 1, 7, limit} { // nothing tells when both sides have seen the end of those
				c.leave(n)
				until(t, "the places of closed connections are free", func() bool { return c.join(t) == nil && len(c.conns) == limit })
				c.mustBeFull(t)
			}
			for _, conn := range c.conns {
				if err := echoOn(conn, newFrame(tag{}), patience); err != nil {
					t.Errorf("one of those let in: %v", err)
				}
			}
		})
	}
}

// crowd is the connections to one endpoint, from both machines of a VPC in turn.
type crowd struct {
	v     *vpc
	to    string
	conns []net.Conn
}

// join opens one more, if it is carried.
func (c *crowd) join(t *testing.T) error {
	t.Helper()
	m, from := c.v.first, firstIP
	if len(c.conns)%2 == 1 {
		m, from = c.v.router, routerIP
	}
	conn, err := m.dial(t.Context(), "tcp", from, c.to, patience)
	if err != nil {
		return err
	}
	if err := echoOn(conn, newFrame(tag{}), patience); err != nil {
		conn.Close()
		return err
	}
	c.conns = append(c.conns, conn)
	return nil
}

// leave closes the oldest ones.
func (c *crowd) leave(n int) {
	for _, conn := range c.conns[:n] {
		conn.Close()
	}
	c.conns = c.conns[n:]
}

// mustBeFull wants a few more to be reset.
func (c *crowd) mustBeFull(t *testing.T) {
	t.Helper()
	for range 4 {
		if err := c.join(t); err == nil {
			t.Fatalf("there are %d connections of %d", len(c.conns), limit)
		} else if !wasReset(err) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connection %d: %v, want a reset", limit+1, err)
		}
	}
}

// If this fails, connections that nobody uses stay for ever, or end without a word
// to one side, or those that are used end too.
func TestIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := newServer(t, w, settings{Idle: time.Second})
	provider, annas := server.as(t, paula), server.as(t, anna)
	back := (&backend{hold: true}).listen(t, w.p.first, firstIP, 8100)
	(&backend{}).listen(t, w.p.first, firstIP, 8101)
	service := provider.createService(portFirst, "", mapping{7100, 8100, "TCP"}, mapping{7101, 8101, "TCP"})
	id := annas.create(of(service, subnetA, "10.0.0.50"))
	provider.decide(service, id, "receive")
	client := connect(t, w.a.first, firstIP, "10.0.0.50:7100")
	held := back.take(t)
	busy := connect(t, w.a.first, firstIP, "10.0.0.50:7101")

	ends := make(chan error, 2)
	for _, c := range []*net.TCPConn{client, held} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		go func() {
			_, err := c.Read(make([]byte, 1))
			ends <- err
		}()
	}
	for n := 0; n < 2; {
		select {
		case err := <-ends:
			if n++; !wasReset(err) {
				t.Errorf("one side of an idle connection ends with %v, want a reset", err)
			}
		default:
			if err := echoOn(busy, newFrame(tag{}), patience); err != nil {
				t.Fatalf("a connection in use: %v", err)
			}
			within(moment, func() bool { return len(ends) > 0 })
		}
	}
	if err := echoOn(busy, newFrame(tag{}), patience); err != nil {
		t.Errorf("a connection in use: %v", err)
	}
}

// If this fails, a restart for an upgrade breaks what would have ended by itself,
// or waits for what does not end.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	(&backend{}).listen(t, w.p.first, firstIP, 8100)
	(&backend{proxy: true}).listen(t, w.p.first, firstIP, 8200)
	begin := func(t *testing.T, drain time.Duration) (server *server, conns []*net.TCPConn) {
		t.Helper()
		server = newServer(t, w, settings{Drain: drain})
		provider, annas := server.as(t, paula), server.as(t, anna)
		for n, proxy := range []string{"close", "proxy_open"} { // the one in the kernel, the other in user space
			service := provider.createService(portFirst, proxy, mapping{7100, 8100 + 100*n, "TCP"})
			ip := []string{"10.0.0.50", "10.0.0.51"}[n]
			id := annas.create(of(service, subnetA, ip))
			provider.decide(service, id, "receive")
			if got, want := annas.engineOf(id, "TCP", 7100).Engine, []string{"kernel", "user"}[n]; got != want {
				t.Errorf("the mapping is carried by %s, want %s", got, want)
			}
			c := connect(t, w.a.first, firstIP, at(ip, 7100))
			if err := echoOn(c, newFrame(tag{}), patience); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		server.terminate(t)
		for _, ip := range []string{"10.0.0.50", "10.0.0.51"} {
			until(t, "nobody new is let in at "+ip, func() bool {
				return echoes(t, w.a.first, "tcp", firstIP, at(ip, 7100), moment) != nil
			})
		}
		return server, conns
	}

	t.Run("ends by itself", func(t *testing.T) {
		const long = 10 * time.Minute // nobody waits for it
		server, conns := begin(t, long)
		for _, c := range conns {
			echoesBulk(t, c, 1<<20)
			c.Close()
		}
		server.wait(t)
		w.mustBeAsBefore(t)
	})
	t.Run("does not end", func(t *testing.T) {
		server, conns := begin(t, time.Second)
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 1)); !wasReset(err) {
				t.Errorf("a flow that does not end is ended with %v, want a reset", err)
			}
		}
		server.wait(t)
		w.mustBeAsBefore(t)
	})
}

// flowLine is one line of the flow log.
type flowLine struct {
	Start, End time.Time
	Endpoint   string `json:"endpoint_id"`
	Protocol   string
	Client     netip.AddrPort
	Address    netip.AddrPort
	Backend    netip.AddrPort
	ToBackend  int `json:"to_backend"`
	ToClient   int `json:"to_client"`
	Ending     string
}

// If this fails, the log of flows says something else than what was carried.
func TestFlowLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := newServer(t, w, settings{FlowLog: true})
	provider, annas := server.as(t, paula), server.as(t, anna)
	(&backend{}).listen(t, w.p.first, firstIP, 8100)
	service := provider.createService(portFirst, "", mapping{7100, 8100, "TCP"}, mapping{7100, 8100, "UDP"})
	id := annas.create(of(service, subnetA, "10.0.0.50"))
	provider.decide(service, id, "receive")

	want := map[string]flowLine{}
	tcp := connect(t, w.a.first, firstIP, "10.0.0.50:7100")
	want["TCP"] = flowLine{Client: netip.MustParseAddrPort(tcp.LocalAddr().String()), ToBackend: 123457, ToClient: 123457}
	echoesBulk(t, tcp, want["TCP"].ToBackend)
	tcp.Close()
	udp, err := w.a.router.dial(t.Context(), "udp", routerIP, "10.0.0.50:7100", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if err := echoOn(udp, newFrame(tag{}), patience); err != nil {
		t.Fatal(err)
	}
	want["UDP"] = flowLine{Client: netip.MustParseAddrPort(udp.LocalAddr().String()), ToBackend: frameSize, ToClient: frameSize}
	server.stop(t)

	text, err := os.ReadFile(filepath.Join(server.dir, "flows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("the flow log has %d lines, want 2:\n%s", len(lines), text)
	}
	for _, text := range lines {
		var got flowLine
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		w, ok := want[got.Protocol]
		delete(want, got.Protocol)
		if !ok || got.Endpoint != id || got.Client != w.Client || got.Address.String() != "10.0.0.50:7100" || got.Backend.String() != at(firstIP, 8100) ||
			got.ToBackend != w.ToBackend || got.ToClient != w.ToClient || got.Ending == "" || got.Start.IsZero() || got.End.Before(got.Start) {
			t.Errorf("the flow log has %s, want %+v", text, w)
		}
	}
}

package engine_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

func engines(t *testing.T, flowLog bool) *engine.Engines {
	t.Helper()
	user, err := forward.NewEngine(forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Options{User: user, Health: health.New(health.Options{}), FlowLog: flowLog})
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// backend greets whoever connects and then echoes; it returns its address.
func backend(t *testing.T, host, greeting string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.WriteString(c, greeting)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// freePort returns a port that nobody listens on at the address.
func freePort(t *testing.T, host string) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort().Port()
}

func dial(t *testing.T, s engine.Spec) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(s.Address, s.Mappings[0].Client).String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// hear reads exactly want.
func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

func spec(t *testing.T, to netip.AddrPort) engine.Spec {
	t.Helper()
	const host = "127.64.77.1"
	return engine.Spec{
		Endpoint: "e-1", Admitted: 7, Listen: netattach.Host(), Dial: netattach.Host(), Address: netip.MustParseAddr(host),
		Mappings: []engine.Mapping{{Client: freePort(t, host), Server: to.Port()}}, Backends: []netip.Addr{to.Addr()},
	}
}

// Without a gate a Shut must reset the flows itself: an answer that says "cut" is
// sent after it. If this fails, bytes pass after a reject.
func TestShutResetsWithoutAGate(t *testing.T) {
	e := engines(t, false)
	s := spec(t, backend(t, "127.0.0.1", "hello"))
	p, err := e.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	hear(t, c, "hello")
	if err := p.Shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Gated() {
		t.Error("the host has no gate, and the path says it has")
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: read %d, %v, want a reset", n, err)
	}
	if flows, err := p.Finish(t.Context()); err != nil || flows != 1 {
		t.Errorf("finish: %d flows, %v, want 1", flows, err)
	}
}

// An edit of one mapping must leave the flows of the others alone, and another
// address is another path. If this fails, an edit of a port cuts its neighbours.
func TestUpdateLeavesFlowsAlone(t *testing.T) {
	e := engines(t, false)
	s := spec(t, backend(t, "127.0.0.1", "hello"))
	p, err := e.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer end(t, p)
	c := dial(t, s)
	hear(t, c, "hello")
	more := s
	more.Mappings = append([]engine.Mapping{{Client: freePort(t, s.Address.String()), Server: 9}}, s.Mappings...)
	if err := p.Update(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "still"); err != nil {
		t.Fatal(err)
	}
	hear(t, c, "still")
	got, err := p.Stats(t.Context())
	if err != nil || got.Flows != 1 || got.Total != 1 {
		t.Errorf("stats %+v, %v, want one flow", got, err)
	}
	elsewhere := more
	elsewhere.Address = netip.MustParseAddr("127.64.77.2")
	if err := p.Update(t.Context(), elsewhere); !errors.Is(err, engine.ErrReopen) {
		t.Errorf("another address: %v, want %v", err, engine.ErrReopen)
	}
}

// A backend that its check finds dead must get no new connection, and must get
// some again when it is back. If this fails, clients wait for dead machines.
func TestCheckTakesABackendOut(t *testing.T) {
	e := engines(t, false)
	alive := backend(t, "127.64.78.1", "alive")
	s := spec(t, alive)
	dead := netip.MustParseAddr("127.64.78.2")
	s.Backends = []netip.Addr{dead, alive.Addr()}
	s.Check = &engine.Check{Interval: 20 * time.Millisecond, Timeout: time.Second}
	p, err := e.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer end(t, p)
	// Until the check has spoken, the path tries the dead one first, and then the other.
	for range 4 {
		hear(t, dial(t, s), "alive")
	}
	got, err := p.Stats(t.Context())
	if err != nil || got.Total != 4 || got.Refused.DialError != 0 {
		t.Errorf("stats %+v, %v, want four flows and none refused", got, err)
	}
}

// The user is told which engine carries a mapping and why; a wrong reason sends
// people looking in the wrong place.
func TestChoicesSayWhy(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flowLog bool
		change  func(*engine.Spec)
		want    string
	}{
		{"host", false, func(*engine.Spec) {}, "not attached as a namespace"},
		{"asked for", false, func(s *engine.Spec) { s.UserOnly = true }, "asks for user space"},
	} {
		e := engines(t, tt.flowLog)
		s := spec(t, netip.MustParseAddrPort("127.0.0.1:9"))
		tt.change(&s)
		p, err := e.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got := p.Choices()
		end(t, p)
		if len(got) != 1 || !strings.Contains(got[0].Reason, tt.want) {
			t.Errorf("%s: got %+v, want a reason with %q", tt.name, got, tt.want)
		}
		want := engine.Choice{Mapping: s.Mappings[0], Engine: engine.User, Reason: got[0].Reason}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// What cannot be opened must leave nothing behind, or the next try finds its own
// listener in the way.
func TestOpenAllOrNothing(t *testing.T) {
	e := engines(t, false)
	s := spec(t, netip.MustParseAddrPort("127.0.0.1:9"))
	taken, err := net.Listen("tcp", s.Address.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	s.Mappings = append(s.Mappings, engine.Mapping{Client: taken.Addr().(*net.TCPAddr).AddrPort().Port(), Server: 9})
	var bind *netattach.BindError
	if _, err := e.Open(t.Context(), s); !errors.As(err, &bind) {
		t.Fatalf("a port that is taken: %v, want a bind error", err)
	}
	taken.Close()
	p, err := e.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	end(t, p)
}

func end(t *testing.T, p *engine.Path) {
	t.Helper()
	if err := p.Shut(context.Background()); err != nil {
		t.Errorf("shut: %v", err)
	}
	if _, err := p.Finish(context.Background()); err != nil {
		t.Errorf("finish: %v", err)
	}
}

package health_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// often is an interval that keeps tests short, long one that no test sees the end of.
const (
	often = 10 * time.Millisecond
	long  = time.Hour
)

// stepped is the host's network, but each dial says that it has begun and waits
// for its outcome: an error, or nil to go through.
type stepped struct {
	netattach.Network
	begun   chan struct{}
	outcome chan error
	dials   atomic.Int64
}

func newStepped() *stepped {
	return &stepped{Network: netattach.Host(), begun: make(chan struct{}, 1), outcome: make(chan error)}
}

func (s *stepped) Dial(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
	s.dials.Add(1)
	select {
	case s.begun <- struct{}{}:
	default: // a test that does not look
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-s.outcome:
		if err != nil {
			return nil, err
		}
	}
	return s.Network.Dial(ctx, addr)
}

// listener is a backend that accepts and closes.
func listener(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.11.1:0"))
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
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// monitor returns a Monitor for the time of the test.
func monitor(t *testing.T) *health.Monitor {
	t.Helper()
	m := health.New(health.Options{})
	t.Cleanup(m.Close)
	return m
}

// reports returns an onChange and what it is called with.
func reports() (func(up bool), chan bool) {
	c := make(chan bool, 100)
	return func(up bool) { c <- up }, c
}

// If this fails, one lost packet takes a backend out, or a dead one stays in.
func TestThresholds(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name     string
		outcomes []error
		want     []string // what is reported after each outcome
	}{
		{"begins up", []error{nil, refused, nil, refused, refused, refused, nil, nil}, []string{"up", "", "", "", "down", "", "up", ""}},
		{"begins down", []error{refused, refused, nil, refused, refused}, []string{"down", "", "up", "", "down"}},
		{"own trouble does not count", []error{syscall.EMFILE, nil, refused, syscall.EMFILE, refused}, []string{"", "up", "", "", "down"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			network := newStepped()
			onChange, got := reports()
			stop := monitor(t).Watch(health.Target{Network: network, Addr: listener(t), Interval: often, Timeout: long}, onChange)
			defer stop()
			<-network.begun
			for i, want := range tt.want {
				network.outcome <- tt.outcomes[i]
				<-network.begun // so what was to be said of the last is said
				said := ""
				select {
				case up := <-got:
					said = map[bool]string{true: "up", false: "down"}[up]
				default:
				}
				if said != want {
					t.Fatalf("after outcome %d: got %q, want %q", i+1, said, want)
				}
			}
		})
	}
}

// If this fails, a backend that died stays up, or one that came back stays down:
// the same with real sockets.
func TestRealBackendDiesAndComesBack(t *testing.T) {
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.11.2:0"))
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	onChange, got := reports()
	defer monitor(t).Watch(health.Target{Network: netattach.Host(), Addr: addr, Interval: often}, onChange)()
	if !<-got {
		t.Error("a listening backend is down")
	}
	ln.Close()
	if <-got {
		t.Error("a dead backend is up")
	}
	if ln, err = netattach.Host().Listen(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if !<-got {
		t.Error("a backend that came back is down")
	}
}

// A thousand endpoints of one service must not ask its backend a thousand times.
// Who comes later must hear what is known.
func TestEqualTargetsShareChecks(t *testing.T) {
	network, addr := newStepped(), listener(t)
	m := monitor(t)
	mapped := netip.AddrPortFrom(netip.AddrFrom16(addr.Addr().As16()), addr.Port())
	equal := []health.Target{
		{Network: network, Addr: addr, Interval: long, Timeout: long},
		{Network: network, Addr: mapped, Interval: long, Timeout: long, Kind: health.TCP, Path: "/unused"},
	}
	var stops []func()
	var heard []chan bool
	watch := func(target health.Target) {
		onChange, got := reports()
		stops, heard = append(stops, m.Watch(target, onChange)), append(heard, got)
	}
	for i := range 100 {
		watch(equal[i%2])
	}
	network.outcome <- nil
	for i := range 100 {
		if !<-heard[i] {
			t.Fatalf("watch %d: got down", i)
		}
	}
	for _, stop := range stops[1:] {
		stop()
		stop()
	}
	watch(equal[1])
	if !<-heard[100] {
		t.Error("late watch: got down")
	}
	if got := network.dials.Load(); got != 1 {
		t.Errorf("got %d checks, want 1", got)
	}
	other := equal[0]
	other.Timeout = time.Minute
	watch(other)
	network.outcome <- nil
	if !<-heard[101] || network.dials.Load() != 2 {
		t.Error("a target with another timeout has no check of its own")
	}
}

// The last stop must end the check that is under way, or a network is held that
// is detached.
func TestLastStopEndsTheCheck(t *testing.T) {
	dialled, ended := make(chan struct{}), make(chan struct{})
	network := &hooked{dial: func(ctx context.Context) error {
		close(dialled)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}
	target := health.Target{Network: network, Addr: netip.MustParseAddrPort("127.64.11.3:1"), Interval: long, Timeout: long}
	m := monitor(t)
	onChange := func(bool) { t.Error("a check that was given up is reported") }
	first, second := m.Watch(target, onChange), m.Watch(target, onChange)
	<-dialled
	first()
	select {
	case <-ended:
		t.Error("the check ended though it is still watched")
	default:
	}
	second()
	<-ended
}

// hooked is a network whose dials are a function.
type hooked struct {
	netattach.Network
	dial func(context.Context) error
}

func (h *hooked) Dial(ctx context.Context, _ netip.AddrPort) (*net.TCPConn, error) {
	return nil, h.dial(ctx)
}

func (*hooked) String() string { return "hooked" }

// If this fails, a report comes after the watch has ended and finds an endpoint
// that is gone.
func TestStopWaitsForTheReport(t *testing.T) {
	network := newStepped()
	entered, leave := make(chan struct{}), make(chan struct{})
	var after atomic.Bool
	var running atomic.Int32
	stop := monitor(t).Watch(health.Target{Network: network, Addr: listener(t), Interval: often, Timeout: long}, func(bool) {
		if running.Add(1) != 1 || after.Load() {
			t.Error("reported twice at a time or after stop")
		}
		close(entered)
		<-leave
		running.Add(-1)
	})
	network.outcome <- nil
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
		after.Store(true)
		if running.Load() != 0 {
			t.Error("stop did not wait for the report")
		}
	}()
	select {
	case <-stopped: // a wrong stop returns at once; a right one cannot
	case <-time.After(20 * time.Millisecond):
	}
	close(leave)
	<-stopped
}

// Checks must not eat the sockets that carry flows, and Close must not leave any.
func TestChecksAreBoundedAndEnd(t *testing.T) {
	const most, targets = 128, 200
	var running atomic.Int32
	full, release := make(chan struct{}), make(chan struct{})
	isFull := sync.OnceFunc(func() { close(full) })
	network := &hooked{dial: func(ctx context.Context) error {
		n := running.Add(1)
		defer running.Add(-1)
		if n > most {
			t.Errorf("%d checks at a time, want at most %d", n, most)
		}
		if n == most {
			isFull()
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return errors.New("released")
	}}
	m := health.New(health.Options{})
	got := make(chan bool)
	watch := func(i int) {
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.64.11.4"), uint16(i+1))
		m.Watch(health.Target{Network: network, Addr: addr, Interval: long, Timeout: long}, func(up bool) { got <- up })
	}
	for i := range targets {
		watch(i)
	}
	<-full
	close(release)
	for range targets {
		if <-got {
			t.Fatal("a failed check counts as well")
		}
	}
	release = make(chan struct{})
	for i := range targets {
		watch(targets + i)
	}
	m.Close()
	m.Close()
	if n := running.Load(); n != 0 {
		t.Errorf("%d checks run after Close", n)
	}
	m.Watch(health.Target{Network: network, Addr: netip.MustParseAddrPort("127.64.11.4:9")}, func(bool) {
		t.Error("reported after Close")
	})()
}

//go:build !portable

package forward

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// alarm is a timer of a test that notes when it came.
type alarm struct {
	timer
	came time.Duration
}

func (a *alarm) expire(l *loop) { a.came = l.now }

// A timer that comes early resets a flow that had time left, one that comes late keeps
// a dead one, and one that was stopped must not come at all. The loop must also be
// awake when it is due.
func TestWheel(t *testing.T) {
	l := &loop{}
	rng := rand.New(rand.NewPCG(1, 2))
	const day = 24 * time.Hour
	var all []*alarm
	for range 2000 {
		a := &alarm{}
		a.owner = a
		l.wheel.set(&a.timer, time.Duration(rng.Int64N(int64(30*time.Second))))
		if rng.IntN(4) == 0 {
			l.wheel.set(&a.timer, time.Duration(rng.Int64N(int64(day)))) // another time
		}
		all = append(all, a)
	}
	stopped := all[:200]
	for _, a := range stopped {
		l.wheel.stop(&a.timer)
		l.wheel.stop(&a.timer)
	}
	for l.wheel.count > 0 {
		ms := l.wheel.wait(l.now)
		if ms < 0 {
			t.Fatal("it would sleep for ever")
		}
		l.now += time.Duration(ms)*time.Millisecond + time.Duration(rng.Int64N(int64(time.Millisecond)))
		l.wheel.fire(l)
	}
	if ms := l.wheel.wait(l.now); ms != -1 {
		t.Errorf("nothing is armed: got %d ms", ms)
	}
	for i, a := range all {
		switch late := a.came - a.at; {
		case i < len(stopped):
			if a.came != 0 {
				t.Fatalf("timer %d was stopped and came", i)
			}
		case late < 0 || late > 2*tick:
			t.Fatalf("timer %d for %v came at %v", i, a.at, a.came)
		}
	}
}

// A wheel that has slept for longer than a turn must not lose what became due, nor
// walk through all the time that passed.
func TestWheelAfterLongSleep(t *testing.T) {
	l := &loop{}
	l.now = 300 * time.Hour
	l.wheel.fire(l)
	a := &alarm{}
	a.owner = a
	l.wheel.set(&a.timer, l.now+time.Second)
	l.now += 200 * time.Hour
	l.wheel.fire(l)
	if a.came != l.now {
		t.Errorf("came at %v, want %v", a.came, l.now)
	}
}

// The kernel's rules find an endpoint's packets by the mark, so a socket without it
// passes a gate that is closed.
func TestBackendSocketsAreMarked(t *testing.T) {
	if os.Geteuid() != 0 || os.Getenv("CI") != "" {
		t.Skip("marks need root, and no CI")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, err := netattach.NewThread()
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	l := &loop{thread: thread}
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		fd, err := l.backendSocket(&Spec{Mark: 0x5a110001, Dial: netattach.Host()}, kind, kind == unix.SOCK_STREAM)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK)
		closeFD(fd)
		if err != nil || uint32(got) != 0x5a110001 {
			t.Errorf("mark %#x, %v", got, err)
		}
	}
}

// An address must survive the way into the kernel's form and back, or clients would
// be taken for others.
func TestSockaddr(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "[2001:db8::1]:65535", "[fe80::1%3]:1", "0.0.0.0:0"} {
		want := netip.MustParseAddrPort(text)
		var s sockaddr
		s.setAddr(want)
		if got := s.addr(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	var s sockaddr
	s.setAddr(netip.MustParseAddrPort("[::ffff:10.0.0.1]:9"))
	if got, want := s.addr(), netip.MustParseAddrPort("10.0.0.1:9"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	s.setAddr(netip.MustParseAddrPort("[fe80::1%lo]:1"))
	if s.raw.Scope_id != 1 {
		t.Errorf("scope of lo: got %d", s.raw.Scope_id)
	}
}

// Bulk that passes through this process costs it half of its speed, and a pipe that an
// idle flow keeps is two descriptors that others need.
func TestBulkIsSpliced(t *testing.T) {
	e, err := NewEngine(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.7.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := netip.MustParseAddrPort(ln.Addr().String())
	endpoint := netip.AddrPortFrom(netip.MustParseAddr("127.64.7.2"), uint16(12000+rand.N(18000)))
	f, err := e.Open(t.Context(), Spec{
		EndpointID: "bulk", Address: endpoint.Addr(), Backends: []netip.Addr{at.Addr()},
		Mappings: []Mapping{{ClientPort: endpoint.Port(), ServerPort: at.Port()}}, Listen: netattach.Host(), Dial: netattach.Host(),
	})
	if err != nil {
		t.Fatal(err)
	}
	const flows = 20
	for range flows {
		client, err := netattach.Host().Dial(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		done := make(chan error, 1)
		go func() {
			_, err := client.Write(make([]byte, 4<<20))
			done <- err
		}()
		buf := make([]byte, 1<<20)
		for got := 0; got < 4<<20; {
			n, err := server.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	spare := -1
	for range 1000 { // the last flow may have to see yet that nothing more comes
		e.carrier.everywhere(func(l *loop) { spare = len(l.spares.pipes) })
		if spare > 0 {
			break
		}
	}
	if spare < 1 || spare > flows/4 {
		t.Errorf("%d pipes lie ready, want the few that the %d flows took in turn", spare, flows)
	}
	if got := f.Stats().Flows; got != flows {
		t.Errorf("%d flows, want %d", got, flows)
	}
}

// An engine that does not give back what it took makes every test and every restart
// within a process another one.
func TestProcessorsAreGivenBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	e, err := NewEngine(Options{Loops: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got := runtime.GOMAXPROCS(0); got != before+3 {
		t.Errorf("got %d, want %d", got, before+3)
	}
	e.Close()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("got %d, want %d", got, before)
	}
}

// Connections that come one by one and stay must not all end up with one loop, or a
// machine with many processors would use one of them.
func TestLoopsShareFlows(t *testing.T) {
	e, err := NewEngine(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.7.3:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := netip.MustParseAddrPort(ln.Addr().String())
	endpoint := netip.AddrPortFrom(netip.MustParseAddr("127.64.7.4"), uint16(12000+rand.N(18000)))
	if _, err := e.Open(t.Context(), Spec{
		EndpointID: "share", Address: endpoint.Addr(), Backends: []netip.Addr{at.Addr()},
		Mappings: []Mapping{{ClientPort: endpoint.Port(), ServerPort: at.Port()}}, Listen: netattach.Host(), Dial: netattach.Host(),
	}); err != nil {
		t.Fatal(err)
	}
	const flows = 10 * shareAfter
	for range flows {
		client, err := netattach.Host().Dial(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
	}
	a, b := e.carrier.loops[0].flows.Load(), e.carrier.loops[1].flows.Load()
	if a+b != flows || max(a, b)-min(a, b) > shareAfter+2 {
		t.Errorf("the loops have %d and %d flows of %d", a, b, flows)
	}
}

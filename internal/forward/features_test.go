//go:build linux

package forward_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// records collects the flow log of a test.
type records struct {
	mu  sync.Mutex
	all []forward.FlowRecord
}

func (r *records) add(rec forward.FlowRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

// endings waits for n records and returns how they ended, sorted.
func (r *records) endings(tb testing.TB, n int) []forward.Ending {
	tb.Helper()
	var got []forward.Ending
	eventually(tb, "the flow log has its records", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = nil
		for _, rec := range r.all {
			got = append(got, rec.Ending)
		}
		return len(got) >= n
	})
	slices.Sort(got)
	return got
}

// One who reads slowly must get every byte all the same, whether the bytes wait in a
// buffer or in a pipe, and the sender must be made to wait instead of the memory.
func TestSlowReaderGetsEverything(t *testing.T) {
	for name, size := range map[string]int{"buffer": 60 << 10, "pipe": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			spec := baseSpec(b)
			spec.Listen = narrowNet(unix.SO_SNDBUF)
			_, spec = open(t, spec)
			client := connectNarrow(t, spec)
			server := b.next(t)
			data := make([]byte, size)
			rand.Read(data)
			var wg sync.WaitGroup
			var sent error
			wg.Go(func() {
				_, sent = server.Write(data)
				server.CloseWrite()
			})
			got := make([]byte, 0, size)
			buf := make([]byte, 3<<10) // an odd part of what is on its way
			var err error
			for err == nil {
				var n int
				n, err = client.Read(buf)
				got = append(got, buf[:n]...)
			}
			wg.Wait()
			if !errors.Is(err, io.EOF) || sent != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes and %v, sent with %v, want all %d as they were", len(got), err, sent, size)
			}
		})
	}
}

// Urgent data makes the kernel hand out less than there is. The rest must not be left
// lying.
func TestUrgentData(t *testing.T) {
	b := newBackend(t)
	_, spec := open(t, baseSpec(b))
	client, server := pair(t, spec, b)
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	word := bytes.Repeat([]byte("w"), 1000)
	buf := make([]byte, len(word))
	for range 100 {
		client.Write(word)
		raw.Control(func(fd uintptr) { err = unix.Send(int(fd), []byte("!"), unix.MSG_OOB) })
		if err != nil {
			t.Fatal(err)
		}
		client.Write(word)
		// What is left lying would stay there: nothing else comes until it is read.
		for left := 2 * len(word); left > 0; {
			n, err := server.Read(buf)
			if err != nil {
				t.Fatalf("%d bytes are missing, %v", left, err)
			}
			left -= bytes.Count(buf[:n], []byte("w")) // the urgent byte may come or not
		}
	}
}

// An IPv6 endpoint must carry as any other, and a consumer of one family must reach a
// provider of the other.
func TestFamilies(t *testing.T) {
	six := netip.MustParseAddr("::1")
	for _, tt := range []struct{ endpoint, backend netip.Addr }{{six, six}, {randomAddr(), six}, {six, randomAddr()}} {
		b := echoBackendAt(t, netip.AddrPortFrom(tt.backend, 0))
		spec := baseSpec(b)
		spec.Address = tt.endpoint
		spec.Filter = true
		spec.AllowFrom = []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")}
		_, spec = open(t, spec)
		ask(t, connect(t, spec), "hello")
	}
}

// Who watches an endpoint must see what it carries while it carries it.
func TestCountersAreLive(t *testing.T) {
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	if got := f.Stats().Last; !got.IsZero() {
		t.Errorf("last activity %v before any", got)
	}
	before := time.Now().Add(-time.Minute)
	client, server := pair(t, spec, b)
	want := forward.Stats{Flows: 1, Total: 1, BytesToBackend: 1, BytesToClient: 1}
	eventually(t, "both bytes are counted", func() bool { return cmp.Equal(counters(f), want) })
	got := f.Stats()
	if got.Last.Before(before) || got.Last.After(time.Now().Add(time.Minute)) {
		t.Errorf("last activity %v, want now", got.Last)
	}
	client.Close()
	server.Close()
}

// A flow that says nothing must be reset, never closed as if it were complete, and one
// that speaks must not be.
func TestIdleTimeout(t *testing.T) {
	var log records
	b := newBackend(t)
	spec := baseSpec(b)
	spec.IdleTimeout = 200 * time.Millisecond
	f, spec := openWith(t, forward.Options{Loops: 2, FlowLog: log.add}, spec)
	client, server := pair(t, spec, b)
	talks, listens := pair(t, spec, b)
	stop := make(chan struct{})
	var talk, listen sync.WaitGroup
	var talking error
	talk.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for talking == nil {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, talking = talks.Write([]byte{1})
			}
		}
	})
	listen.Go(func() { io.Copy(io.Discard, listens) })
	wantReset(t, "client", client)
	wantReset(t, "backend", server)
	eventually(t, "the reset is counted", func() bool { return f.Stats().Resets == 1 })
	close(stop)
	talk.Wait()
	talks.Close()
	listen.Wait()
	if talking != nil {
		t.Errorf("the one that speaks: got %v", talking)
	}
	if diff := cmp.Diff([]forward.Ending{forward.Closed, forward.Idle}, func() []forward.Ending {
		listens.Close()
		return log.endings(t, 2)
	}()); diff != "" {
		t.Errorf("endings (-want +got):\n%s", diff)
	}
}

// Flows to an address that was taken out must end when their time is over, those to
// the others must not, and an address that comes back in time keeps its flows.
func TestDrain(t *testing.T) {
	a := newBackend(t)
	b := backendAt(t, netip.AddrPortFrom(randomAddr(), a.addr.Port()))
	f, spec := open(t, baseSpec(a, b))
	toA, serverA := pair(t, spec, a)
	toB, serverB := pair(t, spec, b)

	only := spec
	only.Backends = []netip.Addr{b.addr.Addr()}
	only.Drain = time.Hour
	update(t, f, only)
	pass(t, toA, serverA) // it has its hour
	update(t, f, spec)    // and is back
	pass(t, toA, serverA)

	only.Drain = 10 * time.Millisecond
	update(t, f, only)
	wantReset(t, "client of the removed address", toA)
	wantReset(t, "the removed address", serverA)
	pass(t, toB, serverB)
	eventually(t, "one reset, and one flow is left", func() bool { s := f.Stats(); return s.Resets == 1 && s.Flows == 1 })

	none := only
	none.Backends, none.Drain = []netip.Addr{a.addr.Addr()}, 0
	update(t, f, none)
	wantReset(t, "client of an address without a drain", toB)
}

// New flows must go to whoever has the least to do.
func TestLeastConnections(t *testing.T) {
	a := newBackend(t)
	b := backendAt(t, netip.AddrPortFrom(randomAddr(), a.addr.Port()))
	spec := baseSpec(a, b)
	spec.Balance = forward.LeastConnections
	f, spec := open(t, spec)
	pair(t, spec, a)
	_, onB := pair(t, spec, b)
	onB.SetLinger(0)
	onB.Close()
	eventually(t, "the flow is over", func() bool { return f.Stats().Flows == 1 })
	pair(t, spec, b) // which has none
}

// One that did not answer must not be asked first by everybody after.
func TestPassiveHealth(t *testing.T) {
	up := newBackend(t)
	spec := baseSpec(up)
	spec.Backends = []netip.Addr{randomAddr(), up.addr.Addr()}
	f, spec := open(t, spec)
	for range 8 {
		pair(t, spec, up)
	}
	if got := f.Stats().DialErrors; got != 1 {
		t.Errorf("got %d failed attempts, want the first alone", got)
	}
}

// What an active check found must decide, and when nobody is up it is better to try
// than to refuse.
func TestSetHealth(t *testing.T) {
	a := newBackend(t)
	b := backendAt(t, netip.AddrPortFrom(randomAddr(), a.addr.Port()))
	f, spec := open(t, baseSpec(a, b))
	f.SetHealth(randomAddr(), false) // of nobody
	f.SetHealth(a.addr.Addr(), false)
	for range 3 {
		pair(t, spec, b)
	}
	same := spec
	same.MaxConns = 100 // an Update forgets nothing of it
	update(t, f, same)
	pair(t, spec, b)
	f.SetHealth(b.addr.Addr(), false)
	connect(t, spec)
	connect(t, spec)
	a.next(t)
	b.next(t)
	f.SetHealth(a.addr.Addr(), true)
	pair(t, spec, a)
	pair(t, spec, a)
}

// Shut is the moment of a decision: what is written after it must never arrive, though
// no flow has been reset yet.
func TestShutStopsEveryByte(t *testing.T) {
	const flows = 8
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	var clients, servers []io.ReadWriteCloser
	for range flows {
		c, s := pair(t, spec, b)
		clients, servers = append(clients, c), append(servers, s)
	}
	f.Shut()
	f.Shut()
	for i := range flows {
		clients[i].Write([]byte("after"))
		servers[i].Write([]byte("after"))
	}
	before := counters(f)
	if c, err := dialFrom(netip.Addr{}, endpointOf(spec)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: got %v, %v, want %v", c, err, syscall.ECONNREFUSED)
	}
	if _, err := f.Update(spec); !errors.Is(err, forward.ErrCut) {
		t.Errorf("update: got %v, want %v", err, forward.ErrCut)
	}
	if got := f.Cut().Flows; got != flows {
		t.Errorf("cut %d flows, want %d", got, flows)
	}
	if after := counters(f); after.BytesToBackend != before.BytesToBackend || after.BytesToClient != before.BytesToClient {
		t.Errorf("bytes passed: %+v became %+v", before, after)
	}
	for _, end := range slices.Concat(clients, servers) {
		if n, err := io.Copy(io.Discard, end); n != 0 || !isReset(err) {
			t.Errorf("got %d bytes and %v, want none and a reset", n, err)
		}
	}
}

// A stop that is patient must let in nobody, let everybody finish, and know when they
// have.
func TestStopNewAndWait(t *testing.T) {
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	if err := f.Wait(t.Context()); err != nil {
		t.Errorf("nobody is there: got %v", err)
	}
	client, server := pair(t, spec, b)
	f.StopNew()
	if c, err := dialFrom(netip.Addr{}, endpointOf(spec)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: got %v, %v, want %v", c, err, syscall.ECONNREFUSED)
	}
	pass(t, client, server)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := f.Wait(t.Context()); err != nil {
				t.Errorf("wait: %v", err)
			}
			if got := f.Stats().Flows; got != 0 {
				t.Errorf("%d flows when the wait is over", got)
			}
		})
	}
	client.Close()
	server.Close()
	wg.Wait()
	if got := f.Cut().Flows; got != 0 || f.Stats().Resets != 0 {
		t.Errorf("cut %d flows, want a peaceful end", got)
	}
}

// Closing the engine must leave nothing open, whatever is under way.
func TestEngineClose(t *testing.T) {
	b := newBackend(t)
	e := newEngine(t, forward.Options{Loops: 2})
	f, spec := openOn(t, e, baseSpec(b))
	_, spec2 := openOn(t, e, baseSpec(b))
	one, _ := pair(t, spec, b)
	two, _ := pair(t, spec2, b)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(e.Close)
	}
	wg.Wait()
	wantReset(t, "first client", one)
	wantReset(t, "second client", two)
	if got := f.Cut().Flows; got != 1 {
		t.Errorf("cut %d flows, want 1", got)
	}
	if _, err := e.Open(t.Context(), baseSpec(b)); !errors.Is(err, forward.ErrClosed) {
		t.Errorf("open: got %v, want %v", err, forward.ErrClosed)
	}
	for _, n := range []int{-1, 65} {
		if e, err := forward.NewEngine(forward.Options{Loops: n}); err == nil {
			e.Close()
			t.Errorf("%d loops: started", n)
		}
	}
}

// A listener must outlive errors of accept: an endpoint shown as accepted would
// otherwise be dead for good after one bad moment. Here no descriptor is left.
func TestAcceptErrorsPass(t *testing.T) {
	var log warnings
	f, spec := openWith(t, forward.Options{Loops: 2, Log: log.logger()}, baseSpec(echoBackend(t)))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	at := &unix.SockaddrInet4{Addr: spec.Address.As4(), Port: int(spec.Mappings[0].ClientPort)}
	err = unix.Connect(fd, at) // the kernel accepts; the forwarder cannot
	log.wait(t, "accept error, pausing")
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte("alive?")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := unix.Read(fd, buf); err != nil || string(buf[:n]) != "alive?" {
		t.Fatalf("got %q, %v", buf[:max(n, 0)], err)
	}
	if got := f.Cut().Flows; got != 1 {
		t.Errorf("cut %d flows, want 1", got)
	}
}

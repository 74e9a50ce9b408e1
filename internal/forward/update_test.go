//go:build linux

package forward_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

func update(t *testing.T, f *forward.Forwarder, spec forward.Spec) {
	t.Helper()
	if changed, err := f.Update(spec); err != nil || !changed {
		t.Fatalf("update: got %v, %v, want a change", changed, err)
	}
}

// A change of one port must be felt by that port alone: a new mapping listens, a
// removed one is gone with its flows, and the flow next to them goes on.
func TestUpdateMappings(t *testing.T) {
	b := echoBackend(t)
	f, spec := open(t, baseSpec(b))
	keep := spec.Mappings[0]
	added := forward.Mapping{ClientPort: keep.ClientPort + 1, ServerPort: b.addr.Port()}
	addedAt := netip.AddrPortFrom(spec.Address, added.ClientPort)
	stays := connect(t, spec)
	ask(t, stays, "before")

	both := spec
	both.Mappings = []forward.Mapping{added, keep}
	update(t, f, both)
	goes := connectTo(t, addedAt)
	ask(t, goes, "new port")

	update(t, f, spec)
	if got := f.Stats(); got.Flows != 1 || got.Resets != 1 {
		t.Errorf("got %+v, want one flow and one reset when Update returns", got)
	}
	wantReset(t, "client of the removed port", goes)
	if c, err := dialFrom(netip.Addr{}, addedAt); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("removed port: got %v, %v, want %v", c, err, syscall.ECONNREFUSED)
	}
	ask(t, stays, "after")
	ask(t, connect(t, spec), "listener stands")
	if changed, err := f.Update(spec); changed || err != nil {
		t.Errorf("the same again: got %v, %v, want no change", changed, err)
	}
}

// A mapping that leads elsewhere must not leave old flows at the old place, nor
// close the port for a moment.
func TestUpdateServerPort(t *testing.T) {
	b := echoBackend(t)
	other := newBackend(t)
	f, spec := open(t, baseSpec(b))
	old := connect(t, spec)
	ask(t, old, "before")

	spec.Mappings = []forward.Mapping{{ClientPort: spec.Mappings[0].ClientPort, ServerPort: other.addr.Port()}}
	spec.Backends = []netip.Addr{other.addr.Addr()}
	update(t, f, spec)
	wantReset(t, "client of the old port", old)
	pair(t, spec, other)
}

// Backends and whitelist hold for those who come; those who are in stay in, with
// what they have.
func TestUpdateLeavesFlowsAlone(t *testing.T) {
	b := echoBackend(t)
	f, spec := open(t, baseSpec(b))
	stays := connect(t, spec)
	ask(t, stays, "before")

	closed := spec
	closed.Filter = true
	update(t, f, closed)
	wantRefused(t, "a client outside the whitelist", spec)
	ask(t, stays, "whitelist")

	nowhere := spec
	nowhere.Backends = nil
	update(t, f, nowhere)
	wantRefused(t, "a client without backend", spec)
	ask(t, stays, "backends")

	full := spec
	full.MaxConns = 1
	update(t, f, full)
	wantRefused(t, "a client over the limit", spec)
	ask(t, stays, "limit")

	update(t, f, spec)
	ask(t, connect(t, spec), "as it was")
	want := forward.Refused{NotAllowed: 1, NoBackend: 1, OverLimit: 1}
	if got := f.Stats(); got.Refused != want || got.Resets != 0 {
		t.Errorf("got %+v, want %+v and no reset", got, want)
	}
}

// An update that fails must have done nothing: not a half of the new ports, and
// not the loss of the old.
func TestUpdateErrorChangesNothing(t *testing.T) {
	b := echoBackend(t)
	f, spec := open(t, baseSpec(b))
	stays := connect(t, spec)
	ask(t, stays, "before")

	port := spec.Mappings[0].ClientPort
	blocker, err := netattach.Host().Listen(t.Context(), netip.AddrPortFrom(spec.Address, port+2))
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	bad := spec
	bad.Mappings = []forward.Mapping{{ClientPort: port + 1, ServerPort: 9}, {ClientPort: port + 2, ServerPort: 9}}
	if changed, err := f.Update(bad); changed || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, %v, want %v", changed, err, syscall.EADDRINUSE)
	}
	if c, err := dialFrom(netip.Addr{}, netip.AddrPortFrom(spec.Address, port+1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("half of the update stands: got %v, %v", c, err)
	}

	elsewhere, otherID, invalid := spec, spec, spec
	elsewhere.Address = randomAddr()
	otherID.EndpointID = "another"
	invalid.Mappings = nil
	for _, s := range []forward.Spec{elsewhere, otherID} {
		if changed, err := f.Update(s); changed || !errors.Is(err, forward.ErrReopen) {
			t.Errorf("got %v, %v, want %v", changed, err, forward.ErrReopen)
		}
	}
	if changed, err := f.Update(invalid); changed || err == nil {
		t.Errorf("got %v, %v, want an error", changed, err)
	}
	ask(t, stays, "after")
	ask(t, connect(t, spec), "listener stands")

	f.Cut()
	if changed, err := f.Update(spec); changed || !errors.Is(err, forward.ErrCut) {
		t.Errorf("after the cut: got %v, %v, want %v", changed, err, forward.ErrCut)
	}
}

// An Update that binds while the endpoint is being cut must not leave the new port
// open behind the cut's back, and must not hold it up.
func TestCutDuringUpdate(t *testing.T) {
	for _, late := range []bool{false, true} {
		binding := make(chan struct{})
		var slow bool
		fake := &fakeNet{Network: netattach.Host()}
		fake.listen = func(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
			if slow && !late {
				close(binding)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			ln, err := netattach.Host().Listen(t.Context(), addr)
			if slow {
				close(binding)
				<-ctx.Done()
				for range 1000 {
					runtime.Gosched() // time for a cut that does not wait to be seen
				}
			}
			return ln, err
		}
		spec := baseSpec(echoBackend(t))
		spec.Listen = fake
		f, spec := open(t, spec)
		slow = true
		before := sockets(t)

		more := spec
		m := spec.Mappings[0]
		m.ClientPort++
		more.Mappings = []forward.Mapping{spec.Mappings[0], m}
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { _, err = f.Update(more) })
		<-binding
		f.Cut()
		if got, want := sockets(t), before-1; got != want {
			t.Errorf("late %v: %d sockets after the cut, want %d", late, got, want)
		}
		wg.Wait()
		if !errors.Is(err, forward.ErrCut) {
			t.Errorf("late %v: got %v, want %v", late, err, forward.ErrCut)
		}
	}
}

// Everything at once, for the race detector and for goleak: whatever the order,
// the cut is the end.
func TestOpenUpdateCutRace(t *testing.T) {
	b := echoBackend(t)
	for range 10 {
		f, spec := open(t, baseSpec(b))
		port := spec.Mappings[0].ClientPort
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				for range 10 {
					if c, err := dialFrom(netip.Addr{}, endpointOf(spec)); err == nil {
						_ = echo(c, "race")
						c.Close()
					}
				}
			})
			wg.Go(func() {
				for n := range 10 {
					s := spec
					s.MaxConns = 1 + n
					s.Mappings = []forward.Mapping{{ClientPort: port, ServerPort: b.addr.Port() + uint16(n%2)}}
					if n%3 == i {
						s.Mappings = append(s.Mappings, forward.Mapping{ClientPort: port + 1 + uint16(i), ServerPort: 9})
					}
					if _, err := f.Update(s); err != nil && !errors.Is(err, forward.ErrCut) && !errors.Is(err, syscall.EADDRINUSE) {
						t.Error(err)
					}
					f.Stats()
				}
				if i == 0 {
					f.Cut()
				}
			})
		}
		wg.Wait()
		if got := f.Stats().Flows; got != 0 {
			t.Errorf("%d flows after the cut", got)
		}
	}
}

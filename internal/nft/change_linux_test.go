package nft_test

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// Ports are edited while flows are there: only those of what went may end, and they
// before the edit is confirmed.
func TestPortEdit(t *testing.T) {
	for _, tt := range []struct{ endpoint, backend netip.Addr }{{endpoint4, first4}, {endpoint6, first6}} {
		t.Run(tt.endpoint.String(), func(t *testing.T) {
			c, p := newNetwork(t), newNetwork(t)
			hold(t, c, tt.endpoint)
			k := kernel(t)
			a, b := serve(t, p.NetNS, tt.backend, 8080), serve(t, p.NetNS, tt.backend, 9090)
			sp := spec("ep-1", c, p, tt.endpoint, tt.backend)
			sp.Mappings = []nft.Mapping{
				{ClientPort: 80, ServerPort: 8080},
				{ClientPort: 81, ServerPort: 8080},
				{ClientPort: 82, ServerPort: 8080},
			}
			path := open(t, k, sp)
			kept := connect(t, c.behind, at(tt.endpoint, 80), a)
			removed := connect(t, c.behind, at(tt.endpoint, 81), a)
			moved := connect(t, c.NetNS, at(tt.endpoint, 82), a)

			sp.Mappings = []nft.Mapping{
				{ClientPort: 80, ServerPort: 8080},
				{ClientPort: 82, ServerPort: 9090},
				{ClientPort: 83, ServerPort: 9090},
			}
			if err := path.Update(t.Context(), sp); err != nil {
				t.Fatal(err)
			}
			removed.wantReset(t)
			moved.wantReset(t)
			kept.talk(t)
			wantRefused(t, c.behind, at(tt.endpoint, 81))
			connect(t, c.NetNS, at(tt.endpoint, 82), b)
			connect(t, c.behind, at(tt.endpoint, 83), b)
			connect(t, c.behind, at(tt.endpoint, 80), a)

			sp.Admitted++
			if err := path.Update(t.Context(), sp); !errors.Is(err, nft.ErrReopen) {
				t.Errorf("another admission: got %v, want %v", err, nft.ErrReopen)
			}
		})
	}
}

// Many flows are deleted by their address at once, not one by one: that must take all
// of them and none of a neighbour, in both namespaces.
func TestManyFlows(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	other := netip.MustParseAddr("10.0.0.101")
	hold(t, c, endpoint4)
	hold(t, c, other)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	path := open(t, k, spec("many", c, p, endpoint4, first4))
	open(t, k, spec("one", c, p, other, first4))
	neighbour := connect(t, c.behind, at(other, 80), s)
	const many = 600
	var flows []conn
	for range many {
		cl, err := dial(t, c.NetNS, at(endpoint4, 80))
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, conn{cl, s.next(t)})
	}
	if n := finish(t, path); n != many {
		t.Errorf("ended %d flows, want %d", n, many)
	}
	for _, f := range flows {
		f.wantReset(t)
	}
	neighbour.talk(t)
	for _, n := range []*network{c, p} {
		if got := run(t, n.NetNS, "sh", "-c", "grep -c dport=80 /proc/net/nf_conntrack"); strings.TrimSpace(got) != "1" {
			t.Errorf("%s tracks %s flows, want the neighbour's", n, got)
		}
	}
}

// Backends are taken in turn, and one that is removed keeps its flows for Drain and
// not longer. Without one every flow is refused, and said to be.
func TestBackends(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	ip(t, "-n", p.Name(), "address", "add", "10.0.0.7/32", "dev", "lo")
	third := netip.MustParseAddr("10.0.0.7")
	servers := map[netip.Addr]*server{
		first4: serve(t, p.NetNS, first4, 8080), second4: serve(t, p.behind, second4, 8080), third: serve(t, p.NetNS, third, 8080),
	}
	sp := spec("ep-1", c, p, endpoint4, first4, second4, third)
	path := open(t, k, sp)
	for range 9 {
		if _, err := dial(t, c.behind, at(endpoint4, 80)); err != nil {
			t.Fatal(err)
		}
	}
	for a, s := range servers {
		for range 3 {
			s.next(t)
		}
		select {
		case <-s.conns:
			t.Errorf("backend %s got more than its third", a)
		default:
		}
	}

	pick := func(sp nft.Spec, backends ...netip.Addr) {
		t.Helper()
		sp.Backends = backends
		if err := path.Update(t.Context(), sp); err != nil {
			t.Fatal(err)
		}
	}
	pick(sp, second4)
	stays := connect(t, c.behind, at(endpoint4, 80), servers[second4])
	pick(sp, first4, second4)
	pick(sp, first4) // Drain is 0
	stays.wantReset(t)

	drains := connect(t, c.NetNS, at(endpoint4, 80), servers[first4])
	sp.Drain = 300 * time.Millisecond
	pick(sp, third)
	drains.talk(t)
	fresh := connect(t, c.NetNS, at(endpoint4, 80), servers[third])
	drains.wantReset(t)
	fresh.talk(t)

	sp.Drain = time.Hour
	pick(sp)
	fresh.talk(t)
	wantRefused(t, c.NetNS, at(endpoint4, 80))
	wantRefused(t, c.behind, at(endpoint4, 80))
	st, err := stats(t, k, path)
	if err != nil || st.Refused["no_backend"] != 2 {
		t.Errorf("got %v, %v, want two refusals for no_backend", st.Refused, err)
	}
	finish(t, path)
	fresh.wantReset(t)
}

// The whitelist decides who may begin a flow, and can change while flows are there.
// A source that slips through is let into somebody's network.
func TestWhitelist(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	k := kernel(t)
	for _, tt := range []struct {
		endpoint, backend netip.Addr
		behind, inside    string
	}{
		{endpoint4, first4, "10.0.0.2/31", "10.0.0.100/32"},
		{endpoint6, first6, "fd00::2/127", "fd00::100/128"},
	} {
		s := serve(t, p.NetNS, tt.backend, 8080)
		sp := spec("ep-"+tt.endpoint.String(), c, p, tt.endpoint, tt.backend)
		sp.Filter = true
		path := open(t, k, sp)
		to := at(tt.endpoint, 80)
		allow := func(prefixes ...string) {
			t.Helper()
			sp.AllowFrom = nil
			for _, p := range prefixes {
				sp.AllowFrom = append(sp.AllowFrom, netip.MustParsePrefix(p))
			}
			if err := path.Update(t.Context(), sp); err != nil {
				t.Fatal(err)
			}
		}
		wantRefused(t, c.behind, to)
		allow(tt.behind)
		stays := connect(t, c.behind, to, s)
		wantRefused(t, c.NetNS, to)
		allow(tt.inside, "10.0.0.0/32", "fd00::/128", "10.0.0.0/32")
		wantRefused(t, c.behind, to)
		connect(t, c.NetNS, to, s)
		allow(tt.inside, tt.behind, "10.0.0.0/8", "10.0.0.0/24", "fd00::/64")
		connect(t, c.behind, to, s)
		connect(t, c.NetNS, to, s)
		sp.Filter = false
		allow()
		connect(t, c.behind, to, s)
		stays.talk(t)
		st, err := stats(t, k, path)
		if err != nil || st.Refused["not_allowed"] != 3 {
			t.Errorf("got %v, %v, want three refusals for not_allowed", st.Refused, err)
		}
	}
}

// fillUp opens n flows, of which none may be refused for good, and has one more refused.
func fillUp(t *testing.T, client *netattach.NetNS, s *server, n int) []conn {
	t.Helper()
	var flows []conn
	for range n {
		cl, err := dial(t, client, at(endpoint4, 80))
		// The kernel looks once a tick, 10 ms at most, which flows have ended and
		// which attempts it has refused.
		for begin := time.Now(); errors.Is(err, syscall.ECONNREFUSED) && time.Since(begin) < patience; {
			<-time.After(5 * time.Millisecond)
			cl, err = dial(t, client, at(endpoint4, 80))
		}
		if err != nil {
			t.Fatalf("flow %d of %d: %v", len(flows)+1, n, err)
		}
		flows = append(flows, conn{cl, s.next(t)})
	}
	wantRefused(t, client, at(endpoint4, 80))
	return flows
}

// The cap is exact: N pass, one more does not, and what has ended makes room, within
// a few ticks of the kernel's clock. More than 64 flows are more than the
// kernel forgets in one go.
func TestCapIsExact(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	sp := spec("ep-1", c, p, endpoint4, first4)
	sp.MaxConns = 150
	path := open(t, k, sp)
	fill := func(client *netattach.NetNS, n int) []conn { t.Helper(); return fillUp(t, client, s, n) }
	empty := func(flows []conn, backendFirst bool) {
		t.Helper()
		for _, f := range flows {
			first, second := f.client, f.backend
			if backendFirst {
				first, second = second, first
			}
			first.Close()
			_ = second.SetReadDeadline(time.Now().Add(patience))
			_, _ = second.Read(make([]byte, 1)) // its end has come
			second.Close()
		}
	}
	for _, client := range []*netattach.NetNS{c.behind, c.NetNS} {
		for _, backendFirst := range []bool{false, true} {
			empty(fill(client, 150), backendFirst)
		}
	}
	flows := fill(c.behind, 150)
	for i := range 20 {
		empty(flows[i:i+1], i%2 == 0)
		fill(c.behind, 1)
	}
	finish(t, path)

	// A changed cap counts the flows that are there.
	sp.MaxConns, sp.Admitted = 5, 2
	path = open(t, k, sp)
	flows = fill(c.behind, 5)
	sp.MaxConns = 7
	if err := path.Update(t.Context(), sp); err != nil {
		t.Fatal(err)
	}
	flows = append(flows, fill(c.behind, 2)...)
	sp.MaxConns = 3
	if err := path.Update(t.Context(), sp); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, c.behind, at(endpoint4, 80))
	for _, f := range flows {
		f.talk(t)
	}
	if st, err := stats(t, k, path); err != nil || st.Flows != 7 || st.Refused["over_limit"] == 0 {
		t.Errorf("got %+v, %v, want 7 flows and refusals for over_limit", st, err)
	}
}

// A draining endpoint serves who is there and nobody else.
func TestStopNew(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	path := open(t, k, spec("ep-1", c, p, endpoint4, first4))
	f := connect(t, c.behind, at(endpoint4, 80), s)
	if err := path.StopNew(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.talk(t)
	wantRefused(t, c.behind, at(endpoint4, 80))
	wantRefused(t, c.NetNS, at(endpoint4, 80))
	finish(t, path)
	f.wantReset(t)
}

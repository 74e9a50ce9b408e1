package nft_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/nft"
)

// foreign puts something of somebody else's into every kind of thing that we make.
func foreign(t *testing.T, n *network) {
	t.Helper()
	run(t, n.NetNS, "nft", `
		add table inet filter
		add set inet filter open4 { type ipv4_addr; elements = { 192.0.2.1 }; }
		add chain inet filter input { type filter hook input priority 0; }
		add rule inet filter input tcp dport 9999 drop
		add chain inet filter forward { type filter hook forward priority 0; }
		add rule inet filter forward ct state established accept
		add table ip sallyport
		add chain ip sallyport postrouting { type nat hook postrouting priority 100; }
		add rule ip sallyport postrouting oifname "nowhere" masquerade`)
	ip(t, "-n", n.Name(), "link", "add", "spare", "type", "veth", "peer", "name", "spare2")
	ip(t, "-n", n.Name(), "route", "add", "198.18.0.9/32", "dev", "lo")
}

// A clean stop must leave a machine as it was found, and never touch what others have
// there, whatever its name.
func TestCloseLeavesNothing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){
		"by interface": func(*testing.T) {},
		"as a whole":   nft.WithoutForceForwarding,
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			c, p := newNetwork(t), newNetwork(t)
			hold(t, c, endpoint4)
			hold(t, c, endpoint6)
			for _, n := range []*network{c, p} {
				foreign(t, n)
			}
			before := []string{state(t, c), state(t, p)}
			k := crashing(t)
			s4, s6 := serve(t, p.behind, second4, 8080), serve(t, p.behind, second6, 8080)
			sp := spec("ep-4", c, p, endpoint4, second4)
			sp.Filter, sp.AllowFrom, sp.MaxConns = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, 9
			open(t, k, sp)
			open(t, k, spec("ep-6", c, p, endpoint6, second6))
			connect(t, c.behind, at(endpoint4, 80), s4)
			connect(t, c.behind, at(endpoint6, 80), s6)
			// What we did not switch on alone stays closed.
			if got := run(t, c.NetNS, "nft", "list", "table", "inet", "sallyport"); !strings.Contains(got, "eth0") {
				t.Errorf("eth0 forwards and is not among the closed interfaces:\n%s", got)
			}
			g, err := k.Guard(t.Context(), nft.GuardSpec{Listen: c.NetNS, Dial: p.NetNS, Address: endpoint4})
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Shut(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := k.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, []string{state(t, c), state(t, p)}); diff != "" {
				t.Errorf("-before +after\n%s", diff)
			}
			if _, err := k.Open(t.Context(), sp); err == nil {
				t.Error("opened on a closed Kernel")
			}
		})
	}
}

// A process that dies leaves flows running, and the next one takes them over without
// a gap: a restart must not be an outage. What it is not told to open again goes, with
// its flows.
func TestCrashAndRestart(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	other := netip.MustParseAddr("10.0.0.101")
	third := netip.MustParseAddr("10.0.0.102")
	fourth := netip.MustParseAddr("10.0.0.103")
	for _, a := range []netip.Addr{endpoint4, endpoint6, other, third, fourth} {
		hold(t, c, a)
	}
	before := []string{state(t, c), state(t, p)}
	s4, s6 := serve(t, p.NetNS, first4, 8080), serve(t, p.behind, second6, 8080)
	same4, same6 := spec("same-4", c, p, endpoint4, first4), spec("same-6", c, p, endpoint6, second6)
	same4.MaxConns = 3
	again, gone := spec("again", c, p, other, first4), spec("gone", c, p, third, first4)

	dead := crashing(t)
	for _, sp := range []nft.Spec{same4, same6, again, gone} {
		open(t, dead, sp)
	}
	flow4, flow6 := connect(t, c.behind, at(endpoint4, 80), s4), connect(t, c.NetNS, at(endpoint6, 80), s6)
	flowAgain, flowGone := connect(t, c.behind, at(other, 80), s4), connect(t, c.NetNS, at(third, 80), s4)

	k := kernel(t)
	path4, path6 := open(t, k, same4), open(t, k, same6)
	flow4.talk(t)
	flow6.talk(t)
	flowGone.talk(t) // nobody has decided about it yet
	again.Admitted++
	open(t, k, again)
	flowAgain.wantReset(t)
	connect(t, c.behind, at(other, 80), s4)
	// A new endpoint must not get a transit address of what is still to be swept.
	elsewhere := serve(t, p.behind, second4, 8080)
	open(t, k, spec("fresh", c, p, fourth, second4))
	fresh := connect(t, c.behind, at(fourth, 80), elsewhere)
	flowGone.talk(t)
	if err := k.Sweep(t.Context(), []nft.Namespace{c.NetNS, p.NetNS}); err != nil {
		t.Fatal(err)
	}
	flowGone.wantReset(t)
	wantRefused(t, c.NetNS, at(third, 80))
	flow4.talk(t)
	flow6.talk(t)
	fresh.talk(t)

	// The flow of before counts, against the cap too.
	connect(t, c.behind, at(endpoint4, 80), s4)
	connect(t, c.NetNS, at(endpoint4, 80), s4)
	wantRefused(t, c.behind, at(endpoint4, 80))
	if st, err := stats(t, k, path4); err != nil || st.Total != 3 || st.Flows != 3 {
		t.Errorf("got %+v, %v, want 3 flows in all", st, err)
	}
	finish(t, path4)
	finish(t, path6)
	flow4.wantReset(t)
	flow6.wantReset(t)

	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, []string{state(t, c), state(t, p)}); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
}

// At the start only the decisions are known, not yet the specs: what was rejected while
// nobody was there must end before anything else, and the rest must go on.
func TestRecover(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	s4, s6 := serve(t, p.behind, second4, 8080), serve(t, p.NetNS, first6, 8080)
	dead := crashing(t)
	kept := spec("kept", c, p, endpoint6, first6)
	open(t, dead, spec("rejected", c, p, endpoint4, second4))
	open(t, dead, kept)
	flow4, flow6 := connect(t, c.behind, at(endpoint4, 80), s4), connect(t, c.NetNS, at(endpoint6, 80), s6)
	k := kernel(t)
	err := k.Recover(t.Context(), []nft.Namespace{c.NetNS, p.NetNS}, func(endpoint string, admitted int64) bool {
		return endpoint == "kept" && admitted == kept.Admitted
	})
	if err != nil {
		t.Fatal(err)
	}
	flow4.wantReset(t)
	wantRefused(t, c.behind, at(endpoint4, 80))
	flow6.talk(t)
	open(t, k, kept)
	flow6.talk(t)
}

// An address that moved to another endpoint, or an endpoint that moved to another
// provider, while nobody was there: what was must not be taken for what shall be.
func TestCrashAndChange(t *testing.T) {
	c, p, q := newNetwork(t), newNetwork(t), newNetwork(t)
	other := netip.MustParseAddr("10.0.0.101")
	hold(t, c, endpoint4)
	hold(t, c, other)
	sp, sq := serve(t, p.NetNS, first4, 8080), serve(t, q.NetNS, first4, 8080)
	dead := crashing(t)
	open(t, dead, spec("moved", c, p, endpoint4, first4))
	open(t, dead, spec("old", c, p, other, first4))
	flowMoved, flowOld := connect(t, c.behind, at(endpoint4, 80), sp), connect(t, c.NetNS, at(other, 80), sp)

	k := kernel(t)
	open(t, k, spec("moved", c, q, endpoint4, first4))
	open(t, k, spec("new", c, p, other, first4))
	flowMoved.wantReset(t)
	flowOld.wantReset(t)
	connect(t, c.behind, at(endpoint4, 80), sq)
	connect(t, c.behind, at(other, 80), sp)
	if err := k.Sweep(t.Context(), []nft.Namespace{c.NetNS, p.NetNS, q.NetNS}); err != nil {
		t.Fatal(err)
	}
	connect(t, c.NetNS, at(endpoint4, 80), sq)
	connect(t, c.NetNS, at(other, 80), sp)
}

// After a crash everything is opened again at the same time, and much of it shares links
// and namespaces. What one path writes there, others read (run it with -race).
func TestOpenTogetherAfterCrash(t *testing.T) {
	c, p, q := newNetwork(t), newNetwork(t), newNetwork(t)
	s := serve(t, p.behind, second4, 8080)
	var specs []nft.Spec
	var flows []conn
	dead := crashing(t)
	for i := range 16 {
		to := []*network{p, p, p, q}[i%4]
		sp := spec(fmt.Sprintf("ep-%d", i), c, to, netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)}), second4)
		if i%4 == 1 {
			sp = spec(fmt.Sprintf("ep-%d", i), c, to, netip.MustParseAddr(fmt.Sprintf("fd00::1:%d", i)), second6)
		}
		hold(t, c, sp.Address)
		open(t, dead, sp)
		if i%4 == 0 {
			flows = append(flows, connect(t, c.behind, at(sp.Address, 80), s))
		}
		specs = append(specs, sp)
	}
	k := kernel(t)
	var all sync.WaitGroup
	for _, sp := range specs {
		all.Go(func() {
			if _, err := k.Open(t.Context(), sp); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, f := range flows {
		f.talk(t)
	}
}

// A process that dies while it makes the table leaves rules without the first gate. If
// they are kept, clients behind bridges are not told of cuts; if all are added again,
// every byte counts twice.
func TestHalfATable(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	open(t, crashing(t), spec("ep-1", c, p, endpoint4, first4))
	whole := run(t, c.NetNS, "nft", "-s", "list", "chain", "inet", "sallyport", "gate")
	for _, n := range []*network{c, p} {
		run(t, n.NetNS, "nft", "delete chain inet sallyport paths_1; flush chain inet sallyport gate")
	}
	s := serve(t, p.NetNS, first4, 8080)
	k := kernel(t)
	open(t, k, spec("ep-1", c, p, endpoint4, first4))
	connect(t, c.behind, at(endpoint4, 80), s)
	if diff := cmp.Diff(whole, run(t, c.NetNS, "nft", "-s", "list", "chain", "inet", "sallyport", "gate")); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
	if got := run(t, c.NetNS, "nft", "list", "chain", "inet", "sallyport", "to_link"); strings.Count(got, "drop") != 1 {
		t.Errorf("the rules stand more than once:\n%s", got)
	}
}

// A process that dies while it makes a link leaves half of one, which must not be in the
// way for ever.
func TestHalfALink(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	dead := crashing(t)
	open(t, dead, spec("ep-1", c, p, endpoint4, first4))
	link := strings.TrimSuffix(strings.Fields(run(t, c.NetNS, "sh", "-c", "ip -o link | grep -o 'sp[0-9a-f]*@'"))[0], "@")
	ip(t, "-n", p.Name(), "link", "set", link, "group", "default", "down")
	s := serve(t, p.NetNS, first4, 8080)
	k := kernel(t)
	open(t, k, spec("ep-1", c, p, endpoint4, first4))
	connect(t, c.behind, at(endpoint4, 80), s)
}

// After a crash nobody may want anything any more: the sweep alone must clean up.
func TestSweepOfEverything(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	before := []string{state(t, c), state(t, p)}
	s4, s6 := serve(t, p.behind, second4, 8080), serve(t, p.NetNS, first6, 8080)
	dead := crashing(t)
	open(t, dead, spec("ep-4", c, p, endpoint4, second4))
	open(t, dead, spec("ep-6", c, p, endpoint6, first6))
	flow4, flow6 := connect(t, c.NetNS, at(endpoint4, 80), s4), connect(t, c.behind, at(endpoint6, 80), s6)
	k := kernel(t)
	if err := k.Sweep(t.Context(), []nft.Namespace{p.NetNS, c.NetNS}); err != nil {
		t.Fatal(err)
	}
	flow4.wantReset(t)
	flow6.wantReset(t)
	if diff := cmp.Diff(before, []string{state(t, c), state(t, p)}); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
}

// Somebody flushes every rule by hand. Nothing passes then, and a cut must say so
// instead of failing, for the answer to a reject waits for it.
func TestFlushedByHand(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	hold(t, c, endpoint4)
	k := kernel(t)
	s := serve(t, p.NetNS, first4, 8080)
	path := open(t, k, spec("ep-1", c, p, endpoint4, first4))
	connect(t, c.behind, at(endpoint4, 80), s)
	run(t, c.NetNS, "nft", "flush", "ruleset")
	run(t, p.NetNS, "nft", "flush", "ruleset")
	finish(t, path)
}

package netattach_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// If this fails, Sallyport takes away addresses that are somebody else's.
func TestHoldLeavesForeignAddresses(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	ip(t, "-n", a, "address", "add", "10.0.0.50/32", "dev", "eth0")
	ip(t, "-n", a, "address", "add", "fd00::50/128", "dev", "eth0") // being checked for duplicates
	ip(t, "-n", a, "route", "add", "local", "10.7.0.0/16", "dev", "lo")
	n, before := attach(t, a), addresses(t, a)
	for _, addr := range []string{"10.0.0.1", "fd00::1", "10.0.0.50", "fd00::50", "10.7.1.1", "127.64.1.5"} {
		release := hold(t, n, addr)
		expectAddresses(t, a, "held "+addr, before)
		release()
		expectAddresses(t, a, "released "+addr, before)
	}
	if removed, err := n.Sweep(nil); removed != 0 || err != nil {
		t.Errorf("sweep: got %d, %v, want none", removed, err)
	}
	expectAddresses(t, a, "swept", before)
}

// If this fails, the end of one endpoint takes the address away from another.
func TestHoldCounts(t *testing.T) {
	name := namespace(t)
	n := attach(t, name)
	first, second := hold(t, n, "10.0.0.9"), hold(t, n, "::ffff:10.0.0.9")
	first()
	first() // a release counts once
	expectAddresses(t, name, "held by one", "10.0.0.9/32 lo")
	if removed, err := n.Sweep(nil); removed != 0 || err != nil {
		t.Errorf("sweep: got %d, %v, want none", removed, err)
	}
	second()
	expectAddresses(t, name, "released", "")
	defer hold(t, n, "10.0.0.9")()
	expectAddresses(t, name, "held again", "10.0.0.9/32 lo")
}

// Where an address is put decides whether its network reaches it: on the wire
// where the network is on the wire, on lo where it is routed here.
func TestHoldChoosesTheInterface(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	ip(t, "-n", a, "route", "add", "default", "via", "10.0.0.2")
	ip(t, "-n", a, "route", "add", "blackhole", "10.6.0.0/16")
	ip(t, "-n", a, "link", "set", "lo", "down")
	down := func() bool { return !strings.Contains(ip(t, "-n", a, "-o", "link", "show", "lo"), ",UP") }
	n := attach(t, a)
	for _, tt := range []struct{ addr, want string }{
		{"10.0.0.9", "10.0.0.9/32 eth0"},
		{"fd00::9", "fd00::9/128 eth0"},
		{"10.5.0.9", "10.5.0.9/32 lo"}, // behind a gateway
		{"10.6.0.9", "10.6.0.9/32 lo"}, // to nowhere
		{"fd05::9", "fd05::9/128 lo"},  // without a route
	} {
		lo := strings.HasSuffix(tt.want, "lo")
		if !lo && !down() {
			t.Error("lo is up before an address is put on it")
		}
		release := hold(t, n, tt.addr)
		if got := addresses(t, a); !strings.Contains(got, tt.want) {
			t.Errorf("got %s, want %s in it", got, tt.want)
		}
		if lo && down() {
			t.Error("lo has an address and is down")
		}
		release()
	}
	chosen, err := netattach.OpenNetNSWith(a, netattach.NetNSOptions{Interface: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	defer chosen.Close()
	defer hold(t, chosen, "10.5.0.9")()
	if got := addresses(t, a); !strings.Contains(got, "10.5.0.9/32 eth0") {
		t.Errorf("interface eth0 is chosen: got %s", got)
	}
	lost, err := netattach.OpenNetNSWith(a, netattach.NetNSOptions{Interface: "eth7"})
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	_, err = lost.Hold(t.Context(), netip.MustParseAddr("10.5.0.10"))
	if want := "add address 10.5.0.10 in namespace " + a + ": there is no interface eth7"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// If this fails, a wrong address of the configuration breaks the network or is
// reported as the kernel words it.
func TestHoldRefuses(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	n := attach(t, a)
	before := addresses(t, a)
	for addr, want := range map[string]string{
		"0.0.0.0":    "0.0.0.0 cannot be an endpoint's address",
		"::":         ":: cannot be an endpoint's address",
		"224.0.0.9":  "224.0.0.9 cannot be an endpoint's address",
		"fe80::1%lo": "fe80::1%lo cannot be an endpoint's address",
		"10.0.0.255": "it is the broadcast address of a network there",
	} {
		if _, err := n.Hold(t.Context(), netip.MustParseAddr(addr)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", addr, err, want)
		}
	}
	if _, err := n.Hold(t.Context(), netip.Addr{}); err == nil {
		t.Error("no address: want an error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Hold(ctx, netip.MustParseAddr("10.0.0.9")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	expectAddresses(t, a, "refused", before)
}

// A killed process releases nothing. If this fails, its addresses answer for
// endpoints that are gone, or the next process loses those that are not.
func TestLeftAddressesAreAdoptedAndSwept(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	ip(t, "-n", a, "address", "add", "10.0.0.50/32", "dev", "eth0")
	before := addresses(t, a)
	killed, err := netattach.OpenNetNS(a)
	if err != nil {
		t.Fatal(err)
	}
	late := hold(t, killed, "10.0.0.10")
	for _, addr := range []string{"10.0.0.11", "10.0.0.12", "fd00::10", "fd00::11", "10.5.0.1"} {
		hold(t, killed, addr)
	}
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	late() // does nothing any more
	if shown := ip(t, "-n", a, "address", "show", "dev", "eth0"); !strings.Contains(shown, "10.0.0.10/32 scope global eth0:sally") {
		t.Errorf("the mark is missing:\n%s", shown)
	}

	next := attach(t, a)
	adopted4, adopted6 := hold(t, next, "10.0.0.10"), hold(t, next, "fd00::10")
	kept := netip.MustParseAddr("10.0.0.11")
	removed, err := next.Sweep(func(addr netip.Addr) bool { return addr == kept })
	if removed != 3 || err != nil { // 10.0.0.12, fd00::11, 10.5.0.1
		t.Errorf("sweep: got %d, %v, want 3", removed, err)
	}
	adopted4()
	adopted6()
	expectAddresses(t, a, "adopted and released", strings.Replace(before, "10.0.0.50/32 eth0", "10.0.0.50/32 eth0, 10.0.0.11/32 eth0", 1))
	hold(t, next, "10.0.0.11")()
	expectAddresses(t, a, "released", before)
	if removed, err := next.Sweep(nil); removed != 0 || err != nil {
		t.Errorf("second sweep: got %d, %v, want none", removed, err)
	}
}

// Someone may remove the leftovers by hand between two runs, or the interface may
// be gone at the release: neither may fail an endpoint.
func TestHoldSurvivesChangesByOthers(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	killed, err := netattach.OpenNetNS(a)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, killed, "10.0.0.9")
	hold(t, killed, "10.0.0.10")
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	n := attach(t, a)
	release := hold(t, n, "10.0.0.9") // reads what is left
	ip(t, "-n", a, "address", "del", "10.0.0.10/32", "dev", "eth0")
	defer hold(t, n, "10.0.0.10")()
	if got := addresses(t, a); !strings.Contains(got, "10.0.0.10/32 eth0") {
		t.Errorf("removed by hand: got %s", got)
	}
	ip(t, "-n", a, "link", "del", "eth0")
	release()
	defer hold(t, n, "10.0.0.9")()
	expectAddresses(t, a, "the interface is gone", "10.0.0.9/32 lo")
}

// An interface name of more than nine bytes leaves no room for the label. If this
// fails, its addresses cannot be added, or are not known again.
func TestLongInterfaceNames(t *testing.T) {
	name := namespace(t)
	ip(t, "-n", name, "link", "add", "longinterface00", "type", "veth", "peer", "name", "peer0")
	ip(t, "-n", name, "link", "set", "longinterface00", "up")
	ip(t, "-n", name, "address", "add", "10.0.0.1/24", "dev", "longinterface00")
	killed, err := netattach.OpenNetNS(name)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, killed, "10.0.0.9")
	expectAddresses(t, name, "held", "10.0.0.1/24 longinterface00, 10.0.0.9/32 longinterface00")
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := attach(t, name).Sweep(nil); removed != 1 || err != nil {
		t.Errorf("sweep: got %d, %v, want 1", removed, err)
	}
}

package nft

import (
	"errors"
	"net/netip"
	"testing"
)

// Two admissions with one transit address would share a gate: the cut of one
// would be the cut, or the opening, of the other.
func TestTransitGivesEachAddressOnce(t *testing.T) {
	for _, prefix := range []string{"192.0.2.32/28", "2001:db8::/124"} {
		tr, err := newTransit(netip.MustParsePrefix(prefix))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[netip.Addr]bool{}
		for range 7 { // of 8 the first is the network's own
			a, err := tr.admissions.take()
			if err != nil {
				t.Fatalf("%s: after %d: %v", prefix, len(seen), err)
			}
			if seen[a] || !tr.prefix.Contains(a) || tr.links.claim(a) {
				t.Errorf("%s: gave %s, taken, outside or a link's", prefix, a)
			}
			seen[a] = true
		}
		if a, err := tr.admissions.take(); !errors.Is(err, errTransitFull) {
			t.Errorf("%s: got %s, %v from a full pool, want %v", prefix, a, err, errTransitFull)
		}
		for range 4 {
			a, err := tr.links.take()
			if err != nil || seen[a] || seen[a.Next()] || !tr.prefix.Contains(a.Next()) {
				t.Errorf("%s: link pair from %s, %v", prefix, a, err)
			}
			seen[a], seen[a.Next()] = true, true
		}
		if _, err := tr.links.take(); !errors.Is(err, errTransitFull) {
			t.Errorf("%s: got %v from a full pool of links, want %v", prefix, err, errTransitFull)
		}
	}
}

// An address that was just given back may still be in flight: it must rest while
// others are free. One that two earlier owners had is free only after both.
func TestTransitReuse(t *testing.T) {
	tr, err := newTransit(netip.MustParsePrefix("192.0.2.0/27"))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := tr.admissions.take()
	tr.admissions.release(first)
	for range 14 {
		if a, err := tr.admissions.take(); err != nil || a == first {
			t.Fatalf("got %s, %v before every other address", a, err)
		}
	}
	for range 2 {
		if !tr.admissions.claim(first) {
			t.Fatal("an address of the pool is not claimed")
		}
	}
	tr.admissions.release(first)
	if a, err := tr.admissions.take(); err == nil {
		t.Errorf("got %s, which is still claimed", a)
	}
	tr.admissions.release(first)
	if a, err := tr.admissions.take(); err != nil || a != first {
		t.Errorf("got %s, %v, want %s", a, err, first)
	}
}

// A prefix without room would give out addresses of its neighbour.
func TestTransitRefusesSmallPrefix(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("192.0.2.0/29"), netip.MustParsePrefix("2001:db8::/126")} {
		if _, err := newTransit(p); err == nil {
			t.Errorf("%s: got no error", p)
		}
	}
}

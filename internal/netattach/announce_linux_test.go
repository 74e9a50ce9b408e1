package netattach_test

import (
	"strings"
	"testing"
	"time"
)

// A client has asked for an address that is not there yet, and what it knows of it is
// wrong. If this fails, it does not hear when the address comes, and its connection can
// fail seconds after it could be made.
func TestHoldAnnounces(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	_, mac, _ := strings.Cut(ip(t, "-n", a, "-o", "link", "show", "eth0"), "link/ether ")
	mac, _, _ = strings.Cut(mac, " ")
	n := attach(t, a)
	for _, addr := range []string{"10.0.0.9", "fd00::9"} {
		ip(t, "-n", b, "neigh", "add", addr, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale")
		// A cable carries nothing for a moment after it was made, so it is held again.
		for deadline := time.Now().Add(10 * time.Second); ; {
			hold(t, n, addr)()
			got := ip(t, "-n", b, "neigh", "show", addr, "dev", "eth0")
			if strings.Contains(got, mac) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %s, want the address of the interface, %s", addr, got, mac)
			}
		}
	}
}

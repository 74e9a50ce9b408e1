package lab_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every VPC has the same network, and the first machine of each has the same
// address: that of a consumer's client is that of the provider's backend.
const (
	routerIP  = "10.0.0.1"
	routerIP6 = "fd00:10::1"
	firstIP   = "10.0.0.10"
	firstIP6  = "fd00:10::10"
	secondIP  = "10.0.0.12" // the provider's only
	secondIP6 = "fd00:10::12"
	dnsIP     = "10.0.0.2" // where each consumer's DNS server listens
)

// vpc is a network with its machines. The namespace of the VPC itself is the
// router: the gateway of the machines, and where Sallyport is attached.
type vpc struct {
	router *machine
	first  *machine
	second *machine // of the provider only
}

// world is the three VPCs.
type world struct {
	a, b, p *vpc
	before  map[string]map[string]string // of each router, by what it is
}

// newWorld makes the VPCs for the time of the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	needRoot(t)
	run := "spt-lab-" + strings.ToLower(rand.Text()[:8])
	w := &world{a: newVPC(t, run+"-a", true), b: newVPC(t, run+"-b", false), p: newVPC(t, run+"-p", true)}
	w.p.second = newMachine(t, run+"-p2")
	w.p.join(t, w.p.second, "2", secondIP, secondIP6)
	w.before = w.traces(t)
	return w
}

// newVPC makes a VPC with one machine. With filtered, what crosses its bridge meets
// the rules and the tracking of IP, as on every machine that has br_netfilter for its
// containers; rules there see other packets than those that are routed.
func newVPC(t *testing.T, name string, filtered bool) *vpc {
	t.Helper()
	v := &vpc{router: newMachine(t, name), first: newMachine(t, name+"1")}
	if _, err := os.Stat("/proc/sys/net/bridge"); err == nil {
		for _, setting := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
			v.router.write(t, "/proc/sys/net/bridge/"+setting, map[bool]string{false: "0", true: "1"}[filtered])
		}
	}
	v.router.ip(
		t,
		"link add br0 type bridge",
		"link set br0 up",
		"address add "+routerIP+"/24 dev br0",
		"address add "+routerIP6+"/64 dev br0 nodad",
	)
	v.join(t, v.first, "1", firstIP, firstIP6)
	return v
}

// join puts a machine on the VPC's network, with the router as its gateway.
func (v *vpc) join(t *testing.T, m *machine, port, addr, addr6 string) {
	t.Helper()
	v.router.ip(
		t,
		fmt.Sprintf("link add port%s type veth peer name eth0 netns %s", port, m.name),
		fmt.Sprintf("link set port%s master br0 up", port),
	)
	m.ip(
		t,
		"address add "+addr+"/24 dev eth0",
		"address add "+addr6+"/64 dev eth0 nodad",
		"link set eth0 up",
		"route add default via "+routerIP,
		"route add default via "+routerIP6,
	)
}

// traces returns what is in the routers, the only ones that Sallyport may change.
func (w *world) traces(t *testing.T) map[string]map[string]string {
	t.Helper()
	return map[string]map[string]string{
		"A": w.a.router.trace(t), "A's machine": w.a.first.trace(t), "B": w.b.router.trace(t), "P": w.p.router.trace(t),
		"P's first machine": w.p.first.trace(t), "P's second machine": w.p.second.trace(t),
	}
}

// mustBeAsBefore wants everything as it was when the world was made.
func (w *world) mustBeAsBefore(t *testing.T) {
	t.Helper()
	after := w.traces(t)
	for who, want := range w.before {
		for what, text := range want {
			if diff := cmp.Diff(strings.Split(text, "\n"), strings.Split(after[who][what], "\n")); diff != "" {
				t.Errorf("the %s of %s are not as before (-before +after):\n%s", what, who, diff)
			}
		}
	}
}

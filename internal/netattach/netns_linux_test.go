package netattach_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// If this fails, a name from the configuration reaches files outside the
// namespaces' directory, or an operator is not told what to do about a missing one.
func TestOpenNetNSRefusesNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"", "a namespace needs a name"},
		{"..", `namespace name ".." is neither a name of ip netns nor an absolute path`},
		{".", `namespace name "." is neither`},
		{"../../proc/1/ns/net", "is neither a name of ip netns nor an absolute path"},
		{"a/b", `namespace name "a/b" is neither`},
		{"red\x00", `namespace name "red\x00" contains a zero byte`},
		{strings.Repeat("n", 256), "a namespace name has 256 bytes, more than 255"},
		{"/run/netns/../red", `is not in its shortest form, which is "/run/red"`},
		{"/run/netns/", "is not in its shortest form"},
		{"/" + strings.Repeat("n", 4095), "the path of a namespace has 4096 bytes, more than 4095"},
		{"spt-nowhere", "there is no namespace spt-nowhere in /run/netns or /var/run/netns (ip netns add spt-nowhere makes one): no such file"},
		{"/run/netns/spt-nowhere", "there is no namespace file /run/netns/spt-nowhere: no such file"},
		{file, file + " is a file but not a network namespace"},
		{"/proc/self/ns/uts", "/proc/self/ns/uts is a file but not a network namespace"},
	} {
		n, err := netattach.OpenNetNS(tt.name)
		if err == nil {
			n.Close()
			t.Errorf("%q: got a namespace", tt.name)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %q, want %q", tt.name, err, tt.want)
		}
	}
}

// If this fails, doctor says that privileges are there which are not, or hides
// which are used.
func TestPrivileges(t *testing.T) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "CapEff:\t")
	all := strings.Trim(after[:16], "0") != "" && strings.HasSuffix(after[:16], "ffffffff")
	var names []string
	for _, p := range netattach.Privileges() {
		names = append(names, p.Name)
		if all && !p.Have {
			t.Errorf("%s is there and said not to be", p.Name)
		}
		if p.For == "" {
			t.Errorf("%s has no use", p.Name)
		}
	}
	if got, want := strings.Join(names, " "), "CAP_SYS_ADMIN CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// If this fails, whoever runs without a privilege sees "operation not permitted"
// and not which capability is missing.
func TestMissingPrivilegesAreNamed(t *testing.T) {
	const variable = "SPT_NAMESPACE"
	if name := os.Getenv(variable); name != "" {
		without(t, name)
		return
	}
	name := namespace(t)
	for _, missing := range []string{"sys_admin", "net_admin"} {
		cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-"+missing, os.Args[0], "-test.run=^TestMissingPrivilegesAreNamed$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"="+name)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "lacks CAP_"+strings.ToUpper(missing)) {
			t.Errorf("without %s: %v\n%s", missing, err, out)
		}
	}
}

// without is the part of TestMissingPrivilegesAreNamed that lacks one of them.
func without(t *testing.T, name string) {
	t.Helper()
	for _, p := range netattach.Privileges() {
		if !p.Have {
			t.Logf("lacks %s", p.Name)
		}
	}
	n, err := netattach.OpenNetNS(name)
	if err != nil {
		if want := "enter namespace " + name + ": the capability CAP_SYS_ADMIN is missing: operation not permitted"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		return
	}
	defer n.Close()
	_, err = n.Hold(t.Context(), netip.MustParseAddr("10.0.0.9"))
	if want := "add address 10.0.0.9 in namespace " + name + ": the capability CAP_NET_ADMIN is missing"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// An endpoint is this: an address that was not there, reachable from the other
// machines of its network, and from nowhere once it is released.
func TestTwoNamespacesOnOneWire(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	client, endpoint := attach(t, a), attach(t, b)
	for _, tt := range []struct{ addr, client, own, prefix string }{
		{"10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.9/32"},
		{"fd00::9", "fd00::1", "fd00::2", "fd00::9/128"},
	} {
		before := addresses(t, b)
		_, err := endpoint.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 8080))
		if want := "address " + tt.addr + " is not in namespace " + b; err == nil || err.Error() != want || !netattach.IsUnbindable(err) {
			t.Errorf("got %v, want %q", err, want)
		}
		release := hold(t, endpoint, tt.addr)
		if got := addresses(t, b); !strings.Contains(got, tt.prefix+" eth0") {
			t.Errorf("held %s: got %s", tt.addr, got)
		}
		at := greeter(t, endpoint, tt.addr, 0, "endpoint")
		if word, from := greeting(t, client, at); word != "endpoint" || from.String() != tt.client {
			t.Errorf("got %q from %v, want it from %s", word, from, tt.client)
		}
		// A held address is not the namespace's own: what lives there goes on using its.
		if _, from := greeting(t, endpoint, greeter(t, client, tt.client, 0, "client")); from.String() != tt.own {
			t.Errorf("the endpoint's namespace speaks from %v, want %s", from, tt.own)
		}
		taken, err := endpoint.Listen(t.Context(), at)
		if want := "address " + at.String() + " is already in use in namespace " + b; err == nil || err.Error() != want {
			t.Errorf("got %v, %v, want %q", taken, err, want)
		}
		release()
		expectAddresses(t, b, "released", before)
	}
	if c, err := client.Dial(t.Context(), netip.MustParseAddrPort("10.0.0.2:9")); !errors.Is(err, unix.ECONNREFUSED) || !strings.HasPrefix(err.Error(), "in namespace "+a+": dial tcp4 10.0.0.2:9: ") {
		t.Errorf("nobody listens: got %v, %v", c, err)
	}
}

// If this fails, two customers who both chose 10.0.0.0/24 reach each other.
func TestIdenticalRangesStayApart(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.1:8080")
	var nets []*netattach.NetNS
	for _, word := range []string{"red", "blue", ""} {
		n := attach(t, namespace(t))
		nets = append(nets, n)
		release := hold(t, n, "10.0.0.1")
		defer release()
		if word != "" {
			greeter(t, n, "10.0.0.1", addr.Port(), word)
		}
	}
	for i, want := range []string{"red", "blue"} {
		if got, _ := greeting(t, nets[i], addr); got != want {
			t.Errorf("in %s: got %q, want %q", nets[i], got, want)
		}
	}
	if c, err := nets[2].Dial(t.Context(), addr); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the third has no listener: got %v, %v", c, err)
	}
}

// If this fails, UDP endpoints live in the wrong network.
func TestListenPacketInNamespace(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	for _, pair := range [][2]string{{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}} {
		var conns [2]*net.UDPConn
		for i, n := range []*netattach.NetNS{attach(t, a), attach(t, b)} {
			c, err := n.ListenPacket(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(pair[i]), 0))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns[i] = c
		}
		to := conns[1].LocalAddr().(*net.UDPAddr).AddrPort()
		if _, err := conns[0].WriteToUDPAddrPort([]byte("knock"), to); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		n, from, err := conns[1].ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "knock" || from.Addr().String() != pair[0] {
			t.Errorf("got %q from %v, %v, want knock from %s", buf[:n], from, err, pair[0])
		}
	}
}

// If this fails, a cut hangs on a dial to a backend that does not answer.
func TestDialInNamespaceHonoursContext(t *testing.T) {
	a, b := namespace(t), namespace(t)
	cable(t, a, b)
	// Nobody has this hardware address, so what is sent there is never answered.
	ip(t, "-n", a, "neighbour", "add", "10.0.0.77", "lladdr", "02:00:00:00:00:77", "dev", "eth0")
	n, silent := attach(t, a), netip.MustParseAddrPort("10.0.0.77:80")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if c, err := n.Dial(ctx, silent); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: got %v, %v", c, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
	if c, err := n.Dial(ctx, silent); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, %v", c, err)
	}
	if c, err := n.Dial(ctx, silent); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got %v, %v", c, err)
	}
	if ln, err := n.Listen(ctx, netip.MustParseAddrPort("10.0.0.1:0")); !errors.Is(err, context.Canceled) {
		t.Errorf("listen: got %v, %v", ln, err)
	}
	for _, addr := range []netip.AddrPort{{}, netip.MustParseAddrPort("[fe80::1%eth0]:80")} {
		if c, err := n.Dial(t.Context(), addr); err == nil {
			t.Errorf("dial %v: got %v", addr, c)
		}
		if ln, err := n.Listen(t.Context(), addr); err == nil {
			t.Errorf("listen %v: got %v", addr, ln)
		}
	}
}

// netNamespace returns what identifies the namespace of the calling thread.
func netNamespace(t *testing.T) string {
	t.Helper()
	link, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// If this fails, code of the host runs on a thread that is still in a customer's
// network.
func TestDoComesHome(t *testing.T) {
	n := attach(t, namespace(t))
	own, wrong := netNamespace(t), errors.New("wrong")
	for range 20 {
		var inside string
		if err := n.Do(func() error { inside = netNamespace(t); return wrong }); !errors.Is(err, wrong) {
			t.Fatalf("got %v, want %v", err, wrong)
		}
		if inside == own {
			t.Fatal("the function ran at home")
		}
		if got := netNamespace(t); got != own {
			t.Fatalf("the caller is in %s, want %s", got, own)
		}
	}
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that ended its goroutine counts as done")
	}
	if n.FD() < 0 || n.String() != "namespace "+n.Name() {
		t.Errorf("got %d, %q", n.FD(), n)
	}
}

// If this fails, the fast paths make their sockets in the network of another
// customer.
func TestThreadEntersNetworks(t *testing.T) {
	red, blue := namespace(t), namespace(t)
	nets := []netattach.Network{netattach.Host(), attach(t, red), attach(t, red), attach(t, blue), netattach.Host()}
	visited := make(chan []string)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		defer close(visited)
		thread, err := netattach.NewThread()
		if err != nil {
			t.Error(err)
			return
		}
		defer thread.Close()
		var list []string
		for _, n := range nets {
			if err := thread.Enter(n); err != nil {
				t.Error(err)
				return
			}
			link, _ := os.Readlink("/proc/thread-self/ns/net")
			list = append(list, link)
		}
		// A closed namespace gives its descriptor to the next one opened.
		first, err := netattach.OpenNetNS(red)
		if err != nil {
			t.Error(err)
			return
		}
		err = errors.Join(thread.Enter(first), first.Close())
		second, err2 := netattach.OpenNetNS(blue)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(thread.Enter(second), second.Close()); err != nil {
			t.Error(err)
		}
		link, _ := os.Readlink("/proc/thread-self/ns/net")
		visited <- append(list, link)
	}()
	got := <-visited
	if len(got) != 6 || got[0] != got[4] || got[1] != got[2] || got[1] == got[0] || got[3] == got[0] || got[3] == got[1] || got[5] != got[3] {
		t.Errorf("host, red, red, blue, host, blue: got %v", got)
	}
}

// If this fails, two Sallyports remove each other's addresses, or a crashed one
// locks out the next.
func TestLockExcludes(t *testing.T) {
	name := namespace(t)
	first, second, other := attach(t, name), attach(t, name), attach(t, namespace(t))
	for _, n := range []*netattach.NetNS{first, first, other} {
		if err := n.Lock(); err != nil {
			t.Fatal(err)
		}
	}
	err := second.Lock()
	if want := "namespace " + name + " is attached by another Sallyport already"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if err := second.Lock(); err != nil {
		t.Errorf("after the first closed: got %v", err)
	}
}

// If this fails, deleting the name of a namespace breaks endpoints that carry, or
// a new one under the name is taken for the old.
func TestDeletedNamespaceGoesOn(t *testing.T) {
	name := namespace(t)
	n := attach(t, name)
	defer hold(t, n, "10.0.0.9")()
	at := greeter(t, n, "10.0.0.9", 0, "still here")
	ip(t, "netns", "del", name)
	if got, _ := greeting(t, n, at); got != "still here" {
		t.Errorf("got %q", got)
	}
	if n.Replaced() {
		t.Error("a deleted namespace counts as replaced")
	}
	ip(t, "netns", "add", name)
	if !n.Replaced() {
		t.Error("the namespace made again counts as the same")
	}
	if again := attach(t, name); again.Replaced() {
		t.Error("a new attachment counts as replaced")
	}
}

// Every socket of package net's own has keep-alive on, and one made by hand must
// too: without it a dead client is held for ever.
func TestNamespaceConnectionsKeepAlive(t *testing.T) {
	n := attach(t, namespace(t))
	defer hold(t, n, "10.0.0.9")()
	ln, err := n.Listen(t.Context(), netip.MustParseAddrPort("10.0.0.9:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := n.Dial(t.Context(), ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for name, c := range map[string]syscall.Conn{"dialled": out, "accepted": in} {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			for option, want := range map[string][3]int{
				"keep-alive": {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				"no delay":   {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				"protocol":   {unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP},
			} {
				if got, err := unix.GetsockoptInt(int(fd), want[0], want[1]); err != nil || got != want[2] {
					t.Errorf("%s: %s is %d, %v, want %d", name, option, got, err, want[2])
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

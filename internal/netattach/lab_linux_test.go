package netattach_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRoot skips a test that makes namespaces where it may not.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if os.Getenv("CI") != "" {
		t.Skip("network namespaces are not made in CI")
	}
}

// ip runs the ip command and returns its output.
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// namespace makes a namespace of the test's own, with lo down and no addresses.
func namespace(t *testing.T) string {
	t.Helper()
	needRoot(t)
	name := "spt-netattach-" + strings.ToLower(rand.Text()[:8])
	ip(t, "netns", "add", name)
	t.Cleanup(func() {
		// The test's context has ended; a test may have deleted it itself.
		_ = exec.Command("ip", "netns", "del", name).Run()
	})
	return name
}

// cable joins eth0 of a to eth0 of b, as 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2.
func cable(t *testing.T, a, b string) {
	t.Helper()
	ip(t, "-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b)
	for i, name := range []string{a, b} {
		ip(t, "-n", name, "address", "add", fmt.Sprintf("10.0.0.%d/24", i+1), "dev", "eth0")
		ip(t, "-n", name, "address", "add", fmt.Sprintf("fd00::%d/64", i+1), "dev", "eth0", "nodad")
		ip(t, "-n", name, "link", "set", "lo", "up")
		ip(t, "-n", name, "link", "set", "eth0", "up")
	}
}

// attach opens a namespace for the time of the test.
func attach(t *testing.T, name string) *netattach.NetNS {
	t.Helper()
	n, err := netattach.OpenNetNS(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// hold holds an address for the time of the test or until it is released.
func hold(t *testing.T, n netattach.Network, addr string) (release func()) {
	t.Helper()
	release, err := n.Hold(t.Context(), netip.MustParseAddr(addr))
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// greeter listens on addr and port, any free one for 0, and says its word to
// whoever comes.
func greeter(t *testing.T, n netattach.Network, addr string, port uint16, word string) netip.AddrPort {
	t.Helper()
	ln, err := n.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(addr), port))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, word)
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// greeting dials and returns the word and the address that it was dialled from.
func greeting(t *testing.T, n netattach.Network, addr netip.AddrPort) (word string, from netip.Addr) {
	t.Helper()
	c, err := n.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), c.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
}

// addresses returns every address of a namespace with its length and interface.
func addresses(t *testing.T, name string) string {
	t.Helper()
	var list []string
	for line := range strings.Lines(ip(t, "-n", name, "-o", "address", "show")) {
		f := strings.Fields(line)
		if addr := netip.MustParsePrefix(f[3]).Addr(); !addr.IsLinkLocalUnicast() && !addr.IsLoopback() {
			list = append(list, f[3]+" "+f[1])
		}
	}
	return strings.Join(list, ", ")
}

// expectAddresses compares the addresses of a namespace with what they should be.
func expectAddresses(t *testing.T, name, when, want string) {
	t.Helper()
	if got := addresses(t, name); got != want {
		t.Errorf("%s: got addresses %q, want %q", when, got, want)
	}
}

//go:build linux && !portable

package forward_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// namespace makes a network namespace of the test's own, with an address.
func namespace(t *testing.T, addr string) *netattach.NetNS {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("CI") != "" {
		t.Skip("namespaces need root, and no CI")
	}
	name := fmt.Sprintf("spt-forward-%08x", rand.Uint32())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("delete namespace %s: %v: %s", name, err, out)
		}
	})
	ip("-n", name, "link", "set", "lo", "up")
	ip("-n", name, "addr", "add", addr, "dev", "lo")
	n, err := netattach.OpenNetNS(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// answerIn answers, in the network, every connection to port 80 and every datagram to
// port 53 with a word.
func answerIn(t *testing.T, n netattach.Network, at netip.Addr, word string) {
	t.Helper()
	ln, err := n.Listen(t.Context(), netip.AddrPortFrom(at, 80))
	if err != nil {
		t.Fatal(err)
	}
	udp, err := n.ListenPacket(t.Context(), netip.AddrPortFrom(at, 53))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			io.WriteString(c, word)
			c.Close()
		}
	})
	wg.Go(func() {
		for {
			_, from, err := udp.ReadFromUDPAddrPort(make([]byte, 10))
			if err != nil {
				return
			}
			udp.WriteToUDPAddrPort([]byte(word), from)
		}
	})
	t.Cleanup(func() { ln.Close(); udp.Close(); wg.Wait() })
}

// askIn asks an endpoint in the network and expects the word, by TCP and by UDP.
func askIn(t *testing.T, n netattach.Network, at netip.AddrPort, word string) {
	t.Helper()
	c, err := n.Dial(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(c); err != nil || string(got) != word {
		t.Errorf("TCP: got %q, %v, want %q", got, err, word)
	}
	u, err := n.ListenPacket(t.Context(), netip.AddrPortFrom(at.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetDeadline(time.Now().Add(patience))
	u.WriteToUDPAddrPort([]byte("who?"), at)
	buf := make([]byte, 100)
	size, from, err := u.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:size]) != word || from != at {
		t.Errorf("UDP: got %q from %v, %v, want %q from %v", buf[:size], from, err, word, at)
	}
}

// Consumers and providers may all have the same addresses; what is said in one network
// must be heard in the right one of the others, by TCP and by UDP, however the flows of
// different endpoints take turns on one loop.
func TestNamespacesWithTheSameAddresses(t *testing.T) {
	const pairs, rounds = 2, 20
	e := newEngine(t, forward.Options{Loops: 1})
	here := netip.MustParseAddr("10.0.0.1")
	var consumers [pairs]netattach.Network
	word := func(i int) string { return fmt.Sprintf("provider %d", i) }
	for i := range consumers {
		consumer, provider := namespace(t, "10.0.0.1/24"), namespace(t, "10.0.0.1/24")
		consumers[i] = consumer
		answerIn(t, provider, here, word(i))
		f, err := e.Open(t.Context(), forward.Spec{
			EndpointID: word(i), Address: here, Backends: []netip.Addr{here}, Listen: consumer, Dial: provider,
			Mappings: []forward.Mapping{{ClientPort: 443, ServerPort: 80}, {UDP: true, ClientPort: 443, ServerPort: 53}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Cut() })
	}
	for range rounds {
		for i, n := range consumers {
			askIn(t, n, netip.AddrPortFrom(here, 443), word(i))
		}
	}
}

package nft_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// bridged puts a bridge in front of the machine behind a namespace. What crosses it
// meets the rules of IP, as on every machine with br_netfilter.
func bridged(tb testing.TB, n *network) {
	tb.Helper()
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		err := n.Do(func() error { return os.WriteFile("/proc/sys/net/bridge/"+name, []byte("1"), 0) })
		if os.IsNotExist(err) {
			tb.Skip("the kernel has no br_netfilter loaded")
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	ip(tb, "-n", n.Name(), "link", "add", "br0", "type", "bridge")
	ip(tb, "-n", n.Name(), "link", "set", "br0", "addrgenmode", "none")
	ip(tb, "-n", n.Name(), "address", "flush", "dev", "eth0")
	ip(tb, "-n", n.Name(), "link", "set", "eth0", "master", "br0")
	ip(tb, "-n", n.Name(), "link", "set", "br0", "up")
	ip(tb, "-n", n.Name(), "address", "add", first4.String()+"/24", "dev", "br0")
	ip(tb, "-n", n.Name(), "address", "add", first6.String()+"/64", "dev", "br0", "nodad")
}

// heard returns the sources of the TCP packets that have come to an address since.
func heard(tb testing.TB, n *network, addr netip.Addr) func() map[string]bool {
	tb.Helper()
	var raw net.PacketConn
	err := n.behind.Do(func() (err error) {
		raw, err = net.ListenPacket("ip:tcp", addr.String())
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { raw.Close() })
	return func() map[string]bool {
		from := map[string]bool{}
		_ = raw.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // all is there already
		for {
			_, source, err := raw.ReadFrom(make([]byte, 1<<16))
			if err != nil {
				return from
			}
			from[source.String()] = true
		}
	}
}

// Behind a bridge whose packets meet the rules, a reset leaves as it was made and is
// not translated any more. If this fails, a client there is never told of a cut, or
// the transit range shows on its network, or on the backend's.
func TestCutsBehindBridges(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	bridged(t, c)
	bridged(t, p)
	hold(t, c, endpoint4)
	hold(t, c, endpoint6)
	k := kernel(t)
	for _, tt := range []struct{ endpoint, backend, client, source netip.Addr }{
		{endpoint4, second4, second4, first4}, {endpoint6, second6, second6, first6},
	} {
		t.Run(tt.endpoint.String(), func(t *testing.T) {
			s := serve(t, p.behind, tt.backend, 8080)
			atClient, atBackend := heard(t, c, tt.client), heard(t, p, tt.backend)
			path := open(t, k, spec("ep-1", c, p, tt.endpoint, tt.backend))
			idle, inside := connect(t, c.behind, at(tt.endpoint, 80), s), connect(t, c.NetNS, at(tt.endpoint, 80), s)
			busy := connect(t, c.behind, at(tt.endpoint, 80), s)
			up, down := pump(busy.client), pump(busy.backend)
			if n := finish(t, path); n != 3 {
				t.Errorf("ended %d flows, want 3", n)
			}
			idle.wantReset(t)
			inside.wantReset(t)
			for name, done := range map[string]<-chan error{"client": up, "backend": down} {
				if err := <-done; err == nil {
					t.Errorf("a busy %s ended without an error", name)
				}
			}
			wantRefused(t, c.behind, at(tt.endpoint, 80))
			if from := atClient(); len(from) != 1 || !from[tt.endpoint.String()] {
				t.Errorf("the client heard %v, want the endpoint alone", from)
			}
			if from := atBackend(); len(from) != 1 || !from[tt.source.String()] {
				t.Errorf("the backend heard %v, want the provider's network alone", from)
			}
		})
	}
}

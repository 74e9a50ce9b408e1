package nft_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// Clients with a port of their own that tried before the endpoint was open, or before it
// had the port: connection tracking remembers what they sent. If this fails, they are
// refused for as long as they go on trying, while everybody else is let in.
func TestEarlyClients(t *testing.T) {
	c, p := newNetwork(t), newNetwork(t)
	k := kernel(t)
	for _, tt := range []struct{ endpoint, backend, inside, behind netip.Addr }{
		{endpoint4, second4, first4, second4}, {endpoint6, first6, first6, second6},
	} {
		hold(t, c, tt.endpoint)
		in := p.NetNS
		if tt.backend == second4 {
			in = p.behind
		}
		echo(t, in, at(tt.backend, 8080))
		sockets := map[string]*net.UDPConn{}
		for name, from := range map[string]struct {
			*netattach.NetNS
			addr netip.Addr
		}{"inside": {c.NetNS, tt.inside}, "behind": {c.behind, tt.behind}} {
			conn, err := from.ListenPacket(t.Context(), at(from.addr, 5353))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			sockets[name] = conn
		}
		early := func(port uint16) {
			t.Helper()
			for name, conn := range sockets {
				if n, err := ask(conn, at(tt.endpoint, port), 1, 10*time.Millisecond); err == nil {
					t.Errorf("client %s: got %d bytes before port %d is open", name, n, port)
				}
			}
		}
		late := func(port uint16) {
			t.Helper()
			for name, conn := range sockets {
				if _, err := ask(conn, at(tt.endpoint, port), 1, patience); err != nil {
					t.Errorf("client %s, which has tried port %d before: %v", name, port, err)
				}
			}
		}
		early(80)
		sp := spec("ep-"+tt.endpoint.String(), c, p, tt.endpoint, tt.backend)
		path := open(t, k, sp)
		late(80)
		early(81)
		sp.Mappings = append(sp.Mappings, nft.Mapping{UDP: true, ClientPort: 81, ServerPort: 8080})
		if err := path.Update(t.Context(), sp); err != nil {
			t.Fatal(err)
		}
		late(81)
		late(80)
	}
}

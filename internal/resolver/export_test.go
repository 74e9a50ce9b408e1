package resolver

import (
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// MaxConns is maxConns.
const MaxConns = maxConns

// SetIdle replaces idleTimeout for the servers of r.
func (r *Resolver) SetIdle(d time.Duration) { r.idle = d }

// Reply answers a message as a server of the network does, without sockets.
func (r *Resolver) Reply(network netattach.Network, self netip.AddrPort, query []byte, stream bool) []byte {
	return (&Server{resolver: r, network: network, addr: self}).reply(query, stream)
}

package forward

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"
)

// The types of our two TLVs, from the range that the PROXY protocol leaves to
// applications (0xE0 to 0xEF). They avoid 0xE0, 0xEA and 0xEE, which clouds use
// for ids of their own. docs/proxy-protocol.md publishes them: they never change.
const (
	// TLVEndpointID holds the endpoint's id as text.
	TLVEndpointID = 0xE5
	// TLVMarker holds the endpoint's marker_id, four bytes, big endian.
	TLVMarker = 0xE6
)

// writeProxyHeader writes the header that tells the backend who connects, in one
// write. The destination is the endpoint, not the backend: that is what the client
// connected to.
func writeProxyHeader(w io.Writer, spec *Spec, clientPort uint16, source netip.AddrPort) error {
	h := proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(source),
		net.TCPAddrFromAddrPort(netip.AddrPortFrom(spec.Address, clientPort)))
	err := h.SetTLVs([]proxyproto.TLV{
		{Type: TLVEndpointID, Value: []byte(spec.EndpointID)},
		{Type: TLVMarker, Value: binary.BigEndian.AppendUint32(nil, uint32(spec.Marker))},
	})
	if err != nil {
		return err
	}
	_, err = h.WriteTo(w)
	return err
}

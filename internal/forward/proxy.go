package forward

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// The types of our own TLVs, from the range that the PROXY protocol leaves to
// applications (0xE0 to 0xEF). They avoid 0xE0, 0xEA and 0xEE, which clouds use
// for ids of their own. docs/proxy-protocol.md publishes them: they never change.
const (
	// TLVEndpointID holds the endpoint's id as text.
	TLVEndpointID = 0xE5
	// TLVMarker holds the endpoint's marker_id, four bytes, big endian.
	TLVMarker = 0xE6
	// TLVNetworkID holds the id of the consumer's network as text.
	TLVNetworkID = 0xE7
)

// The types and subtypes of others: the first two are of the PROXY protocol itself,
// the rest of the clouds named by the constants (docs/proxy-protocol.md cites them).
const (
	tlvAuthority   = 0x02
	tlvUniqueID    = 0x05
	tlvAWS         = 0xEA
	subAWSEndpoint = 0x01
	tlvAzure       = 0xEE
	subAzureLinkID = 0x01
	tlvGCP         = 0xE0
)

// defaultTLVs is what a header carries that asks for nothing else.
var defaultTLVs = []string{"sallyport"}

// tlvs appends the fields that a name stands for.
var tlvs = map[string]func(b []byte, s *Spec) []byte{
	"sallyport": func(b []byte, s *Spec) []byte {
		b = appendTLV(b, TLVEndpointID, s.EndpointID)
		return appendTLV(b, TLVMarker, string(binary.BigEndian.AppendUint32(nil, uint32(s.Marker))))
	},
	"aws": func(b []byte, s *Spec) []byte {
		return appendTLV(b, tlvAWS, string(rune(subAWSEndpoint))+s.EndpointID)
	},
	"azure": func(b []byte, s *Spec) []byte {
		return appendTLV(b, tlvAzure, string(binary.LittleEndian.AppendUint32([]byte{subAzureLinkID}, uint32(s.Marker))))
	},
	"gcp": func(b []byte, s *Spec) []byte {
		return appendTLV(b, tlvGCP, string(binary.BigEndian.AppendUint64(nil, uint64(uint32(s.Marker)))))
	},
	"unique_id": func(b []byte, s *Spec) []byte { return appendTLV(b, tlvUniqueID, s.EndpointID) },
	"authority": func(b []byte, s *Spec) []byte { return appendTLV(b, tlvAuthority, "vpcep-"+s.EndpointID) },
}

// checkTLVs says which name is unknown or there twice. So there are at most as many
// as names exist, and the header fits into a packet.
func checkTLVs(names []string) error {
	for i, n := range names {
		if tlvs[n] == nil {
			return fmt.Errorf("the PROXY header field %q is unknown", n)
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("the PROXY header field %q is asked for twice", n)
		}
	}
	return nil
}

// appendTLV appends one field. No value is longer than an id and a few bytes.
func appendTLV(b []byte, kind byte, value string) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// The fixed parts of a header of version 2 (PROXY protocol, 2.2).
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyCommand   = 0x21 // version 2, PROXY
	proxyTCP4      = 0x11
	proxyTCP6      = 0x21
)

// proxyTail is the end of the header, which is the same for every connection of a
// spec: the fields. It is nil where there is no header.
func proxyTail(s *Spec) []byte {
	if s.Proxy == ProxyOff {
		return nil
	}
	names := s.TLVs
	if len(names) == 0 {
		names = defaultTLVs
	}
	tail := []byte{}
	for _, n := range names {
		tail = tlvs[n](tail, s)
	}
	if s.NetworkID != "" {
		tail = appendTLV(tail, TLVNetworkID, s.NetworkID)
	}
	return tail
}

// appendProxyHeader appends the header that tells the backend who connects. The
// destination is the endpoint, not the backend: that is what the client connected
// to. Both addresses are of one family, as those of one connection are.
func appendProxyHeader(b []byte, source, dest netip.AddrPort, tail []byte) []byte {
	b = append(b, proxySignature...)
	from, to := source.Addr().AsSlice(), dest.Addr().AsSlice()
	family := byte(proxyTCP4)
	if len(from) == 16 {
		family = proxyTCP6
	}
	b = append(b, proxyCommand, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(from)+len(to)+4+len(tail)))
	b = append(append(b, from...), to...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	b = binary.BigEndian.AppendUint16(b, dest.Port())
	return append(b, tail...)
}

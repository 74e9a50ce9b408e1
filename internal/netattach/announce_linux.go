package netattach

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A client that asked for an address just before it was there waits for an answer to a
// question that it repeats once a second and gives up after three (arp(7), RFC 4861
// section 7.2.2). What follows tells it, so that it need not give up just after the
// address came.

// The broadcast address of Ethernet, and that of the IPv6 group of all nodes (RFC 2464
// section 7).
var (
	broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodesMAC  = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	allNodes     = netip.MustParseAddr("ff02::1")
)

// announce tells the network of an interface that addr is there. It is a courtesy to
// who asked already, so nothing comes of an error: without CAP_NET_RAW, or on an
// interface that is not of Ethernet, they go on asking.
func (n *NetNS) announce(addr netip.Addr, index int) {
	link, err := n.addrs.kernel.handle.LinkByIndex(index)
	if err != nil {
		return
	}
	mac := link.Attrs().HardwareAddr
	if link.Attrs().EncapType != "ether" || len(mac) != len(broadcastMAC) {
		return
	}
	packet, protocol, to := announcement4(addr, mac), uint16(unix.ETH_P_ARP), broadcastMAC
	if addr.Is6() {
		packet, protocol, to = announcement6(addr, mac), unix.ETH_P_IPV6, allNodesMAC
	}
	wire := unix.SockaddrLinklayer{Ifindex: index, Halen: uint8(len(to))}
	wire.Protocol = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
	copy(wire.Addr[:], to)
	_ = n.Do(func() error {
		// Protocol 0 receives nothing.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Sendto(fd, packet, 0, &wire)
	})
}

// announcement4 is an ARP announcement (RFC 5227 section 2.3): a request for the address
// from the address. Hosts take a request as they take an answer, and only those change
// anything that have asked (RFC 826).
func announcement4(addr netip.Addr, mac net.HardwareAddr) []byte {
	b := []byte{0, 1 /* Ethernet */, 8, 0 /* IPv4 */, 6, 4, 0, 1 /* request */}
	b = append(append(b, mac...), addr.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, addr.AsSlice()...)
}

// The sizes and numbers of an unsolicited neighbour advertisement.
const (
	ipv6Header     = 40
	icmpv6         = 58
	neighbourHops  = 255 // others are taken for forged
	advertisement  = 136
	overrideFlag   = 0x20
	targetMAC      = 2 // the option with the target's link-layer address
	checksumAt     = 2
	advertisedSize = 32
)

// announcement6 is an IPv6 packet with an unsolicited neighbour advertisement (RFC 4861
// section 7.2.6) to all nodes.
func announcement6(addr netip.Addr, mac net.HardwareAddr) []byte {
	b := []byte{0x60, 0, 0, 0, 0, advertisedSize, icmpv6, neighbourHops}
	b = append(append(b, addr.AsSlice()...), allNodes.AsSlice()...)
	b = append(b, advertisement, 0, 0, 0, overrideFlag, 0, 0, 0)
	b = append(b, addr.AsSlice()...)
	b = append(append(b, targetMAC, 1 /* times 8 bytes */), mac...)

	sum := uint32(icmpv6 + advertisedSize) // with the addresses the pseudo header
	for i := ipv6Header - 2*net.IPv6len; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[ipv6Header+checksumAt:], ^uint16(sum))
	return b
}

package netattach

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// How an address says that Sallyport put it there, so that one left by a killed
// process is known again.
const (
	// attrProto is IFA_PROTO of <linux/if_addr.h>, who made the address. The kernel
	// keeps it for both families since 5.18 and ignores it before.
	attrProto = 11
	// markProto is our value of it. The kernel uses 1 to 3 itself.
	markProto = 0x53
	// markLabel ends the label of an IPv4 address, which every kernel keeps; ip addr
	// shows it. A label has to begin with the interface, and where the two do not
	// fit in maxLabel bytes the address has none.
	markLabel = ":sally"
	maxLabel  = unix.IFNAMSIZ - 1
)

// loopback is the interface lo, the first in every namespace.
const loopback = 1

// forever is the lifetime of an address that does not end.
const forever = 0xffffffff

// maxDumps is how often the list of addresses is asked for when it changes while
// it is being read. It changes as often as somebody else changes addresses.
const maxDumps = 8

// kernelTimeout is how long the kernel may take to answer. It answers at once
// unless another process holds its lock on all network settings.
const kernelTimeout = 5 * time.Second

// kernel speaks rtnetlink(7) to one namespace.
type kernel struct {
	handle *netlink.Handle // links and routes
	// socket is for addresses, which the library writes and reads without IFA_PROTO.
	socket *nl.SocketHandle
}

// openKernel makes the sockets; it MUST be called inside the namespace.
func openKernel() (*kernel, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	k := &kernel{handle: handle}
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		k.close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	k.socket = &nl.SocketHandle{Socket: socket}
	limit := unix.NsecToTimeval(kernelTimeout.Nanoseconds())
	err = errors.Join(handle.SetSocketTimeout(kernelTimeout), socket.SetSendTimeout(&limit), socket.SetReceiveTimeout(&limit))
	if err != nil {
		k.close()
		return nil, fmt.Errorf("limit netlink: %w", err)
	}
	return k, nil
}

func (k *kernel) close() {
	k.handle.Close()
	if k.socket != nil {
		k.socket.Close()
	}
}

// address is one address of an interface.
type address struct {
	prefix netip.Prefix
	index  int
	label  string
	proto  byte
}

// ours reports whether the address has our mark.
func (a address) ours() bool {
	return a.prefix.IsSingleIP() && (a.proto == markProto || strings.HasSuffix(a.label, markLabel))
}

func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// list reads every address of the namespace.
func (k *kernel) list() ([]address, error) {
	var messages [][]byte
	var err error
	for range maxDumps {
		req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: k.socket}
		req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		messages, err = req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	list := make([]address, 0, len(messages))
	for _, m := range messages {
		a, ok, err := parseAddress(m)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, a)
		}
	}
	return list, nil
}

// parseAddress reads the body of an RTM_NEWADDR message; ok is false where it is
// about no IP address.
func parseAddress(message []byte) (a address, ok bool, err error) {
	if len(message) < unix.SizeofIfAddrmsg {
		return address{}, false, fmt.Errorf("list addresses: a message has %d bytes", len(message))
	}
	header := nl.DeserializeIfAddrmsg(message)
	attrs, err := nl.ParseRouteAttr(message[unix.SizeofIfAddrmsg:])
	if err != nil {
		return address{}, false, fmt.Errorf("list addresses: %w", err)
	}
	a.index = int(header.Index)
	var local, remote netip.Addr
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(attr.Value)
		case unix.IFA_ADDRESS:
			// The peer's where there is a peer; else IPv6 has the address here alone.
			remote, _ = netip.AddrFromSlice(attr.Value)
		case unix.IFA_LABEL:
			a.label = strings.TrimRight(string(attr.Value), "\x00")
		case attrProto:
			if len(attr.Value) == 1 {
				a.proto = attr.Value[0]
			}
		}
	}
	if !local.IsValid() {
		local = remote
	}
	a.prefix = netip.PrefixFrom(local, int(header.Prefixlen))
	return a, a.prefix.IsValid(), nil
}

// change adds or removes an address with our marks and the length of one address.
func (k *kernel) change(message, flags int, addr netip.Addr, index int, label string) error {
	req := nl.NewNetlinkRequest(message, flags|unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: k.socket}
	header := nl.NewIfAddrmsg(familyOf(addr))
	header.Prefixlen = uint8(addr.BitLen())
	header.Index = uint32(index)
	req.AddData(header)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, addr.AsSlice()))
	if label != "" {
		req.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(label)))
	}
	if message == unix.RTM_NEWADDR {
		req.AddData(nl.NewRtAttr(attrProto, []byte{markProto}))
		if addr.Is6() {
			// It has to be bound now and not after a second of duplicate detection. An
			// address whose preferred lifetime is over is never chosen as the source of
			// what others in the namespace send (RFC 6724 section 5, rule 3), though rule
			// 8 would like its long prefix.
			req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE)))
			life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: forever}} // and preferred for 0 seconds
			req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
		}
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// label is the label of an IPv4 address of ours on that interface, "" for none.
func (k *kernel) label(addr netip.Addr, index int) (string, error) {
	if addr.Is6() {
		return "", nil
	}
	link, err := k.handle.LinkByIndex(index)
	if err != nil {
		return "", err
	}
	if label := link.Attrs().Name + markLabel; len(label) <= maxLabel {
		return label, nil
	}
	return "", nil
}

// put makes addr an address of the interface; flags say what may be there before.
func (k *kernel) put(addr netip.Addr, index, flags int) error {
	label, err := k.label(addr, index)
	if err != nil {
		return err
	}
	return k.change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|flags, addr, index, label)
}

// remove takes an address of ours off the interface. One that is gone already, or
// whose interface is, is no error. The label is not asked for: an adopted one can
// carry the interface's earlier name.
func (k *kernel) remove(addr netip.Addr, index int) error {
	err := k.change(unix.RTM_DELADDR, 0, addr, index, "")
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// lookup asks the namespace's routes about addr: whether it is an address there
// already, and which interface leads to it directly, 0 for none.
func (k *kernel) lookup(addr netip.Addr) (local bool, index int, err error) {
	routes, err := k.handle.RouteGet(addr.AsSlice())
	if errno, ok := errors.AsType[syscall.Errno](err); ok && slices.Contains(noRoute, errno) {
		return false, 0, nil
	}
	if err != nil || len(routes) == 0 {
		return false, 0, err
	}
	switch r := routes[0]; {
	case r.Type == unix.RTN_LOCAL:
		return true, 0, nil
	case r.Type == unix.RTN_BROADCAST:
		return false, 0, errBroadcast
	case r.Gw != nil, r.Via != nil, r.Type != unix.RTN_UNICAST:
		return false, 0, nil
	default:
		return false, r.LinkIndex, nil
	}
}

// noRoute are the answers of lookup where there is no route, or one of the type
// unreachable, blackhole, prohibit or throw (ip-route(8)).
var noRoute = []syscall.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES, unix.EAGAIN}

// errBroadcast is the error of lookup for an address that belongs to a whole net.
var errBroadcast = errors.New("it is the broadcast address of a network there")

// raise brings lo up where it is down: an address on it answers only then.
func (k *kernel) raise() error {
	link, err := k.handle.LinkByIndex(loopback)
	if err != nil {
		return err
	}
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	return k.handle.LinkSetUp(link)
}

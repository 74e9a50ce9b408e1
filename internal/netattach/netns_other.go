//go:build !linux

package netattach

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

var errNeedsLinux = errors.New("network namespaces need Linux")

// NetNS is a network namespace; there is none on this operating system.
type NetNS struct{}

var _ Network = (*NetNS)(nil)

// OpenNetNS says that namespaces need Linux.
func OpenNetNS(name string) (*NetNS, error) { return OpenNetNSWith(name, NetNSOptions{}) }

// OpenNetNSWith says that namespaces need Linux.
func OpenNetNSWith(name string, _ NetNSOptions) (*NetNS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return nil, errNeedsLinux
}

// Privileges returns none: capabilities are Linux's.
func Privileges() []Privilege { return nil }

// Name returns "".
func (*NetNS) Name() string { return "" }

// FD returns -1.
func (*NetNS) FD() int { return -1 }

// Do says that namespaces need Linux.
func (*NetNS) Do(func() error) error { return errNeedsLinux }

// Lock says that namespaces need Linux.
func (*NetNS) Lock() error { return errNeedsLinux }

// Replaced returns false.
func (*NetNS) Replaced() bool { return false }

// Sweep says that namespaces need Linux.
func (*NetNS) Sweep(func(netip.Addr) bool) (removed int, err error) { return 0, errNeedsLinux }

// Close does nothing.
func (*NetNS) Close() error { return nil }

// String names what is not there.
func (*NetNS) String() string { return "namespace" }

// Listen says that namespaces need Linux.
func (*NetNS) Listen(context.Context, netip.AddrPort) (*net.TCPListener, error) {
	return nil, errNeedsLinux
}

// Dial says that namespaces need Linux.
func (*NetNS) Dial(context.Context, netip.AddrPort) (*net.TCPConn, error) {
	return nil, errNeedsLinux
}

// ListenPacket says that namespaces need Linux.
func (*NetNS) ListenPacket(context.Context, netip.AddrPort) (*net.UDPConn, error) {
	return nil, errNeedsLinux
}

// Hold says that namespaces need Linux.
func (*NetNS) Hold(context.Context, netip.Addr) (release func(), err error) {
	return nil, errNeedsLinux
}

// Package netattach says where an address is bound and dialled: inside which
// network a socket is made. The host itself is one attachment, a named network
// namespace another; a tunnel would be a third implementation of Network. A
// socket keeps the network it was made in, so bytes can be spliced between two
// sockets of different networks.
//
// It imports the standard library, golang.org/x/sys and the netlink libraries. It
// starts no goroutines that outlive a call.
package netattach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Network binds and dials inside one attached network.
//
// An implementation MUST be safe for concurrent use, MUST be comparable (a
// pointer or a small struct: the forwarder asks whether two are the same), and
// its methods MUST return promptly, leaving nothing open, once ctx has ended: a
// cut waits for them.
type Network interface {
	// String names the network for people: "host", "namespace red".
	String() string

	// Listen opens a listening TCP socket on exactly addr, port 0 meaning any
	// free one. Accepted connections have TCP keep-alive on. The error is a
	// *BindError when the network refuses the address.
	Listen(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error)

	// Dial opens a TCP connection to addr with TCP keep-alive on.
	Dial(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error)

	// ListenPacket opens a UDP socket on exactly addr; its errors are Listen's.
	ListenPacket(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error)

	// Hold makes addr an address of the network until release is called, so that
	// it can be bound: where it is one already, nothing changes, then or at the
	// release. Holding one address twice is fine; the last release counts. Release
	// must be called exactly once. On the host Hold does nothing.
	Hold(ctx context.Context, addr netip.Addr) (release func(), err error)
}

// firstUnprivilegedPort is where ports begin that need no capability, as Linux
// ships it (net.ipv4.ip_unprivileged_port_start can lower it; then a smaller
// port is simply not refused).
const firstUnprivilegedPort = 1024

// BindError says why an address could not be bound, in a sentence an operator
// can act on. Every implementation of Network returns it from Listen.
type BindError struct {
	// Addr is the address that was asked for.
	Addr netip.AddrPort
	// Network is the String of the network that refused it; "" is the host.
	Network string
	// Err is the cause, with the system's error number inside.
	Err error
}

// Error is one lower-case sentence without the system's wording where the cause
// is a known one.
func (e *BindError) Error() string {
	where, in := "this host", "on this host"
	if e.Network != "" {
		where, in = e.Network, "in "+e.Network
	}
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return fmt.Sprintf("address %s is already in use %s", e.Addr, in)
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("address %s is not %s", e.Addr.Addr(), in)
	case errors.Is(e.Err, syscall.EACCES) && e.Addr.Port() < firstUnprivilegedPort:
		return fmt.Sprintf("port %d needs the capability CAP_NET_BIND_SERVICE", e.Addr.Port())
	case errors.Is(e.Err, syscall.EACCES), errors.Is(e.Err, syscall.EPERM):
		return fmt.Sprintf("%s does not permit binding %s", where, e.Addr)
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		return fmt.Sprintf("no file descriptor is left to bind %s: raise the limit on open files", e.Addr)
	case errors.Is(e.Err, syscall.EAFNOSUPPORT):
		return fmt.Sprintf("the address family of %s is switched off %s", e.Addr.Addr(), in)
	}
	return fmt.Sprintf("bind %s: %v", e.Addr, e.Err)
}

// Unwrap returns the cause.
func (e *BindError) Unwrap() error { return e.Err }

// IsUnbindable reports whether err says that the address is not one of this
// machine, so that the endpoint is unattached rather than failed (a network that
// no agent reaches is not an error). Any other bind error is a failure.
func IsUnbindable(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }

// Host returns the network of the machine itself. On Linux every address in
// 127.0.0.0/8 can be bound there without privilege or preparation.
func Host() Network { return host{} }

type host struct{}

var _ Network = host{}

// family pins the socket's family to the address's own. Left open, an
// unspecified IPv6 address would listen on IPv4 too.
func family(addr netip.Addr) string {
	if addr.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func (host) Listen(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.IsValid() {
		return nil, &BindError{Addr: addr, Err: errors.New("no address is given")}
	}
	var lc net.ListenConfig
	// Go listens with MPTCP where the kernel has it. An MPTCP socket cannot be
	// spliced and does not promise that a close with linger 0 resets at once,
	// and both are what forwarding stands on.
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, family(addr.Addr()), addr.String())
	if err != nil {
		return nil, &BindError{Addr: addr, Err: err}
	}
	return ln.(*net.TCPListener), nil
}

func (host) ListenPacket(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.IsValid() {
		return nil, &BindError{Addr: addr, Err: errors.New("no address is given")}
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp"+family(addr.Addr())[len("tcp"):], addr.String())
	if err != nil {
		return nil, &BindError{Addr: addr, Err: err}
	}
	return conn.(*net.UDPConn), nil
}

func (host) Hold(context.Context, netip.Addr) (release func(), err error) { return func() {}, nil }

func (host) String() string { return "host" }

func (host) Dial(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.IsValid() {
		return nil, errors.New("dial: no address is given")
	}
	var d net.Dialer
	d.SetMultipathTCP(false) // see Listen
	conn, err := d.DialContext(ctx, family(addr.Addr()), addr.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

package netattach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is the most connections that wait to be accepted. The kernel lowers it
// to the namespace's own net.core.somaxconn, which is the limit meant.
const backlog = 1<<16 - 1

// Only the call that makes a socket runs inside the namespace; net.Dialer and
// net.ListenConfig are not used there. A dial would keep a thread for as long as
// it waits, and threads are few; and what package net finds out once for the
// whole process, such as whether IPv6 works, it must not find out in a namespace
// whose lo is down.

// Listen opens a listening TCP socket inside the namespace (Network).
func (n *NetNS) Listen(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
	f, err := n.bind(ctx, &addr, unix.SOCK_STREAM)
	if err != nil {
		return nil, n.refuse(addr, err)
	}
	defer func() { _ = f.Close() }()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, n.refuse(addr, err)
	}
	return ln.(*net.TCPListener), nil
}

// ListenPacket opens a UDP socket inside the namespace (Network).
func (n *NetNS) ListenPacket(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	f, err := n.bind(ctx, &addr, unix.SOCK_DGRAM)
	if err != nil {
		return nil, n.refuse(addr, err)
	}
	defer func() { _ = f.Close() }()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, n.refuse(addr, err)
	}
	return conn.(*net.UDPConn), nil
}

func (n *NetNS) refuse(addr netip.AddrPort, err error) error {
	return &BindError{Addr: addr, Network: n.String(), Err: err}
}

// bind makes a bound socket, listening where kind is a stream. It writes the
// address back as it stands in messages.
func (n *NetNS) bind(ctx context.Context, addr *netip.AddrPort, kind int) (*os.File, error) {
	fd, sa, err := n.socket(ctx, addr, kind)
	if err != nil {
		return nil, err
	}
	if kind == unix.SOCK_STREAM {
		// As package net does: a restart must not wait for the connections of the
		// last process to be forgotten.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			_ = unix.Close(fd)
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, backlog); err != nil {
			_ = unix.Close(fd)
			return nil, os.NewSyscallError("listen", err)
		}
	}
	return os.NewFile(uintptr(fd), n.String()), nil
}

// socket makes a non-blocking socket inside the namespace for an address of it.
func (n *NetNS) socket(ctx context.Context, addr *netip.AddrPort, kind int) (fd int, sa unix.Sockaddr, err error) {
	*addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	switch {
	case !addr.IsValid():
		return -1, nil, errNoAddress
	case addr.Addr().Zone() != "":
		// A zone is the name of an interface, and its number inside differs from the
		// one outside.
		return -1, nil, errors.New("an address with a zone cannot be used in a namespace")
	case ctx.Err() != nil:
		return -1, nil, ctx.Err()
	}
	family := unix.AF_INET
	if addr.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	}
	err = n.Do(func() (err error) {
		// The protocol is TCP itself and not MPTCP, see host.Listen.
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return -1, nil, err
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			_ = unix.Close(fd)
			return -1, nil, os.NewSyscallError("setsockopt", err)
		}
	}
	return fd, sa, nil
}

// Dial opens a TCP connection from inside the namespace (Network).
func (n *NetNS) Dial(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
	conn, err := n.dial(ctx, &addr)
	if err != nil {
		op := &net.OpError{Op: "dial", Net: "tcp", Err: err}
		if addr.IsValid() {
			op.Net, op.Addr = family(addr.Addr()), net.TCPAddrFromAddrPort(addr)
		}
		return nil, fmt.Errorf("in %s: %w", n, op)
	}
	return conn, nil
}

func (n *NetNS) dial(ctx context.Context, addr *netip.AddrPort) (*net.TCPConn, error) {
	fd, sa, err := n.socket(ctx, addr, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	// An interrupted connect goes on by itself like one that could not end at once.
	err = unix.Connect(fd, sa)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	// FileConn duplicates the socket, so it reads the addresses of a connected one.
	f := os.NewFile(uintptr(fd), n.String())
	defer func() { _ = f.Close() }()
	if err := awaitConnect(ctx, f); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn)
	if conn.RemoteAddr() == nil { // reset since
		_ = conn.Close()
		return nil, os.NewSyscallError("connect", unix.ECONNRESET)
	}
	// A dial to an unused port of the own machine can be given that port as its
	// source and so reach itself. Nobody listens there.
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		_ = conn.Close()
		return nil, os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return conn, nil
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// awaitConnect waits until the socket is connected, cannot be, or ctx has ended.
func awaitConnect(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = f.SetWriteDeadline(longAgo) // the file is closed only after this
	})
	var cause error
	err = raw.Write(func(fd uintptr) (done bool) {
		done, cause = connected(int(fd))
		return done
	})
	if !stop() {
		<-ended
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return cause
}

// connected reports whether a connect has come to its end, and how. A socket can
// be called writable when it is not connected yet, so both are asked.
func connected(fd int) (done bool, err error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, os.NewSyscallError("getsockopt", err)
	}
	switch errno := syscall.Errno(code); errno {
	case 0:
		_, err := unix.Getpeername(fd)
		return err == nil, nil
	case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return false, nil
	default:
		return true, os.NewSyscallError("connect", errno)
	}
}

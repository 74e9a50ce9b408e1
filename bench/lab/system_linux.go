package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The generator's system calls go past the Go scheduler: none but wait ever
// blocks, and telling the scheduler about each would cost as much as some of them
// take.

// errAgain is what a socket says that has nothing, or no room.
const errAgain = unix.EAGAIN

func recv(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func send(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

func accept(fd int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

func hangUp(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// poller is one epoll. The number that an event carries is the caller's own.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) watch(op, fd int, events uint32, number int) unix.Errno {
	e := unix.EpollEvent{Events: events, Fd: int32(number)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}

func (p *poller) add(fd int, events uint32, number int) unix.Errno {
	return p.watch(unix.EPOLL_CTL_ADD, fd, events, number)
}

// wait returns what happened within so many milliseconds.
func (p *poller) wait(ms int) []unix.EpollEvent {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(ms), 0, 0)
	if e != 0 {
		return nil // a signal
	}
	return p.events[:n]
}

func (p *poller) close() { hangUp(p.fd) }

// socket makes a non-blocking socket in the namespace that the thread is in.
func socket(kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// resetOnClose makes close send a reset, so that no connection waits in TIME_WAIT
// for its port.
func resetOnClose(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func noDelay(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// from binds to a source address and leaves the port to the connection, so that
// the same port serves many of them.
func from(fd int, source netip.Addr) error {
	if !source.IsValid() {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()})
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// open connects to target. The connection need not stand when it returns.
func open(kind int, source netip.Addr, target netip.AddrPort) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		err = errors.Join(noDelay(fd), resetOnClose(fd))
	}
	if err == nil {
		err = from(fd, source)
	}
	if err == nil {
		if err = unix.Connect(fd, sockaddr(target)); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		hangUp(fd)
		return -1, fmt.Errorf("connect to %s: %w", target, err)
	}
	return fd, nil
}

// listen opens a listening socket; the sockets it accepts inherit its options.
func listen(kind int, at netip.AddrPort, stamped bool) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	const room = 1 << 20 // of datagrams that wait, as much as one machine lets a program ask for by default, or less
	if kind == unix.SOCK_STREAM {
		err = errors.Join(noDelay(fd), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	} else {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	if err == nil && stamped {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		hangUp(fd)
		return -1, fmt.Errorf("listen at %s: %w", at, err)
	}
	return fd, nil
}

// stampedReader reads with the time at which the kernel got the bytes, so that a
// reader that comes late makes neither a good product bad nor a bad one good.
type stampedReader struct {
	head    unix.Msghdr
	vector  unix.Iovec
	control [128]byte
}

// recv returns how many bytes there were and when the last of them came, in
// nanoseconds of the real-time clock; 0 where the kernel did not say.
func (r *stampedReader) recv(fd int, p []byte) (n int, at int64, errno unix.Errno) {
	r.vector.Base = unsafe.SliceData(p)
	r.vector.SetLen(len(p))
	r.head = unix.Msghdr{Iov: &r.vector, Control: &r.control[0]}
	r.head.SetIovlen(1)
	r.head.SetControllen(len(r.control))
	got, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.head)), unix.MSG_DONTWAIT)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(got), stampOf(r.control[:r.head.Controllen]), 0
}

func stampOf(control []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		const word = 8 // seconds and nanoseconds, each of a 64-bit kernel
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 2*word {
			return int64(binary.NativeEndian.Uint64(m.Data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(m.Data[word:]))
		}
	}
	return 0
}

// StampArrivals has the kernel note when bytes of the connection arrive.
func StampArrivals(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("time stamps: %w", err)
	}
	var cause error
	err = raw.Control(func(fd uintptr) { cause = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err = errors.Join(err, cause); err != nil {
		return fmt.Errorf("time stamps: %w", err)
	}
	return nil
}

// ReadStamped reads and returns when the last of the bytes came to this machine's
// side of the connection, in nanoseconds of the real-time clock. It fails at the
// end of the stream and where the kernel gave no time.
func ReadStamped(c *net.TCPConn, p []byte) (n int, at int64, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var r stampedReader
	var errno unix.Errno
	err = raw.Read(func(fd uintptr) bool {
		n, at, errno = r.recv(int(fd), p)
		return errno != errAgain
	})
	switch {
	case err != nil:
		return 0, 0, err
	case errno != 0:
		return 0, 0, errno
	case n == 0:
		return 0, 0, errors.New("the connection has ended")
	case at == 0:
		return 0, 0, errors.New("the kernel gave no time stamp")
	}
	return n, at, nil
}

// datagrams sends and receives many datagrams with one call.
type datagrams struct {
	list    [batch]message
	vectors [batch]unix.Iovec
	names   [batch]unix.RawSockaddrInet4
	buf     [batch][datagramRoom]byte
}

const (
	// batch is how many datagrams one call takes; more gain nothing.
	batch = 32
	// datagramRoom is more than the largest datagram that is sent.
	datagramRoom = 128
)

// message is struct mmsghdr.
type message struct {
	head unix.Msghdr
	n    uint32
	_    uint32
}

// prepare sets n messages up for the next call: of size bytes each, with room for
// an address where the socket is not connected.
func (d *datagrams) prepare(n, size int, named bool) {
	for i := range n {
		d.vectors[i].Base = &d.buf[i][0]
		d.vectors[i].SetLen(size)
		d.list[i].head = unix.Msghdr{Iov: &d.vectors[i]}
		d.list[i].head.SetIovlen(1)
		if named {
			d.list[i].head.Name = (*byte)(unsafe.Pointer(&d.names[i]))
			d.list[i].head.Namelen = unix.SizeofSockaddrInet4
		}
	}
}

func (d *datagrams) recv(fd int, named bool) (int, unix.Errno) {
	d.prepare(batch, datagramRoom, named)
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.list[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

// answer sends the n messages that recv left back to where they came from.
func (d *datagrams) answer(fd, n int) {
	for i := range n {
		d.vectors[i].SetLen(int(d.list[i].n))
	}
	// What does not fit is lost, as datagrams are.
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.list[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
}

// send sends n new messages of size bytes over a connected socket.
func (d *datagrams) send(fd, n, size int) (int, unix.Errno) {
	d.prepare(n, size, false)
	sent, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.list[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(sent), e
}

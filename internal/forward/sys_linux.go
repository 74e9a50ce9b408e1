//go:build !portable

package forward

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the loops. All but epollWait are raw: Go's scheduler is not told
// of them, which saves more than they cost, and which is only right because none of
// them ever waits (every descriptor is non-blocking), but for epollNap, which says so.

// sockaddr is an address as the kernel has it, IPv4 or IPv6.
type sockaddr struct {
	raw unix.RawSockaddrInet6 // IPv4 uses the beginning of it
	len uint32
}

// setAddr makes s the address. A zone that is not a number is looked up, for backends
// with link-local addresses.
func (s *sockaddr) setAddr(a netip.AddrPort) {
	if a.Addr().Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(a.Port()), Addr: a.Addr().As4()}
		s.len = unix.SizeofSockaddrInet4
		return
	}
	s.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			s.raw.Scope_id = uint32(n)
		} else if i, err := net.InterfaceByName(zone); err == nil {
			s.raw.Scope_id = uint32(i.Index)
		}
	}
	s.len = unix.SizeofSockaddrInet6
}

// addr is the address in Go's terms. A mapped IPv4 address is written as IPv4.
func (s *sockaddr) addr() netip.AddrPort {
	if s.raw.Family == unix.AF_INET {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), swapped(sa.Port))
	}
	a := netip.AddrFrom16(s.raw.Addr)
	if a.IsLinkLocalUnicast() && s.raw.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(s.raw.Scope_id), 10))
	}
	return netip.AddrPortFrom(a.Unmap(), swapped(s.raw.Port))
}

// swapped turns a port between the machine's byte order and the network's.
func swapped(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

func recv(fd int32, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	return int(n), e
}

func send(fd int32, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// splice moves up to n bytes. One of the two is a pipe.
func splice(from, to int32, n int) (int, unix.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(r), e
}

func accept(fd int32, from *sockaddr) (int32, unix.Errno) {
	from.len = unix.SizeofSockaddrInet6
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&from.len)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(n), e
}

func socket(family, kind int) (int32, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), uintptr(kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), 0)
	return int32(n), e
}

func connect(fd int32, to *sockaddr) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	return e
}

func shutdown(fd int32) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return e
}

// closeFD closes a descriptor. There is nothing to do about an error: it is closed
// all the same.
func closeFD(fd int32) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// resetFD closes a connection so that its peer sees a reset and the kernel throws
// away what it has queued.
func resetFD(fd int32) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
	closeFD(fd)
}

func setOption(fd int32, level, name, value int) unix.Errno {
	v := int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
	return e
}

// pendingError takes the error that the kernel holds for the socket.
func pendingError(fd int32) unix.Errno {
	var v, size int32 = 0, 4
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return unix.Errno(v)
}

// unacknowledged is how many bytes the peer has not acknowledged, an end of file
// counting as one.
func unacknowledged(fd int32) int {
	var v int32
	if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&v))); e != 0 {
		return 0
	}
	return int(v)
}

// localAddr is the address that the socket is bound to.
func localAddr(fd int32) netip.AddrPort {
	var s sockaddr
	s.len = unix.SizeofSockaddrInet6
	if _, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.len))); e != 0 {
		return netip.AddrPort{}
	}
	return s.addr()
}

// message is the kernel's struct mmsghdr.
type message struct {
	hdr unix.Msghdr
	len uint32
}

func recvMessages(fd int32, m []message) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func sendMessages(fd int32, m []message) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// epollAdd watches a descriptor; id and gen come back with each event.
func epollAdd(ep, fd int32, events, id, gen uint32) unix.Errno {
	ev := unix.EpollEvent{Events: events, Fd: int32(id), Pad: int32(gen)}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

func epollDel(ep, fd int32) {
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
}

// epollNap waits for events for ms milliseconds, or takes those that are there if that
// is 0. The scheduler is not told; a signal of its ends the wait.
func epollNap(ep int32, events []unix.EpollEvent, ms int) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(ms), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// epollWait waits for events, for ms milliseconds or without end if that is negative.
// It alone tells the scheduler that the thread sleeps.
func epollWait(ep int32, events []unix.EpollEvent, ms int) int {
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(ms), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

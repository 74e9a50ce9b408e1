//go:build portable

package forward

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpClose is the state TCP_CLOSE of the kernel's tcp_states.h: nothing is left to
// send or to be acknowledged. A socket in TIME_WAIT shows it too.
const tcpClose = 7

// confirmEnd returns an error when the end of file read from the leg stands for a
// reset. A connection whose peer ended it is half open until this side ends it too;
// one that is gone before that was reset. The order in which stream sets shut and
// sends its end of file makes the answer certain: whoever finds shut set knows that
// no write to this leg failed.
func confirmEnd(l *leg) error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("confirm the end of a connection: %w", err)
	}
	var state uint8
	var cause error
	err = raw.Control(func(fd uintptr) { state, cause = tcpState(fd) })
	if err == nil {
		err = cause
	}
	if err == nil && state == tcpClose && !l.shut.Load() {
		err = syscall.ECONNRESET
	}
	if err != nil {
		return fmt.Errorf("confirm the end of a connection: %w", err)
	}
	return nil
}

// tcpState returns the state that the kernel has the socket in.
func tcpState(fd uintptr) (uint8, error) {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, err
	}
	return info.State, nil
}

// awaitClosed returns nil once the connection, which was read to its end, has
// ended in both directions and its peer has acknowledged the last byte, and the
// error if it ends otherwise: by a reset, a timeout, or a close on this side. It
// sleeps until the kernel reports something new of the socket and never polls.
// A peer that vanished ends it after the kernel's own limit on retransmissions.
func awaitClosed(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for the end of a connection: %w", err)
	}
	var cause error
	err = raw.Read(func(fd uintptr) bool {
		state, err := tcpState(fd)
		if err != nil {
			cause = err
			return true
		}
		if state != tcpClose {
			return false
		}
		pending, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && pending != 0 {
			err = syscall.Errno(pending)
		}
		cause = err
		return true
	})
	if err == nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("wait for the end of a connection: %w", err)
	}
	return nil
}

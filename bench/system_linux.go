package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syncData makes what was written to f durable, as a database does.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// stampArrivals has the kernel note when bytes of the connection arrive.
func stampArrivals(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("time stamps: %w", err)
	}
	var cause error
	err = raw.Control(func(fd uintptr) { cause = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err == nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("time stamps: %w", err)
	}
	return nil
}

// readStamped reads and returns when the last of the bytes came to this machine's
// side of the connection, whenever this process got round to reading them. The
// time is zero where there are no bytes.
func readStamped(c *net.TCPConn, buf []byte) (n int, at time.Time, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, at, err
	}
	var control [128]byte
	var used int
	var cause error
	err = raw.Read(func(fd uintptr) bool {
		n, used, _, _, cause = unix.Recvmsg(int(fd), buf, control[:], 0)
		return cause != unix.EAGAIN
	})
	if err == nil {
		err = cause
	}
	if err != nil {
		return 0, at, err
	}
	if n == 0 {
		return 0, at, errEnd
	}
	messages, err := unix.ParseSocketControlMessage(control[:used])
	if err != nil {
		return n, at, fmt.Errorf("time stamp: %w", err)
	}
	for _, m := range messages {
		const word = 8 // seconds and nanoseconds, each of a 64-bit kernel
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 2*word {
			return n, time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[word:]))), nil
		}
	}
	return n, at, errNoStamp
}

// kernel names the kernel without the machine.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return strings.Join([]string{unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])}, " ")
}

package e2e_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// arrived returns how many bytes the kernel has received on a connection so far,
// whether or not anybody has read them: what a process reads in the end beyond
// this number came later.
func arrived(t *testing.T, conn *net.TCPConn) int64 {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var failed error
	err = raw.Control(func(fd uintptr) {
		info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil || failed != nil {
		t.Fatalf("TCP_INFO: %v, %v", err, failed)
	}
	return int64(info.Bytes_received)
}

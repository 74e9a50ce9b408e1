package lab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a network namespace of the test's own.
type machine struct {
	name string
	fd   int
}

// newMachine makes a namespace with nothing in it but lo.
func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	runIP(t, "", "netns", "add", name)
	t.Cleanup(func() {
		// The test's context has ended.
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("remove namespace %s: %v\n%s", name, err, out)
		}
	})
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{name: name, fd: fd}
	t.Cleanup(func() { _ = unix.Close(fd) })
	// Addresses can be used at once: nobody else is on these networks.
	for _, which := range []string{"all", "default"} {
		m.write(t, "/proc/sys/net/ipv6/conf/"+which+"/accept_dad", "0")
	}
	m.ip(t, "link set lo up")
	return m
}

// runIP runs the ip command with some text as its input and returns its output.
func runIP(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ip", args...)
	cmd.Stdin = strings.NewReader(input)
	var out, complaints strings.Builder // it complains of namespaces that are just being removed
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("ip %s: %v\n%s%s%s", strings.Join(args, " "), err, input, &out, &complaints)
	}
	return out.String()
}

// ip runs lines of the ip command in the machine.
func (m *machine) ip(t *testing.T, lines ...string) {
	t.Helper()
	runIP(t, strings.Join(lines, "\n")+"\n", "-n", m.name, "-batch", "-")
}

// show runs one ip command in the machine and returns its output.
func (m *machine) show(t *testing.T, args ...string) string {
	t.Helper()
	return runIP(t, "", append([]string{"-n", m.name}, args...)...)
}

// inside runs a program in the machine and returns its output.
func (m *machine) inside(t *testing.T, args ...string) string {
	t.Helper()
	return runIP(t, "", append([]string{"netns", "exec", m.name}, args...)...)
}

// write writes a file of /proc/sys/net of the machine.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := m.do(func() error { return os.WriteFile(path, []byte(text), 0) }); err != nil {
		t.Fatal(err)
	}
}

// home is the namespace that the tests run in.
var home = sync.OnceValues(func() (int, error) {
	return unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
})

// do runs a function on a thread that is in the machine. Sockets made there stay
// there. A thread that does not find home ends with its goroutine.
func (m *machine) do(fn func() error) error {
	own, err := home()
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(m.fd, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("enter %s: %w", m.name, err)
			return
		}
		err := fn()
		if unix.Setns(own, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// dial connects from the machine, from an address of it, with a port or without,
// unless that is "". It is given up after the timeout.
func (m *machine) dial(ctx context.Context, network, from, to string, timeout time.Duration) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: timeout, Control: stamped}
	d.SetMultipathTCP(false)
	if from != "" {
		addr, err := netip.ParseAddrPort(from)
		if err != nil {
			addr = netip.AddrPortFrom(netip.MustParseAddr(from), 0)
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(addr)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(addr)
		}
	}
	// The address is a literal one: the socket is made on this very thread.
	err = m.do(func() (err error) {
		conn, err = d.DialContext(ctx, network, to)
		return err
	})
	return conn, err
}

// listen opens a TCP listener and a UDP socket at one address of the machine.
func (m *machine) listen(t *testing.T, addr string) (*net.TCPListener, *net.UDPConn) {
	t.Helper()
	lc := net.ListenConfig{Control: stamped}
	lc.SetMultipathTCP(false)
	var (
		ln net.Listener
		pc net.PacketConn
	)
	err := m.do(func() (err error) {
		if ln, err = lc.Listen(t.Context(), "tcp", addr); err != nil {
			return err
		}
		if pc, err = lc.ListenPacket(t.Context(), "udp", addr); err != nil {
			_ = ln.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ln.(*net.TCPListener), pc.(*net.UDPConn)
}

// stamped makes the kernel note when it received what is read from a socket.
func stamped(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return errors.Join(err, failed)
}

// receive reads from a connection and says when the kernel received the last of
// the bytes. at is zero at the end of the stream.
func receive(conn net.Conn, buf []byte) (n int, at time.Time, err error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, time.Time{}, err
	}
	var oob [128]byte
	var oobn int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, failed = unix.Recvmsg(int(fd), buf, oob[:], 0)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return n, stampOf(oob[:oobn]), nil
}

// stampOf returns the time in the control messages of a read; without one it is
// zero.
func stampOf(oob []byte) time.Time {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range list {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Time{}
}

// trace is everything of a machine's network that a user could find changed: rules,
// links, addresses, routes and settings, by what it is.
func (m *machine) trace(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{
		"rules":     m.inside(t, "nft", "list", "ruleset"),
		"addresses": tidyLines(m.show(t, "-o", "address", "show"), "valid_lft"),
		"links":     tidyLines(linkState.ReplaceAllString(m.show(t, "-o", "link", "show"), ""), ""),
		"routes":    tidyLines(m.show(t, "-4", "route", "show", "table", "all"), ""),
		"routes6":   tidyLines(m.show(t, "-6", "route", "show", "table", "all"), ""),
		"policies":  tidyLines(m.show(t, "-4", "rule", "show")+m.show(t, "-6", "rule", "show"), ""),
	}
	var settings []string
	err := m.do(func() error {
		for _, pattern := range []string{
			"/proc/sys/net/ipv4/conf/*/*", "/proc/sys/net/ipv6/conf/*/*", "/proc/sys/net/ipv4/*", "/proc/sys/net/ipv6/*",
			"/proc/sys/net/netfilter/*", "/proc/sys/net/core/*", "/proc/sys/net/bridge/*",
		} {
			names, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			for _, name := range names {
				if base := filepath.Base(name); base == "nf_conntrack_count" || base == "stable_secret" {
					continue // the one changes by itself, the other cannot be read
				}
				if text, err := os.ReadFile(name); err == nil { // a directory, or one that can only be written
					settings = append(settings, name+" = "+strings.TrimSpace(string(text)))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out["settings"] = strings.Join(settings, "\n")
	return out
}

// linkState is the part of a link's line that follows a change of it by a moment.
var linkState = regexp.MustCompile(` state [A-Z]+`)

// tidyLines sorts lines and cuts each before some word.
func tidyLines(text, cut string) string {
	var list []string
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if cut != "" {
			line, _, _ = strings.Cut(line, cut)
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

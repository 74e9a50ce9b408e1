package netattach_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// A bind error that reads like a system call leaves an operator guessing, and one
// that loses its cause makes an unattached endpoint look failed.
func TestBindErrorSaysWhatToDo(t *testing.T) {
	cause := func(errno syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp4", Err: os.NewSyscallError("bind", errno)}
	}
	tests := []struct {
		addr       string
		err        error
		want       string
		unbindable bool
	}{
		{"127.64.1.5:80", cause(syscall.EADDRINUSE), "address 127.64.1.5:80 is already in use on this host", false},
		{"192.0.2.7:80", cause(syscall.EADDRNOTAVAIL), "address 192.0.2.7 is not on this host", true},
		{"127.64.1.5:80", cause(syscall.EACCES), "port 80 needs the capability CAP_NET_BIND_SERVICE", false},
		{"127.64.1.5:8080", cause(syscall.EACCES), "this host does not permit binding 127.64.1.5:8080", false},
		{"127.64.1.5:80", cause(syscall.EPERM), "this host does not permit binding 127.64.1.5:80", false},
		{"127.64.1.5:80", cause(syscall.EMFILE), "no file descriptor is left to bind 127.64.1.5:80: raise the limit on open files", false},
		{"[fd00::1]:80", cause(syscall.EAFNOSUPPORT), "the address family of fd00::1 is switched off on this host", false},
		{"127.64.1.5:80", errors.New("odd"), "bind 127.64.1.5:80: odd", false},
	}
	for _, tt := range tests {
		err := &netattach.BindError{Addr: netip.MustParseAddrPort(tt.addr), Err: tt.err}
		if got := err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		wrapped := fmt.Errorf("open endpoint: %w", err)
		if !errors.Is(wrapped, tt.err) {
			t.Errorf("%q lost its cause", err)
		}
		if got := netattach.IsUnbindable(wrapped); got != tt.unbindable {
			t.Errorf("IsUnbindable(%q) = %v, want %v", err, got, tt.unbindable)
		}
	}
}

// If this fails, an operator looks on the host for what a namespace refused.
func TestBindErrorNamesTheNamespace(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.7:8080")
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE:    "address 10.0.0.7:8080 is already in use in namespace red",
		syscall.EADDRNOTAVAIL: "address 10.0.0.7 is not in namespace red",
		syscall.EPERM:         "namespace red does not permit binding 10.0.0.7:8080",
		syscall.EAFNOSUPPORT:  "the address family of 10.0.0.7 is switched off in namespace red",
	} {
		err := &netattach.BindError{Addr: addr, Network: "namespace red", Err: errno}
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The real kernel must give the errors that the sentences above are made for.
func TestHostListenErrors(t *testing.T) {
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.9.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()

	taken := ln.Addr().(*net.TCPAddr).AddrPort()
	_, err = netattach.Host().Listen(t.Context(), taken)
	if want := fmt.Sprintf("address %s is already in use on this host", taken); err == nil || err.Error() != want {
		t.Errorf("second bind: got %v, want %q", err, want)
	}

	// 192.0.2.0/24 is for documentation and on no machine.
	_, err = netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("192.0.2.7:8080"))
	if !netattach.IsUnbindable(err) {
		t.Errorf("foreign address: got %v, want an unbindable one", err)
	}

	if _, err = netattach.Host().Listen(t.Context(), netip.AddrPort{}); err == nil {
		t.Error("no address: want an error, not a listener on every address")
	}
}

// A socket of one network must reach one of the other: the whole data plane is
// these two calls. An IPv4 address written as IPv6 is the same address.
func TestHostListenAndDial(t *testing.T) {
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("[::ffff:127.64.9.2]:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()

	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	if want := netip.MustParseAddr("127.64.9.2"); addr.Addr() != want {
		t.Errorf("listens on %v, want %v", addr.Addr(), want)
	}
	out, err := netattach.Host().Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := out.Write([]byte("knock")); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if got, err := io.ReadAll(in); err != nil || string(got) != "knock" {
		t.Errorf("got %q, %v, want %q", got, err, "knock")
	}
}

// A cut cancels dials and waits for them: one that outlives its context would
// hold up the decision.
func TestHostHonoursContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := netattach.Host().Dial(ctx, netip.MustParseAddrPort("127.64.9.3:9")); !errors.Is(err, context.Canceled) {
		t.Errorf("dial: got %v, %v, want %v", c, err, context.Canceled)
	}
	if c, err := netattach.Host().Dial(t.Context(), netip.AddrPort{}); err == nil {
		t.Errorf("dial nowhere: got %v, want an error", c)
	}
}

package health_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// speaker is a backend that gives each connection to a function, which may read
// the request.
func speaker(t *testing.T, speak func(req *http.Request, c net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := netattach.Host().Listen(t.Context(), netip.MustParseAddrPort("127.64.11.5:0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				speak(req, c)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// first returns the first result for the target.
func first(t *testing.T, target health.Target) bool {
	t.Helper()
	m := health.New(health.Options{})
	defer m.Close()
	onChange, got := reports()
	defer m.Watch(target, onChange)()
	return <-got
}

// If this fails, a backend that answers with errors gets flows, or one that is
// well gets none.
func TestHTTPAnswers(t *testing.T) {
	status := func(code int) string {
		return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nok", code)
	}
	for _, tt := range []struct {
		name, answer string
		want         bool
	}{
		{"200", status(200), true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"301", "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", true},
		{"399", status(399), true},
		{"400", status(400), false},
		{"503", status(503), false},
		{"100 and 200", "HTTP/1.1 100 Continue\r\n\r\n" + status(200), true},
		{"103 and 500", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + status(500), false},
		{"only informational", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9) + status(200), false},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false},
		{"HTTP/1.0 until the end", "HTTP/1.0 200 OK\r\n\r\nall of it", true},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true},
		{"nothing", "", false},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-", false},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", false},
		{"endless head", "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 1<<17) + "\r\n\r\n", false},
		{"long body", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<17), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			addr := speaker(t, func(_ *http.Request, c net.Conn) {
				asked.Add(1)
				_, _ = io.WriteString(c, tt.answer)
			})
			if got := first(t, health.Target{Network: netattach.Host(), Addr: addr, Kind: health.HTTP, Interval: long}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := asked.Load(); got != 1 {
				t.Errorf("asked %d times, want once", got)
			}
		})
	}
}

// If this fails, the wrong page is asked for, or of the wrong host.
func TestHTTPRequest(t *testing.T) {
	for path, want := range map[string]string{
		"":            "GET / HOST close",
		"/healthz":    "GET /healthz HOST close",
		"/h?deep=1":   "GET /h?deep=1 HOST close",
		"/a b":        "GET /a%20b HOST close",
		"relative":    "", // would be part of the port
		"@elsewhere/": "", // of the host
		"/%zz":        "",
	} {
		t.Run(path, func(t *testing.T) {
			seen := make(chan string, 1)
			addr := speaker(t, func(req *http.Request, c net.Conn) {
				seen <- req.Method + " " + req.RequestURI + " " + req.Host + " " + req.Header.Get("Connection")
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			up := first(t, health.Target{Network: netattach.Host(), Addr: addr, Kind: health.HTTP, Path: path, Interval: long})
			got := ""
			select {
			case got = <-seen:
			default:
			}
			if want := strings.ReplaceAll(want, "HOST", addr.String()); got != want || up != (want != "") {
				t.Errorf("got %v, %q, want %q", up, got, want)
			}
		})
	}
}

// If this fails, a backend that accepts and says nothing holds its check for ever,
// or counts as well.
func TestHTTPTimeout(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	silent := speaker(t, func(*http.Request, net.Conn) { <-ctx.Done() })
	target := health.Target{Network: netattach.Host(), Addr: silent, Kind: health.HTTP, Interval: long, Timeout: 20 * time.Millisecond}
	if first(t, target) {
		t.Error("silence counts as well")
	}
	target.Kind = "gopher"
	if first(t, target) {
		t.Error("an unknown kind counts as well")
	}
	// It must not be the timeout alone that ends a check.
	m := health.New(health.Options{})
	target.Kind, target.Timeout = health.HTTP, long
	asked := make(chan struct{}, 1)
	target.Addr = speaker(t, func(*http.Request, net.Conn) { asked <- struct{}{}; <-ctx.Done() })
	m.Watch(target, func(bool) { t.Error("a check that was given up is reported") })
	<-asked
	m.Close()
	cancel()
}

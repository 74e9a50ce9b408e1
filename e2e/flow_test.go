package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// clientPort is the port that endpoints of the tests offer; it is below the
// range of outgoing connections, and each endpoint has an address of its own.
const clientPort = 7180

// backend is a server that the tests play: who connects is handed to the test.
type backend struct {
	port  int
	conns chan *net.TCPConn
}

// newBackend listens on the loopback address that the backend's port id stands
// for, until the test ends.
func newBackend(t *testing.T) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{port: ln.Addr().(*net.TCPAddr).Port, conns: make(chan *net.TCPConn, 256)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(b.conns)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b.conns <- c.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
		for c := range b.conns {
			c.Close()
		}
	})
	return b
}

// newEcho is a backend that answers every connection with what it sends.
func newEcho(t *testing.T) *backend {
	t.Helper()
	var all sync.WaitGroup
	t.Cleanup(all.Wait) // after the listener's: the last cleanup runs first
	b := newBackend(t)
	all.Go(func() {
		for c := range b.conns {
			all.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	return b
}

// at joins an address and the port of the endpoints.
func at(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(clientPort)) }

// dial connects to an endpoint.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// refuses reports whether nobody listens at an address.
func refuses(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s lets a connection in", addr)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: %w, want a refusal", addr, err)
	}
	return nil
}

// mustRefuse wants nobody to listen at an address.
func mustRefuse(t *testing.T, addr string) {
	t.Helper()
	if err := refuses(addr); err != nil {
		t.Fatal(err)
	}
}

// echoes sends a few bytes through an endpoint whose backend is an echo, and
// returns what is wrong, if anything.
func echoes(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	sent, got := []byte(rand.Text()), make([]byte, 26)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%s: %q came back for %q", addr, got, sent)
	}
	return nil
}

// mustEcho wants an endpoint with an echo behind it to carry.
func mustEcho(t *testing.T, addr string) {
	t.Helper()
	if err := echoes(addr); err != nil {
		t.Fatalf("the endpoint does not carry: %v", err)
	}
}

// connect opens a connection through an endpoint and returns both of its ends.
func (b *backend) connect(t *testing.T, addr string) (client, server *net.TCPConn) {
	t.Helper()
	client = dial(t, addr)
	select {
	case server = <-b.conns:
	case <-time.After(patience):
		t.Fatal("the backend was never connected to")
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// exchange sends n random bytes each way at the same time, ends both directions
// in order, and wants every byte to arrive.
func exchange(t *testing.T, client, server *net.TCPConn, n int) {
	t.Helper()
	var all sync.WaitGroup
	transfer := func(from, to *net.TCPConn) {
		sent := make([]byte, n)
		_, _ = rand.Read(sent)
		all.Go(func() {
			if _, err := from.Write(sent); err != nil {
				t.Errorf("send: %v", err)
			}
			_ = from.CloseWrite()
		})
		all.Go(func() {
			got, err := io.ReadAll(to)
			if err != nil {
				t.Errorf("receive: %v", err)
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes arrived, or other ones", len(got), n)
			}
		})
	}
	transfer(client, server)
	transfer(server, client)
	all.Wait()
}

// torrent is traffic in both directions that ends only when it is cut.
type torrent struct {
	ends [2]*net.TCPConn
	read [2]atomic.Int64 // bytes read at each end
	errs [2][2]error     // of each end, of its reader and of its writer
	all  sync.WaitGroup
}

// pour starts a torrent.
func pour(client, server *net.TCPConn) *torrent {
	f := &torrent{ends: [2]*net.TCPConn{client, server}}
	for i := range f.ends {
		f.all.Go(func() {
			buf := make([]byte, 32<<10)
			for f.errs[i][0] == nil {
				var n int
				n, f.errs[i][0] = f.ends[i].Read(buf)
				f.read[i].Add(int64(n))
			}
		})
		f.all.Go(func() {
			buf := make([]byte, 32<<10)
			for f.errs[i][1] == nil {
				_, f.errs[i][1] = f.ends[i].Write(buf)
			}
		})
	}
	return f
}

// wait waits until bytes flow both ways.
func (f *torrent) wait(t *testing.T) {
	t.Helper()
	const enough = 1 << 20
	until(t, "a mebibyte in both directions", func() bool {
		return f.read[0].Load() > enough && f.read[1].Load() > enough
	})
}

// mustEnd wants both ends reset, and nobody to have read more than what had
// arrived at the two ends when the answer came.
func (f *torrent) mustEnd(t *testing.T, arrived [2]int64) {
	t.Helper()
	ended := make(chan struct{})
	go func() { f.all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the flow goes on")
		for _, c := range f.ends {
			_ = c.SetDeadline(time.Unix(1, 0))
		}
		<-ended
	}
	for i, who := range []string{"consumer", "backend"} {
		if !wasReset(f.errs[i][0]) && !wasReset(f.errs[i][1]) {
			t.Errorf("the %s's reader ended with %v and its writer with %v, want a reset", who, f.errs[i][0], f.errs[i][1])
		}
		if got := f.read[i].Load(); got > arrived[i] {
			t.Errorf("%d bytes reached the %s after the answer", got-arrived[i], who)
		}
	}
}

// wasReset reports whether an error is that of a reset. A socket tells of it
// once: of reader and writer only one may learn it.
func wasReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// pulse is a connection through an echo that is used all the time and must never
// lose, change or reset anything.
type pulse struct {
	rounds atomic.Int64
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

// beat starts a pulse through an endpoint.
func beat(t *testing.T, addr string) *pulse {
	t.Helper()
	conn := dial(t, addr)
	ctx, stop := context.WithCancel(context.Background())
	p := &pulse{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer conn.Close()
		sent, got := make([]byte, 4096), make([]byte, 4096)
		for p.err == nil && ctx.Err() == nil {
			_, _ = rand.Read(sent)
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, p.err = conn.Write(sent); p.err != nil {
				return
			}
			if _, p.err = io.ReadFull(conn, got); p.err == nil && !bytes.Equal(sent, got) {
				p.err = errors.New("other bytes came back")
			}
			p.rounds.Add(1)
		}
	}()
	t.Cleanup(func() { stop(); <-p.done })
	return p
}

// goOn waits for some more rounds, and reports whether the connection lived.
func (p *pulse) goOn(t *testing.T) {
	t.Helper()
	want := p.rounds.Load() + 3
	until(t, "a flow goes on", func() bool {
		select {
		case <-p.done:
			return true
		default:
			return p.rounds.Load() >= want
		}
	})
	select {
	case <-p.done:
		t.Errorf("a flow ended after %d rounds: %v", p.rounds.Load(), p.err)
	default:
	}
}

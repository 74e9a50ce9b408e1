package lab_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// backend is a server on one address of a machine, TCP and UDP on the same port,
// that sends back what it gets.
type backend struct {
	machine *machine
	addr    netip.AddrPort
	book    *book // where it notes what arrives; nil notes nothing
	proxy   bool  // a PROXY header precedes the bytes of TCP connections
	// hold keeps every connection as it comes, unread, for the test to take.
	hold bool

	headers  chan *proxyproto.Header // those that came, as far as there is room
	held     chan *net.TCPConn
	accepted atomic.Int64 // TCP connections so far
	served   atomic.Int64 // those that sent something

	mu    sync.Mutex
	conns map[*net.TCPConn]bool
	ln    *net.TCPListener
	pc    *net.UDPConn
	all   sync.WaitGroup
}

// listen starts the backend at an address of a machine until the test ends.
func (b *backend) listen(t *testing.T, m *machine, ip string, port int) *backend {
	t.Helper()
	b.machine, b.addr = m, netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port))
	b.headers, b.held = make(chan *proxyproto.Header, 64), make(chan *net.TCPConn, 256)
	b.start(t)
	t.Cleanup(b.die)
	return b
}

// start opens the listeners, also again after die.
func (b *backend) start(t *testing.T) {
	t.Helper()
	b.ln, b.pc = b.machine.listen(t, b.addr.String())
	b.conns = map[*net.TCPConn]bool{}
	ln, pc := b.ln, b.pc
	b.all.Go(func() { b.accept(ln) })
	b.all.Go(func() { b.datagrams(pc) })
}

// die ends the backend as the end of its process would: nobody listens, and every
// connection is closed.
func (b *backend) die() {
	_ = b.ln.Close()
	_ = b.pc.Close()
	b.mu.Lock()
	for c := range b.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	b.mu.Unlock()
	b.all.Wait()
}

// standing returns how many TCP connections it has.
func (b *backend) standing() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (b *backend) accept(ln *net.TCPListener) {
	for {
		c, err := ln.AcceptTCP()
		if err != nil {
			return
		}
		b.accepted.Add(1)
		b.mu.Lock()
		b.conns[c] = true
		b.mu.Unlock()
		if b.hold {
			b.held <- c
			continue
		}
		b.all.Go(func() {
			b.echo(c)
			_ = c.Close()
			b.mu.Lock()
			delete(b.conns, c)
			b.mu.Unlock()
		})
	}
}

// echo sends back what comes and ends its direction when the other side did.
func (b *backend) echo(c *net.TCPConn) {
	buf := make([]byte, 64<<10)
	var head []byte // what came while it was not known whose connection it is
	header, silent := b.proxy, true
	var who *tag
	for {
		n, at, err := receive(c, buf)
		if err != nil {
			return
		}
		if n == 0 {
			_ = c.CloseWrite()
			return
		}
		data := buf[:n]
		if silent {
			silent = false
			b.served.Add(1)
		}
		if header {
			head = append(head, data...)
			h, rest, whole := cutHeader(head)
			if !whole {
				continue
			}
			select {
			case b.headers <- h:
			default:
			}
			header, data, head = false, rest, nil
		}
		if who == nil && len(head) < frameSize {
			if head = append(head, data...); len(head) >= frameSize {
				who = tagOf(head)
			}
		}
		if b.book != nil && who != nil && len(data) > 0 {
			b.book.arrived(*who, at, "the backend")
		}
		if _, err := c.Write(data); err != nil {
			return
		}
	}
}

// cutHeader takes a PROXY header off the begin of a stream.
func cutHeader(data []byte) (h *proxyproto.Header, rest []byte, whole bool) {
	const fixed = 16 // of version 2: signature, command, family and length
	if len(data) < fixed {
		return nil, nil, false
	}
	size := fixed + int(binary.BigEndian.Uint16(data[fixed-2:]))
	if len(data) < size {
		return nil, nil, false
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data[:size])))
	if err != nil {
		return nil, data, true // nobody will find the header that it waits for
	}
	return h, data[size:], true
}

func (b *backend) datagrams(pc *net.UDPConn) {
	buf, oob := make([]byte, 64<<10), make([]byte, 128)
	for {
		n, oobn, _, from, err := pc.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // somebody was sent an answer and is gone
		}
		if who := tagOf(buf[:n]); who != nil && b.book != nil {
			b.book.arrived(*who, stampOf(oob[:oobn]), "the backend")
		}
		_, _ = pc.WriteToUDPAddrPort(buf[:n], from) // as any datagram, it may be lost
	}
}

// take returns the next connection that is held.
func (b *backend) take(t *testing.T) *net.TCPConn {
	t.Helper()
	select {
	case c := <-b.held:
		return c
	case <-time.After(patience):
		t.Fatal("the backend was never connected to")
		return nil
	}
}

// at joins an address and a port.
func at(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

// echoes sends bytes to an echo once, and returns what is wrong, if anything.
func echoes(t *testing.T, m *machine, network, from, to string, timeout time.Duration) error {
	t.Helper()
	c, err := m.dial(t.Context(), network, from, to, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	return echoOn(c, newFrame(tag{}), timeout)
}

// echoOn sends bytes on a connection and wants them back. Datagrams that come late
// are passed over.
func echoOn(c net.Conn, sent []byte, timeout time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write(sent); err != nil {
		return err
	}
	_, udp := c.(*net.UDPConn)
	got := make([]byte, len(sent))
	for {
		_, err := io.ReadFull(c, got)
		switch {
		case err != nil:
			return err
		case bytes.Equal(got, sent):
			return nil
		case !udp:
			return errors.New("other bytes came back")
		}
	}
}

// mustEcho wants a way to carry.
func mustEcho(t *testing.T, m *machine, network, from, to string) {
	t.Helper()
	if err := echoes(t, m, network, from, to, patience); err != nil {
		t.Fatalf("%s from %s in %s to %s does not carry: %v", network, from, m.name, to, err)
	}
}

// mustNotEcho wants a way to carry nothing.
func mustNotEcho(t *testing.T, m *machine, network, from, to string) {
	t.Helper()
	if err := echoes(t, m, network, from, to, moment); err == nil {
		t.Errorf("%s from %s in %s to %s carries", network, from, m.name, to)
	}
}

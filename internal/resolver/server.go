package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

const (
	// maxQuery is the longest message that is read, in bytes. A question with the
	// longest name, an OPT record and padding to blocks of 128 (RFC 8467) has less
	// than half of it.
	maxQuery = maxPayload
	// maxConns is the most TCP connections of one server at a time. Resolvers ask
	// over UDP and come by TCP for what was truncated, which nothing of ours is.
	// What is over it is closed at once; UDP does not suffer from it.
	maxConns = 256
	// idleTimeout is how long a TCP client may take to send a whole query, from
	// its connect or the answer before (RFC 7766, 6.2.3: a few seconds).
	idleTimeout = 10 * time.Second
	// writeTimeout is how long an answer over TCP may wait for room in the socket,
	// which holds thousands: only a client that does not read gets so far.
	writeTimeout = 2 * time.Second
	// datagramTimeout is the same over UDP, where the others wait meanwhile. Room
	// is short there only while the kernel looks for a neighbour that is not there.
	datagramTimeout = 20 * time.Millisecond
	// retryPause is how long a listener rests after an error of the system, such
	// as no descriptor left, which else would come again at once.
	retryPause = time.Second
)

// Server answers on one address of one network, over UDP and TCP.
type Server struct {
	resolver *Resolver
	network  netattach.Network
	addr     netip.AddrPort
	tcp      *net.TCPListener
	udp      *net.UDPConn
	release  func()
	stop     context.CancelFunc
	running  sync.WaitGroup
	once     sync.Once

	mu     sync.Mutex
	closed bool
	conns  map[*net.TCPConn]struct{}
}

// Start holds the address in the network, listens on it over TCP and UDP, and
// answers from the network's names until Close. Port 0 takes a free one, the
// same for both. The end of ctx ends a Start that waits, and not the Server. The
// error is a *netattach.BindError where the network refuses the address.
func (r *Resolver) Start(ctx context.Context, network netattach.Network, addr netip.AddrPort) (*Server, error) {
	if _, ok := dns.IsDomainName(r.mailbox); !ok || r.zone == "." {
		return nil, fmt.Errorf("dns suffix %q is no domain name", r.zone)
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.Addr().IsValid() || addr.Addr().IsUnspecified() {
		return nil, fmt.Errorf("dns in %s: give one address of the network to answer on, not %q", network, addr.Addr())
	}
	release, err := network.Hold(ctx, addr.Addr())
	if err != nil {
		return nil, fmt.Errorf("dns in %s: hold %s: %w", network, addr.Addr(), err)
	}
	tcp, err := network.Listen(ctx, addr)
	if err != nil {
		release()
		return nil, fmt.Errorf("dns in %s over tcp: %w", network, err)
	}
	addr = netip.AddrPortFrom(addr.Addr(), tcp.Addr().(*net.TCPAddr).AddrPort().Port())
	udp, err := network.ListenPacket(ctx, addr)
	if err != nil {
		_ = tcp.Close()
		release()
		return nil, fmt.Errorf("dns in %s over udp: %w", network, err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		resolver: r, network: network, addr: addr, tcp: tcp, udp: udp, release: release, stop: stop,
		conns: make(map[*net.TCPConn]struct{}),
	}
	s.running.Go(func() { s.serveTCP(run) })
	s.running.Go(func() { s.serveUDP(run) })
	return s, nil
}

// Addr is the address and port that answer.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Close stops answering, closes every connection without waiting for its client,
// and gives the address back. When it returns, no goroutine of the Server is
// left. A second call does nothing more.
func (s *Server) Close() {
	s.once.Do(func() {
		s.stop()
		_ = s.tcp.Close()
		_ = s.udp.Close()
		s.mu.Lock()
		s.closed = true
		for conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
		s.release()
	})
}

// serveUDP answers one query after the other: making an answer takes
// microseconds, and what comes faster waits in the socket's buffer or is lost,
// as UDP may lose anything.
func (s *Server) serveUDP(ctx context.Context) {
	buf := make([]byte, maxQuery)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !s.rest(ctx, "udp", err) {
				return
			}
			continue
		}
		if answer := s.reply(buf[:n], false); answer != nil {
			_ = s.udp.SetWriteDeadline(in(datagramTimeout))
			_, _ = s.udp.WriteToUDPAddrPort(answer, from) // lost answers are asked for again
		}
	}
}

func (s *Server) serveTCP(ctx context.Context) {
	for {
		conn, err := s.tcp.AcceptTCP()
		if err != nil {
			if !s.rest(ctx, "tcp", err) {
				return
			}
			continue
		}
		if !s.admit(conn) {
			_ = conn.Close()
		}
	}
}

// rest waits after an error of a listener, and reports whether to go on.
func (s *Server) rest(ctx context.Context, protocol string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.resolver.log.WarnContext(ctx, "dns rests after an error", "network", s.network.String(),
		"address", s.addr.String(), "protocol", protocol, "pause", retryPause.String(), "err", err)
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admit serves conn in a goroutine of its own, if there is room for one.
func (s *Server) admit(conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConns {
		return false
	}
	s.conns[conn] = struct{}{}
	s.running.Go(func() { s.serveConn(conn) })
	return true
}

// serveConn answers the queries of one connection in their order, until the
// client ends it, is too slow, or sends what is no query.
func (s *Server) serveConn(conn *net.TCPConn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	buf := make([]byte, maxQuery)
	for {
		_ = conn.SetReadDeadline(in(s.resolver.idle))
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if n > maxQuery {
			return
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return
		}
		answer := s.reply(buf[:n], true)
		if answer == nil {
			return
		}
		_ = conn.SetWriteDeadline(in(writeTimeout))
		frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer)))
		if _, err := conn.Write(append(frame, answer...)); err != nil {
			return
		}
	}
}

// in is the deadline d from now.
func in(d time.Duration) time.Time {
	return time.Now().Add(d) //nolint:forbidigo // a socket's deadline is compared with the system's clock
}

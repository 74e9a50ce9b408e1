//go:build !linux || portable

package forward

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxDatagram is the room for one datagram: the largest that UDP has is smaller.
const maxDatagram = 64 << 10

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// session is one client's datagrams.
type session struct {
	passage
	carrier  *carrier
	conn     *net.UDPConn // to the backend
	last     atomic.Int64
	up, down atomic.Uint64
	gone     chan struct{}
	turn     sync.Mutex // held while something is written

	mu  sync.Mutex
	how Ending
}

// receive takes datagrams of clients until the door is closed.
func (c *carrier) receive(d *door) {
	sessions := make(map[netip.AddrPort]*session)
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for {
		n, from, err := d.socket.udp.ReadFromUDPAddrPort(buf[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of one datagram, as systems tell of what became of an earlier
		}
		from = unmapped(from)
		se := sessions[from]
		if se != nil && se.ended() {
			se = nil
		}
		if se == nil {
			for a, old := range sessions {
				if old.ended() {
					delete(sessions, a)
				}
			}
			if se = c.session(d, from); se == nil {
				continue
			}
			sessions[from] = se
		}
		se.toBackend(buf[:n])
	}
}

// session begins one, or returns nil when the client is refused.
func (c *carrier) session(d *door, from netip.AddrPort) *session {
	lane := &d.f.lanes[0]
	lane.flows.mu.Lock()
	p, reason := d.f.judge(d, from, c.engine.elapsed())
	if reason != none {
		lane.flows.mu.Unlock()
		return nil
	}
	se := &session{passage: p, carrier: c, gone: make(chan struct{})}
	se.last.Store(int64(p.began))
	for se.choose(p.began) {
		// To connect a UDP socket asks nobody.
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(se.backend()))
		if err == nil {
			se.conn = conn
			break
		}
		se.failed(p.began, err)
	}
	if se.conn == nil {
		lane.flows.mu.Unlock()
		se.over(RefusedDialError, 0, 0)
		return nil
	}
	lane.flows.add(se)
	lane.flows.mu.Unlock()
	c.touch(d.f)
	c.run.Go(se.run)
	return se
}

// toBackend sends one datagram on.
func (se *session) toBackend(p []byte) {
	if n, ok := se.write(func() (int, error) { return se.conn.Write(p) }); ok {
		se.count(&se.door.f.lanes[0].toBackend, &se.up, n)
	}
}

// write writes unless the session is over or shut. A datagram that is not taken is
// lost, as datagrams are; that nobody is there ends the session.
func (se *session) write(do func() (int, error)) (int, bool) {
	se.turn.Lock()
	defer se.turn.Unlock()
	if se.quiet() || se.door.removed.Load() || se.ended() {
		return 0, false
	}
	n, err := do()
	if refusedByPeer(err) && se.kill(BackendGone) {
		se.failed(se.carrier.engine.elapsed(), err)
	}
	return n, err == nil
}

func (se *session) count(lane, own *atomic.Uint64, n int) {
	lane.Add(uint64(n))
	own.Add(uint64(n))
	se.last.Store(int64(se.carrier.engine.elapsed()))
	se.carrier.touch(se.door.f)
}

// run takes datagrams of the backend until the session is over.
func (se *session) run() {
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	se.mind()
	for !se.ended() {
		n, err := se.conn.Read(buf[:])
		switch {
		case err == nil:
			n, ok := se.write(func() (int, error) { return se.door.socket.udp.WriteToUDPAddrPort(buf[:n], se.source) })
			if ok {
				se.count(&se.door.f.lanes[0].toClient, &se.down, n)
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			se.mind()
		case errors.Is(err, net.ErrClosed):
			se.kill(ByCut)
		default:
			if se.kill(BackendGone) {
				se.failed(se.carrier.engine.elapsed(), err)
			}
		}
	}
	_ = se.conn.Close()
	f := se.door.f
	f.lanes[0].flows.remove(se)
	se.carrier.touch(f)
	se.over(se.how, se.up.Load(), se.down.Load())
	close(se.gone)
}

func (se *session) ended() bool {
	se.mu.Lock()
	defer se.mu.Unlock()
	return se.how != ""
}

func (se *session) kill(how Ending) bool {
	se.mu.Lock()
	defer se.mu.Unlock()
	if se.how != "" {
		return false
	}
	se.how = how
	_ = se.conn.SetReadDeadline(longAgo)
	return true
}

// mute returns when nothing is written any more: a datagram never waits.
func (se *session) mute() {
	se.turn.Lock()
	se.turn.Unlock() //nolint:staticcheck // SA2001: the empty section is the wait
}

// mind sets the read deadline to the next of the session's deadlines, and ends it at
// one.
func (se *session) mind() {
	left, how := se.remaining(se.carrier.engine.elapsed(), time.Duration(se.last.Load()), se.plan.spec.UDPTimeout, Expired)
	if left <= 0 {
		se.kill(how)
		return
	}
	se.mu.Lock()
	defer se.mu.Unlock()
	if se.how == "" {
		_ = se.conn.SetReadDeadline(time.Now().Add(left)) //nolint:forbidigo // a deadline of the operating system is of its clock
	}
}

func (se *session) what() *passage { return &se.passage }

func (se *session) done() <-chan struct{} { return se.gone }

// refusedByPeer reports whether an error of writing says that nobody is there.
func refusedByPeer(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

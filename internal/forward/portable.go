//go:build !linux || portable

package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// carrier is the portable engine: a goroutine that accepts for each door and two for
// each flow.
type carrier struct {
	engine *Engine
	run    sync.WaitGroup // everything but flows, which are in their lane
}

// doorSocket is a door's socket and the goroutine that takes what comes.
type doorSocket struct {
	ln   *net.TCPListener
	udp  *net.UDPConn
	quit chan struct{} // ends a pause between two accepts
	loop sync.WaitGroup
}

// rider is a flow or a session.
type rider interface {
	// kill makes it end soon, and reports false when it is ending already.
	kill(how Ending) bool
	// mute returns when it writes no byte any more. The stage is shut.
	mute()
	// mind looks at its deadlines anew.
	mind()
	what() *passage
	done() <-chan struct{}
}

// members are the flows and sessions of a forwarder. Whoever lets one in holds mu from
// the judgement to the entry, so that a sweep finds it.
type members struct {
	mu  sync.Mutex
	all map[rider]struct{} // nil when there is none: most endpoints are idle
}

func (m *members) add(r rider) {
	if m.all == nil {
		m.all = make(map[rider]struct{})
	}
	m.all[r] = struct{}{}
}

func (m *members) remove(r rider) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, r)
	if len(m.all) == 0 {
		m.all = nil // a map never shrinks
	}
}

// list returns those who are there now.
func (m *members) list() []rider {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]rider, 0, len(m.all))
	for r := range m.all {
		list = append(list, r)
	}
	return list
}

func newCarrier(e *Engine, _ int) (*carrier, error) { return &carrier{engine: e}, nil }

func (c *carrier) lanes() int { return 1 }

// close returns when no goroutine is left. Everything has been cut.
func (c *carrier) close() { c.run.Wait() }

// bind opens a door's socket.
func (c *carrier) bind(ctx context.Context, spec *Spec, d *door) error {
	addr := netip.AddrPortFrom(spec.Address, d.clientPort)
	d.socket.quit = make(chan struct{})
	var err error
	if !d.udp {
		d.socket.ln, err = spec.Listen.Listen(ctx, addr)
		return err
	}
	if spec.Dial != netattach.Host() {
		return fmt.Errorf("UDP to %s: this build reaches backends of UDP on the host only", spec.Dial)
	}
	d.socket.udp, err = spec.Listen.ListenPacket(ctx, addr)
	return err
}

// start takes what comes to the doors.
func (c *carrier) start(doors []*door) func() error {
	for _, d := range doors {
		if d.udp {
			d.socket.loop.Go(func() { c.receive(d) })
		} else {
			d.socket.loop.Go(func() { c.accept(d) })
		}
	}
	return func() error { return nil }
}

// silence closes the doors. When it returns nobody is let in there any more, whoever
// was let in under an older plan can be found, and where the forwarder is shut no byte
// is written.
func (c *carrier) silence(f *Forwarder, doors []*door) {
	for _, d := range doors {
		close(d.socket.quit)
		if d.udp {
			_ = d.socket.udp.Close()
		} else {
			_ = d.socket.ln.Close()
		}
	}
	for _, d := range doors {
		d.socket.loop.Wait()
	}
	for _, r := range f.lanes[0].flows.list() {
		if f.stage.Load() == shut {
			r.mute()
		}
	}
}

// flush resets every flow, since nothing here tells what the kernel has queued.
func (c *carrier) flush(f *Forwarder) int { return c.sweep(f, nil) }

// sweep ends the forwarder's flows that match, all if match is nil, and returns how
// many those were, when they are gone.
func (c *carrier) sweep(f *Forwarder, match func(*passage) bool) int {
	how := ByUpdate
	if match == nil {
		how = ByCut
	}
	count := 0
	var leaving []rider
	for _, r := range f.lanes[0].flows.list() {
		if match == nil || match(r.what()) {
			leaving = append(leaving, r)
			if r.kill(how) {
				count++
			}
		}
	}
	for _, r := range leaving {
		<-r.done()
	}
	return count
}

// drain makes the forwarder's flows look at their deadlines anew.
func (c *carrier) drain(f *Forwarder) {
	for _, r := range f.lanes[0].flows.list() {
		r.mind()
	}
}

// checkMark reports why a socket cannot be marked.
func checkMark(uint32) error {
	return fmt.Errorf("marks need the Linux engine: %w", errors.ErrUnsupported)
}

// Pauses between two accepts that failed for want of descriptors or memory: short
// at first, since that passes quickly, and never so long that an endpoint seems
// dead when it is over.
const (
	minAcceptPause = 10 * time.Millisecond
	maxAcceptPause = time.Second
)

// accept lets connections in until the door is closed. An error never ends it: an
// endpoint that is shown as accepted has a listener that stands.
func (c *carrier) accept(d *door) {
	var pause time.Duration
	for {
		conn, err := d.socket.ln.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			c.admit(d, conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			c.engine.log.WarnContext(context.Background(), "accept error, pausing",
				"endpoint_id", d.f.id, "client_port", d.clientPort, "pause", pause, "err", err)
			d.wait(pause)
		}
	}
}

// wait returns after the pause, or once the door is closed.
func (d *door) wait(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.socket.quit:
	}
}

// unmapped writes an address of a socket as the specs do.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// touch notes that something was carried, or that a flow came or went.
func (c *carrier) touch(f *Forwarder) { f.lanes[0].last.Store(int64(c.engine.elapsed()) + 1) }

// remaining returns how long it is until the earliest of a flow's deadlines, with how
// it ends then; nothing is due where how is empty.
func (p *passage) remaining(now, last, idle time.Duration, onIdle Ending) (left time.Duration, how Ending) {
	if idle > 0 {
		left, how = last+idle-now, onIdle
	}
	if leave := time.Duration(p.target.leave.Load()); leave > 0 && (how == "" || leave-now < left) {
		left, how = leave-now, Drained
	}
	return left, how
}

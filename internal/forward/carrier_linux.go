//go:build !portable

package forward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// carrier is the event loops of an engine.
type carrier struct {
	loops []*loop
	procs int           // how many processors the loops were given
	next  atomic.Uint32 // whose turn it is to own a UDP socket
	run   sync.WaitGroup
}

// doorSocket is a door's descriptor and where the loops have it. The fields are set
// before the door is started; listeners and sessions belong to their loops.
type doorSocket struct {
	fd        int32
	listeners []listener // of TCP, one for each loop
	sessions  *sessions  // of UDP, in one loop
}

// newCarrier starts n loops.
func newCarrier(e *Engine, n int) (*carrier, error) {
	c := &carrier{loops: make([]*loop, n), procs: n}
	addProcs(n)
	errs := make([]error, n)
	var begun sync.WaitGroup
	begun.Add(n)
	for i := range n {
		c.run.Go(func() {
			runtime.LockOSThread() // the loop belongs to the thread that it is made on
			l, err := newLoop(e, i)
			c.loops[i], errs[i] = l, err
			begun.Done()
			if err == nil {
				l.run()
			}
		})
	}
	begun.Wait()
	if err := errors.Join(errs...); err != nil {
		c.loops = slices.DeleteFunc(c.loops, func(l *loop) bool { return l == nil })
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the loops. Nothing is open any more.
func (c *carrier) close() {
	for _, l := range c.loops {
		l.post(func(l *loop) { l.quit = true })
	}
	c.run.Wait()
	addProcs(-c.procs)
}

var procs sync.Mutex

// addProcs raises the number of goroutines that run at a time. A loop is one that
// runs, for Go's scheduler, also while it naps: without a place of its own it would
// take that of others, and those who decide could wait for ten milliseconds until they
// are let in. What the machine really has is shared out by the kernel.
func addProcs(n int) {
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

func (c *carrier) lanes() int { return len(c.loops) }

// everywhere carries out an order on each loop and waits for all.
func (c *carrier) everywhere(order func(*loop)) {
	var wg sync.WaitGroup
	wg.Add(len(c.loops))
	for _, l := range c.loops {
		l.post(func(l *loop) {
			order(l)
			wg.Done()
		})
	}
	wg.Wait()
}

// bind opens a door's socket. Nobody is let in before start.
func (c *carrier) bind(ctx context.Context, spec *Spec, d *door) error {
	addr := netip.AddrPortFrom(spec.Address, d.clientPort)
	var conn interface {
		SyscallConn() (syscall.RawConn, error)
		Close() error
	}
	var err error
	if d.udp {
		conn, err = spec.Listen.ListenPacket(ctx, addr)
	} else {
		conn, err = spec.Listen.Listen(ctx, addr)
	}
	if err != nil {
		return err
	}
	// The runtime's poller has nothing to do with it: keep a descriptor of our own.
	fd, err := takeFD(conn)
	if cerr := conn.Close(); err == nil && cerr != nil {
		closeFD(fd)
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("take the socket of %s: %w", addr, err)
	}
	if spec.Mark != 0 {
		// What is accepted inherits it.
		if errno := setOption(fd, unix.SOL_SOCKET, unix.SO_MARK, int(spec.Mark)); errno != 0 {
			closeFD(fd)
			return fmt.Errorf("mark the socket of %s: %w", addr, errno)
		}
	}
	d.socket.fd = fd
	if d.udp {
		d.socket.sessions = newSessions(d, c.loops[int(c.next.Add(1))%len(c.loops)])
		return nil
	}
	prepareListener(fd)
	d.socket.listeners = make([]listener, len(c.loops))
	return nil
}

func takeFD(conn interface {
	SyscallConn() (syscall.RawConn, error)
},
) (int32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var fd int
	var dup error
	if err := raw.Control(func(own uintptr) { fd, dup = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return int32(fd), dup
}

// start makes the loops listen at the doors, which are the order's from here on. The
// function it returns waits until they do and says whether they can.
func (c *carrier) start(doors []*door) func() error {
	errs := make([]unix.Errno, len(c.loops))
	var wg sync.WaitGroup
	wg.Add(len(c.loops))
	for i, l := range c.loops {
		l.post(func(l *loop) {
			defer wg.Done()
			for _, d := range doors {
				errno := l.listen(d)
				if errs[i] == 0 {
					errs[i] = errno
				}
			}
		})
	}
	return func() error {
		wg.Wait()
		for _, errno := range errs {
			if errno != 0 {
				return fmt.Errorf("watch a listening socket: %w", errno)
			}
		}
		return nil
	}
}

// listen begins to take what comes to the door.
func (l *loop) listen(d *door) unix.Errno {
	if d.udp {
		return d.socket.sessions.listen(l)
	}
	ln := &d.socket.listeners[l.n]
	ln.door, ln.id = d, l.slot(ln)
	ln.standing = true
	return ln.watch(l)
}

// silence makes the loops forget the doors and closes them. When it returns nobody is
// let in there any more, and each loop is past the event that it was at. A connection
// that one loop has given to another may be under way, and stands in the other's orders
// before any that is given from now on.
func (c *carrier) silence(_ *Forwarder, doors []*door) {
	c.everywhere(func(l *loop) {
		for _, d := range doors {
			if d.udp {
				d.socket.sessions.forget(l)
			} else if ln := &d.socket.listeners[l.n]; ln.standing {
				ln.forget(l)
			}
		}
	})
	for _, d := range doors {
		closeFD(d.socket.fd)
	}
}

// flush resets the forwarder's flows of which the kernel has bytes queued and returns
// how many those were, when they are gone.
func (c *carrier) flush(f *Forwarder) int {
	var total atomic.Int64
	c.everywhere(func(l *loop) {
		for m := l.lane(f).flows.head; m != nil; {
			next := m.next
			if m.owner.queues() {
				m.owner.reset(l, ByCut)
				total.Add(1)
			}
			m = next
		}
	})
	return int(total.Load())
}

// sweep resets the forwarder's flows that match, all if match is nil, and returns how
// many those were, when they are gone.
func (c *carrier) sweep(f *Forwarder, match func(*passage) bool) int {
	how := ByUpdate
	if match == nil {
		how = ByCut
	}
	var total atomic.Int64
	var wg sync.WaitGroup
	wg.Add(len(c.loops))
	for _, l := range c.loops {
		l.post(func(l *loop) {
			s := &sweep{how: how, done: func(n int) {
				total.Add(int64(n))
				wg.Done()
			}}
			for m := l.lane(f).flows.head; m != nil; {
				next := m.next
				if match == nil || match(m.owner.what()) {
					m.remove()
					s.victims.add(m)
				}
				m = next
			}
			l.sweeps = append(l.sweeps, s)
		})
	}
	wg.Wait()
	return int(total.Load())
}

// drain makes the forwarder's flows look at their deadlines anew.
func (c *carrier) drain(f *Forwarder) {
	for _, l := range c.loops {
		l.post(func(l *loop) {
			for m := l.lane(f).flows.head; m != nil; m = m.next {
				m.owner.mind(l)
			}
		})
	}
}

// checkMark reports why a socket cannot be marked.
func checkMark(mark uint32) error {
	fd, errno := socket(unix.AF_INET, unix.SOCK_DGRAM)
	if errno != 0 {
		return errno
	}
	defer closeFD(fd)
	if errno := setOption(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); errno != 0 {
		if errno == unix.EPERM {
			return fmt.Errorf("the capability CAP_NET_ADMIN is needed: %w", errno)
		}
		return errno
	}
	return nil
}

//go:build !portable

package forward

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

const (
	// eventBatch is how many events are taken at a time: enough that a busy loop asks
	// rarely, and few enough that the buffer stays in the cache.
	eventBatch = 128
	// readSize is how much is read at a time. It is the size of the buffer that the
	// flows of a loop share.
	readSize = 64 << 10
	// sweepChunk is how many flows are reset between two looks at the events of
	// others: a thousandth of a second, or the neighbours of a large endpoint that is
	// cut would stand still meanwhile.
	sweepChunk = 32
	// spinPolls is how often a loop asks for events before it sleeps, some 40 µs in
	// all, and spinPace the mean time between two turns under which it does so: then
	// the next event is mostly there before a sleeper could be woken. With it one
	// connection's questions and answers are half as fast again where processors are
	// free. Where they are not, whoever shall answer waits for the one that spins: a
	// loop whose spinning fails gives it up for spinRest turns. What succeeds pays for
	// what fails, spinLoss each, up to a credit of spinLuck. A loop with pauses never
	// spins.
	spinPolls = 200
	spinPace  = 50 * time.Microsecond
	spinRest  = 500
	spinLoss  = 4
	spinLuck  = 16
	// maxPause is what a longer pause counts as, so that one is soon forgotten.
	maxPause = 10 * spinPace
	// nap is how many milliseconds a loop sleeps before it sleeps for good.
	nap = 1
)

// handler is what an event is for.
type handler interface {
	// ready is told what epoll says of the descriptor registered as side.
	ready(l *loop, side int, events uint32)
}

// slot is a place in a loop's table. Events name it by its number and by the
// generation, so that an event of something that is gone finds nobody.
type slot struct {
	gen uint32
	h   handler
}

// loop is a goroutine on a thread of its own that carries a share of the flows. What
// is not said to be otherwise is used by that goroutine alone.
type loop struct {
	engine *Engine
	n      int // its number
	ep     int32
	wake   int32 // an eventfd that ends its sleep
	thread *netattach.Thread
	now    time.Duration // the engine's time when the events at hand came
	pace   time.Duration // the mean time between two turns
	luck   int           // the credit of spin

	slots  []slot
	free   []uint32
	events [eventBatch]unix.EpollEvent
	again  []ref // flows that have more to do than their share of a turn
	turn   []ref
	wheel  wheel
	sweeps []*sweep
	quit   bool

	buf    []byte // readSize bytes that nobody keeps
	from   sockaddr
	spares spares
	batch  *batch // for datagrams; nil until one comes

	flows atomic.Int64 // how many it has; others read it

	// urgent says that there are orders; it is read between any two events, so that a
	// decision overtakes a backlog. asleep says that wake is needed.
	urgent atomic.Bool
	asleep atomic.Bool
	mu     sync.Mutex
	orders []func(*loop) // guarded by mu
}

// ref names something in a loop's table that may be gone by now.
type ref struct{ id, gen uint32 }

// newLoop makes a loop on the calling goroutine's thread.
func newLoop(e *Engine, n int) (*loop, error) {
	l := &loop{engine: e, n: n, ep: -1, wake: -1, buf: make([]byte, readSize)}
	thread, err := netattach.NewThread()
	if err != nil {
		return nil, err
	}
	l.thread = thread
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		l.release()
		return nil, fmt.Errorf("make an epoll descriptor: %w", err)
	}
	l.ep = int32(ep)
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		l.release()
		return nil, fmt.Errorf("make an event descriptor: %w", err)
	}
	l.wake = int32(wake)
	if errno := l.watch(l.wake, l.slot(wakeup{}), 0, unix.EPOLLIN|unix.EPOLLET); errno != 0 {
		l.release()
		return nil, fmt.Errorf("watch an event descriptor: %w", errno)
	}
	l.now = e.elapsed()
	return l, nil
}

// release closes what the loop holds.
func (l *loop) release() {
	l.spares.close()
	for _, fd := range []int32{l.wake, l.ep} {
		if fd >= 0 {
			closeFD(fd)
		}
	}
	_ = l.thread.Close() // the descriptor of a namespace: nothing is lost
}

// wakeup takes the events of a loop's eventfd, which have done their work by coming.
type wakeup struct{}

func (wakeup) ready(*loop, int, uint32) {}

// run is the loop. It returns once it has been told to quit and nothing is left.
func (l *loop) run() {
	runtime.LockOSThread() // for good: the thread ends in whatever namespace it is in
	defer l.release()
	for !l.quit {
		n := l.wait()
		before := l.now
		l.now = l.engine.elapsed()
		l.pace += (min(l.now-before, maxPause) - l.pace) / 8
		for i := range n {
			if l.urgent.Load() {
				l.obey()
			}
			ev := &l.events[i]
			id := uint32(ev.Fd)
			if s := &l.slots[id>>1]; s.gen == uint32(ev.Pad) && s.h != nil {
				s.h.ready(l, int(id&1), ev.Events)
			}
		}
		if l.urgent.Load() {
			l.obey()
		}
		l.wheel.fire(l)
		l.continueFlows()
		l.continueSweeps()
	}
}

// wait takes events, sleeping if there is nothing to do.
//
// Sleeping has three depths, because waking up is what costs most where little is
// carried at a time. While events follow each other closely the loop asks again for a
// few microseconds. Then it sleeps for a moment without telling Go's scheduler, which
// would take its processor away and call its watchdog each time. Only then does it
// sleep for good; whoever is idle does so all the time.
func (l *loop) wait() int {
	if n := epollNap(l.ep, l.events[:], 0); n > 0 || len(l.again) > 0 || len(l.sweeps) > 0 {
		return n
	}
	if l.pace < spinPace {
		if n := l.spin(); n > 0 {
			return n
		}
	}
	l.asleep.Store(true)
	defer l.asleep.Store(false)
	if l.urgent.Load() {
		return 0 // it came before anybody could know that we sleep
	}
	ms := l.wheel.wait(l.now)
	if ms == 0 {
		return 0
	}
	if n := epollNap(l.ep, l.events[:], nap); n > 0 || ms == nap {
		return n
	}
	return epollWait(l.ep, l.events[:], max(ms-nap, -1))
}

// spin asks for events for a few microseconds, as long as that is mostly worth it.
func (l *loop) spin() int {
	if l.luck--; l.luck < 0 {
		if l.luck < -spinRest {
			l.luck = 1 // one try
		}
		return 0
	}
	for range spinPolls {
		if n := epollNap(l.ep, l.events[:], 0); n > 0 || l.urgent.Load() {
			l.luck = min(l.luck+2, spinLuck)
			return n
		}
	}
	l.luck -= spinLoss
	return 0
}

// post gives the loop an order, to be carried out between the event that it is at and
// the next. Orders are carried out as they were given. Any goroutine may call it.
func (l *loop) post(order func(*loop)) {
	l.mu.Lock()
	l.orders = append(l.orders, order)
	l.mu.Unlock()
	l.urgent.Store(true)
	if l.asleep.Load() {
		// It is never read, so it may only count by ones: a full counter wakes nobody.
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(int(l.wake), one[:])
	}
}

// obey carries out the orders.
func (l *loop) obey() {
	l.urgent.Store(false) // before they are taken: one that comes later sets it anew
	l.mu.Lock()
	orders := l.orders
	l.orders = nil
	l.mu.Unlock()
	for _, order := range orders {
		order(l)
	}
}

// slot gives the handler a place in the table and returns its id, of which the lowest
// bit is the side.
func (l *loop) slot(h handler) uint32 {
	if n := len(l.free); n > 0 {
		i := l.free[n-1]
		l.free = l.free[:n-1]
		l.slots[i].h = h
		return i << 1
	}
	l.slots = append(l.slots, slot{h: h})
	return uint32(len(l.slots)-1) << 1
}

// forget takes a handler out of the table: none of its events finds it any more.
func (l *loop) forget(id uint32) {
	s := &l.slots[id>>1]
	s.h = nil
	s.gen++
	l.free = append(l.free, id>>1)
}

// watch asks for the events of a descriptor.
func (l *loop) watch(fd int32, id uint32, side int, events uint32) unix.Errno {
	return epollAdd(l.ep, fd, events, id|uint32(side), l.slots[id>>1].gen)
}

// later makes the loop come back to the flow when others have had their turn.
func (l *loop) later(fl *flow) {
	if !fl.queued {
		fl.queued = true
		l.again = append(l.again, ref{fl.id, l.slots[fl.id>>1].gen})
	}
}

// continueFlows gives those their turn that had more to do.
func (l *loop) continueFlows() {
	if len(l.again) == 0 {
		return
	}
	l.turn, l.again = l.again, l.turn[:0]
	for _, r := range l.turn {
		if l.urgent.Load() {
			l.obey()
		}
		if s := &l.slots[r.id>>1]; s.gen == r.gen {
			fl := s.h.(*flow)
			fl.queued = false
			_ = l.carry(fl, 0) && l.carry(fl, 1)
		}
	}
}

// sweep is flows that shall be reset. They are on a list of its own, from which one
// that ends by itself disappears.
type sweep struct {
	victims members
	how     Ending
	count   int
	done    func(int)
}

// continueSweeps resets the next few flows of each sweep.
func (l *loop) continueSweeps() {
	if len(l.sweeps) == 0 {
		return
	}
	rest := l.sweeps[:0]
	for _, s := range l.sweeps {
		for n := 0; n < sweepChunk && s.victims.head != nil; n++ {
			s.victims.head.owner.reset(l, s.how)
			s.count++
		}
		if s.victims.head != nil {
			rest = append(rest, s)
			continue
		}
		s.done(s.count)
	}
	clear(l.sweeps[len(rest):])
	l.sweeps = rest
}

// member is what a flow or session is in a list of its forwarder's. Its owner embeds
// it.
type member struct {
	list       *members
	next, prev *member
	owner      interface {
		// reset ends it at once; both sides see a reset where there is one.
		reset(l *loop, how Ending)
		// queues says that the kernel has bytes of it that a peer has not acknowledged.
		queues() bool
		// mind looks at its deadlines anew.
		mind(l *loop)
		what() *passage
	}
}

// members is a list of the flows and sessions of one forwarder in one loop. The loop
// uses it.
type members struct{ head *member }

func (s *members) add(m *member) {
	m.list, m.prev, m.next = s, nil, s.head
	if s.head != nil {
		s.head.prev = m
	}
	s.head = m
}

func (m *member) remove() {
	if m.next != nil {
		m.next.prev = m.prev
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		m.list.head = m.next
	}
	m.list, m.next, m.prev = nil, nil, nil
}

// lane is what the loop keeps of the forwarder.
func (l *loop) lane(f *Forwarder) *lane { return &f.lanes[l.n] }

// warn logs what an operator should know of.
func (l *loop) warn(msg string, args ...any) {
	l.engine.log.WarnContext(context.Background(), msg, args...) //nolint:sloglint // constant where it is called
}

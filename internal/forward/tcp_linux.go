//go:build !portable

package forward

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptBudget is how many connections one event lets in: the rest is left to the
	// other loops, which epoll wakes for it.
	acceptBudget = 4
	// shareAfter is how many flows more than another a loop has before it gives one
	// away: that costs the other a wake-up, and few flows at a time need no balance.
	shareAfter = 16
	// aliveAfter is when a flow's backend connection gets keep-alive. Most flows are
	// over by then, and need not pay for three system calls. The kernel's first probe
	// comes aliveIdle later.
	aliveAfter = 10 * time.Second
	// aliveIdle is how long a silent connection is left alone, and aliveEvery how often
	// a probe is repeated, in seconds. They are the figures of Go's net package; after
	// nine probes, the kernel's default, the connection is reset.
	aliveIdle, aliveEvery = 15, 15
	// lingerLook is how often a flow is looked at that waits for its last bytes to be
	// acknowledged. Events tell that earlier; this is for the case that none comes.
	lingerLook = time.Second
	// firstEphemeral is where the ports begin that the kernel gives to those who
	// connect, as Linux ships it. Only there can a connection meet itself.
	firstEphemeral = 32768
)

// Pauses between two accepts that failed for want of descriptors or memory: short
// at first, since that passes quickly, and never so long that an endpoint seems
// dead when it is over.
const (
	minAcceptPause = 10 * time.Millisecond
	maxAcceptPause = time.Second
)

// flowEvents is what a flow's sockets are watched for, once for their whole life.
const flowEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET

// prepareListener sets what accepted connections inherit.
func prepareListener(fd int32) {
	// The errors are those of options that the kernel has had for decades.
	_ = setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	keepAlive(fd)
}

func keepAlive(fd int32) {
	_ = setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, aliveIdle)
	_ = setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, aliveEvery)
}

// listener is a door as one loop watches it. Every loop watches every door, and the
// kernel wakes one of them for a connection.
type listener struct {
	door     *door
	id       uint32
	standing bool // in the loop's table
	pause    *acceptPause
}

// acceptPause is a listener that does not listen for a moment.
type acceptPause struct {
	timer
	ln     *listener
	length time.Duration
}

// watch asks for connections. The event comes for as long as there are any.
func (ln *listener) watch(l *loop) unix.Errno {
	return l.watch(ln.door.socket.fd, ln.id, 0, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
}

// forget ends what the loop does for the door.
func (ln *listener) forget(l *loop) {
	epollDel(l.ep, ln.door.socket.fd)
	l.forget(ln.id)
	ln.standing = false
	if ln.pause != nil {
		l.wheel.stop(&ln.pause.timer)
		ln.pause = nil
	}
}

func (ln *listener) ready(l *loop, _ int, _ uint32) {
	for range acceptBudget {
		fd, errno := accept(ln.door.socket.fd, &l.from)
		switch errno {
		case 0:
			if ln.pause != nil {
				ln.pause.length = 0
			}
			l.share(ln.door, fd)
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO:
			// That one is gone already.
		default:
			ln.rest(l, errno)
			return
		}
	}
}

// share admits a connection here, or in another loop that has much less to do. The
// kernel wakes the same loop each time when all are asleep, so that without this one
// would get all the connections that come one by one and stay.
func (l *loop) share(d *door, fd int32) {
	to, fewest := l, l.flows.Load()-shareAfter
	for _, other := range l.engine.carrier.loops {
		if n := other.flows.Load(); n < fewest {
			to, fewest = other, n
		}
	}
	if to == l {
		l.admit(d, fd, l.from.addr())
		return
	}
	from := l.from.addr()
	to.post(func(to *loop) { to.admit(d, fd, from) })
}

// rest stops listening for a moment after an error. An error never ends it: an
// endpoint that is shown as accepted has a listener that stands.
func (ln *listener) rest(l *loop, cause error) {
	if ln.pause == nil {
		ln.pause = &acceptPause{ln: ln}
		ln.pause.owner = ln.pause
	}
	p := ln.pause
	p.length = min(max(2*p.length, minAcceptPause), maxAcceptPause)
	l.warn("accept error, pausing", "endpoint_id", ln.door.f.id, "client_port", ln.door.clientPort, "pause", p.length, "err", cause)
	epollDel(l.ep, ln.door.socket.fd)
	l.wheel.set(&p.timer, l.now+p.length)
}

func (p *acceptPause) expire(l *loop) {
	if errno := p.ln.watch(l); errno != 0 {
		p.ln.rest(l, errno)
	}
}

// The states of a flow.
const (
	dialling uint8 = iota
	carrying
	lingering // both sides have ended, and not all is acknowledged
)

// The sides of a flow, and the direction that begins at each.
const (
	client  = 0
	backend = 1
)

// flow is one client's connection and the one to the backend that it is carried over.
type flow struct {
	passage
	member
	timer
	id    uint32
	fd    [2]int32 // -1 is none
	state uint8
	// queued says that the loop will come back to it; failing that it will be reset
	// when what has arrived has been passed on; alive that keep-alive is on.
	queued, failing, alive bool
	sent                   uint8         // sends to the backend so far, up to two
	dialBy                 time.Duration // when the backend address has had its time
	last                   time.Duration // when a byte was carried last
	dir                    [2]direction
}

// direction is one of the two ways of a flow.
type direction struct {
	keep     *kept // what the receiver has not taken yet
	pipe     *pipe // the same, while the bytes stay in the kernel
	carried  uint64
	readable bool // there may be something to read
	hup      bool // the sender has ended: read to the end, a short read means nothing
	careful  bool // urgent data makes short reads: read until there is nothing
	blocked  bool // wait for the receiver
	eof      bool // everything has been read
	ended    bool // and everything, the end included, has been passed on
	splicing bool // it is bulk: do not copy
	full     uint8
}

// admit judges an accepted connection and starts its flow, or resets it.
func (l *loop) admit(d *door, fd int32, from netip.AddrPort) {
	f := d.f
	p, reason := f.judge(d, from, l.now)
	if reason != none {
		resetFD(fd)
		return
	}
	fl := l.spares.flow()
	fl.passage = p
	fl.fd = [2]int32{fd, -1}
	fl.last = l.now
	fl.member.owner, fl.timer.owner = fl, fl
	fl.id = l.slot(fl)
	lane := l.lane(f)
	lane.flows.add(&fl.member)
	lane.last.Store(int64(l.now) + 1)
	l.flows.Add(1)
	if errno := l.watch(fd, fl.id, client, flowEvents); errno != 0 {
		l.warn("watch a connection", "endpoint_id", f.id, "err", error(errno))
		l.kill(fl, ResetByClient)
		return
	}
	l.dial(fl)
}

// dial connects the flow to the next backend address that can be tried, and refuses
// it when none is left.
func (l *loop) dial(fl *flow) {
	for fl.choose(l.now) {
		err := l.dialTarget(fl)
		if err == nil {
			return
		}
		l.hangUp(fl)
		fl.failed(l.now, err)
	}
	l.kill(fl, RefusedDialError)
}

// dialTarget begins to connect to the flow's backend address.
func (l *loop) dialTarget(fl *flow) error {
	spec := fl.plan.spec
	fd, err := l.backendSocket(spec, unix.SOCK_STREAM, fl.target.addr.Is4())
	if err != nil {
		return err
	}
	fl.fd[backend] = fd
	var to sockaddr
	to.setAddr(fl.backend())
	if errno := connect(fd, &to); errno != 0 && errno != unix.EINPROGRESS {
		return os.NewSyscallError("connect", errno)
	}
	if errno := l.watch(fd, fl.id, backend, flowEvents); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	fl.dialBy = l.now + spec.DialTimeout
	l.wheel.set(&fl.timer, fl.dialBy)
	return nil
}

// backendSocket opens a socket in the backend's network, marked as the spec wants.
func (l *loop) backendSocket(spec *Spec, kind int, v4 bool) (int32, error) {
	if err := l.thread.Enter(spec.Dial); err != nil {
		return -1, err
	}
	family := unix.AF_INET6
	if v4 {
		family = unix.AF_INET
	}
	fd, errno := socket(family, kind)
	if errno != 0 {
		return -1, os.NewSyscallError("socket", errno)
	}
	if spec.Mark != 0 {
		if errno := setOption(fd, unix.SOL_SOCKET, unix.SO_MARK, int(spec.Mark)); errno != 0 {
			closeFD(fd)
			return -1, fmt.Errorf("mark a socket: %w", errno)
		}
	}
	return fd, nil
}

// queues says that the kernel has bytes of the flow that a peer has not acknowledged.
func (fl *flow) queues() bool {
	for _, fd := range fl.fd {
		if fd >= 0 && unacknowledged(fd) > 0 {
			return true
		}
	}
	return false
}

// hangUp closes the connection to a backend address that did not answer.
func (l *loop) hangUp(fl *flow) {
	if fl.fd[backend] >= 0 {
		resetFD(fl.fd[backend])
		fl.fd[backend] = -1
	}
}

// dialled takes the answer of the backend.
func (l *loop) dialled(fl *flow, events uint32) {
	fd := fl.fd[backend]
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		l.redial(fl, os.NewSyscallError("connect", pendingError(fd)))
		return
	}
	if events&unix.EPOLLOUT == 0 {
		return
	}
	// The kernel may give a connection to a port where nobody listens the same port
	// as its own end; then it is connected to itself.
	if fl.serverPort >= firstEphemeral {
		if own := localAddr(fd); own == fl.backend() {
			l.redial(fl, os.NewSyscallError("connect", unix.ECONNREFUSED))
			return
		}
	}
	if fl.plan.tail != nil && !fl.quiet() {
		header := appendProxyHeader(l.buf[:0], fl.source, fl.address(), fl.plan.tail)
		// A new connection has room for it.
		if n, errno := send(fd, header); n != len(header) {
			l.redial(fl, fmt.Errorf("write the PROXY header: %w", errno))
			return
		}
		fl.sent = 1
	}
	fl.state = carrying
	l.mindFlow(fl)
	fl.dir[backend].readable = events&unix.EPOLLIN != 0
	fl.dir[backend].hup = events&unix.EPOLLRDHUP != 0
	_ = l.carry(fl, client) && l.carry(fl, backend)
}

// redial gives up the backend address and tries another.
func (l *loop) redial(fl *flow, cause error) {
	l.hangUp(fl)
	fl.failed(l.now, cause)
	l.dial(fl)
}

func (fl *flow) what() *passage { return &fl.passage }

func (fl *flow) reset(l *loop, how Ending) { l.kill(fl, how) }

func (fl *flow) mind(l *loop) { l.mindFlow(fl) }

// mindFlow arms the flow's timer for the next of its deadlines.
func (l *loop) mindFlow(fl *flow) {
	if fl.state == dialling {
		return // the dial has its own, and ends here
	}
	const never = maxTimeout * 10
	at := never
	if !fl.alive && fl.state == carrying {
		at = fl.began + aliveAfter
	}
	if fl.state == lingering {
		at = l.now + lingerLook
	}
	if idle := fl.plan.spec.IdleTimeout; idle > 0 {
		at = min(at, fl.last+idle)
	}
	if leave := time.Duration(fl.target.leave.Load()); leave > 0 {
		at = min(at, leave)
	}
	if at == never {
		l.wheel.stop(&fl.timer)
		return
	}
	l.wheel.set(&fl.timer, at)
}

// expire is called when one of the flow's deadlines may have come.
func (fl *flow) expire(l *loop) {
	idle, leave := fl.plan.spec.IdleTimeout, time.Duration(fl.target.leave.Load())
	switch {
	case fl.state == dialling:
		l.redial(fl, os.NewSyscallError("connect", unix.ETIMEDOUT))
		return
	case leave > 0 && leave <= l.now:
		l.kill(fl, Drained)
		return
	case idle > 0 && fl.last+idle <= l.now:
		l.kill(fl, Idle)
		return
	case fl.state == lingering && l.acknowledged(fl):
		l.finish(fl)
		return
	case fl.state == carrying && !fl.alive && fl.began+aliveAfter <= l.now:
		fl.alive = true
		keepAlive(fl.fd[backend])
	}
	l.mindFlow(fl)
}

// finish closes a flow that has ended by itself.
func (l *loop) finish(fl *flow) {
	closeFD(fl.fd[client])
	closeFD(fl.fd[backend])
	l.gone(fl, Closed)
}

// kill resets both sides.
func (l *loop) kill(fl *flow, how Ending) {
	for _, fd := range fl.fd {
		if fd >= 0 {
			resetFD(fd)
		}
	}
	l.gone(fl, how)
}

// gone takes the flow, whose sockets are closed, out of everything. Nobody may use it
// after that.
func (l *loop) gone(fl *flow, how Ending) {
	for i := range fl.dir {
		l.giveBack(&fl.dir[i])
	}
	l.forget(fl.id)
	l.wheel.stop(&fl.timer)
	fl.remove()
	l.flows.Add(-1)
	l.lane(fl.door.f).last.Store(int64(l.now) + 1)
	fl.over(how, fl.dir[client].carried, fl.dir[backend].carried)
	l.spares.putFlow(fl)
}

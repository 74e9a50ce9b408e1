//go:build !portable

package forward

import (
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams are taken at a time, from one socket.
	batchSize = 32
	// maxDatagram is the room for one: the largest that UDP over IPv4 has is 65,507
	// bytes, and none is ever cut short.
	maxDatagram = 64 << 10
	// udpBuffer is what an endpoint's socket is asked to hold in the kernel each way:
	// all clients share it, and what does not fit is lost. The system's limit
	// (net.core.rmem_max) may make it less.
	udpBuffer = 1 << 20
)

// batch is room for the datagrams that a loop has at hand. The pages of it that no
// datagram has touched cost nothing.
type batch struct {
	in, out [batchSize]message
	inVec   [batchSize]unix.Iovec
	outVec  [batchSize]unix.Iovec
	from    [batchSize]sockaddr
	whose   [batchSize]*session
	data    []byte
}

func newBatch() *batch {
	b := &batch{data: make([]byte, batchSize*maxDatagram)}
	for i := range batchSize {
		b.inVec[i].Base = &b.data[i*maxDatagram]
		b.inVec[i].SetLen(maxDatagram)
		b.in[i].hdr.Iov, b.out[i].hdr.Iov = &b.inVec[i], &b.outVec[i]
		b.in[i].hdr.SetIovlen(1)
		b.out[i].hdr.SetIovlen(1)
	}
	return b
}

// receive fills the batch, with the senders' addresses if they are wanted.
func (b *batch) receive(fd int32, senders bool) (int, unix.Errno) {
	for i := range b.in {
		h := &b.in[i].hdr
		h.Name, h.Namelen = nil, 0
		if senders {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.from[i].raw)), unix.SizeofSockaddrInet6
		}
	}
	n, errno := recvMessages(fd, b.in[:])
	if errno != 0 {
		return 0, errno
	}
	for i := range n {
		b.from[i].len = b.in[i].hdr.Namelen
	}
	return n, 0
}

// put makes the j-th datagram to send the i-th received, to an address or to where
// the socket is connected.
func (b *batch) put(j, i int, to *sockaddr) {
	b.outVec[j].Base = b.inVec[i].Base
	b.outVec[j].SetLen(int(b.in[i].len))
	h := &b.out[j].hdr
	h.Name, h.Namelen = nil, 0
	if to != nil {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&to.raw)), to.len
	}
}

// send sends the first n datagrams and returns how many bytes the kernel took. One
// that it does not take is lost, as datagrams are; an error that is not about one
// datagram alone is returned.
func (b *batch) send(fd int32, n int) (bytes int, cause unix.Errno) {
	for at := 0; at < n; {
		sent, errno := sendMessages(fd, b.out[at:n])
		switch errno {
		case 0:
			for i := at; i < at+sent; i++ {
				bytes += int(b.outVec[i].Len)
			}
			at += sent
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			return bytes, 0
		case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EBADF:
			return bytes, errno
		default:
			at++ // too long for the path, or forbidden: the next may pass
		}
	}
	return bytes, 0
}

// sessions is a UDP door: the endpoint's socket and, for each client, a session. One
// loop has it.
type sessions struct {
	door *door
	loop *loop
	id   uint32
	here bool // in the loop's table
	of   map[netip.AddrPort]*session
}

func newSessions(d *door, l *loop) *sessions {
	_ = setOption(d.socket.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, udpBuffer)
	_ = setOption(d.socket.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, udpBuffer)
	return &sessions{door: d, loop: l, of: make(map[netip.AddrPort]*session)}
}

// listen begins to take datagrams. The event comes for as long as there are any.
func (s *sessions) listen(l *loop) unix.Errno {
	if l != s.loop {
		return 0
	}
	s.id, s.here = l.slot(s), true
	return l.watch(s.door.socket.fd, s.id, 0, unix.EPOLLIN)
}

// forget ends what the loop does for the door.
func (s *sessions) forget(l *loop) {
	if l == s.loop && s.here {
		epollDel(l.ep, s.door.socket.fd)
		l.forget(s.id)
		s.here = false
	}
}

// ready takes datagrams of clients and sends them on, those of one client together.
func (s *sessions) ready(l *loop, _ int, _ uint32) {
	b := l.datagrams()
	n, errno := b.receive(s.door.socket.fd, true)
	if errno != 0 {
		return
	}
	for i := range n {
		b.whose[i] = s.session(l, &b.from[i])
	}
	for i := range n {
		se := b.whose[i]
		if se == nil {
			continue
		}
		count := 0
		for j := i; j < n; j++ {
			if b.whose[j] == se {
				b.put(count, j, nil)
				b.whose[j] = nil
				count++
			}
		}
		// One that ended while its datagrams waited is gone from the map.
		if !se.ended && !se.still() {
			se.toBackend(l, b, count)
		}
	}
}

// datagrams returns the loop's batch.
func (l *loop) datagrams() *batch {
	if l.batch == nil {
		l.batch = newBatch()
	}
	return l.batch
}

// session is one client's datagrams.
type session struct {
	passage
	member
	timer
	sessions *sessions
	id       uint32
	fd       int32 // connected to the backend
	ended    bool
	client   sockaddr
	last     time.Duration
	up, down uint64
}

// session returns the client's session, which begins with its first datagram, or nil
// when it is refused.
func (s *sessions) session(l *loop, from *sockaddr) *session {
	source := from.addr()
	if se := s.of[source]; se != nil {
		return se
	}
	p, reason := s.door.f.judge(s.door, source, l.now)
	if reason != none {
		return nil
	}
	se := &session{passage: p, sessions: s, fd: -1, client: *from, last: l.now}
	se.member.owner, se.timer.owner = se, se
	se.id = l.slot(se)
	l.lane(s.door.f).flows.add(&se.member)
	s.of[source] = se
	for se.choose(l.now) {
		err := se.dial(l)
		if err == nil {
			se.mind(l)
			return se
		}
		if se.fd >= 0 {
			closeFD(se.fd)
			se.fd = -1
		}
		se.failed(l.now, err)
	}
	se.reset(l, RefusedDialError)
	return nil
}

// queues is false: a datagram is on its way as soon as it is sent.
func (*session) queues() bool { return false }

// dial connects to the backend address, which for UDP asks nobody.
func (se *session) dial(l *loop) error {
	fd, err := l.backendSocket(se.plan.spec, unix.SOCK_DGRAM, se.target.addr.Is4())
	if err != nil {
		return err
	}
	se.fd = fd
	var to sockaddr
	to.setAddr(se.backend())
	if errno := connect(fd, &to); errno != 0 {
		return os.NewSyscallError("connect", errno)
	}
	if errno := l.watch(fd, se.id, 0, unix.EPOLLIN); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// still reports whether nothing may be carried any more. The endpoint's socket may be
// closed then.
func (se *session) still() bool { return se.quiet() || se.door.removed.Load() }

// toBackend sends the first n datagrams of the batch on.
func (se *session) toBackend(l *loop, b *batch, n int) {
	bytes, errno := b.send(se.fd, n)
	se.carried(l, &l.lane(se.door.f).toBackend, &se.up, bytes)
	if errno != 0 {
		se.refused(l, errno)
	}
}

// ready takes datagrams of the backend and sends them to the client.
func (se *session) ready(l *loop, _ int, _ uint32) {
	if se.still() {
		// Whoever said so resets the session next. Until then the event would come
		// again and again.
		epollDel(l.ep, se.fd)
		return
	}
	b := l.datagrams()
	n, errno := b.receive(se.fd, false)
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			se.refused(l, errno)
		}
		return
	}
	for i := range n {
		b.put(i, i, &se.client)
	}
	bytes, _ := b.send(se.door.socket.fd, n)
	se.carried(l, &l.lane(se.door.f).toClient, &se.down, bytes)
}

// carried counts the bytes of some datagrams. An empty datagram is one too.
func (se *session) carried(l *loop, lane interface{ Add(uint64) uint64 }, own *uint64, bytes int) {
	lane.Add(uint64(bytes))
	*own += uint64(bytes)
	se.last = l.now
	l.lane(se.door.f).last.Store(int64(l.now) + 1)
}

// refused ends a session whose backend's machine said that nobody is there.
func (se *session) refused(l *loop, cause error) {
	se.failed(l.now, cause)
	se.reset(l, BackendGone)
}

func (se *session) what() *passage { return &se.passage }

// mind arms the timer for the next of the session's deadlines.
func (se *session) mind(l *loop) {
	at := se.last + se.plan.spec.UDPTimeout
	if leave := time.Duration(se.target.leave.Load()); leave > 0 {
		at = min(at, leave)
	}
	l.wheel.set(&se.timer, at)
}

func (se *session) expire(l *loop) {
	leave := time.Duration(se.target.leave.Load())
	switch {
	case leave > 0 && leave <= l.now:
		se.reset(l, Drained)
	case se.last+se.plan.spec.UDPTimeout <= l.now:
		se.reset(l, Expired)
	default:
		se.mind(l)
	}
}

// reset forgets the session.
func (se *session) reset(l *loop, how Ending) {
	if se.fd >= 0 {
		closeFD(se.fd)
	}
	se.ended = true
	delete(se.sessions.of, se.source)
	l.forget(se.id)
	l.wheel.stop(&se.timer)
	se.remove()
	l.lane(se.door.f).last.Store(int64(l.now) + 1)
	se.over(how, se.up, se.down)
}

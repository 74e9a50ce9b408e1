package lab_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A lane is one way into an endpoint: from one client address to one port, by one
// protocol. The test says what is promised of it, and the lane's traffic checks it
// all the time:
//
//   - nothing arrives at either end, by the kernel's own time stamps, after the
//     answer that closed it;
//   - a connection that begins while it is open is carried;
//   - a connection that begins while it is closed is not;
//   - a flow ends only where the test said that it may.
type lane struct {
	id       uint32
	name     string
	from     *machine
	source   string // the client's address
	protocol string // tcp or udp
	book     *book

	mu   sync.Mutex
	to   string  // the endpoint's address and port
	door promise // of new connections
	// doors grows with every change of door, lives with every change that may end
	// a flow, when it is asked for and when it is answered: lives is odd in between.
	// What was seen while a number changed proves nothing.
	doors, lives uint64
	ends, opens  bool // what the change is that is not answered yet
	// admission counts how often the lane was opened; closed has the answer that
	// ended one, and again when the next was asked for.
	admission     uint32
	closed, again map[uint32]time.Time

	rounds   atomic.Int64 // of the steady flow
	flowing  atomic.Bool  // the steady flow stands
	ended    atomic.Int64 // steady flows that ended
	probes   atomic.Int64 // fresh connections that were carried
	refusals atomic.Int64 // those that were not, rightly
}

// promise is what holds for new connections.
type promise int

// The promises.
const (
	unsure promise = iota // a decision is on its way
	shut
	open
)

// change says that a decision is on its way, before it is sent: that new
// connections may be let in or not, and with ends that flows may end. opens says
// that it shall be open afterwards.
func (l *lane) change(ends, opens bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.door = unsure
	l.doors++
	l.ends, l.opens = ends, ends && opens
	if !ends {
		return
	}
	l.lives++
	if opens {
		l.again[l.admission] = time.Now()
		l.admission++
	}
}

// settle says what holds since the answer to a change. With cut, what was admitted
// before has no right to pass from then on.
func (l *lane) settle(now promise, cut bool, answered time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.door = now
	l.doors++
	if l.ends {
		l.lives++
	}
	last := l.admission
	if l.opens {
		last-- // the change began one
	}
	if cut {
		l.closed[last] = answered
	}
	l.ends, l.opens = false, false
}

// move gives the lane another address to go to.
func (l *lane) move(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// look returns what holds now.
func (l *lane) look() (door promise, doors, lives uint64, admission uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.door, l.doors, l.lives, l.admission
}

// book is where the traffic of a test notes what is wrong.
type book struct {
	lanes []*lane
	byID  sync.Map // the same: that a datagram came orders nothing

	mu     sync.Mutex
	wrong  []string
	stamps atomic.Int64 // arrivals with the kernel's time
	blind  atomic.Int64 // those without
}

// maxWrong bounds what is kept: the first ones tell.
const maxWrong = 40

// add makes a lane that is closed.
func (b *book) add(name string, from *machine, source, protocol, to string) *lane {
	l := &lane{
		id: uint32(len(b.lanes) + 1), name: name, from: from, source: source, to: to, protocol: protocol,
		book: b, door: shut, closed: map[uint32]time.Time{}, again: map[uint32]time.Time{},
	}
	b.lanes = append(b.lanes, l)
	b.byID.Store(l.id, l)
	return l
}

// report notes that something is wrong.
func (b *book) report(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) < maxWrong {
		b.wrong = append(b.wrong, time.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
	}
}

// wrongs returns what was noted since the last call.
func (b *book) wrongs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.wrong
	b.wrong = nil
	return list
}

// arrived notes that bytes reached an end of a lane at a time of the kernel.
func (b *book) arrived(who tag, at time.Time, end string) {
	found, ok := b.byID.Load(who.lane)
	if !ok {
		return // it is the traffic of a test itself
	}
	if at.IsZero() {
		b.blind.Add(1)
		return
	}
	b.stamps.Add(1)
	l := found.(*lane)
	l.mu.Lock()
	if l.protocol == "udp" {
		// A datagram is admitted when it comes, not when it was made, and a client may
		// have had no time to send it for long: only that the lane was closed counts.
		who.admission = l.admission
		if again := l.again[who.admission-1]; who.admission > 0 && at.Before(again) {
			who.admission--
		}
	}
	answer, over := l.closed[who.admission]
	l.mu.Unlock()
	if over && at.After(answer) {
		b.report("%s: bytes of admission %d reached %s %s after the answer that closed it", l.name, who.admission, end, at.Sub(answer))
	}
}

// tag says whose bytes some are.
type tag struct{ lane, admission uint32 }

// A frame is what a client sends and gets back: a mark, the tag, and bytes that no
// other frame has.
const (
	frameSize = 64
	frameMark = "spt-lab:"
)

// newFrame makes a frame.
func newFrame(who tag) []byte {
	out := make([]byte, frameSize)
	n := copy(out, frameMark)
	binary.BigEndian.PutUint32(out[n:], who.lane)
	binary.BigEndian.PutUint32(out[n+4:], who.admission)
	_, _ = rand.Read(out[n+8:])
	return out
}

// tagOf reads the tag of the frame that some bytes begin with; nil is none.
func tagOf(data []byte) *tag {
	if len(data) < frameSize || string(data[:len(frameMark)]) != frameMark {
		return nil
	}
	data = data[len(frameMark):]
	return &tag{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])}
}

// How the traffic goes.
const (
	// pace is the time between two rounds of a steady flow.
	pace = 25 * time.Millisecond
	// rest is the time between two fresh connections of a TCP lane, and restUDP
	// that of a UDP lane, whose every connection is remembered for a minute.
	rest    = 150 * time.Millisecond
	restUDP = 600 * time.Millisecond
	// laneTimeout is how long an open lane may take to carry, datagramTimeout that of
	// a UDP lane with its repetitions, and shutTimeout how long one that is closed is
	// tried.
	laneTimeout     = 5 * time.Second
	datagramTimeout = 3 * time.Second
	shutTimeout     = 200 * time.Millisecond
)

// drive keeps traffic on every lane until the returned function is called.
func (b *book) drive() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, l := range b.lanes {
		all.Go(func() { l.steady(ctx) })
		all.Go(func() { l.fresh(ctx) })
	}
	return sync.OnceFunc(func() { cancel(); all.Wait() })
}

// pause waits, or reports that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fresh opens connections, one after the other.
func (l *lane) fresh(ctx context.Context) {
	d := rest
	if l.protocol == "udp" {
		d = restUDP
	}
	for pause(ctx, d) {
		if f := l.begin(ctx); f != nil {
			f.conn.Close()
		}
	}
}

// steady keeps one flow going round after round, and begins another when it ends.
func (l *lane) steady(ctx context.Context) {
	wait := pace
	for pause(ctx, wait) {
		f := l.begin(ctx)
		if wait = pace; f == nil {
			wait = rest
			continue
		}
		l.flowing.Store(true)
		for pause(ctx, pace) && f.round(ctx) {
			l.rounds.Add(1)
		}
		l.flowing.Store(false)
		if ctx.Err() == nil {
			l.ended.Add(1)
		}
		f.conn.Close()
	}
}

// flow is one connection of a lane.
type flow struct {
	lane  *lane
	conn  net.Conn
	tag   tag
	lives uint64 // the lane's when it was last known to have a right to live
	buf   []byte
	n     int // rounds so far
}

// begin opens a connection and does a first round. It returns nil where that does
// not work, and notes what should not have been.
func (l *lane) begin(ctx context.Context) *flow {
	door, doors, lives, _ := l.look()
	timeout := shutTimeout
	switch {
	case door == open && l.protocol == "udp":
		timeout = datagramTimeout
	case door == open:
		timeout = laneTimeout
	}
	f, err := l.connect(ctx, timeout)
	if f != nil {
		f.lives = lives
		if err = f.exchange(timeout); err != nil {
			f.conn.Close()
			f = nil
		}
	}
	if ctx.Err() != nil {
		if f != nil {
			f.conn.Close()
		}
		return nil
	}
	_, now, _, _ := l.look()
	switch {
	case err == nil && door == shut && doors == now:
		l.book.report("%s: a connection was carried while it was closed", l.name)
	case err != nil && door == open && doors == now:
		l.book.report("%s: a connection failed while it was open: %v", l.name, err)
	case err == nil:
		l.probes.Add(1)
	case door == shut:
		l.refusals.Add(1)
	}
	return f
}

// connect opens a connection.
func (l *lane) connect(ctx context.Context, timeout time.Duration) (*flow, error) {
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	conn, err := l.from.dial(ctx, l.protocol, l.source, to, timeout)
	if err != nil {
		return nil, err
	}
	// It stands, so it belongs to this admission or an older one.
	_, _, _, admission := l.look()
	return &flow{lane: l, conn: conn, tag: tag{l.id, admission}, buf: make([]byte, frameSize)}, nil
}

// round does one more exchange of a flow that stands, and notes an end that should
// not have been. A flow that is cut has to learn of it by a reset.
func (f *flow) round(ctx context.Context) bool {
	timeout := laneTimeout
	if f.lane.protocol == "udp" {
		timeout = datagramTimeout
	}
	_, _, before, _ := f.lane.look()
	err := f.exchange(timeout)
	_, _, now, _ := f.lane.look()
	if err == nil {
		f.n++
		if before == now && now%2 == 0 {
			f.lives = now // it went on after the last change that could have ended it
		}
		return true
	}
	switch {
	case ctx.Err() != nil:
	case f.lives == now && now%2 == 0:
		f.lane.book.report("%s: a flow that nobody touched ended after %d rounds: %v", f.lane.name, f.n, err)
	case f.lane.protocol == "tcp" && errors.Is(err, errSilence):
		f.lane.book.report("%s: a flow was cut and its client was never told", f.lane.name)
	}
	return false
}

// errSilence is the error of an exchange that nothing came back for.
var errSilence = errors.New("nothing came back")

// exchange sends a frame and wants it back. A datagram may be sent up to three
// times, as every program that speaks UDP does.
func (f *flow) exchange(timeout time.Duration) error {
	sent := newFrame(f.tag)
	_ = f.conn.SetDeadline(time.Now().Add(timeout))
	if _, err := f.conn.Write(sent); err != nil {
		return err
	}
	tries := 1
	if f.lane.protocol == "udp" {
		_ = f.conn.SetReadDeadline(time.Now().Add(timeout / 3))
	}
	for got := 0; got < len(sent); {
		n, at, err := receive(f.conn, f.buf[got:])
		if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
			_, _, lives, _ := f.lane.look()
			if f.lane.protocol == "tcp" || tries == 3 || lives != f.lives {
				return errSilence // where it may have been cut, there is no use in waiting
			}
			tries++
			if _, err := f.conn.Write(sent); err != nil {
				return err
			}
			_ = f.conn.SetReadDeadline(time.Now().Add(timeout / 3))
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		f.lane.book.arrived(f.tag, at, "the client")
		if f.lane.protocol == "udp" && !bytes.Equal(f.buf[:n], sent) {
			continue // the answer to one that was sent twice
		}
		got += n
	}
	if !bytes.Equal(f.buf, sent) {
		return fmt.Errorf("other bytes came back: %q for %q", f.buf, sent)
	}
	return nil
}

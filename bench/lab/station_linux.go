package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// StationArgument is the first argument of a program that shall be a station:
// Dial starts the calling program with it.
const StationArgument = "station"

// The ports of a station that serves, below Target of Listen.
const (
	PortSink     = 5001 // TCP, reads and throws away
	PortEcho     = 5002 // TCP, sends back
	PortEchoUDP  = 5003
	PortSinkUDP  = 5004
	stationStart = 10 * time.Second
)

// What a station can be told.
const (
	// Listen serves the four ports at Target's address.
	Listen = "listen"
	// Count tells what came to the station's own ports so far.
	Count = "count"
	// Bulk sends to Target over Conns connections for For.
	Bulk = "bulk"
	// Request sends Size bytes over each of Conns connections and waits for them to
	// come back, again and again, for For after Warm.
	Request = "request"
	// Connect makes connections, sends a byte and waits for it to come back, and
	// resets, in Conns places at once.
	Connect = "connect"
	// EchoUDP is Request with datagrams, a few under way per socket.
	EchoUDP = "echo_udp"
	// SendUDP sends datagrams as fast as it can.
	SendUDP = "send_udp"
	// Flows opens Conns connections, on each of which a byte went there and back,
	// and keeps them; Active of them send Size bytes, Rate times a second together,
	// or at once when the last came back where Rate is 0.
	Flows = "flows"
	// Await waits until no connection is left, at most For, and tells what came.
	Await = "await"
	// Drop resets every connection that the station has.
	Drop = "drop"
)

// Command is what a station is told. Times are in nanoseconds.
type Command struct {
	Do        string         `json:"do"`
	Namespace string         `json:"namespace,omitempty"` // where the sockets are made
	Target    netip.AddrPort `json:"target"`
	Sources   []netip.Addr   `json:"sources,omitempty"` // taken in turn
	Conns     int            `json:"conns,omitempty"`
	Size      int            `json:"size,omitempty"`
	Warm      time.Duration  `json:"warm,omitempty"`
	For       time.Duration  `json:"for,omitempty"`
	Active    int            `json:"active,omitempty"`
	Rate      int            `json:"rate,omitempty"`
	Stamped   bool           `json:"stamped,omitempty"` // note when bytes arrive
	After     int64          `json:"after,omitempty"`   // tell of bytes that came later
}

// Answer is what a station says. Times are in nanoseconds, those of the clock of
// the real-time kind.
type Answer struct {
	Error string `json:"error,omitempty"`
	// N is what was done: bytes, requests, connections or datagrams, in Took.
	N    int64         `json:"n,omitempty"`
	Took time.Duration `json:"took,omitempty"`
	P50  time.Duration `json:"p50,omitempty"`
	P99  time.Duration `json:"p99,omitempty"`
	// Lost are datagrams that did not come back, or connections that failed.
	Lost int64 `json:"lost,omitempty"`
	// At is when a Count was taken.
	At      int64 `json:"at,omitempty"`
	Bytes   int64 `json:"bytes,omitempty"`
	Packets int64 `json:"packets,omitempty"`
	// Last is when the last byte came, Late how many came after After.
	Last int64 `json:"last,omitempty"`
	Late int64 `json:"late,omitempty"`
	// Open is how many connections are left, Resets and Ends how many ended by a
	// reset and otherwise, LastReset when the last reset was seen.
	Open      int   `json:"open,omitempty"`
	Resets    int   `json:"resets,omitempty"`
	Ends      int   `json:"ends,omitempty"`
	LastReset int64 `json:"last_reset,omitempty"`
}

// Peer is a station as the program sees that started it. One goroutine uses it at
// a time.
type Peer struct {
	*Process
	in  io.WriteCloser
	out *json.Decoder
}

// Dial starts a station: this program once more. It ends when it is closed, or
// with this program.
func Dial() (*Peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, StationArgument) //nolint:noctx // Close ends it; an ended context must not kill it first
	// The station's one thread is not to be disturbed by the scheduler's signals.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a station: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a station: %w", err)
	}
	p := &Peer{in: in, out: json.NewDecoder(out)}
	if p.Process, err = run("", "", cmd); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the station.
func (p *Peer) Close() {
	_ = p.in.Close()
	_ = p.Stop() // it ends at the end of its input, or is killed
}

// Do tells the station something and returns its answer.
func (p *Peer) Do(c Command) (Answer, error) {
	if err := p.Tell(c); err != nil {
		return Answer{}, err
	}
	return p.Hear(c.Do)
}

// Tell is the first half of Do: other things can be done until Hear.
func (p *Peer) Tell(c Command) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Do, err)
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("%s: %w", c.Do, err)
	}
	return nil
}

// Hear returns the answer to what was told.
func (p *Peer) Hear(what string) (Answer, error) {
	var a Answer
	if err := p.out.Decode(&a); err != nil {
		return a, fmt.Errorf("%s: the station says nothing: %w", what, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s", what, a.Error)
	}
	return a, nil
}

// slotKind says what a descriptor of a station is.
type slotKind uint8

const (
	slotNone slotKind = iota
	slotInput
	slotListenSink
	slotListenEcho
	slotSink
	slotEcho
	slotEchoUDP
	slotSinkUDP
	slotFlow
)

// connection reports whether the slot is a connection, accepted or made.
func (k slotKind) connection() bool {
	return k == slotSink || k == slotEcho || k == slotFlow
}

// arrival is one read of bytes whose time is known.
type arrival struct {
	at   int64
	size int32
}

// arrivals is how many reads are remembered: those of the last seconds.
const arrivals = 1 << 16

// station is one thread with one epoll.
type station struct {
	poll    *poller
	slots   []slotKind // by descriptor
	stamped bool
	reader  stampedReader
	buf     []byte
	packets datagrams
	line    []byte // of the input, as far as it came
	ended   bool

	bytes, datagram int64
	ring            [arrivals]arrival
	ringAt          int
	last, lastReset int64
	resets, ends    int

	flows   flowSet
	waiting *Command // an Await
	until   time.Time
}

// readSize is what a station reads and writes at once: what iperf3 does for TCP.
const readSize = 128 << 10

// Station is the whole of a program that was started by Dial. It ends with its
// input.
func Station() error {
	runtime.LockOSThread()
	// A collection would stop the one thread; what is allocated is little.
	debug.SetGCPercent(-1)
	const most = 2 << 30
	debug.SetMemoryLimit(most)
	poll, err := newPoller()
	if err != nil {
		return err
	}
	s := &station{poll: poll, buf: make([]byte, readSize)}
	if err := unix.SetNonblock(0, true); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	if err := s.watch(0, slotInput); err != nil {
		return err
	}
	for !s.ended {
		for _, e := range s.poll.wait(s.pause()) {
			s.event(int(e.Fd))
		}
		s.flows.pace(s)
		s.settle()
	}
	return nil
}

// pause is how many milliseconds the station may sleep.
func (s *station) pause() int {
	if s.waiting != nil || s.flows.rate > 0 {
		return 1
	}
	const long = 1000
	return long
}

func (s *station) watch(fd int, kind slotKind) error {
	if e := s.poll.add(fd, unix.EPOLLIN, fd); e != 0 {
		return fmt.Errorf("epoll: %w", e)
	}
	s.mark(fd, kind)
	return nil
}

func (s *station) mark(fd int, kind slotKind) {
	for fd >= len(s.slots) {
		s.slots = append(s.slots, make([]slotKind, max(1024, len(s.slots)))...)
	}
	s.slots[fd] = kind
}

func (s *station) event(fd int) {
	switch s.slots[fd] {
	case slotInput:
		s.input()
	case slotListenSink:
		s.accept(fd, slotSink)
	case slotListenEcho:
		s.accept(fd, slotEcho)
	case slotSink, slotEcho, slotFlow:
		s.read(fd)
	case slotEchoUDP, slotSinkUDP:
		s.readPackets(fd)
	default: // an event of what was closed in this turn
	}
}

// accept takes what waits, within reason: others wait too.
func (s *station) accept(fd int, kind slotKind) {
	const turn = 32
	for range turn {
		c, e := accept(fd)
		if e != 0 {
			return
		}
		if s.poll.add(c, unix.EPOLLIN, c) != 0 {
			hangUp(c)
			return
		}
		s.mark(c, kind)
	}
}

// read takes what a connection has and does with it what it is there for.
func (s *station) read(fd int) {
	var n int
	var at int64
	var e unix.Errno
	if s.stamped {
		n, at, e = s.reader.recv(fd, s.buf)
	} else {
		n, e = recv(fd, s.buf)
	}
	switch {
	case e == errAgain:
		return
	case e != 0:
		s.over(fd, e)
		return
	case n == 0:
		s.over(fd, 0)
		return
	}
	s.bytes += int64(n)
	if s.stamped {
		if at == 0 {
			// The kernel begins to note times a moment after the first socket asks.
			// The reader's clock is later, so that no late byte is missed.
			at = Now().UnixNano()
		}
		s.ring[s.ringAt%arrivals] = arrival{at: at, size: int32(n)}
		s.ringAt++
		s.last = max(s.last, at)
	}
	switch s.slots[fd] {
	case slotEcho:
		// What is echoed is small and its sender waits for it: there is room.
		if m, e := send(fd, s.buf[:n]); e != 0 || m != n {
			s.over(fd, e)
		}
	case slotFlow:
		s.flows.back(s, fd, n)
	default:
	}
}

// over ends a connection that ended by a reset, or otherwise with errno 0.
func (s *station) over(fd int, e unix.Errno) {
	if e == unix.ECONNRESET || e == unix.EPIPE {
		s.resets++
		s.lastReset = Now().UnixNano()
	} else {
		s.ends++
	}
	if s.slots[fd] == slotFlow {
		s.flows.gone(fd)
	}
	s.slots[fd] = slotNone
	hangUp(fd)
}

func (s *station) readPackets(fd int) {
	n, e := s.packets.recv(fd, true)
	if e != 0 {
		return
	}
	s.datagram += int64(n)
	if s.slots[fd] == slotEchoUDP {
		s.packets.answer(fd, n)
	}
}

// input reads commands; the end of the input ends the station.
func (s *station) input() {
	n, err := unix.Read(0, s.buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n == 0 {
		s.ended = true
		return
	}
	s.line = append(s.line, s.buf[:n]...)
	for {
		line, rest, ok := bytes.Cut(s.line, []byte("\n"))
		if !ok {
			return
		}
		var c Command
		err := json.Unmarshal(line, &c)
		s.line = bytes.Clone(rest)
		if err != nil {
			s.say(Answer{}, err)
			continue
		}
		if a, answered, err := s.command(&c); answered || err != nil {
			s.say(a, err)
		}
	}
}

func (s *station) say(a Answer, err error) {
	if err != nil {
		a.Error = err.Error()
	}
	text, err := json.Marshal(a)
	if err != nil {
		text = []byte(`{"error":"the answer cannot be written"}`)
	}
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		s.ended = true // nobody listens
	}
}

// command does what it can at once; an Await is answered later.
func (s *station) command(c *Command) (a Answer, answered bool, err error) {
	if c.Namespace != "" {
		if err := enter(c.Namespace); err != nil {
			return a, true, err
		}
	}
	switch c.Do {
	case Listen:
		return a, true, s.listen(c)
	case Count:
		return Answer{At: Now().UnixNano(), Bytes: s.bytes, Packets: s.datagram}, true, nil
	case Bulk:
		a, err = bulk(c)
	case Request:
		a, err = requests(c)
	case Connect:
		a, err = connections(c)
	case EchoUDP:
		a, err = echoUDP(c)
	case SendUDP:
		a, err = sendUDP(c)
	case Flows:
		err = s.openFlows(c)
	case Drop:
		s.drop()
	case Await:
		s.waiting, s.until = c, Now().Add(c.For)
		return a, false, nil
	default:
		err = fmt.Errorf("%q is not understood", c.Do)
	}
	return a, true, err
}

func (s *station) listen(c *Command) error {
	s.stamped = s.stamped || c.Stamped
	for _, port := range []struct {
		number uint16
		kind   int
		slot   slotKind
	}{
		{PortSink, unix.SOCK_STREAM, slotListenSink},
		{PortEcho, unix.SOCK_STREAM, slotListenEcho},
		{PortEchoUDP, unix.SOCK_DGRAM, slotEchoUDP},
		{PortSinkUDP, unix.SOCK_DGRAM, slotSinkUDP},
	} {
		fd, err := listen(port.kind, netip.AddrPortFrom(c.Target.Addr(), port.number), s.stamped && port.kind == unix.SOCK_STREAM)
		if err != nil {
			return err
		}
		if err := s.watch(fd, port.slot); err != nil {
			return err
		}
	}
	return nil
}

// left is how many connections the station has, those that it accepted included.
func (s *station) left() int {
	n := 0
	for _, k := range s.slots {
		if k.connection() {
			n++
		}
	}
	return n
}

// settle answers an Await when it is over.
func (s *station) settle() {
	if s.waiting == nil {
		return
	}
	left := s.left()
	if left > 0 && Now().Before(s.until) {
		return
	}
	a := Answer{
		At: Now().UnixNano(), Bytes: s.bytes, Last: s.last, Open: left, Resets: s.resets, Ends: s.ends, LastReset: s.lastReset,
	}
	for _, r := range s.ring[:min(s.ringAt, arrivals)] {
		if r.at > s.waiting.After {
			a.Late += int64(r.size)
		}
	}
	s.waiting = nil
	s.ringAt, s.last, s.resets, s.ends, s.lastReset, s.bytes = 0, 0, 0, 0, 0, 0
	s.say(a, nil)
}

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// openTogether is how many connections are being opened at a time: less than
	// any queue of listeners holds.
	openTogether = 128
	// openWait bounds the opening of all of them.
	openWait = 60 * time.Second
)

// errEnded is the end of a connection that was to stay.
var errEnded = errors.New("a connection ended")

// flowSet are the connections that Flows opened.
type flowSet struct {
	active  []int // descriptors of those that send
	waits   map[int]bool
	next    int // of active
	size    int
	rate    int // messages per second of all together; 0: each at once
	begun   time.Time
	sent    int
	message []byte
}

// openFlows opens connections and sees a byte go there and back on each.
func (s *station) openFlows(c *Command) error {
	f := &s.flows
	*f = flowSet{waits: map[int]bool{}, size: max(1, c.Size), message: make([]byte, max(1, c.Size))}
	s.stamped = s.stamped || c.Stamped
	var fds []int
	deadline := Now().Add(openWait)
	for len(fds) < c.Conns {
		n := min(openTogether, c.Conns-len(fds))
		opened, err := s.openSome(c, n, len(fds), deadline)
		fds = append(fds, opened...)
		if err != nil {
			for _, fd := range fds {
				hangUp(fd)
			}
			return fmt.Errorf("connection %d of %d: %w", len(fds)+1, c.Conns, err)
		}
	}
	for _, fd := range fds {
		if s.stamped {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
				return fmt.Errorf("time stamps: %w", err)
			}
		}
		if err := s.watch(fd, slotFlow); err != nil {
			return err
		}
	}
	// Those that send are spread over the whole.
	for i := range c.Active {
		f.active = append(f.active, fds[i*len(fds)/c.Active])
	}
	if f.rate = c.Rate; f.rate == 0 {
		for _, fd := range f.active {
			f.ping(s, fd)
		}
	}
	f.begun = Now()
	return nil
}

// openSome opens n connections together.
func (s *station) openSome(c *Command, n, done int, deadline time.Time) ([]int, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	defer poll.close()
	var fds []int
	for i := range n {
		fd, err := open(unix.SOCK_STREAM, c.source(done+i), c.Target)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		if e := poll.add(fd, unix.EPOLLOUT, i); e != 0 {
			return fds, e
		}
	}
	one := []byte{0}
	for left := n; left > 0; {
		if Now().After(deadline) {
			return fds, errors.New("it does not stand in time")
		}
		for _, e := range poll.wait(100) {
			fd := fds[e.Fd]
			if e.Events&unix.EPOLLOUT != 0 && e.Events&(unix.EPOLLERR|unix.EPOLLHUP) == 0 {
				if _, errno := send(fd, one); errno != 0 {
					return fds, errno
				}
				if errno := poll.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN, int(e.Fd)); errno != 0 {
					return fds, errno
				}
				continue
			}
			m, errno := recv(fd, s.buf[:1])
			if errno == errAgain {
				continue
			}
			if errno != 0 || m == 0 {
				return fds, errEnded
			}
			if errno := poll.watch(unix.EPOLL_CTL_DEL, fd, 0, 0); errno != 0 {
				return fds, errno
			}
			left--
		}
	}
	return fds, nil
}

// source takes the sources in turn.
func (c *Command) source(i int) (a netip.Addr) {
	if len(c.Sources) == 0 {
		return a
	}
	return c.Sources[i%len(c.Sources)]
}

func (f *flowSet) ping(s *station, fd int) {
	if _, e := send(fd, f.message); e != 0 && e != errAgain {
		s.over(fd, e)
		return
	}
	f.waits[fd] = true
}

// back is called for what came back on a flow.
func (f *flowSet) back(s *station, fd, n int) {
	if !f.waits[fd] {
		return
	}
	f.waits[fd] = false // a message this small comes in one piece
	if f.rate == 0 && n >= f.size {
		f.ping(s, fd)
	}
}

func (f *flowSet) gone(fd int) { delete(f.waits, fd) }

// pace sends what is due. A flow whose last message has not come back is passed
// over.
func (f *flowSet) pace(s *station) {
	if f.rate == 0 || len(f.active) == 0 {
		return
	}
	due := int(Now().Sub(f.begun).Seconds() * float64(f.rate))
	for ; f.sent < due; f.sent++ {
		fd := f.active[f.next%len(f.active)]
		f.next++
		if s.slots[fd] == slotFlow && !f.waits[fd] {
			f.ping(s, fd)
		}
	}
}

// drop ends every connection by a reset: those that the station opened are set up
// for it, the others have nobody left who would mind.
func (s *station) drop() {
	for fd, k := range s.slots {
		if k.connection() {
			s.slots[fd] = slotNone
			hangUp(fd)
		}
	}
	s.flows = flowSet{}
}

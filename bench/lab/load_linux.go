package lab

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settleTime is how long datagrams may still come back after the last was sent,
	// and how long a socket may hear nothing before what it sent counts as lost.
	settleTime = 20 * time.Millisecond
	// window is how many datagrams of one socket are under way.
	window = 4
	// most latencies are kept of one measure.
	most = 4 << 20
)

// opened are connections of a measure.
type opened struct {
	poll *poller
	fds  []int
}

func (o *opened) close() {
	for _, fd := range o.fds {
		hangUp(fd)
	}
	o.poll.close()
}

// openAll opens the connections of a measure and waits until they stand.
func openAll(c *Command, kind int) (*opened, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	o := &opened{poll: poll}
	for i := range c.Conns {
		fd, err := open(kind, c.source(i), c.Target)
		if err == nil {
			o.fds = append(o.fds, fd)
			if e := poll.add(fd, unix.EPOLLOUT, i); e != 0 {
				err = e
			}
		}
		if err != nil {
			o.close()
			return nil, err
		}
	}
	deadline := Now().Add(stationStart)
	for left := c.Conns; left > 0; {
		for _, e := range poll.wait(100) {
			if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
				o.close()
				return nil, fmt.Errorf("connect to %s: refused or reset", c.Target)
			}
			left--
			if errno := poll.watch(unix.EPOLL_CTL_MOD, o.fds[e.Fd], 0, int(e.Fd)); errno != 0 {
				o.close()
				return nil, errno
			}
		}
		if Now().After(deadline) {
			o.close()
			return nil, fmt.Errorf("connect to %s: not in time", c.Target)
		}
	}
	return o, nil
}

// watchAll asks for the same events of all connections.
func (o *opened) watchAll(events uint32) error {
	for i, fd := range o.fds {
		if e := o.poll.watch(unix.EPOLL_CTL_MOD, fd, events, i); e != 0 {
			return fmt.Errorf("epoll: %w", e)
		}
	}
	return nil
}

// bulk sends as much as goes. What arrived is counted where it arrives.
func bulk(c *Command) (Answer, error) {
	o, err := openAll(c, unix.SOCK_STREAM)
	if err != nil {
		return Answer{}, err
	}
	defer o.close()
	if err := o.watchAll(unix.EPOLLOUT); err != nil {
		return Answer{}, err
	}
	block := make([]byte, readSize)
	begin := Now()
	var a Answer
	for Now().Sub(begin) < c.For {
		for _, e := range o.poll.wait(10) {
			n, errno := send(o.fds[e.Fd], block)
			if errno != 0 && errno != errAgain {
				return a, fmt.Errorf("send: %w", errno)
			}
			if errno == 0 {
				a.N += int64(n)
			}
		}
	}
	a.Took = Now().Sub(begin)
	return a, nil
}

// requests goes to and fro on every connection.
func requests(c *Command) (Answer, error) {
	o, err := openAll(c, unix.SOCK_STREAM)
	if err != nil {
		return Answer{}, err
	}
	defer o.close()
	if err := o.watchAll(unix.EPOLLIN); err != nil {
		return Answer{}, err
	}
	message, buf := make([]byte, c.Size), make([]byte, 2*c.Size)
	sent, got := make([]time.Time, len(o.fds)), make([]int, len(o.fds))
	begin := Now()
	for i, fd := range o.fds {
		sent[i] = begin
		if _, e := send(fd, message); e != 0 {
			return Answer{}, fmt.Errorf("send: %w", e)
		}
	}
	var t times
	begin = begin.Add(c.Warm) // what ends before does not count
	end := begin.Add(c.For)
	for at := begin; at.Before(end); {
		for _, e := range o.poll.wait(10) {
			i, fd := e.Fd, o.fds[e.Fd]
			n, errno := recv(fd, buf)
			if errno == errAgain {
				continue
			}
			if errno != 0 || n == 0 {
				return Answer{}, errEnded
			}
			if got[i] += n; got[i] < c.Size {
				continue
			}
			got[i] = 0
			at = Now()
			if !at.Before(begin) {
				t.add(at.Sub(sent[i]))
			}
			sent[i] = at
			if _, errno := send(fd, message); errno != 0 {
				return Answer{}, fmt.Errorf("send: %w", errno)
			}
		}
		at = Now()
	}
	return t.answer(Now().Sub(begin)), nil
}

// times are latencies of one measure.
type times struct {
	list []int64
	n    int64
}

func (t *times) add(d time.Duration) {
	t.n++
	if len(t.list) < most {
		t.list = append(t.list, int64(d))
	}
}

func (t *times) answer(took time.Duration) Answer {
	slices.Sort(t.list)
	return Answer{N: t.n, Took: took, P50: time.Duration(Quantile(t.list, .5)), P99: time.Duration(Quantile(t.list, .99))}
}

// place is where connections are made one after the other.
type place struct {
	fd   int
	sent bool
	at   time.Time
}

// maker makes connections in several places at once.
type maker struct {
	c      *Command
	poll   *poller
	places []place
	made   int
	lost   int64
	times  times
	one    [1]byte
}

// connections makes connections, each for one byte there and back.
func connections(c *Command) (Answer, error) {
	poll, err := newPoller()
	if err != nil {
		return Answer{}, err
	}
	m := &maker{c: c, poll: poll, places: make([]place, c.Conns)}
	defer poll.close()
	for i := range m.places {
		if err := m.begin(i); err != nil {
			return Answer{}, err
		}
	}
	begin := Now().Add(c.Warm)
	end := begin.Add(c.For)
	warm := true
	for at := Now(); at.Before(end); at = Now() {
		if warm && !at.Before(begin) {
			warm, m.times, m.lost, begin = false, times{}, 0, at
		}
		for _, e := range m.poll.wait(10) {
			if err := m.step(int(e.Fd)); err != nil {
				return Answer{}, err
			}
		}
	}
	took := Now().Sub(begin)
	for _, p := range m.places {
		hangUp(p.fd)
	}
	a := m.times.answer(took)
	a.Lost = m.lost
	return a, nil
}

// begin opens the next connection of a place. Between near neighbours it stands
// when connect returns, and the byte can go at once.
func (m *maker) begin(i int) error {
	p := &m.places[i]
	at := Now()
	fd, err := open(unix.SOCK_STREAM, m.c.source(m.made), m.c.Target)
	if err != nil {
		return err
	}
	m.made++
	*p = place{fd: fd, at: at}
	_, e := send(fd, m.one[:])
	p.sent = e == 0
	want := uint32(unix.EPOLLOUT)
	if p.sent {
		want = unix.EPOLLIN
	}
	if e := m.poll.add(fd, want, i); e != 0 {
		return e
	}
	return nil
}

// step goes on with a place of which something is known.
func (m *maker) step(i int) error {
	p := &m.places[i]
	if !p.sent {
		if _, e := send(p.fd, m.one[:]); e == 0 {
			p.sent = true
			if e := m.poll.watch(unix.EPOLL_CTL_MOD, p.fd, unix.EPOLLIN, i); e != 0 {
				return e
			}
			return nil
		} else if e == errAgain {
			return nil
		}
		m.lost++
		hangUp(p.fd)
		return m.begin(i)
	}
	n, e := recv(p.fd, m.one[:])
	if e == errAgain {
		return nil
	}
	if n == 1 && e == 0 {
		m.times.add(Now().Sub(p.at))
	} else {
		m.lost++
	}
	hangUp(p.fd)
	return m.begin(i)
}

// echoUDP keeps a few datagrams of every socket under way.
func echoUDP(c *Command) (Answer, error) {
	o, err := openAll(c, unix.SOCK_DGRAM)
	if err != nil {
		return Answer{}, err
	}
	defer o.close()
	if err := o.watchAll(unix.EPOLLIN); err != nil {
		return Answer{}, err
	}
	var d datagrams
	under := make([]int, len(o.fds)) // way
	heard := make([]bool, len(o.fds))
	refill := func(i int) {
		if n, e := d.send(o.fds[i], window-under[i], c.Size); e == 0 {
			under[i] += n
		}
	}
	for i := range o.fds {
		refill(i)
	}
	var a Answer
	begin := Now().Add(c.Warm)
	end, check := begin.Add(c.For), Now().Add(settleTime)
	for at := Now(); at.Before(end); at = Now() {
		for _, e := range o.poll.wait(5) {
			i := int(e.Fd)
			n, errno := d.recv(o.fds[i], false)
			if errno != 0 {
				continue // a refusal of one datagram is one that is lost
			}
			heard[i] = true
			under[i] = max(0, under[i]-n)
			if !at.Before(begin) {
				a.N += int64(n)
			}
			refill(i)
		}
		if at.Before(check) {
			continue
		}
		check = at.Add(settleTime)
		for i := range o.fds {
			if !heard[i] {
				if !at.Before(begin) {
					a.Lost += int64(under[i])
				}
				under[i] = 0
				refill(i)
			}
			heard[i] = false
		}
	}
	a.Took = Now().Sub(begin)
	return a, nil
}

// sendUDP sends and hears nothing.
func sendUDP(c *Command) (Answer, error) {
	o, err := openAll(c, unix.SOCK_DGRAM)
	if err != nil {
		return Answer{}, err
	}
	defer o.close()
	var d datagrams
	var a Answer
	begin := Now()
	for i := 0; Now().Sub(begin) < c.For; i++ {
		n, e := d.send(o.fds[i%len(o.fds)], batch, c.Size)
		if e == 0 {
			a.N += int64(n)
		}
	}
	a.Took = Now().Sub(begin)
	return a, nil
}

//go:build !portable

package forward

import (
	"golang.org/x/sys/unix"
)

const (
	// copyBudget is how many bytes one direction moves before others have their turn.
	copyBudget = 512 << 10
	// bulkAfter is how many reads that filled the buffer make a direction bulk.
	bulkAfter = 2
	// smallTurn is what a direction must move in a turn to stay bulk.
	smallTurn = 32 << 10
)

// ready is told what epoll says of one side of the flow.
func (fl *flow) ready(l *loop, side int, events uint32) {
	from, to := &fl.dir[side], &fl.dir[1-side]
	if fl.state == dialling {
		if side == backend {
			l.dialled(fl, events)
			return
		}
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			l.kill(fl, ResetByClient)
			return
		}
	}
	if events&unix.EPOLLERR != 0 {
		l.fail(fl, side)
		return
	}
	if fl.state == lingering {
		if l.acknowledged(fl) {
			l.finish(fl)
		}
		return
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLPRI) != 0 {
		from.readable = true
		from.hup = from.hup || events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0
		from.careful = from.careful || events&unix.EPOLLPRI != 0
	}
	if fl.state == dialling {
		return
	}
	if to.blocked && events&unix.EPOLLOUT != 0 {
		to.blocked = false
		if !l.carry(fl, 1-side) {
			return
		}
	}
	if from.readable {
		l.carry(fl, side)
	}
}

// carry moves what can be moved of the direction that begins at the side. It reports
// false when the flow is gone.
func (l *loop) carry(fl *flow, side int) bool {
	d := &fl.dir[side]
	if d.ended || fl.state != carrying {
		return true
	}
	budget := copyBudget
	for !fl.quiet() {
		switch {
		case d.blocked:
			return true
		case d.keep != nil:
			if !l.sendKept(fl, side) {
				return false
			}
		case d.pipe != nil && d.pipe.n > 0:
			if !l.emptyPipe(fl, side) {
				return false
			}
		case d.eof:
			if fl.failing {
				return true // what comes is a reset, not an end
			}
			return l.end(fl, side)
		case !d.readable:
			if copyBudget-budget < smallTurn {
				d.splicing, d.full = false, 0
			}
			l.giveBack(d)
			return true
		case budget <= 0:
			l.later(fl)
			return true
		case d.splicing && !d.careful:
			n, ok := l.fillPipe(fl, side)
			if !ok {
				return false
			}
			budget -= n
		default:
			n, ok := l.pass(fl, side)
			if !ok {
				return false
			}
			budget -= n
		}
	}
	return true
}

// pass reads once and sends what was read.
func (l *loop) pass(fl *flow, side int) (int, bool) {
	d := &fl.dir[side]
	n, errno := recv(fl.fd[side], l.buf)
	switch {
	case errno == 0 && n > 0:
		if n == len(l.buf) {
			if d.full++; d.full >= bulkAfter {
				d.splicing = true
			}
		} else {
			// Less than was asked for is all there was, and whatever comes makes a new
			// event, unless it has come already.
			d.readable = d.hup || d.careful
			d.full = 0
		}
		return n, l.send(fl, side, l.buf[:n])
	case errno == 0:
		d.eof, d.readable = true, false
	case errno == unix.EAGAIN:
		d.readable = false
	case errno == unix.EINTR:
	default:
		return 0, l.fail(fl, side)
	}
	return 0, true
}

// send hands the bytes to the side opposite and keeps what it does not take.
func (l *loop) send(fl *flow, side int, p []byte) bool {
	d := &fl.dir[side]
	for len(p) > 0 {
		if fl.quiet() {
			return true
		}
		if side == client {
			l.hurry(fl)
		}
		n, errno := send(fl.fd[1-side], p)
		switch errno {
		case 0:
			l.count(fl, side, n)
			p = p[n:]
		case unix.EAGAIN:
			d.blocked = true
			d.keep = l.spares.keep(p)
			return true
		case unix.EINTR:
		default:
			return l.fail(fl, 1-side)
		}
	}
	return true
}

// hurry makes the kernel send at once from the second time on. The first bytes of a
// connection go out at once anyway, and many connections send but once.
func (l *loop) hurry(fl *flow) {
	if fl.sent < 2 {
		if fl.sent++; fl.sent == 2 {
			_ = setOption(fl.fd[backend], unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		}
	}
}

// count notes n bytes carried.
func (l *loop) count(fl *flow, side, n int) {
	lane := l.lane(fl.door.f)
	fl.dir[side].carried += uint64(n)
	fl.last = l.now
	lane.last.Store(int64(l.now) + 1)
	if side == client {
		lane.toBackend.Add(uint64(n))
	} else {
		lane.toClient.Add(uint64(n))
	}
}

// sendKept sends what the receiver did not take before.
func (l *loop) sendKept(fl *flow, side int) bool {
	d := &fl.dir[side]
	n, errno := send(fl.fd[1-side], d.keep.rest())
	switch errno {
	case 0:
		l.count(fl, side, n)
		if d.keep.off += n; d.keep.off == d.keep.len {
			l.spares.putKeep(d.keep)
			d.keep = nil
		}
	case unix.EAGAIN:
		d.blocked = true
	case unix.EINTR:
	default:
		return l.fail(fl, 1-side)
	}
	return true
}

// fillPipe moves bytes from a side into a pipe. They stay in the kernel.
func (l *loop) fillPipe(fl *flow, side int) (int, bool) {
	d := &fl.dir[side]
	if d.pipe == nil {
		if d.pipe = l.spares.pipe(); d.pipe == nil {
			d.splicing = false // no descriptor is left: copy
			d.full = 0
			return 0, true
		}
	}
	n, errno := splice(fl.fd[side], d.pipe.w, pipeSize)
	switch {
	case errno == 0 && n > 0:
		d.pipe.n += n
		return n, true
	case errno == 0:
		d.eof, d.readable = true, false
	case errno == unix.EAGAIN:
		d.readable = false
	case errno == unix.EINTR:
	default:
		return 0, l.fail(fl, side)
	}
	return 0, true
}

// emptyPipe moves what is in the pipe to the other side.
func (l *loop) emptyPipe(fl *flow, side int) bool {
	d := &fl.dir[side]
	if side == client {
		l.hurry(fl)
	}
	n, errno := splice(d.pipe.r, fl.fd[1-side], d.pipe.n)
	switch errno {
	case 0:
		l.count(fl, side, n)
		d.pipe.n -= n
	case unix.EAGAIN:
		d.blocked = true
	case unix.EINTR:
	default:
		return l.fail(fl, 1-side)
	}
	return true
}

// giveBack returns what the direction has borrowed. A pipe with bytes in it is lost.
func (l *loop) giveBack(d *direction) {
	if d.keep != nil {
		l.spares.putKeep(d.keep)
		d.keep = nil
	}
	if d.pipe != nil {
		l.spares.putPipe(d.pipe)
		d.pipe = nil
	}
}

// end passes the end of a direction on. With the second the flow is over, once its
// peers have acknowledged everything.
func (l *loop) end(fl *flow, side int) bool {
	d := &fl.dir[side]
	d.ended = true
	l.giveBack(d)
	to := fl.fd[1-side]
	if !fl.dir[1-side].ended {
		if errno := shutdown(to); errno != 0 {
			return l.fail(fl, 1-side)
		}
		return true
	}
	if unacknowledged(to) == 0 && unacknowledged(fl.fd[side]) <= 1 {
		l.finish(fl) // closing sends the end
		return false
	}
	if errno := shutdown(to); errno != 0 {
		return l.fail(fl, 1-side)
	}
	fl.state = lingering
	l.mindFlow(fl)
	return true
}

// acknowledged reports whether both peers have everything but the end of file, which
// the kernel sends again without anybody's help.
func (l *loop) acknowledged(fl *flow) bool {
	return unacknowledged(fl.fd[client]) <= 1 && unacknowledged(fl.fd[backend]) <= 1
}

// fail resets the flow because a side is gone, or was reset. What that side had said
// before is passed on first, as far as it goes without waiting, but never an end of
// file: half a transfer would look whole. It returns false, for its callers.
func (l *loop) fail(fl *flow, side int) bool {
	if !fl.failing && fl.state == carrying {
		fl.failing = true
		fl.dir[side].readable, fl.dir[side].hup = true, true
		if !l.carry(fl, side) {
			return false
		}
	}
	how := ResetByClient
	if side == backend {
		how = ResetByBackend
	}
	l.kill(fl, how)
	return false
}

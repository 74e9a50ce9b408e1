//go:build !portable

package forward

import "golang.org/x/sys/unix"

const (
	// pipeSize is how many bytes a pipe is asked to hold, and moved at a time.
	pipeSize = 1 << 20
	// sparePipes is how many pipes a loop keeps that nobody uses. Each is two
	// descriptors and what the kernel has them cost.
	sparePipes = 16
	// spareFlows is how many flows a loop keeps for those to come, of half a kilobyte.
	spareFlows = 512
	// spareKept is how many buffers of each size a loop keeps.
	spareKept = 64
)

// keptSizes are the sizes of buffers for what a receiver has not taken: one who is
// slow on a few bytes shall not hold many.
var keptSizes = [...]int{4 << 10, 16 << 10, readSize}

// kept is bytes that wait for a receiver.
type kept struct {
	buf      []byte
	off, len int
}

func (k *kept) rest() []byte { return k.buf[k.off:k.len] }

// pipe holds bytes in the kernel on their way between two sockets.
type pipe struct {
	r, w int32
	n    int // bytes in it
}

// spares is what a loop's flows borrow.
type spares struct {
	flows []*flow
	pipes []*pipe
	kept  [len(keptSizes)][]*kept
}

func (s *spares) flow() *flow {
	if n := len(s.flows); n > 0 {
		fl := s.flows[n-1]
		s.flows = s.flows[:n-1]
		return fl
	}
	return &flow{}
}

func (s *spares) putFlow(fl *flow) {
	*fl = flow{}
	if len(s.flows) < spareFlows {
		s.flows = append(s.flows, fl)
	}
}

// keep returns a buffer with a copy of p, which is at most readSize long.
func (s *spares) keep(p []byte) *kept {
	class := 0
	for keptSizes[class] < len(p) {
		class++
	}
	var k *kept
	if n := len(s.kept[class]); n > 0 {
		k = s.kept[class][n-1]
		s.kept[class] = s.kept[class][:n-1]
	} else {
		k = &kept{buf: make([]byte, keptSizes[class])}
	}
	k.off, k.len = 0, copy(k.buf, p)
	return k
}

func (s *spares) putKeep(k *kept) {
	for class, size := range keptSizes {
		if size == len(k.buf) && len(s.kept[class]) < spareKept {
			s.kept[class] = append(s.kept[class], k)
		}
	}
}

// pipe returns an empty pipe, or nil when the system has none.
func (s *spares) pipe() *pipe {
	if n := len(s.pipes); n > 0 {
		p := s.pipes[n-1]
		s.pipes = s.pipes[:n-1]
		return p
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	// What an unprivileged user may have is limited; a smaller pipe does as well.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{r: int32(fds[0]), w: int32(fds[1])}
}

// putPipe takes a pipe back. One with bytes in it is closed, with the bytes.
func (s *spares) putPipe(p *pipe) {
	if p.n > 0 || len(s.pipes) >= sparePipes {
		p.close()
		return
	}
	s.pipes = append(s.pipes, p)
}

func (p *pipe) close() {
	closeFD(p.r)
	closeFD(p.w)
}

func (s *spares) close() {
	for _, p := range s.pipes {
		p.close()
	}
	s.pipes = nil
}

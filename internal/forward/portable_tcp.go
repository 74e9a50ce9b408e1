//go:build !linux || portable

package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// copySize is the buffer of one direction. A pool has it while something is carried;
// a direction that waits has one, too, since a read needs it.
const copySize = 32 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ride is one client's connection and the one to the backend that it is carried over.
type ride struct {
	passage
	carrier *carrier
	client  *net.TCPConn
	cancel  context.CancelFunc // ends dialling
	ending  <-chan struct{}    // closed when it is being reset
	gone    chan struct{}      // closed when it has left the table
	last    atomic.Int64       // the engine's time when a byte was carried last

	mu      sync.Mutex
	backend *net.TCPConn // does not change once how is set
	how     Ending       // why it is being reset, "" while it is not
	timer   *time.Timer  // for the deadlines, nil while there is none
	over    bool

	legs [2]leg // the ends: the client's and the backend's
}

// leg is one of the two connections of a flow that is being carried.
type leg struct {
	conn *net.TCPConn
	side Ending      // how the flow ends when this side resets it
	shut atomic.Bool // set before the end of file is sent on conn
	turn sync.Mutex  // held while something is written to conn
}

// admit judges one accepted connection and starts its flow, or resets it.
func (c *carrier) admit(d *door, conn *net.TCPConn) {
	f := d.f
	lane := &f.lanes[0]
	lane.flows.mu.Lock()
	p, reason := f.judge(d, unmapped(conn.RemoteAddr().(*net.TCPAddr).AddrPort()), c.engine.elapsed())
	if reason != none {
		lane.flows.mu.Unlock()
		_ = reset(conn)
		return
	}
	// The dial belongs to the flow and ends with it, not with whoever opened the
	// forwarder.
	ctx, cancel := context.WithCancel(context.Background())
	r := &ride{passage: p, carrier: c, client: conn, cancel: cancel, ending: ctx.Done(), gone: make(chan struct{})}
	r.last.Store(int64(p.began))
	lane.flows.add(r)
	lane.flows.mu.Unlock()
	c.touch(f)
	c.run.Go(func() { r.carry(ctx) })
}

// carry is the life of one flow: dial, carry both directions, close, forget. It alone
// closes the flow's connections.
func (r *ride) carry(ctx context.Context) {
	defer r.cancel()
	if !r.connect(ctx) {
		// Unless a cut came first, this is what marks the flow as refused.
		r.kill(RefusedDialError)
		r.finish(0, 0)
		return
	}
	r.mind()
	r.legs[0].conn, r.legs[0].side = r.client, ResetByClient
	r.legs[1].conn, r.legs[1].side = r.backend, ResetByBackend
	f := r.door.f
	var up uint64
	upDone := make(chan struct{})
	go func() {
		defer close(upDone)
		up = r.stream(&r.legs[1], &r.legs[0], &f.lanes[0].toBackend)
	}()
	down := r.stream(&r.legs[0], &r.legs[1], &f.lanes[0].toClient)
	<-upDone
	r.finish(up, down)
}

// connect dials the backend's addresses until one answers, told who connects if it
// wants to know. It reports false when none answers or the flow is being reset.
func (r *ride) connect(ctx context.Context) bool {
	for r.choose(r.carrier.engine.elapsed()) {
		err := r.dial(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.failed(r.carrier.engine.elapsed(), err)
	}
	return false
}

// dial opens the connection to one backend address and makes it the flow's.
func (r *ride) dial(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, r.plan.spec.DialTimeout)
	conn, err := r.plan.spec.Dial.Dial(dialCtx, r.passage.backend())
	cancel()
	if err != nil {
		return err
	}
	if !r.adopt(conn) {
		_ = reset(conn)
		return context.Canceled
	}
	if r.plan.tail == nil {
		return nil
	}
	if _, err := conn.Write(appendProxyHeader(nil, r.source, r.address(), r.plan.tail)); err != nil {
		_ = reset(conn)
		r.adopt(nil)
		return fmt.Errorf("write PROXY header: %w", err)
	}
	return nil
}

// adopt makes conn the flow's backend, where kill finds it. It reports false when that
// came first; then conn is the caller's to close.
func (r *ride) adopt(conn *net.TCPConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.how != "" {
		return false
	}
	r.backend = conn
	return true
}

// stream carries one direction to its end: the bytes, then the end of file, then the
// wait until src is done with. Any error resets both sides, since a peer that sees an
// ordinary close believes it has everything. It returns the bytes carried.
func (r *ride) stream(dst, src *leg, total *atomic.Uint64) uint64 {
	n, by, err := r.copy(dst, src, total)
	if err == nil {
		// A socket tells of a reset once. If the other direction, writing to src,
		// was told, this one has read an end of file that nobody sent.
		by, err = src, confirmEnd(src)
	}
	if err == nil {
		dst.shut.Store(true)
		by, err = dst, dst.conn.CloseWrite()
	}
	if err == nil {
		// src was read to its end, and nobody reads it any more. Here a reset that
		// comes late is still seen, and here the flow stays within a cut's reach
		// until what is queued towards src has been acknowledged.
		by, err = src, awaitClosed(src.conn)
	}
	if errors.Is(err, ErrCut) {
		<-r.ending // what comes is the cut
	} else if err != nil {
		r.kill(by.side)
	}
	return n
}

// copy copies src to dst until the end of file. With an error it returns the leg that
// it is of.
func (r *ride) copy(dst, src *leg, total *atomic.Uint64) (n uint64, by *leg, err error) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for {
		got, rerr := src.conn.Read(buf[:])
		if got > 0 {
			put, werr := r.write(dst, buf[:got])
			n += uint64(put)
			total.Add(uint64(put))
			if werr != nil {
				return n, dst, werr
			}
			r.last.Store(int64(r.carrier.engine.elapsed()))
			r.carrier.touch(r.door.f)
		}
		if errors.Is(rerr, io.EOF) {
			return n, src, nil
		}
		if rerr != nil {
			return n, src, rerr
		}
	}
}

// write writes unless the forwarder is shut, which waits for the turn.
func (r *ride) write(to *leg, p []byte) (int, error) {
	to.turn.Lock()
	defer to.turn.Unlock()
	if r.quiet() {
		return 0, ErrCut
	}
	n, err := to.conn.Write(p)
	if err != nil && r.quiet() {
		err = ErrCut
	}
	return n, err
}

func (r *ride) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.client.SetWriteDeadline(longAgo)
	if r.backend != nil {
		_ = r.backend.SetWriteDeadline(longAgo)
	}
	for i := range r.legs {
		r.legs[i].turn.Lock()
		r.legs[i].turn.Unlock() //nolint:staticcheck // SA2001: the empty section is the wait
	}
}

// longAgo as a deadline makes whatever a connection is asked for fail at once.
var longAgo = time.Unix(1, 0)

// kill stops the goroutines of a flow wherever they are: dialling, reading, or
// writing to a peer that does not read. It waits for nothing, so that a cut stops
// all flows together; closing is left to carry.
func (r *ride) kill(how Ending) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.how != "" || r.over {
		return false
	}
	r.how = how
	r.cancel()
	// The errors are those of connections that are closed, and so stopped.
	_ = r.client.SetDeadline(longAgo)
	if r.backend != nil {
		_ = r.backend.SetDeadline(longAgo)
	}
	return true
}

func (r *ride) what() *passage { return &r.passage }

func (r *ride) done() <-chan struct{} { return r.gone }

// mind arms the timer for the next of the flow's deadlines, and ends it at one.
func (r *ride) mind() {
	r.mu.Lock()
	if r.backend == nil || r.over {
		r.mu.Unlock()
		return
	}
	left, how := r.remaining(r.carrier.engine.elapsed(), time.Duration(r.last.Load()), r.plan.spec.IdleTimeout, Idle)
	switch {
	case how == "":
	case left > 0 && r.timer == nil:
		r.timer = time.AfterFunc(left, r.mind)
	case left > 0:
		r.timer.Reset(left)
	}
	r.mu.Unlock()
	if how != "" && left <= 0 {
		r.kill(how)
	}
}

// finish closes both connections and takes the flow out of the table. It is the
// last thing of a flow: whoever waits for it finds nothing left of it.
func (r *ride) finish(up, down uint64) {
	r.mu.Lock()
	how := r.how
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	end := reset
	if how == "" {
		end, how = (*net.TCPConn).Close, Closed
	}
	// Nothing can be done about an error, and the descriptor is closed all the same.
	_ = end(r.client)
	if r.backend != nil {
		_ = end(r.backend)
	}
	f := r.door.f
	f.lanes[0].flows.remove(r)
	r.carrier.touch(f)
	r.passage.over(how, up, down)
	close(r.gone)
}

// reset closes a connection so that its peer sees a reset and the kernel throws
// away what it has queued.
func reset(conn *net.TCPConn) error {
	_ = conn.SetLinger(0)
	return conn.Close()
}

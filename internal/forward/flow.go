package forward

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// flow is one client's connection and the one to the backend that it is carried
// over.
type flow struct {
	spec       *Spec // as it was when the client came
	door       *door
	serverPort uint16
	first      uint32 // which backend is asked first
	source     netip.AddrPort
	client     *net.TCPConn
	cancel     context.CancelFunc // ends dialling
	done       chan struct{}      // closed when the flow has left the table

	// Guarded by Forwarder.mu. Once aborted is set, backend does not change.
	backend *net.TCPConn
	aborted bool
}

// carry is the life of one flow: dial, carry both directions, close, forget. It alone
// closes the flow's connections.
func (f *Forwarder) carry(ctx context.Context, fl *flow) {
	defer fl.cancel()
	backend := f.connect(ctx, fl)
	if backend == nil {
		// Unless a cut came first, this is what marks the flow as refused.
		refused := f.abort(fl)
		f.finish(fl, 0, 0, refused)
		return
	}
	client, server := &leg{conn: fl.client}, &leg{conn: backend}
	var up int64
	upDone := make(chan struct{})
	go func() {
		defer close(upDone)
		up = f.stream(fl, server, client)
	}()
	down := f.stream(fl, client, server)
	<-upDone
	f.finish(fl, up, down, false)
}

// connect dials the backend's addresses in turn, beginning with the flow's own,
// and returns the first that answers, told who connects if it wants to know. It
// returns nil when none answers or the flow is aborted.
func (f *Forwarder) connect(ctx context.Context, fl *flow) *net.TCPConn {
	n := uint64(len(fl.spec.Backends))
	for i := range n {
		addr := netip.AddrPortFrom(fl.spec.Backends[(uint64(fl.first)+i)%n], fl.serverPort)
		conn, err := f.dial(ctx, fl, addr)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		f.log.DebugContext(ctx, "backend does not answer", "endpoint_id", fl.spec.EndpointID, "backend", addr, "err", err)
	}
	return nil
}

// dial opens the connection to one backend address and makes it the flow's.
func (f *Forwarder) dial(ctx context.Context, fl *flow, addr netip.AddrPort) (*net.TCPConn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, fl.spec.DialTimeout)
	conn, err := fl.spec.Dial.Dial(dialCtx, addr)
	cancel()
	if err != nil {
		return nil, err
	}
	if !f.adopt(fl, conn) {
		_ = reset(conn)
		return nil, context.Canceled
	}
	if fl.spec.Proxy == ProxyOff {
		return conn, nil
	}
	if err := writeProxyHeader(conn, fl.spec, fl.door.clientPort, fl.source); err != nil {
		_ = reset(conn)
		f.adopt(fl, nil)
		return nil, fmt.Errorf("write PROXY header: %w", err)
	}
	return conn, nil
}

// adopt makes conn the flow's backend, where an abort finds it. It reports false
// when the abort came first; then conn is the caller's to close.
func (f *Forwarder) adopt(fl *flow, conn *net.TCPConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.aborted {
		return false
	}
	fl.backend = conn
	return true
}

// leg is one of the two connections of a flow that is being carried.
type leg struct {
	conn *net.TCPConn
	shut atomic.Bool // set before the end of file is sent on conn
}

// stream carries one direction to its end: the bytes, then the end of file, then
// the wait until src is done with. Any error resets both sides, since a peer that
// sees an ordinary close believes it has everything. It returns the bytes carried.
func (f *Forwarder) stream(fl *flow, dst, src *leg) int64 {
	n, err := copyStream(dst.conn, src.conn)
	if err == nil {
		// A socket tells of a reset once. If the other direction, writing to src,
		// was told, this one has read an end of file that nobody sent.
		err = confirmEnd(src)
	}
	if err == nil {
		dst.shut.Store(true)
		err = dst.conn.CloseWrite()
	}
	if err == nil {
		// src was read to its end, and nobody reads it any more. Here a reset that
		// comes late is still seen, and here the flow stays within a cut's reach
		// until what is queued towards src has been acknowledged.
		err = awaitClosed(src.conn)
	}
	if err != nil {
		f.abort(fl)
	}
	return n
}

// copyStream copies src to dst until the end of file. It has a name of its own so
// that it shows in a stack dump. Both are bare TCP connections, which is what lets
// ReadFrom splice: on Linux the bytes never leave the kernel.
func copyStream(dst, src *net.TCPConn) (int64, error) {
	return dst.ReadFrom(src)
}

// abort makes a flow end by a reset of both sides, soon. It reports false when that
// had been asked for before.
func (f *Forwarder) abort(fl *flow) bool {
	f.mu.Lock()
	first := !fl.aborted
	fl.aborted = true
	f.mu.Unlock()
	if first {
		fl.kill()
	}
	return first
}

// longAgo as a deadline makes whatever a connection is asked for fail at once.
var longAgo = time.Unix(1, 0)

// kill stops the goroutines of a flow wherever they are: dialling, reading, or
// writing to a peer that does not read. It waits for nothing, so that a cut stops
// all flows together; closing is left to carry. The one who set aborted calls it.
func (fl *flow) kill() {
	fl.cancel()
	// The errors are those of connections that are closed, and so stopped.
	_ = fl.client.SetDeadline(longAgo)
	if fl.backend != nil {
		_ = fl.backend.SetDeadline(longAgo)
	}
}

// finish closes both connections and takes the flow out of the table. It is the
// last thing of a flow: whoever waits for done finds nothing left of it.
func (f *Forwarder) finish(fl *flow, up, down int64, refused bool) {
	f.mu.Lock()
	end := (*net.TCPConn).Close
	if fl.aborted {
		end = reset
	}
	f.mu.Unlock()
	// Nothing can be done about an error, and the descriptor is closed all the same.
	_ = end(fl.client)
	if fl.backend != nil {
		_ = end(fl.backend)
	}
	f.mu.Lock()
	delete(f.flows, fl)
	if len(f.flows) == 0 {
		f.flows = nil // a map never shrinks
	}
	f.stats.BytesToBackend += uint64(up)
	f.stats.BytesToClient += uint64(down)
	switch {
	case refused:
		f.stats.Refused.DialError++
	case fl.aborted:
		f.stats.Resets++
	}
	f.mu.Unlock()
	close(fl.done)
}

// reset closes a connection so that its peer sees a reset and the kernel throws
// away what it has queued.
func reset(conn *net.TCPConn) error {
	_ = conn.SetLinger(0)
	return conn.Close()
}

//go:build linux

package forward_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// receiver reads one end of a flow and remembers what a cut must not let through.
type receiver struct {
	bytes uint64
	late  bool  // a byte came that was written after the cut had returned
	err   error // nil for an end of file
}

func (r *receiver) run(c net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		r.bytes += uint64(n)
		r.late = r.late || bytes.IndexByte(buf[:n], 1) >= 0
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.err = err
			return
		}
	}
}

// Promise one: when Cut has returned, no byte passes in any flow of the endpoint,
// and both sides know; promise three: nobody else notices. Every end writes zeros
// until Cut has returned and ones from then on, so a single one that arrives
// anywhere is a byte that passed after the cut.
func TestCutStopsRunningTransfers(t *testing.T) {
	const flows = 16
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	echoes := echoBackend(t)
	neighbour, nspec := open(t, baseSpec(echoes))
	friend := connect(t, nspec)
	ask(t, friend, "before")

	var isCut atomic.Bool
	mark := func() byte {
		if isCut.Load() {
			return 1
		}
		return 0
	}
	var wg sync.WaitGroup
	var writeErrs [2 * flows]error
	var atClient, atBackend [flows]receiver
	for i := range flows {
		client, server := pair(t, spec, b)
		wg.Go(func() { writeErrs[2*i] = flood(client, mark) })
		wg.Go(func() { writeErrs[2*i+1] = flood(server, mark) })
		wg.Go(func() { atClient[i].run(client) })
		wg.Go(func() { atBackend[i].run(server) })
	}
	for range 3 {
		ask(t, friend, "during")
	}
	res := f.Cut()
	stats := f.Stats()
	isCut.Store(true)
	ask(t, friend, "after")
	wg.Wait()

	if res.Flows != flows {
		t.Errorf("cut %d flows, want %d", res.Flows, flows)
	}
	var toClient, toBackend uint64
	for i := range flows {
		for j, r := range []*receiver{&atClient[i], &atBackend[i]} {
			if r.late {
				t.Errorf("end %d of flow %d received a byte written after the cut", j, i)
			}
			// A socket tells of its reset once, to the reader or to the writer; the
			// reader that comes second reads an end of file.
			w := writeErrs[2*i+j]
			if !isReset(w) || r.err != nil && !isReset(r.err) || r.err == nil && !errors.Is(w, syscall.ECONNRESET) {
				t.Errorf("end %d of flow %d: writing ended with %v and reading with %v, want a reset", j, i, w, r.err)
			}
		}
		toClient += atClient[i].bytes + 1 // the byte of pair
		toBackend += atBackend[i].bytes + 1
	}
	// What had been carried when Cut returned is all that can ever have arrived.
	if toClient > stats.BytesToClient || toBackend > stats.BytesToBackend {
		t.Errorf("%d and %d bytes arrived, but %d and %d had been carried by the time of the cut",
			toClient, toBackend, stats.BytesToClient, stats.BytesToBackend)
	}
	if got := f.Stats(); got != stats || got.Flows != 0 || got.Resets != flows {
		t.Errorf("stats moved from %+v to %+v, or want 0 flows and %d resets", stats, got, flows)
	}
	if got := neighbour.Stats(); got.Flows != 1 || got.Resets != 0 {
		t.Errorf("neighbour: got %+v, want its flow untouched", got)
	}
	if c, err := dialFrom(netip.Addr{}, endpointOf(spec)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting after the cut: got %v, %v, want %v", c, err, syscall.ECONNREFUSED)
	}
}

// sockets counts the sockets that this process has open.
func sockets(t *testing.T) int {
	t.Helper()
	dir := "/proc/self/fd"
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// A descriptor that is open after Cut is one that a byte could pass through.
func TestCutClosesEveryDescriptor(t *testing.T) {
	b := newBackend(t)
	before := sockets(t)
	f, spec := open(t, baseSpec(b))
	var ends []*net.TCPConn
	for range 10 {
		client, server := pair(t, spec, b)
		ends = append(ends, client, server)
	}
	f.Cut()
	if got, want := sockets(t), before+len(ends); got != want {
		t.Errorf("%d sockets are open, want %d: ours", got, want)
	}
}

// A client that does not read must not hold up the decision to cut it off, and
// neither must a backend.
func TestCutDoesNotWaitForSlowReaders(t *testing.T) {
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	client, server := pair(t, spec, b)
	// Filled until nothing moves: the forwarder is stuck in its write both ways.
	var wg sync.WaitGroup
	for _, c := range []*net.TCPConn{client, server} {
		wg.Go(func() {
			if err := flood(c, func() byte { return 0 }); !isReset(err) {
				t.Errorf("writer ended with %v, want a reset", err)
			}
		})
	}
	for _, c := range []*net.TCPConn{client, server} {
		eventually(t, "the receive queue is full", full(c))
	}
	if got := f.Cut().Flows; got != 1 {
		t.Errorf("cut %d flows, want 1", got)
	}
	wg.Wait()
}

// full returns a condition: c has unread bytes and their number has not changed for
// twenty looks.
func full(c *net.TCPConn) func() bool {
	last, same := 0, 0
	return func() bool {
		n := unread(c)
		if n == 0 || n != last {
			last, same = n, 0
			return false
		}
		same++
		return same == 20
	}
}

func unread(c *net.TCPConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// Both sides have ended by themselves, but the client has not taken what is queued
// for it. The kernel would go on sending that for as long as the client likes, long
// after the answer that said "cut".
func TestCutReachesWhatTheKernelStillSends(t *testing.T) {
	const size = 192 << 10
	b := newBackend(t)
	spec := baseSpec(b)
	f, spec := open(t, spec)

	client := connectNarrow(t, spec)
	server := b.next(t)
	if _, err := server.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	client.CloseWrite()
	server.Close()

	// What is counted is in the socket towards the client.
	eventually(t, "everything is carried", func() bool { return f.Stats().BytesToClient == size })
	if got := f.Stats().Flows; got != 1 {
		t.Errorf("%d flows, want the one that is not over yet", got)
	}
	if got := f.Cut().Flows; got != 1 {
		t.Errorf("cut %d flows, want 1", got)
	}
	n, err := io.Copy(io.Discard, client)
	if !isReset(err) || n >= size {
		t.Errorf("client got %d bytes and %v, want fewer than %d and a reset", n, err, size)
	}
}

// A real backend that takes no connections any more: its queue is full, so a dial
// hangs in the kernel, and the cut must end that too.
func TestCutWhileTheKernelDials(t *testing.T) {
	at := silentBackend(t, netip.AddrPortFrom(randomAddr(), 0))
	f, spec := open(t, baseSpec(&backend{addr: at}))
	client := connect(t, spec)
	eventually(t, "the flow begins", func() bool { return f.Stats().Total == 1 })
	if got := f.Cut().Flows; got != 1 {
		t.Errorf("cut %d flows, want 1", got)
	}
	wantReset(t, "client", client)
	if got := f.Stats(); got.Resets != 1 || got.Refused.DialError != 0 || got.DialErrors != 0 {
		t.Errorf("got %+v, want a reset and no dial error", got)
	}
}

// Clients that arrive while the cut runs, at any moment of it, must end in an error:
// an end of file would look like a service that had nothing to say, and a
// connection that stays would be one that the decision missed.
func TestCutWhileConnecting(t *testing.T) {
	b := echoBackend(t)
	for range 20 {
		f, spec := open(t, baseSpec(b))
		var wg sync.WaitGroup
		stop := make(chan struct{})
		begun := make(chan struct{}, 1)
		for range 4 {
			wg.Go(func() {
				for {
					c, err := dialFrom(netip.Addr{}, endpointOf(spec))
					if err == nil {
						err = echo(c, "in?")
						c.Close()
					}
					switch {
					case err == nil:
						select {
						case begun <- struct{}{}:
						default:
						}
					case isReset(err), errors.Is(err, syscall.ECONNREFUSED):
					default:
						t.Errorf("a client got %v, want a reset", err)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		<-begun
		var cuts [3]forward.CutResult
		var cutting sync.WaitGroup
		for i := range cuts {
			cutting.Go(func() {
				cuts[i] = f.Cut()
				if got := f.Stats().Flows; got != 0 {
					t.Errorf("%d flows after Cut returned", got)
				}
			})
		}
		cutting.Wait()
		close(stop)
		wg.Wait()
		// Cut is one event however often it is asked for.
		if cuts[0] != cuts[1] || cuts[1] != cuts[2] || f.Cut() != cuts[0] {
			t.Errorf("cuts differ: %v", cuts)
		}
	}
}

// Quiesce answers a decision where no rule of the kernel can: what a socket has queued
// must not be sent after it, and idle flows must not be what it waits for.
func TestQuiesceStopsWhatTheKernelHas(t *testing.T) {
	const size, idle = 192 << 10, 3
	b := newBackend(t)
	f, spec := open(t, baseSpec(b))
	var ends []io.ReadWriteCloser
	for range idle {
		c, s := pair(t, spec, b)
		ends = append(ends, c, s)
	}
	eventually(t, "nothing of the idle flows is queued", func() bool { return f.Stats().Flows == idle })
	slow := connectNarrow(t, spec)
	server := b.next(t)
	if _, err := server.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is in the socket towards the client", func() bool {
		return f.Stats().BytesToClient >= size
	})
	f.Quiesce()
	if got := f.Stats().Flows; got > idle {
		t.Errorf("%d flows, want the idle ones at most: the slow one has bytes queued", got)
	}
	if n, err := io.Copy(io.Discard, slow); !isReset(err) || n >= size {
		t.Errorf("the slow client got %d bytes and %v, want fewer than %d and a reset", n, err, size)
	}
	before := counters(f)
	for _, end := range ends {
		_, _ = end.Write([]byte("after"))
	}
	if got := f.Cut().Flows; got != idle+1 {
		t.Errorf("cut %d flows, want %d", got, idle+1)
	}
	if after := counters(f); after.BytesToBackend != before.BytesToBackend || after.BytesToClient != before.BytesToClient {
		t.Errorf("bytes passed: %+v became %+v", before, after)
	}
}

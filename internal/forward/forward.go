// Package forward is the data plane: it listens on an endpoint's address, dials
// the backend, carries the bytes between the two in the kernel, and cuts.
//
// It imports the standard library, internal/netattach, golang.org/x/sys and the
// PROXY protocol library, and nothing else of this repository: what a connection
// is, and who may decide on it, is not its business.
//
// A Forwarder owns every goroutine it starts: one that accepts for each mapping
// and two for each flow. Cut waits for all of them, and there is no other way to
// end a Forwarder.
//
// The kernel holds bytes too. A socket that was closed in the ordinary way still
// sends what it has queued, so a flow is not over when both directions have been
// read to their end: it stays in the table until its peers have acknowledged the
// last byte, and until then a cut still reaches it (see awaitClosed).
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrCut is returned by Update of a forwarder that has been cut.
var ErrCut = errors.New("the forwarder is cut")

// ErrReopen is returned by Update when the endpoint's id, its address or the
// network it listens in differs. That is another endpoint: cut this forwarder and
// open a new one.
var ErrReopen = errors.New("endpoint id, address or listening network differ: a new forwarder is needed")

// Options is what a Forwarder can do without.
type Options struct {
	// Log receives refused connections and failed dials at debug level and accept
	// errors at warning level. Nil logs nothing.
	Log *slog.Logger
}

// Stats is what a Forwarder counts. Every counter but Flows only grows.
type Stats struct {
	// Flows is the number of connections held now: dialling, carried, or closed by
	// both sides with bytes that are not acknowledged yet.
	Flows int
	// Total is the number of connections let in, those included whose backend then
	// did not answer.
	Total uint64
	// BytesToBackend is the number of bytes carried from clients to the backend by
	// flows that have ended. A PROXY header is not counted.
	BytesToBackend uint64
	// BytesToClient is the number of bytes carried the other way by flows that have
	// ended.
	BytesToClient uint64
	// Resets is the number of flows that ended by a reset: a peer's, a Cut's or an
	// Update's. Refused connections are not among them.
	Resets uint64
	// Refused counts connections that were reset without a byte carried.
	Refused Refused
}

// Refused counts refused connections by reason.
type Refused struct {
	// NoBackend: the endpoint has no backend address.
	NoBackend uint64
	// DialError: no backend address answered.
	DialError uint64
	// NotAllowed: the source is not in the whitelist.
	NotAllowed uint64
	// OverLimit: the endpoint holds Spec.MaxConns connections already.
	OverLimit uint64
}

// Forwarder carries one endpoint. Its methods are safe for concurrent use.
type Forwarder struct {
	log *slog.Logger
	id  string // of the endpoint; no Update changes it

	// turn is held by Update from beginning to end, so that Updates follow each
	// other and Cut can wait for one. It is taken before mu, never the other way
	// round, and Cut takes it only when it holds nothing.
	turn sync.Mutex

	// mu guards everything below, and in every door and flow the fields that say
	// so. It is never held while a socket is opened, closed or waited for.
	mu       sync.Mutex
	spec     *Spec // normalised; replaced, never written to
	doors    []*door
	flows    map[*flow]struct{} // nil when there is none: most endpoints are idle
	stats    Stats              // Flows is not kept there
	next     uint32             // whose turn it is among the backends
	stopBind context.CancelFunc // ends the binding of an Update under way
	cut      *cutting           // set by the first Cut
}

// door is one mapping's listening socket and the goroutine that accepts on it.
type door struct {
	ln         *net.TCPListener
	clientPort uint16
	serverPort uint16        // guarded by Forwarder.mu
	removed    bool          // guarded by Forwarder.mu; nobody is let in any more
	quit       chan struct{} // ends a pause between two accepts
	loop       sync.WaitGroup
}

// Open binds every mapping of spec and returns once all of them listen. On any
// error nothing stays open; a refused address is a *netattach.BindError inside.
// ctx bounds the opening only: the forwarder lives until Cut.
func Open(ctx context.Context, spec Spec, opt Options) (*Forwarder, error) {
	norm, err := spec.normal()
	if err != nil {
		return nil, err
	}
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	doors, err := bind(ctx, norm, norm.Mappings)
	if err != nil {
		return nil, err
	}
	f := &Forwarder{log: log, id: norm.EndpointID, spec: norm, doors: doors}
	for _, d := range doors {
		d.loop.Go(func() { f.accept(d) })
	}
	return f, nil
}

// Stats returns the counters as they are now.
func (f *Forwarder) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Flows = len(f.flows)
	return s
}

// bind opens a listener for each mapping, all of them or none.
func bind(ctx context.Context, spec *Spec, mappings []Mapping) ([]*door, error) {
	doors := make([]*door, 0, len(mappings))
	for _, m := range mappings {
		ln, err := spec.Listen.Listen(ctx, netip.AddrPortFrom(spec.Address, m.ClientPort))
		if err != nil {
			for _, d := range doors {
				d.shut()
			}
			return nil, fmt.Errorf("listen for endpoint %s: %w", spec.EndpointID, err)
		}
		doors = append(doors, &door{
			ln:         ln,
			clientPort: m.ClientPort,
			serverPort: m.ServerPort,
			quit:       make(chan struct{}),
		})
	}
	return doors, nil
}

// shut closes the listener; the kernel resets what was connected but not yet
// accepted. Only the one who took the door out of the table calls it, once.
func (d *door) shut() {
	close(d.quit)
	_ = d.ln.Close()
}

// Pauses between two accepts that failed for want of descriptors or memory: short
// at first, since that passes quickly, and never so long that an endpoint seems
// dead when it is over.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// accept lets connections in until the door is shut. An error never ends it: an
// endpoint that is shown as accepted has a listener that stands.
func (f *Forwarder) accept(d *door) {
	var pause time.Duration
	for {
		conn, err := d.ln.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			f.admit(d, conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			f.log.Warn("accept error, pausing", "endpoint_id", f.id, "client_port", d.clientPort, "pause", pause, "err", err)
			d.wait(pause)
		}
	}
}

// wait returns after the pause, or once the door is shut.
func (d *door) wait(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.quit:
	}
}

// admit judges one accepted connection and starts its flow, or resets it.
func (f *Forwarder) admit(d *door, conn *net.TCPConn) {
	source := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())

	f.mu.Lock()
	reason := f.refuse(d, source.Addr())
	if reason != "" {
		f.mu.Unlock()
		_ = reset(conn)
		f.log.Debug("connection refused", "endpoint_id", f.id, "client_port", d.clientPort, "source", source, "reason", reason)
		return
	}
	// The dial belongs to the flow and ends with it, not with whoever opened the
	// forwarder.
	ctx, cancel := context.WithCancel(context.Background())
	fl := &flow{
		spec:       f.spec,
		door:       d,
		serverPort: d.serverPort,
		first:      f.next,
		source:     source,
		client:     conn,
		cancel:     cancel,
		done:       make(chan struct{}),
	}
	f.next++
	f.stats.Total++
	if f.flows == nil {
		f.flows = make(map[*flow]struct{})
	}
	f.flows[fl] = struct{}{}
	f.mu.Unlock()

	go f.carry(ctx, fl)
}

// refuse returns why a connection is not let in, or "". It counts the reason. The
// whitelist comes first: to a stranger an endpoint looks the same in every state.
// mu is held.
func (f *Forwarder) refuse(d *door, source netip.Addr) string {
	switch {
	case f.cut != nil || d.removed:
		return "closed"
	case !f.spec.allows(source):
		f.stats.Refused.NotAllowed++
		return "not_allowed"
	case len(f.spec.Backends) == 0:
		f.stats.Refused.NoBackend++
		return "no_backend"
	case len(f.flows) >= f.spec.MaxConns:
		f.stats.Refused.OverLimit++
		return "over_limit"
	}
	return ""
}

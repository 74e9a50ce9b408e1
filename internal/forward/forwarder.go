package forward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrCut is returned by Update of a forwarder that has been shut, stopped or cut.
var ErrCut = errors.New("the forwarder is cut")

// ErrReopen is returned by Update when the endpoint's id, its address or the
// network it listens in differs. That is another endpoint: cut this forwarder and
// open a new one.
var ErrReopen = errors.New("endpoint id, address or listening network differ: a new forwarder is needed")

// Stats is what a Forwarder counts. Every counter but Flows only grows.
type Stats struct {
	// Flows is the number of flows held now: connections that are dialling, carried,
	// or closed by both sides with bytes that are not acknowledged yet, and UDP
	// sessions.
	Flows int
	// Total is the number of flows let in, those included whose backend then did not
	// answer.
	Total uint64
	// BytesToBackend is the number of bytes handed to the kernel towards the backend,
	// those of flows that still run included. A PROXY header is not counted.
	BytesToBackend uint64
	// BytesToClient is the number of bytes handed to the kernel towards clients.
	BytesToClient uint64
	// Resets is the number of flows that ended by a reset: a peer's, a Cut's, an
	// Update's or a timeout's. Refused connections are not among them.
	Resets uint64
	// DialErrors is the number of failed attempts to reach a backend address. One
	// connection can make several, and one attempt of a UDP session is answered by the
	// backend's machine with "port unreachable" at any time of it.
	DialErrors uint64
	// Refused counts connections that were reset without a byte carried.
	Refused Refused
	// Last is when a flow came, went or was last seen carrying; zero for never. Where
	// the clock was set since the engine began, it is the clock's time of before.
	Last time.Time
}

// Refused counts refused connections by reason, and UDP datagrams that would have
// begun a session.
type Refused struct {
	// NoBackend: the endpoint has no backend address.
	NoBackend uint64
	// DialError: no backend address answered.
	DialError uint64
	// NotAllowed: the source is not in the whitelist.
	NotAllowed uint64
	// OverLimit: the endpoint holds Spec.MaxConns flows already.
	OverLimit uint64
}

// stage is how far the end of a forwarder has come.
type stage = int32

const (
	open    stage = iota
	stopped       // nobody is let in; flows go on
	shut          // no byte is written any more
)

// Forwarder carries one endpoint. Its methods are safe for concurrent use.
type Forwarder struct {
	engine *Engine
	id     string // of the endpoint; no Update changes it

	// turn is held by Update, StopNew and Shut from beginning to end, so that they
	// follow each other. It is taken before mu, never the other way round.
	turn sync.Mutex
	// leaving are the targets that an Update removed while flows were on them. The
	// holder of turn uses it.
	leaving []*target

	// mu guards what follows. It is never held while a socket is opened, closed or
	// waited for.
	mu       sync.Mutex
	doors    []*door
	stopBind context.CancelFunc // ends the binding of an Update under way
	cut      *cutting           // set by the first Cut
	drained  chan struct{}      // closed when no flow is left; set while somebody waits

	plan  atomic.Pointer[plan]
	stage atomic.Int32
	// quiesced is the number of flows that Quiesce has reset.
	quiesced atomic.Int64
	next     atomic.Uint32 // the number of the next flow

	active     atomic.Int64 // flows
	awaited    atomic.Bool  // somebody has waited for drained
	total      atomic.Uint64
	resets     atomic.Uint64
	dialErrors atomic.Uint64
	refusals   [refusals]atomic.Uint64
	lanes      []lane // one for each loop
}

// lane is what one loop keeps of one forwarder: its flows, and counters of its own so
// that loops do not fight for a cache line at every byte.
type lane struct {
	toBackend, toClient atomic.Uint64
	last                atomic.Int64 // the engine's time plus one; 0 is never
	flows               members      // guarded as the carrier says
}

// door is one mapping's listening socket.
type door struct {
	f          *Forwarder
	udp        bool
	clientPort uint16
	serverPort atomic.Uint32
	removed    atomic.Bool // nobody is let in any more, and nobody may stay
	socket     doorSocket  // the carrier's
}

// Open binds every mapping of spec and returns once all of them listen. On any
// error nothing stays open; a refused address is a *netattach.BindError inside.
// ctx bounds the opening only: the forwarder lives until Cut.
func (e *Engine) Open(ctx context.Context, spec Spec) (*Forwarder, error) {
	norm, err := spec.normal()
	if err != nil {
		return nil, err
	}
	if norm.Mark != 0 {
		if err := checkMark(norm.Mark); err != nil {
			return nil, fmt.Errorf("endpoint %s: set the mark of its packets: %w", norm.EndpointID, err)
		}
	}
	f := &Forwarder{engine: e, id: norm.EndpointID, lanes: make([]lane, e.carrier.lanes())}
	f.plan.Store(newPlan(norm, nil))
	if !e.enter(f) {
		return nil, ErrClosed
	}
	defer e.opens.Done()
	doors, err := f.bind(ctx, norm, norm.Mappings)
	if err == nil {
		f.doors = doors
		err = e.carrier.start(doors)()
	}
	if err != nil {
		f.Cut()
		return nil, err
	}
	return f, nil
}

// bind opens a socket for each mapping, all of them or none.
func (f *Forwarder) bind(ctx context.Context, spec *Spec, mappings []Mapping) ([]*door, error) {
	doors := make([]*door, 0, len(mappings))
	for _, m := range mappings {
		d := &door{f: f, udp: m.UDP, clientPort: m.ClientPort}
		d.serverPort.Store(uint32(m.ServerPort))
		if err := f.engine.carrier.bind(ctx, spec, d); err != nil {
			f.engine.carrier.silence(f, doors)
			return nil, fmt.Errorf("listen for endpoint %s: %w", spec.EndpointID, err)
		}
		doors = append(doors, d)
	}
	return doors, nil
}

// Stats returns the counters as they are now.
func (f *Forwarder) Stats() Stats {
	s := Stats{
		Flows: int(f.active.Load()), Total: f.total.Load(), Resets: f.resets.Load(), DialErrors: f.dialErrors.Load(),
		Refused: Refused{
			NoBackend: f.refusals[noBackend].Load(), DialError: f.refusals[dialError].Load(),
			NotAllowed: f.refusals[notAllowed].Load(), OverLimit: f.refusals[overLimit].Load(),
		},
	}
	var last int64
	for i := range f.lanes {
		l := &f.lanes[i]
		s.BytesToBackend += l.toBackend.Load()
		s.BytesToClient += l.toClient.Load()
		last = max(last, l.last.Load())
	}
	if last > 0 {
		s.Last = f.engine.epoch.Add(time.Duration(last - 1))
	}
	return s
}

// SetHealth says what an active check found of a backend address. One that is down
// gets new flows only if all are down; an address that is not of the spec is ignored,
// and one that an Update brings anew is up.
func (f *Forwarder) SetHealth(addr netip.Addr, up bool) {
	if t := find(f.plan.Load().targets, addr.Unmap()); t != nil {
		t.down.Store(!up)
	}
}

// Wait returns nil once the forwarder holds no flow, and the error of ctx if that
// ends first. It is meant for after StopNew: without, the next client ends the peace.
func (f *Forwarder) Wait(ctx context.Context) error {
	f.mu.Lock()
	if f.active.Load() == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.drained == nil {
		f.drained = make(chan struct{})
		f.awaited.Store(true)
	}
	c := f.drained
	f.mu.Unlock()
	// The last flow may have gone before it could see that somebody waits.
	f.tellDrained()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the flows of endpoint %s: %w", f.id, context.Cause(ctx))
	}
}

// tellDrained wakes those who wait if no flow is left.
func (f *Forwarder) tellDrained() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drained != nil && f.active.Load() == 0 {
		close(f.drained)
		f.drained = nil
	}
}

// Package agent turns what the control plane wants into what the machine does:
// it asks for specs by revision, opens and cuts endpoints, and reports. The
// newest spec of an endpoint wins; work on one endpoint never waits for another
// to be cut, and a decision never queues behind new endpoints being opened.
//
// A cut is reported twice where a gate stands: as soon as nothing passes any
// more, and again with the number of flows once they are reset. It imports the
// agent protocol and the data plane, nothing of the server. Run owns every
// goroutine; when it returns none is left and nothing is carried.
package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// maxOpening is how many endpoints are opened at a time: as many as there are
// processors, for opening waits for nothing but them. More would only make a cut
// queue for a processor behind what is being opened.
func maxOpening() int { return runtime.NumCPU() }

const (
	// retryPause is the pause after an error of the server.
	retryPause = 100 * time.Millisecond
	// reportChunk is how many results are reported in one call.
	reportChunk = 1000
	// maxResults is how many results of openings may wait to be reported together;
	// one beyond it is reported by itself.
	maxResults = 4096
)

// Options describe an Agent.
type Options struct {
	// Name is the agent's name in reports and in the audit log.
	Name string
	// Server is the control plane.
	Server agentapi.Server
	// Attach returns the network that an attachment stands for.
	Attach func(agentapi.Attach) (netattach.Network, error)
	// Engines carry the endpoints.
	Engines *engine.Engines
	// Names takes the DNS names of the endpoints that stand; nil keeps none.
	Names Names
	// Drain is how long flows may go on when the agent stops; 0 cuts them at once.
	Drain time.Duration
	// Now is the clock; nil is the real one.
	Now func() time.Time
	// Log receives what is worth an operator's attention; nil discards it.
	Log *slog.Logger
}

// Names is where the DNS names of endpoints are published, per network.
type Names interface {
	Set(n netattach.Network, name string, addr netip.Addr) error
	Remove(n netattach.Network, name string)
}

// Agent carries the endpoints of one machine.
type Agent struct {
	opt     Options
	opening chan struct{}        // places for those who open
	results chan agentapi.Report // of openings, to be reported together

	mu    sync.Mutex
	ports map[string]*port
	work  sync.WaitGroup

	settled chan struct{} // closed when the first delta has been carried out
	first   sync.WaitGroup
}

// port is one endpoint on this machine. The agent's mutex guards its fields;
// only the worker changes carried, so the worker may read it without.
type port struct {
	id      string // of the endpoint
	want    agentapi.Spec
	fresh   bool          // want has not been looked at yet
	busy    bool          // a worker is at it
	first   bool          // part of the first delta, and not yet carried out
	poke    chan struct{} // one place: want has changed
	carried carried
}

// carried is what stands for an endpoint at the moment.
type carried struct {
	path     *engine.Path
	admitted int64
	since    time.Time
	network  netattach.Network // where its names are published
	names    []string
	told     engine.Stats // the last that the server was told
}

func (a *Agent) carry(p *port, c carried) {
	a.mu.Lock()
	p.carried = c
	a.mu.Unlock()
}

// New returns an agent; Run makes it work.
func New(opt Options) *Agent {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the default is the real clock
	}
	return &Agent{
		opt: opt, opening: make(chan struct{}, maxOpening()), results: make(chan agentapi.Report, maxResults), ports: map[string]*port{}, settled: make(chan struct{}),
	}
}

// Settled is closed once all that the control plane wanted at the start stands, or
// has been found impossible.
func (a *Agent) Settled() <-chan struct{} { return a.settled }

// Run follows the control plane until ctx ends. Then nothing new is let in, what
// is carried may go on for the drain, and everything is cut.
func (a *Agent) Run(ctx context.Context) error {
	a.work.Go(func() { a.observe(ctx) })
	a.work.Go(func() { a.reportOpenings(ctx) })
	var since int64
	for ctx.Err() == nil {
		d, err := a.opt.Server.Changes(ctx, a.opt.Name, since)
		if err != nil {
			if ctx.Err() == nil {
				a.opt.Log.WarnContext(ctx, "asking for changes", "since", since, "err", err)
			}
			pause(ctx)
			continue
		}
		if since == 0 {
			a.recoverPaths(ctx, d)
		}
		a.take(ctx, d, since == 0)
		if since == 0 {
			a.work.Go(func() {
				a.first.Wait()
				close(a.settled)
			})
		}
		// 0 would ask for everything again. The first revision of a log is never
		// that of an endpoint, so nothing is passed over.
		since = max(d.Rev, 1)
	}
	a.work.Wait()
	a.drain(ctx)
	a.cutAll(ctx)
	return nil
}

// recoverPaths closes what an earlier process left in the kernel and is not wanted
// any more, before anything is reported as closed.
func (a *Agent) recoverPaths(ctx context.Context, d agentapi.Delta) {
	wanted := make(map[string]int64, len(d.Specs))
	for _, sp := range d.Specs {
		if sp.Open {
			wanted[sp.Endpoint] = sp.Admitted
		}
	}
	keep := func(endpoint string, admitted int64) bool {
		have, ok := wanted[endpoint]
		return ok && have == admitted
	}
	for ctx.Err() == nil {
		err := a.opt.Engines.Recover(ctx, keep)
		if err == nil {
			return
		}
		a.opt.Log.ErrorContext(ctx, "recovering what an earlier run left", "err", err)
		pause(ctx)
	}
}

func pause(ctx context.Context) {
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// take hands every spec to the worker of its endpoint. What is closed and was
// never open here is reported together.
func (a *Agent) take(ctx context.Context, d agentapi.Delta, first bool) {
	var idle []agentapi.Report
	a.mu.Lock()
	if d.Full {
		a.closeOthers(ctx, d)
	}
	for _, sp := range d.Specs {
		p, ok := a.ports[sp.Endpoint]
		switch {
		case !ok && !sp.Open:
			idle = append(idle, agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateClosed})
			continue
		case !ok:
			p = &port{id: sp.Endpoint, poke: make(chan struct{}, 1), first: first}
			a.ports[sp.Endpoint] = p
			if first {
				a.first.Add(1)
			}
		case sp.Rev <= p.want.Rev:
			continue // older than what is wanted already
		}
		a.assign(ctx, p, sp)
	}
	a.mu.Unlock()
	for len(idle) > 0 {
		n := min(len(idle), reportChunk)
		chunk := idle[:n]
		idle = idle[n:]
		a.work.Go(func() { a.report(ctx, chunk) })
	}
}

// closeOthers closes what stands here and is not in a full delta.
func (a *Agent) closeOthers(ctx context.Context, d agentapi.Delta) {
	wanted := make(map[string]bool, len(d.Specs))
	for _, sp := range d.Specs {
		wanted[sp.Endpoint] = true
	}
	for id, p := range a.ports {
		if !wanted[id] {
			a.assign(ctx, p, agentapi.Spec{Endpoint: id, Rev: d.Rev})
		}
	}
}

// assign makes sp what is wanted and sees to it that a worker knows. The caller
// holds the mutex.
func (a *Agent) assign(ctx context.Context, p *port, sp agentapi.Spec) {
	p.want, p.fresh = sp, true
	if !p.busy {
		p.busy = true
		a.work.Go(func() { a.serve(ctx, p) })
		return
	}
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

package forward

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// ErrClosed is returned by Open of an engine that is closed.
var ErrClosed = errors.New("the engine is closed")

// maxLoops is the most loops that are made unasked: beyond it they would rather wait
// for the kernel's locks than for work, and each has buffers of its own.
const maxLoops = 8

// loopLimit is the most loops that may be asked for.
const loopLimit = 64

// Options is what an Engine can do without.
type Options struct {
	// Loops is the number of event loops, at most 64; 0 is as many as the process has
	// processors (GOMAXPROCS), at most 8. The engine of goroutines ignores it.
	Loops int
	// Log receives refused connections and failed dials at debug level and accept
	// errors at warning level. Nil logs nothing.
	Log *slog.Logger
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// FlowLog is called once for each flow that has ended and each connection that was
	// refused. It is called from the loops and must not block (FlowLog.Record does
	// not). Nil is no flow log.
	FlowLog func(FlowRecord)
}

// Engine carries all endpoints of a process. Its methods are safe for concurrent use.
type Engine struct {
	log     *slog.Logger
	now     func() time.Time
	flowLog func(FlowRecord)
	epoch   time.Time // the zero of the engine's time
	carrier *carrier

	mu     sync.Mutex
	all    map[*Forwarder]struct{} // nil once the engine is closed
	opens  sync.WaitGroup          // Opens under way
	closed chan struct{}           // closed when Close is done
}

// NewEngine starts an engine. The error is one of the system: no descriptor is left.
// As long as it lives GOMAXPROCS is higher by the number of its loops; the runtime
// does not adjust it any more.
func NewEngine(opt Options) (*Engine, error) {
	if opt.Loops < 0 || opt.Loops > loopLimit {
		return nil, fmt.Errorf("%d event loops, not 0 to %d", opt.Loops, loopLimit)
	}
	e := &Engine{
		log: opt.Log, now: opt.Now, flowLog: opt.FlowLog,
		all: make(map[*Forwarder]struct{}), closed: make(chan struct{}),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now //nolint:forbidigo // the default of the clock that is passed in
	}
	e.epoch = e.now()
	var err error
	e.carrier, err = newCarrier(e, cmp.Or(opt.Loops, min(runtime.GOMAXPROCS(0), maxLoops)))
	if err != nil {
		return nil, fmt.Errorf("start the forwarding engine: %w", err)
	}
	return e, nil
}

// Close cuts every forwarder, ends every goroutine of the engine and returns when
// none is left. Closing again waits for the first.
func (e *Engine) Close() {
	e.mu.Lock()
	all := e.all
	e.all = nil
	e.mu.Unlock()
	if all == nil {
		<-e.closed
		return
	}
	e.opens.Wait()
	var cuts sync.WaitGroup
	for f := range all {
		cuts.Go(func() { f.Cut() })
	}
	cuts.Wait()
	e.carrier.close()
	close(e.closed)
}

// elapsed is the engine's time: what has passed since it began.
func (e *Engine) elapsed() time.Duration { return e.now().Sub(e.epoch) }

// enter registers a forwarder that is about to open, or reports false when the engine
// is closed. Whoever got true calls opens.Done when the forwarder stands or is gone.
func (e *Engine) enter(f *Forwarder) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all == nil {
		return false
	}
	e.all[f] = struct{}{}
	e.opens.Add(1)
	return true
}

// leave forgets a forwarder that is cut.
func (e *Engine) leave(f *Forwarder) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.all, f)
}

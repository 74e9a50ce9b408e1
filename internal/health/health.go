// Package health asks backend addresses whether they answer. Equal targets are
// asked once, however many endpoints watch them.
//
// It imports netattach, to ask from inside a network, and the standard library.
// Each target has one goroutine, which its Monitor owns; Close waits for all.
package health

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// Kind is how a target is asked.
type Kind string

// The kinds of checks.
const (
	// TCP opens a connection and closes it.
	TCP Kind = "tcp"
	// HTTP asks with GET on a new connection and takes any status from 200 to 399;
	// it follows no redirect.
	HTTP Kind = "http"
)

const (
	// failuresDown is the number of failures in a row that take a target down: one
	// can be a lost packet, and taking a good backend out costs more than a few
	// flows that have to try the next address.
	failuresDown = 2
	// successesUp is the number of successes in a row that bring it up again. The
	// data plane goes to the next address anyway where one does not answer.
	successesUp = 1
)

const (
	// DefaultInterval and DefaultTimeout stand for the zeros of a Target.
	DefaultInterval = 5 * time.Second
	// DefaultTimeout is below DefaultInterval, so that a dead backend is asked as
	// often as a living one.
	DefaultTimeout = 2 * time.Second
	// minInterval keeps a wrong number from becoming a flood of connections.
	minInterval = 10 * time.Millisecond
	// jitter is the part of an interval by which one may be shorter or longer, so
	// that targets that began together do not stay together.
	jitter = 0.1
	// maxChecks is the most checks at a time of one Monitor. Each has one socket,
	// which must not come out of those that carry flows; what is over it waits, and
	// the time does not count as the check's.
	maxChecks = 128
)

// Target is what is asked, from where, how and how often. Equal targets share
// their checks.
type Target struct {
	// Network is where the connection is opened from.
	Network netattach.Network
	// Addr is asked.
	Addr netip.AddrPort
	// Kind is TCP, which "" stands for, or HTTP.
	Kind Kind
	// Path is what HTTP asks for, with a query if need be; "" is "/".
	Path string
	// Interval is the time from the beginning of one check to that of the next, at
	// least 10 ms; 0 is DefaultInterval.
	Interval time.Duration
	// Timeout is what one check may take; 0 is DefaultTimeout.
	Timeout time.Duration
}

// normal returns the one spelling of equal targets.
func (t Target) normal() Target {
	t.Addr = netip.AddrPortFrom(t.Addr.Addr().Unmap(), t.Addr.Port())
	if t.Kind == "" {
		t.Kind = TCP
	}
	switch {
	case t.Kind == TCP:
		t.Path = ""
	case t.Path == "":
		t.Path = "/"
	}
	if t.Interval <= 0 {
		t.Interval = DefaultInterval
	}
	t.Interval = max(t.Interval, minInterval)
	if t.Timeout <= 0 {
		t.Timeout = DefaultTimeout
	}
	return t
}

// Options are what a Monitor can do without.
type Options struct {
	// Log takes changes; nil discards them.
	Log *slog.Logger
	// Now is the clock, nil the system's.
	Now func() time.Time
}

// Monitor checks targets. Its methods are safe for concurrent use.
type Monitor struct {
	log   *slog.Logger
	now   func() time.Time
	slots chan struct{} // one per running check
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	probers map[Target]*prober
}

// New returns a Monitor without targets. Close ends it.
func New(opt Options) *Monitor {
	m := &Monitor{log: opt.Log, now: opt.Now, slots: make(chan struct{}, maxChecks), probers: map[Target]*prober{}}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now //nolint:forbidigo // the clock of whoever passes none
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// Close ends every check and waits for it. Nothing is reported once it has
// returned, and what is watched later is never reported. It MUST NOT be called by
// an onChange.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.wg.Wait()
}

// Watch calls onChange with the first result for the target, which may be known
// already, and then at each change. It never calls it from inside Watch, nor twice
// at a time, nor after stop has returned.
//
// stop ends the watch and waits for an onChange that is running: it MUST NOT be
// called by onChange, nor with a lock that onChange takes. Calling it again does
// nothing. onChange should be quick, as others that watch the same target hear
// after it.
func (m *Monitor) Watch(t Target, onChange func(up bool)) (stop func()) {
	t = t.normal()
	w := &watch{onChange: onChange}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return func() {}
	}
	p := m.probers[t]
	if p == nil {
		p = &prober{m: m, target: t, wake: make(chan struct{}, 1), watches: map[*watch]bool{}}
		ctx, cancel := context.WithCancel(m.ctx)
		p.cancel = cancel
		m.probers[t] = p
		m.wg.Go(func() { p.run(ctx) })
	}
	p.watches[w] = true
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return sync.OnceFunc(func() { m.unwatch(p, w) })
}

func (m *Monitor) unwatch(p *prober, w *watch) {
	m.mu.Lock()
	delete(p.watches, w)
	if len(p.watches) == 0 {
		p.cancel()
		delete(m.probers, p.target)
	}
	m.mu.Unlock()
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
}

// watch is one caller of Watch.
type watch struct {
	onChange func(up bool)

	mu      sync.Mutex // held while onChange runs
	stopped bool
	told    result
}

// tell hands a result on where it is news.
func (w *watch) tell(r result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && w.told != r {
		w.told = r
		w.onChange(r == up)
	}
}

// result is what is known of a target.
type result int

const (
	unknown result = iota
	down
	up
)

// prober checks one target as long as anybody watches it.
type prober struct {
	m      *Monitor
	target Target
	cancel context.CancelFunc
	wake   chan struct{} // has one value after a watch was added
	// watches is guarded by the Monitor's mutex.
	watches map[*watch]bool

	// The rest belongs to run.
	known  result
	streak int // checks in a row that contradict known
}

// run checks at once and then at each interval, until ctx ends.
func (p *prober) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
			began := p.m.now()
			p.check(ctx)
			timer.Reset(max(minInterval, p.pause()-p.m.now().Sub(began)))
		}
		if p.known != unknown {
			p.tell(ctx)
		}
	}
}

// pause is the time from one check to the next.
func (p *prober) pause() time.Duration {
	return time.Duration(float64(p.target.Interval) * (1 - jitter + 2*jitter*rand.Float64()))
}

// tell hands the result to everyone who watches now.
func (p *prober) tell(ctx context.Context) {
	p.m.mu.Lock()
	watches := make([]*watch, 0, len(p.watches))
	for w := range p.watches {
		watches = append(watches, w)
	}
	p.m.mu.Unlock()
	for _, w := range watches {
		if ctx.Err() != nil {
			return
		}
		w.tell(p.known)
	}
}

// check asks once, when it is its turn, and counts the answer.
func (p *prober) check(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case p.m.slots <- struct{}{}:
	}
	limited, cancel := context.WithTimeout(ctx, p.target.Timeout)
	err := ask(limited, p.target)
	cancel()
	<-p.m.slots
	switch {
	case ctx.Err() != nil:
	case isOurs(err):
		p.m.log.WarnContext(ctx, "health check not possible", "network", p.target.Network.String(), "addr", p.target.Addr.String(), "err", err)
	default:
		p.count(ctx, err)
	}
}

// isOurs reports whether a check failed for want of something on this machine. It
// says nothing about the target, and taking it for a failure would take down every
// target at once.
func isOurs(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// count takes the answer of one check into what is known.
func (p *prober) count(ctx context.Context, err error) {
	now, need := up, successesUp
	if err != nil {
		now, need = down, failuresDown
	}
	if p.known == now {
		p.streak = 0
		return
	}
	p.streak++
	if p.known != unknown && p.streak < need {
		return
	}
	p.known, p.streak = now, 0
	p.m.log.InfoContext(ctx, "health check changed",
		"network", p.target.Network.String(), "addr", p.target.Addr.String(), "kind", string(p.target.Kind), "up", now == up, "err", err)
}

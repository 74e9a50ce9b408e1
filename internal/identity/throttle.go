package identity

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// How failed logins are slowed down. Nobody is locked out: whoever has the right
// password waits at most a second if others have guessed at it from elsewhere.
const (
	// freeFailures is how often one address may fail for one user before it waits:
	// people mistype, and a program started anew tries again.
	freeFailures = 5
	// failureWindow is how long a failure is remembered after the last one.
	failureWindow = 5 * time.Minute
	// firstDelay is the first wait of an address; it doubles with every failure.
	firstDelay = time.Second
	// maxDelay is the longest wait of an address. Clients give up after 30 s or more,
	// and a route's own time is 30 s.
	maxDelay = 8 * time.Second
	// spreadFailures is how many failures for one user, wherever they come from, slow
	// every login of that user by spreadDelay: many addresses guess together.
	spreadFailures = 50
	// spreadDelay is short, as it also meets the user.
	spreadDelay = time.Second
	// maxDelayed is how many logins may wait for each of the two reasons; each holds
	// a connection and some kilobytes.
	maxDelayed = 256
	// maxDelayedPair is how many logins of one address for one user may wait: else
	// guesses that come together would all get through after one wait.
	maxDelayedPair = 4
	// maxCounters bounds the counters, about 150 bytes each. Whoever wants another's
	// forgotten has to fail some thousand times, each time at the price of a hash.
	maxCounters = 16384
	// prefixIPv6 is what one customer of a network has: its addresses count as one.
	prefixIPv6 = 64
)

// throttle counts failed logins and lets those wait that follow them. Names are counted
// as they are written, whether they exist or not and without asking the directory, so
// that waiting tells nothing about it.
type throttle struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu           sync.Mutex
	counters     generations[[sha256.Size]byte, failures]
	waiting      int // of addresses that have failed
	waitingUsers int // of users whom many addresses guess at
}

// failures are those of one address for one user, or of one user.
type failures struct {
	count   int
	last    time.Time
	waiting int
}

// attempt names the two counters of one login.
type attempt struct{ pair, user [sha256.Size]byte }

func newThrottle(now func() time.Time, sleep func(context.Context, time.Duration) error) *throttle {
	return &throttle{
		now: now, sleep: sleep,
		counters: generations[[sha256.Size]byte, failures]{limit: maxCounters},
	}
}

func attemptOf(ref UserRef, source string) attempt {
	if addr, err := netip.ParseAddr(source); err == nil {
		addr = addr.Unmap()
		if addr.Is6() {
			if p, err := addr.Prefix(prefixIPv6); err == nil {
				addr = p.Addr()
			}
		}
		source = addr.String()
	}
	h := sha256.New()
	for _, part := range []string{string(ref.ID), ref.Name, string(ref.Domain.ID), ref.Domain.Name} {
		sum := sha256.Sum256([]byte(part)) // of one length, so that no two lists read alike
		h.Write(sum[:])
	}
	var at attempt
	h.Sum(at.user[:0])
	h.Write([]byte(source))
	h.Sum(at.pair[:0])
	return at
}

// enter waits as long as the failures before this attempt demand, and returns how long
// that was. It returns ErrBusy where too many wait already, and what ended ctx.
func (t *throttle) enter(ctx context.Context, at attempt) (time.Duration, error) {
	delay, leave, err := t.queue(at)
	if err != nil || delay == 0 {
		return 0, err
	}
	defer leave()
	return delay, t.sleep(ctx, delay)
}

// queue takes a place for an attempt that has to wait.
func (t *throttle) queue(at attempt) (delay time.Duration, leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pair := t.live(at.pair); pair != nil && pair.count >= freeFailures {
		if pair.waiting >= maxDelayedPair || t.waiting >= maxDelayed {
			return 0, nil, ErrBusy
		}
		pair.waiting++
		t.waiting++
		return min(maxDelay, firstDelay<<min(pair.count-freeFailures, 16)), func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			pair.waiting--
			t.waiting--
		}, nil
	}
	// Where too many wait the user goes on at once: this may be the right one.
	if user := t.live(at.user); user != nil && user.count >= spreadFailures && t.waitingUsers < maxDelayed {
		t.waitingUsers++
		return spreadDelay, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.waitingUsers--
		}, nil
	}
	return 0, nil, nil
}

// live returns the failures that are still remembered, or nil.
func (t *throttle) live(k [sha256.Size]byte) *failures {
	f := t.counters.get(k)
	if f == nil {
		return nil
	}
	if t.now().Sub(f.last) >= failureWindow {
		f.count = 0
	}
	return f
}

// failed counts a wrong password.
func (t *throttle) failed(at attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range [][sha256.Size]byte{at.pair, at.user} {
		f := t.live(k)
		if f == nil {
			f = &failures{}
			t.counters.put(k, f)
		}
		f.count++
		f.last = t.now()
	}
}

// passed forgets the failures of the address. Those of the user stay: others go on
// guessing.
func (t *throttle) passed(at attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.counters.get(at.pair); f != nil {
		f.count = 0
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// slow is a house whose logins wait on a real timer, for a synctest bubble.
func slow(tb testing.TB) *Authority {
	tb.Helper()
	return New(directory(tb, accounts()), testKey, &memory{}, Options{})
}

const rick = sallyport.UserID("0000000000000000000000000000rick")

// tryRick logs in and returns how long it took and what came of it.
func tryRick(tb testing.TB, a *Authority, pw, source string) (time.Duration, error) {
	tb.Helper()
	return try(tb, a, UserRef{ID: rick}, pw, source)
}

func try(tb testing.TB, a *Authority, user UserRef, pw, source string) (time.Duration, error) {
	tb.Helper()
	start := time.Now()
	_, err := a.Login(tb.Context(), LoginRequest{Methods: []string{LoginPassword}, User: user, Password: pw}, source)
	return time.Since(start), err
}

// If this fails, passwords can be guessed as fast as a network allows, or the right one
// is refused, or an address that mistyped yesterday still waits.
func TestFailedLoginsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := slow(t)
		var got []time.Duration
		for range 10 {
			d, err := tryRick(t, a, "gue55", "192.0.2.1")
			wantAuth(t, err, AuthBadPassword)
			got = append(got, d/time.Second)
		}
		if diff := cmp.Diff([]time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 8}, got); diff != "" {
			t.Errorf("seconds waited (-want +got):\n%s", diff)
		}
		if d, err := tryRick(t, a, rickPassword, "192.0.2.2"); err != nil || d != 0 {
			t.Errorf("the right password from elsewhere: %v after %v", err, d)
		}
		if d, err := try(t, a, UserRef{ID: "other"}, "x", "192.0.2.1"); AuthKindOf(err) != AuthBadPassword || d != 0 {
			t.Errorf("another user from the same address: %v after %v", err, d)
		}
		if d, err := tryRick(t, a, rickPassword, "192.0.2.1"); err != nil || d != maxDelay {
			t.Errorf("the right password from there: %v after %v, want it after %v", err, d, maxDelay)
		}
		if d, err := tryRick(t, a, rickPassword, "192.0.2.1"); err != nil || d != 0 {
			t.Errorf("after the right one: %v after %v", err, d)
		}
		for range freeFailures {
			_, err := tryRick(t, a, "gue55", "192.0.2.1")
			wantAuth(t, err, AuthBadPassword)
		}
		time.Sleep(failureWindow)
		if d, _ := tryRick(t, a, "gue55", "192.0.2.1"); d != 0 {
			t.Errorf("after %v: waited %v", failureWindow, d)
		}
	})
}

// If this fails, the wait tells which users exist.
func TestWaitingIsNoOracle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits [][]time.Duration
		for _, user := range []UserRef{
			{ID: rick},
			{ID: "nobody"},
			{Name: "rick", Domain: DomainRef{Name: "acme"}},
			{Name: "robot", Domain: DomainRef{ID: acme}},
			{Name: "nemo", Domain: DomainRef{Name: "acme"}},
			{Name: "x", Domain: DomainRef{Name: "nowhere"}},
		} {
			a := slow(t)
			var got []time.Duration
			for range 8 {
				d, err := try(t, a, user, "gue55", "192.0.2.1")
				wantAuth(t, err, AuthBadPassword)
				got = append(got, d)
			}
			waits = append(waits, got)
			// What is counted is how the user is written, not who that is.
			if d, _ := try(t, a, UserRef{Name: "rick", Domain: DomainRef{ID: acme}}, "gue55", "192.0.2.1"); d != 0 {
				t.Errorf("%+v: another way to write a user waits %v", user, d)
			}
		}
		if n := len(slices.CompactFunc(waits, slices.Equal[[]time.Duration])); n != 1 {
			t.Errorf("users wait differently: %v", waits)
		}
	})
}

// If this fails, many addresses together guess without being slowed, or they lock the
// user out.
func TestManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := slow(t)
		for i := range spreadFailures {
			if d, _ := tryRick(t, a, "gue55", fmt.Sprintf("192.0.2.%d", i)); d != 0 {
				t.Errorf("attempt %d waited %v", i, d)
			}
		}
		for _, source := range []string{"198.51.100.1", "198.51.100.1"} {
			if d, err := tryRick(t, a, rickPassword, source); err != nil || d != spreadDelay {
				t.Errorf("the user: %v after %v, want in after %v", err, d, spreadDelay)
			}
		}
		a.throttle.waitingUsers = maxDelayed
		if d, err := tryRick(t, a, rickPassword, "198.51.100.1"); err != nil || d != 0 {
			t.Errorf("where too many wait: %v after %v, want in at once", err, d)
		}
	})
}

// If this fails, guesses that come together all get through after one wait, those that
// wait exhaust the server, or one that has gone away keeps its place.
func TestFewMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := slow(t)
		for range freeFailures {
			_, err := tryRick(t, a, "gue55", "192.0.2.1")
			wantAuth(t, err, AuthBadPassword)
		}
		ctx, leave := context.WithCancel(t.Context())
		results := make(chan error, maxDelayedPair)
		for range maxDelayedPair {
			go func() {
				_, err := a.Login(ctx, LoginRequest{Methods: []string{LoginPassword}, User: UserRef{ID: rick}, Password: rickPassword}, "192.0.2.1")
				results <- err
			}()
		}
		synctest.Wait()
		if d, err := tryRick(t, a, rickPassword, "192.0.2.1"); !errors.Is(err, ErrBusy) || AuthKindOf(err) != 0 || d != 0 {
			t.Errorf("one more: %v after %v, want %v", err, d, ErrBusy)
		}
		if _, err := tryRick(t, a, rickPassword, "192.0.2.2"); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
		leave()
		for range maxDelayedPair {
			if err := <-results; !errors.Is(err, context.Canceled) || AuthKindOf(err) != 0 {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		}
		if a.throttle.waiting != 0 {
			t.Errorf("%d still wait", a.throttle.waiting)
		}
		a.throttle.waiting = maxDelayed
		_, err := tryRick(t, a, rickPassword, "192.0.2.1")
		if !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want %v", err, ErrBusy)
		}
	})
}

// If this fails, a customer with an IPv6 network has as many addresses to guess from as
// it likes, or names and addresses can be cut so that two users share a counter.
func TestAttemptOf(t *testing.T) {
	ref := UserRef{Name: "ab", Domain: DomainRef{Name: "c"}}
	same := [][2]string{{"2001:db8::1", "2001:db8::ffff:1"}, {"::ffff:192.0.2.1", "192.0.2.1"}}
	for _, s := range same {
		if attemptOf(ref, s[0]) != attemptOf(ref, s[1]) {
			t.Errorf("%s and %s are two", s[0], s[1])
		}
	}
	seen := map[[32]byte]string{}
	for _, at := range []attempt{
		attemptOf(ref, "192.0.2.1"), attemptOf(UserRef{Name: "a", Domain: DomainRef{Name: "bc"}}, "192.0.2.1"),
		attemptOf(UserRef{ID: "ab", Domain: DomainRef{Name: "c"}}, "192.0.2.1"), attemptOf(UserRef{Name: "ab", Domain: DomainRef{ID: "c"}}, "2001:db8:0:1::1"),
		attemptOf(UserRef{Name: strings.Repeat("x", 1<<16)}, "2001:db8:0:2::1"),
	} {
		for _, k := range [][32]byte{at.pair, at.user} {
			if _, ok := seen[k]; ok {
				t.Errorf("%v twice", at)
			}
			seen[k] = ""
		}
	}
	if attemptOf(ref, "192.0.2.1").user != attemptOf(ref, "192.0.2.2").user || attemptOf(ref, "192.0.2.1").pair == attemptOf(ref, "192.0.2.2").pair {
		t.Error("addresses are mixed up")
	}
}

// If this fails, whoever makes up user names fills the memory.
func TestCountersAreBounded(t *testing.T) {
	th := newThrottle(time.Now, sleep)
	for i := range maxCounters {
		th.failed(attemptOf(UserRef{Name: fmt.Sprint(i)}, "192.0.2.1"))
		if n := len(th.counters.young) + len(th.counters.old); n > maxCounters {
			t.Fatalf("got %d counters, want at most %d", n, maxCounters)
		}
	}
}

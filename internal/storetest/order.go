//nolint:thelper // these are tests, not helpers: a failure is reported where it is
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, a page of a list changes while it is being sent.
func viewIsImmutable(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	first := putAll(t)
	first(want)
	update(t, s, first)
	old := view(t, s)
	for round := range 3 {
		later := want.Clone()
		update(t, s, func(tx sallyport.Tx) {
			removeAll(tx, want)
			CreateSubnet(tx, Subnet(10+round))
			CreateRevocation(tx, Revocation(fmt.Sprintf("another-%d", round)))
			CreateService(tx, Service("project-a"))
		})
		again := putAll3(t)
		again(later)
		update(t, s, again)
		err := s.Update(t.Context(), func(tx sallyport.Tx) error { removeAll(tx, later); return errRefused })
		if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		if diff := Diff(old, want, later); diff != "" {
			t.Fatalf("a view changed after it was handed out:\n%s", diff)
		}
	}
}

// If this fails, a client that was told of its change does not find it.
func viewIsNeverStale(t *testing.T, db Database) {
	const callers, each = 8, 25
	s := db.open(t)
	stores := []sallyport.Store{s}
	if db.Shared {
		stores = append(stores, db.open(t))
	}
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	parallel(callers, func(c int) {
		e := Endpoint(svc, c+2)
		for i := range each {
			e := *e
			e.Description = fmt.Sprint(i)
			var rev sallyport.Revision
			err := stores[i%len(stores)].Update(t.Context(), func(tx sallyport.Tx) error {
				CreateEndpoint(tx, &e)
				rev = tx.Revision()
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			v, err := stores[(i/2)%len(stores)].View(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			got, ok := v.Endpoint(e.ID)
			if !ok || got.Description != e.Description || v.Revision() < rev {
				t.Errorf("caller %d read revision %d after %d was acknowledged: %v", c, v.Revision(), rev, got)
				return
			}
		}
	})
}

// If this fails, an agent, a watch or another server never hears of a change.
func pollerMissesNothing(t *testing.T, db Database) {
	const writers, each = 16, 50
	s := db.open(t)
	readers := []sallyport.Store{s}
	writing := []sallyport.Store{s}
	if db.Shared {
		other := db.open(t)
		readers, writing = append(readers, other), append(writing, other)
	}
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	ctx := within(t)
	var pollers sync.WaitGroup
	for i, r := range readers {
		pollers.Go(func() {
			if err := poll(ctx, r, 1+writers*each); err != nil {
				t.Errorf("poller %d: %v", i, err)
			}
		})
	}
	parallel(writers, func(w int) {
		e := Endpoint(svc, w+2)
		for i := range each {
			err := writing[i%len(writing)].Update(t.Context(), func(tx sallyport.Tx) error { CreateEndpoint(tx, e); return nil })
			if err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		}
	})
	pollers.Wait()
	if got := len(readLog(t, s)); got != 1+writers*each {
		t.Errorf("the log has %d records, want %d", got, 1+writers*each)
	}
}

// poll follows the log until it has seen n records, and complains where one is
// skipped. It follows the changes of the state as well.
func poll(ctx context.Context, s sallyport.Store, n int) error {
	var since, shown sallyport.Revision
	for int(since) < n {
		if err := s.Wait(ctx, since); err != nil {
			return fmt.Errorf("wait beyond %d: %w", since, err)
		}
		page, err := s.Audit(ctx, since, 37)
		if err != nil {
			return err
		}
		for _, r := range page {
			if r.Rev != since+1 {
				return fmt.Errorf("revision %d follows %d", r.Rev, since)
			}
			since = r.Rev
		}
		v, err := s.View(ctx)
		if err != nil {
			return err
		}
		if v.Revision() < since {
			return fmt.Errorf("view at %d after the log showed %d", v.Revision(), since)
		}
		v.ChangesSince(shown, func(c sallyport.Change) bool {
			if c.Rev <= shown || c.Rev > v.Revision() {
				err = fmt.Errorf("change of revision %d in a view at %d, after %d", c.Rev, v.Revision(), shown)
			}
			shown = c.Rev
			return true
		})
		if err != nil {
			return err
		}
		if shown != v.Revision() { // every record of this test is a change
			return fmt.Errorf("the changes end at %d in a view at %d", shown, v.Revision())
		}
	}
	return nil
}

// If this fails, whoever pages through the log skips records or reads for ever.
func auditPages(t *testing.T, db Database) {
	s := db.open(t)
	update(t, s, func(tx sallyport.Tx) {
		for i := range 25 {
			tx.Record(record(sallyport.ObjectToken, fmt.Sprint(i)))
		}
	})
	for _, c := range []struct {
		since       sallyport.Revision
		limit       int
		first, size int
	}{
		{0, 10, 1, 10},
		{10, 10, 11, 10},
		{20, 10, 21, 5},
		{25, 10, 0, 0},
		{1000, 10, 0, 0},
		{0, 0, 0, 0},
		{0, -1, 0, 0},
		{-5, 1, 1, 1},
		{0, 1 << 40, 1, 25},
	} {
		page, err := s.Audit(t.Context(), c.since, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) != c.size || len(page) > 0 && page[0].Rev != sallyport.Revision(c.first) {
			t.Errorf("since %d, limit %d: %d records from %v, want %d from %d", c.since, c.limit, len(page), page, c.size, c.first)
		}
	}
}

// If this fails, somebody can change or remove a record of the log and the
// chain still verifies.
func chainShowsEveryChange(t *testing.T, db Database) {
	s := db.open(t)
	for range 3 {
		update(t, s, putAll(t))
	}
	s = db.reopen(t, s) // the chain goes on where it ended
	update(t, s, func(tx sallyport.Tx) {
		tx.Record(record(sallyport.ObjectToken, "last"))
	})
	log := readLog(t, s)
	fresh := func() []sallyport.Record { return append([]sallyport.Record(nil), log...) }
	for i := range reflect.TypeFor[sallyport.Record]().NumField() {
		tampered := fresh()
		f := reflect.ValueOf(&tampered[len(log)/2]).Elem().Field(i)
		switch v := f.Addr().Interface().(type) {
		case *time.Time:
			*v = v.Add(time.Microsecond)
		case *[32]byte:
			v[31] ^= 1
		case *sallyport.Revision:
			*v++
		default:
			f.SetString(f.String() + "x")
		}
		if VerifyChain(tampered) == nil {
			t.Errorf("a change of %s is not seen", reflect.TypeFor[sallyport.Record]().Field(i).Name)
		}
	}
	half := len(log) / 2
	for name, tampered := range map[string][]sallyport.Record{
		"a missing record":  append(fresh()[:half], log[half+1:]...),
		"a record twice":    append(fresh()[:half], log[half-1:]...),
		"a lost first":      fresh()[1:],
		"two that swapped":  append(append(fresh()[:half], log[half+1], log[half]), log[half+2:]...),
		"words that moved":  moved(fresh(), half),
		"another's history": append(fresh()[:half], otherLog()...),
	} {
		if VerifyChain(tampered) == nil {
			t.Errorf("%s is not seen", name)
		}
	}
}

// moved moves a letter from the end of one field to the start of the next.
func moved(log []sallyport.Record, i int) []sallyport.Record {
	r := &log[i]
	r.Family, r.Operation = r.Family[:len(r.Family)-1], r.Family[len(r.Family)-1:]+r.Operation
	return log
}

func otherLog() []sallyport.Record {
	r := record(sallyport.ObjectToken, "forged")
	r.Rev = 1
	r.Hash = r.Chain([32]byte{})
	return []sallyport.Record{r}
}

// If this fails, an agent sleeps through a decision, or a request hangs after
// its client has gone.
func waitWakesAndEnds(t *testing.T, db Database) {
	s := db.open(t)
	ctx := within(t)
	const waiters = 5
	errs := make(chan error, waiters)
	for range waiters {
		go func() { errs <- s.Wait(ctx, 0) }()
	}
	// A refusal is no news.
	if err := s.Update(ctx, func(tx sallyport.Tx) error { putAll(t)(tx); return errRefused }); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	select {
	case err := <-errs:
		t.Fatalf("woken at revision 0: %v", err)
	default:
	}
	update(t, s, func(tx sallyport.Tx) { CreateSubnet(tx, Subnet(1)) })
	for range waiters {
		if err := <-errs; err != nil {
			t.Errorf("wait: %v", err)
		}
	}
	if err := s.Wait(ctx, 0); err != nil {
		t.Errorf("wait for the past: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	go func() { errs <- s.Wait(gone, 1) }()
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("wait with a cancelled context: %v", err)
	}
}

// If this fails, a quota is exceeded by those who come at once.
func limitHoldsUnderRace(t *testing.T, db Database) {
	const callers, limit = 64, 20
	s := db.open(t)
	var refused sync.Map
	parallel(callers, func(i int) {
		err := s.Update(t.Context(), func(tx sallyport.Tx) error {
			if have, _ := tx.Usage("project-a"); have >= limit {
				return errRefused
			}
			CreateService(tx, Service("project-a"))
			return nil
		})
		if errors.Is(err, errRefused) {
			refused.Store(i, true)
		} else if err != nil {
			t.Error(err)
		}
	})
	n := 0
	refused.Range(func(any, any) bool { n++; return true })
	have, _ := view(t, s).Usage("project-a")
	if have != limit || n != callers-limit {
		t.Errorf("%d of %d were made and %d refused, want %d and %d", have, callers, n, limit, callers-limit)
	}
	s = db.reopen(t, s)
	if have, _ := view(t, s).Usage("project-a"); have != limit {
		t.Errorf("%d are on disk, want %d", have, limit)
	}
}

// Two owners race to accept and to reject a pending connection, each only where
// it is still pending: exactly one may win, and the loser must see a refusal
// rather than overwrite.
func raceHasOneWinner(t *testing.T, db Database) {
	s := db.open(t)
	stores := []sallyport.Store{s, s}
	if db.Shared {
		stores[1] = db.open(t)
	}
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	for round := range 25 {
		e := Endpoint(svc, round+2)
		update(t, s, func(tx sallyport.Tx) { CreateEndpoint(tx, e) })
		var errs [2]error
		parallel(2, func(i int) {
			action := []sallyport.Action{sallyport.ActionAccept, sallyport.ActionReject}[i]
			errs[i] = stores[i].Update(t.Context(), func(tx sallyport.Tx) error {
				if now, ok := tx.Endpoint(e.ID); !ok || now.Status != sallyport.StatusPending {
					return errRefused
				}
				return Decide(tx, e.ID, action, epoch)
			})
		})
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		if errs[winner] != nil || !errors.Is(errs[1-winner], errRefused) {
			t.Fatalf("round %d: accept: %v, reject: %v", round, errs[0], errs[1])
		}
		want := []sallyport.Status{sallyport.StatusCreating, sallyport.StatusRejected}[winner]
		for _, s := range stores {
			if got, _ := view(t, s).Endpoint(e.ID); got == nil || got.Status != want {
				t.Errorf("round %d: %+v, want status %s", round, got, want)
			}
		}
	}
}

// If this fails, tokens become invalid with a restart, or on the other server.
func secrets(t *testing.T, db Database) {
	s := db.open(t)
	var first [16][]byte
	parallel(len(first), func(i int) {
		var err error
		if first[i], err = s.Secret(t.Context(), "tokens"); err != nil {
			t.Error(err)
		}
	})
	for _, got := range first {
		if len(got) != 32 || string(got) != string(first[0]) {
			t.Fatalf("secrets of one name differ: %d bytes and %d bytes", len(got), len(first[0]))
		}
	}
	other, err := s.Secret(t.Context(), "agents")
	if err != nil || string(other) == string(first[0]) {
		t.Errorf("two names have one secret (%v)", err)
	}
	check := func(s sallyport.Store) {
		t.Helper()
		if got, err := s.Secret(t.Context(), "tokens"); err != nil || string(got) != string(first[0]) {
			t.Errorf("the secret is another one, or gone: %v", err)
		}
	}
	if db.Shared {
		check(db.open(t))
	}
	check(db.reopen(t, s))
}

// If this fails, the server hangs as it stops, or says yes when it has stopped.
func closing(t *testing.T, db Database) {
	s := db.open(t)
	update(t, s, func(tx sallyport.Tx) { CreateSubnet(tx, Subnet(1)) })
	ctx := within(t)
	waiting := make(chan error, 1)
	go func() { waiting <- s.Wait(ctx, 1) }()
	parallel(8, func(i int) {
		if i < 4 {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			return
		}
		// Whoever comes at that moment gets a yes that holds, or an error.
		_ = s.Update(ctx, func(tx sallyport.Tx) error { CreateSubnet(tx, Subnet(i)); return nil })
		_, _ = s.View(ctx)
	})
	if err := <-waiting; err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Error("who waits is not told that the store is closed")
	}
	for name, call := range map[string]func() error{
		"update": func() error { return s.Update(ctx, func(sallyport.Tx) error { return nil }) },
		"view":   func() error { _, err := s.View(ctx); return err },
		"wait":   func() error { return s.Wait(ctx, 1<<40) },
		"audit":  func() error { _, err := s.Audit(ctx, 0, 1); return err },
		"secret": func() error { _, err := s.Secret(ctx, "tokens"); return err },
	} {
		if err := call(); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	readLog(t, db.open(t))
}

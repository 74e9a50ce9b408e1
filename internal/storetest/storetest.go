package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// patience is how long a test waits for what must happen: long enough for any
// machine, short enough to say which test it was.
const patience = 30 * time.Second

// Database is one database, empty at first, that stores are opened on.
type Database struct {
	// Open opens a store. The caller closes it.
	Open func(context.Context) (sallyport.Store, error)
	// Shared says that several stores may be open at once.
	Shared bool
}

// open opens a store that is closed when the test ends, if not before.
func (db Database) open(t *testing.T) sallyport.Store {
	t.Helper()
	s, err := db.Open(t.Context())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens another one on the same database.
func (db Database) reopen(t *testing.T, s sallyport.Store) sallyport.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return db.open(t)
}

// Run runs the contract. fresh makes a new, empty database for one test.
func Run(t *testing.T, fresh func(*testing.T) Database) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, Database)
	}{
		{"EveryFieldIsDurable", everyFieldIsDurable},
		{"ChangesAreDurable", changesAreDurable},
		{"TimesAreTheSameAfterReopen", timesAreTheSameAfterReopen},
		{"RefusedUpdateLeavesNothing", refusedUpdateLeavesNothing},
		{"PutNeedsRecord", putNeedsRecord},
		{"RefusedUpdateSparesItsNeighbours", refusedUpdateSparesItsNeighbours},
		{"PanicIsAnError", panicIsAnError},
		{"CancelledWhileQueued", cancelledWhileQueued},
		{"TxSeesWhatItPut", txSeesWhatItPut},
		{"ViewIsImmutable", viewIsImmutable},
		{"ViewIsNeverStale", viewIsNeverStale},
		{"PollerMissesNothing", pollerMissesNothing},
		{"AuditPages", auditPages},
		{"ChainShowsEveryChange", chainShowsEveryChange},
		{"WaitWakesAndEnds", waitWakesAndEnds},
		{"LimitHoldsUnderRace", limitHoldsUnderRace},
		{"RaceHasOneWinner", raceHasOneWinner},
		{"Lists", lists},
		{"Tombstones", tombstones},
		{"BackendPorts", backendPorts},
		{"Addresses", addresses},
		{"Markers", markers},
		{"RandomHistory", randomHistory},
		{"Secrets", secrets},
		{"Close", closing},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

// VerifyChain checks a log from its first record on: revisions without holes,
// and every hash that of the record after the one before it.
func VerifyChain(log []sallyport.Record) error {
	var prev [32]byte
	for i := range log {
		r := &log[i]
		if want := sallyport.Revision(i + 1); r.Rev != want {
			return fmt.Errorf("record %d has revision %d", want, r.Rev)
		}
		if r.Chain(prev) != r.Hash {
			return fmt.Errorf("record %d does not fit its hash %s", r.Rev, r.HashText())
		}
		prev = r.Hash
	}
	return nil
}

// ReadLog returns the whole log of the store.
func ReadLog(ctx context.Context, s sallyport.Store) ([]sallyport.Record, error) {
	var log []sallyport.Record
	for {
		page, err := s.Audit(ctx, sallyport.Revision(len(log)), 500)
		if err != nil || len(page) == 0 {
			return log, err
		}
		log = append(log, page...)
	}
}

// readLog returns the whole log and fails where its chain is broken.
func readLog(t *testing.T, s sallyport.Store) []sallyport.Record {
	t.Helper()
	log, err := ReadLog(t.Context(), s)
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	if err := VerifyChain(log); err != nil {
		t.Error(err)
	}
	return log
}

// update runs fn and fails the test where it is not acknowledged.
func update(t *testing.T, s sallyport.Store, fn func(sallyport.Tx)) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx sallyport.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, s sallyport.Store) sallyport.View {
	t.Helper()
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return v
}

// same fails the test where the store does not show exactly want.
func same(t *testing.T, s sallyport.Store, want *Naive, before ...*Naive) {
	t.Helper()
	if diff := Diff(view(t, s), want, before...); diff != "" {
		t.Errorf("the state is not what was put:\n%s", diff)
	}
}

// parallel runs n functions at once, lets them go together, and waits for all.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// blocked runs a function that holds the writer up, and returns when it runs;
// release lets it go and waits for its end.
func blocked(t *testing.T, s sallyport.Store) (release func()) {
	t.Helper()
	entered, let, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	ctx := t.Context()
	go func() {
		ended <- s.Update(ctx, func(sallyport.Tx) error {
			once.Do(func() { close(entered) })
			<-let
			return nil
		})
	}()
	<-entered
	return func() {
		t.Helper()
		close(let)
		if err := <-ended; err != nil {
			t.Errorf("the update that held up the others: %v", err)
		}
	}
}

// within returns a context that ends when a test has waited long enough.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var errRefused = errors.New("refused by the test")

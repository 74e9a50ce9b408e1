package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-net/sallyport/internal/pgtest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

var (
	errFault   = errors.New("a fault of the test")
	errRefused = errors.New("refused by the test")
)

// faulty is a database that fails at the k-th point from when it is armed, and
// at as many of those that follow as it is told.
type faulty struct {
	database

	mu    sync.Mutex
	kind  kind   // of points that count
	left  int    // points until the fault; 0 is unarmed
	more  int    // faults after the first
	fired string // where the first was
}

// kind tells the points of the writer, which come in the order of the script,
// from reads outside of transactions, which come at any time on PostgreSQL.
type kind string

const (
	writes kind = "write"
	reads  kind = "read"
)

func (f *faulty) arm(of kind, k, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.left, f.more = of, k, more
}

// point returns the fault where it is due.
func (f *faulty) point(of kind, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 || f.kind != of {
		return nil
	}
	if f.left--; f.left > 0 {
		return nil
	}
	if f.more > 0 {
		f.left, f.more = 1, f.more-1
	}
	if f.fired == "" {
		f.fired = name
	}
	return fmt.Errorf("%s: %w", name, errFault)
}

func (f *faulty) begin(ctx context.Context) (txn, error) {
	if err := f.point(writes, "begin"); err != nil {
		return nil, err
	}
	t, err := f.database.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyTxn{txn: t, f: f}, nil
}

func (f *faulty) query(ctx context.Context, q string, args ...any) (rows, error) {
	if err := f.point(reads, "read"); err != nil {
		return nil, err
	}
	return f.database.query(ctx, q, args...)
}

type faultyTxn struct {
	txn
	f *faulty
}

func (t *faultyTxn) query(ctx context.Context, q string, args ...any) (rows, error) {
	if err := t.f.point(writes, "query"); err != nil {
		return nil, err
	}
	return t.txn.query(ctx, q, args...)
}

func (t *faultyTxn) exec(ctx context.Context, sts []statement) error {
	if err := t.f.point(writes, "exec"); err != nil {
		return err
	}
	if err := t.txn.exec(ctx, sts); err != nil {
		return err
	}
	return t.f.point(writes, "exec, after it was done")
}

func (t *faultyTxn) commit(ctx context.Context) error {
	if err := t.f.point(writes, "commit"); err != nil {
		return err // the deferred rollback makes it true
	}
	if err := t.txn.commit(ctx); err != nil {
		return err
	}
	return t.f.point(writes, "commit, after it was done")
}

// Every statement of the store fails once. If this fails, there is one whose
// failure loses what was acknowledged, keeps what was refused, or makes memory
// show something else than the disk.
func TestEveryFault(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		everyFault(t, 0, func(t *testing.T) Options { t.Helper(); return Options{Dir: t.TempDir()} })
	})
	// Three in a row: what follows an uncertain commit fails as well.
	t.Run("SQLite thrice", func(t *testing.T) {
		everyFault(t, 2, func(t *testing.T) Options { t.Helper(); return Options{Dir: t.TempDir()} })
	})
	t.Run("Postgres", func(t *testing.T) {
		opt := Options{URL: pgtest.URL(t)}
		everyFault(t, 0, func(t *testing.T) Options { t.Helper(); empty(t, opt); return opt })
	})
}

// empty brings a PostgreSQL database back to its first day, where it had one.
func empty(t *testing.T, opt Options) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), opt.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var used bool
	if err := conn.QueryRow(t.Context(), `SELECT to_regclass('meta') IS NOT NULL`).Scan(&used); err != nil {
		t.Fatal(err)
	}
	if !used {
		return
	}
	_, err = conn.Exec(t.Context(), `DELETE FROM services; DELETE FROM endpoints; DELETE FROM permissions;
		DELETE FROM subnets; DELETE FROM revocations; DELETE FROM audit; DELETE FROM secrets;
		UPDATE meta SET rev = 0, head = decode(repeat('00', 32), 'hex')`)
	if err != nil {
		t.Fatal(err)
	}
}

func everyFault(t *testing.T, more int, fresh func(*testing.T) Options) {
	t.Helper()
	const most = 300 // points of the script, far more than there are
	seen := map[string]int{}
	for _, of := range []kind{writes, reads} {
		for k := 1; ; k++ {
			if k > most {
				t.Fatalf("still a fault at %s %d", of, k)
			}
			fired := oneFault(t, fresh(t), of, k, more)
			if t.Failed() {
				t.Fatalf("with a fault at %s %d, %s", of, k, fired)
			}
			if fired == "" {
				break
			}
			seen[fired]++
		}
	}
	t.Logf("faults: %v", seen)
	for _, name := range []string{"begin", "query", "exec", "exec, after it was done", "commit", "commit, after it was done"} {
		if seen[name] < 5 {
			t.Errorf("%d faults at %q: the script does not get there", seen[name], name)
		}
	}
}

// oneFault runs the script with a fault at the k-th point and returns where that
// was, or "" where the script has ended before.
func oneFault(t *testing.T, opt Options, of kind, k, more int) string {
	t.Helper()
	f := &faulty{}
	s := openFaulty(t, opt, f)
	script := newScript()
	f.arm(of, k, more)
	script.run(t, s)
	f.arm(of, 0, 0)

	// The store works on, and shows what is on disk.
	last := storetest.Service("project-c")
	err := s.Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateService(tx, last); return nil })
	if err != nil {
		t.Errorf("after the fault: %v", err)
	}
	script.steps = append(script.steps, &step{fn: func(tx sallyport.Tx) error { storetest.CreateService(tx, last); return nil }})
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := script.expect(t, v)
	tx, err := s.db.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	disk, err := load(t.Context(), tx, time.Time{})
	tx.rollback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	disk.SetRevision(v.Revision())
	if diff := storetest.Diff(disk, want, script.tried()); diff != "" {
		t.Errorf("on disk:\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	reopened(t, opt, want, script.tried())
	return f.fired
}

// A commit was done and not answered, and nobody updates anything after it. If
// this fails, the log shows a change that the state does not, until somebody does.
func TestUncertainCommitIsShown(t *testing.T) {
	f := &faulty{}
	s := openFaulty(t, Options{Dir: t.TempDir()}, f)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	f.arm(writes, 6, 0) // begin, counter, exec and its end, commit and its end
	svc := storetest.Service("project-a")
	err := s.Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateService(tx, svc); return nil })
	if f.fired != "commit, after it was done" || !errors.Is(err, errUncertain) {
		t.Fatalf("fault at %q, error %v", f.fired, err)
	}
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Service(svc.ID); !ok || v.Revision() != 1 {
		t.Errorf("the state is at revision %d, the log at 1", v.Revision())
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func openFaulty(t *testing.T, opt Options, f *faulty) *Store {
	t.Helper()
	var err error
	if opt.URL != "" {
		f.database, err = openPostgres(t.Context(), opt.URL)
	} else {
		f.database, err = openSQLite(t.Context(), opt.Dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), f, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reopened checks the database as a store finds it that is opened now.
func reopened(t *testing.T, opt Options, want, tried *storetest.Naive) {
	t.Helper()
	s, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := storetest.Diff(v, want, tried); diff != "" {
		t.Errorf("after reopen:\n%s", diff)
	}
	log, err := storetest.ReadLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != int(want.Revision()) {
		t.Errorf("%d records at revision %d", len(log), want.Revision())
	}
	if err := storetest.VerifyChain(log); err != nil {
		t.Error(err)
	}
}

// script is a workload that can be played again on the naive state.
type script struct{ steps []*step }

// step is one update and how it ended.
type step struct {
	fn  func(sallyport.Tx) error
	err error
	// together with the step before it, in one batch of the writer
	joined bool
}

func newScript() *script {
	svc, other := storetest.Service("project-a"), storetest.Service("project-a")
	e := [5]*sallyport.Endpoint{}
	for i := range e {
		e[i] = storetest.Endpoint(svc, 10+i)
	}
	p := storetest.Permission(svc.ID, "domain-b")
	at := svc.CreatedAt
	s := &script{}
	add := func(joined bool, fn func(sallyport.Tx) error) {
		s.steps = append(s.steps, &step{fn: fn, joined: joined})
	}
	put := func(joined bool, fn func(sallyport.Tx)) {
		add(joined, func(tx sallyport.Tx) error { fn(tx); return nil })
	}
	decide := func(joined bool, e *sallyport.Endpoint, a sallyport.Action) {
		add(joined, func(tx sallyport.Tx) error { return storetest.Decide(tx, e.ID, a, at) })
	}
	put(false, func(tx sallyport.Tx) { storetest.CreateService(tx, svc); storetest.CreateService(tx, other) })
	put(false, func(tx sallyport.Tx) {
		for _, e := range e[:3] {
			storetest.CreateEndpoint(tx, e)
		}
	})
	put(false, func(tx sallyport.Tx) {
		storetest.CreatePermission(tx, p)
		storetest.CreateSubnet(tx, storetest.Subnet(1))
		storetest.CreateRevocation(tx, storetest.Revocation("token"))
	})
	add(false, func(tx sallyport.Tx) error { storetest.CreateEndpoint(tx, e[4]); return errRefused })
	decide(false, e[0], sallyport.ActionAccept)

	// One batch: two decisions, a refusal, a new one, a panic, a removal.
	decide(false, e[1], sallyport.ActionReject)
	decide(true, e[0], sallyport.ActionConfirm)
	add(true, func(tx sallyport.Tx) error { storetest.RemoveEndpoint(tx, e[2].ID); return errRefused })
	put(true, func(tx sallyport.Tx) { storetest.CreateEndpoint(tx, e[3]) })
	add(true, func(tx sallyport.Tx) error { storetest.RemoveService(tx, other.ID); panic(errRefused) })
	put(true, func(tx sallyport.Tx) { storetest.RemovePermission(tx, svc.ID, p.ID) })

	put(false, func(tx sallyport.Tx) { storetest.RemoveEndpoint(tx, e[2].ID) })
	decide(false, e[1], sallyport.ActionAccept)
	put(false, func(tx sallyport.Tx) { storetest.RemoveService(tx, other.ID) })
	return s
}

// run plays the script. What is joined goes through the queue as one batch.
func (s *script) run(t *testing.T, store *Store) {
	t.Helper()
	for i := 0; i < len(s.steps); {
		n := i + 1
		for n < len(s.steps) && s.steps[n].joined {
			n++
		}
		if n == i+1 {
			s.steps[i].err = store.Update(t.Context(), s.steps[i].fn)
		} else {
			batch(t, store, s.steps[i:n])
		}
		// A reader in between; it may meet the fault and be told so.
		if _, err := store.View(t.Context()); err != nil && !errors.Is(err, errFault) {
			t.Errorf("view: %v", err)
		}
		i = n
	}
}

// batch holds the writer up until all steps are queued, so that it takes them
// together.
func batch(t *testing.T, store *Store, steps []*step) {
	t.Helper()
	entered, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hold := &update{ctx: t.Context(), done: make(chan struct{}), fn: func(sallyport.Tx) error {
		once.Do(func() { close(entered) })
		<-let
		return nil
	}}
	store.queue <- hold
	select {
	case <-entered:
	case <-hold.done: // the fault hit before it ran
	}
	queued := make([]*update, len(steps))
	for i, st := range steps {
		queued[i] = &update{ctx: t.Context(), fn: st.fn, done: make(chan struct{})}
		store.queue <- queued[i]
	}
	close(let)
	<-hold.done
	for i, u := range queued {
		<-u.done
		steps[i].err = u.err
	}
}

// expect returns the state that has to be there: that of the acknowledged steps,
// and of those with an uncertain end either all or none. The view decides which.
func (s *script) expect(t *testing.T, v sallyport.View) *storetest.Naive {
	t.Helper()
	without := s.replay(func(err error) bool { return err == nil })
	diff := storetest.Diff(v, without, s.tried())
	if diff == "" {
		return without
	}
	with := s.replay(func(err error) bool { return err == nil || errors.Is(err, errUncertain) })
	if storetest.Diff(v, with, s.tried()) == "" {
		return with
	}
	t.Errorf("memory is not what was acknowledged:\n%s", diff)
	return without
}

// replay plays on the naive state the steps whose end is one of those. A step
// that does not succeed there leaves its part out, and so shows a difference.
func (s *script) replay(took func(error) bool) *storetest.Naive {
	n := storetest.NewNaive()
	for _, st := range s.steps {
		if took(st.err) {
			_ = st.fn(n)
		}
	}
	return n
}

// tried is the state with all that any step put: what of it is not expected has
// to be gone from every index.
func (s *script) tried() *storetest.Naive {
	n := storetest.NewNaive()
	for _, st := range s.steps {
		func() {
			defer func() { _ = recover() }()
			_ = st.fn(n)
		}()
	}
	return n
}

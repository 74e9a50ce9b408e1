package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/internal/readmodel"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// MaxAuditPage is the largest number of records one Audit call returns: a page
// of 1,000 is about half a megabyte.
const MaxAuditPage = 1000

// secretBytes is the length of a secret: 256 bits, the key size of HMAC-SHA256.
const secretBytes = 32

// Options say where the state is kept.
type Options struct {
	// Dir is the data directory of SQLite; it is made where it is missing.
	Dir string
	// URL is the address of a PostgreSQL database; with it Dir is not used.
	URL string
	// Log receives what is worth an operator's attention; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Store is a sallyport.Store on SQL.
type Store struct {
	db    database
	log   *slog.Logger
	draft *readmodel.Draft // owned by the writer

	view    atomic.Pointer[readmodel.Model]
	queue   chan *update
	barrier *barrier

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when view advances

	stop     context.CancelFunc
	closing  chan struct{}
	finished chan struct{}
	workers  sync.WaitGroup
	once     sync.Once
	closeErr error
}

var _ sallyport.Store = (*Store)(nil)

// Open opens the store, brings its schema to this version, and reads the state
// into memory: about four seconds for a million endpoints.
func Open(ctx context.Context, opt Options) (*Store, error) {
	var (
		db  database
		err error
	)
	if opt.URL != "" {
		db, err = openPostgres(ctx, opt.URL)
	} else {
		db, err = openSQLite(ctx, opt.Dir)
	}
	if err != nil {
		return nil, err
	}
	return open(ctx, db, opt)
}

func open(ctx context.Context, db database, opt Options) (*Store, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the one place where the real clock comes in
	}
	s := &Store{
		db: db, log: opt.Log, queue: make(chan *update, maxQueue), barrier: newBarrier(), changed: make(chan struct{}),
		closing: make(chan struct{}), finished: make(chan struct{}),
	}
	if err := s.start(ctx, opt.Now()); err != nil {
		return nil, errors.Join(err, db.close())
	}
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.workers.Go(s.write)
	if db.shared() {
		s.workers.Go(func() { s.barrier.serve(run, s.askRevision) })
		s.workers.Go(func() { db.listen(run, func() { s.follow(run) }) })
	}
	return s, nil
}

// migrateTries is how often the schema is tried: of several servers that start
// on one empty database, all but one find their tables made under their hands.
const migrateTries = 3

func (s *Store) start(ctx context.Context, now time.Time) error {
	var err error
	for range migrateTries {
		if err = migrate(ctx, s.db); err == nil || errors.Is(err, ErrNewer) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	tx, err := s.db.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.rollback(ctx)
	rev, _, err := readCounter(ctx, tx, `UPDATE meta SET batches = batches + 1 WHERE one = 1 RETURNING rev, head`)
	if err != nil {
		return fmt.Errorf("read the counter: %w", err)
	}
	if s.draft, err = load(ctx, tx, now); err != nil {
		return err
	}
	s.draft.SetRevision(rev)
	s.publish()
	return nil
}

// publish makes the draft what everybody reads, and wakes those who wait.
func (s *Store) publish() {
	s.view.Store(s.draft.Publish())
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// View returns the newest state. On a shared database it first asks for the
// revision, together with all who ask at that moment, and catches up to it.
func (s *Store) View(ctx context.Context) (sallyport.View, error) {
	select {
	case <-s.closing:
		return nil, ErrClosed
	default:
	}
	if !s.db.shared() {
		return s.view.Load(), nil
	}
	rev, err := s.barrier.revision(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the revision: %w", err)
	}
	if v := s.view.Load(); v.Revision() >= rev {
		return v, nil
	}
	if err := s.submit(ctx, &update{ctx: ctx, sync: true, done: make(chan struct{})}); err != nil {
		return nil, fmt.Errorf("catch up: %w", err)
	}
	return s.view.Load(), nil
}

func (s *Store) askRevision(ctx context.Context) (sallyport.Revision, error) {
	rev, _, err := readCounter(ctx, s.db, `SELECT rev, head FROM meta WHERE one = 1`)
	return rev, err
}

// follow catches up with what other processes committed.
func (s *Store) follow(ctx context.Context) {
	if _, err := s.View(ctx); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "following the database", "err", err)
	}
}

// Wait returns when the revision is beyond since, or when ctx ends.
func (s *Store) Wait(ctx context.Context, since sallyport.Revision) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if s.view.Load().Revision() > since {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		}
	}
}

// Audit returns up to limit records, MaxAuditPage at most, beyond since.
func (s *Store) Audit(ctx context.Context, since sallyport.Revision, limit int) ([]sallyport.Record, error) {
	var out []sallyport.Record
	err := each(ctx, s.db, scanAudit, func(r sallyport.Record) { out = append(out, r) },
		`SELECT `+auditColumns+` FROM audit WHERE rev > $1 ORDER BY rev LIMIT $2`,
		int64(since), min(max(limit, 0), MaxAuditPage))
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return out, nil
}

// Secret returns the named secret, made on the first call.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails: crypto/rand aborts the process instead
	tx, err := s.db.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer tx.rollback(ctx)
	err = tx.exec(ctx, []statement{{
		query: `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
		args:  []any{name, fresh},
	}})
	if err != nil {
		return nil, fmt.Errorf("store secret: %w", err)
	}
	var value []byte
	scan := func(rs rows) (struct{}, error) { return struct{}{}, rs.Scan(&value) }
	if err := each(ctx, tx, scan, func(struct{}) {}, `SELECT value FROM secrets WHERE name = $1`, name); err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if len(value) != secretBytes {
		return nil, fmt.Errorf("secret %q has %d bytes, want %d", name, len(value), secretBytes)
	}
	if err := tx.commit(ctx); err != nil {
		return nil, fmt.Errorf("store secret: %w", err)
	}
	return value, nil
}

// Close ends the writer after the batch in hand and releases the database.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.stop()
		s.workers.Wait()
		s.closeErr = s.db.close()
	})
	return s.closeErr
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// FileName is the name of the SQLite file in the data directory.
const FileName = "sallyport.db"

const (
	// checkpointPages is when the write-ahead log is folded back: 40 MB. Fewer
	// pages mean more folding, and folding is what makes the slowest commits.
	checkpointPages = 10000
	// busyTimeout is how long a statement waits for a reader from outside, such
	// as a backup, in milliseconds.
	busyTimeout = 5000
	// cacheKiB is the page cache of the writer: enough for the pages that
	// decisions touch with a hundred thousand endpoints.
	cacheKiB = 16 << 10
	// readers is the number of connections that read beside the writer: the
	// audit log and nothing else.
	readers = 2
)

// sqliteDB is one SQLite file, owned by one process.
type sqliteDB struct {
	lock *os.File
	pool *sql.DB

	mu    sync.Mutex // guards conn and stmts: one transaction at a time
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// openSQLite opens the file in dir, which is made where it is missing. It
// refuses while another process has it: memory is the image of the file only as
// long as nobody else writes.
func openSQLite(ctx context.Context, dir string) (_ *sqliteDB, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	db := &sqliteDB{stmts: map[string]*sql.Stmt{}}
	defer func() {
		if err != nil {
			_ = db.close()
		}
	}()
	if db.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, FileName)
	if err := touchPrivate(name); err != nil {
		return nil, err
	}
	if db.pool, err = openPool(dir); err != nil {
		return nil, err
	}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return db, nil
}

// openPool returns connections to the file in dir. The settings stand in the
// address, so that every one of them has them.
func openPool(dir string) (*sql.DB, error) {
	name := filepath.Join(dir, FileName)
	q := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout),
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
	}}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: name}).EscapedPath(), RawQuery: q.Encode()}).String()
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	pool.SetMaxOpenConns(1 + readers)
	return pool, nil
}

func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is held by another process: one sallyport per data_dir; stop the other one, or give this one a data_dir of its own", name)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// touchPrivate makes the file with the owner's rights only: it holds the key
// that tokens are signed with.
func touchPrivate(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("database file: %w", err)
	}
	return f.Close()
}

func (*sqliteDB) dialect() string { return "sqlite" }

func (*sqliteDB) shared() bool { return false }

func (*sqliteDB) listen(ctx context.Context, _ func()) { <-ctx.Done() }

func (db *sqliteDB) begin(ctx context.Context) (txn, error) {
	db.mu.Lock()
	if err := db.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		db.mu.Unlock()
		return nil, err
	}
	return &sqliteTxn{db: db}, nil
}

// run executes a statement, prepared once for the life of the connection.
func (db *sqliteDB) run(ctx context.Context, q string, args ...any) error {
	st, err := db.prepared(ctx, q) //nolint:sqlclosecheck // it is kept for the life of the connection
	if err != nil {
		return err
	}
	// A context that can end costs a goroutine for every statement, and one that
	// ends in the midst of a commit leaves its outcome open. What can block here,
	// another process at the file, is bounded by busyTimeout.
	_, err = st.ExecContext(context.WithoutCancel(ctx), args...)
	return err
}

func (db *sqliteDB) prepared(ctx context.Context, q string) (*sql.Stmt, error) {
	if st, ok := db.stmts[q]; ok {
		return st, nil
	}
	st, err := db.conn.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	db.stmts[q] = st
	return st, nil
}

func (db *sqliteDB) query(ctx context.Context, q string, args ...any) (rows, error) {
	rs, err := db.pool.QueryContext(ctx, q, args...) //nolint:rowserrcheck // each and readCounter ask for it
	if err != nil {
		return nil, err
	}
	return sqliteRows{rs}, nil
}

func (db *sqliteDB) close() error {
	db.mu.Lock() // a caller may be making a secret at this moment
	defer db.mu.Unlock()
	var errs []error
	for _, st := range db.stmts {
		errs = append(errs, st.Close())
	}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
	}
	if db.pool != nil {
		errs = append(errs, db.pool.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// sqliteTxn holds the connection's mutex from begin to commit or rollback.
type sqliteTxn struct {
	db   *sqliteDB
	done bool
}

func (t *sqliteTxn) query(ctx context.Context, q string, args ...any) (rows, error) {
	st, err := t.db.prepared(ctx, q) //nolint:sqlclosecheck // it is kept for the life of the connection
	if err != nil {
		return nil, err
	}
	rs, err := st.QueryContext(ctx, args...) //nolint:rowserrcheck // each and readCounter ask for it
	if err != nil {
		return nil, err
	}
	return sqliteRows{rs}, nil
}

func (t *sqliteTxn) exec(ctx context.Context, sts []statement) error {
	for _, s := range sts {
		if err := t.db.run(ctx, s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTxn) commit(ctx context.Context) error {
	if err := t.db.run(ctx, "COMMIT"); err != nil {
		return err // the deferred rollback ends the transaction
	}
	t.end()
	return nil
}

func (t *sqliteTxn) rollback(ctx context.Context) {
	if t.done {
		return
	}
	// An error means that SQLite has rolled back by itself, as it does when the
	// disk is full.
	_ = t.db.run(context.WithoutCancel(ctx), "ROLLBACK")
	t.end()
}

func (t *sqliteTxn) end() {
	t.done = true
	t.db.mu.Unlock()
}

// sqliteRows gives sql.Rows the Close of the rows interface.
type sqliteRows struct{ *sql.Rows }

// Close releases the rows; what is wrong with them, Err has said.
func (r sqliteRows) Close() { _ = r.Rows.Close() }

package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// channel is the one name that commits are announced on.
	channel = "sallyport"
	// pollInterval is how often the shared database is asked for its revision
	// when no announcement comes: the announcement is only a hint.
	pollInterval = 250 * time.Millisecond
	// reconnectDelay is the pause before listening is tried again.
	reconnectDelay = time.Second
	// poolConns is the number of connections: one writes, one listens, the rest
	// ask for the revision and read the audit log.
	poolConns = 8
	// rollbackTimeout bounds the wait for a database that has stopped answering;
	// its end closes the connection, which ends the transaction as well.
	rollbackTimeout = time.Second
)

// postgresDB is a PostgreSQL database that several servers may share.
type postgresDB struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, dsn string) (*postgresDB, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database: the URL cannot be read (postgres://user@host:port/name is expected)")
	}
	cfg.MaxConns = poolConns
	run := cfg.ConnConfig.RuntimeParams
	run["application_name"] = "sallyport"
	run["plan_cache_mode"] = "force_generic_plan"           // the statements are few and simple
	run["default_transaction_isolation"] = "read committed" // the counter row orders updates
	run["synchronous_commit"] = "on"                        // an acknowledged decision is on disk
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return &postgresDB{pool: pool}, nil
}

func (*postgresDB) dialect() string { return "postgres" }

func (*postgresDB) shared() bool { return true }

func (db *postgresDB) begin(ctx context.Context) (txn, error) {
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return nil, err
	}
	return &postgresTxn{tx: tx}, nil
}

func (db *postgresDB) query(ctx context.Context, q string, args ...any) (rows, error) {
	return db.pool.Query(ctx, q, args...) //nolint:sqlclosecheck // each and readCounter close what they are given
}

func (db *postgresDB) close() error {
	db.pool.Close()
	return nil
}

// listen wakes on every announcement, and every pollInterval for those lost.
func (db *postgresDB) listen(ctx context.Context, wake func()) {
	for ctx.Err() == nil {
		if err := db.listenOnce(ctx, wake); err != nil && ctx.Err() == nil {
			t := time.NewTimer(reconnectDelay)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
			wake()
		}
	}
}

func (db *postgresDB) listenOnce(ctx context.Context, wake func()) error {
	c, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that listens must not go back to the pool.
	conn := c.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, pollInterval)
		_, err := conn.WaitForNotification(wait)
		timedOut := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !timedOut {
			return err
		}
		wake()
		if conn.IsClosed() {
			return fmt.Errorf("listen: connection closed")
		}
	}
}

type postgresTxn struct{ tx pgx.Tx }

func (t *postgresTxn) query(ctx context.Context, q string, args ...any) (rows, error) {
	return t.tx.Query(ctx, q, args...) //nolint:sqlclosecheck // each and readCounter close what they are given
}

func (t *postgresTxn) exec(ctx context.Context, sts []statement) error {
	if len(sts) == 1 {
		_, err := t.tx.Exec(ctx, sts[0].query, sts[0].args...)
		return err
	}
	b := &pgx.Batch{}
	for _, s := range sts {
		b.Queue(s.query, s.args...)
	}
	return t.tx.SendBatch(ctx, b).Close()
}

func (t *postgresTxn) commit(ctx context.Context) error { return t.tx.Commit(ctx) }

func (t *postgresTxn) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	// After a commit this is an error that says so; nothing is to be done.
	_ = t.tx.Rollback(ctx)
}

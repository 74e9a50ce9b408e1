package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A statement to be executed, with its arguments. Placeholders are $1…$n on
// both databases.
type statement struct {
	query string
	args  []any
}

// rows is what both drivers' result sets can do.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// txn is one transaction of a database.
type txn interface {
	query(ctx context.Context, q string, args ...any) (rows, error)
	// exec runs the statements in order, in one round trip where the driver can.
	exec(ctx context.Context, sts []statement) error
	commit(ctx context.Context) error
	rollback(ctx context.Context)
}

// database is what a dialect has to provide.
type database interface {
	// dialect names the folder of the migrations.
	dialect() string
	// begin starts a read-write transaction.
	begin(ctx context.Context) (txn, error)
	// query reads outside any transaction, concurrently with the writer.
	query(ctx context.Context, q string, args ...any) (rows, error)
	// shared reports whether other processes may write.
	shared() bool
	// listen calls wake whenever another process may have committed, until ctx
	// ends. A lost call costs latency, never truth.
	listen(ctx context.Context, wake func())
	close() error
}

//go:embed migrations
var migrationFiles embed.FS

// ErrNewer says that the database was written by a newer version.
var ErrNewer = errors.New("the database was written by a newer version of sallyport; start that version, or restore a backup made before the upgrade")

// migrate brings the schema to the newest version, forward only. Every step is
// a transaction of its own.
func migrate(ctx context.Context, db database) error {
	files, err := fs.Glob(migrationFiles, path.Join("migrations", db.dialect(), "*.sql"))
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	slices.Sort(files)
	have, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("schema version %d, this version knows %d: %w", have, len(files), ErrNewer)
	}
	for i, name := range files[have:] {
		version := have + i + 1
		if !strings.HasPrefix(path.Base(name), fmt.Sprintf("%04d_", version)) {
			return fmt.Errorf("migration %s is not number %d", name, version)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		if err := applyMigration(ctx, db, version, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", path.Base(name), err)
		}
	}
	return nil
}

func applyMigration(ctx context.Context, db database, version int, text string) error {
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.rollback(ctx)
	// One at a time: a driver prepares what it sends together, and a statement
	// that speaks of a table made by the one before it cannot be prepared yet.
	for _, s := range splitStatements(text) {
		if err := tx.exec(ctx, []statement{{query: s}}); err != nil {
			return err
		}
	}
	done := statement{query: `INSERT INTO schema_version (version) VALUES (` + strconv.Itoa(version) + `)`}
	if err := tx.exec(ctx, []statement{done}); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// splitStatements takes a migration apart at the semicolons that end lines, so
// that each statement is one round of the driver.
func splitStatements(text string) []string {
	var out []string
	for s := range strings.SplitSeq(text, ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// schemaVersion returns the version of the schema, 0 for an empty database. The
// table is made on the first call; of two processes that start at once one
// waits for the other.
func schemaVersion(ctx context.Context, db database) (int, error) {
	tx, err := db.begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("begin: %w", err)
	}
	defer tx.rollback(ctx)
	err = tx.exec(ctx, []statement{{query: `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)`}})
	if err != nil {
		return 0, fmt.Errorf("schema_version: %w", err)
	}
	rs, err := tx.query(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`)
	if err != nil {
		return 0, fmt.Errorf("schema_version: %w", err)
	}
	version := 0
	for rs.Next() {
		err = rs.Scan(&version)
	}
	rs.Close()
	if err := errors.Join(err, rs.Err()); err != nil {
		return 0, fmt.Errorf("schema_version: %w", err)
	}
	return version, tx.commit(ctx)
}

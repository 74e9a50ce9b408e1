package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// startTimeout bounds initdb and the start of the server: two seconds are
	// usual, a busy machine takes ten.
	startTimeout = 60 * time.Second
	// dropTimeout bounds the removal of a database and the end of the server.
	dropTimeout = 20 * time.Second
)

// errMissing says that no PostgreSQL is installed.
var errMissing = errors.New("no PostgreSQL is installed: initdb and postgres are neither in /usr/lib/postgresql/*/bin nor in PATH")

// Main runs the tests of a package and stops the server that they started. Its
// zero value with M set is a server that syncs to disk as in production.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main{M: m}.Run()) }
type Main struct {
	// M is the *testing.M of the package, or what wraps it.
	M interface{ Run() int }
	// NoSync turns fsync off: for tests that ask for speed and crash nothing.
	NoSync bool
}

// Run runs the tests, stops the server, and returns the exit code. It fits
// goleak.VerifyTestMain, which then finds no goroutine of this package.
func (p Main) Run() int {
	noSync.Store(p.NoSync)
	code := p.M.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// The one server of this process.
var (
	shared instance
	noSync atomic.Bool // set by Main before the first test
)

// instance is a server that is started when it is first needed.
type instance struct {
	once   sync.Once
	server *server
	err    error
	made   atomic.Int64 // databases, to name them apart
}

func (i *instance) start() (*server, error) {
	i.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		i.server, i.err = startServer(ctx, !noSync.Load())
	})
	return i.server, i.err
}

func (i *instance) stop() error {
	i.once.Do(func() { i.err = errors.New("the server is stopped") })
	if i.server == nil {
		return nil
	}
	return i.server.stop()
}

// URL returns the address of a fresh, empty database on the server of this test
// process, by loopback TCP and with a password. The database is dropped, with
// whatever is still connected to it, when the test ends. Where PostgreSQL is not
// installed the test is skipped; where the environment variable CI is set it
// fails instead, since a pipeline that skips proves nothing.
func URL(tb testing.TB) string {
	tb.Helper()
	srv, err := shared.start()
	if errors.Is(err, errMissing) && os.Getenv("CI") == "" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	name := fmt.Sprintf("test_%d", shared.made.Add(1))
	if err := srv.execute(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), dropTimeout)
		defer cancel()
		if err := srv.execute(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return srv.url(name)
}

// execute runs one statement on the server's own database.
func (s *server) execute(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

func (s *server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, s.password), Path: "/" + database,
		Host: fmt.Sprintf("127.0.0.1:%d", s.port), RawQuery: "sslmode=disable",
	}
	return u.String()
}

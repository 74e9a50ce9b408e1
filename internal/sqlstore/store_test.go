package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-net/sallyport/internal/pgtest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database {
		t.Helper()
		return database(sqlstore.Options{Dir: t.TempDir()})
	})
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database {
		t.Helper()
		return database(sqlstore.Options{URL: pgtest.URL(t)})
	})
}

func database(opt sqlstore.Options) storetest.Database {
	return storetest.Database{
		Shared: opt.URL != "",
		Open: func(ctx context.Context) (sallyport.Store, error) {
			s, err := sqlstore.Open(ctx, opt)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
	}
}

// both makes a fresh database of each kind.
var both = map[string]func(*testing.T) sqlstore.Options{
	"SQLite":   func(t *testing.T) sqlstore.Options { t.Helper(); return sqlstore.Options{Dir: t.TempDir()} },
	"Postgres": func(t *testing.T) sqlstore.Options { t.Helper(); return sqlstore.Options{URL: pgtest.URL(t)} },
}

func open(tb testing.TB, opt sqlstore.Options) *sqlstore.Store {
	tb.Helper()
	s, err := sqlstore.Open(tb.Context(), opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { shut(tb, s) })
	return s
}

func shut(tb testing.TB, s *sqlstore.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Errorf("close: %v", err)
	}
}

func update(tb testing.TB, s sallyport.Store, fn func(sallyport.Tx)) {
	tb.Helper()
	if err := s.Update(tb.Context(), func(tx sallyport.Tx) error { fn(tx); return nil }); err != nil {
		tb.Fatalf("update: %v", err)
	}
}

func view(tb testing.TB, s sallyport.Store) sallyport.View {
	tb.Helper()
	v, err := s.View(tb.Context())
	if err != nil {
		tb.Fatalf("view: %v", err)
	}
	return v
}

// execute changes the database behind the store's back.
func execute(t *testing.T, opt sqlstore.Options, statement string) {
	t.Helper()
	if opt.URL == "" {
		if err := sqlstore.ExecSQLite(t.Context(), opt.Dir, statement); err != nil {
			t.Fatal(err)
		}
		return
	}
	conn, err := pgx.Connect(t.Context(), opt.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// If this fails, an older server writes into a database that it does not
// understand.
func TestNewerSchemaIsRefused(t *testing.T) {
	for name, fresh := range both {
		t.Run(name, func(t *testing.T) {
			opt := fresh(t)
			shut(t, open(t, opt))
			execute(t, opt, `INSERT INTO schema_version (version) VALUES (9999)`)
			s, err := sqlstore.Open(t.Context(), opt)
			if err == nil {
				shut(t, s)
			}
			if !errors.Is(err, sqlstore.ErrNewer) {
				t.Errorf("got %v, want ErrNewer", err)
			}
		})
	}
}

// If this fails, two servers on one file overwrite each other's decisions:
// memory is the image of the file only as long as nobody else writes.
func TestSecondProcessIsRefused(t *testing.T) {
	opt := sqlstore.Options{Dir: t.TempDir()}
	s := open(t, opt)
	other, err := sqlstore.Open(t.Context(), opt)
	if err == nil {
		shut(t, other)
		t.Fatal("a second store opened the same directory")
	}
	if !strings.Contains(err.Error(), "another process") {
		t.Errorf("the error does not say why: %v", err)
	}
	shut(t, s)
	shut(t, open(t, opt)) // the lock went with the first
}

// If this fails, somebody who has access to the database changes the log and
// the chain still verifies.
func TestChangedRowBreaksTheChain(t *testing.T) {
	for name, fresh := range both {
		t.Run(name, func(t *testing.T) {
			opt := fresh(t)
			s := open(t, opt)
			update(t, s, func(tx sallyport.Tx) {
				for range 5 {
					storetest.CreateService(tx, storetest.Service("project-a"))
				}
			})
			verify := func() error {
				t.Helper()
				log, err := storetest.ReadLog(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				return storetest.VerifyChain(log)
			}
			if err := verify(); err != nil {
				t.Fatal(err)
			}
			execute(t, opt, `UPDATE audit SET user_name = 'somebody else' WHERE rev = 3`)
			if verify() == nil {
				t.Error("a changed row is not seen")
			}
		})
	}
}

// If this fails, a data directory with an unusual name is another place than
// the one that was asked for, or loses its settings.
func TestUnusualDirectories(t *testing.T) {
	svc := storetest.Service("project-a")
	for _, name := range []string{"with space", "50%", "q?mode=ro&x=y", "ha#sh", "%41", "ü+ö;'\"", "a=b:c"} {
		dir := filepath.Join(t.TempDir(), name)
		s := open(t, sqlstore.Options{Dir: dir})
		update(t, s, func(tx sallyport.Tx) { storetest.CreateService(tx, svc) })
		shut(t, s)
		info, err := os.Stat(filepath.Join(dir, sqlstore.FileName))
		if err != nil || info.Size() == 0 {
			t.Errorf("%q: the file is not there: %v", name, err)
			continue
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%q: others may read the keys: %o", name, mode)
		}
		if _, ok := view(t, open(t, sqlstore.Options{Dir: dir})).Service(svc.ID); !ok {
			t.Errorf("%q: the service is gone", name)
		}
	}
}

// If this fails, several servers that are started at once on a new database do
// not all come up.
func TestManyServersStartAtOnce(t *testing.T) {
	opt := sqlstore.Options{URL: pgtest.URL(t)}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s, err := sqlstore.Open(t.Context(), opt)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// If this fails, a text that the database does not take costs the neighbours of
// one request their changes, or is shown as long as the server runs.
func TestRefusedByTheDatabase(t *testing.T) {
	s := open(t, sqlstore.Options{URL: pgtest.URL(t)})
	bad := storetest.Service("project-a")
	bad.Description = "no\x00text"
	release, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), func(sallyport.Tx) error { once.Do(func() { close(held) }); <-release; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	good := make([]*sallyport.Service, 8)
	for i := range good {
		good[i] = storetest.Service("project-a")
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateService(tx, good[i]); return nil })
			if err != nil {
				t.Errorf("a neighbour: %v", err)
			}
		})
	}
	wg.Go(func() {
		err := s.Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateService(tx, bad); return nil })
		if err == nil {
			t.Error("a text with a zero byte is acknowledged")
		}
	})
	close(release)
	wg.Wait()
	v := view(t, s)
	if _, ok := v.Service(bad.ID); ok {
		t.Error("what the database refused is shown")
	}
	for i, svc := range good {
		if _, ok := v.Service(svc.ID); !ok {
			t.Errorf("neighbour %d is lost", i)
		}
	}
}

// If this fails, the password of the database stands in an error or in the log.
func TestPasswordIsNotShown(t *testing.T) {
	const secret = "hunter2-sesame"
	var log bytes.Buffer
	for _, url := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/db", "postgres://u:" + secret + "@127.0.0.1:x/db", "postgres://u:" + secret + "@[::1/db%zz",
	} {
		_, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error: %v", err)
		}
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("log: %s", log.String())
	}
}

package pgtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/pgtest"
)

// childEnv makes this binary a child that starts a server, prints its address,
// and waits to be killed.
const childEnv = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main{M: m})
}

// If this fails, tests that believe to have a database of their own share one,
// or run on a server that does not sync.
func TestURLIsFreshEmptyDatabase(t *testing.T) {
	a, b := connect(t, pgtest.URL(t)), connect(t, pgtest.URL(t))
	if _, err := a.Exec(t.Context(), "CREATE TABLE here (n int)"); err != nil {
		t.Fatal(err)
	}
	var tables int
	if err := b.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 0 {
		t.Errorf("a fresh database has %d tables, want 0", tables)
	}
	for _, name := range []string{"fsync", "synchronous_commit"} {
		var got string
		if err := b.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != "on" {
			t.Errorf("%s = %q, want on", name, got)
		}
	}
}

// If this fails, databases pile up on the server while a long package runs.
func TestURLIsDroppedAtCleanup(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) {
		url = pgtest.URL(t)
		conn, err := pgx.Connect(t.Context(), url) // left open on purpose
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.PgConn().Conn().Close() })
	})
	if url == "" {
		t.Skip("no PostgreSQL")
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the database is still there after its test")
	}
}

// If this fails, a test run that is killed leaves a PostgreSQL behind for ever.
func TestKilledProcessTakesTheServerAlong(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		child(t)
		return
	}
	pgtest.URL(t) // skips where PostgreSQL is missing
	tmp := socketDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(tmp, "url"), "TMPDIR="+tmp)
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1)
	if _, err := stdout.Read(buf); err != nil {
		t.Fatalf("the child says nothing: %v", err)
	}
	url, err := os.ReadFile(filepath.Join(tmp, "url"))
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, string(url))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The server closes its sessions as it ends.
	if err := conn.PgConn().WaitForNotification(t.Context()); err == nil {
		t.Error("the server of a killed process is still there")
	}
}

func child(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(os.Getenv(childEnv), []byte(pgtest.URL(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("!")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// If this fails, every run that was killed leaves 40 MB in the temporary
// directory, or a run removes the directory of one that still needs it.
func TestAbandonedDirectoriesAreRemoved(t *testing.T) {
	pgtest.URL(t) // skips where PostgreSQL is missing
	tmp := socketDir(t)
	dead, alive := filepath.Join(tmp, "sallyport-pgtest-dead"), filepath.Join(tmp, "sallyport-pgtest-alive")
	for _, dir := range []string{dead, alive} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "owner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Create(filepath.Join(alive, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if err := syscall.Flock(int(owner.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestURLIsFreshEmptyDatabase$")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "sallyport-pgtest-*"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(left, " "); got != alive {
		t.Errorf("left: %q, want only %q", got, alive)
	}
}

// socketDir returns a directory that any user may enter and whose name is short
// enough for a socket in it.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // t.TempDir is too long a name and closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

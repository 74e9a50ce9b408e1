package sqlstore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// oldestSQLite is the first version without the race that corrupts the file
// when the write-ahead log is reset while another connection reads.
var oldestSQLite = []int{3, 51, 3}

// If this fails, the data of users is in danger: the SQLite in the binary has
// the bug of its write-ahead log.
func TestVersionOfSQLite(t *testing.T) {
	db := openTestSQLite(t)
	var version string
	if err := db.pool.QueryRowContext(t.Context(), "SELECT sqlite_version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var have []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatalf("version %q: %v", version, err)
		}
		have = append(have, n)
	}
	if slices.Compare(have, oldestSQLite) < 0 {
		t.Errorf("SQLite %s, want %v or newer", version, oldestSQLite)
	}
}

func openTestSQLite(t *testing.T) *sqliteDB {
	t.Helper()
	db, err := openSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// The generated C library and the generated SQLite fit together only in the
// pair that was tested upstream. If this fails, put the version that
// modernc.org/sqlite's go.mod requires into ours.
func TestVersionOfLibc(t *testing.T) {
	const libc, sqlite = "modernc.org/libc", "modernc.org/sqlite"
	ours := requirements(t, filepath.Join("..", "..", "go.mod"))
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoMod}}", sqlite).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	theirs := requirements(t, strings.TrimSpace(string(out)))
	if ours[libc] == "" || ours[libc] != theirs[libc] {
		t.Errorf("go.mod requires %s %s, but %s %s was made with %s", libc, ours[libc], sqlite, ours[sqlite], theirs[libc])
	}
}

// requirements reads path and version from the lines of a go.mod.
func requirements(t *testing.T, name string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(words) >= 2 && strings.HasPrefix(words[1], "v") {
			out[words[0]] = words[1]
		}
	}
	return out
}

// If this fails, an acknowledged decision is lost with the power, or the writer
// fails where a backup reads for a moment: every connection must have the
// settings, also one that the pool makes later.
func TestSettingsOfSQLite(t *testing.T) {
	db := openTestSQLite(t)
	for i := range readers {
		conn, err := db.pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1",
			"busy_timeout": fmt.Sprint(busyTimeout), "wal_autocheckpoint": fmt.Sprint(checkpointPages),
		} {
			var got string
			if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("connection %d: %s is %s, want %s", i, pragma, got, want)
			}
		}
	}
	var got string
	if err := db.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&got); err != nil || got != "2" {
		t.Errorf("the writer's synchronous is %s, want 2 (%v)", got, err)
	}
}

// If this fails, one of the two databases lacks a column of the other, or a
// migration is run in pieces that are no statements.
func TestMigrationsAreTheSame(t *testing.T) {
	columns := func(dialect string) map[string]string {
		t.Helper()
		files, err := migrationFiles.ReadDir("migrations/" + dialect)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, f := range files {
			text, err := migrationFiles.ReadFile("migrations/" + dialect + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range splitStatements(string(text)) {
				collectColumns(out, s)
			}
		}
		return out
	}
	sqlite, postgres := columns("sqlite"), columns("postgres")
	if len(sqlite) < 50 {
		t.Fatalf("only %d columns found: the test does not understand the migrations", len(sqlite))
	}
	types := strings.NewReplacer("INTEGER", "BIGINT", "BLOB", "BYTEA")
	for name, kind := range sqlite {
		if got := postgres[name]; got != types.Replace(kind) {
			t.Errorf("%s is %q on SQLite and %q on PostgreSQL", name, kind, got)
		}
	}
	for name := range postgres {
		if _, ok := sqlite[name]; !ok {
			t.Errorf("%s is on PostgreSQL only", name)
		}
	}
}

// collectColumns adds table.column and type of a CREATE TABLE.
func collectColumns(out map[string]string, s string) {
	table := ""
	for line := range strings.SplitSeq(s, "\n") {
		words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ","))
		switch {
		case len(words) >= 3 && words[0] == "CREATE" && words[1] == "TABLE":
			table = words[2]
		case len(words) >= 7 && words[0] == "ALTER" && words[3] == "ADD":
			out[words[2]+"."+words[5]] = strings.Join(words[6:], " ")
		case table != "" && len(words) >= 2 && strings.Trim(words[0], "abcdefghijklmnopqrstuvwxyz0123456789_") == "":
			out[table+"."+words[0]] = strings.Join(words[1:], " ")
		}
	}
}

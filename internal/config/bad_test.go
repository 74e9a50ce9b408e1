package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-net/sallyport/internal/config"
)

var update = flag.Bool("update", false, "rewrite the messages in testdata/bad")

// canary stands for every secret in the bad files.
const canary = "CANARY"

// If this fails, a bad file is taken, or its message names another line, key or
// remedy than it should. Every *.yaml of an archive is a file that must be
// refused with exactly the messages in the *.errors beside it.
func TestBadFiles(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var files int
	for _, name := range archives {
		arc, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, f := range arc.Files {
			if base, ok := strings.CutSuffix(f.Name, ".errors"); ok {
				want[base] = string(f.Data)
			}
		}
		rewritten := &txtar.Archive{Comment: arc.Comment}
		for _, f := range arc.Files {
			base, ok := strings.CutSuffix(f.Name, ".yaml")
			if !ok {
				continue
			}
			files++
			rewritten.Files = append(rewritten.Files, f)
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar")+"/"+base, func(t *testing.T) {
				got := refused(t, f.Data)
				rewritten.Files = append(rewritten.Files, txtar.File{Name: base + ".errors", Data: []byte(got)})
				if diff := cmp.Diff(want[base], got); diff != "" && !*update {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(name, txtar.Format(rewritten), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if files < 40 {
		t.Errorf("%d bad files, want at least 40", files)
	}
}

// refused parses a bad file and returns its messages, one per line.
func refused(t *testing.T, data []byte) string {
	t.Helper()
	c, err := config.Parse(data, "bad.yaml")
	if c != nil || err == nil {
		t.Fatalf("Parse took the file:\n%s", data)
	}
	var list config.Errors
	if !errors.As(err, &list) {
		t.Fatalf("error is a %T, want config.Errors", err)
	}
	for _, e := range list {
		if e.Line < 1 || e.Line > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("line %d is not a line of the file: %v", e.Line, e)
		}
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("a message shows a secret: %v", err)
	}
	return err.Error() + "\n"
}

// If this fails, a file that is no text at all, or too long, is taken or read
// without bound. These do not fit into an archive of texts.
func TestBadBytes(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"latin-1", "region: eu-west-101\ndata_dir: caf\xe9\n", "bad.yaml:2: there is a byte that is not UTF-8; save the file as plain UTF-8 text"},
		{"utf-16", "\xff\xfer\x00", "bad.yaml:1: there is a byte that is not UTF-8; save the file as plain UTF-8 text"},
		{"control character", "region: eu-west-101\n\ndata_dir: a\x07b\n", "bad.yaml:3: there is a control character; save the file as plain UTF-8 text"},
		{"nul", "data_dir: \"a\\0b\"\n", "bad.yaml:1: data_dir: must name a directory, for example ./data"},
		{"too long", strings.Repeat("# filler\n", 1<<19), "bad.yaml: is longer than 4 MiB; give the configuration file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.data), "bad.yaml")
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// If this fails, a file of another kind fills the screen with its errors, or the
// reader is not told that there are more.
func TestErrorsAreBounded(t *testing.T) {
	_, err := config.Parse([]byte(strings.Repeat("colour: green\n", 250)), "bad.yaml")
	var list config.Errors
	if !errors.As(err, &list) || len(list) != 101 {
		t.Fatalf("got %d errors, want 100 and their count", len(list))
	}
	if got, want := list[100].Error(), "bad.yaml: and 150 more; put these right first"; got != want {
		t.Errorf("last error = %q, want %q", got, want)
	}
	var one config.Error
	if !errors.As(err, &one) || one.Line != 1 {
		t.Errorf("errors.As finds %+v, want the first of them", one)
	}
}

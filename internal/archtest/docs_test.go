package archtest

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of the README anew")

// link is a link or picture of a Markdown text.
var link = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)

// heading is a heading of a Markdown text.
var heading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)

// testName is a test that a text speaks of as proof.
var testName = regexp.MustCompile("^`((?:Test|Benchmark|Fuzz)[A-Za-z0-9_]+)(?:/([A-Za-z0-9_]+))?`$")

// If this fails, a document leads a reader nowhere, or names a test as proof
// that is not there.
func TestDocumentsLinks(t *testing.T) {
	files := tracked(t)
	for _, name := range sortedKeys(files) {
		if path.Ext(name) == ".md" {
			report(t, checkLinks(name, string(files[name]), files))
		}
	}
}

// checkLinks judges the relative links of one document: the file or folder has
// to be in the repository, the heading in the file, and the test in the file.
func checkLinks(name, text string, files map[string][]byte) []string {
	var list []string
	for _, m := range link.FindAllStringSubmatch(withoutFences(text), -1) {
		label, target := m[1], m[2]
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file, fragment, _ := strings.Cut(target, "#")
		at := name
		if file != "" {
			at = path.Join(path.Dir(name), file)
		}
		bad := func(what string) {
			list = append(list, fmt.Sprintf("%s: rule links: [%s](%s): %s; correct the link, because a reader follows it", name, label, target, what))
		}
		there, ok := files[at]
		switch {
		case !ok && !isFolder(files, at):
			bad("the repository has no " + at)
		case fragment != "" && !slices.Contains(anchors(string(there)), fragment):
			bad(at + " has no heading for #" + fragment)
		}
		if proof := testName.FindStringSubmatch(label); proof != nil && ok {
			if !strings.Contains(string(there), "func "+proof[1]+"(") {
				bad(at + " has no " + proof[1])
			} else if proof[2] != "" && !strings.Contains(string(there), `"`+proof[2]+`"`) {
				bad(at + " has no part " + proof[2])
			}
		}
	}
	return list
}

// withoutFences takes the fenced code out of a document.
func withoutFences(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			continue
		}
		if !inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// anchors returns the names that headings of a document can be linked by: lower
// case, without punctuation, spaces as hyphens.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(withoutFences(text), -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return out
}

// isFolder reports whether a file of the repository lies under the path.
func isFolder(files map[string][]byte, at string) bool {
	for name := range files {
		if strings.HasPrefix(name, strings.TrimSuffix(at, "/")+"/") {
			return true
		}
	}
	return at == "."
}

func sortedKeys(files map[string][]byte) []string {
	keys := make([]string, 0, len(files))
	for k := range files {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// maxReadme is how long the README may be: what a person reads in ten minutes,
// with the commands.
const maxReadme = 150

// If this fails, somebody who comes new does not learn how to start and how to
// test, or has to read too much for it.
func TestReadme(t *testing.T) {
	readme, makefile := read(t, "README.md"), read(t, "Makefile")
	for _, target := range []string{"run", "test"} {
		if !strings.Contains(readme, "`make "+target+"`") {
			t.Errorf("README.md does not name `make %s`", target)
		}
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("Makefile has no target %s", target)
		}
	}
	if n := strings.Count(readme, "\n"); n > maxReadme {
		t.Errorf("README.md has %d lines, at most %d are allowed, because it has ten minutes", n, maxReadme)
	}
}

// If this fails, a decision is recorded and nobody finds it, or two have one
// number.
func TestDecisionsAreListed(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(root, "docs/adr/[0-9]*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("there are no decisions")
	}
	index := read(t, "docs/adr/README.md")
	for i, name := range names {
		base := filepath.Base(name)
		if !strings.Contains(index, "]("+base+")") {
			t.Errorf("docs/adr/README.md does not list %s", base)
		}
		if want := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(base, want) {
			t.Errorf("%s: want number %s: numbers have no holes and none is given twice", base, want)
		}
	}
}

// The lines of the README between which the status table stands.
const (
	statusBegin = "<!-- status: written by make golden -->\n"
	statusEnd   = "<!-- end of status -->\n"
)

// If this fails, the README promises operations that the code does not serve, or
// hides some that it does: run make golden.
func TestReadmeStatus(t *testing.T) {
	readme := read(t, "README.md")
	head, rest, ok := strings.Cut(readme, statusBegin)
	got, tail, ok2 := strings.Cut(rest, statusEnd)
	if !ok || !ok2 {
		t.Fatalf("README.md lacks the lines %q and %q", statusBegin, statusEnd)
	}
	want := statusTable(documented(t), served(t))
	if *update && got != want {
		name := filepath.Join(root, "README.md")
		if err := os.WriteFile(name, []byte(head+statusBegin+want+statusEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old := strings.Split(got, "\n")
	for line := range strings.SplitSeq(want, "\n") {
		if !slices.Contains(old, line) {
			t.Errorf("README.md lacks this line of the status table, which is that of the code:\n%s", line)
		}
	}
	if got != want && !t.Failed() {
		t.Error("the status table of README.md has lines that are not true of the code")
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

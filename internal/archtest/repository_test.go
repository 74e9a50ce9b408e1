package archtest

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unfinished are the words of work left lying. They are put together here so
// that this file does not hold them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)

// machinePath is a path that exists on one machine only. What precedes it keeps
// URLs and longer paths out.
var machinePath = regexp.MustCompile(`(?:^|[^A-Za-z0-9_.~:/-])(/(?:work|root|home/[a-z][a-z0-9_-]*|Users/[A-Za-z][A-Za-z0-9_-]*)(?:/|\b))`)

// If this fails, the code says itself that it is not done.
func TestNothingUnfinished(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			report(t, checkComments(f))
		}
	}
	for name, text := range tracked(t) {
		report(t, checkText(name, text))
	}
}

func checkComments(f file) []string {
	var list []string
	for _, group := range f.syntax.Comments {
		for _, c := range group.List {
			if word := unfinished.FindString(c.Text); word != "" {
				list = append(list, unfinishedAt(f.path, f.line(c.Pos()), word))
			}
		}
	}
	return list
}

// checkText judges a file that is not Go. Prose may speak about such words, and
// test data may come from elsewhere.
func checkText(name string, text []byte) []string {
	prose := []string{".go", ".md", ".sum", ".txtar"}
	if slices.Contains(prose, path.Ext(name)) || strings.Contains("/"+name, "/testdata/") {
		return nil
	}
	var list []string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if word := unfinished.FindString(line); word != "" {
			list = append(list, unfinishedAt(name, n, word))
		}
	}
	return list
}

func unfinishedAt(name string, line int, word string) string {
	return fmt.Sprintf("%s:%d: rule unfinished: %s in the code; do it, or open an issue and take the word out, "+
		"because nobody looks for it here", name, line, word)
}

// If this fails, a file names a place on the machine of whoever wrote it.
func TestNoMachinePaths(t *testing.T) {
	for name, text := range tracked(t) {
		report(t, checkPaths(name, text))
	}
}

func checkPaths(name string, text []byte) []string {
	var list []string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if m := machinePath.FindStringSubmatch(line); m != nil {
			list = append(list, fmt.Sprintf("%s:%d: rule machine paths: %s is a path of one machine; make it relative to the repository, "+
				"because it means nothing elsewhere", name, n, m[1]))
		}
	}
	return list
}

// If this fails, the module builds here from sources that others do not get.
func TestNoReplace(t *testing.T) {
	out, err := run("go", "mod", "edit", "-json")
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkReplace(t, out))
}

func checkReplace(t *testing.T, mod []byte) []string {
	t.Helper()
	var m struct {
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := json.Unmarshal(mod, &m); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range m.Replace {
		list = append(list, fmt.Sprintf("go.mod: rule replace: %s is replaced by %s; require the version that is meant, "+
			"because go install ignores replacements", r.Old.Path, r.New.Path))
	}
	return list
}

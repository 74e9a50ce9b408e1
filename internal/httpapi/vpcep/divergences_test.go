package vpcep

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a test that a row of the divergences names, and its folder if it is
// another one.
var named = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)(?:/([^`]+))?`(?: in `([^`]+)`)?")

// If this failed, a difference from the documents would be claimed that nothing
// holds the code to.
func TestDivergencesAreTested(t *testing.T) {
	t.Parallel()
	const root = "../../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/divergences/vpcep.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| Topic |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 5 {
			t.Errorf("%q has %d columns, want 5", cells[0], len(cells))
			continue
		}
		tests := named.FindAllStringSubmatch(cells[4], -1)
		if rest := strings.Trim(named.ReplaceAllString(cells[4], ""), " ,"); tests == nil || rest != "" {
			t.Errorf("%q names no test, or more than tests: %q", cells[0], cells[4])
		}
		for _, m := range tests {
			dir := filepath.Join(root, m[3])
			if m[3] == "" {
				dir = "."
			}
			if !hasTest(t, dir, m[1]) {
				t.Errorf("%q names %s, which %s does not have", cells[0], m[1], dir)
			}
			if _, ok := goldens[m[2]]; m[2] != "" && (m[1] != "TestGoldens" || !ok) {
				t.Errorf("%q names %s/%s, which there is not", cells[0], m[1], m[2])
			}
		}
	}
	if rows < 90 {
		t.Errorf("read %d rows", rows)
	}
}

// hasTest reports whether the tests of a folder have the function.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

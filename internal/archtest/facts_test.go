package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the root of the repository, seen from here.
const root = "../.."

// pkg is one package of the repository.
type pkg struct {
	path  string // relative to the root; "." for the root itself
	name  string // as its files say; main for a command
	files []file
}

// file is one Go file.
type file struct {
	path       string // relative to the root
	test       bool   // named _test.go
	generated  bool   // carries the line that generators write
	standalone bool   // a program of its own beside the package, such as a generator
	src        []byte
	syntax     *ast.File
	positions  *token.FileSet
}

func (f file) line(p token.Pos) int { return f.positions.Position(p).Line }

// parseFile reads one Go file; pkgName is the name of the package it lies in.
func parseFile(path, pkgName string, src []byte) (file, error) {
	f := file{path: path, test: strings.HasSuffix(path, "_test.go"), src: src, positions: token.NewFileSet()}
	var err error
	f.syntax, err = parser.ParseFile(f.positions, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f.generated = ast.IsGenerated(f.syntax)
	f.standalone = !f.test && f.syntax.Name.Name != pkgName
	return f, nil
}

// load asks the go command for the packages, so that build rules, testdata and
// nested modules count as they do for it, and parses their files. Files for
// other systems are included.
var load = sync.OnceValues(func() ([]pkg, error) {
	out, err := run("go", "list", "-e", "-find", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var list []pkg
	var unreadable []error
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath, Dir, Name                                        string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return list, errors.Join(unreadable...)
		} else if err != nil {
			return nil, err
		}
		p := pkg{path: strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, module), "/"), name: l.Name}
		if p.path == "" {
			p.path = "."
		}
		for _, name := range slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles) {
			full := filepath.Join(l.Dir, name)
			shown, err := filepath.Rel(base, full)
			if err != nil {
				return nil, err
			}
			src, err := os.ReadFile(full)
			if err == nil {
				var f file
				f, err = parseFile(filepath.ToSlash(shown), p.name, src)
				p.files = append(p.files, f)
			}
			if err != nil {
				return nil, err
			}
		}
		list = append(list, p)
	}
})

// packages returns every package of the repository.
func packages(t *testing.T) []pkg {
	t.Helper()
	list, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("go list found no package")
	}
	return list
}

// tracked returns the text files of the repository by path relative to its
// root: what git tracks, and what it would with the next git add.
func tracked(t *testing.T) map[string][]byte {
	t.Helper()
	out, err := run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	const longest = 4 << 20 // bytes; a longer file is data, and nobody wrote a path into it by hand
	files := map[string][]byte{}
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		full := filepath.Join(root, path)
		info, err := os.Lstat(full)
		if err != nil || !info.Mode().IsRegular() || info.Size() > longest {
			continue // deleted and not committed yet, a link, or data
		}
		text, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.ContainsRune(text, 0) {
			files[path] = text
		}
	}
	return files
}

// run runs a command in the root of the repository and returns what it prints.
func run(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, errors.New(name + " " + args[0] + ": " + string(exit.Stderr))
	}
	return out, err
}

// report fails the test with each violation.
func report(t *testing.T, violations []string) {
	t.Helper()
	for _, v := range violations {
		t.Error(v)
	}
}

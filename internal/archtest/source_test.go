package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"strings"
	"testing"
)

// The limits of size, in lines of code: blank lines and comments are free.
const (
	// maxFileLines is where a file stops being one thing to read.
	maxFileLines = 600
	// maxFuncLines is what fits on a screen; it counts between the braces, as
	// the linter does.
	maxFuncLines = 70
)

// If this fails, a file or a function has grown beyond what can be read at once.
func TestSize(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			report(t, checkSize(f))
		}
	}
}

func checkSize(f file) []string {
	if f.generated {
		return nil
	}
	code := codeLines(f)
	var list []string
	if n := len(code); n > maxFileLines {
		list = append(list, fmt.Sprintf("%s: rule size: %d lines of code, at most %d are allowed, because a file should be one thing; split it by what it is about",
			f.path, n, maxFileLines))
	}
	if f.test || strings.HasPrefix(f.path, "internal/storetest/") { // a contract suite is test code
		return list
	}
	for _, d := range f.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		n := 0
		for line := f.line(fn.Body.Lbrace) + 1; line < f.line(fn.Body.Rbrace); line++ {
			if code[line] {
				n++
			}
		}
		if n > maxFuncLines {
			list = append(list, fmt.Sprintf("%s:%d: rule size: %s has %d lines of code, at most %d are allowed, because a function should be seen at once; name its parts",
				f.path, f.line(fn.Pos()), fn.Name.Name, n, maxFuncLines))
		}
	}
	return list
}

// codeLines returns the lines that hold code: tokens other than comments. Of a
// text over many lines those that are not blank count.
func codeLines(f file) map[int]bool {
	lines := map[int]bool{}
	set := token.NewFileSet()
	pos := set.AddFile(f.path, -1, len(f.src))
	var s scanner.Scanner
	s.Init(pos, f.src, nil, 0)
	for {
		p, tok, lit := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.SEMICOLON && lit != ";" {
			continue // put in by the scanner
		}
		first := pos.Line(p)
		for i, part := range bytes.Split([]byte(lit), []byte("\n")) {
			if i == 0 || len(bytes.TrimSpace(part)) > 0 {
				lines[first+i] = true
			}
		}
	}
}

// If this fails, somebody has to read the code of a package to learn what it is
// or what an exported name promises.
func TestDocumented(t *testing.T) {
	for _, p := range packages(t) {
		report(t, checkPackageDoc(p))
		for _, f := range p.files {
			if !f.test && !f.standalone && !f.generated && p.name != "main" {
				report(t, checkNamesDoc(f))
			}
		}
	}
}

func checkPackageDoc(p pkg) []string {
	want := "Package " + p.name + " "
	if p.name == "main" {
		want = "" // a command's comment tells what it does, in its own words
	}
	testsOnly := true
	for _, f := range p.files {
		testsOnly = testsOnly && (f.test || f.standalone)
	}
	for _, f := range p.files {
		if f.standalone || f.test && !testsOnly || f.syntax.Doc == nil {
			continue
		}
		if text := f.syntax.Doc.Text(); text != "" && (testsOnly || strings.HasPrefix(text, want)) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: rule docs: no package comment that begins with %q, which must say what the package is, "+
		"what it may import and who owns its goroutines, because a reader starts there", p.path, "Package "+p.name)}
}

func checkNamesDoc(f file) []string {
	var list []string
	missing := func(pos token.Pos, what, name string) {
		list = append(list, fmt.Sprintf("%s:%d: rule docs: exported %s %s has no comment, which must say what it promises, "+
			"because callers rely on what is written and not on what the code happens to do", f.path, f.line(pos), what, name))
	}
	for _, decl := range f.syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) && d.Doc.Text() == "" {
				missing(d.Pos(), "function", d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					alone := !d.Lparen.IsValid() && d.Doc.Text() != ""
					if s.Name.IsExported() && !alone && s.Doc.Text() == "" {
						missing(s.Pos(), "type", s.Name.Name)
					}
				case *ast.ValueSpec: // a comment on the group tells what its names have in common
					for _, name := range s.Names {
						if name.IsExported() && d.Doc.Text()+s.Doc.Text()+s.Comment.Text() == "" {
							missing(name.Pos(), d.Tok.String(), name.Name)
						}
					}
				}
			}
		}
	}
	return list
}

// exportedReceiver reports whether a function is none of the methods of a type
// that is not exported: those cannot be called by name.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

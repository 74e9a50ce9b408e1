package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxErrors bounds what one bad file reports. Nobody reads more in one go, and
// a file of another kind given by mistake would fill the screen with every line.
const maxErrors = 100

// Error is one thing that is wrong with a configuration. Its text never holds a
// secret and never a database URL.
type Error struct {
	File string // the name given to Parse or Load, or "environment"
	Line int    // from 1; 0 where there is no line (environment, a file that is too long)
	Key  string // the path of the key, such as networks.vpcs[0].id; "" for the file itself
	Text string // what is wrong and what to do
}

// Error returns "file:line: key: text", without the parts that are not set.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors are the things that are wrong, in the order of the file: all of them up
// to 100, and where there were more, the first 100 found and a last one that
// counts the rest.
type Errors []Error

// Error returns one line per error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i := range e {
		list[i] = e[i]
	}
	return list
}

// findings collects errors and knows where each key stands.
type findings struct {
	file  string
	lines map[string]int    // path of a key that the file sets → its line
	env   map[string]string // path of a key that the environment sets → the variable
	bad   map[string]bool   // paths already reported: one error per value is enough
	list  Errors            // at most maxErrors
	more  int               // how many there were besides
}

func newFindings(file string) *findings {
	return &findings{file: file, lines: map[string]int{}, env: map[string]string{}, bad: map[string]bool{}}
}

// has reports whether the file or the environment sets the key.
func (f *findings) has(path string) bool {
	_, file := f.lines[path]
	_, env := f.env[path]
	return file || env
}

// line returns the line of the key or, where the file does not set it, of the
// closest key around it.
func (f *findings) line(path string) int {
	for path != "" {
		if n, ok := f.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

// at reports that the value of a key is wrong, unless something already was
// wrong with it.
func (f *findings) at(path, format string, args ...any) {
	if f.bad[path] {
		return
	}
	f.bad[path] = true
	if name, ok := f.env[path]; ok {
		f.add(Error{File: "environment", Key: name}, format, args)
		return
	}
	f.add(Error{File: f.file, Line: f.line(path), Key: path}, format, args)
}

// add keeps an error, or only counts it: a hostile file has a million of them,
// and their texts cost more than reading it.
func (f *findings) add(e Error, format string, args []any) {
	if len(f.list) == maxErrors {
		f.more++
		return
	}
	e.Text = fmt.Sprintf(format, args...)
	f.list = append(f.list, e)
}

// missing reports that a key that is needed is not set or an empty list, unless
// a key next to it is unknown: that one is probably the same, misspelled.
func (f *findings) missing(path, advice string) {
	switch {
	case f.has(path):
		f.at(path, "is empty; %s", advice)
	case !f.bad[path[:max(strings.LastIndexByte(path, '.'), 0)]]:
		f.at(path, "is missing; %s", advice)
	}
}

// atLine reports something about a line rather than about the value of a key.
func (f *findings) atLine(line int, path, format string, args ...any) {
	if path != "" {
		f.bad[path] = true
	}
	f.add(Error{File: f.file, Line: line, Key: path}, format, args)
}

// soundUnder reports whether nothing is wrong with the keys under prefix. What
// refers to them is only judged then: one mistake should not read like two.
func (f *findings) soundUnder(prefix string) bool {
	for path := range f.bad {
		if strings.HasPrefix(path, prefix) {
			return false
		}
	}
	return true
}

// err returns the errors in the order of the file, or nil.
func (f *findings) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	if f.more > 0 {
		return append(f.list, Error{File: f.file, Text: fmt.Sprintf("and %d more; put these right first", f.more)})
	}
	return f.list
}

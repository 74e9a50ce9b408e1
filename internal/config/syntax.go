package config

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// syntax turns the text into the tree of its one document. It returns nil for
// an empty file, and reports what is not readable.
func (f *findings) syntax(data []byte) *yaml.Node {
	if len(data) > maxFile {
		f.atLine(0, "", "is longer than %d MiB; give the configuration file", maxFile>>20)
		return nil
	}
	if line, what := unreadable(data); what != "" {
		f.atLine(line, "", "%s; save the file as plain UTF-8 text", what)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		f.badYAML(err, data)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		f.atLine(second.Line, "", "a second document begins here; one file is one configuration: remove the line ---")
		return nil
	case !errors.Is(err, io.EOF):
		f.badYAML(err, data)
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		return nil // the document is there and empty
	}
	return root
}

// unreadable finds the first byte that no YAML text may have. The YAML library
// finds it too, but cannot tell the line.
func unreadable(data []byte) (line int, what string) {
	line = 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, "there is a byte that is not UTF-8"
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return line, "there is a control character"
		}
		i += size
	}
	return 0, ""
}

// badYAML reports an error of the YAML library. Its texts are fixed phrases but
// for the name of an unknown anchor, and that may be a password which begins
// with a star: it is not repeated.
func (f *findings) badYAML(err error, data []byte) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name := strings.TrimSuffix(rest, "' referenced")
		before, _, _ := bytes.Cut(data, []byte("*"+name))
		f.atLine(bytes.Count(before, []byte("\n"))+1, "", "a value that begins with * is an alias in YAML; put it in quotes")
		return
	}
	line := 1 // the library leaves the line out for the first one
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, phrase, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, text = n, phrase
			if parserPhrase(phrase) {
				line++
			}
		}
	}
	if strings.HasPrefix(text, "found character that cannot start any token") {
		f.atLine(line, "", "is not YAML: indentation must be spaces and no tabs, and text that begins with @, ` or %% must be in quotes")
		return
	}
	f.atLine(line, "", "is not YAML: %s; check indentation, quotes and brackets from here on", text)
}

// parserPhrase tells the errors of the library's parser from those of its
// scanner: the parser counts lines from 0.
func parserPhrase(phrase string) bool {
	for _, begin := range []string{
		"did not find expected node content", "did not find expected key", "did not find expected '-' indicator",
		"did not find expected ',' or", "did not find expected <", "found undefined tag handle", "found duplicate %",
	} {
		if strings.HasPrefix(phrase, begin) {
			return true
		}
	}
	return false
}

package familytest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// Page is the page about a family under docs/api, made of its routes, its
// decoders and its goldens.
type Page struct {
	Family  string // names the file, and the package below internal/httpapi
	Head    string // what stands before the table, Markdown
	Routes  []edge.Route
	Goldens Goldens
	// Examples are the conversations that examples are taken from, by operation,
	// where that is not the one with the name of the operation.
	Examples map[string]string
	// Sentence returns what an error code says, in English.
	Sentence func(code string) string
}

// Check wants the page to be what code and goldens say; update writes it.
func (p Page) Check(t *testing.T, update bool) {
	t.Helper()
	file := "../../../docs/api/" + p.Family + ".md"
	want := p.write(t)
	if update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code and the goldens say; run make golden", file)
	}
}

func (p Page) write(t *testing.T) string {
	t.Helper()
	src, seen, ops := readSource(t), p.readGoldens(t), Operations(t)
	var names []string
	paths := map[string][]string{}
	first := map[string]edge.Route{}
	for _, r := range p.Routes {
		if paths[r.Name] == nil {
			names, first[r.Name] = append(names, r.Name), r
		}
		paths[r.Name] = append(paths[r.Name], r.Method+" "+r.Path)
	}
	var b strings.Builder
	b.WriteString(p.Head)
	b.WriteString("\n| Operation | Request | Success |\n| --- | --- | --- |\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %d |\n", name, strings.ToLower(name), strings.Join(paths[name], "`, `"), ops[name].Success)
	}
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n    %s\n", name, strings.Join(paths[name], "\n    "))
		p.writeExample(t, &b, first[name], seen[name], ops[name].Success)
		writeParameters(&b, first[name].Path, src.query(name), src.body(name))
		p.writeErrors(&b, seen[name])
	}
	return b.String()
}

// conversation is what the goldens show of an operation.
type conversation struct {
	files   []string
	comment string
	example *request
	answer  string
	errors  map[string]bool // by status and code
}

// routeOf returns a function that tells which operation a request is.
func routeOf(routes []edge.Route) func(method, path string) string {
	mux := http.NewServeMux()
	names := map[string]string{}
	for _, r := range routes {
		pattern := r.Method + " " + strings.TrimSuffix(r.Path, "/")
		if r.Path == "/" {
			pattern = r.Method + " /{$}"
		}
		names[pattern] = r.Name
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return func(method, path string) string {
		r, err := http.NewRequest(method, path, nil) //nolint:noctx // it is matched and never sent
		if err != nil {
			return ""
		}
		_, pattern := mux.Handler(r)
		return names[pattern]
	}
}

// readGoldens returns what the goldens show, by operation. The example of an
// operation is its first success in the file of its name, or in that of Examples.
func (p Page) readGoldens(t *testing.T) map[string]*conversation {
	t.Helper()
	route, ops := routeOf(p.Routes), Operations(t)
	all := map[string]*conversation{}
	for name := range ops {
		all[name] = &conversation{errors: map[string]bool{}}
	}
	for _, file := range slices.Sorted(maps.Keys(p.Goldens)) {
		a, err := txtar.ParseFile(filepath.Join(goldenDir, file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files); i += 2 {
			q := readRequest(string(a.Files[i].Data))
			status, answer := strings.TrimPrefix(a.Files[i+1].Name, "response "), string(a.Files[i+1].Data)
			name := route(q.method, q.path)
			c := all[name]
			if c == nil {
				continue
			}
			if !slices.Contains(c.files, file) && strings.HasPrefix(file+"-", name+"-") {
				c.files = append(c.files, file)
			}
			switch {
			case status >= "400":
				var e struct {
					Code string `json:"error_code"`
				}
				if err := json.Unmarshal([]byte(answer), &e); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				c.errors[status+" "+e.Code] = true
			case status == strconv.Itoa(ops[name].Success) && c.example == nil && file == cmp.Or(p.Examples[name], name):
				c.comment, c.example, c.answer = string(a.Comment), &q, answer
			}
		}
	}
	return all
}

func (p Page) writeExample(t *testing.T, b *strings.Builder, r edge.Route, c *conversation, success int) {
	t.Helper()
	if c == nil || c.example == nil {
		t.Errorf("%s has no example", r.Name)
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", strings.TrimSpace(c.comment))
	if r.Public {
		b.WriteString("No credentials are asked for.\n\n")
	}
	fmt.Fprintf(b, "```http\n%s %s\n", c.example.method, c.example.path)
	if c.example.body != "" {
		fmt.Fprintf(b, "\n%s\n", c.example.body)
	}
	fmt.Fprintf(b, "```\n\nAnswers %d", success)
	if strings.TrimSpace(c.answer) == "" {
		b.WriteString(", without a body.\n")
	} else {
		fmt.Fprintf(b, ":\n\n```json\n%s```\n", c.answer)
	}
	links := make([]string, len(c.files))
	for i, f := range c.files {
		links[i] = "[" + f + "](../../internal/httpapi/" + p.Family + "/" + goldenDir + "/" + f + ".txt)"
	}
	fmt.Fprintf(b, "\nConversations: %s.\n", strings.Join(links, ", "))
}

func (p Page) writeErrors(b *strings.Builder, c *conversation) {
	if c == nil || len(c.errors) == 0 {
		return
	}
	b.WriteString("\n| Error | Status | Sentence |\n| --- | --- | --- |\n")
	for _, key := range slices.Sorted(maps.Keys(c.errors)) {
		status, code, _ := strings.Cut(key, " ")
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", code, status, p.Sentence(code))
	}
}

func writeParameters(b *strings.Builder, path string, query []string, body []parameter) {
	var list []parameter
	for rest := path; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			break
		}
		var name string
		name, rest, _ = strings.Cut(after, "}")
		list = append(list, parameter{"path", name, "string"})
	}
	for _, name := range query {
		list = append(list, parameter{"query", name, "string"})
	}
	list = append(list, body...)
	if len(list) == 0 {
		return
	}
	b.WriteString("\n| Parameter | In | Type |\n| --- | --- | --- |\n")
	for _, p := range list {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.name, p.in, p.kind)
	}
}

package vpcep

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// referenceFile is written from the table of routes, the decoders and the goldens.
const referenceFile = "../../../docs/api/vpcep.md"

const referenceHead = "# The VPC Endpoint API\n\n" +
	"What this server answers, operation by operation. The page is made of the table of routes, the decoders and the conversations\n" +
	"in `internal/httpapi/vpcep/testdata/golden`, which are played against the real server by a test; `make golden` writes it anew.\n" +
	"Where the vendor's documents say otherwise, or contradict each other, [the divergences](../divergences/vpcep.md) say why this is\n" +
	"what it is.\n\n" +
	"* **Credentials**: `X-Auth-Token`, or a signature with an access key (`Authorization: SDK-HMAC-SHA256 …`), unless an operation says\n" +
	"  that it needs none. The project of the path is one of the caller's. Examples leave the header out.\n" +
	"* **Bodies** are JSON. Numbers and booleans may come as text. Unknown fields are ignored.\n" +
	"* **Errors** have a code and a sentence, twice, because clients look in two places: `{\"error_code\": …, \"error_msg\": …,\n" +
	"  \"error\": {\"code\": …, \"message\": …}}`. `X-Language: zh-cn` asks for Chinese. Every answer has an `X-Request-Id`.\n" +
	"* Any operation may be answered with 401 `EndPoint.0003` (credentials), 403 `EndPoint.0004` (roles, project), 400 `EndPoint.0014`\n" +
	"  (project id), 400 `EndPoint.0002` (body), 500 `EndPoint.0001` (a fault of the server) and 504 `EndPoint.0013` (too late).\n" +
	"* `NEW-ID-1` in an example is an id that was made up on the way.\n\n"

// If this failed, the page about the API would promise something else than the
// code and its tests: run make golden.
func TestReferenceIsCurrent(t *testing.T) {
	want := writeReference(t)
	if *update {
		if err := os.MkdirAll(filepath.Dir(referenceFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code and the goldens say; run make golden", referenceFile)
	}
}

func writeReference(t *testing.T) string {
	t.Helper()
	src := readSource(t)
	seen := readGoldens(t)
	success := operations(t)
	var names []string
	paths := map[string][]string{}
	public := map[string]bool{}
	for _, r := range New(nil, Options{}).Routes {
		if paths[r.Name] == nil {
			names = append(names, r.Name)
		}
		paths[r.Name] = append(paths[r.Name], r.Method+" "+r.Path)
		public[r.Name] = r.Public
	}
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("| Operation | Request | Success |\n| --- | --- | --- |\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %d |\n", name, strings.ToLower(name), strings.Join(paths[name], "`, `"), success[name].Success)
	}
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		for _, p := range paths[name] {
			fmt.Fprintf(&b, "    %s\n", p)
		}
		seen[name].write(t, &b, name, success[name].Success, public[name])
		writeParameters(&b, paths[name][0], src.query(name), src.body(name))
		seen[name].writeErrors(&b)
	}
	return b.String()
}

// conversation is what the goldens show of an operation.
type conversation struct {
	files   []string
	example func() (comment string, q goldenRequest, answer string)
	errors  map[string][]string // by status and code, the files
}

// routeOf returns a function that tells which operation a request is.
func routeOf() func(method, path string) string {
	mux := http.NewServeMux()
	names := map[string]string{}
	for _, r := range New(nil, Options{}).Routes {
		pattern := r.Method + " " + strings.TrimSuffix(r.Path, "/")
		if r.Path == "/" {
			pattern = "GET /{$}"
		}
		names[pattern] = r.Name
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return func(method, path string) string {
		r, err := http.NewRequest(method, path, nil)
		if err != nil {
			return ""
		}
		_, pattern := mux.Handler(r)
		return names[pattern]
	}
}

// readGoldens returns what the goldens show, by operation. The example of an
// operation is its first success in the file of its name.
func readGoldens(t *testing.T) map[string]*conversation {
	t.Helper()
	route, ops := routeOf(), operations(t)
	all := map[string]*conversation{}
	for name := range ops {
		all[name] = &conversation{errors: map[string][]string{}}
	}
	for _, file := range slices.Sorted(maps.Keys(goldens)) {
		a, err := txtar.ParseFile(filepath.Join("testdata/golden", file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files); i += 2 {
			q := readRequest(string(a.Files[i].Data))
			name, status := route(q.method, q.path), strings.TrimPrefix(a.Files[i+1].Name, "response ")
			c := all[name]
			if c == nil {
				continue
			}
			if !slices.Contains(c.files, file) && strings.HasPrefix(file+"-", name+"-") {
				c.files = append(c.files, file)
			}
			answer := string(a.Files[i+1].Data)
			switch {
			case status >= "400":
				var e errorAnswer
				if err := json.Unmarshal([]byte(answer), &e); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				key := status + " " + e.ErrorCode
				if !slices.Contains(c.errors[key], file) {
					c.errors[key] = append(c.errors[key], file)
				}
			case status == strconv.Itoa(ops[name].Success) && c.example == nil && (file == name || file == name+"-example-2022"):
				c.example = func() (string, goldenRequest, string) { return string(a.Comment), q, answer }
			}
		}
	}
	return all
}

func (c *conversation) write(t *testing.T, b *strings.Builder, name string, success int, public bool) {
	t.Helper()
	if c.example == nil {
		t.Errorf("%s has no example", name)
		return
	}
	comment, q, answer := c.example()
	fmt.Fprintf(b, "\n%s\n\n", strings.TrimSpace(comment))
	if public {
		b.WriteString("No credentials are asked for.\n\n")
	}
	fmt.Fprintf(b, "```http\n%s %s\n", q.method, q.path)
	if q.body != "" {
		fmt.Fprintf(b, "\n%s\n", q.body)
	}
	fmt.Fprintf(b, "```\n\nAnswers %d", success)
	if strings.TrimSpace(answer) == "" {
		b.WriteString(", without a body.\n")
	} else {
		fmt.Fprintf(b, ":\n\n```json\n%s```\n", answer)
	}
	links := make([]string, len(c.files))
	for i, f := range c.files {
		links[i] = "[" + f + "](../../internal/httpapi/vpcep/testdata/golden/" + f + ".txt)"
	}
	fmt.Fprintf(b, "\nConversations: %s.\n", strings.Join(links, ", "))
}

func (c *conversation) writeErrors(b *strings.Builder) {
	if len(c.errors) == 0 {
		return
	}
	b.WriteString("\n| Error | Status | Sentence |\n| --- | --- | --- |\n")
	for _, key := range slices.Sorted(maps.Keys(c.errors)) {
		status, code, _ := strings.Cut(key, " ")
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", code, status, byNumber[code[len(code)-numberDigits:]].English)
	}
}

// parameter is a field of a request.
type parameter struct{ in, name, kind string }

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

// source is what the page needs of the code: which handler an operation has, and
// what that reads.
type source struct {
	handlers map[string]string
	funcs    map[string]*ast.FuncDecl
	types    map[string]ast.Expr
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{handlers: map[string]string{}, funcs: map[string]*ast.FuncDecl{}, types: map[string]ast.Expr{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				s.funcs[n.Name.Name] = n
			case *ast.TypeSpec:
				s.types[n.Name.Name] = n.Type
			case *ast.CompositeLit:
				s.route(n)
			}
			return true
		})
	}
	return s
}

// route notes the handler of a row of the table of routes.
func (s *source) route(lit *ast.CompositeLit) {
	var name, handler string
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		switch v := kv.Value.(type) {
		case *ast.BasicLit:
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" {
				name, _ = strconv.Unquote(v.Value)
			}
		case *ast.SelectorExpr:
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Handler" {
				handler = v.Sel.Name
			}
		}
	}
	if name != "" && handler != "" {
		s.handlers[name] = handler
	}
}

// query returns the names of the query parameters that an operation reads, by
// looking into every function that its handler calls.
func (s *source) query(operation string) []string {
	var names []string
	done := map[string]bool{}
	var look func(name string)
	look = func(name string) {
		f := s.funcs[name]
		if f == nil || done[name] {
			return
		}
		done[name] = true
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch fn := call.Fun.(type) {
			case *ast.Ident:
				look(fn.Name)
			case *ast.SelectorExpr:
				if lit, ok := literal(call); ok && fn.Sel.Name == "Get" && !slices.Contains(names, lit) {
					names = append(names, lit)
				} else if x, ok := fn.X.(*ast.Ident); ok && x.Name == "a" {
					look(fn.Sel.Name)
				}
			}
			return true
		})
	}
	look(s.handlers[operation])
	slices.Sort(names)
	return names
}

// literal returns the only argument of a call where it is a string.
func literal(call *ast.CallExpr) (string, bool) {
	if len(call.Args) != 1 {
		return "", false
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// body returns the fields of the body that an operation decodes: its handler
// calls it in.
func (s *source) body(operation string) []parameter {
	f := s.funcs[s.handlers[operation]]
	if f == nil {
		return nil
	}
	var list []parameter
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == "in" && v.Type != nil {
			s.fields("", v.Type, &list)
		}
		return true
	})
	return list
}

// fields appends the fields of a struct, those of its parts behind a dot.
func (s *source) fields(prefix string, of ast.Expr, list *[]parameter) {
	if id, ok := of.(*ast.Ident); ok {
		of = s.types[id.Name]
	}
	st, ok := of.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		name := prefix + reflect.StructTag(tag).Get("json")
		kind, part, many := s.kind(f.Type)
		if part == nil {
			*list = append(*list, parameter{"body", name, kind})
			continue
		}
		*list = append(*list, parameter{"body", name, kind})
		if many {
			name += "[]"
		}
		s.fields(name+".", part, list)
	}
}

// kind names the JSON type of a field, and returns the struct in it if there is one.
func (s *source) kind(e ast.Expr) (kind string, part ast.Expr, many bool) {
	switch e := e.(type) {
	case *ast.IndexExpr: // opt[T]
		return s.kind(e.Index)
	case *ast.ArrayType:
		kind, part, _ := s.kind(e.Elt)
		return "array of " + kind, part, true
	case *ast.StructType:
		return "object", e, false
	case *ast.SelectorExpr: // json.RawMessage
		return "any JSON", nil, false
	case *ast.Ident:
		switch e.Name {
		case "flexString", "string":
			return "string", nil, false
		case "flexBool":
			return "boolean", nil, false
		case "flexInt":
			return "integer", nil, false
		}
		return "object", e, false
	}
	return "any JSON", nil, false
}

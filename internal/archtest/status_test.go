package archtest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// operation is one documented call of a family.
type operation struct{ Op, Path string }

// groups are the rows of the VPCEP table: the first that matches has the operation.
var groups = []struct {
	name  string
	holds func(operation) bool
}{
	{"versions, quotas", func(o operation) bool { return o.Path == "/" || o.Path == "/{version}" || under(o, "/quotas") }},
	{"tags", func(o operation) bool { return under(o, "/tags") || under(o, "/resource_instances") }},
	{"v2", func(o operation) bool { return strings.HasPrefix(o.Path, "/v2/") }},
	{"connections", func(o operation) bool { return under(o, "/connections") }},
	{"whitelist", func(o operation) bool { return under(o, "/permissions") }},
	{"services", func(o operation) bool { return under(o, "/vpc-endpoint-services") }},
	{"endpoints", func(o operation) bool { return under(o, "/vpc-endpoints") }},
}

func under(o operation, part string) bool { return strings.Contains(o.Path+"/", part+"/") }

// served returns the names of the operations that a family's code has a handler
// for, in the order of its tables.
func served(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, p := range packages(t) {
		family, ok := strings.CutPrefix(p.path, "internal/httpapi/")
		if !ok {
			continue
		}
		for _, f := range p.files {
			if !f.test {
				out[family] = append(out[family], routes(f.syntax)...)
			}
		}
	}
	return out
}

// routes returns the names of the routes in a file whose handler is a method: a
// call in its place makes the answer that an operation is not served.
func routes(f *ast.File) []string {
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		name, handled := "", false
		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, _ := kv.Key.(*ast.Ident)
			switch {
			case key == nil:
			case key.Name == "Name":
				if text, ok := kv.Value.(*ast.BasicLit); ok && text.Kind == token.STRING {
					name, _ = strconv.Unquote(text.Value)
				}
			case key.Name == "Handler":
				_, handled = kv.Value.(*ast.SelectorExpr)
			}
		}
		if name != "" && handled && !slices.Contains(out, name) {
			out = append(out, name)
		}
		return true
	})
	return out
}

// statusTable is the generated part of the README: all are the operations that
// VPCEP documents, and have what each family serves.
func statusTable(all []operation, have map[string][]string) string {
	var b strings.Builder
	done := 0
	for _, o := range all {
		if slices.Contains(have["vpcep"], o.Op) {
			done++
		}
	}
	fmt.Fprintf(&b, "| VPCEP: %d of %d | yes | not yet |\n| --- | --- | --- |\n", done, len(all))
	for _, g := range groups {
		var yes, no []string
		for _, o := range all {
			switch {
			case groupOf(o) != g.name:
			case slices.Contains(have["vpcep"], o.Op):
				yes = append(yes, o.Op)
			default:
				no = append(no, o.Op)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.name, words(yes), words(no))
	}
	b.WriteString("\n| other families | operations |\n| --- | --- |\n")
	for _, f := range []struct{ name, family string }{{"IAM", "iam"}, {"CSS", "css"}, {"APIG", "apig"}, {"native", "native"}} {
		fmt.Fprintf(&b, "| %s: %d | %s |\n", f.name, len(have[f.family]), words(have[f.family]))
	}
	return b.String()
}

func groupOf(o operation) string {
	for _, g := range groups {
		if g.holds(o) {
			return g.name
		}
	}
	return ""
}

func words(list []string) string {
	if len(list) == 0 {
		return "–"
	}
	return strings.Join(list, ", ")
}

// documented returns the operations of the VPCEP API reference, as the family's
// own coverage test has them.
func documented(t *testing.T) []operation {
	t.Helper()
	var all []operation
	if err := json.Unmarshal([]byte(read(t, "internal/httpapi/vpcep/testdata/operations.json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if groupOf(o) == "" {
			t.Errorf("operation %s (%s) has no row in the status table", o.Op, o.Path)
		}
	}
	return all
}

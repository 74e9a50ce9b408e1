package familytest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// domainErrors is the source of the reasons, as seen from a family.
const domainErrors = "../../sallyport/error.go"

// operationsFile lists a family's documented operations.
const operationsFile = "testdata/operations.json"

// Operation is one documented operation.
type Operation struct {
	Op      string `json:"op"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Success int    `json:"success_status"`
}

// Operations returns the family's documented operations by name.
func Operations(t *testing.T) map[string]Operation {
	t.Helper()
	data, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []Operation
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	ops := make(map[string]Operation, len(list))
	for _, o := range list {
		ops[o.Op] = o
	}
	return ops
}

// Covered wants the routes to be the documented operations, no more and no
// less, each with a golden that shows its success.
func (g Goldens) Covered(t *testing.T, routes []edge.Route) {
	t.Helper()
	ops := Operations(t)
	seen := map[string]bool{}
	for _, r := range routes {
		o, ok := ops[r.Name]
		if !ok {
			t.Errorf("%s is not documented", r.Name)
			continue
		}
		seen[r.Name] = true
		if r.Method != o.Method || r.Path != o.Path || r.Public {
			t.Errorf("%s is routed at %s %s (public: %t), documented at %s %s", r.Name, r.Method, r.Path, r.Public, o.Method, o.Path)
		}
		shown := false
		for name, statuses := range g {
			op, _, _ := strings.Cut(name, "-")
			shown = shown || op == r.Name && slices.Contains(statuses, o.Success)
		}
		if !shown {
			t.Errorf("%s has no golden with status %d", r.Name, o.Success)
		}
	}
	for name := range ops {
		if !seen[name] {
			t.Errorf("%s has no route", name)
		}
	}
	t.Logf("%d of %d served", len(seen), len(ops))
}

// Reasons reads the constants of type Reason out of the domain's source, so
// that a family cannot forget a new one.
func Reasons(t *testing.T) []sallyport.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), domainErrors, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []sallyport.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0].Name)
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sallyport.Reason(text))
		return true
	})
	if len(list) < 25 {
		t.Fatalf("found %d reasons in the domain's source", len(list))
	}
	return list
}

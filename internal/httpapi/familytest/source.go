package familytest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parameter is a field of a request.
type parameter struct{ in, name, kind string }

// source is what a page needs of the code: which handler an operation has, and
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
		key, _ := kv.Key.(*ast.Ident)
		switch v := kv.Value.(type) {
		case *ast.BasicLit:
			if key != nil && key.Name == "Name" {
				name, _ = strconv.Unquote(v.Value)
			}
		case *ast.SelectorExpr:
			if key != nil && key.Name == "Handler" {
				handler = v.Sel.Name
			}
		}
	}
	if name != "" && handler != "" {
		s.handlers[name] = handler
	}
}

// query returns the names of the query parameters that an operation reads, by
// looking into every function that its handler calls: what is taken by
// Get("name") of a query.
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
		*list = append(*list, parameter{"body", name, kind})
		if many {
			name += "[]"
		}
		s.fields(name+".", part, list) // none where there is no part
	}
}

// kind names the JSON type of a field, and returns the struct in it if there is one.
func (s *source) kind(e ast.Expr) (kind string, part ast.Expr, many bool) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return s.kind(e.X)
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
		case "flexBool", "bool":
			return "boolean", nil, false
		case "flexInt":
			return "integer", nil, false
		}
		return "object", e, false
	}
	return "any JSON", nil, false
}

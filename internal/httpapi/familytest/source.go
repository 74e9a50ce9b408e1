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
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Names[0].Name != "in" || v.Type == nil {
			return true
		}
		id, ok := v.Type.(*ast.Ident)
		if !ok {
			return true
		}
		st, ok := s.types[id.Name].(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range st.Fields.List {
			if field.Tag != nil {
				tag, _ := strconv.Unquote(field.Tag.Value)
				list = append(list, parameter{"body", reflect.StructTag(tag).Get("json"), kind(field.Type)})
			}
		}
		return true
	})
	return list
}

// kind names the JSON type of a field.
func kind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return kind(e.X)
	case *ast.ArrayType:
		return "array of " + kind(e.Elt)
	case *ast.Ident:
		switch e.Name {
		case "string":
			return "string"
		case "bool", "flexBool":
			return "boolean"
		}
	}
	return "any JSON"
}

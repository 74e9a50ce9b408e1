package edge

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// unknownOperation is what the log and the metrics call a request that no route
// takes: the path itself is the client's and would make labels without bound.
const unknownOperation = "unknown"

// server is the handler that New returns.
type server struct {
	opt      Options
	mux      *http.ServeMux
	spots    map[string]*spot // by ServeMux pattern
	methods  []string         // of all routes, for Allow
	prefixes []prefix
	fallback *target // of the first family
}

// spot is one method and path, with the routes of every family that has it.
// Those with a When come first.
type spot struct{ targets []*target }

// target is one route, or what a family says to requests without one.
type target struct {
	server     *server
	family     *Family
	route      Route
	hasProject bool
	meter      meter
}

// prefix says that unknown paths below it are a family's.
type prefix struct {
	segments []string
	target   *target
}

// New returns a handler for every path of the families, and for every other
// path in the shape of the family that is nearest. It neither redirects nor
// answers with anything but JSON.
//
// What is no API (/healthz, /readyz, /metrics, the console) is mounted before
// it, by comparing the path: http.ServeMux in front would redirect paths with
// double slashes in HTML. New panics where two routes collide, where a route
// lacks a name or a handler, and where there is no family: mistakes of the
// program, found at its start.
func New(opt Options) http.Handler {
	if opt.Gate == nil || opt.Projects == nil || len(opt.Families) == 0 {
		panic("edge: gate, projects and families are required")
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Language == "" {
		opt.Language = English
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the default of the injected clock
	}
	s := &server{opt: opt, mux: http.NewServeMux(), spots: map[string]*spot{}, methods: []string{http.MethodHead}}
	m := newMeters(opt.Metrics)
	for i := range opt.Families {
		f := &opt.Families[i]
		if f.Name == "" || f.Error == nil {
			panic("edge: family " + f.Name + " has no name or no shape of error")
		}
		unknown := &target{server: s, family: f, route: Route{Name: unknownOperation}, meter: m.operation(f.Name, unknownOperation)}
		if i == 0 {
			s.fallback = unknown
		}
		for _, p := range f.Prefixes {
			s.prefixes = append(s.prefixes, prefix{segments: strings.Split(strings.Trim(p, "/"), "/"), target: unknown})
		}
		for _, r := range f.Routes {
			s.add(f, r, m.operation(f.Name, r.Name))
		}
	}
	slices.SortStableFunc(s.prefixes, func(a, b prefix) int { return len(b.segments) - len(a.segments) })
	slices.Sort(s.methods)
	s.methods = slices.Compact(s.methods)
	s.mux.HandleFunc("/", s.miss)
	return s
}

// add registers one route at every place where its family is mounted.
func (s *server) add(f *Family, r Route, m meter) {
	if r.Name == "" || r.Handler == nil || r.Method == "" || !strings.HasPrefix(r.Path, "/") {
		panic(fmt.Sprintf("edge: route %s %q %q of %s is not complete", r.Method, r.Path, r.Name, f.Name))
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	t := &target{
		server: s, family: f, route: r,
		hasProject: strings.Contains(r.Path, "{"+projectValue+"}"),
		meter:      m,
	}
	s.methods = append(s.methods, r.Method)
	s.place(t, r.Path)
	for _, mount := range f.Mounts {
		s.place(t, strings.TrimSuffix(mount, "/")+r.Path)
	}
}

// place registers a route at one path, with and without a trailing slash.
func (s *server) place(t *target, at string) {
	path := t.route.Method + " " + strings.TrimSuffix(at, "/")
	slashed := path + "/{$}"
	sp, ok := s.spots[slashed]
	if !ok {
		sp = &spot{}
		s.spots[slashed] = sp
		s.mux.Handle(slashed, sp)
		if at != "/" {
			s.spots[path] = sp
			s.mux.Handle(path, sp)
		}
	}
	sp.add(t)
}

// add puts t before the route that answers always. Only one such may be.
func (sp *spot) add(t *target) {
	n := len(sp.targets)
	always := n > 0 && sp.targets[n-1].route.When == nil
	switch {
	case !always:
		sp.targets = append(sp.targets, t)
	case t.route.When != nil:
		sp.targets = slices.Insert(sp.targets, n-1, t)
	default:
		panic(fmt.Sprintf("edge: %s %s belongs to %s and to %s", t.route.Method, t.route.Path, sp.targets[n-1].family.Name, t.family.Name))
	}
}

// ServeHTTP answers with the route that wants the request.
func (sp *spot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, t := range sp.targets {
		if t.route.When == nil || t.route.When(r) {
			t.serve(w, r, nil)
			return
		}
	}
	sp.targets[0].server.miss(w, r)
}

// ServeHTTP routes a request. Paths that are not in their shortest form are
// unknown: ServeMux would redirect them, and clients follow no redirects.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect || !canonical(r.URL.EscapedPath()) {
		s.nearest(r).serve(w, r, NewProblem(ClassNoPath, "the path is not known"))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// miss answers a request that no route takes: 405 where the path has other
// methods, else 404.
func (s *server) miss(w http.ResponseWriter, r *http.Request) {
	var allow []string
	t := s.nearest(r)
	for _, m := range s.methods {
		if m == r.Method {
			continue // it has just been refused
		}
		_, pattern := s.mux.Handler(&http.Request{Method: m, URL: r.URL, Host: r.Host})
		if sp := s.spots[pattern]; sp != nil {
			allow = append(allow, m)
			t = s.unknownOf(sp.targets[len(sp.targets)-1].family, t)
		}
	}
	if allow == nil {
		t.serve(w, r, NewProblem(ClassNoPath, "the path is not known"))
		return
	}
	p := NewProblem(ClassMethod, "the method is not allowed here")
	p.Allow = allow
	t.serve(w, r, p)
}

// unknownOf returns what the family says to requests without a route.
func (s *server) unknownOf(f *Family, otherwise *target) *target {
	if s.fallback.family == f {
		return s.fallback
	}
	for _, p := range s.prefixes {
		if p.target.family == f {
			return p.target
		}
	}
	return otherwise
}

// nearest returns what the family with the longest matching prefix says to
// requests without a route.
func (s *server) nearest(r *http.Request) *target {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for _, p := range s.prefixes {
		if p.matches(path) {
			return p.target
		}
	}
	return s.fallback
}

func (p *prefix) matches(path []string) bool {
	if len(path) < len(p.segments) {
		return false
	}
	for i, s := range p.segments {
		if !strings.HasPrefix(s, "{") && s != path[i] {
			return false
		}
	}
	return true
}

// canonical reports whether the escaped path begins with a slash and has no
// empty, "." or ".." segment before its end.
func canonical(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for rest := path[1:]; rest != ""; {
		segment, after, more := strings.Cut(rest, "/")
		if segment == "." || segment == ".." || segment == "" && more {
			return false
		}
		rest = after
	}
	return true
}

package vpcep

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

// If this failed, a documented operation would have no route, a route would not
// be documented, or it would stand at another path or method than clients use.
func TestRoutesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	ops := familytest.Operations(t)
	seen := map[string]bool{}
	for _, r := range New(nil, Options{}).Routes {
		o, ok := ops[r.Name]
		if !ok {
			t.Errorf("%s is not documented", r.Name)
			continue
		}
		seen[r.Name] = true
		// The tags of a type are routed as two literals.
		path := strings.ReplaceAll(r.Path, "/endpoint_service/tags", "/{resource_type}/tags")
		path = strings.ReplaceAll(path, "/endpoint/tags", "/{resource_type}/tags")
		if r.Method != o.Method || path != o.Path {
			t.Errorf("%s is routed at %s %s, documented at %s %s", r.Name, r.Method, r.Path, o.Method, o.Path)
		}
		if want := strings.HasSuffix(r.Name, "VersionDetails"); r.Public != want {
			t.Errorf("%s: public is %t, want %t", r.Name, r.Public, want)
		}
	}
	for name := range ops {
		if !seen[name] {
			t.Errorf("%s has no route", name)
		}
	}
	t.Logf("%d of %d served", len(seen), len(ops))
}

// If this failed, an operation would be served that no golden file shows, or
// that no golden file shows with the status its clients accept.
func TestEveryServedOperationHasAGolden(t *testing.T) {
	t.Parallel()
	ops := familytest.Operations(t)
	for _, r := range (&api{}).routes() {
		found := false
		for name, statuses := range goldens {
			op, _, _ := strings.Cut(name, "-")
			found = found || op == r.Name && slices.Contains(statuses, ops[r.Name].Success)
		}
		if !found {
			t.Errorf("%s has no golden with status %d", r.Name, ops[r.Name].Success)
		}
	}
}

package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// module is the prefix of this repository's import paths.
const module = "github.com/sallyport-net/sallyport"

// row says what the code of one package, tests excepted, may import.
type row struct {
	// may are the packages of this repository, relative to its root; a path that
	// ends in /... stands for the package and everything under it.
	may []string
	// modules are the import path prefixes of other modules; nil means any, and
	// an empty list means the standard library only.
	modules []string
	// never are packages of the standard library, with what is under them.
	never []string
	// why is the reason a failure gives.
	why string
}

// stdlib is the modules column of a package with no dependency at all.
var stdlib = []string{}

// arrows is the table: every package of the repository has a row. A key that
// ends in /... stands for every package under it.
var arrows = map[string]row{
	"cmd/sallyport": {
		may: []string{"internal/app", "internal/cli", "internal/config"},
		why: "main only has arguments, signals and the exit code; of the configuration it prints the built-in one",
	},
	"internal/app": {
		may: []string{
			"internal/agent", "internal/agentapi", "internal/config", "internal/console", "internal/control",
			"internal/engine", "internal/forward", "internal/health", "internal/httpapi/...", "internal/identity/...", "internal/netattach", "internal/nft",
			"internal/readmodel", "internal/resolver", "internal/sallyport", "internal/sqlstore",
		},
		why: "app wires everything that serves, and nothing of the command line or of the tests",
	},
	"internal/cli": {
		may: []string{"internal/config", "internal/httpapi/native", "internal/identity", "internal/identity/aksk"},
		why: "the verbs talk to a server as any client does; serve and dev are functions that main passes in",
	},
	"internal/httpapi/vpcep":  family,
	"internal/httpapi/css":    family,
	"internal/httpapi/apig":   family,
	"internal/httpapi/native": family,
	"internal/httpapi/familytest": {
		may: []string{"internal/control", "internal/httpapi/edge", "internal/sallyport", "internal/sqlstore"},
		why: "what the families' tests share plays one family on the real use cases, and knows none of them",
	},
	"internal/httpapi/iam": {
		may: []string{"internal/httpapi/edge", "internal/identity", "internal/sallyport"},
		why: "the identity API is the wire form of identity, and beside that a family like the others",
	},
	"internal/httpapi/edge": {
		may: []string{"internal/identity", "internal/sallyport"},
		why: "the edge is what all families share: it knows who calls, and neither families nor use cases",
	},
	"internal/control": {
		may: []string{"internal/agentapi", "internal/sallyport"},
		why: "use cases speak through the domain's ports; stores, edges and agents come to them, not they to those",
	},
	"internal/sqlstore": {
		may: []string{"internal/readmodel", "internal/sallyport"},
		why: "a store implements the domain's port and decides nothing",
	},
	"internal/readmodel": {
		may: []string{"internal/sallyport"},
		why: "the read model is an image of the domain's nouns",
	},
	"internal/storetest": {
		may: []string{"internal/sallyport"},
		why: "the contract of the store must hold for any store, so it knows none",
	},
	"internal/pgtest": {
		why: "a throw-away PostgreSQL is for any test, so it knows nothing of what is tested",
	},
	"internal/identity": {
		may: []string{"internal/identity/aksk", "internal/sallyport"},
		why: "identity tells who calls, whatever the call is",
	},
	"internal/identity/aksk": {
		modules: []string{"github.com/emmansun/gmsm"},
		why:     "signatures are checked by the server and made by the command line: they stand alone",
	},
	"internal/agent": {
		may: []string{"internal/agentapi", "internal/engine", "internal/netattach", "internal/resolver"},
		why: "an agent shares only the protocol with the server, so that it can serve a newer one",
	},
	"internal/agentapi": {
		modules: stdlib,
		why:     "the protocol outlives the programs on both of its ends",
	},
	"internal/forward": {
		may: []string{"internal/netattach"},
		why: "the data plane carries bytes and knows neither agents nor the server",
	},
	"internal/engine": {
		may: []string{"internal/forward", "internal/health", "internal/netattach", "internal/nft"},
		why: "one endpoint is carried by both engines behind one door; neither engine knows the other",
	},
	"internal/nft": {
		may: []string{"internal/netattach"},
		why: "the kernel engine translates packets and knows neither agents nor the other engine",
	},
	"internal/health": {
		may: []string{"internal/netattach"},
		why: "a check knows a backend's address and nothing of who forwards to it",
	},
	"internal/resolver": {
		may: []string{"internal/netattach"},
		why: "the DNS server answers from a table that the agent keeps",
	},
	"internal/netattach": {
		why: "where a socket is made depends on the operating system alone",
	},
	"internal/config": {
		modules: []string{"go.yaml.in/yaml/v3"},
		why:     "every package may depend on the configuration, so it depends on none",
	},
	"internal/console": {
		modules: stdlib,
		why:     "the page speaks the native API from the browser; the package only embeds it",
	},
	"internal/sallyport": {
		modules: stdlib,
		never:   []string{"net/http", "database/sql", "encoding/json"},
		why:     "the domain knows no HTTP, no SQL and no wire shape: those belong to edges and stores",
	},
	"internal/archtest": {modules: stdlib, why: "the rules must not depend on what they judge"},
	"bench/...":         {may: []string{"..."}, why: "benchmarks measure anything"},
	"e2e/...":           {may: []string{"..."}, why: "end-to-end tests use anything"},
}

// family is the row of an HTTP API family.
var family = row{
	may: []string{"internal/httpapi/edge", "internal/sallyport"},
	why: "a family declares the methods it needs as an interface, and never imports another family: " +
		"each vendor API must be free to change alone",
}

// If this fails, a package imports what its place in the house forbids, or has
// no place yet.
func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		report(t, checkArrows(p))
	}
}

// checkArrows judges the imports of one package.
func checkArrows(p pkg) []string {
	r, ok := rowOf(p.path)
	if !ok {
		return []string{fmt.Sprintf("%s: rule arrows: the package has no row in internal/archtest/table_test.go; "+
			"add one, so that what it may import is decided and not found out", p.path)}
	}
	var list []string
	for _, f := range p.files {
		if f.test || f.standalone {
			continue
		}
		for _, spec := range f.syntax.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if reason := r.forbids(path); reason != "" {
				list = append(list, fmt.Sprintf("%s:%d: rule arrows: %s may not import %s: %s; because %s",
					f.path, f.line(spec.Pos()), p.path, path, reason, r.why))
			}
		}
	}
	return list
}

func rowOf(path string) (row, bool) {
	if r, ok := arrows[path]; ok {
		return r, true
	}
	for pattern, r := range arrows {
		if strings.HasSuffix(pattern, "/...") && matches(pattern, path) {
			return r, true
		}
	}
	return row{}, false
}

// forbids says why an import is not allowed, or "".
func (r row) forbids(path string) string {
	first, _, _ := strings.Cut(path, "/")
	under := func(prefix string) bool { return matches(prefix+"/...", path) }
	switch {
	case under(module):
		inside := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		if slices.ContainsFunc(r.may, func(pattern string) bool { return matches(pattern, inside) }) {
			return ""
		}
		if len(r.may) == 0 {
			return "it may import nothing of this repository"
		}
		return "of this repository it may import " + strings.Join(r.may, ", ")
	case strings.Contains(first, "."):
		if r.modules == nil || slices.ContainsFunc(r.modules, under) {
			return ""
		}
		if len(r.modules) == 0 {
			return "it may import the standard library only"
		}
		return "of other modules it may import " + strings.Join(r.modules, ", ")
	case slices.ContainsFunc(r.never, under):
		return "of the standard library it may not use " + strings.Join(r.never, ", ")
	default:
		return ""
	}
}

// matches reports whether a path is the pattern or, where the pattern ends in
// ..., lies under it.
func matches(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(path+"/", prefix)
	}
	return pattern == path
}

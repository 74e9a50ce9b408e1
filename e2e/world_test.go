package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"github.com/sallyport-net/sallyport/internal/app"
	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/pgtest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

// The fixed ids of every world.
const (
	region         = "eu-west-101"
	providerDomain = "6e9dfd51d1124e8d8498dce894923a0d"
	providerID     = "6204a5bd270343b5885144cf9c8c158d"
	providerOther  = "7204a5bd270343b5885144cf9c8c158e" // a second project of the provider
	consumerDomain = "0b7c2a94d3e84f5fa1c6e9d27483b510"
	consumerID     = "91f4c7e05ad24b0e8a63d2b15c7f9e48"

	providerVPC    = "5b2c1d00-0000-4000-8000-000000000001"
	backendPort    = "5b2c1d00-0000-4000-8000-000000000002"
	providerSubnet = "5b2c1d00-0000-4000-8000-000000000004"
	consumerVPC    = "5b2c1d00-0000-4000-8000-000000000011"
	consumerSubnet = "5b2c1d00-0000-4000-8000-000000000014"
	detachedVPC    = "5b2c1d00-0000-4000-8000-000000000021" // no agent carries it
	detachedSubnet = "5b2c1d00-0000-4000-8000-000000000024"
)

// world is what a product is started with. Its zero value, filled by newWorld,
// is one with two accounts, on SQLite.
type world struct {
	Dir      string // of the data
	Database string // PostgreSQL instead of SQLite
	Unknown  string // allow or refuse
	Services int    // quota
	Endpoint int    // quota
	Run      string // makes access keys of this world its own
	Owners   []int  // further administrators of the provider
	Extra    string // further users of the consumer, as YAML

	Net netip.Prefix // of the consumer's subnet
	// now is the product's clock and that of its callers; nil is the real one.
	now func() time.Time
	log *slog.Logger
}

// sequence numbers the worlds of this process.
var sequence atomic.Uint32

// newWorld returns a world with addresses and keys that no other has.
func newWorld(t *testing.T) *world {
	t.Helper()
	n := sequence.Add(1)
	// 127.128.0.0/9, apart from the pool of unknown subnets. The process id keeps
	// two test processes apart.
	block := netip.AddrFrom4([4]byte{127, byte(128 + os.Getpid()%127), byte(n), 0})
	return &world{
		Dir: t.TempDir(), Unknown: "allow", Services: 20, Endpoint: 50,
		Run: fmt.Sprintf("%08d%04d", os.Getpid(), n), Net: netip.PrefixFrom(block, 24),
	}
}

// address returns the n-th address of the consumer's subnet.
func (w *world) address(n byte) string {
	a := w.Net.Addr().As4()
	a[3] = n
	return netip.AddrFrom4(a).String()
}

// database is one of the two databases a world may run on.
type database struct {
	name string
	url  func(*testing.T) string
}

// databases are those that every promise has to hold on.
var databases = []database{
	{"sqlite", func(*testing.T) string { return "" }},
	{"postgres", func(t *testing.T) string { t.Helper(); return pgtest.URL(t) }},
}

// user is somebody who calls, with every credential it has.
type user struct {
	domain, domainID, project string
	name, password            string
	access, secret            string
}

func (w *world) provider() user {
	return user{
		"provider", providerDomain, providerID, "paula", "paula-test-password",
		"SPPROVIDER" + w.Run, "provider-secret-of-the-tests-0001",
	}
}

func (w *world) consumer() user {
	return user{
		"consumer", consumerDomain, consumerID, "carl", "carl-test-password",
		"SPCONSUMER" + w.Run, "consumer-secret-of-the-tests-0001",
	}
}

// reader is a user of the provider who may only look.
func (w *world) reader() user {
	return user{
		"provider", providerDomain, providerID, "rita", "rita-test-password",
		"SPREADER" + w.Run, "reader-secret-of-the-tests-000001",
	}
}

// owner is one of the further administrators of the provider.
func (w *world) owner(n int) user {
	return user{
		"provider", providerDomain, providerID, fmt.Sprintf("owner-%d", n), "owner-test-password",
		fmt.Sprintf("SPOWNER%02d%s", n, w.Run), "owner-secret-of-the-tests-0000001",
	}
}

// user renders a user for the configuration.
func (u user) yaml(role string) string {
	return fmt.Sprintf("{name: %s, password: %s, roles: [%s], access_keys: [{access: %s, secret: %s}]}",
		u.name, u.password, role, u.access, u.secret)
}

var worldTemplate = template.Must(template.New("world").Parse(`listen: 127.0.0.1:0
data_dir: {{.W.Dir}}
{{with .W.Database}}database: {{.}}
{{end}}region: ` + region + `
identity:
  domains:
    - id: ` + providerDomain + `
      name: provider
      projects: [{id: ` + providerID + `, name: ` + region + `}, {id: ` + providerOther + `, name: other}]
      users:
        - {{.Provider}}
        - {{.Reader}}
{{range .Owners}}        - {{.}}
{{end}}    - id: ` + consumerDomain + `
      name: consumer
      projects: [{id: ` + consumerID + `, name: ` + region + `}]
      users:
        - {{.Consumer}}
{{with .W.Extra}}        - {{.}}
{{end}}networks:
  unknown: {{.W.Unknown}}
  vpcs:
    - id: ` + providerVPC + `
      attach: {mode: host}
      subnets: [{id: ` + providerSubnet + `, cidr: 127.64.1.0/24}]
    - id: ` + consumerVPC + `
      attach: {mode: host}
      subnets: [{id: ` + consumerSubnet + `, cidr: {{.W.Net}}}]
    - id: ` + detachedVPC + `
      attach: {mode: none}
      subnets: [{id: ` + detachedSubnet + `, cidr: 10.77.0.0/24}]
backends:
  - {port_id: ` + backendPort + `, vpc: ` + providerVPC + `, addresses: [127.0.0.1]}
quotas: {endpoint_service: {{.W.Services}}, endpoint: {{.W.Endpoint}}}
`))

// yaml returns the configuration file of the world.
func (w *world) yaml(t *testing.T) []byte {
	t.Helper()
	in := struct {
		W                          *world
		Provider, Reader, Consumer string
		Owners                     []string
	}{W: w, Provider: w.provider().yaml("admin"), Reader: w.reader().yaml("reader"), Consumer: w.consumer().yaml("admin")}
	for _, n := range w.Owners {
		in.Owners = append(in.Owners, w.owner(n).yaml("admin"))
	}
	var b bytes.Buffer
	if err := worldTemplate.Execute(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file writes the configuration file of the world.
func (w *world) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(w.Dir, "sallyport.yaml")
	if err := os.WriteFile(name, w.yaml(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// clock returns the time of the world.
func (w *world) clock() time.Time {
	if w.now != nil {
		return w.now()
	}
	return time.Now()
}

// product is the product running in this process.
type product struct {
	*world
	url  string
	stop func() // ends it and waits; the test's end calls it too
}

// start runs the product until the test ends or stop is called. A world may be
// started again once it is stopped, and finds its data.
func (w *world) start(t *testing.T) *product {
	t.Helper()
	cfg, err := config.Parse(w.yaml(t), "world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	log := w.log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
		if os.Getenv("SALLYPORT_TEST_LOG") != "" {
			log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	urls, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, cfg, app.Options{
			Log: log, Now: w.clock, Ready: func(_ net.Addr, url string) { urls <- url },
		})
	}()
	p := &product{world: w}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(p.stop)
	select {
	case p.url = <-urls:
	case err := <-done:
		done <- nil
		t.Fatalf("start: %v", err)
	}
	return p
}

// records returns the whole audit log of a world that is stopped, after checking
// its chain: no revision is missing, and every hash is that of its record.
func (w *world) records(t *testing.T) ([]sallyport.Record, sallyport.View) {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Dir: w.Dir, URL: w.Database})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	view, err := store.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var (
		out  []sallyport.Record
		prev [32]byte
	)
	for {
		page, err := store.Audit(t.Context(), sallyport.Revision(len(out)), sallyport.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			if want := sallyport.Revision(len(out) + 1); r.Rev != want {
				t.Fatalf("the audit log has revision %d where %d is due", r.Rev, want)
			}
			if r.Chain(prev) != r.Hash {
				t.Fatalf("the hash of audit record %d is not that of its content", r.Rev)
			}
			prev = r.Hash
			out = append(out, r)
		}
	}
	if got, want := sallyport.Revision(len(out)), view.Revision(); got != want {
		t.Fatalf("the audit log ends at revision %d, the state is of %d", got, want)
	}
	return out, view
}

// wire returns a status as the API spells it.
func wire(s sallyport.Status) string {
	if s == sallyport.StatusPending {
		return "pendingAcceptance"
	}
	return strings.ToLower(s.String())
}

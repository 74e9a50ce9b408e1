package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

// seedBatch is how many endpoints one transaction of the seeding holds: few
// enough for the store's bound on the time of a transaction.
const seedBatch = 2000

// tagValues is how many values the second tag has: with a million endpoints a
// thousand of them share one.
const tagValues = 1000

// sizes are the numbers of endpoints, all of them of one service.
func (b *bench) sizes() []int {
	if b.opt.quick {
		return []int{1_000, 10_000}
	}
	return []int{1_000, 100_000, 1_000_000}
}

// sizeParts measure lists, filters, deep pages and searches by tags against the
// number of endpoints of one service, on both databases.
func (b *bench) sizeParts() []part {
	var out []part
	for _, n := range b.sizes() {
		name := "size-" + whole(n)
		out = append(out, part{name, func(ctx context.Context) error { return b.size(ctx, n, "") }})
	}
	for _, n := range b.sizes() {
		name := "postgres-size-" + whole(n)
		out = append(out, part{name, func(ctx context.Context) error {
			return b.onPostgres(ctx, func(ctx context.Context, url string) error { return b.size(ctx, n, url) })
		}})
	}
	return out
}

func (b *bench) size(ctx context.Context, n int, database string) error {
	dir, err := filepath.Abs(filepath.Join(b.opt.dir, "size"))
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	begin := now()
	service, err := seed(ctx, sqlstore.Options{Dir: filepath.Join(dir, "data"), URL: database}, n)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	b.say("  %s endpoints seeded in %.1f s", whole(n), now().Sub(begin).Seconds())
	s, err := b.fresh(ctx, "size", database)
	if err != nil {
		return err
	}
	defer b.drop(s)
	t := table{services: 1, endpoints: n}
	b.number("start", fmt.Sprintf("start with %s, %s", t, b.storeName(s)), "s", s.started.Seconds())
	if _, err := b.resident(ctx, s, t.String(), nil); err != nil {
		return err
	}
	at := len(b.report.Rows)
	if err := b.read(ctx, s, t, sizeReadings(service, n)); err != nil {
		return err
	}
	b.deepToFirst(b.report.Rows[at:])
	return nil
}

// deepToFirst adds how much the page at the end costs over the first one.
func (b *bench) deepToFirst(rows []*row) {
	p50 := func(s sample) float64 { return s.P50 }
	for i := 0; i+1 < len(rows); i += 2 {
		first, deep := rows[i], rows[i+1]
		if deep.Name != deepName(first.Name) {
			return
		}
		r := &row{
			Section: "ratios", Name: "time of " + deep.Name + " to that of the first", Store: deep.Store, Table: deep.Table,
			Conns: deep.Conns, Unit: fold, Rounds: []sample{{Value: deep.median(p50) / first.median(p50)}},
		}
		b.add(r)
		b.show(r)
	}
}

func deepName(first string) string { return first + ", the last page" }

// sizeReadings are pairs of a first and a last page, and then single questions.
func sizeReadings(service sallyport.ServiceID, n int) []reading {
	pages := func(name string, who *account, path string, total int) []reading {
		ask := func(name string, offset int) reading {
			return reading{
				name: name, who: who, conns: []int{8}, want: fmt.Sprintf(`"total_count":%d`, total),
				paths: []string{fmt.Sprintf("%s&limit=%d&offset=%d", path, pageSize, offset)},
			}
		}
		return []reading{ask(name, 0), ask(deepName(name), total-pageSize)}
	}
	search := func(name, body string) reading {
		return reading{
			name: name, who: &consumer, method: http.MethodPost, body: body, conns: []int{8}, want: `"total_count"`,
			paths: []string{"endpoint/resource_instances/action"},
		}
	}
	connections := "vpc-endpoint-services/" + string(service) + "/connections?"
	var out []reading
	for _, l := range [][]reading{
		pages("connections, newest first", &provider, connections+"sort_dir=desc", n),
		pages("connections by update time", &provider, connections+"sort_key=update_at", n),
		pages("connections in one status", &provider, connections+"status=accepted", n/10),
		pages("endpoints of a project", &consumer, "vpc-endpoints?sort_dir=asc", n),
		pages("endpoints in a network", &consumer, "vpc-endpoints?vpc_id="+vpcNone, n),
		pages("endpoints by part of the service's name", &consumer, "vpc-endpoints?endpoint_service_name=SIZ", n),
	} {
		out = append(out, l...)
	}
	return append(out,
		reading{
			name: "connection by marker", who: &provider, conns: []int{8}, want: `"total_count":1`,
			paths: []string{connections + "marker_id=" + fmt.Sprint(n/2)},
		},
		search("search: one tag", `{"action":"filter","limit":"100","offset":"0","tags":[{"key":"group","values":["7"]}]}`),
		search("search: one tag, count", `{"action":"count","tags":[{"key":"group","values":["7"]}]}`),
		search("search: one tag of two keys", `{"action":"filter","limit":"100","offset":"0","tags":[{"key":"group","values":["7"]},{"key":"env","values":["a"]}]}`),
		search("search: walks all, none of a key", `{"action":"filter","limit":"100","offset":"0","not_tags_any":[{"key":"group","values":["7"]}]}`),
		reading{name: "tags of a project", who: &consumer, conns: []int{8}, want: `"tags"`, paths: []string{"endpoint/tags"}},
	)
}

// seed fills a store with one service and n endpoints to it, without the API: at
// a million that would be most of the run.
func seed(ctx context.Context, opt sqlstore.Options, n int) (sallyport.ServiceID, error) {
	store, err := sqlstore.Open(ctx, opt)
	if err != nil {
		return "", err
	}
	begin := now().UTC().Truncate(time.Microsecond).Add(-time.Hour)
	rec := sallyport.Record{At: begin, Family: "bench", Action: "create", Outcome: sallyport.OutcomeDone, Method: sallyport.MethodSystem}
	service := &sallyport.Service{
		ID: sallyport.NewID[sallyport.ServiceID](), Name: "size", Region: "eu-west-101", Kind: sallyport.KindInterface,
		ServerType: "VM", ProjectID: sallyport.ProjectID(provider.Project), DomainID: sallyport.DomainID(provider.Domain),
		VPCID: vpcProvider, PortID: backendPort, Ports: []sallyport.PortMapping{{Client: 80, Server: 80, Protocol: "TCP"}},
		TCPProxy: sallyport.ProxyClose, Approval: true, Status: sallyport.ServiceAvailable, CreatedAt: begin, UpdatedAt: begin,
	}
	err = store.Update(ctx, func(tx sallyport.Tx) error {
		r := rec
		r.Object, r.ObjectID = sallyport.ObjectService, string(service.ID)
		service.Rev = tx.Record(r)
		tx.PutService(service)
		return nil
	})
	for from := 0; from < n && err == nil; from += seedBatch {
		err = store.Update(ctx, func(tx sallyport.Tx) error {
			for i := from; i < min(from+seedBatch, n); i++ {
				e := seedEndpoint(service.ID, i, begin)
				r := rec
				r.Object, r.ObjectID, r.ServiceID = sallyport.ObjectEndpoint, string(e.ID), service.ID
				e.Rev = tx.Record(r)
				e.SpecRev = e.Rev
				tx.PutEndpoint(e)
			}
			return nil
		})
	}
	if cerr := store.Close(); err == nil {
		err = cerr
	}
	return service.ID, err
}

// seedEndpoint makes the i-th endpoint: one of ten accepted, the rest waiting.
func seedEndpoint(s sallyport.ServiceID, i int, begin time.Time) *sallyport.Endpoint {
	at := begin.Add(time.Duration(i) * time.Millisecond)
	e := &sallyport.Endpoint{
		ID: sallyport.NewID[sallyport.EndpointID](), ServiceID: s, ProjectID: sallyport.ProjectID(consumer.Project),
		DomainID: sallyport.DomainID(consumer.Domain), VPCID: vpcNone, SubnetID: subnetNone, Unattached: true,
		Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Marker: sallyport.Marker(i + 1),
		Status: sallyport.StatusPending, CreatedAt: at, UpdatedAt: at.Add(time.Duration(i%7) * time.Second),
		Tags: []sallyport.Tag{{Key: "env", Value: string(rune('a' + i%3))}, {Key: "group", Value: fmt.Sprint(i % tagValues)}},
	}
	if i%10 == 0 {
		e.Status, e.WasAccepted = sallyport.StatusAccepted, true
	}
	return e
}

// payload returns the body of a reading, nil where it has none.
func (rd *reading) payload() []byte {
	if rd.body == "" {
		return nil
	}
	return []byte(rd.body)
}

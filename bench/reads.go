package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
)

// pageSize is the size of the lists that are read.
const pageSize = 100

// reading is one measured request.
type reading struct {
	name  string
	paths []string // asked for in turn
	who   *account
	want  string
	token bool // by token, not by key
	// method and body are those of a search, which is a POST; GET and none else.
	method, body string
	conns        []int
	goal         float64
}

// readings are what is read from a table.
func readings(g, hot *group) []reading {
	var endpoints, services []string
	step := max(1, len(g.endpoints)/2048)
	for i := 0; i < len(g.endpoints); i += step {
		endpoints = append(endpoints, "vpc-endpoints/"+g.endpoints[i].id)
		services = append(services, "vpc-endpoint-services/"+g.endpoints[i].service)
	}
	list := func(offset int) []string {
		return []string{fmt.Sprintf("vpc-endpoint-services/%s/connections?limit=%d&offset=%d", hot.services[0], pageSize, offset)}
	}
	deep := len(hot.endpoints) - pageSize
	full := func(n int) string { return fmt.Sprintf(`"total_count":%d`, n) }
	return []reading{
		{name: "get endpoint", paths: endpoints, who: &consumer, want: `"id"`, conns: conns[:], goal: 15000},
		{name: "get endpoint, by token", paths: endpoints, who: &consumer, want: `"id"`, token: true, conns: []int{most}, goal: 15000},
		{name: "get service", paths: services, who: &provider, want: `"id"`, conns: []int{most}, goal: 15000},
		{name: "list of 100 connections, offset 0", paths: list(0), who: &provider, want: full(len(hot.endpoints)), conns: conns[1:], goal: 5000},
		{name: fmt.Sprintf("list of 100 connections, offset %d", deep), paths: list(deep), who: &provider, want: full(len(hot.endpoints)), conns: conns[1:], goal: 5000},
		{name: "list of 100 endpoints, offset 0", paths: []string{"vpc-endpoints?limit=100"}, who: &consumer, want: `"total_count"`, conns: []int{8}},
		{
			name:  fmt.Sprintf("list of 100 endpoints, offset %d", len(g.endpoints)-pageSize),
			paths: []string{fmt.Sprintf("vpc-endpoints?limit=100&offset=%d", len(g.endpoints)-pageSize)}, who: &consumer,
			want: `"total_count"`, conns: []int{8},
		},
	}
}

// read measures the readings, all of them in every round.
func (b *bench) read(ctx context.Context, s *server, t table, list []reading) error {
	type part struct {
		row     *row
		workers []*worker
	}
	var parts []part
	for _, rd := range list {
		jobs, err := rd.jobs(s.host)
		if err != nil {
			return err
		}
		workers, err := connect(ctx, s, jobs[:slices.Max(rd.conns)])
		if err != nil {
			return err
		}
		defer hangUp(workers)
		// A connection that never asked anything is hung up sooner than a kept one.
		for _, w := range workers {
			if err := w.step(); err != nil {
				return fmt.Errorf("%s: %w", rd.name, err)
			}
		}
		for _, c := range rd.conns {
			r := &row{Section: "reads", Name: rd.name, Store: b.storeName(s), Table: t.String(), Conns: c, Unit: perSecond}
			// One connection alone measures the round trip, so the goal is that of many.
			if rd.goal > 0 && c == most {
				r.Goals = onSQLite(s, goal{Metric: metricValue, Limit: rd.goal})
			}
			b.add(r)
			parts = append(parts, part{row: r, workers: workers[:c]})
		}
	}
	for range b.opt.rounds {
		for _, p := range parts {
			smp, err := drive(ctx, s, p.workers, b.opt.round/2)
			if err != nil {
				return fmt.Errorf("%s: %w", p.row.Name, err)
			}
			p.row.Rounds = append(p.row.Rounds, smp)
		}
	}
	for _, p := range parts {
		b.show(p.row)
		err := b.profiled(ctx, s, fmt.Sprintf("%s-%d", p.row.Name, p.row.Conns), func(ctx context.Context) error {
			_, err := drive(ctx, s, p.workers, b.opt.profileFor)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// jobs gives every worker the same requests, begun at different ones.
func (rd *reading) jobs(host string) ([][]job, error) {
	sign := rd.who.request
	if rd.token {
		sign = rd.who.tokenRequest
	}
	all := make([]job, len(rd.paths))
	for i, p := range rd.paths {
		req, err := sign(host, cmp.Or(rd.method, http.MethodGet), "/v1/"+rd.who.Project+"/"+p, rd.payload())
		if err != nil {
			return nil, err
		}
		all[i] = job{request: req, want: []byte(rd.want)}
	}
	lists := make([][]job, most)
	for w := range lists {
		at := w * len(all) / most
		lists[w] = append(append([]job{}, all[at:]...), all[:at]...)
	}
	return lists, nil
}

package main

import (
	"context"
	"fmt"
	"net/http"
)

// conns are the numbers of connections that decide at once.
var conns = [...]int{1, 8, 32}

const (
	// most is the largest of conns.
	most = 32
	// maxShare is how many endpoints each connection decides about in turn: 16,384
	// in all, spread over the whole table, so that what is touched is as scattered
	// as the table is large. A smaller table gives what it has.
	maxShare = 512
)

// decisions makes the jobs of the workers: each has endpoints of its own and
// goes through them again and again, accepting one and rejecting the next, and
// the other way round the next time, so that every request changes something.
func decisions(host string, endpoints []endpoint) ([][]job, error) {
	share := min(maxShare, len(endpoints)/most) &^ 1 // even, so that passes differ
	if share == 0 {
		return nil, fmt.Errorf("%d endpoints are too few for %d connections", len(endpoints), most)
	}
	stride := len(endpoints) / (most * share)
	lists := make([][]job, most)
	for w := range lists {
		for pass := range 2 {
			for i := range share {
				j, err := decision(host, endpoints[(i*most+w)*stride], (i+pass)%2 == 0)
				if err != nil {
					return nil, err
				}
				lists[w] = append(lists[w], j)
			}
		}
	}
	return lists, nil
}

// decision is the request that accepts or rejects one endpoint.
func decision(host string, e endpoint, accept bool) (job, error) {
	action, want := "reject", `"status":"rejected"`
	if accept {
		action, want = "receive", `"status":"accepted"`
	}
	body := fmt.Appendf(nil, `{"action":%q,"endpoints":[%q]}`, action, e.id)
	req, err := provider.request(host, http.MethodPost,
		"/v1/"+provider.Project+"/vpc-endpoint-services/"+e.service+"/connections/action", body)
	return job{request: req, want: []byte(want)}, err
}

// decisionGoals are those of the issue, on the machine of the README.
var decisionGoals = map[int][]goal{
	1:  {{Metric: metricValue, Limit: 1500}},
	8:  {{Metric: metricValue, Limit: 4000}},
	32: {{Metric: metricValue, Limit: 6000}, {Metric: metricP99, Limit: 12, Most: true}},
}

// onSQLite returns the goals where the server runs on SQLite, the default, which
// they are set for.
func onSQLite(s *server, goals ...goal) []goal {
	if s.database != "" {
		return nil
	}
	return goals
}

// decide measures the decisions about a group, at each number of connections in
// every round, so that what disturbs the machine disturbs all of them. With
// beside, other measures are taken in the same rounds.
func (b *bench) decide(ctx context.Context, s *server, t table, kind string, g *group, beside ...rival) error {
	lists, err := decisions(s.host, g.endpoints)
	if err != nil {
		return err
	}
	workers, err := connect(ctx, s, lists)
	if err != nil {
		return err
	}
	defer hangUp(workers)
	rows := make([]*row, len(conns))
	for i, c := range conns {
		rows[i] = &row{
			Section: "decisions", Name: "accept/reject, " + kind, Store: b.storeName(s), Table: t.String(), Conns: c, Unit: perSecond,
			Goals: onSQLite(s, decisionGoals[c]...),
		}
		b.add(rows[i])
	}
	if _, err := drive(ctx, s, workers, b.opt.warm); err != nil {
		return fmt.Errorf("decisions, %s: %w", kind, err)
	}
	for range b.opt.rounds {
		for i, c := range conns {
			smp, err := drive(ctx, s, workers[:c], b.opt.round)
			if err != nil {
				return fmt.Errorf("decisions, %s: %w", kind, err)
			}
			rows[i].Rounds = append(rows[i].Rounds, smp)
		}
		for _, r := range beside {
			if err := r.round(ctx, b.opt.round/2); err != nil {
				return err
			}
		}
	}
	for _, r := range rows {
		b.show(r)
	}
	return b.profiled(ctx, s, "decide-"+kind, func(ctx context.Context) error {
		_, err := drive(ctx, s, workers, b.opt.profileFor)
		return err
	})
}

package main

import (
	"fmt"
	"slices"

	"github.com/sallyport-net/sallyport/bench/lab"
)

var columns = []string{"contender", "median", "min–max", "× direct", "× best proxy", "p50 ms", "p99 ms", "processors", "lost", "goal", "verdict"}

// tables makes what people read of the rows.
func (b *bench) tables() {
	b.report.Data = b.rows
	b.ratios()
	for _, m := range measures {
		b.table(m.name+", "+m.unit, m.name, func(c string) (lab.Goal, []float64) {
			r := b.row(m.name, c, m.unit)
			switch {
			case c == kernel && m.kernelGoal > 0:
				return lab.Goal{Limit: m.kernelGoal, What: "of direct"}, r.Direct
			case c == user && m.userGoal > 0:
				return lab.Goal{Limit: m.userGoal, What: "of the best proxy"}, r.Best
			}
			return lab.Goal{}, nil
		})
	}
	b.table(idleMeasure+fmt.Sprintf(", bytes, of %d", b.opt.idle), idleMeasure, func(c string) (lab.Goal, []float64) {
		if c == user {
			return lab.Goal{Limit: idleBytes, Most: true, What: "bytes"}, values(b.row(idleMeasure, c, "bytes"))
		}
		return lab.Goal{}, nil
	})
}

// ratios compares rounds of the same number: what disturbed one measure disturbed
// its neighbours too.
func (b *bench) ratios() {
	for _, r := range b.rows {
		if r.Measure == idleMeasure {
			continue
		}
		for _, s := range r.Rounds {
			if v := b.at(r.Measure, direct, s.Round); v > 0 {
				r.Direct = append(r.Direct, s.Value/v)
			}
			if best := max(b.at(r.Measure, haproxy, s.Round), b.at(r.Measure, nginx, s.Round)); best > 0 {
				r.Best = append(r.Best, s.Value/best)
			}
		}
	}
}

// at returns the value of a round, or 0.
func (b *bench) at(measure, contender string, round int) float64 {
	for _, r := range b.rows {
		if r.Measure != measure || r.Contender != contender {
			continue
		}
		for _, s := range r.Rounds {
			if s.Round == round {
				return s.Value
			}
		}
	}
	return 0
}

func values(r *row) []float64 { return of(r, func(s sample) float64 { return s.Value }) }

func of(r *row, what func(sample) float64) []float64 {
	out := make([]float64, len(r.Rounds))
	for i, s := range r.Rounds {
		out[i] = what(s)
	}
	return out
}

// table shows one measure of all contenders, in the order in which they are named.
func (b *bench) table(title, measure string, goal func(contender string) (lab.Goal, []float64)) {
	t := lab.Table{Title: title, Columns: columns}
	for _, c := range everyone() {
		i := slices.IndexFunc(b.rows, func(r *row) bool { return r.Measure == measure && r.Contender == c.name })
		if i < 0 {
			continue
		}
		r := b.rows[i]
		cells := []string{
			c.name, lab.Number(lab.Median(values(r))), lab.Range(values(r)), ratio(r.Direct), ratio(r.Best),
			unless0(r, func(s sample) float64 { return s.P50 }), unless0(r, func(s sample) float64 { return s.P99 }),
			unless0(r, func(s sample) float64 { return s.CPU }), lost(r), "", "",
		}
		g, v := goal(c.name)
		if r.Failed != "" {
			r.Verdict = "failed: " + r.Failed
		} else if len(v) > 0 { // without what it is compared with there is nothing to judge
			r.Verdict = g.Judge(lab.Median(v))
		}
		if g.Limit > 0 && r.Verdict != "" {
			b.report.Judge(measure+", "+c.name, r.Verdict)
			cells[9] = g.String()
		}
		cells[10] = r.Verdict
		t.Rows = append(t.Rows, cells)
	}
	if t.Rows != nil {
		b.report.Tables = append(b.report.Tables, t)
	}
}

func ratio(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", lab.Median(v), slices.Min(v), slices.Max(v))
}

func unless0(r *row, what func(sample) float64) string {
	v := lab.Median(of(r, what))
	if v == 0 {
		return ""
	}
	return lab.Number(v)
}

func lost(r *row) string {
	v := lab.Median(of(r, func(s sample) float64 { return s.Lost }))
	switch {
	case v == 0:
		return ""
	case v < 1:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return lab.Number(v)
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/bench/lab"
)

var columns = []string{
	"situation", "flows", "answer p50 ms", "p99 ms", "goal", "verdict", "last byte p50 ms", "p99 ms", "bytes after the answer",
	"last reset p50 ms", "p99 ms", "resets at clients", "at backends", "otherwise or not ended", "changes queued",
}

// tables makes what people read of the rows: one table for each setup.
func (b *bench) tables() {
	b.report.Data = b.rows
	b.report.Remarks = append(b.report.Remarks, "Milliseconds from the moment before the reject was sent. "+
		"The p99 of so few rejects is the slowest of them. Arrivals are those that the kernel noted; resets are when the peer saw them.")
	for _, s := range everyone() {
		t := lab.Table{Title: s.name, Columns: columns}
		for _, m := range measures {
			i := slices.IndexFunc(b.rows, func(r *row) bool { return r.Measure == m.name && r.Setup == s.name })
			if i < 0 {
				continue
			}
			t.Rows = append(t.Rows, b.cells(b.rows[i], m, s))
		}
		if t.Rows != nil {
			b.report.Tables = append(b.report.Tables, t)
		}
	}
}

func (b *bench) cells(r *row, m *measure, s *setup) []string {
	limit := m.plainGoal
	if s.gate {
		limit = m.gateGoal
	}
	answer := r.sorted(func(s sample) float64 { return s.Answer })
	late := r.sorted(func(s sample) float64 { return float64(s.Late) })
	goal := ""
	if limit > 0 {
		g := lab.Goal{Limit: limit, Most: true, What: "ms"}
		goal, r.Verdict = g.String(), g.Judge(lab.Quantile(answer, .99))
	}
	if lab.Quantile(late, 1) > 0 {
		bytes := "bytes came after the answer"
		if r.Verdict == "" || r.Verdict == lab.Met {
			r.Verdict = bytes
		} else {
			r.Verdict += ", " + bytes
		}
	}
	if r.Failed != "" {
		r.Verdict = "failed: " + r.Failed
	}
	if r.Flows < m.flows {
		b.report.Remarks = append(b.report.Remarks, fmt.Sprintf("%s, %s: %s flows, because a process may open %s files here and a flow is two of them.",
			m.name, s.name, lab.Number(float64(r.Flows)), lab.Number(float64(b.lab.Files))))
	}
	if r.Verdict != "" {
		b.report.Judge(m.name+", "+s.name, r.Verdict)
	}
	if r.Flows == 0 {
		return []string{m.name, "0", lab.Number(lab.Quantile(answer, .5)), lab.Number(lab.Quantile(answer, .99)), goal, r.Verdict, "", "", "", "", "", "", "", "", ""}
	}
	last := r.sorted(func(s sample) float64 { return s.Last })
	reset := r.sorted(func(s sample) float64 { return s.Reset })
	return []string{
		m.name, lab.Number(float64(r.Flows)), lab.Number(lab.Quantile(answer, .5)), lab.Number(lab.Quantile(answer, .99)), goal, r.Verdict,
		lab.Number(lab.Quantile(last, .5)), lab.Number(lab.Quantile(last, .99)), lab.Number(lab.Quantile(late, 1)),
		lab.Number(lab.Quantile(reset, .5)), lab.Number(lab.Quantile(reset, .99)),
		r.span(func(s sample) int { return s.ClientResets }), r.span(func(s sample) int { return s.BackendResets }),
		r.span(func(s sample) int { return s.Ends + s.Open }), strings.TrimPrefix(r.span(func(s sample) int { return s.Queued }), "0"),
	}
}

func (r *row) sorted(of func(sample) float64) []float64 {
	v := make([]float64, len(r.Rounds))
	for i, s := range r.Rounds {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v
}

// span writes the smallest and the largest of whole numbers, or the one.
func (r *row) span(of func(sample) int) string {
	v := r.sorted(func(s sample) float64 { return float64(of(s)) })
	if len(v) == 0 || v[0] == v[len(v)-1] {
		return lab.Number(lab.Quantile(v, 1))
	}
	return lab.Range(v)
}

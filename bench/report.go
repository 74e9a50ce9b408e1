package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The units of values.
const (
	perSecond = "/s"
	millis    = "ms"
	fold      = "×"
)

// metric says what of a row a goal is about.
type metric string

const (
	metricValue metric = "value" // the median of the rounds
	metricP50   metric = "p50"   // the median of the rounds, in ms
	metricP99   metric = "p99"   // the median of the rounds, in ms
	metricMax   metric = "max"   // the worst round
)

// goal is a limit that a metric has to reach, or with Most not to exceed.
type goal struct {
	Metric metric  `json:"metric"`
	Limit  float64 `json:"limit"`
	Most   bool    `json:"at_most,omitempty"`
}

func (g goal) String() string {
	sign, name := "≥", ""
	if g.Most {
		sign = "≤"
	}
	if g.Metric == metricP50 || g.Metric == metricP99 {
		name = string(g.Metric) + " "
	}
	text := name + sign + " " + number(g.Limit)
	if name != "" {
		text += " ms"
	}
	return text
}

// missedBy returns by what share of the limit the goal is missed, or 0.
func (g goal) missedBy(v float64) float64 {
	over := v - g.Limit
	if !g.Most {
		over = -over
	}
	switch {
	case over <= 0:
		return 0
	case g.Limit == 0:
		return over
	default:
		return over / g.Limit
	}
}

// row is one measure with all its rounds.
type row struct {
	Section string   `json:"section"`
	Name    string   `json:"name"`
	Store   string   `json:"store,omitempty"`
	Table   string   `json:"table,omitempty"`
	Conns   int      `json:"connections,omitempty"`
	Unit    string   `json:"unit"`
	Goals   []goal   `json:"goals,omitempty"`
	Rounds  []sample `json:"rounds"`
	Note    string   `json:"note,omitempty"`
	Verdict string   `json:"verdict,omitempty"`
}

// median returns the median of what of takes from each round.
func (r *row) median(of func(sample) float64) float64 {
	v := r.sorted(of)
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (r *row) sorted(of func(sample) float64) []float64 {
	v := make([]float64, len(r.Rounds))
	for i, s := range r.Rounds {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v
}

func value(s sample) float64 { return s.Value }
func p50(s sample) float64   { return s.P50 }
func p99(s sample) float64   { return s.P99 }
func cpu(s sample) float64   { return s.CPU }

func (r *row) metric(m metric) float64 {
	switch m {
	case metricP50:
		return r.median(p50)
	case metricP99:
		return r.median(p99)
	case metricMax:
		return slices.Max(r.sorted(value))
	default:
		return r.median(value)
	}
}

// verdictMet is the verdict on a row whose goals are all met.
const verdictMet = "met"

// judge compares the row with its goals.
func (r *row) judge() string {
	if len(r.Goals) == 0 {
		return ""
	}
	var bad []string
	for _, g := range r.Goals {
		if by := g.missedBy(r.metric(g.Metric)); by > 0 {
			what := ""
			if len(r.Goals) > 1 {
				what = " (" + g.String() + ")"
			}
			bad = append(bad, fmt.Sprintf("missed by %.0f %%%s", math.Ceil(by*100), what))
		}
	}
	if bad == nil {
		return verdictMet
	}
	return strings.Join(bad, ", ")
}

// cells are the columns of a row.
func (r *row) cells() []string {
	parts := slices.DeleteFunc([]string{r.Name, r.Store, r.Table}, func(s string) bool { return s == "" })
	label := strings.Join(parts, ", ")
	if r.Note != "" {
		label += " (" + r.Note + ")"
	}
	var goals []string
	for _, g := range r.Goals {
		goals = append(goals, g.String())
	}
	c := []string{label, "", withUnit(r.median(value), r.Unit), "", "", "", "", strings.Join(goals, ", "), r.judge()}
	if r.Conns > 0 {
		c[1] = strconv.Itoa(r.Conns)
	}
	if v := r.sorted(value); len(v) > 1 {
		c[3] = number(v[0]) + "–" + number(v[len(v)-1])
	}
	if r.Unit == perSecond || r.Unit == millis {
		c[4], c[5] = number(r.median(p50)), number(r.median(p99))
	}
	if v := r.median(cpu); v > 0 {
		c[6] = number(v)
	}
	return c
}

var columns = []string{"measure", "c", "median", "min–max", "p50 ms", "p99 ms", "server CPU µs", "goal", "verdict"}

// widths are those of the terminal's columns.
var widths = []int{78, 3, 11, 15, 7, 7, 13, 22, 0}

func withUnit(v float64, unit string) string { return strings.TrimSpace(number(v) + " " + unit) }

// number writes three significant digits of what is not whole.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a < 1000 && a == math.Trunc(a):
		return strconv.Itoa(int(v))
	case a < 1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return whole(int(math.Round(v)))
}

// whole writes a number with commas between its thousands.
func whole(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// printLine writes cells in columns for a terminal.
func printLine(w io.Writer, cells []string) {
	var line strings.Builder
	for i, c := range cells {
		line.WriteString(c)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", max(1, widths[i]-len([]rune(c))+1)))
		}
	}
	fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
}

// report is what is kept.
type report struct {
	Facts facts  `json:"facts"`
	Note  string `json:"note,omitempty"` // why goals are missed
	Rows  []*row `json:"rows"`
}

// write keeps the report as JSON and as a page, named by date and label.
func (r *report) write(dir, label string) (string, error) {
	for _, w := range r.Rows {
		w.Verdict = w.judge()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("results: %w", err)
	}
	base := filepath.Join(dir, r.Facts.Date+"-"+label)
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", fmt.Errorf("results: %w", err)
	}
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("results: %w", err)
	}
	if err := os.WriteFile(base+".md", []byte(r.page()), 0o644); err != nil {
		return "", fmt.Errorf("results: %w", err)
	}
	return base, nil
}

// page is the report for people.
func (r *report) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured %s\n\n", r.Facts.Date)
	for _, f := range r.Facts.list() {
		fmt.Fprintf(&b, "* %s: %s\n", f[0], f[1])
	}
	b.WriteString("\nMedians over the rounds; p50 and p99 are medians of the rounds' own. What each measure is, and how it is taken, is\n" +
		"said in the README beside this directory. All rounds are in the JSON file of the same name.\n")
	b.WriteString("\n" + r.balance() + "\n")
	for _, section := range r.sections() {
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", section, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
		for _, w := range r.Rows {
			if w.Section == section && len(w.Rounds) > 0 {
				fmt.Fprintf(&b, "| %s |\n", strings.Join(w.cells(), " | "))
			}
		}
	}
	return b.String()
}

// sections returns the sections in the order in which they were first measured.
func (r *report) sections() []string {
	var out []string
	for _, w := range r.Rows {
		if len(w.Rounds) > 0 && !slices.Contains(out, w.Section) {
			out = append(out, w.Section)
		}
	}
	return out
}

// balance says how many of the rows with a goal meet it, and which do not.
func (r *report) balance() string {
	var missed []string
	judged := 0
	for _, w := range r.Rows {
		c := w.cells()
		verdict := c[len(c)-1]
		if verdict == "" || len(w.Rounds) == 0 {
			continue
		}
		judged++
		if verdict != verdictMet {
			if w.Conns > 0 {
				c[0] += ", c = " + c[1]
			}
			missed = append(missed, "* "+c[0]+": "+verdict)
		}
	}
	if judged == 0 {
		return "No goals are set for these measures."
	}
	text := fmt.Sprintf("%d of %d goals are met.", judged-len(missed), judged)
	if missed != nil {
		text += " Missed:\n\n" + strings.Join(missed, "\n")
	}
	if r.Note != "" {
		text += "\n\nWhy: " + r.Note
	}
	return text
}

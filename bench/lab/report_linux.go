package lab

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Goal is a limit that a number has to reach, or with Most not to exceed.
type Goal struct {
	Limit float64 `json:"limit"`
	Most  bool    `json:"at_most,omitempty"`
	What  string  `json:"what,omitempty"` // of several numbers, or the unit
}

// String writes the goal as a table shows it.
func (g Goal) String() string {
	sign := "≥ "
	if g.Most {
		sign = "≤ "
	}
	return strings.TrimSpace(sign + Number(g.Limit) + " " + g.What)
}

// Judge says whether v meets the goal, and otherwise by how much it does not.
func (g Goal) Judge(v float64) string {
	over := v - g.Limit
	if !g.Most {
		over = -over
	}
	switch {
	case over <= 0:
		return Met
	case g.Limit == 0:
		return "missed"
	default:
		const rounding = 1e-9 // of the difference
		return fmt.Sprintf("missed by %.0f %%", math.Ceil(100*over/g.Limit-rounding))
	}
}

// Met is the verdict on a number that meets its goal.
const Met = "met"

// Table is one table of a page.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
}

// Report is what a run keeps: the facts, every round for machines, and tables for
// people.
type Report struct {
	Facts Facts `json:"facts"`
	// Note says why goals are missed, and Remarks what a reader has to know.
	Note    string   `json:"note,omitempty"`
	Remarks []string `json:"remarks,omitempty"`
	// Data is every round of every measure.
	Data any `json:"data"`

	Tables []Table `json:"-"`
	judged int
	missed []string
}

// Judge counts a verdict for the balance.
func (r *Report) Judge(name, verdict string) {
	r.judged++
	if verdict != Met {
		r.missed = append(r.missed, "* "+name+": "+verdict)
	}
}

// Balance says how many goals are met, and which are not.
func (r *Report) Balance() string {
	if r.judged == 0 {
		return "No goals are set for what was measured."
	}
	text := fmt.Sprintf("%d of %d goals are met.", r.judged-len(r.missed), r.judged)
	if r.missed != nil {
		text += " Missed:\n\n" + strings.Join(r.missed, "\n")
	}
	if r.Note != "" {
		text += "\n\nWhy: " + r.Note
	}
	return text
}

// Page is the report for people, in Markdown.
func (r *Report) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured %s\n\n", r.Facts.Date)
	for _, f := range r.Facts.List() {
		fmt.Fprintf(&b, "* %s: %s\n", f[0], f[1])
	}
	b.WriteString("\nWhat each measure is, and how it is taken, is said in the README beside this directory. All rounds are in\n" +
		"the JSON file of the same name.\n")
	for _, text := range r.Remarks {
		b.WriteString("\n" + text + "\n")
	}
	b.WriteString("\n" + r.Balance() + "\n")
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", t.Title, strings.Join(t.Columns, " | "), strings.Repeat(" --- |", len(t.Columns)))
		for _, row := range t.Rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return b.String()
}

// Write keeps the report as DATE-label.json and .md in dir and returns their name
// without the ending.
func (r *Report) Write(dir, label string) (string, error) {
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
	if err := os.WriteFile(base+".md", []byte(r.Page()), 0o644); err != nil {
		return "", fmt.Errorf("results: %w", err)
	}
	return base, nil
}

// Text is a table for a terminal.
func (t *Table) Text() string {
	widths := make([]int, len(t.Columns))
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	b.WriteString("\n" + t.Title + "\n")
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(c + strings.Repeat(" ", widths[i]-len([]rune(c))+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

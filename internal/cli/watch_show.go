package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sallyport-net/sallyport/internal/httpapi/native"
)

// shortID is how much of an id is shown where the window is too narrow: enough to
// tell endpoints apart, whose ids are random.
const shortID = 8

// The sequences that a terminal is drawn with (ECMA-48: CUU, EL, ED).
const (
	sequenceUp        = "\x1b[%dA"
	sequenceClearLine = "\x1b[K"
	sequenceClearRest = "\x1b[J"
)

// watchColumn is one column of the table.
type watchColumn struct {
	title string
	right bool
	cell  func(w *watched, now time.Time) string
}

var watchColumns = []watchColumn{
	{"ENDPOINT", false, func(w *watched, _ time.Time) string { return clean(w.id) }},
	{"STATUS", false, func(w *watched, _ time.Time) string { return clean(w.status) }},
	{"FLOWS", true, counter(func(a *native.Activity) string { return strconv.Itoa(a.Flows) })},
	{"IN/S", true, func(w *watched, _ time.Time) string { return w.rate.show(w.rate.toBackend) }},
	{"OUT/S", true, func(w *watched, _ time.Time) string { return w.rate.show(w.rate.toClient) }},
	{"TOTAL", true, counter(func(a *native.Activity) string { return quantity(float64(a.ToBackend) + float64(a.ToClient)) })},
	{"RESETS", true, counter(func(a *native.Activity) string { return strconv.FormatUint(a.Resets, 10) })},
	{"REFUSED", true, counter(func(a *native.Activity) string { return strconv.FormatUint(refusals(a.Refused), 10) })},
	{"DIAL ERR", true, counter(func(a *native.Activity) string { return strconv.FormatUint(a.DialErrors, 10) })},
	{"LAST", true, func(w *watched, now time.Time) string { return w.age(now) }},
	{"ENGINE", false, func(w *watched, _ time.Time) string { return clean(engines(w.paths)) }},
}

// counter is a cell that needs counters.
func counter(show func(*native.Activity) string) func(*watched, time.Time) string {
	return func(w *watched, _ time.Time) string {
		if w.activity == nil {
			return ""
		}
		return show(w.activity)
	}
}

// refusals returns how many connections were not let in, for whatever reason.
func refusals(r native.Refused) uint64 {
	return r.NotAllowed + r.NoBackend + r.OverLimit + r.DialError
}

func (r rate) show(value float64) string {
	if !r.known {
		return ""
	}
	return quantity(value)
}

// age returns how long ago something happened. The clocks of two machines differ, so
// what lies ahead is now.
func (w *watched) age(now time.Time) string {
	if w.activity == nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339Nano, moment(w.activity.LastActivity))
	if err != nil || at.IsZero() {
		return ""
	}
	switch d := max(now.Sub(at), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// quantity spells a number of bytes in powers of a thousand, as networks are
// measured.
func quantity(n float64) string {
	const step, rounds = 1000, 999.95 // from there on one decimal shows as 1000.0
	if n < step {
		return fmt.Sprintf("%d B", int(n))
	}
	units := []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	for n /= step; n >= rounds && len(units) > 1; n /= step {
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}

// engines returns the engines that carry the mappings of an endpoint, "" where none
// is known.
func engines(paths []native.Path) string {
	var list []string
	seen := map[string]bool{}
	for _, p := range paths {
		if p.Engine != "" && !seen[p.Engine] {
			seen[p.Engine] = true
			list = append(list, p.Engine)
		}
	}
	return strings.Join(list, "+")
}

// screen is what was drawn on a terminal.
type screen struct {
	lines  int   // above the cursor, that the next table is drawn over
	width  int   // of the window then, 0 where none is known
	widths []int // of the columns: they only grow, so that numbers stay in place
}

// leave lets what was drawn stand, and the next table begin below.
func (s *screen) leave() { *s = screen{} }

// printLines prints a line of JSON for each row.
func (w *watcher) printLines(rows []watched) error {
	var b strings.Builder
	for n := range rows {
		line, err := rows[n].line()
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	return w.a.print(clean(b.String()))
}

// draw prints the rows as a table: over the one before on a terminal, below it
// elsewhere.
func (w *watcher) draw(rows []watched) error {
	if !w.a.d.IsTerminal(w.a.d.Stdout) || w.a.d.Env("TERM") == "dumb" {
		if len(rows) == 0 {
			return nil
		}
		return w.a.print(strings.Join(w.layout(rows, 0), "\n") + "\n\n")
	}
	width, height := w.a.window()
	if width != w.screen.width {
		w.screen.leave() // the terminal has wrapped the lines in a way of its own
	}
	lines := []string{"none"}
	if len(rows) > 0 {
		lines = w.layout(rows, width)
	}
	if room := max(height-1, 2); height > 0 && len(lines) > room { // the cursor needs a line
		more := len(lines) - room + 1
		lines = append(lines[:room-1], fmt.Sprintf("and %d more; -o json shows all", more))
	}
	var b strings.Builder
	if w.screen.lines > 0 {
		fmt.Fprintf(&b, sequenceUp+"\r", w.screen.lines)
	}
	for _, line := range lines {
		b.WriteString(cut(line, width) + sequenceClearLine + "\n")
	}
	b.WriteString(sequenceClearRest)
	w.screen.lines, w.screen.width = len(lines), width
	return w.a.print(b.String())
}

// window returns the size of the terminal that results go to, 0 and 0 where it
// cannot be told.
func (a *app) window() (width, height int) {
	f, ok := a.d.Stdout.(interface{ Fd() uintptr })
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// layout returns the lines of the table. Ids are shortened if it is wider than the
// window; a width of 0 has no end.
func (w *watcher) layout(rows []watched, width int) []string {
	table := w.cells(rows)
	widths := w.fit(table)
	total := -2
	for _, n := range widths {
		total += n + 2
	}
	if width > 0 && total > width {
		for _, cells := range table[1:] {
			cells[0] = cut(cells[0], shortID)
		}
		widths[0] = shortID
	}
	lines := make([]string, len(table))
	for n, cells := range table {
		var b strings.Builder
		for c, cell := range cells {
			pad := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if watchColumns[c].right {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString(cell + "  ")
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// cells returns what stands in the table, the titles first.
func (w *watcher) cells(rows []watched) [][]string {
	now := w.a.d.Now()
	table := make([][]string, 1, len(rows)+1)
	for _, c := range watchColumns {
		table[0] = append(table[0], c.title)
	}
	for n := range rows {
		var cells []string
		for _, c := range watchColumns {
			text := c.cell(&rows[n], now)
			if text == "" {
				text = "-"
			}
			cells = append(cells, strings.ReplaceAll(text, "\n", `\n`))
		}
		table = append(table, cells)
	}
	return table
}

// fit returns how wide the columns are, and remembers it.
func (w *watcher) fit(table [][]string) []int {
	widths := make([]int, len(watchColumns))
	copy(widths, w.screen.widths)
	for _, cells := range table {
		for c, cell := range cells {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	w.screen.widths = append([]int(nil), widths...)
	return widths
}

// cut returns the beginning of a line that fits into the window.
func cut(line string, width int) string {
	if r := []rune(line); width > 0 && len(r) > width {
		return string(r[:width])
	}
	return line
}

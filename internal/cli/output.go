package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The formats of results.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputID    = "id"
)

var outputs = []string{outputTable, outputJSON, outputID}

// item is one object of an answer: as the server wrote it, and read.
type item struct {
	raw    json.RawMessage
	fields map[string]any
}

// UnmarshalJSON keeps the text beside what it says, so that "-o json" loses no
// field that this package does not know.
func (i *item) UnmarshalJSON(text []byte) error {
	i.raw = bytes.Clone(text)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a marker is shown as it was written
	if err := decoder.Decode(&i.fields); err != nil {
		return err
	}
	if i.fields == nil {
		return fmt.Errorf("an object is needed, not %s", shorten(string(text)))
	}
	return nil
}

// MarshalJSON returns what the server wrote.
func (i item) MarshalJSON() ([]byte, error) { return i.raw, nil }

// text returns a field that is a text, "" where it is none.
func (i item) text(key string) string {
	s, _ := i.fields[key].(string)
	return s
}

// id returns what names the object in "-o id".
func (i item) id() string {
	for _, key := range []string{"id", "permission", "type"} { // whitelist records and quotas have no id of use
		if s := i.text(key); s != "" {
			return s
		}
	}
	return ""
}

// column is one column of a table or one line of the view of one object.
type column struct {
	title string
	key   string
}

// noun is how the objects of one kind are shown.
type noun struct {
	plural string // key of the list in an answer
	short  []column
	long   []column
}

// format returns the format to print in: the one asked for, a table on a
// terminal, JSON elsewhere.
func (a *app) format() string {
	switch {
	case a.flags.output.value != "":
		return a.flags.output.value
	case a.d.IsTerminal(a.d.Stdout):
		return outputTable
	default:
		return outputJSON
	}
}

// printJSON writes a value for programs.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	// What is unsafe for a terminal stands inside strings only, where clean leaves
	// another spelling of the same JSON.
	return a.print(clean(b.String()))
}

func (a *app) print(text string) error {
	if _, err := io.WriteString(a.d.Stdout, text); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// printList writes objects; in JSON in the envelope of the API.
func (a *app) printList(n noun, items []item, total int) error {
	switch a.format() {
	case outputJSON:
		if items == nil {
			items = []item{}
		}
		return a.printJSON(map[string]any{n.plural: items, "total_count": total})
	case outputID:
		return a.printIDs(items)
	default:
		return a.printTable(n.short, items)
	}
}

func (a *app) printIDs(items []item) error {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintln(&b, clean(i.id()))
	}
	return a.print(b.String())
}

// printTable writes one line per object, and nothing at all for none, so that a
// script that reads lines sees none.
func (a *app) printTable(columns []column, items []item) error {
	if len(items) == 0 {
		a.note("none")
		return nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cell func(column) string) {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cell(c)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line(func(c column) string { return c.title })
	for _, i := range items {
		line(func(c column) string { return i.cell(c.key) })
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("lay the table out: %w", err)
	}
	return a.print(b.String())
}

// printOne writes one object: a line per field, JSON, or its id.
func (a *app) printOne(n noun, i item) error {
	switch a.format() {
	case outputJSON:
		return a.printJSON(i)
	case outputID:
		return a.printIDs([]item{i})
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range n.long {
		if _, has := i.fields[c.key]; has {
			fmt.Fprintf(w, "%s\t%s\n", c.title, i.cell(c.key))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("lay the table out: %w", err)
	}
	return a.print(b.String())
}

// cell shows a field in a table.
func (i item) cell(key string) string {
	text := show(i.fields[key])
	if key == "service_name" || key == "endpoint_service_name" {
		// The name of a service ends in its id, which stands in a column of its own.
		for _, id := range []string{"id", "endpoint_service_id"} {
			text = strings.TrimSuffix(text, "."+i.text(id))
		}
	}
	if text == "" {
		return "-"
	}
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(clean(text)) // a cell is one line
}

// show spells a value of JSON for people.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return v.String()
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = show(e)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		return showObject(v)
	default:
		return fmt.Sprint(v)
	}
}

// showObject spells the small objects that fields hold: a port mapping, a tag, the
// reason of a failure.
func showObject(v map[string]any) string {
	switch {
	case v["client_port"] != nil:
		return show(v["client_port"]) + ":" + show(v["server_port"]) + "/" + show(v["protocol"])
	case v["key"] != nil:
		return show(v["key"]) + "=" + show(v["value"])
	case v["error_message"] != nil:
		return strings.TrimSpace(show(v["error_code"]) + " " + show(v["error_message"]))
	case v["message"] != nil:
		return strings.TrimSpace(show(v["code"]) + " " + show(v["message"]))
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		return string(text)
	}
}

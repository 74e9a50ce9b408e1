package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// servicesCall is the list of services without parameters.
const servicesCall = "GET /v1/" + project + "/vpc-endpoint-services"

const oneService = `{"id":"` + service1 + `","port_id":"p","vpc_id":"v","service_name":"eu-west-101.web.` + service1 + `",` +
	`"service_type":"interface","server_type":"VM","approval_enabled":true,"status":"available","tcp_proxy":"close",` +
	`"ports":[{"client_port":80,"server_port":8080,"protocol":"TCP"},{"client_port":53,"server_port":53,"protocol":"UDP"}],"tags":[{"key":"team","value":"a"}],"description":"",` +
	`"connection_count":2,"not_known_to_this_program":{"a":1},"created_at":"2025-03-02T10:00:00Z","updated_at":"2025-03-02T10:00:00Z"}`

// A table is for people, JSON for programs. If this fails, either gets what it
// cannot read, or programs lose fields.
func TestFormats(t *testing.T) {
	v := newVendor(t)
	v.on(servicesCall, 200, `{"endpoint_services":[`+oneService+`],"total_count":57}`)
	v.on("GET /v1/"+project+"/vpc-endpoint-services/"+service1, 200, oneService)
	table := "ID                                    STATUS     APPROVAL  CONNECTIONS  PORTS                   NAME\n" +
		service1 + "  available  yes       2            80:8080/TCP, 53:53/UDP  eu-west-101.web\n"
	detail := "id           " + service1 + "\nname         eu-west-101.web\nstatus       available\ntype         interface\n" +
		"approval     yes\nconnections  2\nports        80:8080/TCP, 53:53/UDP\ntcp proxy    close\nvpc          v\nport id      p\n" +
		"server type  VM\ndescription  -\ntags         team=a\ncreated      2025-03-02T10:00:00Z\nupdated      2025-03-02T10:00:00Z\n"
	tests := []struct {
		name     string
		terminal bool
		args     []string
		want     string
	}{
		{"terminal", true, []string{"service", "list"}, table},
		{"pipe, but a table", false, []string{"service", "list", "-o", "table"}, table},
		{"ids", true, []string{"service", "list", "-o", "id"}, service1 + "\n"},
		{"one on a terminal", true, []string{"service", "show", service1}, detail},
		{"the id of one", true, []string{"service", "show", service1, "-o", "ID"}, service1 + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := with(t, v)
			r.terminal = tt.terminal
			if diff := cmp.Diff(tt.want, r.run(tt.args...).want(t, ExitOK).out); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
		})
	}
	for _, args := range [][]string{{"service", "list"}, {"service", "list", "-o", "json"}} {
		r := with(t, v)
		r.terminal = len(args) > 2 // a pipe the first time
		got := r.run(args...).want(t, ExitOK).says(t, "showing 1 of 57, use --limit/--all\n")
		want := canonical(t, `{"endpoint_services":[`+oneService+`],"total_count":57}`)
		if diff := cmp.Diff(want, canonical(t, got.out)); diff != "" {
			t.Errorf("%q: JSON (-want +got):\n%s", args, diff)
		}
	}
	if diff := cmp.Diff(canonical(t, oneService), canonical(t, with(t, v).run("service", "show", service1).out)); diff != "" {
		t.Errorf("one object in JSON (-want +got):\n%s", diff)
	}
}

// A number of the server must be printed as it is: a marker that went through a
// float names another connection.
func TestNumbersAreExact(t *testing.T) {
	v := newVendor(t)
	v.on("GET /v1/"+project+"/vpc-endpoint-services/"+service1+"/connections", 200,
		`{"connections":[{"id":"`+ep1+`","marker_id":422321321312321321,"status":"accepted"}],"total_count":1}`)
	for _, format := range outputs[:2] {
		r := with(t, v).run("connection", "list", service1, "-o", format).want(t, ExitOK)
		if !strings.Contains(r.out, "422321321312321321") {
			t.Errorf("%s: the marker is not exact: %s", format, r.out)
		}
	}
}

// Descriptions are written by other accounts. If this fails, one of them can move
// the cursor of an owner who looks at a list, and show what is not so.
func TestTerminalIsSafe(t *testing.T) {
	v := newVendor(t)
	evil := "\\u001b[2J\\u009b2Jok\\u202e\\nnext\\tcell\x7f\u009b\xff"
	v.on("GET /v1/"+project+"/vpc-endpoint-services/"+service1+"/connections", 200,
		`{"connections":[{"id":"`+ep1+`","status":"accepted","description":"`+evil+`"}],"total_count":1}`)
	v.refuse("GET /v1/"+project+"/quotas", 400, "EndPoint.0002", "\x1b[2J\nsallyport: all is well")
	for _, format := range outputs {
		r := with(t, v).run("connection", "list", service1, "-o", format).want(t, ExitOK)
		for _, c := range r.out {
			if c != '\n' && (c < 0x20 || c >= 0x7f && c <= 0x9f || c == 0x202e) {
				t.Errorf("%s: %q is printed", format, c)
			}
		}
		if format == outputTable && strings.Count(r.out, "\n") != 2 {
			t.Errorf("a description makes lines of its own: %q", r.out)
		}
	}
	with(t, v).run("connection", "list", service1, "-o", "json").decoded(t)
	r := with(t, v).run("quota").want(t, ExitFailure)
	if strings.Contains(r.errors, "\x1b") || strings.Count(r.errors, "\n") != 1 {
		t.Errorf("an error of the server is printed as it is: %q", r.errors)
	}
}

// A header may hold any byte, and some terminals read one of 0x80 to 0x9f alone.
func TestClean(t *testing.T) {
	tests := map[string]string{
		"plain, 服务\n": "plain, 服务\n", "a\x9b2Jb": "a\uFFFD2Jb", "\x1b[2J": `\u001b[2J`, "\u202eabc": `\u202eabc`, "\u009b": `\u009b`,
	}
	for text, want := range tests {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// An empty list is no lines for a script and a word for a person.
func TestEmptyList(t *testing.T) {
	v := newVendor(t)
	v.on(servicesCall, 200, `{"endpoint_services":[],"total_count":0}`)
	r := with(t, v).run("service", "list", "-o", "table").want(t, ExitOK)
	if r.out != "" || r.errors != "none\n" {
		t.Errorf("stdout %q, stderr %q", r.out, r.errors)
	}
	if diff := cmp.Diff(map[string]any{"endpoint_services": []any{}, "total_count": 0.0}, with(t, v).run("service", "list").decoded(t)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// pages prepares a list of n services in pages of size, then an empty page.
func pages(v *vendor, n, size int) {
	for offset := 0; ; offset += size {
		var items []string
		for i := offset; i < min(offset+size, n); i++ {
			items = append(items, fmt.Sprintf(`{"id":"s%d","status":"available"}`, i))
		}
		v.on(fmt.Sprintf("%s?limit=500&offset=%d", servicesCall, offset), 200,
			fmt.Sprintf(`{"endpoint_services":[%s],"total_count":%d}`, strings.Join(items, ","), n))
		if len(items) == 0 {
			return
		}
		if len(items) < size {
			v.on(fmt.Sprintf("%s?limit=500&offset=%d", servicesCall, n), 200, fmt.Sprintf(`{"endpoint_services":[],"total_count":%d}`, n))
			return
		}
	}
}

// If this fails, --all leaves something out, or asks for ever.
func TestAllPages(t *testing.T) {
	v := newVendor(t)
	pages(v, 25, 10) // a server may give fewer than it was asked for
	r := with(t, v).run("service", "list", "--all", "-o", "id").want(t, ExitOK)
	if got := strings.Count(r.out, "\n"); got != 25 {
		t.Errorf("%d services, want 25", got)
	}
	if r.errors != "" {
		t.Errorf("stderr = %q, want nothing: this is all", r.errors)
	}
	var want []string
	for _, offset := range []int{0, 10, 20, 25} {
		want = append(want, fmt.Sprintf("%s?limit=500&offset=%d", servicesCall, offset))
	}
	if diff := cmp.Diff(want, v.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	got := with(t, v).run("service", "list", "--all", "--offset", "20").want(t, ExitOK).decoded(t)
	if list := got["endpoint_services"].([]any); len(list) != 5 || got["total_count"] != 25.0 {
		t.Errorf("--all --offset 20: %d services, total %v", len(list), got["total_count"])
	}

	moved := newVendor(t) // one was created between two pages
	moved.on(servicesCall+"?limit=500&offset=0", 200, `{"endpoint_services":[{"id":"a"},{"id":"b"}],"total_count":3}`)
	moved.on(servicesCall+"?limit=500&offset=2", 200, `{"endpoint_services":[{"id":"b"},{"id":"c"}],"total_count":4}`)
	moved.on(servicesCall+"?limit=500&offset=4", 200, `{"endpoint_services":[],"total_count":4}`)
	if got := with(t, moved).run("service", "list", "--all", "-o", "id").want(t, ExitOK).out; got != "a\nb\nc\n" {
		t.Errorf("what moved is listed twice: %q", got)
	}

	deaf := newVendor(t) // ignores offset
	for _, offset := range []int{0, 1} {
		deaf.on(fmt.Sprintf("%s?limit=500&offset=%d", servicesCall, offset), 200, `{"endpoint_services":[{"id":"a"}],"total_count":1}`)
	}
	with(t, deaf).run("service", "list", "--all").want(t, ExitFailure).says(t, "so --all has no end")
}

// If this fails, somebody takes a page for the whole.
func TestPageNote(t *testing.T) {
	v := newVendor(t)
	list := func(query string, n int) {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"id":"s%d"}`, i)
		}
		v.on(servicesCall+query, 200, `{"endpoint_services":[`+strings.Join(items, ",")+`],"total_count":12}`)
	}
	list("", 10)
	list("?limit=12", 12)
	list("?offset=10", 2)
	list("?offset=40", 0)
	tests := []struct{ args, want string }{
		{"", "showing 10 of 12, use --limit/--all\n"},
		{"--limit 12", ""},
		{"--offset 10", "showing 11 to 12 of 12, use --offset/--limit/--all\n"},
		{"--offset 40", "showing none of 12: the offset is behind the last\n"},
	}
	for _, tt := range tests {
		r := with(t, v).run(append([]string{"service", "list", "-o", "id"}, strings.Fields(tt.args)...)...).want(t, ExitOK)
		if r.errors != tt.want {
			t.Errorf("%q: stderr = %q, want %q", tt.args, r.errors, tt.want)
		}
	}
}

// The filters are spelled as the API spells them; if not, the server ignores them
// and a script acts on everything.
func TestFilters(t *testing.T) {
	tests := []struct{ args, want string }{
		{
			"service list --name web --id x --status failed --sort-key updated_at --sort-dir asc --limit 5 --offset 2",
			"/vpc-endpoint-services?endpoint_service_name=web&id=x&limit=5&offset=2&sort_dir=asc&sort_key=updated_at&status=failed",
		},
		{"service public --name dns --id x", "/vpc-endpoint-services/public?endpoint_service_name=dns&id=x"},
		{"service describe " + service1, "/vpc-endpoint-services/describe?id=" + service1},
		{"service describe r.web." + service1, "/vpc-endpoint-services/describe?endpoint_service_name=r.web." + service1},
		{"endpoint list --service-name web --vpc v --id x", "/vpc-endpoints?endpoint_service_name=web&id=x&vpc_id=v"},
		{"connection list s --status PENDINGACCEPTANCE --id x --marker 7", "/vpc-endpoint-services/s/connections?id=x&marker_id=7&status=pendingAcceptance"},
		{"permission list s --contains a:b", "/vpc-endpoint-services/s/permissions?permission=a%3Ab"},
		{"quota --type endpoint", "/quotas?type=endpoint"},
	}
	for _, tt := range tests {
		v := newVendor(t)
		with(t, v).run(strings.Fields(tt.args)...) // whatever it says to 404
		if got, want := v.calls(), []string{http.MethodGet + " /v1/" + project + tt.want}; !cmp.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.args, got, want)
		}
	}
}

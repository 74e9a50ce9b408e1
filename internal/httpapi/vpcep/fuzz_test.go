package vpcep

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// pathOf puts ids into the path of a route.
func pathOf(path, id string) string {
	path = strings.ReplaceAll(path, "{project_id}", ownerProject)
	path = strings.ReplaceAll(path, "{resource_type}", "endpoint")
	for {
		before, rest, found := strings.Cut(path, "{")
		if !found {
			return path
		}
		_, after, _ := strings.Cut(rest, "}")
		path = before + id + after
	}
}

// goldenBodies calls use with every body of the golden files, with the number of
// its route.
func goldenBodies(f *testing.F, use func(route int, body string)) {
	f.Helper()
	routes := New(nil, Options{}).Routes
	number := map[string]int{}
	for i, r := range routes {
		number[r.Name] = i
	}
	familytest.EachBody(f, routes, func(operation, body string) { use(number[operation], body) })
}

// If this failed, some body would be answered with a fault of ours, would carry
// text into the store that a database refuses, or would break an answer.
func FuzzBodies(f *testing.F) {
	goldenBodies(f, func(route int, body string) { f.Add(uint8(route), []byte(body)) })
	routes := New(nil, Options{}).Routes
	for i := range routes {
		for _, body := range []string{
			"", "null", "[]", "{}", `{"a":`, "\"\xff\"", `{"action":null,"tags":[null],"permissions":[null],"connections":[null],"server_resources":[null]}`,
			`{"policy_statement":[{"Effect":"Allow","Action":"\u0000","Resource":[null]}],"whitelist":[null],"routetables":[null]}`,
			"{\"endpoint_service_id\":\"s\",\"vpc_id\":\"v\",\"subnet_id\":\"n\",\"policy_document\":\"\xff\"}",
		} {
			f.Add(uint8(i), []byte(body))
		}
	}
	h := stubbed()
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		r := routes[int(route)%len(routes)]
		checkAnswer(t, h, r.Method, pathOf(r.Path, testUUID), body)
	})
}

// If this failed, some query would be answered with a fault of ours.
func FuzzQueries(f *testing.F) {
	for _, query := range []string{
		"", "limit=0&offset=0", "limit=1001", "limit=%ff", "sort_key=create_at&sort_dir=asc", "sort_key=updated_at", "status=accepted",
		"marker_id=422321321312321321", "marker_id=-1", "endpoint_service_name=%00", "id=%zz", "public_border_group=center", "type=endpoint",
		"server_type=vm&net_type=all", "permission=iam", ";", "&&=&", "limit=1;offset=2",
	} {
		for route := range 12 {
			f.Add(uint8(route), query)
		}
	}
	var paths []string
	for _, r := range New(nil, Options{}).Routes {
		if r.Method == http.MethodGet {
			paths = append(paths, pathOf(r.Path, testUUID))
		}
	}
	h := stubbed()
	f.Fuzz(func(t *testing.T, route uint8, query string) {
		u := url.URL{Path: paths[int(route)%len(paths)], RawQuery: query}
		if _, err := url.Parse(u.String()); err != nil {
			return // no client can send it
		}
		checkAnswer(t, h, http.MethodGet, u.String(), nil)
	})
}

// If this failed, some id in a path would be answered with a fault of ours, or
// would reach the store although no database takes it.
func FuzzPathIDs(f *testing.F) {
	for i, id := range []string{testUUID, "a", " ", "\x00", "\xff", "..", "a/b", "终", strings.Repeat("a", 65), "public", "tags", "%"} {
		f.Add(uint8(i), id)
	}
	routes := New(nil, Options{}).Routes
	h := stubbed()
	f.Fuzz(func(t *testing.T, route uint8, id string) {
		r := routes[int(route)%len(routes)]
		checkAnswer(t, h, r.Method, pathOf(r.Path, url.PathEscape(id)), []byte(`{"action":"delete","tags":[{"key":"k"}],"permission":{"description":""}}`))
	})
}

// checkAnswer sends a request and holds the answer to what every answer promises.
func checkAnswer(t *testing.T, h http.Handler, method, target string, body []byte) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(string(body)))
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = u
	r.Header.Set("X-Auth-Token", "owner")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Body.Bytes()
	switch {
	case w.Code >= 500:
		t.Errorf("%s %s %q is answered with %d %s", method, target, body, w.Code, answer)
	case w.Code >= 400:
		var e errorAnswer
		if err := json.Unmarshal(answer, &e); err != nil || e.ErrorCode == "" || e.ErrorCode != e.Error.Code || e.ErrorMsg != e.Error.Message {
			t.Errorf("%s %s %q: the error is %s", method, target, body, answer)
		}
	case len(answer) > 0 && !json.Valid(answer):
		t.Errorf("%s %s %q: the answer is no JSON: %q", method, target, body, answer)
	}
	if !utf8.Valid(answer) {
		t.Errorf("%s %s %q: the answer is no UTF-8: %q", method, target, body, answer)
	}
}

// If this failed, a search would look for other keys and values than were asked
// for, or for more than the limits allow.
func FuzzTagFilters(f *testing.F) {
	for _, seed := range []string{
		`[]`, `null`, `[{"key":"k","values":[]}]`, `[{"key":" k ","values":["a","b "]},{"key":"l"}]`, `[{"key":"k"},{"key":"k"}]`,
		`[{"key":"k","values":["a","a"]}]`, `[{"values":["a"]}]`, `[{"key":7,"values":[1.5,null]}]`, `[null]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var in []tagFilterRequest
		if json.Unmarshal([]byte(text), &in) != nil {
			return
		}
		got, bad := parseTagFilters("tags", in)
		if bad != nil {
			return
		}
		if len(got) != len(in) || len(got) > maxTagFilters {
			t.Fatalf("%d filters became %d", len(in), len(got))
		}
		for i, g := range got {
			if g.Key != strings.TrimSpace(string(in[i].Key)) || g.Key == "" || len(g.Values) != len(in[i].Values) || len(g.Values) > maxTagFilterValues {
				t.Errorf("%q became %v", text, g)
			}
			if same := slices.IndexFunc(got, func(o sallyport.TagFilter) bool { return o.Key == g.Key }); same != i {
				t.Errorf("the key %q is there twice", g.Key)
			}
			sorted := slices.Clone(g.Values)
			slices.Sort(sorted)
			if len(slices.Compact(sorted)) != len(g.Values) {
				t.Errorf("the key %q has a value twice: %q", g.Key, g.Values)
			}
		}
	})
}

// If this failed, a policy would be shown otherwise than it was sent, and
// Terraform would want to change it for ever; or an answer would be no JSON.
func FuzzPolicies(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `[]`, `[ ]`, `{}`, `""`, `0`, `[{"Effect":"Allow","Action":["*"],"Resource":["*"]}]`,
		`[{"Effect":"Deny","Action":"a","Resource":"b","Sid":"c","Condition":{"d":[1e5,null]}}, {"Effect":"Allow","Action":["a","b"],"Resource":["c"],"Principal":{"x":"<y>"}}]`,
		`[{"Effect":"Allow","Effect":"Deny","Action":["*"],"Resource":["*"]}]`, `[{"effect":"Allow"}]`, `[[]]`, `[null]`, "[{\"Effect\":\"\xff\"}]",
		`[{"Effect":"Allow","Action":["\ud800"],"Resource":"\u0000"}]`, `{"Version":1.0,"Statement":[{"a":"b"}]}`, `"text"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text != "" && !json.Valid([]byte(text)) {
			return // the body would not have been decoded
		}
		raw := json.RawMessage(text)
		document, bad := parseDocument(raw)
		if bad == nil && document != "" && !reflect.DeepEqual(value(t, document, false), value(t, text, false)) {
			t.Errorf("%s became %s", text, document)
		}
		statements, bad := parseStatements(raw)
		if bad != nil || statements == "" {
			return
		}
		if !utf8.ValidString(statements) || !reflect.DeepEqual(value(t, statements, true), value(t, text, true)) {
			t.Errorf("%s became %s", text, statements)
		}
		if again, bad := parseStatements(json.RawMessage(statements)); bad != nil && len(statements) <= maxPolicy || bad == nil && again != statements {
			t.Errorf("%s is read again as %s, %v", statements, again, bad)
		}
	})
}

// value returns what a JSON text means. With lists, a name that stands for a list
// of one is that list.
func value(t *testing.T, text string, lists bool) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if !lists {
		return v
	}
	for _, s := range v.([]any) {
		m := s.(map[string]any)
		for _, key := range []string{"Action", "Resource"} {
			if one, ok := m[key].(string); ok {
				m[key] = []any{one}
			}
		}
	}
	return v
}

// If this failed, an endpoint would show an address that no host can have.
func FuzzParseIPv6(f *testing.F) {
	for _, seed := range []string{"", "2001:db8::10", "2001:DB8::10", "::", "::1", "ff02::1", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4", "x"} {
		f.Add(seed, "")
		f.Add(seed, versionDual)
		f.Add(seed, versionIPv4)
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		before := version
		got, bad := parseIPv6(text, &version)
		switch {
		case bad != nil || text == "":
			return
		case got != text || version != versionDual || before != "" && before != versionDual:
			t.Errorf("%q with %q became %q with %q", text, before, got, version)
		}
		if a, err := netip.ParseAddr(got); err != nil || !a.Is6() || a.Zone() != "" {
			t.Errorf("%q was taken", got)
		}
	})
}

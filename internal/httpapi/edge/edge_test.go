package edge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// refusal is a 401 as a gate says it.
type refusal string

func (r refusal) Error() string           { return "secret detail for the log" }
func (r refusal) Unauthenticated() string { return string(r) }

// gate knows callers by the value of X-Auth-Token.
type gate map[string]sallyport.Principal

func (g gate) Authenticate(_ context.Context, r *http.Request, _ []byte) (sallyport.Principal, error) {
	token := r.Header.Get("X-Auth-Token")
	if token == "broken" {
		return sallyport.Principal{}, errors.New("directory on fire")
	}
	p, ok := g[token]
	if !ok {
		return sallyport.Principal{}, refusal("who are you")
	}
	return p, nil
}

type projects map[sallyport.ProjectID]sallyport.DomainID

func (p projects) Owns(d sallyport.DomainID, id sallyport.ProjectID) bool { return p[id] == d }

var (
	testGate = gate{
		"token-p1": {DomainID: "d1", UserID: "u1", ProjectID: "p1", ProjectName: "eu", Method: sallyport.MethodToken},
		"domain":   {DomainID: "d1", UserID: "u1", Method: sallyport.MethodToken},
		"key":      {DomainID: "d1", UserID: "u1", ProjectID: "p1", ProjectName: "eu", Method: sallyport.MethodKey},
	}
	testProjects = projects{"p1": "d1", "p2": "d1", "q1": "d2"}
)

// shape renders errors as a family would: class, kind, and no internal text.
func shape(name string) func(*Request, error) Response {
	return func(q *Request, err error) Response {
		body := map[string]string{"family": name, "language": q.Language}
		if p, ok := errors.AsType[*Problem](err); ok {
			body["class"], body["detail"] = fmt.Sprint(p.Class), p.Detail
			return Response{Status: p.Status, Body: body}
		}
		if e, ok := errors.AsType[*sallyport.Error](err); ok {
			body["reason"] = string(e.Reason)
			return Response{Status: http.StatusForbidden, Body: body}
		}
		return Response{Status: http.StatusInternalServerError, Body: body}
	}
}

func show(_ context.Context, q *Request) (Response, error) {
	return Response{Body: map[string]string{
		"project": string(q.Call.Project), "principal": string(q.Call.Principal.ProjectID), "name": q.Call.Principal.ProjectName,
		"op": q.Call.Operation, "source": q.Call.Source, "id": q.Path("id"), "body": string(q.Body), "language": q.Language,
	}}, nil
}

func testFamilies() []Family {
	return []Family{
		{Name: "one", Prefixes: []string{"/v1", "/v2"}, Error: shape("one"), Routes: []Route{
			{Method: "GET", Path: "/v1/{project_id}/things/{id}", Name: "ShowThing", Handler: show},
			{Method: "POST", Path: "/v1/{project_id}/things", Name: "MakeThing", Handler: show},
			{Method: "DELETE", Path: "/v1/{project_id}/things/{id}", Name: "DropThing", Handler: func(context.Context, *Request) (Response, error) {
				return Response{Status: http.StatusNoContent, Body: Raw("{}")}, nil
			}},
			{Method: "GET", Path: "/v1/panic", Name: "Panic", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				panic("secret of the stack")
			}},
			{Method: "GET", Path: "/v1/internal", Name: "Internal", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				return Response{}, errors.New("secret of the disk")
			}},
			{Method: "GET", Path: "/v1/unencodable", Name: "Unencodable", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				return Response{Body: func() {}}, nil
			}},
			{Method: "GET", Path: "/v1/status", Name: "Status", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				return Response{Status: 99}, nil
			}},
			{Method: "GET", Path: "/v1/slow", Name: "Slow", Public: true, Timeout: time.Nanosecond, Handler: func(ctx context.Context, _ *Request) (Response, error) {
				<-ctx.Done()
				return Response{}, fmt.Errorf("wait: %w", ctx.Err())
			}},
			{Method: "GET", Path: "/", Name: "ServiceVersions", Public: true, When: WantsServiceVersions, Handler: func(context.Context, *Request) (Response, error) {
				return Response{Header: http.Header{"x-from": {"one"}}, Body: Raw(`{"versions":[]}`)}, nil
			}},
		}},
		{Name: "two", Prefixes: []string{"/v2/{project_id}/apigw", "/v3"}, Mounts: []string{"/twice"}, Error: shape("two"), Routes: []Route{
			{Method: "GET", Path: "/", Name: "Versions", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				return Response{Status: http.StatusMultipleChoices, Body: map[string]string{"href": "a?b&c=<d>"}}, nil
			}},
			{Method: "HEAD", Path: "/v3/tokens", Name: "Check", Public: true, Handler: func(context.Context, *Request) (Response, error) {
				return Response{Header: http.Header{"X-Checked": {"yes"}}}, nil
			}},
			{Method: "PUT", Path: "/v3/broken", Name: "Broken", Public: true, Handler: show},
		}},
		{Name: "three", Prefixes: []string{"/three"}, Error: func(*Request, error) Response { panic("cannot even fail") }},
	}
}

// serve starts the edge on a real socket and returns its address and its log.
func serve(t *testing.T, change func(*Options)) (string, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	opt := Options{
		Gate: testGate, Projects: testProjects, Families: testFamilies(), Metrics: reg,
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&opt)
	}
	srv := httptest.NewServer(New(opt))
	t.Cleanup(srv.Close)
	return srv.URL, &log, reg
}

type answer struct {
	status int
	header http.Header
	body   string
}

func call(t *testing.T, method, url, token, body string, headers ...string) answer {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// If this failed, a client would see a request in another project, under another
// name, or with a request id it chose itself; or a body whose length is wrong.
func TestRequestReachesItsHandler(t *testing.T) {
	base, _, _ := serve(t, nil)
	forged := strings.Repeat("f", 32)
	got := call(t, "POST", base+"/v1/p1/things", "token-p1", `{"a":1}`, "X-Request-Id", forged, "X-Language", "zh-cn")
	want := map[string]string{
		"project": "p1", "principal": "p1", "name": "eu", "op": "MakeThing", "source": "127.0.0.1",
		"id": "", "body": `{"a":1}`, "language": Chinese,
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("what the handler saw (-want +got):\n%s", diff)
	}
	if id := got.header.Get("X-Request-Id"); id == forged || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("X-Request-Id = %q", id)
	}
	if ct, cl := got.header.Get("Content-Type"), got.header.Get("Content-Length"); ct != jsonType || cl != fmt.Sprint(len(got.body)) {
		t.Errorf("Content-Type %q, Content-Length %q for %d bytes", ct, cl, len(got.body))
	}
}

// If this failed, a client would get HTML, a redirect, another family's shape of
// error, or a wrong status, and would not understand the answer.
func TestErrorsHaveTheShapeOfTheirFamily(t *testing.T) {
	base, _, _ := serve(t, nil)
	big := strings.Repeat(" ", MaxBody+1)
	tests := []struct {
		name, method, path, token, body string
		status                          int
		family, class                   string
	}{
		{"unknown below a prefix", "GET", "/v3/nothing", "", "", 404, "two", fmt.Sprint(ClassNoPath)},
		{"longer prefix wins", "GET", "/v2/p1/apigw/nothing", "", "", 404, "two", fmt.Sprint(ClassNoPath)},
		{"shorter prefix", "GET", "/v2/p1/nothing", "", "", 404, "one", fmt.Sprint(ClassNoPath)},
		{"no prefix", "GET", "/nothing/at/all", "", "", 404, "one", fmt.Sprint(ClassNoPath)},
		{"double slash", "GET", "/v3//tokens", "", "", 404, "two", fmt.Sprint(ClassNoPath)},
		{"dots", "GET", "/v3/../v1/internal", "", "", 404, "two", fmt.Sprint(ClassNoPath)},
		{"other method", "PUT", "/v1/p1/things/7", "", "", 405, "one", fmt.Sprint(ClassMethod)},
		{"other method of the other family", "POST", "/v3/broken", "", "", 405, "two", fmt.Sprint(ClassMethod)},
		{"no credentials", "GET", "/v1/p1/things/7", "", "", 401, "one", fmt.Sprint(ClassCredentials)},
		{"the gate is out of order", "GET", "/v1/p1/things/7", "broken", "", 500, "one", ""},
		{"no project", "GET", "/v1/%7Bproject_id%7D/things/7", "key", "", 400, "one", fmt.Sprint(ClassInvalidProject)},
		{"project with a slash", "GET", "/v1/p%2f1/things/7", "key", "", 400, "one", fmt.Sprint(ClassInvalidProject)},
		{"project too long", "GET", "/v1/" + strings.Repeat("a", 65) + "/things/7", "key", "", 400, "one", fmt.Sprint(ClassInvalidProject)},
		{"large body", "POST", "/v1/p1/things", "key", big, 413, "one", fmt.Sprint(ClassBodyTooLarge)},
		{"panic", "GET", "/v1/panic", "", "", 500, "one", ""},
		{"internal", "GET", "/v1/internal", "", "", 500, "one", ""},
		{"answer that cannot be encoded", "GET", "/v1/unencodable", "", "", 500, "one", ""},
		{"answer without a status", "GET", "/v1/status", "", "", 500, "one", ""},
		{"too slow", "GET", "/v1/slow", "", "", 504, "one", fmt.Sprint(ClassTimeout)},
		{"family that panics", "GET", "/three/x", "", "", 500, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := call(t, tt.method, base+tt.path, tt.token, tt.body)
			var body map[string]any
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatalf("body %q is no JSON: %v", got.body, err)
			}
			family, _ := body["family"].(string)
			class, _ := body["class"].(string)
			if got.status != tt.status || family != tt.family || class != tt.class {
				t.Errorf("got %d of %q class %q, want %d of %q class %q", got.status, family, class, tt.status, tt.family, tt.class)
			}
			if strings.Contains(got.body, "secret") {
				t.Errorf("body shows internal text: %s", got.body)
			}
			if len(got.header.Get("X-Request-Id")) != 32 || got.header.Get("Content-Type") != jsonType {
				t.Errorf("headers %v", got.header)
			}
		})
	}
}

// If this failed, a client could not see which methods a path has.
func TestAllowListsTheMethods(t *testing.T) {
	base, _, _ := serve(t, nil)
	got := call(t, "PATCH", base+"/v1/p1/things/7/", "", "")
	if want := "DELETE, GET, HEAD"; got.status != 405 || got.header.Get("Allow") != want {
		t.Errorf("got %d, Allow %q, want 405, %q", got.status, got.header.Get("Allow"), want)
	}
}

// If this failed, a caller could act in a project that is not its own, or could
// learn whether a foreign project exists.
func TestProjectRule(t *testing.T) {
	base, _, _ := serve(t, nil)
	tests := []struct {
		token, project string
		status         int
		name           string
	}{
		{"token-p1", "p1", 200, "eu"},
		{"token-p1", "p2", 403, ""}, // a token is for its project alone
		{"key", "p1", 200, "eu"},
		{"key", "p2", 200, ""}, // a key is for the account
		{"domain", "p2", 200, ""},
		{"domain", "q1", 403, ""},
		{"key", "q1", 403, ""},
		{"key", "none", 403, ""},
	}
	for _, tt := range tests {
		got := call(t, "GET", base+"/v1/"+tt.project+"/things/7", tt.token, "")
		var body map[string]string
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatal(err)
		}
		if got.status != tt.status {
			t.Errorf("%s in %s: status %d, want %d", tt.token, tt.project, got.status, tt.status)
		}
		if got.status == 200 && (body["project"] != tt.project || body["principal"] != tt.project || body["name"] != tt.name) {
			t.Errorf("%s in %s: call %v", tt.token, tt.project, body)
		}
		if got.status == 403 && body["reason"] != string(sallyport.ReasonProjectForeign) {
			t.Errorf("%s in %s: error %v", tt.token, tt.project, body)
		}
	}
}

// If this failed, an identity client and the vendor's SDK could not share the
// root path (docs/adr/0007).
func TestOneRootTwoVersionLists(t *testing.T) {
	base, _, _ := serve(t, nil)
	tests := []struct {
		name    string
		headers []string
		status  int
	}{
		{"identity discovery", []string{"User-Agent", "golangsdk/2.0.0"}, 300},
		{"SDK of the service", []string{"User-Agent", "huaweicloud-usdk-go/3.0", "Authorization", "SDK-HMAC-SHA256 x", "X-Project-Id", "p1"}, 200},
		{"SDK without credentials", []string{"User-Agent", "huaweicloud-usdk-python/3.0"}, 200},
		{"a token", []string{"X-Auth-Token", "t"}, 200},
		{"SDK of identity", []string{"User-Agent", "huaweicloud-usdk-go/3.0", "Authorization", "SDK-HMAC-SHA256 x", "X-Domain-Id", "d1"}, 300},
		{"signed with both ids", []string{"Authorization", "SDK-HMAC-SHA256 x", "X-Domain-Id", "d1", "X-Project-Id", "p1"}, 200},
	}
	for _, tt := range tests {
		got := call(t, "GET", base+"/", "", "", tt.headers...)
		if got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, got.body, tt.status)
		}
		if got.status == 200 && got.header.Get("X-From") != "one" {
			t.Errorf("%s: header of the handler is missing: %v", tt.name, got.header)
		}
		if got.status == 300 && got.body != `{"href":"a?b&c=<d>"}` {
			t.Errorf("%s: body %s", tt.name, got.body)
		}
	}
}

// If this failed, clients that add a slash, that use HEAD, or that expect no
// body on 204 would break.
func TestSlashHeadAndNoContent(t *testing.T) {
	base, _, _ := serve(t, nil)
	if got := call(t, "GET", base+"/v1/p1/things/7/", "key", ""); got.status != 200 || !strings.Contains(got.body, `"id":"7"`) {
		t.Errorf("trailing slash: %d %s", got.status, got.body)
	}
	got := call(t, "HEAD", base+"/v1/p1/things/7", "key", "")
	if got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD of a GET: %d, %q, %v", got.status, got.body, got.header)
	}
	if got := call(t, "HEAD", base+"/twice/v3/tokens", "", ""); got.status != 200 || got.header.Get("X-Checked") != "yes" {
		t.Errorf("HEAD where the family is mounted again: %d, %v", got.status, got.header)
	}
	if got := call(t, "HEAD", base+"/v3/tokens/", "", ""); got.status != 200 || got.header.Get("X-Checked") != "yes" {
		t.Errorf("HEAD of its own: %d, %v", got.status, got.header)
	}
	got = call(t, "DELETE", base+"/v1/p1/things/7", "key", "")
	if got.status != 204 || got.body != "" || got.header.Get("Content-Type") != "" || len(got.header.Get("X-Request-Id")) != 32 {
		t.Errorf("204: %d, %q, %v", got.status, got.body, got.header)
	}
}

// If this failed, a client could send without end by not saying how much, or
// hold a connection by sending nothing, or a broken body would be a fault of ours.
func TestBodiesThatMisbehave(t *testing.T) {
	t.Run("no length", func(t *testing.T) {
		base, _, _ := serve(t, nil)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", base+"/v1/p1/things", io.LimitReader(zeros{}, MaxBody+1))
		req.Header.Set("X-Auth-Token", "key")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("status %d, want 413", res.StatusCode)
		}
	})
	raw := func(t *testing.T, base, request string, closeWrite bool) answer {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if closeWrite {
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return answer{res.StatusCode, res.Header, string(b)}
	}
	const head = "POST /v1/p1/things HTTP/1.1\r\nHost: x\r\nX-Auth-Token: key\r\nContent-Length: 10\r\n\r\nabc"
	t.Run("breaks off", func(t *testing.T) {
		base, _, _ := serve(t, nil)
		got := raw(t, base, head, true)
		if got.status != 400 || !strings.Contains(got.body, fmt.Sprintf(`"class":"%d"`, ClassBodyUnread)) {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
	t.Run("never comes", func(t *testing.T) {
		past := time.Now().Add(-time.Hour) // so that the deadline is over at once
		base, _, _ := serve(t, func(o *Options) { o.Now = func() time.Time { return past } })
		got := raw(t, base, head, false)
		if got.status != 408 || !strings.Contains(got.body, fmt.Sprintf(`"class":"%d"`, ClassBodyTimeout)) {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// deadlines notes the read deadlines of a connection.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// If this failed, the deadline for a body would cut the wait of a request that
// has one: accept and reject wait for the data plane after their body was read.
func TestBodyDeadlineIsLifted(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := New(Options{Gate: testGate, Projects: testProjects, Families: testFamilies(), Now: func() time.Time { return now }})
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("POST", "/v1/p1/things", strings.NewReader("{}"))
	r.Header.Set("X-Auth-Token", "key")
	h.ServeHTTP(w, r)
	if diff := cmp.Diff([]time.Time{now.Add(BodyTimeout), {}}, w.set); w.Code != 200 || diff != "" {
		t.Errorf("status %d, deadlines (-want +got):\n%s", w.Code, diff)
	}
}

// If this failed, a panic would cost the client its connection, or leave the
// operator without the stack.
func TestPanicKeepsTheConnection(t *testing.T) {
	base, log, _ := serve(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for range 2 {
		if _, err := io.WriteString(conn, "GET /v1/panic HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 500 {
			t.Fatalf("status %d, want 500", res.StatusCode)
		}
	}
	if s := log.String(); !strings.Contains(s, "secret of the stack") || !strings.Contains(s, "edge_test.go") {
		t.Errorf("log has no panic or no stack: %s", s)
	}
}

// If this failed, an operator would not find a request by its id, or would be
// woken by what a client did wrong, or metrics would grow with what clients send.
func TestOneLineAndOneCountPerRequest(t *testing.T) {
	base, log, reg := serve(t, nil)
	tests := []struct {
		path, token, level, op string
		status                 int
	}{
		{"/v1/p1/things/7", "key", "DEBUG", "ShowThing", 200},
		{"/v1/p1/things/7", "", "INFO", "ShowThing", 401},
		{"/v1/internal", "", "ERROR", "Internal", 500},
		{"/v1/" + strings.Repeat("x", 40), "", "INFO", unknownOperation, 404},
	}
	for _, tt := range tests {
		log.Reset()
		got := call(t, "GET", base+tt.path, tt.token, "")
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("log %q is not one line: %v", log, err)
		}
		if line["level"] != tt.level || line["op"] != tt.op || line["status"] != float64(tt.status) ||
			line["request_id"] != got.header.Get("X-Request-Id") || line["family"] != "one" {
			t.Errorf("%s: line %v", tt.path, line)
		}
		if _, has := line["err"]; has != (tt.status >= 400) {
			t.Errorf("%s: err in the line: %v", tt.path, line["err"])
		}
	}
	want := map[string]float64{
		"one Internal 5xx": 1, "one ShowThing 2xx": 1, "one ShowThing 4xx": 1, "one unknown 4xx": 1,
	}
	counted, series := counts(t, reg)
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	// Twelve routes, three families without one, five classes.
	if want := (12 + 3) * len(statusClasses); series != want {
		t.Errorf("%d series, want %d", series, want)
	}
}

// counts returns the request counters above zero and the number of all.
func counts(t *testing.T, reg prometheus.Gatherer) (map[string]float64, int) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	above, series := map[string]float64{}, 0
	for _, family := range all {
		if family.GetName() != "sallyport_http_requests_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			series++
			var labels []string // in the order of their names: family, operation, status
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				above[strings.Join(labels, " ")] = v
			}
		}
	}
	return above, series
}

// If this failed, a server that is starting would answer from a half-made state.
func TestNotReady(t *testing.T) {
	ready := false
	base, _, reg := serve(t, func(o *Options) { o.Ready = func() bool { return ready } })
	if got := call(t, "GET", base+"/v1/p1/things/7", "key", ""); got.status != 503 {
		t.Errorf("got %d, want 503", got.status)
	}
	ready = true
	if got := call(t, "GET", base+"/v1/p1/things/7", "key", ""); got.status != 200 {
		t.Errorf("got %d, want 200", got.status)
	}
	// A second handler shares the collectors of the first.
	New(Options{Gate: testGate, Projects: testProjects, Families: testFamilies(), Metrics: reg})
}

// If this failed, a mistake in a table of routes would be found by a client.
func TestNewRefusesMistakes(t *testing.T) {
	ok := Route{Method: "GET", Path: "/a", Name: "A", Handler: show}
	family := func(routes ...Route) []Family { return []Family{{Name: "f", Error: shape("f"), Routes: routes}} }
	change := func(f func(*Route)) Route { r := ok; f(&r); return r }
	tests := map[string][]Family{
		"no families": nil,
		"no shape":    {{Name: "f"}},
		"no name":     family(change(func(r *Route) { r.Name = "" })),
		"no handler":  family(change(func(r *Route) { r.Handler = nil })),
		"no method":   family(change(func(r *Route) { r.Method = "" })),
		"no path":     family(change(func(r *Route) { r.Path = "a" })),
		"twice":       family(ok, ok),
	}
	for name, families := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New accepted it")
				}
			}()
			New(Options{Gate: testGate, Projects: testProjects, Families: families})
		})
	}
	New(Options{Gate: testGate, Projects: testProjects, Families: family(ok)})
}

// If this failed, the coverage tests of the families would count wrongly, and a
// class without a status would be a 500.
func TestOperationsAndClasses(t *testing.T) {
	ops := Operations(testFamilies())
	want := Operation{Family: "two", Name: "Check", Method: "HEAD", Path: "/v3/tokens", Public: true}
	if len(ops) != 12 || ops[10] != want {
		t.Errorf("got %d operations, the eleventh is %+v", len(ops), ops[min(10, len(ops)-1)])
	}
	if len(Classes) != len(classStatus) {
		t.Errorf("%d classes, %d statuses", len(Classes), len(classStatus))
	}
	for _, c := range Classes {
		if s := c.Status(); s < 400 || s == 500 {
			t.Errorf("class %d has status %d", c, s)
		}
	}
}

package e2e_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// scene is a product with one connection in it, and everybody who might attack.
type scene struct {
	*product
	provider, consumer, reader, token, stale, revoked, domain *caller
	service, endpoint, other                                  string // other is a service of the consumer
	log                                                       *notebook
}

// notebook is a log that can be read while it is written.
type notebook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// newScene makes the scene; revision is that of the log before any attack.
func newScene(t *testing.T) (s *scene, revision sallyport.Revision) {
	t.Helper()
	w := newWorld(t)
	s = &scene{log: &notebook{}}
	w.log = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	// Yesterday: a token is issued that is stale today.
	w.now = func() time.Time { return time.Now().Add(-25 * time.Hour) }
	p := w.start(t)
	stale := p.as(t, w.provider()).login()
	p.stop()

	w.now = nil
	p = w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	revoked := provider.login()
	revoke(revoked)
	s.service = provider.createService(forwarding(clientPort, 9))
	provider.allow(s.service, consumerDomain)
	s.endpoint = consumer.createEndpoint(to(s.service)).ID
	s.other = consumer.createService(service{
		PortID: "0d8fbc31-0000-4000-8000-000000000009", VPC: consumerVPC, Server: "VM", Approval: true,
		Ports: []port{{Client: clientPort, Server: 9}},
	})
	p.stop()
	_, view := w.records(t)

	s.product = w.start(t)
	s.provider, s.consumer, s.reader = s.as(t, w.provider()), s.as(t, w.consumer()), s.as(t, w.reader())
	s.token = s.provider.login()
	for _, c := range []**caller{&stale, &revoked} {
		(*c).url, (*c).now = s.url, s.clock
	}
	s.stale, s.revoked = stale, revoked
	a := s.provider.send(http.MethodPost, "/v3/auth/tokens", loginBody(w.provider(), false), nil)
	domain := *s.provider
	domain.token = a.header.Get("X-Subject-Token")
	s.domain = &domain
	return s, view.Revision()
}

// state is everything that both accounts can see.
func (s *scene) state(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range []*caller{s.provider, s.consumer} {
		for _, path := range []string{
			"vpc-endpoint-services", "vpc-endpoints", "quotas", "vpc-endpoint-services/public",
			"vpc-endpoint-services/" + s.service + "/connections", "vpc-endpoint-services/" + s.service + "/permissions",
			"vpc-endpoint-services/" + s.other + "/connections", "vpc-endpoint-services/" + s.other + "/permissions",
		} {
			out[c.user.name+" "+path] = c.send(http.MethodGet, "/v1/"+c.project+"/"+path, nil, nil).String()
		}
	}
	return out
}

// bad is one request that must be refused.
type bad struct {
	name   string
	as     *caller
	method string
	path   string // below the project, or with a slash from the root
	body   any
	header http.Header
	mangle func(*http.Request) // after it is signed
	status int
	code   string // of the VPCEP family, "" for that of another
}

const (
	missing = "00000000-0000-4000-8000-00000000dead"
	tooLong = 1<<20 + 1
)

// If this fails, a malformed, forged or forbidden request is answered with
// something clients do not understand, changes something, or tells the caller
// what is not the caller's to know.
func TestBadRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	s, revision := newScene(t)
	before := s.state(t)
	table := slices.Concat(s.badCredentials(), s.badAddresses(), s.badDecisions(), s.badServices(), s.badEndpoints(), s.badChanges(), s.badQueries(), s.forbidden())
	if len(table) < 60 {
		t.Errorf("the table has %d requests", len(table))
	}
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) { s.refuse(t, tt) })
	}
	for name, text := range s.rawRequests() {
		t.Run("raw/"+name, func(t *testing.T) { s.refuseRaw(t, text) })
	}
	if diff := cmp.Diff(before, s.state(t)); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
	s.stop()
	log, _ := s.records(t)
	for _, r := range log[revision:] {
		if r.Outcome != sallyport.OutcomeDenied || r.Reason == "" {
			t.Errorf("an attack left %+v in the log", r)
		}
	}
	s.mustNotTell(t, "log", s.log.String())
}

// refuse sends one request and checks the refusal.
func (s *scene) refuse(t *testing.T, tt bad) {
	t.Helper()
	c := *tt.as
	c.t = t
	path := tt.path
	if !strings.HasPrefix(path, "/") {
		path = "/v1/" + c.project + "/" + path
	}
	req, err := c.request(tt.method, path, tt.body, tt.header)
	if err != nil {
		t.Fatal(err)
	}
	if tt.mangle != nil {
		tt.mangle(req)
	}
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	a := answer{res.StatusCode, res.Header, text.Bytes()}
	if a.status != tt.status {
		t.Errorf("%s, want %d %s", a, tt.status, tt.code)
	}
	s.checkRefusal(t, a)
	if tt.code != "" {
		if got := a.code(t); got != tt.code {
			t.Errorf("%s, want %d %s", a, tt.status, tt.code)
		}
	}
}

// checkRefusal checks what holds for every refusal.
func (s *scene) checkRefusal(t *testing.T, a answer) {
	t.Helper()
	if a.status < 400 {
		t.Errorf("%s is no refusal", a)
	}
	if got := a.header.Get("X-Request-Id"); len(got) != 32 {
		t.Errorf("X-Request-Id is %q", got)
	}
	if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("Content-Type is %q", got)
	}
	s.mustNotTell(t, "answer", a.String())
}

// mustNotTell wants a text to be free of secrets and of our insides.
func (s *scene) mustNotTell(t *testing.T, what, text string) {
	t.Helper()
	for _, u := range []user{s.world.provider(), s.world.consumer(), s.world.reader()} {
		for _, secret := range []string{u.secret, u.password} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s tells a secret of %s", what, u.name)
			}
		}
	}
	for _, c := range []*caller{s.token, s.stale, s.revoked, s.domain} {
		if strings.Contains(text, c.token) {
			t.Errorf("the %s tells a token", what)
		}
	}
	if what == "log" {
		return
	}
	sources, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, inside := range []string{
		"goroutine ", ".go:", "panic", "runtime error", "SELECT ", "INSERT ", "UPDATE ", "sqlite", "SQL",
		s.Dir, sources, "internal/", "json:", "0x", "*vpcep", "Signature=",
	} {
		if strings.Contains(text, inside) {
			t.Errorf("the %s tells our insides (%q): %s", what, inside, text)
		}
	}
}

// header makes a header of one name.
func header(name string, values ...string) http.Header { return http.Header{name: values} }

// set returns a change of one header after signing.
func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// skewed returns the provider with a clock that goes wrong.
func (s *scene) skewed(by time.Duration) *caller {
	c := *s.provider
	c.now = func() time.Time { return s.clock().Add(by) }
	return &c
}

// with returns a caller that sends some text as its token.
func (s *scene) with(token string) *caller {
	c := *s.token
	c.token = token
	return &c
}

// signedBy returns a caller with other credentials than its account has.
func (s *scene) signedBy(access, secret string) *caller {
	c := *s.provider
	c.user.access, c.user.secret = access, secret
	return &c
}

func (s *scene) badCredentials() []bad {
	list := func(name string, as *caller, mangle func(*http.Request), header http.Header) bad {
		return bad{name: "credentials/" + name, as: as, method: http.MethodGet, path: "vpc-endpoint-services", mangle: mangle, header: header, status: 401, code: "EndPoint.0003"}
	}
	parts := strings.Split(s.token.token, ".")
	out := []bad{
		list("none", s.provider, func(r *http.Request) { r.Header.Del("Authorization") }, nil),
		list("wrong secret", s.signedBy(s.provider.user.access, "another-secret-of-the-tests-00001"), nil, nil),
		list("unknown key", s.signedBy("SPNOBODY000000000001", "another-secret-of-the-tests-00001"), nil, nil),
		list("another's key", s.signedBy(s.consumer.user.access, s.provider.user.secret), nil, nil),
		list("clock behind", s.skewed(-16*time.Minute), nil, nil),
		list("clock ahead", s.skewed(16*time.Minute), nil, nil),
		list("no date", s.provider, func(r *http.Request) { r.Header.Del("X-Sdk-Date") }, nil),
		list("date is none", s.provider, set("X-Sdk-Date", "yesterday"), nil),
		list("date changed", s.provider, set("X-Sdk-Date", s.clock().Add(time.Minute).UTC().Format("20060102T150405Z")), nil),
		list("scheme is none", s.provider, set("Authorization", "Basic cGF1bGE6cGF1bGE="), nil),
		list("signature is none", s.provider, set("Authorization", "SDK-HMAC-SHA256 Access="+s.provider.user.access+", SignedHeaders=x-sdk-date, Signature=zz"), nil),
		list("no signed headers", s.provider, set("Authorization", "SDK-HMAC-SHA256 Access="+s.provider.user.access+", SignedHeaders=, Signature="+strings.Repeat("0", 64)), nil),
		list("signed header missing", s.provider, func(r *http.Request) { r.Header.Del("X-Signed") }, header("X-Signed", "1")),
		list("signed header changed", s.provider, set("X-Signed", "2"), header("X-Signed", "1")),
		list("authorization twice", s.provider, func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, nil),
		list("another path was signed", s.provider, func(r *http.Request) { r.URL.Path = "/v1/" + providerID + "/vpc-endpoints" }, nil),
		list("another query was signed", s.provider, func(r *http.Request) { r.URL.RawQuery = "limit=1" }, nil),
		list("algorithm is none", s.provider, set("Authorization", "SDK-HMAC-MD5 Access=x, SignedHeaders=x-sdk-date, Signature="+strings.Repeat("0", 64)), nil),
		list("token is none", s.with("not-a-token"), nil, nil),
		list("token too long", s.with(strings.Repeat("a", 5000)), nil, nil),
		list("token expired", s.stale, nil, nil),
		list("token revoked", s.revoked, nil, nil),
		list("token without signature", s.with(parts[0]+"."+parts[1]+"."), nil, nil),
		list("token with algorithm none", s.with("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."+parts[1]+"."), nil, nil),
		list("token of another content", s.with(parts[0]+"."+flip(parts[1])+"."+parts[2]), nil, nil),
		list("token of another signature", s.with(parts[0]+"."+parts[1]+"."+flip(parts[2])), nil, nil),
		list("token twice", s.token, func(r *http.Request) { r.Header.Add("X-Auth-Token", s.token.token) }, nil),
	}
	out = append(out, bad{
		name: "credentials/body changed", as: s.provider, method: http.MethodPost, path: "vpc-endpoint-services/" + s.service + "/connections/action",
		body: decision("receive", s.endpoint), status: 401, code: "EndPoint.0003",
		mangle: func(r *http.Request) {
			text := strings.NewReader(`{"action":"reject","endpoints":["` + s.endpoint + `"]}`)
			r.Body, r.ContentLength = http.NoBody, 0
			*r = *mustRequest(r, text)
		},
	})
	return out
}

// mustRequest is r with another body.
func mustRequest(r *http.Request, body *strings.Reader) *http.Request {
	out, err := http.NewRequest(r.Method, r.URL.String(), body)
	if err != nil {
		panic(err) // a request that was one stays one
	}
	out.Header = r.Header
	return out
}

// flip changes one character in the middle of a text.
func flip(s string) string {
	b := []byte(s)
	if b[len(b)/2] == 'A' {
		b[len(b)/2] = 'B'
	} else {
		b[len(b)/2] = 'A'
	}
	return string(b)
}

func (s *scene) badAddresses() []bad {
	get := func(name string, as *caller, path string, status int, code string) bad {
		return bad{name: "address/" + name, as: as, method: http.MethodGet, path: path, status: status, code: code}
	}
	root := "/v1/" + providerID
	return []bad{
		get("foreign project", s.provider, "/v1/"+consumerID+"/vpc-endpoints", 403, "EndPoint.0004"),
		get("unknown project", s.provider, "/v1/00000000000000000000000000000000/vpc-endpoints", 403, "EndPoint.0004"),
		get("another project of the account by a token", s.token, "/v1/"+providerOther+"/vpc-endpoints", 403, "EndPoint.0004"),
		get("project with a space", s.provider, "/v1/a%20b/vpc-endpoints", 400, "EndPoint.0014"),
		get("project too long", s.provider, "/v1/"+strings.Repeat("a", 65)+"/vpc-endpoints", 400, "EndPoint.0014"),
		get("project with NUL", s.provider, "/v1/"+providerID+"%00/vpc-endpoints", 400, "EndPoint.0014"),
		get("unknown path", s.provider, root+"/vpc-endpoint", 404, "EndPoint.0005"),
		get("unknown version", s.provider, "/v7/"+providerID+"/vpc-endpoints", 404, "EndPoint.0005"),
		get("double slash", s.provider, root+"//vpc-endpoints", 404, "EndPoint.0005"),
		get("dots", s.provider, root+"/../"+providerID+"/vpc-endpoints", 404, "EndPoint.0005"),
		get("escaped dots", s.provider, root+"/%2e%2e/"+providerID+"/vpc-endpoints", 404, ""),
		get("escaped slash", s.provider, root+"%2Fvpc-endpoints", 404, "EndPoint.0005"),
		get("service with NUL", s.provider, "vpc-endpoint-services/"+s.service+"%00", 400, "EndPoint.3062"),
		get("service too long", s.provider, "vpc-endpoint-services/"+strings.Repeat("a", 65), 400, "EndPoint.3062"),
		get("service with bad UTF-8", s.provider, "vpc-endpoint-services/%ff%fe", 400, "EndPoint.3062"),
		get("endpoint with a slash", s.consumer, "vpc-endpoints/..%2f"+s.endpoint, 404, "EndPoint.2006"),
		get("endpoint with quotes", s.consumer, "vpc-endpoints/'%20OR%20'1'='1", 400, "EndPoint.2017"),
		get("unknown service", s.provider, "vpc-endpoint-services/"+missing, 404, "EndPoint.0005"),
		get("unknown endpoint", s.consumer, "vpc-endpoints/"+missing, 404, "EndPoint.2006"),
		get("upper case id", s.consumer, "vpc-endpoints/"+strings.ToUpper(s.endpoint), 404, "EndPoint.2006"),
		get("connections of an unknown service", s.provider, "vpc-endpoint-services/"+missing+"/connections", 404, "EndPoint.0005"),
		{name: "address/method", as: s.provider, method: http.MethodPatch, path: "vpc-endpoint-services", status: 405, code: "EndPoint.0002"},
		{name: "address/method of one", as: s.provider, method: http.MethodPost, path: "vpc-endpoint-services/" + s.service, body: map[string]any{}, status: 405, code: "EndPoint.0002"},
		{name: "address/trace", as: s.provider, method: http.MethodTrace, path: "vpc-endpoints", status: 405, code: "EndPoint.0002"},
		{name: "address/x-project-id of another", as: s.provider, method: http.MethodGet, path: "vpc-endpoints", header: header("X-Project-Id", consumerID), status: 403, code: "EndPoint.0004"},
		{name: "address/x-domain-id of another", as: s.provider, method: http.MethodGet, path: "vpc-endpoints", header: header("X-Domain-Id", consumerDomain), status: 403, code: "EndPoint.0004"},
	}
}

// post is a POST whose body must be refused; text goes out as it is.
func post(name string, as *caller, path string, body any, status int, code string) bad {
	if text, ok := body.(string); ok {
		body = []byte(text)
	}
	return bad{name: "body/" + name, as: as, method: http.MethodPost, path: path, body: body, status: status, code: code}
}

func (s *scene) badDecisions() []bad {
	services, action := "vpc-endpoint-services", "vpc-endpoint-services/"+s.service+"/connections/action"
	return []bad{
		post("empty", s.provider, services, nil, 400, "EndPoint.0002"),
		post("null", s.provider, services, "null", 400, "EndPoint.0002"),
		post("no JSON", s.provider, services, "action=receive", 400, "EndPoint.0002"),
		post("broken off", s.provider, action, `{"action":"receive","endpoints":["`, 400, "EndPoint.0002"),
		post("two values", s.provider, action, `{"action":"receive","endpoints":["`+s.endpoint+`"]}{}`, 400, "EndPoint.0002"),
		post("an array", s.provider, action, `[]`, 400, "EndPoint.0002"),
		post("deep", s.provider, action, strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100), 400, "EndPoint.0002"),
		post("many items", s.provider, action, `{"endpoints":["`+strings.Repeat(`x","`, 20000)+`"]}`, 400, "EndPoint.0002"),
		post("too large", s.provider, action, `{"action":"`+strings.Repeat("a", tooLong)+`"}`, 413, "EndPoint.0002"),
		post("bad UTF-8", s.provider, action, "{\"action\":\"\xff\xfe\",\"endpoints\":[\""+s.endpoint+"\"]}", 400, "EndPoint.2027"),
		{name: "body/compressed", as: s.provider, method: http.MethodPost, path: action, body: []byte("\x1f\x8b\x08"), header: header("Content-Encoding", "gzip"), status: 415, code: "EndPoint.0002"},
		post("action missing", s.provider, action, map[string]any{"endpoints": []string{s.endpoint}}, 400, "EndPoint.2027"),
		post("action unknown", s.provider, action, decision("accept", s.endpoint), 400, "EndPoint.2027"),
		post("action in upper case", s.provider, action, decision("RECEIVE", s.endpoint), 400, "EndPoint.2027"),
		post("action is a number", s.provider, action, map[string]any{"action": 1, "endpoints": []string{s.endpoint}}, 400, "EndPoint.0002"),
		post("endpoints missing", s.provider, action, map[string]any{"action": "receive"}, 400, "EndPoint.2002"),
		post("endpoints empty", s.provider, action, decision("receive"), 400, "EndPoint.2002"),
		post("endpoints is a string", s.provider, action, map[string]any{"action": "receive", "endpoints": s.endpoint}, 400, "EndPoint.0002"),
		post("endpoints is an object", s.provider, action, map[string]any{"action": "receive", "endpoints": map[string]any{}}, 400, "EndPoint.0002"),
		post("two endpoints", s.provider, action, decision("receive", s.endpoint, s.endpoint), 400, "EndPoint.2031"),
		post("endpoint is none", s.provider, action, decision("receive", "not-a-uuid"), 400, "EndPoint.2017"),
		post("endpoint unknown", s.provider, action, decision("receive", missing), 400, "EndPoint.2013"),
		post("endpoint with quotes", s.provider, action, decision("receive", "'; DROP TABLE endpoints; --"), 400, "EndPoint.2017"),
	}
}

func (s *scene) badServices() []bad {
	services := "vpc-endpoint-services"
	with := func(change func(map[string]any)) map[string]any {
		b := map[string]any{
			"port_id": backendPort, "vpc_id": providerVPC, "server_type": "VM",
			"ports": []any{map[string]any{"client_port": 80, "server_port": 81}},
		}
		change(b)
		return b
	}
	ports := func(n int) (list []any) {
		for i := range n {
			list = append(list, map[string]any{"client_port": i + 1, "server_port": i + 1})
		}
		return list
	}
	return []bad{
		post("service/no vpc", s.provider, services, with(func(m map[string]any) { delete(m, "vpc_id") }), 400, "EndPoint.2011"),
		post("service/no port id", s.provider, services, with(func(m map[string]any) { delete(m, "port_id") }), 400, "EndPoint.2002"),
		post("service/no server type", s.provider, services, with(func(m map[string]any) { delete(m, "server_type") }), 400, "EndPoint.3021"),
		post("service/server type", s.provider, services, with(func(m map[string]any) { m["server_type"] = "TOASTER" }), 400, "EndPoint.3021"),
		post("service/no ports", s.provider, services, with(func(m map[string]any) { delete(m, "ports") }), 400, "EndPoint.2028"),
		post("service/ports is an object", s.provider, services, with(func(m map[string]any) { m["ports"] = map[string]any{} }), 400, "EndPoint.0002"),
		post("service/port 0", s.provider, services, with(func(m map[string]any) { m["ports"].([]any)[0].(map[string]any)["client_port"] = 0 }), 400, "EndPoint.3043"),
		post("service/port 65536", s.provider, services, with(func(m map[string]any) { m["ports"].([]any)[0].(map[string]any)["server_port"] = 65536 }), 400, "EndPoint.3043"),
		post("service/port is half", s.provider, services, with(func(m map[string]any) { m["ports"].([]any)[0].(map[string]any)["server_port"] = 80.5 }), 400, "EndPoint.0002"),
		post("service/port is huge", s.provider, services, `{"port_id":"p","vpc_id":"v","server_type":"VM","ports":[{"client_port":1e400,"server_port":1}]}`, 400, "EndPoint.0002"),
		post("service/too many ports", s.provider, services, with(func(m map[string]any) { m["ports"] = ports(201) }), 400, "EndPoint.3074"),
		post("service/port twice", s.provider, services, with(func(m map[string]any) { m["ports"] = append(ports(1), ports(1)...) }), 400, "EndPoint.3004"),
		post("service/protocol", s.provider, services, with(func(m map[string]any) { m["ports"].([]any)[0].(map[string]any)["protocol"] = "SCTP" }), 400, "EndPoint.3075"),
		post("service/name too long", s.provider, services, with(func(m map[string]any) { m["service_name"] = strings.Repeat("a", 17) }), 400, "EndPoint.1003"),
		post("service/name with a dot", s.provider, services, with(func(m map[string]any) { m["service_name"] = "a.b" }), 400, "EndPoint.1003"),
		post("service/description", s.provider, services, with(func(m map[string]any) { m["description"] = "<script>" }), 400, "EndPoint.0002"),
		post("service/approval is a word", s.provider, services, with(func(m map[string]any) { m["approval_enabled"] = "maybe" }), 400, "EndPoint.0002"),
		post("service/tcp_proxy", s.provider, services, with(func(m map[string]any) { m["tcp_proxy"] = "yes" }), 400, "EndPoint.0002"),
		post("service/gateway", s.provider, services, with(func(m map[string]any) { m["service_type"] = "gateway" }), 400, "EndPoint.0002"),
		post("service/tag twice", s.provider, services, with(func(m map[string]any) {
			m["tags"] = []any{map[string]any{"key": "a"}, map[string]any{"key": "a"}}
		}), 400, "EndPoint.3067"),
		post("service/same backend port", s.provider, services, with(func(m map[string]any) {
			m["ports"] = []any{map[string]any{"client_port": 1, "server_port": 9}}
		}), 400, "EndPoint.3044"),
		post("service/port of another vpc", s.provider, services, with(func(m map[string]any) { m["vpc_id"] = consumerVPC }), 400, "EndPoint.3042"),
	}
}

func (s *scene) badEndpoints() []bad {
	endpoints := "vpc-endpoints"
	wanted := func(change func(map[string]any)) map[string]any {
		b := map[string]any{"endpoint_service_id": s.service, "vpc_id": consumerVPC, "subnet_id": consumerSubnet}
		change(b)
		return b
	}
	return []bad{
		post("endpoint/no service", s.consumer, endpoints, wanted(func(m map[string]any) { delete(m, "endpoint_service_id") }), 400, "EndPoint.2029"),
		post("endpoint/unknown service", s.consumer, endpoints, wanted(func(m map[string]any) { m["endpoint_service_id"] = missing }), 400, "EndPoint.2003"),
		post("endpoint/no vpc", s.consumer, endpoints, wanted(func(m map[string]any) { delete(m, "vpc_id") }), 400, "EndPoint.2011"),
		post("endpoint/no subnet", s.consumer, endpoints, wanted(func(m map[string]any) { delete(m, "subnet_id") }), 400, "EndPoint.2010"),
		post("endpoint/subnet of another vpc", s.consumer, endpoints, wanted(func(m map[string]any) { m["subnet_id"] = providerSubnet }), 400, "EndPoint.2037"),
		post("endpoint/whitelist with all", s.consumer, endpoints, wanted(func(m map[string]any) { m["whitelist"] = []string{"0.0.0.0/0"} }), 400, "EndPoint.2044"),
		post("endpoint/whitelist full", s.consumer, endpoints, wanted(func(m map[string]any) { m["whitelist"] = slices.Repeat([]string{"10.0.0.1"}, 61) }), 400, "EndPoint.2045"),
		post("endpoint/not admitted", s.provider, endpoints, map[string]any{"endpoint_service_id": s.other, "vpc_id": providerVPC, "subnet_id": providerSubnet}, 400, "EndPoint.2012"),
	}
}

func (s *scene) badChanges() []bad {
	services, permissions := "vpc-endpoint-services", "vpc-endpoint-services/"+s.service+"/permissions/action"
	return []bad{
		post("permissions/none", s.provider, permissions, map[string]any{"action": "add", "permissions": []string{}}, 400, "EndPoint.3036"),
		post("permissions/action", s.provider, permissions, map[string]any{"action": "grant", "permissions": []string{"*"}}, 400, "EndPoint.3035"),
		post("permissions/form", s.provider, permissions, map[string]any{"action": "add", "permissions": []string{"iam:user::x"}}, 400, "EndPoint.3002"),
		post("permissions/too many", s.provider, permissions, map[string]any{"action": "add", "permissions": slices.Repeat([]string{"*"}, 501)}, 400, "EndPoint.0016"),
		{name: "body/update/name", as: s.provider, method: http.MethodPut, path: services + "/" + s.service, body: map[string]any{"service_name": "a b"}, status: 400, code: "EndPoint.3076"},
		{name: "body/update/ports empty", as: s.provider, method: http.MethodPut, path: services + "/" + s.service, body: map[string]any{"ports": []any{}}, status: 400, code: "EndPoint.2028"},
	}
}

func (s *scene) badQueries() []bad {
	get := func(name, path string, status int, code string) bad {
		return bad{name: "query/" + name, as: s.provider, method: http.MethodGet, path: path, status: status, code: code}
	}
	connections := "vpc-endpoint-services/" + s.service + "/connections"
	return []bad{
		get("limit is a word", "vpc-endpoints?limit=ten", 400, "EndPoint.0006"),
		get("limit is negative", "vpc-endpoints?limit=-1", 400, "EndPoint.0006"),
		get("limit too large", "vpc-endpoints?limit=1001", 400, "EndPoint.0006"),
		get("limit of permissions too large", "vpc-endpoint-services/"+s.service+"/permissions?limit=501", 400, "EndPoint.0006"),
		get("offset is negative", "vpc-endpoints?offset=-1", 400, "EndPoint.0010"),
		get("offset too large", "vpc-endpoints?offset=99999999999999999999", 400, "EndPoint.0010"),
		get("sort key", "vpc-endpoints?sort_key=secret", 400, "EndPoint.0017"),
		get("sort direction", "vpc-endpoints?sort_dir=up", 400, "EndPoint.0018"),
		get("status", connections+"?status=open", 400, "EndPoint.0019"),
		get("marker", connections+"?marker_id=x", 400, "EndPoint.0021"),
		get("service status", "vpc-endpoint-services?status=accepted", 400, "EndPoint.0019"),
		get("quota type", "quotas?type=vpc", 400, "EndPoint.0002"),
		get("describe nothing", "vpc-endpoint-services/describe", 400, "EndPoint.2002"),
		get("describe unknown", "vpc-endpoint-services/describe?id="+missing, 404, "EndPoint.0005"),
		get("describe another name", "vpc-endpoint-services/describe?id="+s.service+"&endpoint_service_name=other", 404, ""),
	}
}

// forbidden is what a reader may not do, and what nobody may to what is another's.
func (s *scene) forbidden() []bad {
	action := "vpc-endpoint-services/" + s.service + "/connections/action"
	out := []bad{
		{name: "role/accept", as: s.reader, method: http.MethodPost, path: action, body: decision("receive", s.endpoint), status: 403, code: "EndPoint.0004"},
		{name: "role/reject", as: s.reader, method: http.MethodPost, path: action, body: decision("reject", s.endpoint), status: 403, code: "EndPoint.0004"},
		{name: "role/create service", as: s.reader, method: http.MethodPost, path: "vpc-endpoint-services", body: forwarding(1, 2), status: 403, code: "EndPoint.0004"},
		{name: "role/delete service", as: s.reader, method: http.MethodDelete, path: "vpc-endpoint-services/" + s.service, status: 403, code: "EndPoint.0004"},
		{name: "role/update service", as: s.reader, method: http.MethodPut, path: "vpc-endpoint-services/" + s.service, body: map[string]any{"description": "x"}, status: 403, code: "EndPoint.0004"},
		{name: "role/permit", as: s.reader, method: http.MethodPost, path: "vpc-endpoint-services/" + s.service + "/permissions/action", body: map[string]any{"action": "add", "permissions": []string{"*"}}, status: 403, code: "EndPoint.0004"},
		{name: "role/create endpoint", as: s.reader, method: http.MethodPost, path: "vpc-endpoints", body: to(s.service), status: 403, code: "EndPoint.0004"},
		{name: "role/delete endpoint", as: s.reader, method: http.MethodDelete, path: "vpc-endpoints/" + s.endpoint, status: 403, code: "EndPoint.0004"},
		{name: "account token below a project of another", as: s.domain, method: http.MethodGet, path: "/v1/" + consumerID + "/vpc-endpoints", status: 403, code: "EndPoint.0004"},
		{name: "iam/no credentials", as: s.provider, method: http.MethodGet, path: "/v3/projects", mangle: func(r *http.Request) { r.Header.Del("Authorization") }, status: 401},
		{name: "iam/wrong password", as: s.provider, method: http.MethodPost, path: "/v3/auth/tokens", body: loginBody(user{domain: "provider", name: "paula", password: "x"}, true), status: 401},
		{name: "iam/unknown user", as: s.provider, method: http.MethodPost, path: "/v3/auth/tokens", body: loginBody(user{domain: "provider", name: "nobody", password: "x"}, true), status: 401},
		{name: "iam/broken body", as: s.provider, method: http.MethodPost, path: "/v3/auth/tokens", body: []byte("{"), status: 400},
		{name: "iam/unknown path", as: s.provider, method: http.MethodGet, path: "/v3/secrets", status: 404},
		{name: "native/foreign project", as: s.provider, method: http.MethodGet, path: "/sallyport/v1/" + consumerID + "/audit", status: 403},
		{name: "native/unknown endpoint", as: s.provider, method: http.MethodGet, path: "/sallyport/v1/" + providerID + "/endpoints/" + missing, status: 404},
		{name: "native/since is a word", as: s.provider, method: http.MethodGet, path: "/sallyport/v1/" + providerID + "/audit?since=x", status: 400},
	}
	return out
}

// A thing of another account and a thing that does not exist. If this fails, an
// account can find out what other accounts have.
func TestForeignReadsAsMissing(t *testing.T) {
	t.Parallel()
	s, _ := newScene(t)
	pairs := []struct {
		name, method   string
		as             *caller
		path           string // with %s for the id
		foreign        string
		body, bodyMiss any
	}{
		{"show endpoint", http.MethodGet, s.provider, "vpc-endpoints/%s", s.endpoint, nil, nil},
		{"delete endpoint", http.MethodDelete, s.provider, "vpc-endpoints/%s", s.endpoint, nil, nil},
		{"show service", http.MethodGet, s.consumer, "vpc-endpoint-services/%s", s.service, nil, nil},
		{"update service", http.MethodPut, s.consumer, "vpc-endpoint-services/%s", s.service, map[string]any{"description": "x"}, map[string]any{"description": "x"}},
		{"rename service", http.MethodPut, s.consumer, "vpc-endpoint-services/%s/name", s.service, map[string]any{"endpoint_service_name": "x"}, map[string]any{"endpoint_service_name": "x"}},
		{"delete service", http.MethodDelete, s.consumer, "vpc-endpoint-services/%s", s.service, nil, nil},
		{"connections", http.MethodGet, s.consumer, "vpc-endpoint-services/%s/connections", s.service, nil, nil},
		{"permissions", http.MethodGet, s.consumer, "vpc-endpoint-services/%s/permissions", s.service, nil, nil},
		{"permit", http.MethodPost, s.consumer, "vpc-endpoint-services/%s/permissions/action", s.service, map[string]any{"action": "add", "permissions": []string{"*"}}, map[string]any{"action": "add", "permissions": []string{"*"}}},
		{"accept on a foreign service", http.MethodPost, s.consumer, "vpc-endpoint-services/%s/connections/action", s.service, decision("receive", s.endpoint), decision("receive", s.endpoint)},
		{"accept of a foreign endpoint", http.MethodPost, s.consumer, "vpc-endpoint-services/" + s.other + "/connections/action", "", decision("receive", s.endpoint), decision("receive", missing)},
		{"enforcement", http.MethodGet, s.reader, "/sallyport/v1/" + providerID + "/endpoints/%s", s.foreignEndpoint(t), nil, nil},
		{"filter of connections", http.MethodGet, s.consumer, "vpc-endpoint-services/" + s.other + "/connections?id=%s", s.endpoint, nil, nil},
		{"filter of endpoints", http.MethodGet, s.provider, "vpc-endpoints?id=%s", s.endpoint, nil, nil},
	}
	for _, tt := range pairs {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(id string, body any) answer {
				path := tt.path
				if strings.Contains(path, "%s") {
					path = fmt.Sprintf(path, id)
				}
				if !strings.HasPrefix(path, "/") {
					path = "/v1/" + tt.as.project + "/" + path
				}
				a := tt.as.send(tt.method, path, body, nil)
				if !strings.HasPrefix(tt.name, "filter") {
					s.checkRefusal(t, a)
				}
				// What the caller has sent may come back; nothing else may differ.
				if id != "" {
					a.body = bytes.ReplaceAll(a.body, []byte(id), []byte("ID"))
				}
				a.header.Del("X-Request-Id")
				a.header.Del("Date")
				return a
			}
			if diff := cmp.Diff(ask(missing, tt.bodyMiss), ask(tt.foreign, tt.body), cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("missing and foreign differ (-missing +foreign):\n%s", diff)
			}
		})
	}
}

// foreignEndpoint makes an endpoint that has nothing to do with the provider.
func (s *scene) foreignEndpoint(t *testing.T) string {
	t.Helper()
	return s.consumer.createEndpoint(to(s.other)).ID
}

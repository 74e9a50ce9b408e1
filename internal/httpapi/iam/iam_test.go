package iam

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this failed, an operation would be open to everyone that should not be, or
// would have no name in logs and records.
func TestPublicOperations(t *testing.T) {
	open := []string{"CreateTemporaryAccessKeyByToken", "KeystoneCreateUserTokenByPassword", "KeystoneListVersions", "KeystoneShowVersion"}
	var got []string
	ops := edge.Operations([]edge.Family{New(Options{PublicURL: publicURL})})
	for _, op := range ops {
		if op.Name == "" || op.Family != "iam" {
			t.Errorf("operation %+v", op)
		}
		if op.Public {
			got = append(got, op.Name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(open, got); diff != "" || len(ops) != 12 {
		t.Errorf("%d operations, public ones (-want +got):\n%s", len(ops), diff)
	}
}

// If this failed, anyone could find out which users exist.
func TestUnknownUserReadsLikeWrongPassword(t *testing.T) {
	in := install(t, goldenTime)
	var bodies []string
	for _, user := range []string{
		`"name":"paula","domain":{"name":"acme"}`,
		`"name":"nemo","domain":{"name":"acme"}`,
		`"name":"paula","domain":{"name":"nowhere"}`,
		`"id":"paula"`,
		`"id":"nemo"`,
	} {
		res := in.do(t, request(t, "POST", in.url+"/v3/auth/tokens",
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"password":"wrong",`+user+`}}}}}`))
		if res.status != http.StatusUnauthorized || res.header.Get(headerSubject) != "" {
			t.Errorf("%s: status %d", user, res.status)
		}
		bodies = append(bodies, res.body)
	}
	if len(slices.Compact(slices.Clone(bodies))) != 1 {
		t.Errorf("the answers differ: %q", bodies)
	}
}

// If this failed, a revoked token would live on, or one user could end or read
// the session of another, or a full store would pass for a success.
func TestRevoke(t *testing.T) {
	in := install(t, goldenTime)
	paula, rita, otto := in.token(t, "acme", "paula", ""), in.token(t, "acme", "rita", ""), in.token(t, "other", "otto", "")
	call := func(method, caller, subject string) int {
		t.Helper()
		return in.do(t, request(t, method, in.url+"/v3/auth/tokens", "", "X-Auth-Token", caller, headerSubject, subject)).status
	}
	steps := []struct {
		what                    string
		method, caller, subject string
		want                    int
	}{
		{"a reader reads the token of an administrator", "GET", rita, paula, 403},
		{"a reader revokes the token of an administrator", "DELETE", rita, paula, 403},
		{"another account revokes it", "DELETE", otto, paula, 404},
		{"nobody is named", "DELETE", paula, "", 400},
		{"an administrator reads it", "GET", paula, rita, 200},
		{"an administrator revokes it", "DELETE", paula, rita, 204},
		{"once more", "DELETE", paula, rita, 404},
		{"it is gone as subject", "HEAD", paula, rita, 404},
		{"it is gone as caller", "GET", rita, paula, 401},
	}
	for _, s := range steps {
		if got := call(s.method, s.caller, s.subject); got != s.want {
			t.Errorf("%s: %d, want %d", s.what, got, s.want)
		}
	}
	in.rev.full = true
	if got := call("DELETE", paula, paula); got != http.StatusServiceUnavailable {
		t.Errorf("a revocation that is not kept: %d, want 503", got)
	}
	in.now = in.now.Add(identity.TokenLife + time.Second)
	if got := call("GET", paula, paula); got != http.StatusUnauthorized {
		t.Errorf("an expired token: %d, want 401", got)
	}
}

// If this failed, a client that signs and names neither project nor account
// could not find any service, or one could look into another account.
func TestCatalogueOfASignedRequest(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		status  int
		vpcep   string
	}{
		{"neither", nil, 200, "/v1/" + euDe},
		{"account", []string{"X-Domain-Id", acme}, 200, "/v1/" + euDe},
		{"project", []string{"X-Project-Id", euDeSub}, 200, "/v1/" + euDeSub},
		{"foreign project", []string{"X-Project-Id", foreign}, 403, ""},
	}
	for _, layout := range []func(*http.Request, []byte, string, string, time.Time) error{aksk.Sign, aksk.SignCredential} {
		in := install(t, goldenTime)
		for _, tt := range tests {
			req := request(t, "GET", in.url+"/v3/auth/catalog", "")
			if err := layout(req, nil, access, secret, goldenTime); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(tt.headers); i += 2 {
				req.Header.Set(tt.headers[i], tt.headers[i+1]) // after signing, as clients do
			}
			res := in.do(t, req)
			var body struct{ Catalog []catalogEntry }
			res.into(t, &body)
			if res.status != tt.status || tt.status == 200 && len(body.Catalog) != len(services) {
				t.Errorf("%s: %d %s", tt.name, res.status, res.body)
			}
			for _, e := range body.Catalog {
				if want := publicURL + tt.vpcep; e.Type == "vpcep" && e.Endpoints[0].URL != want {
					t.Errorf("%s: %s, want %s", tt.name, e.Endpoints[0].URL, want)
				}
			}
		}
		in.now = goldenTime.Add(16 * time.Minute)
		req := request(t, "GET", in.url+"/v3/auth/catalog", "")
		if err := layout(req, nil, access, secret, goldenTime); err != nil {
			t.Fatal(err)
		}
		if res := in.do(t, req); res.status != http.StatusUnauthorized || !strings.Contains(res.body, `"error":{"code":401`) {
			t.Errorf("an old signature: %d %s", res.status, res.body)
		}
	}
}

// If this failed, a token of the account could name a foreign project.
func TestCatalogueOfAForeignProject(t *testing.T) {
	in := install(t, goldenTime)
	token := in.token(t, "acme", "paula", "")
	for _, id := range []string{foreign, "none"} {
		if res := in.get(t, "/v3/auth/catalog", token, "X-Project-Id", id); res.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", id, res.status, res.body)
		}
	}
}

// If this failed, the SDK would take a wrong project, or pages would repeat or
// lose items.
func TestFiltersAndPages(t *testing.T) {
	in := install(t, goldenTime)
	token := in.token(t, "acme", "nobody", "")
	tests := []struct {
		path string
		want string // names, or the status
	}{
		{"/v3/projects", "eu-de eu-de_team"},
		{"/v3/projects?name=eu", ""},
		{"/v3/projects?name=EU-DE", ""},
		{"/v3/projects?name=", "eu-de eu-de_team"},
		{"/v3/projects?domain_id=other", ""},
		{"/v3/projects?parent_id=" + acme, "eu-de eu-de_team"},
		{"/v3/projects?parent_id=" + euDe, ""},
		{"/v3/projects?enabled=False", ""},
		{"/v3/projects?is_domain=true", ""},
		{"/v3/projects?is_domain=false&enabled=1", "eu-de eu-de_team"},
		{"/v3/projects?enabled=maybe", "400"},
		{"/v3/projects?is_domain=maybe", "400"},
		{"/v3/projects?page=1&per_page=1", "eu-de"},
		{"/v3/projects?page=2&per_page=1", "eu-de_team"},
		{"/v3/projects?page=3&per_page=1", ""},
		{"/v3/projects?page=1&per_page=1&name=eu-de_team", "eu-de_team"},
		{"/v3/projects?page=9223372036854775807&per_page=5000", ""},
		{"/v3/projects?page=0&per_page=1", "400"},
		{"/v3/projects?page=1&per_page=5001", "400"},
		{"/v3/projects?per_page=1", "400"},
		{"/v3/projects?page=x&per_page=1", "400"},
		{"/v3/auth/projects?name=nothing", "eu-de eu-de_team"}, // no filters there
		{"/v3/auth/domains?name=acme", "acme"},
		{"/v3/users", "paula rita nobody"},
		{"/v3/users?name=rita", "rita"},
		{"/v3/users?name=otto", ""},
		{"/v3/users?domain_id=other&name=otto", ""},
		{"/v3/users?enabled=false", ""},
		{"/v3/users?enabled=maybe", "400"},
		{"/v3/users?page=1", "400"},
	}
	for _, tt := range tests {
		res := in.get(t, tt.path, token)
		if res.status != http.StatusOK {
			if got := fmt.Sprint(res.status); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
			}
			continue
		}
		var body map[string]any
		res.into(t, &body)
		var names []string
		arrays := 0
		for _, v := range body {
			list, ok := v.([]any)
			if !ok {
				continue
			}
			arrays++
			for _, item := range list {
				names = append(names, item.(map[string]any)["name"].(string))
			}
		}
		if got := strings.Join(names, " "); got != tt.want || arrays != 1 {
			t.Errorf("%s: %q in %d arrays, want %q in one", tt.path, got, arrays, tt.want)
		}
	}
}

// broken is an authority whose every step fails.
type broken struct {
	dir *identity.Directory
	err error
}

func (b broken) Authenticate(context.Context, *http.Request, []byte) (sallyport.Principal, error) {
	return sallyport.Principal{DomainID: "gone", DomainName: "gone", Method: sallyport.MethodToken}, nil
}

func (b broken) Login(context.Context, identity.LoginRequest, string) (identity.Token, error) {
	return identity.Token{}, b.err
}

func (b broken) Validate(context.Context, string) (identity.Token, error) {
	return identity.Token{}, b.err
}
func (b broken) Revoke(context.Context, sallyport.Call, string) error { return b.err }
func (b broken) Directory() *identity.Directory                       { return b.dir }

func (b broken) CreateTemporaryKey(context.Context, string, time.Duration, string) (identity.TemporaryKey, error) {
	return identity.TemporaryKey{}, b.err
}

func (b broken) serve(t *testing.T, method, path, body string) answer {
	t.Helper()
	h := edge.New(edge.Options{Gate: b, Projects: b.dir, Families: []edge.Family{
		New(Options{Authority: b, PublicURL: publicURL, Region: region}),
	}})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set(headerSubject, "x")
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// If this failed, an internal text would reach a caller, or a busy or broken
// server would send callers to check their passwords.
func TestFaultsAreNotTheCallers(t *testing.T) {
	const login = `{"auth":{"identity":{"methods":["token"]}}}`
	for _, tt := range []struct {
		err    error
		status int
	}{
		{errDisk, 500},
		{fmt.Errorf("check: %w", identity.ErrBusy), 503},
		{&sallyport.Error{Kind: sallyport.KindInternal, Msg: "secret"}, 500},
		{sallyport.Refuse(sallyport.KindNotFound, "", "no"), 404},
		{sallyport.Refuse(sallyport.KindConflict, "", "no"), 409},
	} {
		b := broken{directory(t), tt.err}
		for _, res := range []answer{
			b.serve(t, "POST", "/v3/auth/tokens", login), b.serve(t, "GET", "/v3/auth/tokens", ""), b.serve(t, "DELETE", "/v3/auth/tokens", ""),
			b.serve(t, "POST", "/v3.0/OS-CREDENTIAL/securitytokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"x"}}}}`),
		} {
			if res.status != tt.status || strings.Contains(res.body, "secret") || !strings.Contains(res.body, fmt.Sprintf(`{"error":{"code":%d,`, tt.status)) {
				t.Errorf("%v: %d %s", tt.err, res.status, res.body)
			}
		}
	}
}

// If this failed, a list of an account that was removed would be null, and
// clients would crash on it.
func TestAccountThatIsGone(t *testing.T) {
	b := broken{dir: directory(t)}
	for path, want := range map[string]string{
		"/v3/projects": `{"projects":[],`, "/v3/auth/projects": `{"projects":[],`, "/v3/users": `{"users":[],`,
		"/v3/auth/domains": `{"domains":[{"id":"gone","name":"gone",`, "/v3/auth/catalog": `{"catalog":[{`,
	} {
		if res := b.serve(t, "GET", path, ""); res.status != 200 || !strings.HasPrefix(res.body, want) {
			t.Errorf("%s: %d %s", path, res.status, res.body)
		}
	}
}

// If this failed, the OTC provider could not find the gateway service: it has no type
// for it, and makes its URL of that of volumev2 (gophertelekomcloud, NewAPIGW).
func TestGatewayBehindVolumes(t *testing.T) {
	a := &api{publicURL: publicURL, authority: broken{dir: directory(t)}}
	for _, e := range a.catalog(&identity.Project{ID: euDe, Name: "eu-de"}, acme) {
		if e.Type != "volumev2" {
			continue
		}
		got := strings.Replace(strings.Replace(e.Endpoints[0].URL, "v2", "v2", 1), "evs", "apig", 1)
		if want := publicURL + "/apig/v2/" + euDe; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		return
	}
	t.Error("no volumev2")
}

// If this failed, a caller who wants Chinese would read English, or one who wants
// English would read less than before.
func TestLanguages(t *testing.T) {
	a := &api{publicURL: publicURL}
	message := func(language string, err error) string {
		res := a.renderError(&edge.Request{Language: language}, err)
		f, ok := res.Body.(failure)
		if !ok || f.Error.Code != res.Status || f.Error.Title != http.StatusText(res.Status) {
			t.Errorf("%v: %+v", err, res)
		}
		return f.Error.Message
	}
	chinese := func(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r >= 0x4e00 }) }
	errs := []error{errDisk, identity.ErrBusy, &subjectError{errDisk}, badBody("x")}
	for kind := identity.AuthMissing; kind.String() != "unknown"; kind++ {
		errs = append(errs, &identity.AuthError{Kind: kind, Detail: "because"})
		if authTexts[kind].zh == "" {
			t.Errorf("kind %s has no sentence", kind)
		}
	}
	for _, c := range edge.Classes {
		errs = append(errs, edge.NewProblem(c, "because"))
		if statusTexts[c.Status()].zh == "" {
			t.Errorf("status %d has no sentence", c.Status())
		}
	}
	for kind := range sallyport.Kind(64) {
		errs = append(errs, sallyport.Refuse(kind, "", "because"))
	}
	for _, err := range errs {
		en, zh := message(edge.English, err), message(edge.Chinese, err)
		if en == "" || chinese(en) || !chinese(zh) {
			t.Errorf("%v: %q and %q", err, en, zh)
		}
		if strings.Contains(en, "because") != strings.Contains(zh, "（because）") {
			t.Errorf("%v: one of %q and %q says more", err, en, zh)
		}
		if strings.Contains(en+zh, errDisk.Error()) {
			t.Errorf("%q or %q shows an internal text", en, zh)
		}
	}
}

// If this failed, a problem of the edge would have another shape or status.
func TestEveryProblemHasTheEnvelope(t *testing.T) {
	a := &api{publicURL: publicURL}
	for _, c := range edge.Classes {
		res := a.renderError(nil, edge.NewProblem(c, "because"))
		want := failure{failureBody{c.Status(), "because", http.StatusText(c.Status())}}
		if diff := cmp.Diff(want, res.Body); res.Status != c.Status() || diff != "" {
			t.Errorf("class %d: status %d (-want +got):\n%s", c, res.Status, diff)
		}
		if challenge := res.Header.Get("Www-Authenticate"); (challenge != "") != (res.Status == 401) {
			t.Errorf("class %d: challenge %q", c, challenge)
		}
	}
}

// If this failed, a body could make a login panic, or a scope could be lost.
func FuzzTokenRequest(f *testing.F) {
	for _, s := range []string{
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u","password":"p"}}},"scope":"unscoped"}}`,
		`{"auth":{"identity":{"methods":[" token"],"token":{"id":"t"}},"scope":{"project":{"name":"n","domain":{"id":"d"}}}}}`,
		`{"auth":{"identity":{},"scope":{"domain":{}}}}`,
		`{"auth":{"identity":null,"scope":null}}`,
		`{"auth":{"identity":{"methods":[null]},"scope":"system"}}`,
		`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"a"},"secret":{"key":"s"},"security_token":{"key":"t"}}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var body tokenRequest
		q := &edge.Request{HTTP: httptest.NewRequest("POST", "/", nil), Body: b}
		if err := edge.Decode(q, &body); err != nil || body.Auth == nil || body.Auth.Identity == nil {
			return
		}
		req := body.login(q.HTTP.Header)
		if (req.Scope.Project != nil) != (body.Auth.Scope.Project != nil) || (req.Scope.Domain != nil) != (body.Auth.Scope.Domain != nil) {
			t.Errorf("scope %+v became %+v", body.Auth.Scope, req.Scope)
		}
	})
}

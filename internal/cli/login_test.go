package cli

import (
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// tokenBody is the body of a token that is for the project.
const tokenBody = `{"token":{"methods":["password"],"expires_at":"2026-01-03T03:04:05.000000Z",` +
	`"project":{"id":"` + project + `","name":"eu-west-101","domain":{"id":"` + account + `","name":"provider"}},` +
	`"user":{"id":"u","name":"paula","domain":{"id":"` + account + `","name":"provider"}}}}`

const (
	quotasCall = "GET /v1/" + project + "/quotas"
	tokensCall = "POST /v3/auth/tokens?nocatalog=true"
)

// bare is a runner that knows the server alone.
func bare(t *testing.T, v *vendor, env ...string) *runner {
	t.Helper()
	r := &runner{t: t, env: map[string]string{"SALLYPORT_ENDPOINT": v.URL}}
	return r.and(env...)
}

// If this fails, a user with a password does not get in, or gets a token for
// something else than the project that the settings name.
func TestPasswordLogin(t *testing.T) {
	paula := []string{"OS_USERNAME", "paula", "OS_PASSWORD", "s3cret", "OS_USER_DOMAIN_NAME", "provider"}
	tests := []struct {
		name  string
		env   []string
		scope string // as JSON
	}{
		{"project id", []string{"OS_PROJECT_ID", project, "OS_REGION_NAME", "r"}, `{"project":{"id":"` + project + `"}}`},
		{"project name", []string{"OS_PROJECT_NAME", "p", "OS_REGION_NAME", "r"}, `{"project":{"name":"p","domain":{"name":"provider"}}}`},
		{"region", []string{"OS_REGION_NAME", "r"}, `{"project":{"name":"r","domain":{"name":"provider"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t)
			v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "made")
			v.on(quotasCall, 200, noQuotas)
			r := bare(t, v, append(paula, tt.env...)...).run("quota").want(t, ExitOK)
			if diff := cmp.Diff([]string{tokensCall, quotasCall}, v.calls()); diff != "" {
				t.Fatalf("calls (-want +got):\n%s", diff)
			}
			want := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"provider"},"name":"paula","password":"s3cret"}}},"scope":` + tt.scope + `}}`
			if diff := cmp.Diff(canonical(t, want), canonical(t, v.log[0].body)); diff != "" {
				t.Errorf("login (-want +got):\n%s", diff)
			}
			if got := v.log[0].header.Get("X-Auth-Token"); got != "" {
				t.Errorf("the login carries a token: %q", got)
			}
			h := v.log[1].header
			if h.Get("X-Auth-Token") != "made" || h.Get("User-Agent") != "sallyport/1.2.3" || h.Get("Accept") != "application/json" {
				t.Errorf("headers of the call = %v", h)
			}
			if strings.Contains(r.out+r.errors, "s3cret") {
				t.Errorf("the password is printed: %s%s", r.out, r.errors)
			}
		})
	}
}

// Without any name of a project there must be one only; the token that was made to
// look is exchanged for one that is for it.
func TestProjectIsLookedUp(t *testing.T) {
	v := newVendor(t)
	v.on(tokensCall, 201, `{"token":{"user":{"id":"u","domain":{"id":"`+account+`"}}}}`, "X-Subject-Token", "of-the-account")
	v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "of-the-project")
	v.on("GET /v3/projects", 200, `{"projects":[{"id":"`+project+`","name":"eu-west-101","domain_id":"`+account+`"}],"links":{}}`)
	v.on(quotasCall, 200, noQuotas)
	paula := bare(t, v, "OS_USERNAME", "paula", "OS_PASSWORD", "s3cret", "OS_DOMAIN_NAME", "provider")
	paula.run("quota").want(t, ExitOK)
	if diff := cmp.Diff([]string{tokensCall, "GET /v3/projects", tokensCall, quotasCall}, v.calls()); diff != "" {
		t.Fatalf("calls (-want +got):\n%s", diff)
	}
	want := `{"auth":{"identity":{"methods":["token"],"token":{"id":"of-the-account"}},"scope":{"project":{"id":"` + project + `"}}}}`
	if diff := cmp.Diff(canonical(t, want), canonical(t, v.log[2].body)); diff != "" {
		t.Errorf("exchange (-want +got):\n%s", diff)
	}
	if got := v.log[3].header.Get("X-Auth-Token"); got != "of-the-project" {
		t.Errorf("token of the call = %q", got)
	}

	many := newVendor(t)
	many.on("GET /v3/projects", 200, `{"projects":[{"id":"1","name":"a"},{"id":"2","name":"b"}]}`)
	many.on("GET /v3/projects?name=c", 200, `{"projects":[{"id":"1","name":"a"},{"id":"2","name":"b"}]}`) // ignores the filter
	key := bare(t, many, "OS_ACCESS_KEY", "ak", "OS_SECRET_KEY", "sk")
	key.run("quota").want(t, ExitFailure).says(t, "find the project: there are 2 projects: a, b", "hint: choose one with --project-name")
	key.run("quota", "--region", "c").want(t, ExitFailure).says(t, "no project is named c")
}

// If this fails, requests are signed for something else than what is sent, or the
// project is not found as clients find it.
func TestAccessKey(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v := newVendor(t)
	verify := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			a, err := aksk.Parse(r.Header.Get("Authorization"))
			if err != nil || a.Access != "ak" {
				t.Errorf("Authorization = %q: %v", r.Header.Get("Authorization"), err)
			}
			if got, want := r.Header.Get("X-Sdk-Date"), now.Format("20060102T150405Z"); got != want {
				t.Errorf("X-Sdk-Date = %q, want %q", got, want)
			}
			if r.Header.Get("X-Auth-Token") != "" {
				t.Error("a signed request carries a token besides")
			}
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}
	v.do("GET /v3/projects?name=eu-west-101", verify(200, `{"projects":[{"id":"`+project+`","name":"eu-west-101"}]}`))
	v.do(quotasCall, verify(200, noQuotas))
	key := bare(t, v, "HW_ACCESS_KEY", "ak", "HW_SECRET_KEY", "s3cret", "HW_REGION_NAME", "eu-west-101")
	r := key.run("quota").want(t, ExitOK)
	if diff := cmp.Diff([]string{"GET /v3/projects?name=eu-west-101", quotasCall}, v.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := v.log[1].header.Get("X-Project-Id"); got != project {
		t.Errorf("X-Project-Id = %q", got)
	}
	if strings.Contains(r.out+r.errors, "s3cret") {
		t.Error("the secret is printed")
	}
	v.log = nil
	key.and("HW_PROJECT_ID", project).run("quota").want(t, ExitOK)
	if diff := cmp.Diff([]string{quotasCall}, v.calls()); diff != "" {
		t.Errorf("with a project id nothing is looked up (-want +got):\n%s", diff)
	}
	key.run("token").want(t, ExitUsage).says(t, "an access key (HW_ACCESS_KEY) signs requests and has no token")
}

// If this fails, a token is used for a project that it is not for, or is asked
// about though the project is known.
func TestToken(t *testing.T) {
	v := newVendor(t)
	v.on("GET /v3/auth/tokens", 200, tokenBody, "X-Subject-Token", "given")
	v.on(quotasCall, 200, noQuotas)
	given := bare(t, v, "OS_TOKEN", "given")
	given.run("quota").want(t, ExitOK)
	if diff := cmp.Diff([]string{"GET /v3/auth/tokens", quotasCall}, v.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := v.log[0].header.Get("X-Subject-Token"); got != "given" {
		t.Errorf("X-Subject-Token = %q", got)
	}
	given.run("quota", "--project-name", "other").want(t, ExitFailure).
		says(t, "the token (OS_TOKEN) is for project eu-west-101 and not for other (--project-name)")
	v.log = nil
	given.run("quota", "--project-id", project).want(t, ExitOK)
	if diff := cmp.Diff([]string{quotasCall}, v.calls()); diff != "" {
		t.Errorf("calls with a project id (-want +got):\n%s", diff)
	}
}

// token is for $(sallyport token): one line, in a pipe too.
func TestTokenVerb(t *testing.T) {
	v := newVendor(t)
	v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "made")
	paula := bare(t, v, "OS_USERNAME", "paula", "OS_PASSWORD", "s3cret", "OS_DOMAIN_NAME", "provider", "OS_PROJECT_ID", project)
	if got := paula.run("token").want(t, ExitOK).out; got != "made\n" {
		t.Errorf("token = %q", got)
	}
	want := map[string]any{"token": "made", "expires_at": "2026-01-03T03:04:05.000000Z", "project_id": project, "domain_id": account}
	if diff := cmp.Diff(want, paula.run("token", "-o", "json").want(t, ExitOK).decoded(t)); diff != "" {
		t.Errorf("token in JSON (-want +got):\n%s", diff)
	}
}

// With an identity URL alone the catalogue says where the API is. If this fails,
// the client works with one server only, and not with a cloud.
func TestCatalogue(t *testing.T) {
	identity, api := newVendor(t), newVendor(t)
	catalog := `[{"type":"vpcep","endpoints":[` +
		`{"interface":"public","region":"other","url":"http://127.0.0.1:1/v1/x"},` +
		`{"interface":"internal","region":"r","url":"http://127.0.0.1:1/v1/x"},` +
		`{"interface":"public","region":"r","url":"` + api.URL + "/v1/" + project + `/"}]}]`
	identity.on("POST /v3/auth/tokens", 201, strings.Replace(tokenBody, `{"token":{`, `{"token":{"catalog":`+catalog+`,`, 1), "X-Subject-Token", "made")
	identity.on("GET /v3/auth/catalog", 200, `{"catalog":`+catalog+`}`)
	api.on(quotasCall, 200, noQuotas)
	for _, url := range []string{identity.URL, identity.URL + "/", identity.URL + "/v3", identity.URL + "/v3/"} {
		identity.log, api.log = nil, nil
		r := &runner{t: t, env: map[string]string{
			"OS_AUTH_URL": url, "OS_USERNAME": "paula", "OS_PASSWORD": "s3cret", "OS_DOMAIN_NAME": "provider",
			"OS_REGION_NAME": "r", "OS_PROJECT_ID": project,
		}}
		r.run("quota").want(t, ExitOK)
		if diff := cmp.Diff([]string{"POST /v3/auth/tokens"}, identity.calls()); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", url, diff)
		}
		if len(api.calls()) != 1 {
			t.Errorf("%s: the API was asked %d times", url, len(api.calls()))
		}
	}
	key := &runner{t: t, env: map[string]string{"OS_AUTH_URL": identity.URL, "OS_ACCESS_KEY": "ak", "OS_SECRET_KEY": "sk", "OS_PROJECT_ID": project}}
	key.run("quota", "--region", "r").want(t, ExitOK)
	key.run("quota", "--region", "nowhere").want(t, ExitFailure).
		says(t, `has no public vpcep for region "nowhere"`, "hint: set --endpoint")
}

// If this fails, somebody searches a long time for a setting that is not there.
func TestIncompleteSettings(t *testing.T) {
	v := newVendor(t)
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"nothing", nil, "no credentials: set OS_USERNAME, OS_PASSWORD and OS_USER_DOMAIN_NAME"},
		{"no secret", []string{"HW_ACCESS_KEY", "ak"}, "the access key (HW_ACCESS_KEY) has no secret beside it"},
		{"no key", []string{"HW_SECRET_KEY", "s3cret"}, "HW_SECRET_KEY has no access key beside it"},
		{"no user", []string{"OS_PASSWORD", "s3cret"}, "OS_PASSWORD has no user beside it"},
		{"no domain", []string{"OS_USERNAME", "paula", "OS_PASSWORD", "s3cret"}, "the account of user paula is not known"},
		{"no password", []string{"OS_USERNAME", "paula", "OS_DOMAIN_NAME", "d"}, "user paula (OS_USERNAME) has no password beside it"},
		{"no URL", []string{"OS_TOKEN", "t", "SALLYPORT_ENDPOINT", "127.0.0.1:8780"}, "SALLYPORT_ENDPOINT is no URL such as http://127.0.0.1:8780"},
		{"user in the URL", []string{"OS_TOKEN", "t", "SALLYPORT_ENDPOINT", "http://u:s3cret@h"}, "SALLYPORT_ENDPOINT must be a URL without user"},
		{"no authorities", []string{"OS_TOKEN", "t", "OS_CACERT", "/does/not/exist"}, "read authorities"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := bare(t, v, tt.env...).run("quota").want(t, ExitUsage).says(t, tt.want)
			if strings.Contains(r.errors, "s3cret") {
				t.Errorf("a secret is shown: %s", r.errors)
			}
		})
	}
	if len(v.calls()) > 0 {
		t.Errorf("requests were sent: %q", v.calls())
	}
}

// If this fails, a self-hosted server with its own authority is reachable only
// without checks, or without any.
func TestAuthorities(t *testing.T) {
	v := newVendor(t)
	v.on(quotasCall, 200, noQuotas)
	server := httptest.NewUnstartedServer(http.HandlerFunc(v.serve))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are the point
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	pemText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, pemText, 0o600); err != nil {
		t.Fatal(err)
	}
	r := with(t, v).and("SALLYPORT_ENDPOINT", server.URL)
	failed := r.run("quota").want(t, ExitFailure).says(t, "certificate signed by unknown authority", "see --ca-file")
	if len(r.slept) > 0 {
		t.Errorf("a certificate is not better at the next attempt: %s", failed.errors)
	}
	r.run("quota", "--ca-file", file).want(t, ExitOK)
	plain := strings.Replace(v.URL, "http://", "https://", 1)
	with(t, v).and("SALLYPORT_ENDPOINT", plain).run("quota").want(t, ExitFailure).says(t, "use http:// in the URL")
}

// canonical reads JSON for comparison.
func canonical(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("no JSON: %v: %s", err, text)
	}
	return v
}

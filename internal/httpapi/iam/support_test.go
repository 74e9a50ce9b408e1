package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// What the test directory holds.
const (
	publicURL = "http://sallyport.example"
	acme      = "6e9dfd51d1124e8d8498dce894923a0d"
	euDe      = "6204a5bd270343b5885144cf9c8c158d"
	euDeSub   = "6204a5bd270343b5885144cf9c8c158e"
	foreign   = "7304a5bd270343b5885144cf9c8c158f"
	access    = "SPEXAMPLE00000000001"
	secret    = "c2VjcmV0LW9mLXRoZS1leGFtcGxlLWtleQ=="
	password  = "correct horse"
	region    = "eu-west-101"
)

// revoked remembers in memory; full makes it refuse.
type revoked struct {
	mu   sync.Mutex
	ids  map[string]bool
	full bool
}

func (r *revoked) Revoked(_ context.Context, id string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id], nil
}

func (r *revoked) Revoke(_ context.Context, _ sallyport.Call, id string, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonTokensFull, "too many revoked tokens")
	}
	r.ids[id] = true
	return nil
}

func directory(t *testing.T) *identity.Directory {
	t.Helper()
	dir, err := identity.NewDirectory([]identity.Account{
		{
			ID: acme, Name: "acme",
			Projects: []identity.Project{{ID: euDe, Name: "eu-de"}, {ID: euDeSub, Name: "eu-de_team"}},
			Users: []identity.User{
				{
					ID: "paula", Name: "paula", Password: password, Roles: []sallyport.Role{sallyport.RoleAdmin},
					Keys: []identity.Key{{Access: access, Secret: secret}},
				},
				{ID: "rita", Name: "rita", Password: password, Roles: []sallyport.Role{sallyport.RoleReader}},
				{ID: "nobody", Name: "nobody", Password: password},
			},
		},
		{
			ID: "other", Name: "other",
			Projects: []identity.Project{{ID: foreign, Name: "eu-de"}},
			Users:    []identity.User{{ID: "otto", Name: "otto", Password: password, Roles: []sallyport.Role{sallyport.RoleAdmin}}},
		},
		{
			ID: "empty", Name: "empty",
			Users: []identity.User{{ID: "emma", Name: "emma", Password: password, Roles: []sallyport.Role{sallyport.RoleAdmin}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// installation is a server on a real socket with a real authority.
type installation struct {
	url  string
	auth *identity.Authority
	rev  *revoked
	now  time.Time
}

// install starts one; more families follow the identity family.
func install(t *testing.T, now time.Time, more ...edge.Family) *installation {
	t.Helper()
	in := &installation{rev: &revoked{ids: map[string]bool{}}, now: now}
	in.auth = identity.New(directory(t), bytes.Repeat([]byte{7}, identity.KeySize), in.rev,
		identity.Options{Now: func() time.Time { return in.now }})
	srv := httptest.NewServer(edge.New(edge.Options{
		Gate: in.auth, Projects: in.auth.Directory(),
		Families: append([]edge.Family{New(Options{Authority: in.auth, PublicURL: publicURL + "/", Region: region})}, more...),
	}))
	t.Cleanup(srv.Close)
	in.url = srv.URL
	return in
}

// token logs in over the wire.
func (in *installation) token(t *testing.T, account, user, scope string) string {
	t.Helper()
	body := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"` + user + `","password":"` + password +
		`","domain":{"name":"` + account + `"}}}}` + scope + `}}`
	res := in.do(t, request(t, "POST", in.url+"/v3/auth/tokens", body))
	text := res.header.Get(headerSubject)
	if res.status != http.StatusCreated || text == "" {
		t.Fatalf("login of %s: %d %s", user, res.status, res.body)
	}
	return text
}

type answer struct {
	status int
	header http.Header
	body   string
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
}

func request(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

func (in *installation) do(t *testing.T, req *http.Request) answer {
	t.Helper()
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

func (in *installation) get(t *testing.T, path, token string, headers ...string) answer {
	t.Helper()
	req := request(t, "GET", in.url+path, "", headers...)
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	return in.do(t, req)
}

// serviceFamily is a family with versions at the root, as VPCEP has.
func serviceFamily() edge.Family {
	return edge.Family{
		Name:  "vpcep",
		Error: func(*edge.Request, error) edge.Response { return edge.Response{Status: http.StatusTeapot} },
		Routes: []edge.Route{{
			Method: "GET", Path: "/", Name: "ListVersionDetails", Public: true, When: edge.WantsServiceVersions,
			Handler: func(context.Context, *edge.Request) (edge.Response, error) {
				return edge.Response{Body: edge.Raw(`{"versions":[{"id":"v1","status":"CURRENT","updated":"2018-09-30T00:00:00Z"}]}`)}, nil
			},
		}},
	}
}

var errDisk = errors.New("disk of the secret kind")

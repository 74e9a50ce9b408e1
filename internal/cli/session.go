package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// defaultEndpoint is where a server listens that nobody told otherwise.
const defaultEndpoint = "http://127.0.0.1:8780"

// identityPath ends every URL of an identity API of version 3.
const identityPath = "/v3"

// session is a client with credentials, an address and a project.
type session struct {
	client *client
	now    func() time.Time
	given  given

	identity  string // URL of the identity API, ending in /v3
	endpoint  string // base URL of the VPCEP API, "" to ask the catalogue
	resources string // URL that every path of VPCEP v1 is put behind, after login

	token     string
	expires   string // of a token that this session made
	project   string
	accountID string // "" where nothing has told it yet
}

// open resolves the settings. Its errors are settingErrors.
func (a *app) open() (*session, error) {
	profile, err := profileSource(a.flags.profile, a.d.Env, a.note)
	if err != nil {
		return nil, err
	}
	g := resolve(flagSource(a.flags.settings), a.d.Env, profile)
	if a.flags.profile != "" {
		a.warnOverridden(profile, g)
	}
	c, err := newClient(program+"/"+a.version().Version, g.get(setCAFile), time.Duration(a.flags.timeout), a.sleep)
	if err != nil {
		return nil, err
	}
	s := &session{client: c, now: a.d.Now, given: g, token: g.get(setToken), project: g.get(setProjectID)}
	if err := s.address(); err != nil {
		return nil, err
	}
	if err := a.complete(g); err != nil {
		return nil, err
	}
	return s, nil
}

// warnOverridden says which settings of a profile that was asked for by flag do
// not count, because the environment comes first.
func (a *app) warnOverridden(profile source, g given) {
	for _, s := range settings {
		environment := !strings.HasPrefix(g.from[s.key], "--") && g.from[s.key] != profile.from(s.key)
		if profile.has(s.key) && g.get(s.key) != "" && environment {
			a.note("warning: %s of the environment comes before %s", g.from[s.key], profile.from(s.key))
		}
	}
}

// address sets the URLs.
func (s *session) address() error {
	for _, key := range []string{setEndpoint, setAuthURL} {
		text := s.given.get(key)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return settingf("%s is no URL such as %s", s.given.from[key], defaultEndpoint)
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return settingf("%s must be a URL without user, query and fragment", s.given.from[key])
		}
		s.given.values[key] = strings.TrimRight(text, "/")
	}
	s.endpoint, s.identity = s.given.get(setEndpoint), s.given.get(setAuthURL)
	if s.identity == "" {
		s.endpoint = cmp.Or(s.endpoint, defaultEndpoint)
		s.identity = s.endpoint + identityPath
	}
	if !strings.HasSuffix(s.identity, identityPath) {
		s.identity += identityPath
	}
	return nil
}

// complete checks that the credentials are whole; a password that is missing is
// asked for where somebody can answer.
func (a *app) complete(g given) error {
	switch g.kind {
	case credentialNone:
		return settingf("no credentials: set OS_USERNAME, OS_PASSWORD and OS_USER_DOMAIN_NAME, or OS_ACCESS_KEY and OS_SECRET_KEY, or OS_TOKEN; '%s help environment' explains them", program)
	case credentialKey:
		if g.get(setAccessKey) == "" {
			return settingf("%s has no access key beside it: set --access-key or OS_ACCESS_KEY", g.from[setSecretKey])
		}
		if g.get(setSecretKey) == "" {
			return settingf("the access key (%s) has no secret beside it: set OS_SECRET_KEY", g.from[setAccessKey])
		}
	case credentialPassword:
		if g.get(setUsername) == "" {
			return settingf("%s has no user beside it: set --username or OS_USERNAME", g.from[setPassword])
		}
		if g.get(setDomain) == "" {
			return settingf("the account of user %s is not known: set --domain or OS_USER_DOMAIN_NAME", g.get(setUsername))
		}
	case credentialToken:
	}
	return nil
}

// authorize adds the credentials to a request.
func (s *session) authorize(req *request) {
	req.header = http.Header{}
	if s.given.kind != credentialKey {
		req.header.Set("X-Auth-Token", s.token)
		return
	}
	if s.project != "" {
		req.header.Set("X-Project-Id", s.project)
	}
	req.sign = func(r *http.Request, body []byte) error {
		return aksk.Sign(r, body, s.given.get(setAccessKey), s.given.get(setSecretKey), s.now())
	}
}

// do sends a request to the VPCEP API. path begins with a slash and stands
// behind the project.
func (s *session) do(ctx context.Context, method, path string, query url.Values, body any) (reply, error) {
	req := request{method: method, url: s.resources + path, query: query, body: body}
	s.authorize(&req)
	return s.client.send(ctx, req)
}

// ask sends a GET to the identity API.
func (s *session) ask(ctx context.Context, path string, query url.Values, into any) error {
	req := request{method: http.MethodGet, url: s.identity + path, query: query}
	s.authorize(&req)
	r, err := s.client.send(ctx, req)
	if err != nil {
		return err
	}
	return r.decode(into)
}

// account returns the id of the caller's account, "" where it cannot be told.
func (a *app) account(ctx context.Context) string {
	s := a.session
	if s == nil {
		return ""
	}
	if s.accountID == "" {
		var answer struct {
			Domains []named `json:"domains"`
		}
		if err := s.ask(ctx, "/auth/domains", nil, &answer); err == nil && len(answer.Domains) == 1 {
			s.accountID = answer.Domains[0].ID
		}
	}
	return s.accountID
}

// gone reports whether the error says that the thing does not exist.
func gone(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && e.status == http.StatusNotFound
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// maxPasswordInput bounds a password that is read, in bytes. The server refuses
// what is longer.
const maxPasswordInput = 1024

// named is what the identity API says of a project or an account.
type named struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain *named `json:"domain"`
	Parent string `json:"domain_id"` // of a project in a list
}

// tokenAnswer is the body of a token.
type tokenAnswer struct {
	Token struct {
		ExpiresAt string         `json:"expires_at"`
		Project   *named         `json:"project"`
		Domain    *named         `json:"domain"`
		User      *named         `json:"user"`
		Catalog   []catalogEntry `json:"catalog"`
	} `json:"token"`
}

// catalogEntry is one service of the catalogue.
type catalogEntry struct {
	Type      string `json:"type"`
	Endpoints []struct {
		Interface string `json:"interface"`
		Region    string `json:"region"`
		RegionID  string `json:"region_id"`
		URL       string `json:"url"`
	} `json:"endpoints"`
}

// login makes the session usable: a token or a key, a project, and the URL that
// belongs to both.
func (s *session) login(ctx context.Context) error {
	catalog, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	return s.findResources(ctx, catalog)
}

// authenticate gets a token or a key, and a project. It returns the catalogue if
// that came with the token.
func (s *session) authenticate(ctx context.Context) ([]catalogEntry, error) {
	var catalog []catalogEntry
	var err error
	switch s.given.kind {
	case credentialPassword:
		catalog, err = s.loginPassword(ctx)
	case credentialToken:
		catalog, err = s.loginToken(ctx)
	case credentialKey, credentialNone:
	}
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	if s.project == "" {
		if catalog, err = s.findProject(ctx); err != nil {
			return nil, fmt.Errorf("find the project: %w", err)
		}
	}
	return catalog, nil
}

// loginPassword makes a token for the project that the settings name, by id or by
// name, the region's name standing in for it; without one, for the account.
func (s *session) loginPassword(ctx context.Context) ([]catalogEntry, error) {
	account := map[string]any{"name": s.given.get(setDomain)}
	user := map[string]any{"name": s.given.get(setUsername), "password": s.given.get(setPassword), "domain": account}
	var scope any
	if s.project != "" {
		scope = map[string]any{"project": map[string]any{"id": s.project}}
	} else if name := s.projectName(); name != "" {
		scope = map[string]any{"project": map[string]any{"name": name, "domain": account}}
	}
	return s.makeToken(ctx, map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": user}}, scope)
}

// loginToken learns the project of a token that was given, unless it is given too.
func (s *session) loginToken(ctx context.Context) ([]catalogEntry, error) {
	if s.project != "" {
		return nil, nil
	}
	req := request{method: http.MethodGet, url: s.identity + "/auth/tokens"}
	s.authorize(&req)
	req.header.Set("X-Subject-Token", s.token)
	r, err := s.client.send(ctx, req)
	if err != nil {
		return nil, err
	}
	var answer tokenAnswer
	if err := r.decode(&answer); err != nil {
		return nil, err
	}
	s.learn(&answer)
	if p := answer.Token.Project; p != nil {
		if want := s.given.get(setProjectName); want != "" && want != p.Name {
			return nil, fmt.Errorf("the token (%s) is for project %s and not for %s (%s)", s.given.from[setToken], p.Name, want, s.given.from[setProjectName])
		}
	}
	return answer.Token.Catalog, nil
}

// makeToken asks for a token and puts it into the session. scope may be nil.
func (s *session) makeToken(ctx context.Context, identity map[string]any, scope any) ([]catalogEntry, error) {
	auth := map[string]any{"identity": identity}
	if scope != nil {
		auth["scope"] = scope
	}
	req := request{method: http.MethodPost, url: s.identity + "/auth/tokens", body: map[string]any{"auth": auth}}
	if s.endpoint != "" {
		req.query = url.Values{"nocatalog": {"true"}}
	}
	r, err := s.client.send(ctx, req)
	if err != nil {
		if e, ok := errors.AsType[*apiError](err); ok && e.status == http.StatusForbidden && scope != nil {
			return nil, &hinted{err, "the account has no such project: choose one with --project-name or --project-id; without either it is the one named like the region"}
		}
		return nil, err
	}
	var answer tokenAnswer
	if err := r.decode(&answer); err != nil {
		return nil, err
	}
	if s.token = r.header.Get("X-Subject-Token"); s.token == "" {
		return nil, &answerError{errors.New("there is no header X-Subject-Token")}
	}
	s.expires = answer.Token.ExpiresAt
	s.learn(&answer)
	return answer.Token.Catalog, nil
}

// learn takes project and account from the body of a token.
func (s *session) learn(answer *tokenAnswer) {
	t := answer.Token
	if t.Project != nil {
		s.project = t.Project.ID
	}
	switch {
	case t.Project != nil && t.Project.Domain != nil:
		s.accountID = t.Project.Domain.ID
	case t.Domain != nil:
		s.accountID = t.Domain.ID
	case t.User != nil && t.User.Domain != nil:
		s.accountID = t.User.Domain.ID
	}
}

// projectName returns the name that the project is looked up by. In these clouds
// every region has a project that is called like it.
func (s *session) projectName() string {
	if name := s.given.get(setProjectName); name != "" {
		return name
	}
	return s.given.get(setRegion)
}

// findProject looks the project up. A token that is not for it yet is exchanged.
func (s *session) findProject(ctx context.Context) ([]catalogEntry, error) {
	name := s.projectName()
	query := url.Values{}
	if name != "" {
		query.Set("name", name)
	}
	var answer struct {
		Projects []named `json:"projects"`
	}
	if err := s.ask(ctx, "/projects", query, &answer); err != nil {
		return nil, err
	}
	found := answer.Projects
	if name != "" { // a server may ignore the filter
		found = slices.DeleteFunc(found, func(p named) bool { return p.Name != name })
	}
	if len(found) != 1 {
		return nil, whichProject(name, found)
	}
	s.project, s.accountID = found[0].ID, found[0].Parent
	if s.given.kind == credentialKey {
		return nil, nil
	}
	return s.makeToken(ctx, map[string]any{"methods": []string{"token"}, "token": map[string]any{"id": s.token}},
		map[string]any{"project": map[string]any{"id": s.project}})
}

func whichProject(name string, found []named) error {
	const choose = "choose one with --project-name, --project-id or --region"
	if len(found) == 0 && name != "" {
		return &hinted{fmt.Errorf("no project is named %s", name), choose}
	}
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = p.Name
	}
	return &hinted{fmt.Errorf("there are %d projects: %s", len(found), listed(names)), choose}
}

// findResources sets the URL of the VPCEP API: the endpoint where one is set, else
// the entry of the catalogue, which the identity API is trusted to be right about.
func (s *session) findResources(ctx context.Context, catalog []catalogEntry) error {
	if s.endpoint != "" {
		s.resources = s.endpoint + "/v1/" + url.PathEscape(s.project)
		return nil
	}
	if len(catalog) == 0 {
		var answer struct {
			Catalog []catalogEntry `json:"catalog"`
		}
		if err := s.ask(ctx, "/auth/catalog", nil, &answer); err != nil {
			return fmt.Errorf("read the catalogue: %w", err)
		}
		catalog = answer.Catalog
	}
	region := s.given.get(setRegion)
	for _, entry := range catalog {
		for _, e := range entry.Endpoints {
			if entry.Type == "vpcep" && e.Interface == "public" && (region == "" || e.Region == region || e.RegionID == region) {
				u, err := url.Parse(e.URL)
				if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
					return fmt.Errorf("the catalogue has a URL for vpcep that is none: %s", shorten(e.URL))
				}
				s.resources = strings.TrimRight(e.URL, "/")
				return nil
			}
		}
	}
	return &hinted{fmt.Errorf("the catalogue of %s has no public vpcep for region %q", s.identity, region), "set --endpoint or SALLYPORT_ENDPOINT to the URL of the API, or another --region"}
}

// loginSecret asks for the password of a login that has none.
func (a *app) loginSecret(ctx context.Context, g given) error {
	if g.kind != credentialPassword || g.get(setPassword) != "" {
		return nil
	}
	text, ok, err := a.askPassword(ctx, fmt.Sprintf("password of %s: ", clean(g.get(setUsername))))
	if err != nil {
		return err
	}
	if !ok {
		return settingf("user %s (%s) has no password beside it: set OS_PASSWORD", g.get(setUsername), g.from[setUsername])
	}
	g.values[setPassword] = text
	return nil
}

// askPassword reads a password from the terminal without echo; ok is false where
// stdin is none. When ctx ends, it turns the echo on again, so that whoever breaks
// off keeps a terminal that can be used; the read itself ends with the next line.
func (a *app) askPassword(ctx context.Context, prompt string) (password string, ok bool, err error) {
	file, isFile := a.d.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return "", false, nil
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", true, fmt.Errorf("look at the terminal: %w", err)
	}
	_, _ = io.WriteString(a.d.Stderr, prompt)
	restored := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(restored)
		_ = term.Restore(fd, before)
		_, _ = io.WriteString(a.d.Stderr, "\ninterrupted; press Enter\n")
	})
	text, err := term.ReadPassword(fd)
	if !stop() {
		<-restored
	}
	_, _ = io.WriteString(a.d.Stderr, "\n")
	if ctx.Err() != nil {
		return "", true, ctx.Err()
	}
	if err != nil {
		return "", true, fmt.Errorf("read the password: %w", err)
	}
	return string(text), true, nil
}

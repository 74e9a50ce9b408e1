package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// tfCatalogue is what the providers read of the service catalogue.
type tfCatalogue []struct {
	Type      string `json:"type"`
	Endpoints []struct {
		Interface string `json:"interface"`
		Region    string `json:"region"`
		URL       string `json:"url"`
	} `json:"endpoints"`
}

// find returns the URL of a service as gophertelekomcloud looks it up.
func (l tfCatalogue) find(kind, region string) string {
	for _, s := range l {
		for _, e := range s.Endpoints {
			if s.Type == kind && e.Interface == "public" && e.Region == region {
				return strings.TrimSuffix(e.URL, "/") + "/"
			}
		}
	}
	return ""
}

// tfNamed is an entry of a list of identity.
type tfNamed struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// tokenAnswer is what the providers read of a login.
type tokenAnswer struct {
	Token struct {
		ExpiresAt string      `json:"expires_at"`
		Catalog   tfCatalogue `json:"catalog"`
		User      tfNamed     `json:"user"`
		Project   *struct {
			ID     string  `json:"id"`
			Domain tfNamed `json:"domain"`
		} `json:"project,omitempty"`
		Domain *tfNamed `json:"domain,omitempty"`
	} `json:"token"`
}

// one reads a list of identity that has to have one entry.
func (c *terraform) one(path, key string) tfNamed {
	c.t.Helper()
	list := identityList(c.t, c.call(http.MethodGet, c.iam+"v3/"+path, nil, 200), key)
	if len(list) != 1 {
		c.t.Fatalf("%s: %v, want one", path, list)
	}
	return list[0]
}

// identityList reads a list of identity.
func identityList(t *testing.T, a answer, key string) (out []tfNamed) {
	t.Helper()
	var body map[string]json.RawMessage
	a.into(t, &body)
	tfStrict(t, body[key], &out)
	return out
}

// twice sends the same bytes twice, as a pager does that only looks whether
// there is a first page.
func (c *terraform) twice(path string) answer {
	c.t.Helper()
	req := c.request(http.MethodGet, c.iam+"v3/"+path, nil)
	first := c.deliver(req)
	second := c.deliver(req.Clone(req.Context()))
	if first.status != 200 || second.status != 200 || string(first.body) != string(second.body) {
		c.t.Fatalf("%s: the same request twice is answered %s and %s", path, first, second)
	}
	return first
}

// scope is what a token is asked for.
func (c *terraform) scope(kind string) map[string]any {
	switch kind {
	case "project by name":
		return map[string]any{"project": map[string]any{"name": region, "domain": map[string]any{"name": c.user.domain}}}
	case "project":
		return map[string]any{"project": map[string]any{"id": c.user.project}}
	case "domain":
		return map[string]any{"domain": map[string]any{"name": c.user.domain}}
	}
	return nil
}

// tokenFor asks for a token, by password or with a token, and wants what the
// providers read of the answer.
func (c *terraform) tokenFor(scope string, with string) (string, tokenAnswer) {
	c.t.Helper()
	identity := map[string]any{"methods": []string{"token"}, "token": map[string]any{"id": with}}
	if with == "" {
		identity = map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": c.user.name, "password": c.user.password, "domain": map[string]any{"name": c.user.domain},
		}}}
	}
	auth := map[string]any{"identity": identity}
	if s := c.scope(scope); s != nil {
		auth["scope"] = s
	}
	token, project, domain := c.token, c.project, c.domain
	c.token, c.project, c.domain = "none yet", "", "" // a login carries no credentials but its own
	req := c.request(http.MethodPost, c.iam+"v3/auth/tokens", map[string]any{"auth": auth})
	c.token, c.project, c.domain = token, project, domain
	req.Header.Del("X-Auth-Token")
	a := c.deliver(req)
	if a.status != 201 || a.header.Get("X-Subject-Token") == "" {
		c.t.Fatalf("log in: %s", a)
	}
	var out tokenAnswer
	c.into(a, &out)
	if _, err := time.Parse(time.RFC3339, out.Token.ExpiresAt); err != nil {
		c.t.Errorf("expires_at: %v", err)
	}
	if len(out.Token.Catalog) == 0 {
		c.t.Errorf("a token comes without a catalogue")
	}
	wantProject := strings.HasPrefix(scope, "project")
	if wantProject != (out.Token.Project != nil) {
		c.t.Errorf("the token for %q is for the project %v", scope, out.Token.Project)
	}
	if wantProject && (out.Token.Project.ID != c.user.project || out.Token.Project.Domain.ID != c.user.domainID) {
		c.t.Errorf("the token is for %v", out.Token.Project)
	}
	return a.header.Get("X-Subject-Token"), out
}

// hwStart is what the Huawei provider asks before its first resource, with each
// way of proving who it is.
func (c *terraform) hwStart(mode string) {
	c.t.Helper()
	switch mode {
	case "key":
		c.project, c.domain = "", ""
		c.project = c.one("projects?name="+region, "projects").ID
	case "key and project":
		c.domain = ""
	case "password":
		var first tokenAnswer
		c.token, first = c.tokenFor("project by name", "")
		c.project = first.Token.Project.ID
		_, _ = c.tokenFor("domain", "")
	case "token":
		given, _ := c.tokenFor("project", "") // the user has got it somehow
		c.calls = nil
		c.token, _ = c.tokenFor("project", given)
		_, _ = c.tokenFor("", given)
	}
	c.domain = c.one("auth/domains", "domains").ID
	if mode == "password" {
		if got := c.one("users?name="+url.QueryEscape(c.user.name), "users"); got.Name != c.user.name {
			c.t.Errorf("the user is called %q", got.Name)
		}
	}
	if c.project != c.user.project || c.domain != c.user.domainID {
		c.t.Errorf("the provider takes its project for %s and its account for %s", c.project, c.domain)
	}
}

// otcStart is what the OTC provider asks before its first resource. It finds the
// service in the catalogue or not at all.
func (c *terraform) otcStart(mode string) {
	c.t.Helper()
	var list tfCatalogue
	switch mode {
	case "key":
		c.project, c.domain = "", ""
		projects := identityList(c.t, c.twice("projects?name="+region), "projects")
		if len(projects) != 1 {
			c.t.Fatalf("%d projects are called %s", len(projects), region)
		}
		c.project = projects[0].ID
		list = c.catalogue()
		domains := identityList(c.t, c.twice("auth/domains?name="+c.user.domain), "domains")
		if len(domains) != 1 || domains[0].Name != c.user.domain {
			c.t.Fatalf("the accounts called %s are %v", c.user.domain, domains)
		}
		project := c.project
		c.project = ""
		c.catalogue() // the client of the account names neither
		c.project, c.domain = project, domains[0].ID
	default:
		with := ""
		if mode == "token" {
			with, _ = c.tokenFor("project", "")
			c.calls = nil
		}
		var first tokenAnswer
		c.token, first = c.tokenFor("project by name", with)
		_, second := c.tokenFor("domain", with)
		if second.Token.Domain == nil || second.Token.Domain.ID != c.user.domainID {
			c.t.Errorf("the second token is for %v", second.Token.Domain)
		}
		list, c.project = first.Token.Catalog, first.Token.Project.ID
		c.domain = first.Token.Project.Domain.ID
	}
	name, _, _ := strings.Cut(region, "_")
	if c.url = list.find("vpcep", name); c.url == "" {
		c.t.Fatal("no suitable endpoint could be found in the service catalog")
	}
	if want := "/v1/" + c.project + "/"; !strings.HasSuffix(c.url, want) {
		c.t.Errorf("the catalogue's URL is %s, want an end of %s", c.url, want)
	}
}

// catalogue asks for the service catalogue.
func (c *terraform) catalogue() tfCatalogue {
	c.t.Helper()
	a := c.call(http.MethodGet, c.iam+"v3/auth/catalog", nil, 200)
	var out struct {
		Catalog tfCatalogue `json:"catalog"`
	}
	c.into(a, &out)
	if len(out.Catalog) == 0 {
		c.t.Fatal("the catalogue is empty")
	}
	return out.Catalog
}

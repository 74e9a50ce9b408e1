package iam

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// maxPage is the most items of one answer, with per_page or without (IAM API
// reference, per_page).
const maxPage = 5000

// links are those of a list or of an item. Nothing follows and nothing precedes:
// pages are asked for by number.
type links struct {
	Self     string  `json:"self"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
}

func (a *api) self(path string) links { return links{Self: a.publicURL + path} }

// A list has exactly one top-level array: pagers merge all they find.

type project struct {
	ID          sallyport.ProjectID `json:"id"`
	Name        string              `json:"name"`
	DomainID    sallyport.DomainID  `json:"domain_id"`
	ParentID    sallyport.DomainID  `json:"parent_id"`
	IsDomain    bool                `json:"is_domain"`
	Enabled     bool                `json:"enabled"`
	Description string              `json:"description"`
	Links       links               `json:"links"`
}

type domain struct {
	ID          sallyport.DomainID `json:"id"`
	Name        string             `json:"name"`
	Enabled     bool               `json:"enabled"`
	Description string             `json:"description"`
	Links       links              `json:"links"`
}

type user struct {
	ID                sallyport.UserID   `json:"id"`
	Name              string             `json:"name"`
	DomainID          sallyport.DomainID `json:"domain_id"`
	Enabled           bool               `json:"enabled"`
	Description       string             `json:"description"`
	PasswordExpiresAt *string            `json:"password_expires_at"` // null: never
	Links             links              `json:"links"`
}

// account returns what the directory says of the caller's account. One that it
// does not hold (any more) has neither projects nor users.
func (a *api) account(q *edge.Request) identity.Account {
	p := q.Call.Principal
	acc, ok := a.authority.Directory().Account(p.DomainID)
	if !ok {
		return identity.Account{ID: p.DomainID, Name: p.DomainName}
	}
	return acc
}

// listProjects is KeystoneListProjects: the projects of the caller's account.
// The filter name is exact, as the SDK takes the id of the only match.
func (a *api) listProjects(_ context.Context, q *edge.Request) (edge.Response, error) {
	acc, query := a.account(q), q.HTTP.URL.Query()
	enabled, err := passes(query, "enabled", true)
	if err != nil {
		return edge.Response{}, err
	}
	plain, err := passes(query, "is_domain", false)
	if err != nil {
		return edge.Response{}, err
	}
	none := !enabled || !plain || excludes(query, "domain_id", string(acc.ID)) || excludes(query, "parent_id", string(acc.ID))
	return a.projects(acc, query, none, "/v3/projects")
}

// listAuthProjects is KeystoneListAuthProjects, which takes no filters.
func (a *api) listAuthProjects(_ context.Context, q *edge.Request) (edge.Response, error) {
	return a.projects(a.account(q), nil, false, "/v3/auth/projects")
}

func (a *api) projects(acc identity.Account, query url.Values, none bool, path string) (edge.Response, error) {
	p, err := pageOf(query)
	if err != nil {
		return edge.Response{}, err
	}
	list := []project{}
	for _, pr := range acc.Projects {
		if none || excludes(query, "name", pr.Name) || !p.takes() {
			continue
		}
		list = append(list, project{
			ID: pr.ID, Name: pr.Name, DomainID: acc.ID, ParentID: acc.ID, Enabled: true,
			Links: a.self("/v3/projects/" + string(pr.ID)),
		})
	}
	return edge.Response{Body: struct {
		Projects []project `json:"projects"`
		Links    links     `json:"links"`
	}{list, a.self(path)}}, nil
}

// listAuthDomains is KeystoneListAuthDomains: the caller's account, always that
// one. A name in the query is not documented and not looked at: one client sends
// it, and drops its account silently unless it gets exactly one item.
func (a *api) listAuthDomains(_ context.Context, q *edge.Request) (edge.Response, error) {
	acc := a.account(q)
	return edge.Response{Body: struct {
		Domains []domain `json:"domains"`
		Links   links    `json:"links"`
	}{
		[]domain{{ID: acc.ID, Name: acc.Name, Enabled: true, Links: a.self("/v3/domains/" + string(acc.ID))}},
		a.self("/v3/auth/domains"),
	}}, nil
}

// listUsers is KeystoneListUsers: the users of the caller's account.
func (a *api) listUsers(_ context.Context, q *edge.Request) (edge.Response, error) {
	acc, query := a.account(q), q.HTTP.URL.Query()
	enabled, err := passes(query, "enabled", true)
	if err != nil {
		return edge.Response{}, err
	}
	p, err := pageOf(query)
	if err != nil {
		return edge.Response{}, err
	}
	none := !enabled || excludes(query, "domain_id", string(acc.ID))
	list := []user{}
	for _, u := range acc.Users {
		if none || excludes(query, "name", u.Name) || !p.takes() {
			continue
		}
		list = append(list, user{
			ID: u.ID, Name: u.Name, DomainID: acc.ID, Enabled: true,
			Links: a.self("/v3/users/" + string(u.ID)),
		})
	}
	return edge.Response{Body: struct {
		Users []user `json:"users"`
		Links links  `json:"links"`
	}{list, a.self("/v3/users")}}, nil
}

// excludes reports whether the query has a filter that the value does not meet.
// An empty filter is none.
func excludes(query url.Values, name, value string) bool {
	want := query.Get(name)
	return want != "" && want != value
}

// passes reports whether items that are all of the value pass a boolean filter.
func passes(query url.Values, name string, value bool) (bool, error) {
	text := query.Get(name)
	if text == "" {
		return true, nil
	}
	want, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		return false, sallyport.Refuse(sallyport.KindInvalid, "", "%s must be true or false", name)
	}
	return want == value, nil
}

// page counts matching items and takes those of one page.
type page struct{ skip, left int }

// pageOf reads page (from 1) and per_page (1–5000): both or neither.
func pageOf(query url.Values) (*page, error) {
	number, size := query.Get("page"), query.Get("per_page")
	if number == "" && size == "" {
		return &page{left: maxPage}, nil
	}
	n, err := strconv.Atoi(number)
	per, err2 := strconv.Atoi(size)
	if err != nil || err2 != nil || n < 1 || per < 1 || per > maxPage {
		return nil, sallyport.Refuse(sallyport.KindInvalid, "", "page must be at least 1 and per_page 1 to %d, both or neither", maxPage)
	}
	// A directory has at most identity.MaxEntries items, so a later page is empty.
	return &page{skip: min(n-1, identity.MaxEntries) * per, left: per}, nil
}

// takes reports whether the next matching item is on the page.
func (p *page) takes() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	p.left--
	return p.left >= 0
}

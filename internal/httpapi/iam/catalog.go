package iam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// catalogEntry is one service of the catalogue.
type catalogEntry struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Endpoints []catalogEndpoint `json:"endpoints"`
}

// catalogEndpoint is where a service is. Some clients read region, some region_id.
type catalogEndpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

// services is what the catalogue shows; a path that ends in a slash is followed
// by the project.
//
// volumev2 is not served. One client has no type for the gateway service: it
// takes the URL of volumev2, puts apig in the place of the first evs, and appends the
// path of the operation. So the gateway family is served below /apig as well, and the
// name of the host must not have the letters evs in it.
var services = []struct{ kind, name, path string }{
	{"identity", "iam", "/v3"},
	{"vpcep", "vpcep", "/v1/"},
	{"css", "css", "/v1.0/"},
	{"apig", "apig", "/v2/"},
	{"volumev2", "evs", "/evs/v2/"},
}

// stableID returns an id of 32 hexadecimal digits that is the same in every
// process, so that replicas show one catalogue.
func stableID(what string) string {
	sum := sha256.Sum256([]byte(what))
	return hex.EncodeToString(sum[:16])
}

// catalog returns the services for a project of the account. Where project is
// nil, an account's first project stands in, because a client that signs and
// names neither project nor account still wants a catalogue. The region is the
// name of the project up to the first underscore, which is how clients without a
// configured region find theirs; an account without any project sees the
// region of the installation and only what needs no project.
func (a *api) catalog(project *identity.Project, account sallyport.DomainID) []catalogEntry {
	if project == nil {
		if acc, ok := a.authority.Directory().Account(account); ok && len(acc.Projects) > 0 {
			project = &acc.Projects[0]
		}
	}
	region, id := a.region, ""
	if project != nil {
		region, _, _ = strings.Cut(project.Name, "_")
		id = string(project.ID)
	}
	list := make([]catalogEntry, 0, len(services))
	for _, s := range services {
		if strings.HasSuffix(s.path, "/") {
			if id == "" {
				continue
			}
			s.path += id
		}
		list = append(list, catalogEntry{
			ID: stableID("service " + s.kind), Name: s.name, Type: s.kind,
			Endpoints: []catalogEndpoint{{
				ID: stableID("endpoint " + s.kind), Interface: "public",
				Region: region, RegionID: region, URL: a.publicURL + s.path,
			}},
		})
	}
	return list
}

// showCatalog is KeystoneShowCatalog. The project is the one of the token or of
// the signed request; a token of the account may name one in X-Project-Id.
func (a *api) showCatalog(_ context.Context, q *edge.Request) (edge.Response, error) {
	p := q.Call.Principal
	var project *identity.Project
	if p.ProjectID != "" {
		project = &identity.Project{ID: p.ProjectID, Name: p.ProjectName}
	} else if asked := q.HTTP.Header.Get("X-Project-Id"); asked != "" {
		found, owner, ok := a.authority.Directory().Project(sallyport.ProjectID(asked))
		if !ok || owner != p.DomainID {
			return edge.Response{}, sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonProjectForeign,
				"the project in X-Project-Id is not the caller's")
		}
		project = &found
	}
	return edge.Response{Body: struct {
		Catalog []catalogEntry `json:"catalog"`
		Links   links          `json:"links"`
	}{a.catalog(project, p.DomainID), a.self("/v3/auth/catalog")}}, nil
}

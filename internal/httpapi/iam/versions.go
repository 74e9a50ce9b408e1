package iam

import (
	"context"
	"net/http"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// version is one version of the identity API. Clients look for an id with "v3"
// in it and a status that means supported, and go where the link "self" points.
type version struct {
	ID         string        `json:"id"`
	Status     string        `json:"status"`
	Updated    string        `json:"updated"`
	MediaTypes []mediaType   `json:"media-types"`
	Links      []versionLink `json:"links"`
}

type mediaType struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

type versionLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// versions has the shape that Keystone gives its list, an object in an object.
type versions struct {
	Versions struct {
		Values []version `json:"values"`
	} `json:"versions"`
}

// Versions returns the body of the version list at the root path. publicURL is
// where clients reach the server; a slash at its end does not matter.
func Versions(publicURL string) any {
	var v versions
	v.Versions.Values = []version{versionAt(strings.TrimSuffix(publicURL, "/"))}
	return v
}

func versionAt(publicURL string) version {
	return version{
		ID: "v3.6", Status: "stable", Updated: "2016-04-04T00:00:00Z",
		MediaTypes: []mediaType{{Base: "application/json", Type: "application/vnd.openstack.identity-v3+json"}},
		Links:      []versionLink{{Rel: "self", Href: publicURL + "/v3/"}},
	}
}

// listVersions is KeystoneListVersions: 300, which every client accepts.
func (a *api) listVersions(context.Context, *edge.Request) (edge.Response, error) {
	return edge.Response{Status: http.StatusMultipleChoices, Body: Versions(a.publicURL)}, nil
}

// showVersion is KeystoneShowVersion.
func (a *api) showVersion(context.Context, *edge.Request) (edge.Response, error) {
	return edge.Response{Body: map[string]version{"version": versionAt(a.publicURL)}}, nil
}

package vpcep

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// version is one version of this API.
type version struct {
	ID         string        `json:"id"`
	Status     string        `json:"status"`
	Updated    string        `json:"updated"`
	Version    string        `json:"version"`
	MinVersion string        `json:"min_version"`
	Links      []versionLink `json:"links"`
}

// versionLink is where a version is.
type versionLink struct {
	Href string `json:"href"`
	Type string `json:"type"`
	Rel  string `json:"rel"`
}

// versionList is the answer of ListVersionDetails.
type versionList struct {
	Versions []version `json:"versions"`
}

// versionAnswer is the answer of ListSpecifiedVersionDetails.
type versionAnswer struct {
	Version version `json:"version"`
}

// versions lists version 1, and version 2, which is three calls that clients
// make beside it.
func (a *api) versions() []version {
	return []version{
		a.version("v1", "1", "2018-09-30T00:00:00Z"),
		a.version("v2", "2", "2020-03-30T00:00:00Z"),
	}
}

func (a *api) version(id, number, updated string) version {
	return version{
		ID: id, Status: "CURRENT", Updated: updated, Version: number,
		Links: []versionLink{{Href: a.publicURL + "/" + id, Type: "application/json", Rel: "self"}},
	}
}

// listVersions is ListVersionDetails.
func (a *api) listVersions(context.Context, *edge.Request) (edge.Response, error) {
	return ok(versionList{Versions: a.versions()})
}

// showVersion is ListSpecifiedVersionDetails.
func (a *api) showVersion(_ context.Context, q *edge.Request) (edge.Response, error) {
	id := q.Path("version")
	for _, v := range a.versions() {
		if v.ID == id {
			return ok(versionAnswer{Version: v})
		}
	}
	return edge.Response{}, refuse(codeNotFound, "there is no version %s", quote(id))
}

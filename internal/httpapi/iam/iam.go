package iam

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Authority is what this family asks of identity.
type Authority interface {
	Login(ctx context.Context, req identity.LoginRequest, source string) (identity.Token, error)
	Validate(ctx context.Context, token string) (identity.Token, error)
	Revoke(ctx context.Context, c sallyport.Call, token string) error
	CreateTemporaryKey(ctx context.Context, token string, life time.Duration, source string) (identity.TemporaryKey, error)
	Directory() *identity.Directory
}

var _ Authority = (*identity.Authority)(nil)

// Options are what New needs; all are required.
type Options struct {
	Authority Authority
	// PublicURL is where clients reach the server, "http://127.0.0.1:8780"; every
	// link and every URL of the catalogue starts with it.
	PublicURL string
	// Region is what the catalogue shows to an account without projects.
	Region string
}

// api holds what the handlers need.
type api struct {
	authority Authority
	publicURL string // without a slash at its end
	region    string
}

// New returns the family: the routes and the shape of its errors. It holds
// nothing to close.
func New(opt Options) edge.Family {
	a := &api{authority: opt.Authority, publicURL: strings.TrimSuffix(opt.PublicURL, "/"), region: opt.Region}
	return edge.Family{
		Name:     "iam",
		Prefixes: []string{"/v3", "/v3.0", "/v5"},
		Error:    a.renderError,
		// Clients ask for tokens with and without a slash at the end; the edge takes both.
		Routes: []edge.Route{
			{Method: http.MethodGet, Path: "/", Name: "KeystoneListVersions", Public: true, Handler: a.listVersions},
			{Method: http.MethodGet, Path: "/v3", Name: "KeystoneShowVersion", Public: true, Handler: a.showVersion},

			{Method: http.MethodPost, Path: "/v3/auth/tokens", Name: "KeystoneCreateUserTokenByPassword", Public: true, Handler: a.createToken},
			{Method: http.MethodGet, Path: "/v3/auth/tokens", Name: "KeystoneValidateToken", Handler: a.validateToken},
			{Method: http.MethodHead, Path: "/v3/auth/tokens", Name: "KeystoneCheckToken", Handler: a.checkToken},
			{Method: http.MethodDelete, Path: "/v3/auth/tokens", Name: "KeystoneRevokeToken", Handler: a.revokeToken},

			{
				Method: http.MethodPost, Path: "/v3.0/OS-CREDENTIAL/securitytokens", Name: "CreateTemporaryAccessKeyByToken",
				Public: true, Handler: a.createSecurityToken,
			},

			{Method: http.MethodGet, Path: "/v3/projects", Name: "KeystoneListProjects", Handler: a.listProjects},
			{Method: http.MethodGet, Path: "/v3/auth/projects", Name: "KeystoneListAuthProjects", Handler: a.listAuthProjects},
			{Method: http.MethodGet, Path: "/v3/auth/domains", Name: "KeystoneListAuthDomains", Handler: a.listAuthDomains},
			{Method: http.MethodGet, Path: "/v3/auth/catalog", Name: "KeystoneShowCatalog", Handler: a.showCatalog},
			{Method: http.MethodGet, Path: "/v3/users", Name: "KeystoneListUsers", Handler: a.listUsers},
		},
	}
}

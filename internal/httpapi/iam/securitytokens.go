package iam

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The body of a request for a temporary key (IAM API reference, access key management).
// Its policy restricts what object storage allows, which is not served, so it is not
// looked at.
type securityTokenRequest struct {
	Auth *struct {
		Identity *struct {
			Methods []string `json:"methods"`
			Token   struct {
				ID              string `json:"id"`
				DurationSeconds *int64 `json:"duration_seconds"`
			} `json:"token"`
		} `json:"identity"`
		Scope scope `json:"scope"`
	} `json:"auth"`
}

type credential struct {
	Access        string `json:"access"`
	ExpiresAt     string `json:"expires_at"`
	Secret        string `json:"secret"`
	SecurityToken string `json:"securitytoken"`
}

// createSecurityToken is CreateTemporaryAccessKeyByToken. The token is proof enough,
// in the header, which goes before, or in the body; the vendor's SDK signs the request
// as well.
func (a *api) createSecurityToken(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var body securityTokenRequest
	if err := edge.Decode(q, &body); err != nil {
		return edge.Response{}, err
	}
	if body.Auth == nil || body.Auth.Identity == nil {
		return edge.Response{}, badBody("auth.identity is missing")
	}
	in := body.Auth.Identity
	if len(in.Methods) != 1 {
		return edge.Response{}, badBody("auth.identity.methods does not name one method")
	}
	if strings.TrimSpace(in.Methods[0]) != identity.LoginToken {
		return edge.Response{}, &identity.AuthError{Kind: identity.AuthUnsupported, Detail: "unsupported authentication method"}
	}
	if body.Auth.Scope.Project != nil || body.Auth.Scope.Domain != nil {
		// A key is for the account, as a configured one is; to take a scope and give more
		// than it says would be worse than to refuse it.
		return edge.Response{}, badBody("auth.scope is not supported")
	}
	token := q.HTTP.Header.Get("X-Auth-Token")
	if token == "" {
		token = in.Token.ID
	}
	if token == "" {
		return edge.Response{}, &identity.AuthError{Kind: identity.AuthMissing, Detail: "neither X-Auth-Token nor identity.token.id is given"}
	}
	k, err := a.authority.CreateTemporaryKey(ctx, token, lifeOf(in.Token.DurationSeconds), q.Call.Source)
	if err != nil {
		return edge.Response{}, fmt.Errorf("make a temporary key: %w", err)
	}
	return edge.Response{Status: http.StatusCreated, Body: map[string]credential{"credential": {
		Access: k.Access, Secret: k.Secret, SecurityToken: k.SecurityToken, ExpiresAt: k.ExpiresAt.UTC().Format(timeForm),
	}}}, nil
}

// lifeOf returns a life in the range that identity judges: what is given and is none
// becomes -1, and so does what would overflow.
func lifeOf(seconds *int64) time.Duration {
	switch {
	case seconds == nil:
		return 0
	case *seconds < 1 || *seconds > int64(identity.MaxTemporaryLife/time.Second):
		return -1
	default:
		return time.Duration(*seconds) * time.Second
	}
}

// badBody is a body that is JSON and not what the operation needs.
func badBody(detail string) error {
	return sallyport.Refuse(sallyport.KindInvalid, "", "%s: %s", textBadBody.en, detail)
}

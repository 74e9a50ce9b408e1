package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// timeForm is the form of times in tokens; clients want the zone.
const timeForm = "2006-01-02T15:04:05.000000Z"

// headerSubject carries the token in answers, and in requests about a token.
const headerSubject = "X-Subject-Token"

// The body of a request for a token (IAM API reference, token management).
type tokenRequest struct {
	Auth *struct {
		Identity *struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					ID       sallyport.UserID `json:"id"`
					Name     string           `json:"name"`
					Password string           `json:"password"`
					Domain   domainRef        `json:"domain"`
				} `json:"user"`
			} `json:"password"`
			Token struct {
				ID string `json:"id"`
			} `json:"token"`
			// No document has it; programs send it, and it is answered as a password is.
			HWAKSK struct {
				Access        keyText `json:"access"`
				Secret        keyText `json:"secret"`
				SecurityToken keyText `json:"security_token"` // of a temporary key
			} `json:"hw_ak_sk"`
		} `json:"identity"`
		Scope scope `json:"scope"`
	} `json:"auth"`
}

type keyText struct {
	Key string `json:"key"`
}

type domainRef struct {
	ID   sallyport.DomainID `json:"id"`
	Name string             `json:"name"`
}

func (d domainRef) ref() identity.DomainRef { return identity.DomainRef{ID: d.ID, Name: d.Name} }

// scope is what a token shall be for. Keystone's clients also send the word
// unscoped, which here means what no scope means: the user's account.
type scope struct {
	Project *struct {
		ID     sallyport.ProjectID `json:"id"`
		Name   string              `json:"name"`
		Domain domainRef           `json:"domain"`
	} `json:"project"`
	Domain *domainRef `json:"domain"`
}

// UnmarshalJSON reads a scope, an object or the word "unscoped".
func (s *scope) UnmarshalJSON(b []byte) error {
	if string(b) == `"unscoped"` {
		return nil
	}
	type plain scope
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	return nil
}

// login turns the body of a request into what identity wants.
func (r *tokenRequest) login(header http.Header) identity.LoginRequest {
	in := r.Auth.Identity
	req := identity.LoginRequest{
		Methods:  in.Methods,
		Password: in.Password.User.Password,
		User: identity.UserRef{
			ID: in.Password.User.ID, Name: in.Password.User.Name, Domain: in.Password.User.Domain.ref(),
		},
		Token: in.Token.ID,
		Key: identity.KeyProof{
			Access: in.HWAKSK.Access.Key, Secret: in.HWAKSK.Secret.Key, SecurityToken: in.HWAKSK.SecurityToken.Key,
		},
	}
	if req.Token == "" {
		req.Token = header.Get("X-Auth-Token")
	}
	if req.Key.SecurityToken == "" { // of a client that signs the request too
		req.Key.SecurityToken = header.Get("X-Security-Token")
	}
	if p := r.Auth.Scope.Project; p != nil {
		req.Scope.Project = &identity.ProjectRef{ID: p.ID, Name: p.Name, Domain: p.Domain.ref()}
	}
	if d := r.Auth.Scope.Domain; d != nil {
		ref := d.ref()
		req.Scope.Domain = &ref
	}
	return req
}

// createToken is KeystoneCreateUserTokenByPassword and its siblings, which share
// the path and differ in the methods they name. A signature on the request is not
// looked at: the body proves the user.
func (a *api) createToken(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var body tokenRequest
	if err := edge.Decode(q, &body); err != nil {
		return edge.Response{}, err
	}
	if body.Auth == nil || body.Auth.Identity == nil {
		return edge.Response{}, badBody("auth.identity is missing")
	}
	t, err := a.authority.Login(ctx, body.login(q.HTTP.Header), q.Call.Source)
	if err != nil {
		return edge.Response{}, fmt.Errorf("log in: %w", err)
	}
	return a.tokenAnswer(q, http.StatusCreated, t), nil
}

// validateToken is KeystoneValidateToken.
func (a *api) validateToken(ctx context.Context, q *edge.Request) (edge.Response, error) {
	t, err := a.subject(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	return a.tokenAnswer(q, http.StatusOK, t), nil
}

// checkToken is the HEAD of the same path: the status is the answer.
func (a *api) checkToken(ctx context.Context, q *edge.Request) (edge.Response, error) {
	t, err := a.subject(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Header: http.Header{headerSubject: {t.Text}}}, nil
}

// revokeToken is the DELETE of the same path.
func (a *api) revokeToken(ctx context.Context, q *edge.Request) (edge.Response, error) {
	text, err := subjectText(q)
	if err != nil {
		return edge.Response{}, err
	}
	if err := a.authority.Revoke(ctx, q.Call, text); err != nil {
		return edge.Response{}, aboutSubject(err)
	}
	return edge.Response{Status: http.StatusNoContent}, nil
}

// subject returns the token that X-Subject-Token names, if the caller may see it.
func (a *api) subject(ctx context.Context, q *edge.Request) (identity.Token, error) {
	text, err := subjectText(q)
	if err != nil {
		return identity.Token{}, err
	}
	t, err := a.authority.Validate(ctx, text)
	if err == nil {
		err = t.Permit(q.Call.Principal)
	}
	if err != nil {
		return identity.Token{}, aboutSubject(err)
	}
	return t, nil
}

func subjectText(q *edge.Request) (string, error) {
	text := q.HTTP.Header.Get(headerSubject)
	if text == "" {
		return "", sallyport.Refuse(sallyport.KindInvalid, "", "The header X-Subject-Token is missing.")
	}
	return text, nil
}

// aboutSubject keeps a bad subject apart from a bad caller.
func aboutSubject(err error) error {
	if identity.AuthKindOf(err) != 0 {
		return &subjectError{err}
	}
	return fmt.Errorf("subject token: %w", err)
}

// The body of an answer about a token.
type tokenBody struct {
	Methods   []string       `json:"methods"`
	IssuedAt  string         `json:"issued_at"`
	ExpiresAt string         `json:"expires_at"`
	User      tokenUser      `json:"user"`
	Project   *tokenProject  `json:"project,omitempty"`
	Domain    *named         `json:"domain,omitempty"`
	Roles     []named        `json:"roles"`
	Catalog   []catalogEntry `json:"catalog,omitempty"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type tokenUser struct {
	named

	Domain            named  `json:"domain"`
	PasswordExpiresAt string `json:"password_expires_at"` // "": never
}

type tokenProject struct {
	named

	Domain named `json:"domain"`
}

// roleID is the id that IAM shows for every role of a token.
const roleID = "0"

// tokenAnswer shows a token. X-Subject-Token is in every such answer: clients
// take their token from it even when they asked about one they have.
func (a *api) tokenAnswer(q *edge.Request, status int, t identity.Token) edge.Response {
	account := named{string(t.DomainID), t.DomainName}
	body := tokenBody{
		Methods:   t.Methods,
		IssuedAt:  t.IssuedAt.UTC().Format(timeForm),
		ExpiresAt: t.ExpiresAt.UTC().Format(timeForm),
		User:      tokenUser{named: named{string(t.UserID), t.UserName}, Domain: account},
		Roles:     make([]named, 0, len(t.Roles)),
	}
	for _, r := range t.Roles {
		body.Roles = append(body.Roles, named{roleID, string(r)})
	}
	if t.Project != nil {
		body.Project = &tokenProject{named: named{string(t.Project.ID), t.Project.Name}, Domain: account}
	} else {
		body.Domain = &account
	}
	if q.HTTP.URL.Query().Get("nocatalog") == "" {
		body.Catalog = a.catalog(t.Project, t.DomainID)
	}
	return edge.Response{
		Status: status,
		Header: http.Header{headerSubject: {t.Text}},
		Body:   map[string]tokenBody{"token": body},
	}
}

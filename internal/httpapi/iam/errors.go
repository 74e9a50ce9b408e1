package iam

import (
	"errors"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// failure is Keystone's error envelope. Code is a number and equals the status:
// clients of Keystone read it as one.
type failure struct {
	Error failureBody `json:"error"`
}

type failureBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Title   string `json:"title"`
}

// The sentences of the IAM API reference.
const (
	textBadPassword = "The username or password is wrong." //nolint:gosec // a sentence, no credential
	textBadToken    = "The X-Auth-Token is invalid!"       //nolint:gosec // a sentence, no credential
	textBadSubject  = "The X-Subject-Token is invalid!"    //nolint:gosec // a sentence, no credential
	textInternal    = "An unexpected error prevented the server from fulfilling your request."
)

// subjectError is a token in X-Subject-Token that is none, or is not the
// caller's to see: 404, because 401 would send the caller to log in again.
type subjectError struct{ err error }

func (e *subjectError) Error() string { return "subject token: " + e.err.Error() }
func (e *subjectError) Unwrap() error { return e.err }

// renderError is the family's shape of an error.
func (a *api) renderError(_ *edge.Request, err error) edge.Response {
	status, text := describe(err)
	res := edge.Response{Status: status, Body: failure{failureBody{Code: status, Message: text, Title: http.StatusText(status)}}}
	if status == http.StatusUnauthorized {
		// RFC 9110 wants a challenge in every 401; this is Keystone's.
		res.Header = http.Header{"Www-Authenticate": {`Keystone uri="` + a.publicURL + `/v3"`}}
	}
	return res
}

// describe returns the status and the sentence of an error. What is not known to
// be safe is not shown.
func describe(err error) (int, string) {
	if _, ok := errors.AsType[*subjectError](err); ok {
		return http.StatusNotFound, textBadSubject
	}
	if e, ok := errors.AsType[*identity.AuthError](err); ok {
		switch e.Kind {
		case identity.AuthBadPassword:
			return http.StatusUnauthorized, textBadPassword
		case identity.AuthBadToken:
			return http.StatusUnauthorized, textBadToken
		default:
			return http.StatusUnauthorized, e.Detail
		}
	}
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		return p.Status, p.Detail
	}
	if errors.Is(err, identity.ErrBusy) {
		return http.StatusServiceUnavailable, "Too many logins are being checked. Try again."
	}
	if e, ok := errors.AsType[*sallyport.Error](err); ok {
		return kindStatus(e.Kind), shown(e)
	}
	return http.StatusInternalServerError, textInternal
}

func shown(e *sallyport.Error) string {
	if e.Kind == sallyport.KindInternal {
		return textInternal
	}
	return e.Msg
}

func kindStatus(k sallyport.Kind) int {
	switch k {
	case sallyport.KindInvalid:
		return http.StatusBadRequest
	case sallyport.KindForbidden:
		return http.StatusForbidden
	case sallyport.KindNotFound:
		return http.StatusNotFound
	case sallyport.KindConflict:
		return http.StatusConflict
	case sallyport.KindQuota, sallyport.KindUnconfirmed:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

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

// subjectError is a token in X-Subject-Token that is none, or is not the
// caller's to see: 404, because 401 would send the caller to log in again.
type subjectError struct{ err error }

func (e *subjectError) Error() string { return "subject token: " + e.err.Error() }
func (e *subjectError) Unwrap() error { return e.err }

// renderError is the family's shape of an error. The title is the status's name in
// every language: programs compare it.
func (a *api) renderError(q *edge.Request, err error) edge.Response {
	language := edge.English
	if q != nil {
		language = q.Language
	}
	status, t, detail := describe(err)
	res := edge.Response{Status: status, Body: failure{failureBody{
		Code: status, Message: sentence(language, t, detail), Title: http.StatusText(status),
	}}}
	if status == http.StatusUnauthorized {
		// RFC 9110 wants a challenge in every 401; this is Keystone's.
		res.Header = http.Header{"Www-Authenticate": {`Keystone uri="` + a.publicURL + `/v3"`}}
	}
	return res
}

// describe returns the status of an error, its sentence and what else may be said of
// it. What is not known to be safe is not shown.
func describe(err error) (status int, t text, detail string) {
	if _, ok := errors.AsType[*subjectError](err); ok {
		return http.StatusNotFound, textBadSubject, ""
	}
	if e, ok := errors.AsType[*identity.AuthError](err); ok {
		t, ok := authTexts[e.Kind]
		if !ok {
			t = statusTexts[http.StatusUnauthorized]
		}
		if e.Kind == identity.AuthBadPassword || e.Kind == identity.AuthBadToken {
			return http.StatusUnauthorized, t, "" // the reference has the sentence
		}
		return http.StatusUnauthorized, t, e.Detail
	}
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		if p.Class == edge.ClassBadJSON || p.Class == edge.ClassEmptyBody {
			return p.Status, textBadBody, p.Detail
		}
		return p.Status, statusTexts[p.Status], p.Detail
	}
	if errors.Is(err, identity.ErrBusy) {
		return http.StatusServiceUnavailable, textBusy, ""
	}
	if e, ok := errors.AsType[*sallyport.Error](err); ok && e.Kind != sallyport.KindInternal {
		status := kindStatus(e.Kind)
		return status, statusTexts[status], e.Msg
	}
	return http.StatusInternalServerError, textInternal, ""
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

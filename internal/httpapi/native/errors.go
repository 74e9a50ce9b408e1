package native

import (
	"errors"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// failure is the one shape of error of the native API.
type failure struct {
	Error   string `json:"error"`            // a word to branch on
	Reason  string `json:"reason,omitempty"` // which rule refused
	Message string `json:"message"`
}

// kindStatus is the HTTP status of every kind of error.
var kindStatus = map[sallyport.Kind]int{
	sallyport.KindInvalid:     http.StatusBadRequest,
	sallyport.KindForbidden:   http.StatusForbidden,
	sallyport.KindNotFound:    http.StatusNotFound,
	sallyport.KindConflict:    http.StatusConflict,
	sallyport.KindQuota:       http.StatusConflict,
	sallyport.KindUnconfirmed: http.StatusGatewayTimeout,
}

func renderError(_ *edge.Request, err error) edge.Response {
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		return edge.Response{Status: p.Status, Body: failure{Error: "request", Message: p.Detail}}
	}
	if e, ok := errors.AsType[*sallyport.Error](err); ok && e.Kind != sallyport.KindInternal {
		return edge.Response{Status: kindStatus[e.Kind], Body: failure{
			Error: e.Kind.String(), Reason: string(e.Reason), Message: e.Msg,
		}}
	}
	return edge.Response{Status: http.StatusInternalServerError, Body: failure{
		Error: "internal", Message: "an internal error happened; the server's log has it under the request id",
	}}
}

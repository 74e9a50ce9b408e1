package apig

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// errorAnswer is the body of every answer from 400 on.
type errorAnswer struct {
	Code string `json:"error_code"`
	Msg  string `json:"error_msg"`
}

// codeError is a refusal of this package: what is wrong with a parameter.
type codeError struct{ detail string }

// Error returns the text of the log.
func (e *codeError) Error() string { return message(codeParameter, e.detail, false) }

func refuse(format string, args ...any) *codeError {
	return &codeError{fmt.Sprintf(format, args...)}
}

// answer is how an error of another package is shown here.
type answer struct {
	code string
	// told says that the error's own sentence is shown too: never where the answer
	// must not depend on what exists, and not where the reference has an example.
	told bool
	// says is shown in its place.
	says string
	// status is the HTTP status where it is not the code's own.
	status int
}

// reasonAnswers has an answer for every reason of the domain; a test compares
// it with the list.
var reasonAnswers = map[sallyport.Reason]answer{
	sallyport.ReasonForbidden:          {code: codeForbidden},
	sallyport.ReasonProjectForeign:     {code: codeForbidden},
	sallyport.ReasonInstanceNotFound:   {code: codeNotFound},
	sallyport.ReasonInstanceClosed:     {code: codeNoService},
	sallyport.ReasonInstanceOpen:       {code: codeConflict, told: true},
	sallyport.ReasonInstanceConfigured: {code: codeConflict, told: true},
	sallyport.ReasonInstanceExists:     {code: codeConflict, told: true},
	// The gateway was deleted between two steps of one request.
	sallyport.ReasonServiceNotFound:    {code: codeNoService},
	sallyport.ReasonServiceUnknown:     {code: codeNoService},
	sallyport.ReasonServiceUnavailable: {code: codeNoService},
	sallyport.ReasonServiceInUse:       {code: codeConflict, told: true},
	sallyport.ReasonServiceManaged:     {code: codeConflict, told: true},
	sallyport.ReasonServiceSystem:      {code: codeForbidden},
	sallyport.ReasonServiceAmbiguous:   {code: codeParameter, told: true},
	// A foreign and an unknown endpoint read the same.
	sallyport.ReasonEndpointNotFound:   {code: codeParameter},
	sallyport.ReasonNotConnection:      {code: codeParameter, says: "parameter name[endpoints]: an endpoint is no connection of the gateway"},
	sallyport.ReasonNotWhitelisted:     {code: codeForbidden},
	sallyport.ReasonDeleting:           {code: codeConflict, told: true},
	sallyport.ReasonRefused:            {code: codeConflict, told: true},
	sallyport.ReasonFailed:             {code: codeConflict, told: true},
	sallyport.ReasonPermissionsFull:    {code: codeParameter, told: true},
	sallyport.ReasonPermissionNotFound: {code: codeParameter, told: true},
	// The decision is kept and may be repeated: no 200, and no fault either.
	sallyport.ReasonUnconfirmed: {code: codeVPCEP, told: true, status: http.StatusGatewayTimeout},
	// What follows belongs to operations of other families.
	sallyport.ReasonQuota:              {code: codeConflict, told: true},
	sallyport.ReasonVPCUnknown:         {code: codeParameter, told: true},
	sallyport.ReasonSubnetUnknown:      {code: codeParameter, told: true},
	sallyport.ReasonSubnetForeign:      {code: codeParameter, told: true},
	sallyport.ReasonAddressTaken:       {code: codeConflict, told: true},
	sallyport.ReasonAddressOutside:     {code: codeParameter, told: true},
	sallyport.ReasonAddressesExhausted: {code: codeConflict, told: true},
	sallyport.ReasonMarkersExhausted:   {code: codeConflict, told: true},
	sallyport.ReasonPortUnknown:        {code: codeParameter, told: true},
	sallyport.ReasonPortForeign:        {code: codeParameter, told: true},
	sallyport.ReasonPortsConflict:      {code: codeConflict, told: true},
	sallyport.ReasonWhitelistKind:      {code: codeParameter, told: true},
	sallyport.ReasonRouteTableKind:     {code: codeParameter, told: true},
	sallyport.ReasonRouteTableUsed:     {code: codeConflict, told: true},
	sallyport.ReasonRouteTableNone:     {code: codeConflict, told: true},
	sallyport.ReasonPolicyDisabled:     {code: codeParameter, told: true},
	sallyport.ReasonNoPolicy:           {code: codeParameter, told: true},
	sallyport.ReasonTagsFull:           {code: codeParameter, told: true},
	sallyport.ReasonResourcesFull:      {code: codeParameter, told: true},
	sallyport.ReasonTokensFull:         {code: codeConflict, told: true},
}

// kindAnswers is for errors whose reason this package does not know.
var kindAnswers = map[sallyport.Kind]answer{
	sallyport.KindInternal:    {code: codeVPCEP},
	sallyport.KindInvalid:     {code: codeParameter, told: true},
	sallyport.KindForbidden:   {code: codeForbidden},
	sallyport.KindNotFound:    {code: codeNotFound},
	sallyport.KindConflict:    {code: codeConflict, told: true},
	sallyport.KindQuota:       {code: codeConflict, told: true},
	sallyport.KindUnconfirmed: {code: codeVPCEP, told: true, status: http.StatusGatewayTimeout},
}

// classAnswers has a code for every class of the edge's own errors. The HTTP
// status is that of the class.
var classAnswers = map[edge.Class]answer{
	edge.ClassCredentials:    {code: codeCredentials}, // the reference's sentence alone
	edge.ClassNoPath:         {code: codeNoPath},
	edge.ClassMethod:         {code: codeNoPath},
	edge.ClassInvalidProject: {code: codeParameter, told: true},
	edge.ClassBodyTooLarge:   {code: codeParameter, told: true},
	edge.ClassBodyUnread:     {code: codeParameter, told: true},
	edge.ClassBodyTimeout:    {code: codeParameter, told: true},
	edge.ClassMediaType:      {code: codeParameter, told: true},
	edge.ClassEmptyBody:      {code: codeParameter, told: true},
	edge.ClassBadJSON:        {code: codeParameter, told: true},
	edge.ClassUnavailable:    {code: codeServer},
	edge.ClassTimeout:        {code: codeVPCEP, told: true},
}

// renderError shows an error in the flat pair of this family, in the language
// of the request. The text of an internal error is withheld: it is a request to
// the endpoint service that failed, whatever failed below it.
func renderError(q *edge.Request, err error) edge.Response {
	if e, ok := errors.AsType[*codeError](err); ok {
		return show(q, answer{code: codeParameter, told: true}, e.detail)
	}
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		how, known := classAnswers[p.Class]
		if !known {
			how = answer{code: codeVPCEP}
		}
		how.status = p.Status
		return show(q, how, p.Detail)
	}
	e, ok := errors.AsType[*sallyport.Error](err)
	if !ok {
		return show(q, answer{code: codeVPCEP}, "")
	}
	how, known := reasonAnswers[e.Reason]
	if !known {
		how = kindAnswers[e.Kind]
	}
	return show(q, how, e.Msg)
}

func show(q *edge.Request, how answer, detail string) edge.Response {
	status := how.status
	if status == 0 {
		status = catalogue[how.code].status
	}
	if !how.told {
		detail = how.says
	}
	return edge.Response{Status: status, Body: errorAnswer{
		Code: how.code, Msg: message(how.code, detail, q.Language == edge.Chinese),
	}}
}

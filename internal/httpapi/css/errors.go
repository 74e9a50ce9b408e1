package css

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// errorAnswer is the body of every answer from 400 on. The reference documents
// error_code and error_msg, which the SDK reads; the service itself answers
// with errCode and externalMessage, which Terraform reads: both pairs at once.
type errorAnswer struct {
	ErrCode         string `json:"errCode"`
	ExternalMessage string `json:"externalMessage"`
	ErrorCode       string `json:"error_code"`
	ErrorMsg        string `json:"error_msg"`
}

// codeError is a refusal of this package: a code and what is wrong.
type codeError struct{ code, detail string }

// Error returns the text of the log.
func (e *codeError) Error() string { return message(e.code, e.detail, false) }

func refuse(code, format string, args ...any) *codeError {
	return &codeError{code: code, detail: fmt.Sprintf(format, args...)}
}

// answer is how an error of another package is shown here.
type answer struct {
	code string
	// told says that the error's own sentence is shown too: never where the answer
	// must not depend on what exists.
	told bool
	// says is shown in its place.
	says string
}

// reasonAnswers has an answer for every reason of the domain; a test compares
// it with the list. 409 is for what the present state of a connection or a
// cluster forbids, as the reference says of it; 403 stands for a missing
// cluster, which is how clients recognise one.
var reasonAnswers = map[sallyport.Reason]answer{
	sallyport.ReasonForbidden:          {code: codeForbidden, told: true},
	sallyport.ReasonProjectForeign:     {code: codeForbidden},
	sallyport.ReasonInstanceNotFound:   {code: codeNotFound},
	sallyport.ReasonInstanceClosed:     {code: codeClosed},
	sallyport.ReasonInstanceOpen:       {code: codeExists, told: true},
	sallyport.ReasonInstanceConfigured: {code: codeState, told: true},
	sallyport.ReasonInstanceExists:     {code: codeExists, told: true},
	// The cluster was closed between two steps of one request.
	sallyport.ReasonServiceNotFound:    {code: codeClosed},
	sallyport.ReasonServiceUnknown:     {code: codeClosed},
	sallyport.ReasonServiceUnavailable: {code: codeClosed},
	sallyport.ReasonServiceInUse:       {code: codeBusy, told: true},
	sallyport.ReasonServiceManaged:     {code: codeBusy, told: true},
	sallyport.ReasonServiceSystem:      {code: codeForbidden, told: true},
	sallyport.ReasonServiceAmbiguous:   {code: codeParameter, told: true},
	// A foreign and an unknown endpoint read the same.
	sallyport.ReasonEndpointNotFound:   {code: codeParameter},
	sallyport.ReasonNotConnection:      {code: codeParameter, says: "an endpoint of the list is no connection of the cluster"},
	sallyport.ReasonNotWhitelisted:     {code: codeForbidden, told: true},
	sallyport.ReasonDeleting:           {code: codeBusy, told: true},
	sallyport.ReasonRefused:            {code: codeBusy, told: true},
	sallyport.ReasonFailed:             {code: codeBusy, told: true},
	sallyport.ReasonQuota:              {code: codeQuota, told: true},
	sallyport.ReasonVPCUnknown:         {code: codeVPC, told: true},
	sallyport.ReasonSubnetUnknown:      {code: codeSubnet, told: true},
	sallyport.ReasonSubnetForeign:      {code: codeSubnet, told: true},
	sallyport.ReasonAddressTaken:       {code: codeNoAddress, told: true},
	sallyport.ReasonAddressOutside:     {code: codeNoAddress, told: true},
	sallyport.ReasonAddressesExhausted: {code: codeNoAddress, told: true},
	sallyport.ReasonMarkersExhausted:   {code: codeQuota, told: true},
	sallyport.ReasonPortUnknown:        {code: codeParameter, told: true},
	sallyport.ReasonPortForeign:        {code: codeParameter, told: true},
	sallyport.ReasonPortsConflict:      {code: codeBusy, told: true},
	sallyport.ReasonPermissionsFull:    {code: codeParameter, told: true},
	sallyport.ReasonPermissionNotFound: {code: codeParameter, told: true},
	sallyport.ReasonUnconfirmed:        {code: codeUnconfirmed, told: true},
	// What follows belongs to operations of other families.
	sallyport.ReasonWhitelistKind:  {code: codeParameter, told: true},
	sallyport.ReasonRouteTableKind: {code: codeParameter, told: true},
	sallyport.ReasonRouteTableUsed: {code: codeBusy, told: true},
	sallyport.ReasonRouteTableNone: {code: codeBusy, told: true},
	sallyport.ReasonPolicyDisabled: {code: codeParameter, told: true},
	sallyport.ReasonNoPolicy:       {code: codeParameter, told: true},
	sallyport.ReasonTagsFull:       {code: codeParameter, told: true},
	sallyport.ReasonResourcesFull:  {code: codeParameter, told: true},
	sallyport.ReasonTokensFull:     {code: codeUnprocessable, told: true},
}

// kindAnswers is for errors whose reason this package does not know.
var kindAnswers = map[sallyport.Kind]answer{
	sallyport.KindInternal:    {code: codeServer},
	sallyport.KindInvalid:     {code: codeParameter, told: true},
	sallyport.KindForbidden:   {code: codeForbidden},
	sallyport.KindNotFound:    {code: codeNotFound},
	sallyport.KindConflict:    {code: codeBusy, told: true},
	sallyport.KindQuota:       {code: codeQuota, told: true},
	sallyport.KindUnconfirmed: {code: codeUnconfirmed, told: true},
}

// classAnswers has a code for every class of the edge's own errors. The HTTP
// status is that of the class.
var classAnswers = map[edge.Class]answer{
	edge.ClassCredentials:    {code: codeCredentials, told: true},
	edge.ClassNoPath:         {code: codeNoPath},
	edge.ClassMethod:         {code: codeMethod},
	edge.ClassInvalidProject: {code: codeParameter, told: true},
	edge.ClassBodyTooLarge:   {code: codeParameter, told: true},
	edge.ClassBodyUnread:     {code: codeParameter, told: true},
	edge.ClassBodyTimeout:    {code: codeParameter, told: true},
	edge.ClassMediaType:      {code: codeMethod, told: true},
	edge.ClassEmptyBody:      {code: codeEmpty},
	edge.ClassBadJSON:        {code: codeParameter, told: true},
	edge.ClassUnavailable:    {code: codeServer, told: true},
	edge.ClassTimeout:        {code: codeUnconfirmed, told: true},
}

// renderError shows an error in the four keys of this family, in the language
// of the request. The text of an internal error is withheld.
func renderError(q *edge.Request, err error) edge.Response {
	if e, ok := errors.AsType[*codeError](err); ok {
		return show(q, catalogue[e.code].status, e.code, e.detail)
	}
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		how, known := classAnswers[p.Class]
		if !known {
			how = answer{code: codeServer}
		}
		return show(q, p.Status, how.code, told(how, p.Detail))
	}
	e, ok := errors.AsType[*sallyport.Error](err)
	if !ok {
		return show(q, http.StatusInternalServerError, codeServer, "")
	}
	how, known := reasonAnswers[e.Reason]
	if !known {
		how = kindAnswers[e.Kind]
	}
	return show(q, catalogue[how.code].status, how.code, told(how, e.Msg))
}

func told(how answer, detail string) string {
	if how.told {
		return detail
	}
	return how.says
}

func show(q *edge.Request, status int, code, detail string) edge.Response {
	text := message(code, detail, q.Language == edge.Chinese)
	return edge.Response{Status: status, Body: errorAnswer{
		ErrCode: code, ExternalMessage: text, ErrorCode: code, ErrorMsg: text,
	}}
}

package vpcep

import (
	"errors"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The numeric parts of the codes that handlers and errors of the domain use,
// beside those of validation.
const (
	codeSystem          = "0001"
	codeCredentials     = "0003"
	codeForbidden       = "0004"
	codeNotFound        = "0005"
	codeTimeout         = "0013"
	codeProjectID       = "0014"
	codeSpecification   = "0015"
	codeVPCID           = "0020"
	codeThrottled       = "0022"
	codeSubnetID        = "0023"
	codeQuota           = "1018"
	codeRouteTable      = "1019"
	codeVPCUnknown      = "2001"
	codeServiceUnknown  = "2003"
	codeUnavailable     = "2004"
	codeEndpointGone    = "2006"
	codeSubnetEmpty     = "2010"
	codeVPCEmpty        = "2011"
	codeNotWhitelisted  = "2012"
	codeNotConnection   = "2013"
	codeNoAddress       = "2016"
	codeDeleting        = "2018"
	codeRefused         = "2019"
	codeNotCreated      = "2022"
	codeServiceEmpty    = "2029"
	codeSubnetForeign   = "2037"
	codeRouteTableUsed  = "2039"
	codeRouteTableNone  = "2040"
	codeAddressTaken    = "2042"
	codeAddressOutside  = "2043"
	codeFailed          = "2047"
	codePolicy          = "2048"
	codePolicyNone      = "2049"
	codePortID          = "3003"
	codeServiceInUse    = "3006"
	codeIP              = "3010"
	codePortForeign     = "3042"
	codePortsConflict   = "3044"
	codeNetType         = "3048"
	codePermissionsFull = "3049"
	codeVIPPort         = "3051"
	codePortAndIP       = "3052"
	codeVIPAndIP        = "3053"
	codeServiceID       = "3062"
	codeSubnetUnknown   = "4004"
	codePortUnknown     = "4012"
)

// answer is how an error of another package is shown here.
type answer struct {
	number string
	// told says that the error's own sentence follows that of the catalogue. It
	// does not where the two would say the same, and never where the answer must
	// not depend on what exists.
	told bool
}

// reasonAnswers has an answer for every reason of the domain; a test compares
// it with the list. State conflicts are 400 and not 409, as in every edition of
// the reference; what is gone is 404, which is how clients recognise it.
var reasonAnswers = map[sallyport.Reason]answer{
	sallyport.ReasonForbidden:          {codeForbidden, true},
	sallyport.ReasonProjectForeign:     {codeForbidden, false},
	sallyport.ReasonServiceNotFound:    {codeNotFound, false},
	sallyport.ReasonServiceUnknown:     {codeServiceUnknown, false},
	sallyport.ReasonServiceUnavailable: {codeUnavailable, false},
	sallyport.ReasonServiceInUse:       {codeServiceInUse, true},
	sallyport.ReasonServiceSystem:      {codeForbidden, true},
	sallyport.ReasonServiceAmbiguous:   {codeParameter, true},
	sallyport.ReasonEndpointNotFound:   {codeEndpointGone, false},
	sallyport.ReasonNotConnection:      {codeNotConnection, false},
	sallyport.ReasonNotWhitelisted:     {codeNotWhitelisted, false},
	sallyport.ReasonDeleting:           {codeDeleting, false},
	sallyport.ReasonRefused:            {codeRefused, true},
	sallyport.ReasonQuota:              {codeQuota, true},
	sallyport.ReasonVPCUnknown:         {codeVPCUnknown, true},
	sallyport.ReasonSubnetUnknown:      {codeSubnetUnknown, true},
	sallyport.ReasonSubnetForeign:      {codeSubnetForeign, true},
	sallyport.ReasonAddressTaken:       {codeAddressTaken, true},
	sallyport.ReasonAddressOutside:     {codeAddressOutside, true},
	sallyport.ReasonAddressesExhausted: {codeNoAddress, true},
	sallyport.ReasonPortUnknown:        {codePortUnknown, true},
	sallyport.ReasonPortForeign:        {codePortForeign, true},
	sallyport.ReasonPortsConflict:      {codePortsConflict, true},
	sallyport.ReasonPermissionsFull:    {codePermissionsFull, true},
	sallyport.ReasonMarkersExhausted:   {codeNotCreated, true},
	sallyport.ReasonUnconfirmed:        {codeTimeout, true},
	sallyport.ReasonPermissionNotFound: {codeNotFound, false},
	sallyport.ReasonWhitelistKind:      {codeWhitelist, true},
	sallyport.ReasonFailed:             {codeFailed, false},
	sallyport.ReasonRouteTableKind:     {codeRouteTable, true},
	sallyport.ReasonRouteTableUsed:     {codeRouteTableUsed, true},
	sallyport.ReasonRouteTableNone:     {codeRouteTableNone, true},
	sallyport.ReasonPolicyDisabled:     {codePolicy, true},
	sallyport.ReasonNoPolicy:           {codePolicyNone, false},
	sallyport.ReasonTagsFull:           {codeTagsFull, true},
	sallyport.ReasonResourcesFull:      {codeBatchSize, true},
	// The service of a cluster or a gateway is in use as long as that stands.
	sallyport.ReasonServiceManaged: {codeServiceInUse, true},
	// Clusters and gateways are other families'; here they are never addressed.
	sallyport.ReasonInstanceNotFound:   {codeNotFound, false},
	sallyport.ReasonInstanceClosed:     {codeParameter, true},
	sallyport.ReasonInstanceOpen:       {codeParameter, true},
	sallyport.ReasonInstanceConfigured: {codeParameter, true},
	sallyport.ReasonInstanceExists:     {codeParameter, true},
	// Tokens are the identity family's; its limit is a kind of throttle.
	sallyport.ReasonTokensFull: {codeThrottled, true},
}

// kindAnswers is for errors whose reason this package does not know.
var kindAnswers = map[sallyport.Kind]answer{
	sallyport.KindInternal:    {codeSystem, false},
	sallyport.KindInvalid:     {codeParameter, true},
	sallyport.KindForbidden:   {codeForbidden, false},
	sallyport.KindNotFound:    {codeNotFound, false},
	sallyport.KindConflict:    {codeParameter, true},
	sallyport.KindQuota:       {codeQuota, true},
	sallyport.KindUnconfirmed: {codeTimeout, true},
}

// classAnswers has an answer for every class of the edge's own errors. The HTTP
// status is that of the class. The catalogue has no code for a wrong method, a
// large body or an encoding; they are the generic one.
var classAnswers = map[edge.Class]answer{
	edge.ClassCredentials:    {codeCredentials, true},
	edge.ClassNoPath:         {codeNotFound, false},
	edge.ClassMethod:         {codeParameter, false}, // with a sentence of its own
	edge.ClassInvalidProject: {codeProjectID, true},
	edge.ClassBodyTooLarge:   {codeParameter, true},
	edge.ClassBodyUnread:     {codeParameter, true},
	edge.ClassBodyTimeout:    {codeTimeout, true},
	edge.ClassMediaType:      {codeParameter, true},
	edge.ClassEmptyBody:      {codeParameter, true},
	edge.ClassBadJSON:        {codeParameter, true},
	edge.ClassUnavailable:    {codeSystem, true},
	edge.ClassTimeout:        {codeTimeout, true},
}

// genericError is the code of what the catalogue has no code for.
var genericError = lookup(codeParameter)

// renderError shows an error in both shapes of this family at once and in the
// language of the request. The text of an internal error is withheld.
func renderError(q *edge.Request, err error) edge.Response {
	lang := q.Language
	if e, ok := errors.AsType[*codeError](err); ok { // also below a Problem: it knows more
		return show(lang, e.entry().Status, e.number, e.detail)
	}
	if p, ok := errors.AsType[*edge.Problem](err); ok {
		return showProblem(lang, p)
	}
	e, ok := errors.AsType[*sallyport.Error](err)
	if !ok {
		return show(lang, http.StatusInternalServerError, codeSystem, "")
	}
	how, known := reasonAnswers[e.Reason]
	if !known {
		how = kindAnswers[e.Kind]
	}
	detail := ""
	if how.told {
		detail = e.Msg
	}
	return show(lang, (&codeError{number: how.number}).entry().Status, how.number, detail)
}

// showProblem shows an error of the edge.
func showProblem(lang string, p *edge.Problem) edge.Response {
	if p.Class == edge.ClassMethod {
		msg := "The method is not allowed for this resource."
		if lang == edge.Chinese {
			msg = "该资源不支持此请求方法。"
		}
		return edge.Response{Status: p.Status, Body: errorBody(genericError, msg)}
	}
	how, known := classAnswers[p.Class]
	if !known {
		how = answer{number: codeSystem}
	}
	detail := ""
	if how.told {
		detail = p.Detail
	}
	return show(lang, p.Status, how.number, detail)
}

func show(lang string, status int, number, detail string) edge.Response {
	code := (&codeError{number: number}).entry()
	return edge.Response{Status: status, Body: errorBody(code, code.message(lang, detail))}
}

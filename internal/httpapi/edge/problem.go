package edge

import (
	"net/http"
	"strings"
)

// Class says which of the edge's own rules a request broke; every family has a
// code for each class.
type Class uint8

// The classes, each with its HTTP status.
const (
	// ClassCredentials is a request without valid credentials (401).
	ClassCredentials Class = iota + 1
	// ClassNoPath is a path that no family knows (404).
	ClassNoPath
	// ClassMethod is a known path with another method (405, header Allow).
	ClassMethod
	// ClassInvalidProject is a project id that is none by its syntax (400).
	ClassInvalidProject
	// ClassBodyTooLarge is a body above MaxBody (413).
	ClassBodyTooLarge
	// ClassBodyUnread is a body that broke off (400).
	ClassBodyUnread
	// ClassBodyTimeout is a body that did not come within BodyTimeout (408).
	ClassBodyTimeout
	// ClassMediaType is a body in an encoding that is not understood (415).
	ClassMediaType
	// ClassEmptyBody is a missing body where one is needed (400).
	ClassEmptyBody
	// ClassBadJSON is a body that is no JSON, is too deep or too long, or has a
	// value of a wrong type (400).
	ClassBadJSON
	// ClassUnavailable is a server that starts or stops, or a caller that left (503).
	ClassUnavailable
	// ClassTimeout is a request that took longer than its route allows (504).
	ClassTimeout
)

var classStatus = map[Class]int{
	ClassCredentials:    http.StatusUnauthorized,
	ClassNoPath:         http.StatusNotFound,
	ClassMethod:         http.StatusMethodNotAllowed,
	ClassInvalidProject: http.StatusBadRequest,
	ClassBodyTooLarge:   http.StatusRequestEntityTooLarge,
	ClassBodyUnread:     http.StatusBadRequest,
	ClassBodyTimeout:    http.StatusRequestTimeout,
	ClassMediaType:      http.StatusUnsupportedMediaType,
	ClassEmptyBody:      http.StatusBadRequest,
	ClassBadJSON:        http.StatusBadRequest,
	ClassUnavailable:    http.StatusServiceUnavailable,
	ClassTimeout:        http.StatusGatewayTimeout,
}

// Classes lists every class in order of their numbers, so that a family can
// prove that it has an answer for each.
var Classes = []Class{
	ClassCredentials, ClassNoPath, ClassMethod, ClassInvalidProject, ClassBodyTooLarge, ClassBodyUnread,
	ClassBodyTimeout, ClassMediaType, ClassEmptyBody, ClassBadJSON, ClassUnavailable, ClassTimeout,
}

// Status returns the HTTP status of the class, 500 for one that is none.
func (c Class) Status() int {
	if s, ok := classStatus[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Problem is an error of the edge itself. Detail is safe for any caller and
// never repeats a value of the request.
type Problem struct {
	Status int // the HTTP status of the class
	Class  Class
	Detail string
	Field  string   // of ClassBadJSON: the path of the value, for example ports.client_port
	Allow  []string // of ClassMethod: the methods of the path
	Err    error    // what lies under it, for errors.As and the log
}

// NewProblem returns a problem of the class, with the status of the class and a
// sentence for the caller.
func NewProblem(c Class, detail string) *Problem {
	return &Problem{Status: c.Status(), Class: c, Detail: detail}
}

// because returns p with what lies under it.
func (p *Problem) because(err error) *Problem {
	p.Err = err
	return p
}

// Error returns the sentence for the caller and, for the log, what lies under it.
func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Detail + ": " + p.Err.Error()
	}
	return p.Detail
}

// Unwrap returns what lies under the problem.
func (p *Problem) Unwrap() error { return p.Err }

// header returns the headers that belong to the problem whatever the family's
// shape, or nil.
func (p *Problem) header() http.Header {
	switch p.Class {
	case ClassMethod:
		return http.Header{"Allow": {strings.Join(p.Allow, ", ")}}
	case ClassBodyTooLarge, ClassBodyTimeout, ClassBodyUnread:
		return http.Header{"Connection": {"close"}} // the rest of the body is still on its way
	default:
		return nil
	}
}

package edge

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits of one request (SECURITY.md). The server that mounts the handler sets
// http.Server.MaxHeaderBytes to MaxHeader.
const (
	// MaxBody is the largest request body, in bytes. The largest useful request
	// (a whitelist of a thousand records) is below 100 KiB.
	MaxBody = 1 << 20
	// MaxHeader is the largest request header, in bytes: a token is at most 2,048
	// characters, and clients sign a dozen headers.
	MaxHeader = 64 << 10
	// BodyTimeout is how long a client may take to send a body, so that a trickle
	// of bytes does not hold a connection for ever.
	BodyTimeout = 30 * time.Second
	// DefaultTimeout ends the context of a request. It is far above the wait for
	// the data plane (2 s by default), so it only cuts what hangs.
	DefaultTimeout = 30 * time.Second
	// MaxProjectID is the longest project id (VPCEP API reference, project_id).
	MaxProjectID = 64
	// projectValue is the name of the path value that addresses a project.
	projectValue = "project_id"
)

// The languages of error texts (VPCEP API reference, X-Language).
const (
	// English is the default.
	English = "en-us"
	// Chinese is simplified Chinese.
	Chinese = "zh-cn"
)

// Handler answers one decoded and authenticated request. Its error goes to the
// family's Error; what is neither a *Problem nor a *sallyport.Error is internal.
type Handler func(ctx context.Context, q *Request) (Response, error)

// Request is one request as a handler sees it.
type Request struct {
	HTTP     *http.Request
	Body     []byte         // the whole body, at most MaxBody bytes
	Call     sallyport.Call // who calls, for which project, under which name
	Language string         // English or Chinese
}

// Path returns a value of the route's path, unescaped, or "" where the route
// has no such name.
func (q *Request) Path(name string) string { return q.HTTP.PathValue(name) }

// Raw is a body that is already encoded as JSON.
type Raw []byte

// Response is one answer. Status 0 is 200. A nil Body is an empty one; any
// other is written as JSON with its exact length.
type Response struct {
	Status int
	Header http.Header
	Body   any
}

// Route is one documented operation.
type Route struct {
	Method string // upper case; GET serves HEAD too unless HEAD has its own route
	Path   string // as http.ServeMux writes it; a trailing slash is accepted of itself
	Name   string // the documented operation id
	Public bool   // no credentials are asked for
	// When decides between families that document the same method and path: the
	// first route whose When says yes answers, else the one without a When.
	When    func(*http.Request) bool
	Timeout time.Duration // of the request's context; 0 is DefaultTimeout
	Handler Handler
}

// Family is one HTTP API with its own shape of error.
type Family struct {
	Name string // as in sallyport.Call.Family
	// Prefixes are the paths whose unknown children answer in this family's
	// shape; a segment in braces stands for any. The longest match wins, and the
	// first family takes what matches nowhere.
	Prefixes []string
	// Mounts are prefixes below which the routes are served a second time, as
	// written from the slash on: /apig serves /apig/v2/….
	Mounts []string
	Routes []Route
	// Error renders every error, a *Problem as well as a *sallyport.Error and an
	// internal one, whose text it must not show.
	Error func(q *Request, err error) Response
}

// Gate tells who sends a request. An error that has a method
// Unauthenticated() string (the sentence for the caller) is a 401; any other
// error is rendered as a handler's would be.
type Gate interface {
	Authenticate(ctx context.Context, r *http.Request, body []byte) (sallyport.Principal, error)
}

// Projects tells which projects belong to an account.
type Projects interface {
	Owns(domain sallyport.DomainID, project sallyport.ProjectID) bool
}

// Options are what New needs. Gate, Projects and Families are required.
type Options struct {
	Gate     Gate
	Projects Projects
	Families []Family
	Log      *slog.Logger          // nil logs nothing
	Metrics  prometheus.Registerer // nil registers nothing
	Language string                // of clients that name none; "" is English
	Ready    func() bool           // nil is always; while false, every answer is 503
	Now      func() time.Time      // nil is the real clock
}

// Operation is one line of the table of routes, for coverage tests.
type Operation struct {
	Family, Name, Method, Path string
	Public                     bool
}

// Operations lists the routes of the families in their order.
func Operations(families []Family) []Operation {
	var ops []Operation
	for _, f := range families {
		for _, r := range f.Routes {
			ops = append(ops, Operation{Family: f.Name, Name: r.Name, Method: r.Method, Path: r.Path, Public: r.Public})
		}
	}
	return ops
}

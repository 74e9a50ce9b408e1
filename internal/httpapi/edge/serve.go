package edge

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	jsonType = "application/json"
	// firstRead is the buffer made for a body of unknown or large length: what a
	// header claims is no reason to set memory aside.
	firstRead = 4 << 10
	// keptBuffer is the largest encoding buffer kept for the next answer.
	keptBuffer = 64 << 10
)

// lastResort is the answer when a family cannot even render an error. It has
// the keys of every family's shape.
var lastResort = Response{
	Status: http.StatusInternalServerError,
	Body:   Raw(`{"error_code":"500","error_msg":"internal error","error":{"code":500,"message":"internal error","title":"Internal Server Error"}}`),
}

// serve answers one request. refused, if not nil, is the answer already.
func (t *target) serve(w http.ResponseWriter, r *http.Request, refused error) {
	s := t.server
	start := s.opt.Now()
	q := &Request{HTTP: r, Language: language(r.Header, s.opt.Language), Call: sallyport.Call{
		Family: t.family.Name, Operation: t.route.Name, Source: sourceOf(r.RemoteAddr), RequestID: newRequestID(),
		Write: r.Method != http.MethodGet && r.Method != http.MethodHead,
	}}
	buf, _ := buffers.Get().(*bytes.Buffer)
	res, err := Response{}, refused
	if refused == nil {
		res, err = t.answer(w, q)
	}
	if err == nil {
		err = encode(buf, &res)
	}
	if err != nil {
		res = t.render(q, err)
		if again := encode(buf, &res); again != nil {
			err = errors.Join(err, again)
			res = lastResort
			_ = encode(buf, &res) // a constant that encodes
		}
	}
	send(w, &res, q.Call.RequestID, buf, err)
	took := s.opt.Now().Sub(start)
	t.meter.count(res.Status, took)
	s.log(r.Context(), q, res.Status, took, err)
	if buf.Cap() <= keptBuffer {
		buffers.Put(buf)
	}
}

// answer takes the request in and calls the handler. A panic becomes an error.
func (t *target) answer(w http.ResponseWriter, q *Request) (res Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			res, err = Response{}, t.panicked(q, v)
		}
	}()
	ctx, cancel := context.WithTimeout(q.HTTP.Context(), t.route.Timeout)
	defer cancel()
	if ready := t.server.opt.Ready; ready != nil && !ready() {
		return Response{}, NewProblem(ClassUnavailable, "the server is not ready")
	}
	if err := t.server.readBody(w, q); err != nil {
		return Response{}, err
	}
	if !t.route.Public {
		if err := t.admit(ctx, q); err != nil {
			return Response{}, ended(ctx, err)
		}
	}
	res, err = t.route.Handler(ctx, q)
	return res, ended(ctx, err)
}

// admit authenticates the caller and checks the project the path addresses.
func (t *target) admit(ctx context.Context, q *Request) error {
	p, err := t.server.opt.Gate.Authenticate(ctx, q.HTTP, q.Body)
	if err != nil {
		if e, ok := errors.AsType[interface {
			error
			Unauthenticated() string
		}](err); ok {
			return NewProblem(ClassCredentials, e.Unauthenticated()).because(err)
		}
		return fmt.Errorf("authenticate: %w", err)
	}
	q.Call.Principal, q.Call.Project = p, p.ProjectID
	if !t.hasProject {
		return nil
	}
	id := q.Path(projectValue)
	if !validProject(id) {
		return NewProblem(ClassInvalidProject, "the project id must be 1 to 64 letters, digits, hyphens, underscores or dots")
	}
	project := sallyport.ProjectID(id)
	if !t.mayAddress(p, project) {
		return sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonProjectForeign, "the project is not one of the caller's")
	}
	if p.ProjectID != project {
		q.Call.Principal.ProjectID, q.Call.Principal.ProjectName = project, ""
	}
	q.Call.Project = project
	return nil
}

// mayAddress reports whether the caller may address the project. A token that
// is scoped to a project is for that project alone. A key and a token of the
// account reach every project of the account: for a signed request the path is
// often the only place that names a project. A foreign project and one that
// does not exist are the same.
func (t *target) mayAddress(p sallyport.Principal, project sallyport.ProjectID) bool {
	if p.Method == sallyport.MethodToken && p.ProjectID != "" {
		return p.ProjectID == project
	}
	return t.server.opt.Projects.Owns(p.DomainID, project)
}

// validProject reports whether a project could have the id: the characters are
// those the directory takes.
func validProject(id string) bool {
	if id == "" || len(id) > MaxProjectID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// readBody reads the body of q, at most MaxBody bytes within BodyTimeout.
func (s *server) readBody(w http.ResponseWriter, q *Request) error {
	r := q.HTTP
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	tooLarge := NewProblem(ClassBodyTooLarge, "the request body is larger than "+strconv.Itoa(MaxBody)+" bytes")
	if r.ContentLength > MaxBody {
		return tooLarge
	}
	// The deadline is lifted again, else it would end the wait of a long request.
	// A writer without deadlines (a test's recorder) has no slow client either.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(s.opt.Now().Add(BodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()

	size := firstRead
	if n := r.ContentLength; n > 0 && n < firstRead {
		size = int(n) + 1 // one more, to see the end without growing
	}
	body := bytes.NewBuffer(make([]byte, 0, size))
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return tooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return NewProblem(ClassBodyTimeout, "the request body did not come in time").because(err)
		}
		return NewProblem(ClassBodyUnread, "the request body could not be read").because(err)
	}
	q.Body = body.Bytes()
	return nil
}

// ended turns an error that says only that the context ended into a problem; an
// error that a use case chose stays.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if _, ok := errors.AsType[*sallyport.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return NewProblem(ClassTimeout, "the request took too long").because(err)
	case errors.Is(err, context.Canceled):
		return NewProblem(ClassUnavailable, "the request was cancelled").because(err)
	}
	return err
}

// render asks the family for its shape of the error, and answers plainly where
// the family panics or gives no status.
func (t *target) render(q *Request, err error) (res Response) {
	defer func() {
		if v := recover(); v != nil {
			_ = t.panicked(q, v) // logged; the error rendered is the first one
			res = lastResort
		}
	}()
	if res = t.family.Error(q, err); res.Status < http.StatusBadRequest {
		return lastResort
	}
	return res
}

// panicked logs a panic with its stack and returns it as an internal error.
func (t *target) panicked(q *Request, v any) error {
	t.server.opt.Log.LogAttrs(q.HTTP.Context(), slog.LevelError, "handler panicked",
		slog.String("op", t.route.Name), slog.String("request_id", q.Call.RequestID),
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("panic: %v", v)
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// encode writes the body of res to buf and fills in the status.
func encode(buf *bytes.Buffer, res *Response) error {
	buf.Reset()
	if res.Status == 0 {
		res.Status = http.StatusOK
	}
	if res.Status < http.StatusOK || res.Status > 599 {
		return fmt.Errorf("answer with status %d", res.Status)
	}
	switch body := res.Body.(type) {
	case nil:
	case Raw:
		buf.Write(body)
	default:
		enc := json.NewEncoder(buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		buf.Truncate(buf.Len() - 1) // the encoder's newline
	}
	return nil
}

// send writes the answer. That a client has left is not an error of ours.
func send(w http.ResponseWriter, res *Response, requestID string, buf *bytes.Buffer, err error) {
	h := w.Header()
	for k, v := range res.Header {
		h[http.CanonicalHeaderKey(k)] = v
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		maps.Copy(h, p.header())
	}
	h["X-Request-Id"] = []string{requestID}
	if res.Status == http.StatusNoContent || res.Status == http.StatusNotModified {
		w.WriteHeader(res.Status)
		return
	}
	if buf.Len() > 0 {
		h["Content-Type"] = []string{jsonType}
	}
	h["Content-Length"] = []string{strconv.Itoa(buf.Len())}
	w.WriteHeader(res.Status)
	_, _ = w.Write(buf.Bytes())
}

// log writes the line of one request: what went well in debug, refusals in
// info, faults in error. A caller that left is no fault.
func (s *server) log(ctx context.Context, q *Request, status int, took time.Duration, err error) {
	level := slog.LevelDebug
	left := ctx.Err() != nil && errors.Is(err, context.Canceled)
	switch {
	case status >= http.StatusInternalServerError && !left:
		level = slog.LevelError
	case status >= http.StatusBadRequest:
		level = slog.LevelInfo
	}
	if !s.opt.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("family", q.Call.Family), slog.String("op", q.Call.Operation), slog.Int("status", status),
		slog.Duration("duration", took), slog.String("request_id", q.Call.RequestID),
		slog.String("project", string(q.Call.Project)), slog.String("source", q.Call.Source),
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	s.opt.Log.LogAttrs(ctx, level, "request", attrs...)
}

// sourceOf returns the address without the port.
func sourceOf(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		remote = remote[:i]
	}
	return strings.Trim(remote, "[]")
}

// requestIDBytes are the random bytes of a request id, shown as 32 hexadecimal
// digits. An id that a client sends is not used: it could be anyone's.
const requestIDBytes = 16

// randomness is a stock of random bytes, so that one system call serves many
// requests.
type randomness struct {
	stock [32 * requestIDBytes]byte
	used  int
}

var randoms = sync.Pool{New: func() any { return &randomness{used: len(randomness{}.stock)} }}

func newRequestID() string {
	src, _ := randoms.Get().(*randomness)
	if src.used == len(src.stock) {
		_, _ = io.ReadFull(rand.Reader, src.stock[:]) // never fails: crypto/rand aborts instead
		src.used = 0
	}
	var out [2 * requestIDBytes]byte
	hex.Encode(out[:], src.stock[src.used:src.used+requestIDBytes])
	src.used += requestIDBytes
	randoms.Put(src)
	return string(out[:])
}

package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// maxShown is how many characters of a text of the server an error repeats: a
// sentence, and not a page of HTML.
const maxShown = 500

// apiError is an answer that is no success.
type apiError struct {
	method    string
	status    int
	code      string // such as EndPoint.2013, "" where the answer has none
	message   string
	requestID string
	location  string // of a redirect
}

// Error returns "CODE: message (request id …)", with the HTTP status in place of
// a code that is not there.
func (e *apiError) Error() string {
	text := cmp.Or(e.code, fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status)))
	if e.message != "" {
		text += ": " + e.message
	}
	if e.location != "" {
		text += ": redirects to " + e.location + ", which is not followed"
	}
	if e.requestID != "" {
		text += " (request id " + e.requestID + ")"
	}
	return text
}

// is reports whether the code ends in the four digits; the API spells what
// stands before them in two ways.
func (e *apiError) is(digits string) bool {
	return strings.EqualFold(e.code, "EndPoint."+digits)
}

// readError reads the error body of any family: error_code and error_msg, or
// error with code and message, where the code of Keystone is a number, or a word
// in error with message beside it, which is the native API.
func readError(method string, answer *http.Response, body []byte) *apiError {
	e := &apiError{
		method: method, status: answer.StatusCode,
		requestID: shorten(answer.Header.Get("X-Request-Id")), location: shorten(answer.Header.Get("Location")),
	}
	var flat struct {
		Code    any             `json:"error_code"`
		Message any             `json:"error_msg"`
		Error   json.RawMessage `json:"error"`
		Text    any             `json:"message"`
	}
	if json.Unmarshal(body, &flat) != nil {
		return e // HTML of something in between, or nothing
	}
	e.code, e.message = plain(flat.Code), plain(flat.Message)
	var word string
	if e.code == "" && e.message == "" && json.Unmarshal(flat.Error, &word) == nil {
		e.code, e.message = shorten(word), plain(flat.Text)
	}
	var nested struct {
		Code    any `json:"code"`
		Message any `json:"message"`
	}
	if e.code == "" && e.message == "" && json.Unmarshal(flat.Error, &nested) == nil {
		e.code, e.message = plain(nested.Code), plain(nested.Message)
	}
	return e
}

// plain returns a text of the server, shortened; a number is no code of ours.
func plain(v any) string {
	s, _ := v.(string)
	return shorten(strings.Join(strings.Fields(s), " ")) // one line, whatever the server wrote
}

func shorten(s string) string {
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return s
}

// sendError is a request that no whole answer came to.
type sendError struct {
	method string
	base   string // scheme and host
	err    error
}

// Error returns the method, where it went and what broke.
func (e *sendError) Error() string { return e.method + " " + e.base + ": " + e.err.Error() }

// Unwrap returns what broke.
func (e *sendError) Unwrap() error { return e.err }

func (e *sendError) timeout() bool {
	n, ok := errors.AsType[net.Error](e.err)
	return ok && n.Timeout()
}

// final reports whether the next attempt would break in the same way.
func (e *sendError) final() bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](e.err)
	return certificate || e.timeout()
}

// unsent reports whether the request did not leave this machine.
func (e *sendError) unsent() bool {
	o, ok := errors.AsType[*net.OpError](e.err)
	return ok && o.Op == "dial"
}

// answerError is a success whose body cannot be read.
type answerError struct{ err error }

// Error returns what is wrong with the body.
func (e *answerError) Error() string {
	return "the answer is not what this API answers: " + e.err.Error()
}

// Unwrap returns the error of the decoder.
func (e *answerError) Unwrap() error { return e.err }

// hint returns what to do about an error, "" where nothing better is known than
// what the error says.
func (a *app) hint(ctx context.Context, err error) string {
	if e, ok := errors.AsType[*hinted](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		return a.hintAnswer(ctx, e)
	}
	if e, ok := errors.AsType[*sendError](err); ok {
		return a.hintBroken(e)
	}
	if _, ok := errors.AsType[*answerError](err); ok {
		return "is there a " + program + " server or a VPCEP API at this URL? See --endpoint"
	}
	return ""
}

// hinted is an error whose cause knows best what to do.
type hinted struct {
	err  error
	hint string
}

// Error returns the text of the error, without the hint.
func (e *hinted) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *hinted) Unwrap() error { return e.err }

// hintAnswer is for what a server said.
func (a *app) hintAnswer(ctx context.Context, e *apiError) string {
	switch {
	case e.status == http.StatusUnauthorized:
		return a.hintCredentials()
	case e.is("0022") || e.status == http.StatusTooManyRequests:
		return "wait a little, then repeat"
	case e.location != "":
		return "the API is somewhere else; if you trust where it redirects to, set --endpoint to that"
	case a.loggingIn():
		if e.status == http.StatusNotFound {
			return "there is no identity API at " + a.session.identity + "; see --endpoint and --auth-url"
		}
		return ""
	case e.code != "":
		if hint := a.hintCode(ctx, e); hint != "" {
			return hint
		}
	}
	switch e.status {
	case http.StatusGatewayTimeout:
		return a.hintUnconfirmed(e)
	case http.StatusForbidden:
		return "the credentials are right but may not do this: it needs a user with the role admin, in the project that owns the thing"
	case http.StatusNotFound:
		return "services are seen by their owner and endpoints by their consumer, each in the project that has them; see --project-name and --profile"
	default:
		return ""
	}
}

// hintCode is for the codes of VPCEP that have one cause.
func (a *app) hintCode(ctx context.Context, e *apiError) string {
	service := cmp.Or(a.place.service, "SERVICE")
	switch {
	case e.is("2012"):
		return fmt.Sprintf("the owner of the service must let your account in: %s permission add %s iam:domain::%s",
			program, service, cmp.Or(a.account(ctx), "YOUR-ACCOUNT-ID"))
	case e.is("2013"):
		return fmt.Sprintf("what is connected or waits is shown by: %s connection list %s --all", program, service)
	case e.is("3006"):
		return fmt.Sprintf("reject its connections first; they are shown by: %s connection list %s --all", program, service)
	case e.is("1018"):
		return "what is used and allowed is shown by: " + program + " quota"
	case e.is("0014"):
		return "the project is not that of the credentials; see --project-id and --project-name"
	case e.is("2018"):
		return "a deletion is not taken back; the consumer creates a new endpoint"
	default:
		return ""
	}
}

// hintUnconfirmed is for 504: what was asked for may well have been done.
func (a *app) hintUnconfirmed(e *apiError) string {
	switch {
	case a.place.decision:
		return "the decision is kept; only its confirmation by the data plane is missing. Repeat the command: that is safe"
	case e.method == http.MethodPost:
		return "it may have been done; look with the list verb before you repeat"
	default:
		return "repeat the command: that is safe"
	}
}

// hintCredentials is for 401: which credentials were used, and what usually is
// wrong with their kind.
func (a *app) hintCredentials() string {
	if a.session == nil {
		return ""
	}
	g := a.session.given
	switch g.kind {
	case credentialToken:
		return fmt.Sprintf("the token (%s) is wrong or older than a day; %s token prints a new one, with user and password", g.from[setToken], program)
	case credentialKey:
		return fmt.Sprintf("check the access key (%s), its secret (%s) and the clock of this machine: 15 minutes off are too much",
			g.from[setAccessKey], g.from[setSecretKey])
	case credentialPassword:
		return fmt.Sprintf("check user (%s), password (%s) and domain (%s)",
			g.from[setUsername], cmp.Or(g.from[setPassword], "typed"), cmp.Or(g.from[setDomain], "not set"))
	case credentialNone:
	}
	return ""
}

// loggingIn reports whether the session has not reached the API it is for.
func (a *app) loggingIn() bool { return a.session != nil && a.session.resources == "" }

// hintBroken is for a request without answer.
func (a *app) hintBroken(e *sendError) string {
	_, certificate := errors.AsType[x509.UnknownAuthorityError](e.err)
	switch {
	case errors.Is(e.err, context.Canceled) && (e.method == http.MethodGet || e.unsent()):
		return "" // broken off before it could matter
	case errors.Is(e.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("is `%s serve` running at %s? Another place is set by --endpoint or SALLYPORT_ENDPOINT", program, e.base)
	case certificate:
		return "the certificate is of an authority that this machine does not know; see --ca-file"
	case strings.Contains(e.err.Error(), "server gave HTTP response to HTTPS client"): // net/http has no value for it
		return "there is no TLS at this port; use http:// in the URL"
	case e.unsent():
		return "nothing was sent; is the URL right? See --endpoint and --auth-url"
	case a.place.decision:
		return "the decision may have been made; repeat the command: that is safe"
	case e.method == http.MethodPost && !a.loggingIn():
		return "it is not known whether it was done; look with the list verb before you repeat"
	case e.timeout():
		return "is the server overloaded or the network slow? --timeout allows it more time"
	default:
		return ""
	}
}

// clean makes a text of others safe for a terminal: a description may hold
// sequences that move the cursor or turn the writing direction.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, unsafeRune) {
		return s
	}
	var b bytes.Buffer
	for _, r := range s {
		if unsafeRune(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unsafeRune reports the control characters, but for the line feed of our own
// texts, and the marks that turn the writing direction.
func unsafeRune(r rune) bool {
	return r < 0x20 && r != '\n' || r >= 0x7f && r <= 0x9f ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}

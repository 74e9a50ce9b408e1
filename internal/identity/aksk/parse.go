package aksk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Algorithm is the only algorithm this package knows, the label both layouts share.
const Algorithm = "SDK-HMAC-SHA256"

// Limits of an Authorization header. Real ones stay below 400 bytes and a dozen names.
const (
	// MaxHeader bounds the whole header value, in bytes; it keeps what a stranger
	// can make us parse far below net/http's own limit.
	MaxHeader = 4096
	// MaxAccess bounds an access key, in bytes; the vendor's have 20.
	MaxAccess = 128
	// MaxSignedHeaders bounds the list of signed headers: clients that sign all they
	// send sign about ten.
	MaxSignedHeaders = 64
)

const (
	maxScopePart   = 64 // bytes of a region or service name; the vendor's stay below 30
	signatureHex   = 64 // hexadecimal digits of an HMAC-SHA256
	scopeEnd       = "sdk_request"
	dateFormat     = "20060102T150405Z"
	dayLength      = len("20060102")
	dateHeader     = "X-Sdk-Date"
	dateName       = "x-sdk-date"
	payloadHeader  = "X-Sdk-Content-Sha256"
	unsignedMarker = "UNSIGNED-PAYLOAD"
	hostName       = "host"
)

// The errors of this package. Parse and Verify wrap them with a detail that is
// safe to show: it holds nothing but what the caller sent, never a secret.
var (
	// ErrUnsupported is another scheme or algorithm.
	ErrUnsupported = errors.New("unsupported authorization algorithm")
	// ErrMalformed is a header or request that does not follow the rules of signing.
	ErrMalformed = errors.New("malformed request signature")
	// ErrUnsigned is a request whose X-Sdk-Date is absent or not among the signed headers.
	ErrUnsigned = errors.New("x-sdk-date is not signed")
	// ErrExpired is a signature outside of Window; the error is an *ExpiredError.
	ErrExpired = errors.New("signature expired")
	// ErrMismatch is a signature or body hash that is not that of the request.
	ErrMismatch = errors.New("verify aksk signature fail")
)

// ExpiredError is a signature made too long ago or too far in the future.
type ExpiredError struct {
	Date   time.Time // the request's X-Sdk-Date
	Server time.Time // the server's clock when it looked
}

// Error gives both times in the form of X-Sdk-Date, as the vendor's gateway does,
// so that a user with a wrong clock sees what is wrong.
func (e *ExpiredError) Error() string {
	return "signature expired, signature time:" + e.Date.UTC().Format(dateFormat) +
		",server time:" + e.Server.UTC().Format(dateFormat)
}

// Is makes errors.Is(err, ErrExpired) true.
func (e *ExpiredError) Is(target error) bool { return target == ErrExpired }

// Layout is one of the two forms of a signature.
type Layout uint8

// The layouts.
const (
	// LayoutAccess has "Access=" and signs with the secret itself.
	LayoutAccess Layout = iota
	// LayoutCredential has "Credential=" and signs with a derived key.
	LayoutCredential
)

// Scope is what the derived key of LayoutCredential is bound to.
type Scope struct {
	Date    string // YYYYMMDD, the day of X-Sdk-Date
	Region  string // may be empty
	Service string // may be empty
}

// Authorization is a parsed Authorization header. Do not log it: a signature can
// be used again until Window closes.
type Authorization struct {
	Algorithm     string
	Layout        Layout
	Access        string   // the access key, an identifier
	Scope         Scope    // of LayoutCredential
	SignedHeaders []string // lower case, in the order of the header
	Signature     string   // 64 lower-case hexadecimal digits
}

// Parse reads the value of an Authorization header. It is strict: exactly the
// three parameters, lower-case names without repetition, and sizes within the
// limits of this package; else it returns ErrMalformed. Another scheme or
// algorithm is ErrUnsupported.
func Parse(header string) (Authorization, error) {
	var a Authorization
	if len(header) > MaxHeader {
		return a, malformed("authorization header is longer than %d bytes", MaxHeader)
	}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if scheme == "" {
		return a, malformed("authorization header is empty")
	}
	if scheme != Algorithm {
		return a, ErrUnsupported // the scheme is not repeated: it may be a secret in the wrong place
	}
	a.Algorithm = Algorithm
	for part := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return Authorization{}, malformed("authorization parameter without a value")
		}
		if err := a.set(name, value); err != nil {
			return Authorization{}, err
		}
	}
	if a.Access == "" || a.SignedHeaders == nil || a.Signature == "" {
		return Authorization{}, malformed("authorization needs an access key, SignedHeaders and Signature")
	}
	return a, nil
}

// set takes one parameter; a second one of its kind is refused.
func (a *Authorization) set(name, value string) error {
	switch name {
	case "Access", "Credential":
		if a.Access != "" {
			return malformed("more than one access key")
		}
		if name == "Access" {
			return a.setAccess(value)
		}
		return a.setCredential(value)
	case "SignedHeaders":
		if a.SignedHeaders != nil {
			return malformed("more than one SignedHeaders")
		}
		return a.setSignedHeaders(value)
	case "Signature":
		if a.Signature != "" {
			return malformed("more than one Signature")
		}
		if !isLowerHex(value) || len(value) != signatureHex {
			return malformed("Signature is not %d lower-case hexadecimal digits", signatureHex)
		}
		a.Signature = value
		return nil
	default:
		return malformed("unknown authorization parameter")
	}
}

func (a *Authorization) setAccess(access string) error {
	if !ValidAccess(access) {
		return malformed("access key is not 1-%d letters, digits, '-', '_' or '.'", MaxAccess)
	}
	a.Access = access
	return nil
}

func (a *Authorization) setCredential(credential string) error {
	access, scope, _ := strings.Cut(credential, "/")
	day, scope, _ := strings.Cut(scope, "/")
	region, scope, _ := strings.Cut(scope, "/")
	service, end, _ := strings.Cut(scope, "/")
	if len(day) != dayLength || !isDigits(day) || end != scopeEnd || !validScopePart(region) || !validScopePart(service) {
		return malformed("Credential is not <access key>/<YYYYMMDD>/<region>/<service>/%s", scopeEnd)
	}
	a.Layout = LayoutCredential
	a.Scope = Scope{Date: day, Region: region, Service: service}
	return a.setAccess(access)
}

func (a *Authorization) setSignedHeaders(list string) error {
	n := strings.Count(list, ";") + 1
	if n > MaxSignedHeaders {
		return malformed("more than %d signed headers", MaxSignedHeaders)
	}
	names := make([]string, 0, n)
	for name := range strings.SplitSeq(list, ";") {
		if !validHeaderName(name) {
			return malformed("SignedHeaders has a name that is not a lower-case header name")
		}
		if slices.Contains(names, name) {
			return malformed("SignedHeaders has a name twice")
		}
		names = append(names, name)
	}
	a.SignedHeaders = names
	return nil
}

// ValidAccess reports whether access can be an access key: 1–128 ASCII letters,
// digits, '-', '_' or '.', so that it never meets the separators of the header.
func ValidAccess(access string) bool {
	return access != "" && len(access) <= MaxAccess && all(access, isWord)
}

func validScopePart(s string) bool { return len(s) <= maxScopePart && all(s, isWord) }

// validHeaderName accepts the characters of RFC 9110 tokens that occur in
// header names, without capitals: the signing rules demand lower case.
func validHeaderName(s string) bool {
	return s != "" && all(s, func(c byte) bool { return isWord(c) && (c < 'A' || c > 'Z') })
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

func isDigits(s string) bool {
	return all(s, func(c byte) bool { return c >= '0' && c <= '9' })
}

func isLowerHex(s string) bool {
	return all(s, func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' })
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

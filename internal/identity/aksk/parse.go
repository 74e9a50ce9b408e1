package aksk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

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
	scopeEnd       = "sdk_request"
	dateFormat     = "20060102T150405Z"
	dayLength      = len("20060102")
	dateHeader     = "X-Sdk-Date"
	dateName       = "x-sdk-date"
	unsignedMarker = "UNSIGNED-PAYLOAD"
	hostName       = "host"
)

// The errors of this package. Parse and Verify wrap them with a detail that is
// safe to show: it holds nothing but what the caller sent, never a secret.
var (
	// ErrUnsupported is a scheme or algorithm that this package does not know.
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

// Layout is one of the three forms of a signature.
type Layout uint8

// The layouts.
const (
	// LayoutAccess has "Access=" and signs with the secret itself.
	LayoutAccess Layout = iota
	// LayoutCredential has "Credential=" and signs with a derived key.
	LayoutCredential
	// LayoutDerived is that of AlgorithmDerived: "Credential=" with a scope of another
	// form, another derived key, and the canonical request of LayoutAccess.
	LayoutDerived
)

// Scope is what the derived key of LayoutCredential or LayoutDerived is bound to.
type Scope struct {
	Date    string // YYYYMMDD, the day of X-Sdk-Date
	Region  string // may be empty in LayoutCredential
	Service string // may be empty in LayoutCredential
}

// Authorization is a parsed Authorization header. Do not log it: a signature can
// be used again until Window closes.
type Authorization struct {
	Algorithm     string // one of the Algorithm constants
	Layout        Layout
	Access        string   // the access key, an identifier
	Scope         Scope    // zero in LayoutAccess
	SignedHeaders []string // lower case, in the order of the header
	Signature     string   // lower-case hexadecimal digits, 64 or, of DER, up to 144
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
	su := suiteOf(scheme)
	if su == nil {
		return a, ErrUnsupported // the scheme is not repeated: it may be a secret in the wrong place
	}
	a.Algorithm = scheme
	for part := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return Authorization{}, malformed("authorization parameter without a value")
		}
		if err := a.set(su, name, value); err != nil {
			return Authorization{}, err
		}
	}
	if a.Access == "" || a.SignedHeaders == nil || a.Signature == "" {
		return Authorization{}, malformed("authorization needs an access key, SignedHeaders and Signature")
	}
	return a, nil
}

// set takes one parameter; a second one of its kind is refused.
func (a *Authorization) set(su *suite, name, value string) error {
	switch name {
	case "Access", "Credential":
		if a.Access != "" {
			return malformed("more than one access key")
		}
		switch {
		case name == "Access" && a.Algorithm != AlgorithmDerived:
			return a.setAccess(value)
		case name == "Credential" && a.Algorithm == Algorithm:
			return a.setCredential(value)
		case name == "Credential" && a.Algorithm == AlgorithmDerived:
			return a.setDerived(value)
		default:
			return malformed("the algorithm does not take %s", name)
		}
	case "SignedHeaders":
		if a.SignedHeaders != nil {
			return malformed("more than one SignedHeaders")
		}
		return a.setSignedHeaders(value)
	case "Signature":
		if a.Signature != "" {
			return malformed("more than one Signature")
		}
		if !su.validSignature(value) {
			return malformed("Signature is not the lower-case hexadecimal digits that the algorithm makes")
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

func (a *Authorization) setDerived(credential string) error {
	access, scope, _ := strings.Cut(credential, "/")
	day, scope, _ := strings.Cut(scope, "/")
	region, service, _ := strings.Cut(scope, "/")
	if len(day) != dayLength || !isDigits(day) || region == "" || service == "" || !validScopePart(region) || !validScopePart(service) {
		return malformed("Credential is not <access key>/<YYYYMMDD>/<region>/<service>")
	}
	a.Layout = LayoutDerived
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

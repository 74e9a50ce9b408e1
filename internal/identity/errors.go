package identity

import (
	"errors"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// AuthKind is the class of an AuthError: what a log or a metric counts.
type AuthKind uint8

// The kinds of failed authentication.
const (
	// AuthMissing is a request with neither a token nor a signature.
	AuthMissing AuthKind = iota + 1
	// AuthMalformed is a signature that does not follow the rules of signing.
	AuthMalformed
	// AuthUnknownKey is an access key that the directory does not hold, or that is not
	// the one of the security token beside it.
	AuthUnknownKey
	// AuthMismatch is a signature that is not that of the request.
	AuthMismatch
	// AuthExpiredSignature is a signature outside of aksk.Window.
	AuthExpiredSignature
	// AuthBadToken is a text in X-Auth-Token that this installation did not issue.
	AuthBadToken
	// AuthExpiredToken is a token older than its life.
	AuthExpiredToken
	// AuthRevoked is a token or security token that was revoked, or whose user,
	// project, password or access key is not what it was.
	AuthRevoked
	// AuthBadPassword is a login by password with an unknown user or a wrong password.
	AuthBadPassword
	// AuthUnsupported is a signing algorithm or login method that is not offered.
	AuthUnsupported
	// AuthBadSecurityToken is a text in X-Security-Token that this installation did
	// not issue.
	AuthBadSecurityToken
	// AuthExpiredSecurityToken is a security token, and so a temporary key, older than
	// its life.
	AuthExpiredSecurityToken
)

// String returns the name used in logs and metrics.
func (k AuthKind) String() string {
	switch k {
	case AuthMissing:
		return "missing"
	case AuthMalformed:
		return "malformed"
	case AuthUnknownKey:
		return "unknown_key"
	case AuthMismatch:
		return "mismatch"
	case AuthExpiredSignature:
		return "expired_signature"
	case AuthBadToken:
		return "bad_token"
	case AuthExpiredToken:
		return "expired_token"
	case AuthRevoked:
		return "revoked"
	case AuthBadPassword:
		return "bad_password"
	case AuthUnsupported:
		return "unsupported"
	case AuthBadSecurityToken:
		return "bad_security_token"
	case AuthExpiredSecurityToken:
		return "expired_security_token"
	default:
		return "unknown"
	}
}

// AuthError is a failed authentication; every edge answers it with 401 in its
// family's form. Detail is all that a caller may read.
//
// AuthUnknownKey and AuthMismatch share one Detail, that of a wrong signature. The
// vendor's gateway names a key that does not exist; we do not, because that would
// let anyone test which access keys exist, and an honest client gains nothing: with
// either text it has to look at its own credentials. Kind tells an operator which it
// was, so an edge must render Detail and never Kind. The vendor also locks a key
// after five failures; we do not, because whoever reads an access key, which is no
// secret, could then lock its owner out.
type AuthError struct {
	Kind   AuthKind
	Detail string // for the caller: no secret, nothing of the directory
	Err    error  // for the log; may be nil
}

// Error returns the detail, and for the log what lies under it.
func (e *AuthError) Error() string {
	if e.Err != nil && e.Err.Error() != e.Detail {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

// Unauthenticated returns the sentence for the caller; an edge knows an error that
// is answered with 401 by this method.
func (e *AuthError) Unauthenticated() string { return e.Detail }

// Unwrap returns what lies under the error.
func (e *AuthError) Unwrap() error { return e.Err }

// AuthKindOf returns the kind of err, or 0 if err is no AuthError.
func AuthKindOf(err error) AuthKind {
	if e, ok := errors.AsType[*AuthError](err); ok {
		return e.Kind
	}
	return 0
}

// ErrBusy is a login refused because too many wait: for their password to be checked,
// or after failed logins of the same user from the same address. It says nothing about the credentials: edges answer 503, not 401.
var ErrBusy = errors.New("too many logins at once")

// The details that are not the text of the error below.
const (
	detailMissing      = "neither X-Auth-Token nor Authorization is given"
	detailToken        = "decrypt token fail" // the vendor's gateway, APIGW.0301
	detailTokenExpired = "token expired"
	detailTokenRevoked = "token revoked"
	detailPassword     = "the username or password is wrong"
	detailKey          = "the access key or secret key is wrong"

	detailTemporaryExpired = "the securitytoken has expired" // IAM.1108
	detailMethod           = "unsupported authentication method"
)

// signatureError turns an error of package aksk into an AuthError. known says
// whether the access key exists.
func signatureError(err error, known bool) *AuthError {
	e := &AuthError{Kind: AuthMalformed, Detail: err.Error(), Err: err}
	switch {
	case errors.Is(err, aksk.ErrMismatch):
		e.Kind, e.Detail = AuthMismatch, aksk.ErrMismatch.Error()
		if !known {
			e.Kind = AuthUnknownKey
		}
	case errors.Is(err, aksk.ErrExpired):
		e.Kind = AuthExpiredSignature
	case errors.Is(err, aksk.ErrUnsupported):
		e.Kind = AuthUnsupported
	}
	return e
}

package aksk

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Window is how far X-Sdk-Date may lie before or after the server's clock. The
// vendor's gateway has the same 15 minutes; clients rely on it when their clocks drift.
const Window = 15 * time.Minute

// Verify checks that r, as a server received it, and body carry the signature a,
// made with secret at most Window away from now. It returns nil or an error that
// wraps ErrUnsupported, ErrUnsigned, ErrMalformed, ErrExpired or ErrMismatch.
//
// Only ErrMismatch depends on secret, and it comes last: called with some other
// secret for an unknown access key, Verify costs and says the same as for a wrong
// signature. An X-Sdk-Content-Sha256 (with SM3, X-Sdk-Content-Sm3) of UNSIGNED-PAYLOAD
// leaves the body out of the signature, as the SDKs do for uploads; a hash there must
// be the body's.
// It does not consume r.Body.
func Verify(r *http.Request, body []byte, a Authorization, secret string, now time.Time) error {
	su := suiteOf(a.Algorithm)
	if su == nil {
		return ErrUnsupported
	}
	date, err := checkDate(r, a, now)
	if err != nil {
		return err
	}
	payload, err := su.payloadHash(r, body)
	if err != nil {
		return err
	}
	if !su.validSignature(a.Signature) {
		return malformed("Signature is not the lower-case hexadecimal digits that the algorithm makes")
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	if err := s.stringToSign(r, su, a, date, payload, false); err != nil {
		return err
	}
	if ok, err := su.holds(a, secret, s.buf); ok || err != nil {
		return err
	}
	if a.Layout == LayoutCredential && r.Method == http.MethodPost && len(body) == 0 && r.URL.RawQuery != "" {
		// On the wire a POST with an empty body looks like one without body, and
		// gophertelekomcloud signs them differently: try the other.
		if payload, err = formHash(r, payload); err != nil {
			return err
		}
		if err := s.stringToSign(r, su, a, date, payload, true); err != nil {
			return err
		}
		if ok, err := su.holds(a, secret, s.buf); ok || err != nil {
			return err
		}
	}
	return ErrMismatch
}

// holds reports whether the signature of a, which has the form of its algorithm, is
// that of message.
func (su *suite) holds(a Authorization, secret string, message []byte) (bool, error) {
	if su.verify != nil {
		signature, err := hex.DecodeString(a.Signature)
		return err == nil && su.verify(su, a, secret, message, signature), nil
	}
	want, err := su.signature(a, secret, message)
	if err != nil {
		return false, err
	}
	var got [sumSize]byte
	n, err := hex.Decode(got[:], []byte(a.Signature))
	return err == nil && subtle.ConstantTimeCompare(want[:], got[:n]) == 1, nil
}

// checkDate returns the X-Sdk-Date of r if it is signed, well formed and inside the window.
func checkDate(r *http.Request, a Authorization, now time.Time) (string, error) {
	values := r.Header[dateHeader]
	if len(values) == 0 || !slices.Contains(a.SignedHeaders, dateName) {
		return "", ErrUnsigned
	}
	date := values[0]
	if len(values) > 1 || len(date) != len(dateFormat) {
		return "", malformed("X-Sdk-Date is not one time of the form YYYYMMDDTHHMMSSZ")
	}
	at, err := time.Parse(dateFormat, date)
	if err != nil {
		return "", malformed("X-Sdk-Date is not one time of the form YYYYMMDDTHHMMSSZ")
	}
	if a.Layout != LayoutAccess && a.Scope.Date != date[:dayLength] {
		return "", malformed("the day of Credential is not that of X-Sdk-Date")
	}
	if d := now.Sub(at); d > Window || d < -Window {
		return "", &ExpiredError{Date: at, Server: now}
	}
	return date, nil
}

// formHash returns the last line of the canonical request of a POST without body
// in the Credential layout: the hash of the query as a form, unless the caller
// sent a payload hash of its own.
func formHash(r *http.Request, payload string) (string, error) {
	if len(r.Header[suiteSHA256.payloadHeader]) > 0 {
		return payload, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", malformed("query string cannot be parsed")
	}
	return suiteSHA256.hexSum([]byte(values.Encode())), nil // the layout has no other hash
}

// stringToSign leaves in s.buf what the signature covers.
func (s *scratch) stringToSign(r *http.Request, su *suite, a Authorization, date, payload string, queryInBody bool) error {
	if err := s.canonicalRequest(r, a.Layout, a.SignedHeaders, payload, queryInBody); err != nil {
		return err
	}
	sum := su.sum(s.buf)
	b := append(s.buf[:0], a.Algorithm...)
	b = append(b, '\n')
	b = append(b, date...)
	b = append(b, '\n')
	if a.Layout != LayoutAccess {
		b = appendScope(b, a)
		b = append(b, '\n')
	}
	s.buf = hex.AppendEncode(b, sum[:])
	return nil
}

// signature computes what the Signature parameter of an algorithm with an HMAC must
// decode to.
func (su *suite) signature(a Authorization, secret string, message []byte) ([sumSize]byte, error) {
	key := []byte(secret)
	switch a.Layout {
	case LayoutAccess:
	case LayoutCredential:
		key = su.chainedKey(secret, a.Scope)
	case LayoutDerived:
		var err error
		if key, err = derivedKey(a.Access, secret, string(appendScope(nil, a))); err != nil {
			return [sumSize]byte{}, err
		}
	}
	return su.mac(key, message), nil
}

func appendScope(b []byte, a Authorization) []byte {
	b = append(b, a.Scope.Date...)
	b = append(b, '/')
	b = append(b, a.Scope.Region...)
	b = append(b, '/')
	b = append(b, a.Scope.Service...)
	if a.Layout == LayoutCredential {
		b = append(b, '/')
		b = append(b, scopeEnd...)
	}
	return b
}

// chainedKey returns the Credential layout's key: a chain of HMACs, so that a key for
// one day, region and service does not reveal the secret.
func (su *suite) chainedKey(secret string, scope Scope) []byte {
	k := su.mac([]byte("SDK"+secret), []byte(scope.Date))
	k = su.mac(k[:], []byte(scope.Region))
	k = su.mac(k[:], []byte(scope.Service))
	k = su.mac(k[:], []byte(scopeEnd))
	return k[:]
}

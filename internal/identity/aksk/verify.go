package aksk

import (
	"crypto/hmac"
	"crypto/sha256"
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
// wraps ErrUnsigned, ErrMalformed, ErrExpired or ErrMismatch.
//
// Only ErrMismatch depends on secret, and it comes last: called with some other
// secret for an unknown access key, Verify costs and says the same as for a wrong
// signature. An X-Sdk-Content-Sha256 of UNSIGNED-PAYLOAD leaves the body out of
// the signature, as the SDKs do for uploads; a hash there must be the body's.
// It does not consume r.Body.
func Verify(r *http.Request, body []byte, a Authorization, secret string, now time.Time) error {
	date, err := checkDate(r, a, now)
	if err != nil {
		return err
	}
	payload, err := payloadHash(r, body)
	if err != nil {
		return err
	}
	var want [sha256.Size]byte
	if n, err := hex.Decode(want[:], signatureBytes(a.Signature)); err != nil || n != len(want) {
		return malformed("Signature is not %d hexadecimal digits", signatureHex)
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	got, err := s.signature(r, a, date, secret, payload, false)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return nil
	}
	if a.Layout == LayoutCredential && r.Method == http.MethodPost && len(body) == 0 && r.URL.RawQuery != "" {
		// On the wire a POST with an empty body looks like one without body, and
		// gophertelekomcloud signs them differently: try the other.
		if payload, err = formHash(r, payload); err != nil {
			return err
		}
		if got, err = s.signature(r, a, date, secret, payload, true); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
	}
	return ErrMismatch
}

// signatureBytes returns s as bytes, cut so that hex.Decode cannot overrun.
func signatureBytes(s string) []byte {
	return []byte(s[:min(len(s), signatureHex)])
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
	if a.Layout == LayoutCredential && a.Scope.Date != date[:dayLength] {
		return "", malformed("the day of Credential is not that of X-Sdk-Date")
	}
	if d := now.Sub(at); d > Window || d < -Window {
		return "", &ExpiredError{Date: at, Server: now}
	}
	return date, nil
}

// payloadHash returns the last line of the canonical request.
func payloadHash(r *http.Request, body []byte) (string, error) {
	values := r.Header[payloadHeader]
	if len(values) > 1 {
		return "", malformed("more than one X-Sdk-Content-Sha256")
	}
	if len(values) == 1 && values[0] == unsignedMarker {
		return unsignedMarker, nil
	}
	sum := hexSum(body)
	if len(values) == 1 && values[0] != sum { // no secret is involved: both are the caller's
		return "", ErrMismatch
	}
	return sum, nil
}

// formHash returns the last line of the canonical request of a POST without body
// in the Credential layout: the hash of the query as a form, unless the caller
// sent a payload hash of its own.
func formHash(r *http.Request, payload string) (string, error) {
	if len(r.Header[payloadHeader]) > 0 {
		return payload, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", malformed("query string cannot be parsed")
	}
	return hexSum([]byte(values.Encode())), nil
}

func hexSum(b []byte) string {
	if len(b) == 0 {
		return emptySum
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// emptySum is the SHA-256 of nothing: most requests have no body.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// signature computes what the Signature parameter must decode to.
func (s *scratch) signature(r *http.Request, a Authorization, date, secret, payload string, queryInBody bool) ([sha256.Size]byte, error) {
	if err := s.canonicalRequest(r, a.Layout, a.SignedHeaders, payload, queryInBody); err != nil {
		return [sha256.Size]byte{}, err
	}
	sum := sha256.Sum256(s.buf)
	b := append(s.buf[:0], Algorithm...)
	b = append(b, '\n')
	b = append(b, date...)
	b = append(b, '\n')
	key := []byte(secret)
	if a.Layout == LayoutCredential {
		b = appendScope(b, a.Scope)
		b = append(b, '\n')
		key = derive(secret, a.Scope)
	}
	b = hex.AppendEncode(b, sum[:])
	s.buf = b
	return mac(key, b), nil
}

func appendScope(b []byte, scope Scope) []byte {
	b = append(b, scope.Date...)
	b = append(b, '/')
	b = append(b, scope.Region...)
	b = append(b, '/')
	b = append(b, scope.Service...)
	b = append(b, '/')
	return append(b, scopeEnd...)
}

// derive returns the Credential layout's key: a chain of HMACs, so that a key for
// one day, region and service does not reveal the secret.
func derive(secret string, scope Scope) []byte {
	k := mac([]byte("SDK"+secret), []byte(scope.Date))
	k = mac(k[:], []byte(scope.Region))
	k = mac(k[:], []byte(scope.Service))
	k = mac(k[:], []byte(scopeEnd))
	return k[:]
}

func mac(key, message []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	h.Sum(sum[:0])
	return sum
}

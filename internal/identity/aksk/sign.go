package aksk

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Sign signs r, a request about to be sent with the given body, in the Access
// layout: it sets X-Sdk-Date to now and Authorization. It signs what the vendor's
// SDK signs: all headers set so far, except names that start with content-type or
// hold an underscore; Host only if it stands in r.Header. The body is signed, unless
// the caller has set X-Sdk-Content-Sha256 to UNSIGNED-PAYLOAD. A request that cannot
// be signed, because its query cannot be parsed, is an error that wraps ErrMalformed.
func Sign(r *http.Request, body []byte, access, secret string, now time.Time) error {
	names := headerNames(r, func(name string) bool {
		return !strings.HasPrefix(name, "content-type") && !strings.Contains(name, "_")
	})
	return sign(r, body, Authorization{Algorithm: Algorithm, Layout: LayoutAccess, Access: access, SignedHeaders: names}, secret, now)
}

// SignCredential is Sign in the Credential layout with an empty region and service,
// as gophertelekomcloud does it: all headers and Host are signed. A nil body of a
// POST means "no body", whose query is signed as a form; an empty one that is not
// nil is a body of zero bytes.
func SignCredential(r *http.Request, body []byte, access, secret string, now time.Time) error {
	names := headerNames(r, func(string) bool { return true })
	if !slices.Contains(names, hostName) {
		names = append(names, hostName)
		slices.Sort(names)
	}
	scope := Scope{Date: now.UTC().Format(dateFormat)[:dayLength]}
	a := Authorization{Algorithm: Algorithm, Layout: LayoutCredential, Access: access, Scope: scope, SignedHeaders: names}
	return sign(r, body, a, secret, now)
}

// sign completes a, whose algorithm is one of those with an HMAC, with the signature
// and writes it to r.
func sign(r *http.Request, body []byte, a Authorization, secret string, now time.Time) error {
	date := now.UTC().Format(dateFormat)
	r.Header.Set(dateHeader, date)
	su := suiteOf(a.Algorithm)
	payload := su.hexSum(body)
	if v := r.Header.Get(su.payloadHeader); v != "" {
		payload = v
	}
	queryInBody := a.Layout == LayoutCredential && r.Method == http.MethodPost && body == nil
	if queryInBody {
		var err error
		if payload, err = formHash(r, payload); err != nil {
			return err
		}
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	if err := s.stringToSign(r, su, a, date, payload, queryInBody); err != nil {
		return err
	}
	sum, err := su.signature(a, secret, s.buf)
	if err != nil {
		return err
	}
	a.Signature = hex.EncodeToString(sum[:])
	r.Header.Set("Authorization", a.header())
	return nil
}

// headerNames returns the sorted lower-case names of the headers to sign.
func headerNames(r *http.Request, wanted func(name string) bool) []string {
	names := []string{dateName}
	for key := range r.Header {
		name := strings.ToLower(key)
		if name != dateName && name != "authorization" && wanted(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// header returns the value of the Authorization header that a stands for.
func (a Authorization) header() string {
	var b strings.Builder
	b.WriteString(a.Algorithm)
	if a.Layout != LayoutAccess {
		b.WriteString(" Credential=" + a.Access + "/" + string(appendScope(nil, a)))
	} else {
		b.WriteString(" Access=" + a.Access)
	}
	b.WriteString(", SignedHeaders=" + strings.Join(a.SignedHeaders, ";") + ", Signature=" + a.Signature)
	return b.String()
}

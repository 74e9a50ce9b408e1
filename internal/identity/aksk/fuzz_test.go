package aksk

import (
	"bufio"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// If this fails, a header from outside can crash the server, or means something
// else when it is written again.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Authorization)
	}
	f.Add("V11-HMAC-SHA256 Credential=A/20240506/eu-de/apig, SignedHeaders=x-sdk-date, Signature=00")
	f.Add("SDK-HMAC-SHA256 Access=, SignedHeaders=;, Signature=")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := Parse(header)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("got an error of no known kind: %v", err)
			}
			return
		}
		again, err := Parse(a.header())
		if err != nil {
			t.Fatalf("%q does not parse again: %v", a.header(), err)
		}
		if diff := cmp.Diff(a, again); diff != "" {
			t.Fatalf("parsing is not stable:\n%s", diff)
		}
	})
}

// If this fails, a request from outside can crash the server or pass without the
// secret, or a request that we sign ourselves is refused.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors(f) {
		u, err := url.Parse(v.URL)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v.Method, u.RequestURI(), "x", v.Body, v.Authorization)
	}
	f.Add("POST", "/a?%zz;&=&+", "a   b\tc", "", "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-note, Signature="+strings.Repeat("0", 64))
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	f.Fuzz(func(t *testing.T, method, target, note, body, authorization string) {
		if strings.ContainsAny(method+target+note, "\r\n") {
			t.Skip() // further headers: the text would no longer be this one request
		}
		read := func() *http.Request {
			text := method + " " + target + " HTTP/1.1\r\nHost: h\r\nX-Sdk-Date: 20240506T070809Z\r\nX-Note: " + note + "\r\n\r\n"
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
			if err != nil {
				t.Skip()
			}
			return r
		}
		if a, err := Parse(authorization); err == nil {
			if err := Verify(read(), []byte(body), a, "a secret nobody has", at); err == nil {
				t.Fatal("a request passed without the secret")
			}
		}
		for i, signer := range []func(*http.Request, []byte, string, string, time.Time) error{Sign, SignCredential} {
			r := read()
			if err := signer(r, []byte(body), "AK", "secret", at); err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("signer %d: %v", i, err)
				}
				continue
			}
			if err := verify(r, []byte(body), "secret", at); err != nil {
				t.Fatalf("signer %d: our own signature is refused: %v", i, err)
			}
			if err := verify(r, []byte(body+"x"), "secret", at); err == nil {
				t.Fatalf("signer %d: another body passed", i)
			}
		}
	})
}

package aksk

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is one request signed by a real client's own signer.
type vector struct {
	Name, Client, Layout, Access, Secret, Method, URL, Host, Body, Date, Authorization string

	Headers   map[string]string
	Canonical string `json:"canonical_request"`
	Scalar    string // of an asymmetric algorithm: the private key, in hexadecimal
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		tb.Fatal(err)
	}
	if len(vs) != 26 {
		tb.Fatalf("got %d vectors, want all 26", len(vs))
	}
	return vs
}

// received builds the request as a server reads it off the wire.
func (v vector) received(tb testing.TB) *http.Request {
	tb.Helper()
	_, target, _ := strings.Cut(strings.TrimPrefix(v.URL, "https://"), "/")
	var b bytes.Buffer
	b.WriteString(v.Method + " /" + target + " HTTP/1.1\r\nHost: " + v.Host + "\r\n")
	for name, value := range v.Headers {
		if name != "Host" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString("Authorization: " + v.Authorization + "\r\n\r\n")
	r, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func (v vector) at(tb testing.TB) time.Time {
	tb.Helper()
	at, err := time.Parse(dateFormat, v.Date)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

// sent builds the request as a client program does before it signs.
func (v vector) sent(tb testing.TB) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), v.Method, v.URL, strings.NewReader(v.Body))
	if err != nil {
		tb.Fatal(err)
	}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	return r
}

// unsigned reports whether the client chose not to sign the body.
func (v vector) unsigned() bool {
	return v.Headers[payloadSHA] == unsignedMarker || v.Headers[payloadSM3] == unsignedMarker
}

func verify(r *http.Request, body []byte, secret string, now time.Time) error {
	a, err := Parse(r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	return Verify(r, body, a, secret, now)
}

// If this fails, a real client is refused.
func TestVerifyAcceptsWhatRealClientsSign(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			r := v.received(t)
			a, err := Parse(v.Authorization)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if layouts := []string{"Access", "Credential", "Derived"}; a.Access != v.Access || layouts[a.Layout] != v.Layout {
				t.Errorf("Parse: got access %q layout %d", a.Access, a.Layout)
			}
			if got := a.header(); got != v.Authorization {
				t.Errorf("header does not survive parsing: got %q", got)
			}
			for _, d := range []time.Duration{0, Window, -Window} {
				if err := Verify(r, []byte(v.Body), a, v.Secret, v.at(t).Add(d)); err != nil {
					t.Errorf("Verify %v after signing: %v", d, err)
				}
			}
			if err := Verify(r, []byte(v.Body), a, v.Secret, v.at(t)); err != nil {
				t.Errorf("the byte-identical request again: %v", err)
			}
			s := &scratch{}
			if err := s.canonicalRequest(r, a.Layout, a.SignedHeaders, v.Canonical[strings.LastIndexByte(v.Canonical, '\n')+1:],
				v.Name == "legacy-credential-post-no-body-with-query"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.Canonical, string(s.buf)); diff != "" {
				t.Errorf("canonical request (-want +got):\n%s", diff)
			}
		})
	}
}

// If this fails, our own CLI signs otherwise than the vendor's clients.
func TestSignMatchesRealClients(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			r := v.sent(t)
			body := []byte(v.Body)
			a, err := Parse(v.Authorization)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case v.Scalar != "":
				t.Skip("the signature is another one every time")
			case v.Client == "huaweicloud-sdk-go-v3" && a.Algorithm == Algorithm:
				err = Sign(r, body, v.Access, v.Secret, v.at(t))
			case v.Client == "gophertelekomcloud":
				if v.Body == "" {
					body = nil
				}
				err = SignCredential(r, body, v.Access, v.Secret, v.at(t))
			default: // what Sign does not offer: golangsdk's Content-Type, the other algorithms
				err = sign(r, body, a, v.Secret, v.at(t))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Authorization"); got != v.Authorization {
				t.Errorf("got  %s\nwant %s", got, v.Authorization)
			}
		})
	}
}

// If this fails, a request can be altered on its way and is still believed.
func TestVerifyRefusesEveryMutation(t *testing.T) {
	flip := func(s string, i int) string { return s[:i] + string(s[i]^1) + s[i+1:] }
	mutations := map[string]func(v *vector, r *http.Request){
		"method": func(_ *vector, r *http.Request) { r.Method = http.MethodPatch },
		"path":   func(_ *vector, r *http.Request) { r.URL.Path = flip(r.URL.Path, 1) },
		"path longer": func(_ *vector, r *http.Request) {
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/") + "/x"
		},
		"query added":  func(_ *vector, r *http.Request) { r.URL.RawQuery += "&added=1" },
		"query broken": func(_ *vector, r *http.Request) { r.URL.RawQuery += "&%zz" },
		"query semicolon": func(_ *vector, r *http.Request) {
			r.URL.RawQuery += ";x=1"
		},
		"date": func(v *vector, r *http.Request) {
			r.Header.Set(dateHeader, v.at(t).Add(time.Second).Format(dateFormat))
		},
		"date twice": func(v *vector, r *http.Request) { r.Header.Add(dateHeader, v.Date) },
		"date gone":  func(_ *vector, r *http.Request) { r.Header.Del(dateHeader) },
		"signature":  func(v *vector, _ *http.Request) { v.Authorization = flip(v.Authorization, len(v.Authorization)-1) },
		"signed list": func(v *vector, r *http.Request) {
			r.Header.Set("X-Other", "1")
			v.Authorization = strings.Replace(v.Authorization, "SignedHeaders=", "SignedHeaders=x-other;", 1)
		},
		"listed header absent": func(v *vector, _ *http.Request) {
			v.Authorization = strings.Replace(v.Authorization, "SignedHeaders=", "SignedHeaders=x-absent;", 1)
		},
		"body": func(v *vector, _ *http.Request) { v.Body += "x" },
		"payload hash": func(_ *vector, r *http.Request) {
			r.Header.Set(payloadSHA, strings.Repeat("0", 64))
			r.Header.Set(payloadSM3, strings.Repeat("0", 64))
		},
		"payload hash twice": func(_ *vector, r *http.Request) {
			for range 2 {
				r.Header.Add(payloadSHA, unsignedMarker)
				r.Header.Add(payloadSM3, unsignedMarker)
			}
		},
		"payload marker": func(_ *vector, r *http.Request) {
			for _, name := range []string{payloadSHA, payloadSM3} {
				if r.Header.Get(name) == unsignedMarker {
					r.Header.Del(name)
				} else {
					r.Header.Set(name, unsignedMarker)
				}
			}
		},
		"other secret": func(v *vector, _ *http.Request) { v.Secret += "x" },
	}
	for _, v := range vectors(t) {
		a, err := Parse(v.Authorization)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range a.SignedHeaders {
			if name == hostName {
				mutate(t, v, "header host", func(_ *vector, r *http.Request) { r.Host += "x" })
			} else if name != dateName {
				mutate(t, v, "header "+name, func(_ *vector, r *http.Request) { r.Header.Set(name, r.Header.Get(name)+"x") })
			}
		}
		for name, f := range mutations {
			if name == "body" && v.unsigned() {
				continue // the client chose not to sign it
			}
			mutate(t, v, name, f)
		}
	}
}

func mutate(t *testing.T, v vector, name string, f func(*vector, *http.Request)) {
	t.Helper()
	r, at := v.received(t), v.at(t)
	f(&v, r)
	a, err := Parse(v.Authorization)
	if err == nil {
		err = Verify(r, []byte(v.Body), a, v.Secret, at)
	}
	if !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsigned) {
		t.Errorf("%s with another %s: got %v, want a refusal", v.Name, name, err)
	}
}

// If this fails, the access key can be exchanged for another one's: the layouts do
// not sign it, so the secret looked up by it must differ.
func TestAccessKeyOfAnotherUserIsRefused(t *testing.T) {
	for _, v := range vectors(t) {
		a, err := Parse(strings.Replace(v.Authorization, v.Access, "OTHER", 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(v.received(t), []byte(v.Body), a, "the secret of OTHER", v.at(t)); a.Access != "OTHER" || !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: got %v, want %v", v.Name, err, ErrMismatch)
		}
	}
}

// If this fails, a client's derived key is not ours, and all it signs is refused.
func TestPrivateScalar(t *testing.T) {
	orders := map[string][sumSize]byte{AlgorithmECDSA: orderP256, AlgorithmSM2: orderSM2}
	for _, v := range vectors(t) {
		if v.Scalar == "" {
			continue
		}
		a, err := Parse(v.Authorization)
		if err != nil {
			t.Fatal(err)
		}
		order, su := orders[a.Algorithm], suiteOf(a.Algorithm)
		delete(orders, a.Algorithm)
		if got := hex.EncodeToString(su.privateScalar(a, v.Secret, order)); got != v.Scalar {
			t.Errorf("%s: got %s, want %s", v.Name, got, v.Scalar)
		}
		if got := su.privateScalar(a, v.Secret, [sumSize]byte{}); got != nil {
			t.Errorf("%s: got %x of an order that nothing is below", v.Name, got)
		}
	}
	if len(orders) != 0 {
		t.Errorf("no vectors of %v", orders)
	}
}

// If this fails, an algorithm that this package does not know verifies.
func TestVerifyUnknownAlgorithm(t *testing.T) {
	v := vectors(t)[1]
	a, err := Parse(v.Authorization)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		algorithm, signature string
		want                 error
	}{{"", a.Signature, ErrUnsupported}, {Algorithm, a.Signature + "00", ErrMalformed}, {AlgorithmECDSA, "zz", ErrMalformed}} {
		a.Algorithm, a.Signature = change.algorithm, change.signature
		if err := Verify(v.received(t), nil, a, v.Secret, v.at(t)); !errors.Is(err, change.want) {
			t.Errorf("%+v: got %v", change, err)
		}
	}
}

// If this fails, an old signature works for ever, or a user with a wrong clock is
// not told so.
func TestWindow(t *testing.T) {
	v := vectors(t)[1]
	for _, d := range []time.Duration{Window + time.Second, -Window - time.Second, 365 * 24 * time.Hour} {
		now := v.at(t).Add(d)
		err := verify(v.received(t), nil, v.Secret, now)
		expired, ok := errors.AsType[*ExpiredError](err)
		if !ok || !errors.Is(err, ErrExpired) {
			t.Fatalf("%v later: got %v, want %v", d, err, ErrExpired)
		}
		if !expired.Date.Equal(v.at(t)) || !expired.Server.Equal(now) {
			t.Errorf("got %+v, want both times", expired)
		}
		want := "signature expired, signature time:20240506T070809Z,server time:" + now.Format(dateFormat)
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

// If this fails, a replayed date or a date nobody signed is believed, or a form of
// X-Sdk-Date that the rules do not know.
func TestDate(t *testing.T) {
	v := vectors(t)[1]
	unsigned := strings.Replace(v.Authorization, "x-sdk-date", "accept", 1)
	r := v.received(t)
	a, err := Parse(unsigned)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(r, nil, a, v.Secret, v.at(t)); !errors.Is(err, ErrUnsigned) {
		t.Errorf("date not listed: got %v, want %v", err, ErrUnsigned)
	}
	r.Header.Del(dateHeader)
	if err := verify(r, nil, v.Secret, v.at(t)); !errors.Is(err, ErrUnsigned) {
		t.Errorf("no date: got %v, want %v", err, ErrUnsigned)
	}
	for _, date := range []string{"", "2024-05-06T07:08:09Z", "20240506T070809", "20240506T0708.9Z", "20241306T070809Z", "20240506T070809Zx"} {
		r.Header.Set(dateHeader, date)
		if err := verify(r, nil, v.Secret, v.at(t)); !errors.Is(err, ErrMalformed) {
			t.Errorf("date %q: got %v, want %v", date, err, ErrMalformed)
		}
	}
	for _, v := range vectors(t) {
		if v.Layout == "Access" {
			continue
		}
		err := verify(v.received(t), []byte(v.Body), v.Secret, v.at(t))
		if err != nil {
			t.Fatal(err)
		}
		v.Authorization = strings.Replace(v.Authorization, "/20240506/", "/20240507/", 1)
		if err := verify(v.received(t), []byte(v.Body), v.Secret, v.at(t)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, other day: got %v, want %v", v.Name, err, ErrMalformed)
		}
	}
}

// If this fails, an Authorization that the rules forbid is guessed at, or grows
// without bound, or another scheme is mistaken for ours.
func TestParse(t *testing.T) {
	sig := strings.Repeat("0a", 32)
	long := strings.Repeat("a", MaxAccess+1)
	tests := []struct {
		name, header string
		want         error
	}{
		{"access", "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig, nil},
		{"no space after commas", "SDK-HMAC-SHA256 Access=A,SignedHeaders=x-sdk-date,Signature=" + sig, nil},
		{"other order", "SDK-HMAC-SHA256 Signature=" + sig + ", SignedHeaders=a;b, Access=A", nil},
		{"credential", "SDK-HMAC-SHA256 Credential=A/20240506/eu-de/apig/sdk_request, SignedHeaders=x-sdk-date, Signature=" + sig, nil},
		{"V11", "V11-HMAC-SHA256 Credential=A/20240506/eu-de/apig, SignedHeaders=x-sdk-date, Signature=" + sig, nil},
		{"SM3", "SDK-HMAC-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig, nil},
		{"ECDSA", "SDK-ECDSA-P256-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=3045", nil},
		{"SM2", "SDK-SM2-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=3045", nil},
		{"V11 with access", "V11-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"V11 without service", "V11-HMAC-SHA256 Credential=A/20240506/eu-de/, SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"V11 with end", "V11-HMAC-SHA256 Credential=A/20240506/eu-de/apig/sdk_request, SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"SM3 with credential", "SDK-HMAC-SM3 Credential=A/20240506/a/b/sdk_request, SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"SM3 with DER", "SDK-HMAC-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=3045", ErrMalformed},
		{"odd DER", "SDK-SM2-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=304", ErrMalformed},
		{"no DER", "SDK-SM2-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=", ErrMalformed},
		{"long DER", "SDK-SM2-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=" + strings.Repeat("00", maxDER+1), ErrMalformed},
		{"unknown of the vendor's", "SDK-HMAC-SHA512 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig, ErrUnsupported},
		{"bearer", "Bearer abc", ErrUnsupported},
		{"empty", "", ErrMalformed},
		{"scheme alone", "SDK-HMAC-SHA256", ErrMalformed},
		{"no access", "SDK-HMAC-SHA256 SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"no list", "SDK-HMAC-SHA256 Access=A, Signature=" + sig, ErrMalformed},
		{"no signature", "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date", ErrMalformed},
		{"both layouts", "SDK-HMAC-SHA256 Access=A, Credential=A/20240506///sdk_request, SignedHeaders=x-sdk-date, Signature=" + sig, ErrMalformed},
		{"list twice", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, SignedHeaders=b, Signature=" + sig, ErrMalformed},
		{"signature twice", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature=" + sig + ", Signature=" + sig, ErrMalformed},
		{"unknown parameter", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature=" + sig + ", Extra=1", ErrMalformed},
		{"name without value", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature", ErrMalformed},
		{"capital in list", "SDK-HMAC-SHA256 Access=A, SignedHeaders=X-Sdk-Date, Signature=" + sig, ErrMalformed},
		{"empty name in list", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a;;b, Signature=" + sig, ErrMalformed},
		{"name twice in list", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a;b;a, Signature=" + sig, ErrMalformed},
		{"short signature", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature=" + sig[2:], ErrMalformed},
		{"capital signature", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature=" + strings.ToUpper(sig), ErrMalformed},
		{"odd access key", "SDK-HMAC-SHA256 Access=A%0aB, SignedHeaders=a, Signature=" + sig, ErrMalformed},
		{"long access key", "SDK-HMAC-SHA256 Access=" + long + ", SignedHeaders=a, Signature=" + sig, ErrMalformed},
		{"scope without end", "SDK-HMAC-SHA256 Credential=A/20240506/a/b, SignedHeaders=a, Signature=" + sig, ErrMalformed},
		{"scope of five", "SDK-HMAC-SHA256 Credential=A/20240506/a/b/sdk_request/c, SignedHeaders=a, Signature=" + sig, ErrMalformed},
		{"scope without day", "SDK-HMAC-SHA256 Credential=A/2024050x///sdk_request, SignedHeaders=a, Signature=" + sig, ErrMalformed},
		{"too many names", "SDK-HMAC-SHA256 Access=A, SignedHeaders=" + strings.Repeat("a;", MaxSignedHeaders) + "a, Signature=" + sig, ErrMalformed},
		{"too long", "SDK-HMAC-SHA256 " + strings.Repeat(" ", MaxHeader), ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Parse(tt.header)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil && a.Access+a.Signature != "" {
				t.Errorf("got a partial result %+v beside an error", a)
			}
		})
	}
}

// If this fails, the canonical form of several values or parameters is not the signers'.
func TestRepeatedHeadersAndParameters(t *testing.T) {
	v := vectors(t)[1]
	build := func() *http.Request {
		r := v.sent(t)
		r.URL.RawQuery = "b=2&a=1&B=3&a=0&&a=0&c"
		r.Header["X-Many"] = []string{" z ", "a"}
		return r
	}
	tests := []struct {
		layout Layout
		want   string
	}{
		{LayoutAccess, "GET\n/v3/projects/\nB=3&a=0&a=0&a=1&b=2&c=\nx-many:a\nx-many:z\n\nx-many\nP"},
		{LayoutCredential, "GET\n/v3/projects/\na=1&B=3&b=2&c=\nx-many:z\n\nx-many\nP"},
	}
	for _, tt := range tests {
		s := &scratch{}
		if err := s.canonicalRequest(build(), tt.layout, []string{"x-many"}, "P", false); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, string(s.buf)); diff != "" {
			t.Errorf("layout %d (-want +got):\n%s", tt.layout, diff)
		}
	}
	r := build()
	r.URL.RawQuery = strings.Repeat("a&", maxQueryPairs+1)
	if err := Sign(r, nil, "A", "s", v.at(t)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too many parameters: got %v, want %v", err, ErrMalformed)
	}
	r.Method, r.URL.RawQuery = http.MethodPost, "%zz"
	if err := SignCredential(r, nil, "A", "s", v.at(t)); !errors.Is(err, ErrMalformed) {
		t.Errorf("broken query as form: got %v, want %v", err, ErrMalformed)
	}
}

// If this fails, what net/http does to a request between our client and our server
// breaks its signature.
func TestOverARealConnection(t *testing.T) {
	const secret = "s3cret+/="
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = verify(r, body, secret, now)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	signers := map[string]func(*http.Request, []byte, string, string, time.Time) error{"access": Sign, "credential": SignCredential}
	for name, signer := range signers {
		for _, c := range []struct{ method, target, body string }{
			{http.MethodGet, "", ""},
			{http.MethodGet, "/v1/p/vpc-endpoints?limit=10&x=a+b%20c&empty&u=%C3%A9", ""},
			{http.MethodPost, "/v1/p/vpc-endpoint-services/s/connections/action", `{"action":"receive"}` + "\n"},
			{http.MethodPost, "/v1/p/nothing?b=2&a=1+2", ""},
			{http.MethodDelete, "/v1//x%2Ay/", ""},
		} {
			body := []byte(c.body)
			if c.body == "" {
				body = nil
			}
			r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.target, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Project-Id", "p")
			if err := signer(r, body, "AK", secret, now); err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s %s %s: got %s %s", name, c.method, c.target, resp.Status, text)
			}
		}
	}
}

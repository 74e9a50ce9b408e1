package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// picky is a value with rules of its own.
type picky string

type pickyError struct{}

func (pickyError) Error() string { return "too picky" }

func (p *picky) UnmarshalJSON([]byte) error { return pickyError{} }

// If this failed, a body that is refused by the reference would be taken, or its
// values would come back in an error text and from there into logs.
func TestDecode(t *testing.T) {
	type port struct {
		Port int32 `json:"client_port"`
	}
	type body struct {
		Name  string   `json:"name"`
		On    *bool    `json:"on"`
		Ports []port   `json:"ports"`
		List  []string `json:"list"`
		Picky *picky   `json:"picky"`
	}
	deep := strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth)
	tests := []struct {
		name, body string
		class      Class // 0: no error
		field      string
		detail     string
	}{
		{"object", `{"name":"x","unknown":{"a":[1]}}` + "\n", 0, "", ""},
		{"deepest", deep, 0, "", ""},
		{"too deep", `[` + deep + `]`, ClassBadJSON, "", "nested"},
		{"brackets in strings", `{"name":"` + strings.Repeat("[", 100) + `\"[,"}`, 0, "", ""},
		{"many items", `{"list":["` + strings.Repeat(`","`, MaxItems) + `"]}`, ClassBadJSON, "", "items"},
		{"empty", "", ClassEmptyBody, "", ""},
		{"blank", " \r\n", ClassEmptyBody, "", ""},
		{"null", "null", ClassBadJSON, "", "null"},
		{"array", "[]", ClassBadJSON, "", "must be an object"},
		{"no JSON", "name=SECRET", ClassBadJSON, "", "not valid JSON"},
		{"trailing", `{"name":"x"} {"name":"SECRET"}`, ClassBadJSON, "", "not valid JSON"},
		{"cut", `{"name":"x`, ClassBadJSON, "", "not valid JSON"},
		{"string for bool", `{"on":"SECRET"}`, ClassBadJSON, "on", "a boolean"},
		{"number for string", `{"name":98765}`, ClassBadJSON, "name", "a string"},
		{"number out of range", `{"ports":[{"client_port":98765432101}]}`, ClassBadJSON, "ports.client_port", "an integer in range"},
		{"fraction", `{"ports":[{"client_port":98765.4}]}`, ClassBadJSON, "ports.client_port", "an integer in range"},
		{"object for array", `{"ports":{}}`, ClassBadJSON, "ports", "an array"},
		{"a rule of its own", `{"picky":"SECRET"}`, ClassBadJSON, "", "not valid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v body
			q := &Request{HTTP: httptest.NewRequest("POST", "/", nil), Body: []byte(tt.body)}
			err := Decode(q, &v)
			if tt.class == 0 {
				if err != nil {
					t.Fatalf("got %v", err)
				}
				return
			}
			p, ok := errors.AsType[*Problem](err)
			if !ok {
				t.Fatalf("got %T %v, want a problem", err, err)
			}
			if p.Class != tt.class || p.Status != tt.class.Status() || p.Field != tt.field || !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("got %+v, want class %d, field %q, detail with %q", p, tt.class, tt.field, tt.detail)
			}
			if s := p.Error() + p.Detail; strings.Contains(s, "SECRET") || strings.Contains(s, "98765") {
				t.Errorf("error repeats a value: %s", s)
			}
		})
	}
	var v body
	err := Decode(&Request{HTTP: httptest.NewRequest("POST", "/", nil), Body: []byte(`{"picky":1}`)}, &v)
	if _, ok := errors.AsType[pickyError](err); !ok {
		t.Errorf("the error of UnmarshalJSON is lost: %v", err)
	}
	q := &Request{HTTP: httptest.NewRequest("POST", "/", nil), Body: []byte(`{}`)}
	q.HTTP.Header.Set("Content-Encoding", "gzip")
	if p, ok := errors.AsType[*Problem](Decode(q, &v)); !ok || p.Class != ClassMediaType {
		t.Errorf("a compressed body gave %v", p)
	}
}

// If this failed, the check before decoding would refuse JSON that is within the
// limits, or let some through that is not.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{}`, `[[]]`, `{"a":"\"[","b":[1,2,3]}`, `"\\"`, strings.Repeat("[", 40), `{"a":"\u005b"}`, `]]]]`, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		refused := scan(b) != nil
		if !json.Valid(b) {
			return // the decoder's to refuse
		}
		depth, deepest, items := 0, 0, 0
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		for {
			tok, err := dec.Token()
			if err != nil {
				break
			}
			switch tok {
			case json.Delim('{'), json.Delim('['):
				depth++
				deepest = max(deepest, depth)
			case json.Delim('}'), json.Delim(']'):
				depth--
			default:
				items++
			}
		}
		if deepest > MaxDepth && !refused {
			t.Errorf("depth %d was let through", deepest)
		}
		if deepest <= MaxDepth && items+len(b) <= MaxItems && refused {
			t.Errorf("depth %d and %d items were refused", deepest, items)
		}
	})
}

// If this failed, a client would read errors in a language it did not ask for.
func TestLanguage(t *testing.T) {
	tests := []struct{ x, accept, want string }{
		{"", "", "xx"},
		{"zh-cn", "en", Chinese},
		{"ZH_CN", "", Chinese},
		{"en-us", "zh-CN", English},
		{"fr", "zh-CN,zh;q=0.9,en;q=0.8", Chinese},
		{"", "en;q=0.5, zh-TW;q=0.7", Chinese},
		{"", "fr-FR, en;q=0.4", English},
		{"", "zh;q=0, en;q=0.0", "xx"},
		{"", "zhuang", "xx"},
		{"", ";;,,q=1;", "xx"},
		{"", "zh;q=x", "xx"},
	}
	for _, tt := range tests {
		h := http.Header{}
		h.Set("X-Language", tt.x)
		h.Set("Accept-Language", tt.accept)
		if got := language(h, "xx"); got != tt.want {
			t.Errorf("X-Language %q, Accept-Language %q: %q, want %q", tt.x, tt.accept, got, tt.want)
		}
	}
}

// If this failed, ServeMux would answer with a redirect in HTML.
func TestCanonical(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/v3": true, "/v3/": true, "/v3/a%2Fb": true, "/...": true, "/.a/b.": true,
		"": false, "v3": false, "*": false, "//": false, "/v3//": false, "//v3": false, "/v3//a": false,
		"/.": false, "/..": false, "/./": false, "/v3/../a": false, "/v3/.": false, "/v3/..": false,
	} {
		if got := canonical(path); got != want {
			t.Errorf("canonical(%q) = %v, want %v", path, got, want)
		}
	}
}

// If this failed, the audit record would say a wrong source.
func TestSource(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1%eth0", "": "",
	} {
		if got := sourceOf(remote); got != want {
			t.Errorf("sourceOf(%q) = %q, want %q", remote, got, want)
		}
	}
}

// If ids repeated, an operator could not tell two requests apart.
func TestRequestIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if seen[id] || len(id) != 2*requestIDBytes {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

// The price of a request outside its handler, without the socket.
func BenchmarkServe(b *testing.B) {
	h := New(Options{
		Gate: testGate, Projects: testProjects, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.NewJSONHandler(discard{}, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Families: []Family{{Name: "f", Error: shape("f"), Routes: []Route{
			{Method: "GET", Path: "/v1/{project_id}/things/{id}", Name: "Show", Handler: func(context.Context, *Request) (Response, error) {
				return Response{Body: Raw(`{"id":"7"}`)}, nil
			}},
		}}},
	})
	r := httptest.NewRequest("GET", "/v1/p1/things/7", nil)
	r.Header.Set("X-Auth-Token", "key")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&nowhere{header: http.Header{}}, r)
	}
}

// The check of a body before it is decoded.
func BenchmarkScan(b *testing.B) {
	body := []byte(`{"permissions":[` + strings.Repeat(`"iam:domain::6e9dfd51d1124e8d8498dce894923a0d",`, 999) + `"x"]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if p := scan(body); p != nil {
			b.Fatal(p)
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}

// If this failed, a caller that leaves would look like a fault of the server, or
// a decision that was not confirmed in time like a mere timeout.
func TestEnded(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	unconfirmed := sallyport.Refuse(sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed, "kept")
	unconfirmed.Err = context.Canceled
	if got := ended(over, unconfirmed); !errors.Is(got, unconfirmed) {
		t.Errorf("a use case's error became %v", got)
	}
	p, ok := errors.AsType[*Problem](ended(over, fmt.Errorf("read: %w", context.Canceled)))
	if !ok || p.Class != ClassUnavailable {
		t.Errorf("a cancelled request became %+v", p)
	}
	plain := errors.New("disk")
	if got := ended(over, plain); !errors.Is(got, plain) {
		t.Errorf("an internal error became %v", got)
	}
	if got := ended(t.Context(), context.Canceled); !errors.Is(got, context.Canceled) {
		t.Errorf("another context's end became %v", got)
	}
}

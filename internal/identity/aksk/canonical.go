package aksk

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxQueryPairs bounds the parameters of a signed request: they are sorted before
// the caller is known, and the widest documented operation has about twenty.
const maxQueryPairs = 1000

// maxKeptBuffer is the largest buffer, in bytes, that waits for the next request;
// a single huge URL must not hold memory for ever.
const maxKeptBuffer = 16 << 10

// scratch holds the buffers of one verification; they are reused because every
// authenticated request needs them.
type scratch struct {
	buf   []byte
	pairs []pair
}

type pair struct{ key, value string }

var scratches = sync.Pool{New: func() any {
	return &scratch{buf: make([]byte, 0, 1024), pairs: make([]pair, 0, 16)}
}}

func (s *scratch) release() {
	clear(s.pairs) // the strings belong to a request
	s.pairs = s.pairs[:0]
	if cap(s.buf) > maxKeptBuffer || cap(s.pairs) > maxQueryPairs {
		return
	}
	scratches.Put(s)
}

// canonicalRequest writes the canonical request into s.buf. queryInBody is the
// Credential layout's form of a POST without body: the query is signed as if it
// were a form in the body, and payload is the hash of that form.
func (s *scratch) canonicalRequest(r *http.Request, layout Layout, names []string, payload string, queryInBody bool) error {
	b := append(s.buf[:0], r.Method...)
	if r.Method == "" {
		b = append(b, http.MethodGet...) // net/http's meaning of an empty method on the client's side
	}
	b = append(b, '\n')
	b = appendPath(b, r.URL.Path)
	b = append(b, '\n')
	if !queryInBody {
		var err error
		if s.pairs, err = parseQuery(s.pairs[:0], r.URL.RawQuery); err != nil {
			return err
		}
		if layout == LayoutCredential {
			b = appendQueryFirst(b, s.pairs)
		} else {
			b = appendQueryAll(b, s.pairs)
		}
	}
	b = append(b, '\n')
	b, err := appendHeaders(b, r, layout, names)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	for i, name := range names {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	s.buf = append(b, payload...)
	return nil
}

// appendPath writes the decoded path, every byte but the unreserved ones and the
// slash escaped, with a slash at its end that the wire may not have had.
func appendPath(b []byte, path string) []byte {
	if !strings.HasPrefix(path, "/") {
		b = append(b, '/')
	}
	for i := range len(path) {
		if path[i] == '/' {
			b = append(b, '/')
		} else {
			b = appendEscaped(b, path[i])
		}
	}
	if b[len(b)-1] != '/' {
		b = append(b, '/')
	}
	return b
}

// parseQuery splits a raw query as url.ParseQuery does, '+' meaning a space. What
// url.ParseQuery would drop is refused: a handler would not see it, yet a signer
// might have signed it.
func parseQuery(pairs []pair, raw string) ([]pair, error) {
	if raw == "" {
		return pairs, nil
	}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if len(pairs) == maxQueryPairs {
			return nil, malformed("more than %d query parameters", maxQueryPairs)
		}
		key, value, _ := strings.Cut(part, "=")
		key, errKey := url.QueryUnescape(key)
		value, errValue := url.QueryUnescape(value)
		if errKey != nil || errValue != nil || strings.Contains(part, ";") {
			return nil, malformed("query string cannot be parsed")
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// appendQueryAll is the Access layout's query: decoded keys in byte order, the
// values of one key in byte order.
func appendQueryAll(b []byte, pairs []pair) []byte {
	slices.SortFunc(pairs, func(x, y pair) int {
		return cmp.Or(strings.Compare(x.key, y.key), strings.Compare(x.value, y.value))
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscapedString(b, p.key)
		b = append(b, '=')
		b = appendEscapedString(b, p.value)
	}
	return b
}

// appendQueryFirst is the Credential layout's query: keys ordered without case on
// their encoded form, and of a repeated key the first value only.
func appendQueryFirst(b []byte, pairs []pair) []byte {
	for i := range pairs {
		pairs[i].key = escape(pairs[i].key)
	}
	slices.SortStableFunc(pairs, func(x, y pair) int {
		return cmp.Or(compareFold(x.key, y.key), strings.Compare(x.key, y.key))
	})
	for i, p := range pairs {
		if i > 0 {
			if p.key == pairs[i-1].key {
				continue
			}
			b = append(b, '&')
		}
		b = append(b, p.key...)
		b = append(b, '=')
		b = appendEscapedString(b, p.value)
	}
	return b
}

// appendHeaders writes one line per signed header; a header that is listed and
// absent is malformed.
func appendHeaders(b []byte, r *http.Request, layout Layout, names []string) ([]byte, error) {
	for _, name := range names {
		if name == hostName {
			b = appendHeader(b, layout, hostName, host(r)) // net/http takes Host out of the map
			continue
		}
		values := r.Header[http.CanonicalHeaderKey(name)]
		switch {
		case len(values) == 0:
			return nil, malformed("signed header %s is absent", name)
		case len(values) == 1 || layout == LayoutCredential:
			b = appendHeader(b, layout, name, values[0])
		default:
			values = slices.Clone(values)
			for i := range values {
				values[i] = strings.TrimSpace(values[i])
			}
			slices.Sort(values)
			for _, v := range values {
				b = appendHeader(b, layout, name, v)
			}
		}
	}
	return b, nil
}

func appendHeader(b []byte, layout Layout, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ':')
	value = strings.TrimSpace(value)
	if layout == LayoutCredential {
		b = appendCollapsed(b, value)
	} else {
		b = append(b, value...)
	}
	return append(b, '\n')
}

// appendCollapsed writes value with every run of white space as one space.
func appendCollapsed(b []byte, value string) []byte {
	space := false
	for i := range len(value) {
		switch c := value[i]; c {
		case ' ', '\t', '\n', '\f', '\r':
			if !space {
				b = append(b, ' ')
			}
			space = true
		default:
			b = append(b, c)
			space = false
		}
	}
	return b
}

// host returns the host as the client named it, on either side of the wire.
func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

const upperHex = "0123456789ABCDEF"

// unreserved are the characters that the signers leave as they are: those of RFC 3986 §2.3.
var unreserved = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == '~'
	}
	return t
}()

func appendEscaped(b []byte, c byte) []byte {
	if unreserved[c] {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

func appendEscapedString(b []byte, s string) []byte {
	for i := range len(s) {
		b = appendEscaped(b, s[i])
	}
	return b
}

func escape(s string) string {
	if all(s, func(c byte) bool { return unreserved[c] }) {
		return s
	}
	return string(appendEscapedString(make([]byte, 0, 3*len(s)), s))
}

// compareFold compares ASCII strings as if they were lower case.
func compareFold(x, y string) int {
	for i := range min(len(x), len(y)) {
		if d := cmp.Compare(lower(x[i]), lower(y[i])); d != 0 {
			return d
		}
	}
	return cmp.Compare(len(x), len(y))
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// firstBuffer is the room for an answer at first; it grows to the largest one.
const firstBuffer = 64 << 10

// account is a caller: a project with a key, and a token once there is one.
type account struct {
	Domain, DomainName, Project string
	User, Password              string
	Access, Secret              string
	token                       string
}

// request builds the bytes of one request, signed with the account's key, so
// that sending it costs the client nothing but the write. Signatures hold for
// fifteen minutes, longer than any measure here.
func (a *account) request(host, method, path string, body []byte) ([]byte, error) {
	return build(host, method, path, body, func(r *http.Request) error {
		return aksk.Sign(r, body, a.Access, a.Secret, now())
	})
}

// tokenRequest is request with the account's token in place of a signature.
func (a *account) tokenRequest(host, method, path string, body []byte) ([]byte, error) {
	return build(host, method, path, body, func(r *http.Request) error {
		r.Header.Set("X-Auth-Token", a.token)
		return nil
	})
}

func build(host, method, path string, body []byte, sign func(*http.Request) error) ([]byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+host+path, nil)
	if err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if err := sign(r); err != nil {
		return nil, fmt.Errorf("sign %s %s: %w", method, path, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	if err := r.Header.Write(&b); err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes(), nil
}

// conn is one kept HTTP/1.1 connection that reads just enough of an answer to
// know where it ends. One goroutine uses it at a time.
type conn struct {
	tcp  *net.TCPConn
	buf  []byte
	head []byte // of the last answer
}

func dial(ctx context.Context, host string) (*conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &conn{tcp: c.(*net.TCPConn), buf: make([]byte, firstBuffer)}, nil
}

func (c *conn) close() { _ = c.tcp.Close() }

// do sends a request and returns status and body of the answer, which are good
// until the next one.
func (c *conn) do(req []byte) (status int, body []byte, err error) {
	if _, err := c.tcp.Write(req); err != nil {
		return 0, nil, fmt.Errorf("send: %w", err)
	}
	n, end := 0, -1
	for end < 0 {
		m, err := c.tcp.Read(c.buf[n:])
		if err != nil {
			return 0, nil, fmt.Errorf("read the answer: %w", err)
		}
		n += m
		if end = bytes.Index(c.buf[:n], []byte("\r\n\r\n")); end < 0 && n == len(c.buf) {
			return 0, nil, errors.New("read the answer: its header is too long")
		}
	}
	c.head = c.buf[:end+4]
	status, size, err := parseHead(c.head)
	if err != nil {
		return 0, nil, err
	}
	for total := len(c.head) + size; n < total; {
		if total > len(c.buf) {
			c.buf = append(c.buf[:n], make([]byte, 2*total-n)...)
		}
		m, err := c.tcp.Read(c.buf[n:])
		if err != nil {
			return 0, nil, fmt.Errorf("read the answer: %w", err)
		}
		n += m
	}
	return status, c.buf[end+4 : n], nil
}

// parseHead reads the two things of a header that matter.
func parseHead(head []byte) (status, size int, err error) {
	const at, length = len("HTTP/1.1 "), len("200")
	if len(head) < at+length {
		return 0, 0, fmt.Errorf("answer %q is not HTTP", head)
	}
	if status, err = strconv.Atoi(string(head[at : at+length])); err != nil {
		return 0, 0, fmt.Errorf("answer %q is not HTTP", head)
	}
	text := header(head, "Content-Length")
	if text == "" && status == http.StatusNoContent {
		return status, 0, nil
	}
	if size, err = strconv.Atoi(text); err != nil {
		return 0, 0, fmt.Errorf("answer without a length: %q", head)
	}
	return status, size, nil
}

// header returns a field of an answer's header, spelled as net/http spells it.
func header(head []byte, name string) string {
	_, rest, ok := bytes.Cut(head, []byte("\r\n"+name+": "))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(value)
}

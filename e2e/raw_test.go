package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// flight is a request whose header the server has read and whose body it waits
// for.
type flight struct {
	t    *testing.T
	conn net.Conn
	read *bufio.Reader
	req  *http.Request
	body []byte
}

// hold sends the header of a request below the project and returns once the
// server asks for the body.
func (c *caller) hold(method, path string, body any) *flight {
	c.t.Helper()
	req, err := c.request(method, "/v1/"+c.project+"/"+path, body, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(req.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	f := &flight{t: c.t, conn: dial(c.t, req.URL.Host), req: req, body: text}
	_ = f.conn.SetDeadline(time.Now().Add(patience))
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n",
		method, req.URL.RequestURI(), req.URL.Host, len(text))
	_ = req.Header.Write(&head)
	head.WriteString("\r\n")
	if _, err := f.conn.Write(head.Bytes()); err != nil {
		c.t.Fatal(err)
	}
	f.read = bufio.NewReader(f.conn)
	res, err := http.ReadResponse(f.read, req)
	if err != nil || res.StatusCode != http.StatusContinue {
		c.t.Fatalf("the server does not ask for the body: %v, %v", res, err)
	}
	return f
}

// finish sends the body and returns the answer.
func (f *flight) finish() answer {
	f.t.Helper()
	if _, err := f.conn.Write(f.body); err != nil {
		f.t.Fatal(err)
	}
	return f.answer()
}

// answer reads the answer.
func (f *flight) answer() answer {
	f.t.Helper()
	a, err := readAnswer(f.read, f.req)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func readAnswer(r *bufio.Reader, req *http.Request) (answer, error) {
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, text}, err
}

// rawRequests are requests that no HTTP client would send.
func (s *scene) rawRequests() map[string]string {
	path := "/v1/" + providerID + "/vpc-endpoints"
	get := func(target, more string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more + "\r\n"
	}
	token := "X-Auth-Token: " + s.token.token + "\r\n"
	return map[string]string{
		"no HTTP":                "hello\r\n\r\n",
		"unknown protocol":       "GET " + path + " HTTP/7.0\r\n\r\n",
		"no host":                "GET " + path + " HTTP/1.1\r\nConnection: close\r\n" + token + "\r\n",
		"path without slash":     get("v1", token),
		"space in the path":      get(path+" x", token),
		"control in a header":    get(path, "X-A: a\x00b\r\n"+token),
		"header without colon":   get(path, "nonsense\r\n"+token),
		"header too large":       get(path, "X-A: "+strings.Repeat("a", 200<<10)+"\r\n"+token),
		"broken escape":          get(path+"/%zz", token),
		"two lengths":            "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"length and chunks":      "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token + "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"broken chunks":          "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"negative length":        "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token + "Content-Length: -1\r\n\r\n",
		"large by chunks":        "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token + "Transfer-Encoding: chunked\r\n\r\n110000\r\n" + strings.Repeat("a", 0x110000) + "\r\n0\r\n\r\n",
		"connect":                "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nConnection: close\r\n\r\n",
		"another host":           get("http://example.org"+path, "X-Auth-Token: x\r\n"),
		"token with bad UTF-8":   get(path, "X-Auth-Token: \xff\xfe\r\n"),
		"token twice, one wrong": get(path, token+"X-Auth-Token: x\r\n"),
	}
}

// refuseRaw sends bytes and wants a refusal that tells nothing. What is no HTTP
// at all, the HTTP server refuses by itself, in its own words.
func (s *scene) refuseRaw(t *testing.T, text string) {
	t.Helper()
	conn := dial(t, s.url[len("http://"):])
	_ = conn.SetDeadline(time.Now().Add(patience))
	// The server may answer and close before it has read all: that is no failure.
	_, _ = conn.Write([]byte(text))
	a, err := readAnswer(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if a.status < 400 {
		t.Errorf("%s is no refusal", a)
	}
	s.mustNotTell(t, "answer", a.String())
}

// A client that sends its body one byte in a long while. If this fails, a few
// such clients hold the server's connections for ever.
func TestSlowBodyIsTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The product's clock sets the deadline: one that is late by almost the limit
	// makes it come soon.
	w.now = func() time.Time { return time.Now().Add(-edge.BodyTimeout + time.Second) }
	p := w.start(t)
	f := p.as(t, w.provider()).hold(http.MethodPost, "vpc-endpoint-services", forwarding(clientPort, 9))
	if _, err := f.conn.Write(f.body[:1]); err != nil {
		t.Fatal(err)
	}
	a := f.answer()
	if got := a.code(t); a.status != http.StatusRequestTimeout || got != "EndPoint.0013" {
		t.Errorf("%s, want 408 EndPoint.0013", a)
	}
}

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// Account is a caller of the API: a project with a key.
type Account struct{ Domain, Name, Project, Access, Secret string }

// The two accounts of every configuration.
var (
	Provider = Account{
		Domain: "be00000000000000000000000000000a", Name: "provider", Project: "be0000000000000000000000000000a1",
		Access: "SPBENCHPROVIDER00001", Secret: "bench-provider-secret-0000000000000001",
	}
	Consumer = Account{
		Domain: "be00000000000000000000000000000b", Name: "consumer", Project: "be0000000000000000000000000000b1",
		Access: "SPBENCHCONSUMER00001", Secret: "bench-consumer-secret-0000000000000001",
	}
)

// API is one kept connection to the API. One goroutine uses it at a time.
type API struct {
	tcp *net.TCPConn
	buf []byte
}

// DialAPI connects inside a namespace.
func DialAPI(ctx context.Context, namespace, host string) (*API, error) {
	var c net.Conn
	err := Inside(namespace, func() (err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, "tcp4", host)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the API: %w", err)
	}
	const room = 64 << 10 // for the largest answer
	return &API{tcp: c.(*net.TCPConn), buf: make([]byte, room)}, StampArrivals(c.(*net.TCPConn))
}

// Close ends the connection.
func (c *API) Close() { _ = c.tcp.Close() }

// Signed returns the bytes of a request below the account's project, signed, so
// that sending it costs nothing but the write. A signature holds for fifteen
// minutes.
func (a *Account) Signed(host, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", method, path, err)
		}
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+host+"/v1/"+a.Project+"/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if err := aksk.Sign(r, text, a.Access, a.Secret, Now()); err != nil {
		return nil, fmt.Errorf("sign %s %s: %w", method, path, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, r.URL.RequestURI(), host)
	if err := r.Header.Write(&b); err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(text))
	}
	b.WriteString("\r\n")
	b.Write(text)
	return b.Bytes(), nil
}

// Send sends a request and returns status and body of the answer, which are good
// until the next one, and when the answer began to arrive, by the kernel's
// real-time clock in nanoseconds.
func (c *API) Send(request []byte) (status int, body []byte, at int64, err error) {
	if _, err := c.tcp.Write(request); err != nil {
		return 0, nil, 0, fmt.Errorf("send: %w", err)
	}
	n, end, size := 0, -1, 0
	for end < 0 || n < end+size {
		if n == len(c.buf) {
			return 0, nil, 0, errors.New("the answer is too long")
		}
		m, arrived, err := ReadStamped(c.tcp, c.buf[n:])
		if err != nil {
			return 0, nil, 0, fmt.Errorf("read the answer: %w", err)
		}
		if n += m; at == 0 {
			at = arrived
		}
		if end >= 0 {
			continue
		}
		if i := bytes.Index(c.buf[:n], []byte("\r\n\r\n")); i >= 0 {
			end = i + len("\r\n\r\n")
			if status, size, err = parseHead(c.buf[:end]); err != nil {
				return 0, nil, 0, err
			}
		}
	}
	return status, c.buf[end : end+size], at, nil
}

// parseHead reads the two things of a header that matter.
func parseHead(head []byte) (status, size int, err error) {
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d", &status); err != nil {
		return 0, 0, fmt.Errorf("answer %q is not HTTP", head)
	}
	_, rest, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		if status == http.StatusNoContent {
			return status, 0, nil
		}
		return 0, 0, fmt.Errorf("answer without a length: %q", head)
	}
	text, _, _ := bytes.Cut(rest, []byte("\r\n"))
	if size, err = strconv.Atoi(string(text)); err != nil {
		return 0, 0, fmt.Errorf("answer without a length: %q", head)
	}
	return status, size, nil
}

// Call sends one request and decodes its answer into out. Every status but those
// of success is an error.
func (c *API) Call(host string, a *Account, method, path string, body, out any) error {
	request, err := a.Signed(host, method, path, body)
	if err != nil {
		return err
	}
	status, answer, _, err := c.Send(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %d %.300s", method, path, status, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

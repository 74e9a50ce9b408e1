package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Limits of the client.
const (
	// defaultTimeout bounds one request. A decision waits about two seconds for the
	// data plane, so ten times that is a server that hangs.
	defaultTimeout = 30 * time.Second
	// dialTimeout bounds the way to the server alone.
	dialTimeout = 5 * time.Second
	// maxAnswer bounds the body of an answer: the longest page, 1000 endpoints with
	// full whitelists, is below 4 MiB.
	maxAnswer = 16 << 20
	// maxHeader bounds the header of an answer; the longest is a token of 2 KiB.
	maxHeader = 64 << 10
	// attempts is how often a GET that no answer came to is sent in all: a server
	// that restarts is back in less than the pauses between.
	attempts = 3
	// firstPause is the pause before the second attempt; it doubles.
	firstPause = 200 * time.Millisecond
	// maxCAFile bounds the file of authorities, in bytes; a whole system has 300 KiB.
	maxCAFile = 4 << 20
)

// client sends requests. It follows no redirect: an API has none, and credentials
// go where the settings say and nowhere else.
type client struct {
	http      *http.Client
	transport *http.Transport
	agent     string
	sleep     func(context.Context, time.Duration) error
}

// newClient returns a client whose requests take at most timeout each. caFile is a
// PEM file of authorities, or "".
func newClient(agent, caFile string, timeout time.Duration, sleep func(context.Context, time.Duration) error) (*client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := authorities(caFile)
		if err != nil {
			return nil, err
		}
		tlsConfig.RootCAs = pool
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		IdleConnTimeout:        timeout,
		MaxIdleConnsPerHost:    1, // a verb sends one request at a time
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
	}
	return &client{
		http: &http.Client{
			Transport:     transport,
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		transport: transport,
		agent:     agent,
		sleep:     sleep,
	}, nil
}

// authorities returns the system's authorities and those of the file.
func authorities(path string) (*x509.CertPool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, settingf("read authorities: %v", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxCAFile))
	if err != nil {
		return nil, settingf("read authorities: %v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any: the file alone counts
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, settingf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

// close gives connections up.
func (c *client) close() { c.transport.CloseIdleConnections() }

// request is one call.
type request struct {
	method string
	url    string // without query
	query  url.Values
	body   any // nil for none
	header http.Header
	sign   func(r *http.Request, body []byte) error // nil for none
}

// reply is an answer of the 2xx kind.
type reply struct {
	header http.Header
	body   []byte
}

// send sends a request, a GET up to three times if no answer comes. The error is
// an *apiError where an answer came that is no success, and a *sendError where
// none came.
func (c *client) send(ctx context.Context, req request) (reply, error) {
	var body []byte
	if req.body != nil {
		var err error
		if body, err = json.Marshal(req.body); err != nil {
			return reply{}, fmt.Errorf("encode request: %w", err)
		}
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		r, err := c.try(ctx, req, body)
		broken, ok := errors.AsType[*sendError](err)
		if !ok || req.method != http.MethodGet || attempt == attempts || ctx.Err() != nil || broken.final() {
			return r, err
		}
		if c.sleep(ctx, pause) != nil {
			return r, err
		}
		pause *= 2
	}
}

// try sends a request once.
func (c *client) try(ctx context.Context, req request, body []byte) (reply, error) {
	target := req.url
	if len(req.query) > 0 {
		target += "?" + req.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, req.method, target, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(r.Header, req.header)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.agent)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if req.sign != nil {
		if err := req.sign(r, body); err != nil {
			return reply{}, fmt.Errorf("sign request: %w", err)
		}
	}
	broken := func(err error) error {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it repeats the whole URL
		}
		return &sendError{method: req.method, base: r.URL.Scheme + "://" + r.URL.Host, err: err}
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return reply{}, broken(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end, or the error says why not
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return reply{}, broken(err)
	}
	if len(text) > maxAnswer {
		return reply{}, fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return reply{}, readError(req.method, answer, text)
	}
	return reply{header: answer.Header, body: text}, nil
}

// decode reads the body of an answer, which must be one JSON value.
func (r reply) decode(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return &answerError{err}
	}
	return nil
}

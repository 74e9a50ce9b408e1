package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// maxAnswer is the most bytes of an answer that are read, head and body. The
	// status decides; the rest is read so that a server need not see a reset in the
	// middle of what it sends.
	maxAnswer = 64 << 10
	// maxInformational is the most answers of status 1xx before the real one.
	maxInformational = 5
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// ask checks the target once; nil means that it is well. The connection is closed
// when ask returns, which is soon after ctx has ended.
func ask(ctx context.Context, t Target) error {
	conn, err := t.Network.Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	switch t.Kind {
	case TCP:
		return nil
	case HTTP:
	default:
		return fmt.Errorf("there is no check of kind %q", t.Kind)
	}
	// The connection outlives a running SetDeadline: stop says whether it runs.
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(longAgo)
	})
	err = askHTTP(ctx, conn, t)
	if !stop() {
		<-ended
		if err != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
	return err
}

// askHTTP sends one request and reads the answer. It uses no http.Transport, whose
// connections have goroutines that outlive the answer.
func askHTTP(ctx context.Context, conn net.Conn, t Target) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Addr.String()+t.Path, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if req.URL.Host != t.Addr.String() { // what stands before the first slash would be part of the host
		return fmt.Errorf("the path %q does not begin with a slash", t.Path)
	}
	req.Close = true
	req.Header.Set("User-Agent", "sallyport-health")
	if err := req.Write(conn); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	for range maxInformational + 1 {
		resp, err := http.ReadResponse(answer, req)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		switch {
		case resp.StatusCode >= 200 && resp.StatusCode < 400:
			return nil
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return fmt.Errorf("the status is %d", resp.StatusCode)
		}
	}
	return fmt.Errorf("there is no answer after %d informational ones", maxInformational)
}

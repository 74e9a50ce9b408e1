package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/app"
	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The whole product in one process: publish, request, accept, carry, reject,
// cut. If this fails, nothing else matters.
func TestStory(t *testing.T) {
	backend := echoBackend(t)
	cfg, err := config.Parse(config.Development("127.0.0.1:0"), "development")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	url := start(t, cfg)
	provider := client{t: t, url: url, project: cfg.Identity.Domains[0].Projects[0].ID, key: cfg.Identity.Domains[0].Users[0].AccessKeys[0]}
	consumer := client{t: t, url: url, project: cfg.Identity.Domains[1].Projects[0].ID, key: cfg.Identity.Domains[1].Users[0].AccessKeys[0]}

	svc := provider.do(http.MethodPost, "vpc-endpoint-services", map[string]any{
		"port_id": cfg.Backends[0].PortID, "vpc_id": cfg.Backends[0].VPC, "server_type": "VM", "service_name": "echo",
		"ports": []any{map[string]any{"client_port": 9000, "server_port": backend, "protocol": "TCP"}},
	}, 200)
	id := svc["id"].(string)
	consumer.do(http.MethodPost, "vpc-endpoints", endpointBody(cfg, id), 400)
	provider.do(http.MethodPost, "vpc-endpoint-services/"+id+"/permissions/action",
		map[string]any{"action": "add", "permissions": []string{"iam:domain::" + cfg.Identity.Domains[1].ID}}, 200)
	ep := consumer.do(http.MethodPost, "vpc-endpoints", endpointBody(cfg, id), 200)
	if got, want := ep["status"], "pendingAcceptance"; got != want {
		t.Fatalf("status = %v, want %v", got, want)
	}
	decide := func(action, want string) {
		t.Helper()
		a := provider.do(http.MethodPost, "vpc-endpoint-services/"+id+"/connections/action",
			map[string]any{"action": action, "endpoints": []any{ep["id"]}}, 200)
		c := a["connections"].([]any)[0].(map[string]any)
		if c["status"] != want {
			t.Fatalf("%s: status = %v, want %v", action, c["status"], want)
		}
	}
	for range 2 {
		decide("receive", "accepted")
		got := consumer.do(http.MethodGet, "vpc-endpoints/"+ep["id"].(string), nil, 200)
		addr := net.JoinHostPort(got["ip"].(string), "9000")
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
		decide("reject", "rejected")
		if n, err := conn.Read(buf); err == nil {
			t.Fatalf("%d bytes after the reject", n)
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Fatal("connected after the reject")
		}
	}
	consumer.do(http.MethodDelete, "vpc-endpoints/"+ep["id"].(string), nil, 204)
	consumer.do(http.MethodGet, "vpc-endpoints/"+ep["id"].(string), nil, 404)
	provider.do(http.MethodDelete, "vpc-endpoint-services/"+id, nil, 204)
}

func endpointBody(cfg *config.Config, service string) map[string]any {
	return map[string]any{
		"endpoint_service_id": service, "vpc_id": cfg.Networks.VPCs[1].ID, "subnet_id": cfg.Networks.VPCs[1].Subnets[0].ID,
	}
}

// start runs the product until the test ends and returns its URL.
func start(t *testing.T, cfg *config.Config) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	urls, done := make(chan string, 1), make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("SALLYPORT_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	go func() {
		done <- app.Run(ctx, cfg, app.Options{Log: log, Ready: func(_ net.Addr, u string) { urls <- u }})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case u := <-urls:
		return u
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return ""
	}
}

type client struct {
	t       *testing.T
	url     string
	project string
	key     config.AccessKey
}

// do sends one signed request below the project and returns the decoded answer.
func (c client) do(method, path string, body any, want int) map[string]any {
	c.t.Helper()
	return c.at(method, "/v1/"+c.project+"/"+path, body, want)
}

// at sends one signed request to any path and returns the decoded answer.
func (c client) at(method, path string, body any, want int) map[string]any {
	c.t.Helper()
	var payload []byte
	if body != nil {
		payload, _ = json.Marshal(body)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	aksk.Sign(req, payload, c.key.Access, string(c.key.Secret), time.Now())
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != want {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, want)
	}
	var out map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
	}
	return out
}

// echoBackend answers every connection with what it sends, and returns its port.
func echoBackend(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).Port
}

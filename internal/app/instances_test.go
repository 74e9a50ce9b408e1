package app_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/app"
	"github.com/sallyport-net/sallyport/internal/config"
)

// managedConfig is the development configuration with a gateway on a port.
func managedConfig(t *testing.T, dir, project string, port int) *config.Config {
	t.Helper()
	text := string(config.Development("127.0.0.1:0")) + fmt.Sprintf(`
gateways:
  - id: shop
    name: shop
    project: %s
    vpc: 5b2c1d00-0000-4000-8000-000000000001
    subnet: 5b2c1d00-0000-4000-8000-000000000004
    addresses: [127.0.0.1]
    ports: [%d]
`, project, port)
	cfg, err := config.Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = dir
	return cfg
}

// A gateway of the file exists from the start, belongs to the account of its
// project, and takes over what a new file says. If this fails, an operator edits
// the file and nothing happens.
func TestConfiguredInstances(t *testing.T) {
	const project = "6204a5bd270343b5885144cf9c8c158d"
	dir := t.TempDir()
	cfg := managedConfig(t, dir, project, 8080)
	ctx, stop := context.WithCancel(context.Background())
	reload := make(chan *config.Config)
	urls, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, cfg, app.Options{Reload: reload, Ready: func(_ net.Addr, u string) { urls <- u }})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	var url string
	select {
	case url = <-urls:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	owner := cfg.Identity.Domains[0]
	c := client{t: t, url: url, project: project, key: owner.Users[0].AccessKeys[0]}
	show := func() map[string]any {
		return c.at(http.MethodGet, "/sallyport/v1/"+project+"/gateways/shop", nil, 200)
	}
	if got := show(); got["domain_id"] != owner.ID || got["configured"] != true || fmt.Sprint(got["ports"]) != "[8080]" {
		t.Fatalf("the gateway is %v", got)
	}
	c.at(http.MethodDelete, "/sallyport/v1/"+project+"/gateways/shop", nil, 409)

	reload <- managedConfig(t, dir, project, 8081)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for fmt.Sprint(show()["ports"]) != "[8081]" {
		select {
		case <-tick.C:
		case <-time.After(10 * time.Second):
			t.Fatal("the new ports were never taken over")
		}
	}
}

// A file whose gateway belongs to nobody stops the start, and says why.
func TestInstanceOfNobody(t *testing.T) {
	const project = "6204a5bd270343b5885144cf9c8c158d"
	cfg := managedConfig(t, t.TempDir(), project, 8080)
	cfg.Gateways[0].Project = "nobody" // the configuration itself refuses it where it can
	err := app.Run(t.Context(), cfg, app.Options{})
	if err == nil || !strings.Contains(err.Error(), "gateway shop: project nobody belongs to no account") {
		t.Errorf("run: %v", err)
	}
}

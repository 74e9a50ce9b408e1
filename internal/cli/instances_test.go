package cli

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Clusters and gateways, from their making to their end, with a real server. If
// this fails, a verb asks for what the server does not answer.
func TestInstanceStory(t *testing.T) {
	cfg, url := startServer(t)
	owner := &runner{t: t, now: time.Now, env: map[string]string{
		"SALLYPORT_ENDPOINT": url, "OS_REGION_NAME": cfg.Region,
		"HW_ACCESS_KEY": cfg.Identity.Domains[0].Users[0].AccessKeys[0].Access, "HW_SECRET_KEY": string(cfg.Identity.Domains[0].Users[0].AccessKeys[0].Secret),
	}}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	t.Cleanup(backend.Close)
	_, port, err := net.SplitHostPort(backend.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	network := cfg.Networks.VPCs[0]
	create := func(kind string, more ...string) map[string]any {
		args := []string{kind, "create", "--name", "test", "--vpc", network.ID, "--subnet", network.Subnets[0].ID, "--address", "127.0.0.1", "--port", port}
		return owner.run(append(args, more...)...).want(t, ExitOK).decoded(t)
	}
	cluster := create("cluster")["id"].(string)
	if got := owner.run("cluster", "list", "-o", "id").want(t, ExitOK); got.out != cluster+"\n" {
		t.Errorf("the clusters are %q", got.out)
	}
	opened := owner.run("cluster", "open", cluster, "--dns").want(t, ExitOK).decoded(t)
	address := owner.run("endpoint", "show", opened["endpoint_id"].(string)).want(t, ExitOK).decoded(t)["ip"].(string)
	if got, err := fetch(t, net.JoinHostPort(address, port)); err != nil || got != "hello" {
		t.Errorf("through the cluster's endpoint came %q, %v", got, err)
	}
	owner.run("cluster", "open", cluster).want(t, ExitFailure).says(t, "CSS.0031")
	owner.run("cluster", "show", cluster, "-o", "table").want(t, ExitOK)
	if closed := owner.run("cluster", "close", cluster).want(t, ExitOK).decoded(t); closed["service_id"] != "" {
		t.Errorf("the closed cluster is %v", closed)
	}
	owner.run("cluster", "close", cluster).want(t, ExitFailure).says(t, "CSS.5182")
	owner.run("cluster", "open", "no-such-cluster").want(t, ExitFailure).says(t, "not_found: instance no-such-cluster does not exist")
	owner.run("cluster", "delete", cluster).want(t, ExitOK)

	gateway := create("gateway", "--id", "shop", "--service-name", "web")
	if gateway["id"] != "shop" || gateway["service_id"] == "" {
		t.Errorf("the gateway is %v", gateway)
	}
	name := owner.run("gateway", "show", "shop").want(t, ExitOK).decoded(t)["service_name"].(string)
	if !strings.HasPrefix(name, cfg.Region+".web.") {
		t.Errorf("the service is called %s", name)
	}
	owner.run("connection", "list", gateway["service_id"].(string)).want(t, ExitOK)
	owner.run("gateway", "delete", "shop", "other").want(t, ExitFailure).says(t, "other: not_found", "1 of 2 failed, 1 done")
	owner.run("gateway", "delete", "--ignore-missing", "shop").want(t, ExitOK)
	owner.run("gateway", "create", "--name", "x", "--vpc", "v", "--subnet", "s", "--address", "nowhere").want(t, ExitUsage)
	owner.run("gateway", "create", "--name", "x", "--vpc", "v", "--subnet", "s", "--address", "127.0.0.1", "--port", "0").want(t, ExitUsage)
}

// A catalogue may lead to a server that has VPCEP alone, at a path of its own.
func TestInstancesElsewhere(t *testing.T) {
	s := &session{resources: "http://api.example/vpcep/of/" + project, project: project}
	if _, err := s.under("/sallyport/v1"); err == nil {
		t.Error("another API was found where none can be")
	}
	s.resources = "http://api.example/v1/" + project
	own, err := s.under("/sallyport/v1")
	if err != nil || own.resources != "http://api.example/sallyport/v1/"+project {
		t.Errorf("the native API is at %v, %v", own, err)
	}
}

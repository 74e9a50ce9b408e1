package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	product "github.com/sallyport-net/sallyport/internal/app"
	"github.com/sallyport-net/sallyport/internal/config"
)

// startServer runs the product with the development configuration and returns its
// configuration and URL.
func startServer(t *testing.T) (*config.Config, string) {
	t.Helper()
	cfg, err := config.Parse(config.Development("127.0.0.1:0"), "development")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- product.Run(ctx, cfg, product.Options{Ready: func(_ net.Addr, url string) { ready <- url }})
	}()
	t.Cleanup(func() {
		stop()
		if err, ran := <-done; ran && err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	})
	select {
	case url := <-ready:
		return cfg, url
	case err := <-done:
		close(done)
		t.Fatalf("the server did not start: %v", err)
		return nil, ""
	}
}

// startBackend is what the service leads to; it returns its port.
func startBackend(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(ln)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

// fetch asks the backend through an endpoint.
func fetch(t *testing.T, addr string) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// The whole of what the program is for, by its own command line and against the
// real server: publish, be refused, let in, connect, accept, reach, reject, be cut.
// The owner logs in with a password and the consumer signs. If this fails, the help
// tells people to do what does not work.
func TestStory(t *testing.T) {
	cfg, url := startServer(t)
	port := startBackend(t)
	const offered = "9480"
	provider, consumer := cfg.Identity.Domains[0], cfg.Identity.Domains[1]
	owner := &runner{t: t, env: map[string]string{
		"SALLYPORT_ENDPOINT": url, "OS_REGION_NAME": cfg.Region, "OS_USER_DOMAIN_NAME": provider.Name,
		"OS_USERNAME": provider.Users[0].Name, "OS_PASSWORD": string(provider.Users[0].Password),
	}}
	user := &runner{t: t, now: time.Now, env: map[string]string{
		"SALLYPORT_ENDPOINT": url, "HW_REGION_NAME": cfg.Region,
		"HW_ACCESS_KEY": consumer.Users[0].AccessKeys[0].Access, "HW_SECRET_KEY": string(consumer.Users[0].AccessKeys[0].Secret),
	}}
	network := cfg.Networks.VPCs[1]
	service := owner.run("service", "create", "--name", "hello", "--vpc", cfg.Backends[0].VPC, "--port-id", cfg.Backends[0].PortID,
		"--port", offered+":"+port, "--wait").want(t, ExitOK).decoded(t)["id"].(string)
	create := []string{"endpoint", "create", "--service", service, "--vpc", network.ID, "--subnet", network.Subnets[0].ID, "--wait"}

	user.run(create...).want(t, ExitFailure).says(t, "EndPoint.2012", "sallyport permission add "+service+" iam:domain::"+consumer.ID)
	owner.run("permission", "add", service, consumer.ID).want(t, ExitOK)
	endpoint := user.run(create...).want(t, ExitOK).says(t, "pendingAcceptance", "sallyport connection accept "+service).decoded(t)["id"].(string)

	waiting := owner.run("connection", "list", service, "--status", "pendingAcceptance", "--all", "-o", "id").want(t, ExitOK)
	if waiting.out != endpoint+"\n" {
		t.Fatalf("what waits = %q, want %q", waiting.out, endpoint)
	}
	owner.run("connection", "accept", service, endpoint, ep1).want(t, ExitFailure).says(t, ep1+": EndPoint.2013", "1 of 2 failed, 1 done")
	owner.run("connection", "accept", service, endpoint).want(t, ExitOK)
	shown := user.run("endpoint", "show", endpoint).want(t, ExitOK).decoded(t)
	if shown["status"] != "accepted" {
		t.Fatalf("the endpoint is %v", shown["status"])
	}
	addr := net.JoinHostPort(shown["ip"].(string), offered)
	if got, err := fetch(t, addr); err != nil || got != "hello" {
		t.Fatalf("through the endpoint came %q, %v", got, err)
	}
	owner.run("service", "delete", service).want(t, ExitFailure).says(t, "EndPoint.3006", "reject its connections first")
	owner.run("connection", "reject", service, endpoint).want(t, ExitOK)
	if got, err := fetch(t, addr); err == nil {
		t.Fatalf("after the reject came %q", got)
	}
	owner.run("quota", "-o", "table").want(t, ExitOK)
	user.run("endpoint", "delete", endpoint).want(t, ExitOK)
	user.run("endpoint", "delete", endpoint).want(t, ExitFailure)
	user.run("endpoint", "delete", "--ignore-missing", endpoint).want(t, ExitOK)
	owner.run("service", "rename", service, "bye").want(t, ExitOK)
	owner.run("service", "delete", service).want(t, ExitOK)
	token := owner.run("token").want(t, ExitOK).out
	withToken := &runner{t: t, env: map[string]string{"SALLYPORT_ENDPOINT": url, "OS_TOKEN": token[:len(token)-1]}}
	withToken.run("service", "list", "--all", "-o", "id").want(t, ExitOK)
	catalogue := &runner{t: t, env: map[string]string{"OS_AUTH_URL": url + "/v3", "OS_REGION_NAME": cfg.Region, "OS_TOKEN": token[:len(token)-1]}}
	catalogue.run("service", "public").want(t, ExitOK)
}

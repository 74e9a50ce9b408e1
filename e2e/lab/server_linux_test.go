package lab_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// The ids of every configuration.
const (
	region      = "eu-west-101"
	vpcA        = "5b2c1d00-0000-4000-8000-00000000000a"
	vpcB        = "5b2c1d00-0000-4000-8000-00000000000b"
	vpcP        = "5b2c1d00-0000-4000-8000-00000000000c"
	subnetA     = "5b2c1d00-0000-4000-8000-0000000000a4"
	subnetA6    = "5b2c1d00-0000-4000-8000-0000000000a6"
	subnetB     = "5b2c1d00-0000-4000-8000-0000000000b4"
	subnetB6    = "5b2c1d00-0000-4000-8000-0000000000b6"
	portFirst   = "5b2c1d00-0000-4000-8000-0000000000c1" // the provider's first machine
	portFirst6  = "5b2c1d00-0000-4000-8000-0000000000c2" // the same by IPv6
	portRouter  = "5b2c1d00-0000-4000-8000-0000000000c3" // the provider's router itself
	portBoth    = "5b2c1d00-0000-4000-8000-0000000000c4" // both machines, without a check
	portChecked = "5b2c1d00-0000-4000-8000-0000000000c5" // both machines, with a check
)

// user is somebody who calls.
type user struct{ name, domain, project, access, secret string }

var (
	paula = user{"paula", "6e9dfd51d1124e8d8498dce894923a0d", "6204a5bd270343b5885144cf9c8c158d", "SPPROVIDER0000000001", "provider-secret-of-the-lab-0000001"}
	anna  = user{"anna", "0b7c2a94d3e84f5fa1c6e9d27483b51a", "91f4c7e05ad24b0e8a63d2b15c7f9e4a", "SPCONSUMERA000000001", "consumer-secret-of-the-lab-00000a1"}
	bert  = user{"bert", "0b7c2a94d3e84f5fa1c6e9d27483b51b", "91f4c7e05ad24b0e8a63d2b15c7f9e4b", "SPCONSUMERB000000001", "consumer-secret-of-the-lab-00000b1"}
)

// Name, Domain, Project, Access and Secret are for the template.
func (u user) Name() string    { return u.name }
func (u user) Domain() string  { return u.domain }
func (u user) Project() string { return u.project }
func (u user) Access() string  { return u.access }
func (u user) Secret() string  { return u.secret }

// settings is what a test chooses of the configuration.
type settings struct {
	Engine      string        // auto or user
	Connections int           // 0 is more than a test needs
	Idle        time.Duration // 0 is never
	Drain       time.Duration // 0 is none
	Dial        time.Duration // of one backend address; 0 is a second
	FlowLog     bool
	DNS         bool
}

var configuration = template.Must(template.New("").Parse(`listen: 127.0.0.1:0
data_dir: {{.Dir}}
region: ` + region + `
identity:
  domains:
{{range .Users}}    - id: {{.Domain}}
      name: {{.Name}}
      projects: [{id: {{.Project}}, name: ` + region + `}]
      users: [{name: {{.Name}}, roles: [admin], access_keys: [{access: {{.Access}}, secret: {{.Secret}}}]}]
{{end}}networks:
  unknown: refuse
  vpcs:
    - id: ` + vpcA + `
      attach: {mode: netns, name: {{.W.A}}}
{{if .S.DNS}}      dns: ` + dnsIP + `
{{end}}      subnets: [{id: ` + subnetA + `, cidr: 10.0.0.0/24}, {id: ` + subnetA6 + `, cidr: "fd00:10::e:0/112"}]
    - id: ` + vpcB + `
      attach: {mode: netns, name: {{.W.B}}}
{{if .S.DNS}}      dns: ` + dnsIP + `
{{end}}      subnets: [{id: ` + subnetB + `, cidr: 10.0.0.0/24}, {id: ` + subnetB6 + `, cidr: "fd00:10::e:0/112"}]
    - id: ` + vpcP + `
      attach: {mode: netns, name: {{.W.P}}}
      subnets: [{id: 5b2c1d00-0000-4000-8000-0000000000c0, cidr: 10.0.0.0/24}]
backends:
  - {port_id: ` + portFirst + `, vpc: ` + vpcP + `, addresses: [` + firstIP + `]}
  - {port_id: ` + portFirst6 + `, vpc: ` + vpcP + `, addresses: ["` + firstIP6 + `"]}
  - {port_id: ` + portRouter + `, vpc: ` + vpcP + `, addresses: [` + routerIP + `]}
  - {port_id: ` + portBoth + `, vpc: ` + vpcP + `, addresses: [` + firstIP + `, ` + secondIP + `]}
  - port_id: ` + portChecked + `
    vpc: ` + vpcP + `
    addresses: [` + firstIP + `, ` + secondIP + `]
    check: {type: tcp, interval: 1s, timeout: 500ms}
forwarding:
  engine: {{.S.Engine}}
  connections: {{.S.Connections}}
  dial_timeout: {{.S.Dial}}
  idle_timeout: {{.S.Idle}}
  drain: {{.S.Drain}}
{{if .S.FlowLog}}  flow_log: {{.Dir}}/flows.jsonl
{{end}}quotas: {endpoint_service: 100, endpoint: 100}
`))

// server is Sallyport as a process of its own, attached to the three VPCs.
type server struct {
	world *world
	dir   string
	file  string

	url    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // how it ended, once exited is closed

	mu  sync.Mutex
	log bytes.Buffer // what it wrote to stderr
}

// newServer starts Sallyport on a world, until the end of the test.
func newServer(t *testing.T, w *world, s settings) *server {
	t.Helper()
	if s.Engine == "" {
		s.Engine = "auto"
	}
	if s.Connections == 0 {
		s.Connections = 1_000_000
	}
	if s.Dial == 0 {
		s.Dial = time.Second
	}
	c := &server{world: w, dir: t.TempDir()}
	c.file = filepath.Join(c.dir, "sallyport.yaml")
	var text bytes.Buffer
	err := configuration.Execute(&text, map[string]any{
		"Dir": c.dir, "S": s, "Users": []user{paula, anna, bert},
		"W": map[string]string{"A": w.a.router.name, "B": w.b.router.name, "P": w.p.router.name},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the server wrote:\n%s", tail(c.text()))
		}
		if i := strings.Index(c.text(), "WARNING: DATA RACE"); i >= 0 {
			t.Errorf("the server has a data race:\n%s", tail(c.text()[i:]))
		}
	})
	c.start(t)
	return c
}

// tail is the end of a long text.
func tail(text string) string {
	const enough = 20_000
	return text[max(0, len(text)-enough):]
}

// start starts the process and waits until it serves; also again after its end.
func (c *server) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(binaryPath(t), "serve", "--config", c.file, "--log-format", "json")
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SALLYPORT_") {
			c.cmd.Env = append(c.cmd.Env, kv)
		}
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan string, 1)
	c.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			c.mu.Lock()
			c.log.Write(append(lines.Bytes(), '\n'))
			c.mu.Unlock()
			var line struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- "http://" + line.Listen
			}
		}
		c.err = cmd.Wait()
	}(c.cmd, c.exited)
	select {
	case c.url = <-serving:
	case <-c.exited:
		t.Fatalf("the server ended: %v\n%s", c.err, tail(c.text()))
	case <-time.After(patience):
		t.Fatalf("the server does not serve\n%s", tail(c.text()))
	}
	probe := c.as(t, paula)
	until(t, "the server is ready", func() bool {
		a, err := probe.try("GET", "/readyz", nil)
		return err == nil && a.status == 200
	})
}

// text returns what the server has written.
func (c *server) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// kill ends the server as a power failure would.
func (c *server) kill() {
	if c.exited == nil {
		return
	}
	_ = c.cmd.Process.Kill() // an error means that it has ended
	<-c.exited
}

// terminate asks the server to stop.
func (c *server) terminate(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// wait waits until the server has ended, and wants it to be content.
func (c *server) wait(t *testing.T) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		t.Fatalf("the server does not end\n%s", tail(c.text()))
	}
	if c.err != nil {
		t.Errorf("the server ended with %v", c.err)
	}
}

// stop stops the server cleanly.
func (c *server) stop(t *testing.T) {
	t.Helper()
	c.terminate(t)
	c.wait(t)
}

// wasReset reports whether an error is that of a reset.
func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the binary, built when the first test needs it.
var program struct {
	once sync.Once
	dir  string
	err  error
}

// binaryPath returns the path of the binary.
func binaryPath(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		//nolint:usetesting // it outlives the test that happens to be the first
		if program.dir, program.err = os.MkdirTemp("", "sallyport-e2e-"); program.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", program.dir, "../cmd/sallyport")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "sallyport")
}

// child is the product running as a process of its own.
type child struct {
	*world
	url    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // how it ended, once exited is closed

	mu  sync.Mutex
	log bytes.Buffer // what it wrote to stderr
}

// spawn starts the binary with the world's configuration and waits until it
// serves. It is killed at the end of the test if it still runs.
func (w *world) spawn(t *testing.T) *child {
	t.Helper()
	c := &child{world: w, exited: make(chan struct{})}
	c.cmd = exec.Command(binaryPath(t), "serve", "--config", w.file(t), "--log-format", "json")
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
	go func() {
		defer close(c.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			c.mu.Lock()
			c.log.Write(append(lines.Bytes(), '\n'))
			c.mu.Unlock()
			var line struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- "http://" + line.Listen
			}
		}
		c.err = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // an error means that it has ended
		<-c.exited
		if t.Failed() {
			t.Logf("the server wrote:\n%s", c.text())
		}
	})
	select {
	case c.url = <-serving:
	case <-c.exited:
		t.Fatalf("the server ended: %v\n%s", c.err, c.text())
	case <-time.After(patience):
		t.Fatalf("the server does not serve\n%s", c.text())
	}
	until(t, "the server is ready", func() bool {
		a, err := c.as(t, w.consumer()).try(http.MethodGet, "/readyz", nil, nil)
		return err == nil && a.status == 200
	})
	return c
}

// text returns what the server has written.
func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// as returns a caller that signs its requests.
func (c *child) as(t *testing.T, u user) *caller {
	t.Helper()
	return c.call(t, c.url, u)
}

// kill ends the server as a power failure would.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-c.exited
}

// signal sends a signal to the server.
func (c *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait waits until the server has ended and returns how.
func (c *child) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		t.Fatalf("the server does not end\n%s", c.text())
	}
	return c.err
}

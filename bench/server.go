package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

const (
	// startWait bounds the start of a server, the loading of a million endpoints
	// included.
	startWait = 3 * time.Minute
	// stopWait bounds its end; then it is killed.
	stopWait = 20 * time.Second
	// pollPause is how often a starting server is asked whether it serves.
	pollPause = 10 * time.Millisecond
	// ticksPerSecond is the unit of CPU time in /proc (USER_HZ).
	ticksPerSecond = 100
)

// The networks of the generated configuration.
const (
	vpcProvider = "be000000-0000-4000-8000-000000000001" // of the backend
	vpcNone     = "be000000-0000-4000-8000-000000000002" // attached to nothing
	vpcHost     = "be000000-0000-4000-8000-000000000003" // attached to this machine
	subnetNone  = "be000000-0000-4000-8000-000000000012"
	subnetHost  = "be000000-0000-4000-8000-000000000013"
	backendPort = "be000000-0000-4000-8000-000000000020" // leads to 127.0.0.1
)

//go:embed config.yaml.tmpl
var configText string

var configTemplate = template.Must(template.New("config").Parse(configText))

// configData is what the configuration is made of.
type configData struct {
	Listen, Dir, Database               string
	Accounts                            []*account
	VPCProvider, VPCNone, VPCHost       string
	SubnetNone, SubnetHost, BackendPort string
}

// The two accounts of the generated configuration.
var (
	provider = account{
		Domain: "be00000000000000000000000000000a", DomainName: "provider", Project: "be0000000000000000000000000000a1",
		User: "paula", Password: "bench-provider", Access: "SPBENCHPROVIDER00001", Secret: "bench-provider-secret-0000000000000001",
	}
	consumer = account{
		Domain: "be00000000000000000000000000000b", DomainName: "consumer", Project: "be0000000000000000000000000000b1",
		User: "carl", Password: "bench-consumer", Access: "SPBENCHCONSUMER00001", Secret: "bench-consumer-secret-0000000000000001",
	}
)

// server is the product as a process of its own, so that its memory and its
// processor time are its own.
type server struct {
	command  []string // that runs it, without the configuration file
	dir      string
	database string // PostgreSQL URL, or "" for SQLite in dir
	host     string
	profiles string        // where profiles are fetched, "" for nowhere
	started  time.Duration // from the start of the process until it served
	cmd      *exec.Cmd
	ended    chan error
}

// start runs the product on what is in s.dir and waits until it serves.
func (s *server) start(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	file := filepath.Join(s.dir, "config.yaml")
	var text bytes.Buffer
	err = configTemplate.Execute(&text, configData{
		Listen: s.host, Dir: filepath.Join(s.dir, "data"), Database: s.database, Accounts: []*account{&provider, &consumer},
		VPCProvider: vpcProvider, VPCNone: vpcNone, VPCHost: vpcHost, SubnetNone: subnetNone, SubnetHost: subnetHost,
		BackendPort: backendPort,
	})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log of the server: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := append(s.command[1:len(s.command):len(s.command)], "--config", file)
	// stop ends the process, in order; an ended context must not kill it first.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.command[0], args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if s.profiles != "" {
		s.cmd.Env = append(os.Environ(), profileEnv+"="+s.profiles)
	}
	begin := now()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.cmd.Wait() }()
	if err := s.ready(ctx); err != nil {
		s.kill()
		return fmt.Errorf("the server does not serve: %w\n%s", err, tail(log.Name()))
	}
	s.started = now().Sub(begin)
	return nil
}

func freePort(ctx context.Context) (int, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// tail is the end of a log, for errors.
func tail(name string) string {
	const most = 2 << 10
	b, _ := os.ReadFile(name) // without it the error still says what happened
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// ready waits until the server says that it serves.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case end := <-s.ended:
			s.ended <- end
			return errors.Join(errors.New("it has ended"), end)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (s *server) ask(ctx context.Context) error {
	c, err := dial(ctx, s.host)
	if err != nil {
		return err
	}
	defer c.close()
	status, _, err := c.do([]byte("GET /readyz HTTP/1.1\r\nHost: " + s.host + "\r\n\r\n"))
	if err == nil && status != 200 {
		err = fmt.Errorf("/readyz answers %d", status)
	}
	return err
}

// stop ends the server as an operator does.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // one that has ended is waited for below
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case err := <-s.ended:
		s.cmd = nil
		if err != nil {
			return fmt.Errorf("end of the server: %w\n%s", err, tail(filepath.Join(s.dir, "log")))
		}
		return nil
	case <-timer.C:
		s.kill()
		return fmt.Errorf("the server did not end within %s", stopWait)
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended //nolint:errcheck // it was killed on purpose
	s.cmd = nil
}

// restart stops the server and starts it on the same data.
func (s *server) restart(ctx context.Context) error {
	if err := s.stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// cpu returns the processor time that the server has used.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of the server: %w", err)
	}
	// The name in parentheses may hold anything; user and system time are the
	// 12th and 13th field after it (proc(5)).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, errU := strconv.Atoi(fields[11])
	system, errS := strconv.Atoi(fields[12])
	if err := errors.Join(errU, errS); err != nil {
		return 0, fmt.Errorf("processor time of the server: %w", err)
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// memory returns the resident memory of the server now and at its highest, in bytes.
func (s *server) memory() (rss, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of the server: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("memory of the server: %w", err)
		}
		switch f[0] {
		case "VmRSS:":
			rss = n * 1024
		case "VmHWM:":
			peak = n * 1024
		}
	}
	return rss, peak, nil
}

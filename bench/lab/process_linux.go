package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stopWait bounds the end of a process; then it is killed.
	stopWait = 20 * time.Second
	// ticksPerSecond is the unit of processor time in /proc (USER_HZ).
	ticksPerSecond = 100
)

// Process is a program that was started for a measure.
type Process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	ended chan error
}

// Start runs a command in a namespace ("" for this process's own) and keeps what
// it writes in the file log. With a uid above 0 it runs as that user, without any
// capability.
func Start(namespace, log string, uid int, command ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", command[0], err)
	}
	defer func() { _ = f.Close() }() // the process has its own
	// Stop ends the process in order; an ended context must not kill it first.
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	if uid > 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return run(namespace, log, cmd)
}

func run(namespace, log string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: filepath.Base(cmd.Path), log: log, cmd: cmd, ended: make(chan error, 1)}
	if err := Inside(namespace, cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() { p.ended <- cmd.Wait() }()
	return p, nil
}

// Stop ends the process as an operator does. Stopping none, or one twice, does
// nothing.
func (p *Process) Stop() error {
	if p == nil || p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended is waited for below
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-p.ended: //nolint:errcheck // programs differ in what they return when they are told to end
		return nil
	case <-timer.C:
		_ = cmd.Process.Kill()
		<-p.ended //nolint:errcheck // it was killed on purpose
		return fmt.Errorf("%s did not end within %s", p.name, stopWait)
	}
}

// Ready asks until ask returns no error, the process ends or ctx does.
func (p *Process) Ready(ctx context.Context, ask func(context.Context) error) error {
	const pause = 10 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case end := <-p.ended:
			p.ended <- end
			return fmt.Errorf("%s has ended: %w\n%s", p.name, errors.Join(end, err), p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w\n%s", p.name, errors.Join(ctx.Err(), err), p.tail())
		}
	}
}

// tail is the end of the log, for errors.
func (p *Process) tail() string {
	const most = 2 << 10
	if p.log == "" {
		return ""
	}
	b, _ := os.ReadFile(p.log) // without it the error still says what happened
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// tree lists the process and its children; those of children are not looked for,
// since no program here has any.
func (p *Process) tree() []int {
	pid := p.cmd.Process.Pid
	list := []int{pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return list
	}
	for f := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(f); err == nil {
			list = append(list, child)
		}
	}
	return list
}

// CPU returns the processor time that the process and its children have used, in
// user and in kernel mode, to a hundredth of a second. No process has used none.
func (p *Process) CPU() (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	var sum time.Duration
	for _, pid := range p.tree() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
		}
		// The name in parentheses may hold anything; user and system time are the
		// 12th and 13th field after it (proc(5)).
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		user, errU := strconv.Atoi(fields[11])
		system, errS := strconv.Atoi(fields[12])
		if err := errors.Join(errU, errS); err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
		}
		sum += time.Duration(user+system) * time.Second / ticksPerSecond
	}
	return sum, nil
}

// Memory returns the resident memory of the process and its children in bytes.
func (p *Process) Memory() (float64, error) {
	sum := 0.0
	for _, pid := range p.tree() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, fmt.Errorf("memory of %s: %w", p.name, err)
		}
		_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
		var kib float64
		if _, err := fmt.Sscanf(rest, "%f kB", &kib); err != nil {
			return 0, fmt.Errorf("memory of %s: %w", p.name, err)
		}
		sum += kib * 1024
	}
	return sum, nil
}

// Output runs a command to its end and returns what it wrote, for facts such as
// versions; a program that is not there gives "".
func Output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Build returns the product's binary: the given one, or one that it builds into
// dir.
func Build(ctx context.Context, binary, dir string, errs io.Writer) (string, error) {
	if binary != "" {
		return filepath.Abs(binary)
	}
	name := filepath.Join(dir, "sallyport")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", name, "./cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = errs, errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the product: %w", err)
	}
	return name, nil
}

package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// openFiles is the limit on open files of everything that is started: ten
	// thousand flows hold four sockets each in a proxy that splices through pipes
	// of two descriptors each.
	openFiles = 400_000
	// namespaces is where ip(8) keeps named network namespaces.
	namespaces = "/run/netns"
)

// Now is the clock of all measures.
func Now() time.Time {
	return time.Now() //nolint:forbidigo // a benchmark measures real time
}

// Wait rests for d, or until ctx ends, whose error it then returns.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lab is a set of network namespaces that nothing else uses.
type Lab struct {
	// Files is how many files each process may open.
	Files int

	prefix string
	names  []string
}

// Open checks that namespaces can be made, and lets this process and its children
// open as many files as the measures need. Close removes what was made.
func Open() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("measuring in network namespaces of its own needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("network namespaces are made with ip(8): %w", err)
	}
	files, err := raise()
	if err != nil {
		return nil, fmt.Errorf("limit on open files: %w", err)
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Lab{Files: files, prefix: fmt.Sprintf("spt-bench-%x-", id)}, nil
}

// raise raises the limit on open files as far as this process may.
func raise() (int, error) {
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: openFiles, Max: openFiles}); err == nil {
		return openFiles, nil
	}
	// Root without CAP_SYS_RESOURCE stays below what it was given.
	var has syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &has); err != nil {
		return 0, err
	}
	has.Cur = has.Max
	// Go gives children the limit that this process began with, unless it was set
	// by the program.
	return int(has.Max), syscall.Setrlimit(unix.RLIMIT_NOFILE, &has)
}

// Namespace makes a namespace whose loopback is up, does in it what the lines say
// in the language of ip -batch, and returns its name as ip netns list shows it.
func (l *Lab) Namespace(ctx context.Context, name string, lines ...string) (string, error) {
	name = l.prefix + name
	if err := ip(ctx, nil, "netns", "add", name); err != nil {
		return "", err
	}
	l.names = append(l.names, name)
	return name, Configure(ctx, name, append([]string{"link set lo up"}, lines...)...)
}

// Configure does in a namespace what the lines say in the language of ip -batch.
func Configure(ctx context.Context, namespace string, lines ...string) error {
	return ip(ctx, []byte(strings.Join(lines, "\n")+"\n"), "-n", namespace, "-batch", "-")
}

func ip(ctx context.Context, input []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Set writes settings of a namespace, given as name=value below net, such as
// ipv4/tcp_tw_reuse=1.
func Set(namespace string, settings ...string) error {
	return Inside(namespace, func() error {
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
				return fmt.Errorf("set %s: %w", name, err)
			}
		}
		return nil
	})
}

// Close removes the namespaces; the processes inside have ended.
func (l *Lab) Close(ctx context.Context) error {
	var errs []error
	for _, name := range l.names {
		errs = append(errs, ip(ctx, nil, "netns", "del", name))
	}
	l.names = nil
	return errors.Join(errs...)
}

// Inside calls do on a thread that is in the namespace, "" standing for the one
// the process is in: sockets that do opens and processes that it starts belong
// there.
func Inside(namespace string, do func() error) error {
	if namespace == "" {
		return do()
	}
	done := make(chan error, 1)
	go func() {
		// The thread is never unlocked: it ends with the goroutine, so that no
		// other one finds itself in a foreign namespace.
		runtime.LockOSThread()
		if err := enter(namespace); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// enter moves the calling thread.
func enter(namespace string) error {
	fd, err := unix.Open(filepath.Join(namespaces, namespace), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	defer func() { _ = unix.Close(fd) }() // entered or not, it is not needed any more
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", namespace, err)
	}
	return nil
}

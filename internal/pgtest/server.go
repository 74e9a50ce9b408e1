package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// superuser is the role that owns everything on the server.
	superuser = "sallyport"
	// prefix begins the name of every server's directory under the temporary one.
	prefix = "sallyport-pgtest-"
	// readyInterval is how often a starting server is asked whether it answers.
	readyInterval = 20 * time.Millisecond
	// startTries is how often a start is tried: another process may take the free
	// port between our asking for one and the server's binding it.
	startTries = 3
	// maxLog is how much of the server's log an error shows.
	maxLog = 4 << 10
)

// server is a running PostgreSQL.
type server struct {
	dir      string
	owner    *os.File // locked while this process lives: the directory is in use
	port     int
	password string

	end   chan struct{} // closed to end the server
	ended chan struct{} // closed when it has ended
	exit  error         // how it ended, once ended is closed
}

// startServer makes a cluster in a directory of its own and starts it.
func startServer(ctx context.Context, sync bool) (_ *server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	removeAbandoned()
	s := &server{password: rand.Text()}
	if s.dir, err = os.MkdirTemp("", prefix); err != nil {
		return nil, fmt.Errorf("directory of the server: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.owner, err = lockOwner(s.dir); err != nil {
		return nil, err
	}
	uid, gid, err := runAs()
	if err != nil {
		return nil, err
	}
	if err := s.initialize(ctx, bin, uid, gid); err != nil {
		return nil, err
	}
	for range startTries {
		if err = s.launch(ctx, bin, uid, gid, sync); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// binaries returns the directory of initdb and postgres: the newest version that
// Debian's packages installed, or the one that PATH leads to.
func binaries() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // 0 for what is no version
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errMissing
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// runAs returns the ids that the server runs as: PostgreSQL refuses root, so
// root becomes postgres or nobody; -1 stands for "as we are".
func runAs() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return -1, -1, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if err := errors.Join(errU, errG); err != nil {
			return 0, 0, fmt.Errorf("ids of the user %s: %w", name, err)
		}
		return uid, gid, nil
	}
	return 0, 0, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody")
}

// initialize makes the cluster. Nothing of it is synced: who loses power in
// between starts a new one.
func (s *server) initialize(ctx context.Context, bin string, uid, gid int) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	if uid >= 0 {
		for _, name := range []string{s.dir, secret} {
			if err := os.Chown(name, uid, gid); err != nil {
				return fmt.Errorf("give the directory to the server's user: %w", err)
			}
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+s.data(), "--username="+superuser,
		"--pwfile="+secret, "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, environment(), attributes(uid, gid)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

// environment is ours without what would lead PostgreSQL elsewhere.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG")
	})
}

// launch starts the server on a free loopback port and waits until it answers.
func (s *server) launch(ctx context.Context, bin string, uid, gid int, sync bool) error {
	var err error
	if s.port, err = freePort(ctx); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return fmt.Errorf("log of the server: %w", err)
	}
	defer func() { _ = log.Close() }()
	onOff := map[bool]string{true: "on", false: "off"}
	// The server outlives the call and, with it, ctx: stop ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(bin, "postgres"), "-D", s.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories="+s.dir,
		"-c", "fsync="+onOff[sync], "-c", "synchronous_commit="+onOff[sync], "-c", "shared_buffers=32MB",
		"-c", "max_connections=200", "-c", "autovacuum=off")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, environment(), attributes(uid, gid)
	cmd.Stdout, cmd.Stderr = log, log
	s.end, s.ended = make(chan struct{}), make(chan struct{})
	started := make(chan error, 1)
	go s.run(cmd, started)
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		_ = s.finish()                     // what ready says is the cause
		text, _ := os.ReadFile(log.Name()) // without it the error still says what happened
		return fmt.Errorf("postgres does not answer: %w\n%s", err, bytes.TrimSpace(text[max(0, len(text)-maxLog):]))
	}
	return nil
}

// freePort returns a loopback port that nobody has at this moment.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// run starts the server and waits for it. It keeps its thread, because the
// kernel ends the server with the thread that started it, not with the process.
func (s *server) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer close(s.ended)
	select {
	case err := <-exited:
		s.exit = errors.Join(errors.New("the server ended by itself"), err)
	case <-s.end:
		// Fast shutdown: sessions that a failed test left do not hold it up.
		err := cmd.Process.Signal(os.Interrupt)
		s.exit = errors.Join(err, <-exited)
	}
}

// ready waits until the server answers.
func (s *server) ready(ctx context.Context) error {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		err := s.execute(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return s.exit
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// stop ends the server and removes its directory.
func (s *server) stop() error { return errors.Join(s.finish(), s.remove()) }

// finish ends the server and waits for it.
func (s *server) finish() error {
	close(s.end)
	timeout := time.NewTimer(dropTimeout)
	defer timeout.Stop()
	select {
	case <-s.ended:
		return s.exit
	case <-timeout.C:
		return errors.New("the server does not end")
	}
}

func (s *server) remove() error {
	err := os.RemoveAll(s.dir)
	if s.owner != nil {
		err = errors.Join(err, s.owner.Close())
	}
	return err
}

// removeAbandoned removes the directories of processes that were killed: those
// whose lock nobody holds. What cannot be removed is somebody else's.
func removeAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is well formed
	for _, dir := range dirs {
		if !abandoned(dir) {
			continue
		}
		_ = os.RemoveAll(dir)
	}
}

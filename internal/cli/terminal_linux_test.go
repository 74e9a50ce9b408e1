package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lflag&unix.ECHO != 0
}

// typist types a line whenever it is prompted. It stands in for stderr, where
// prompts are written.
type typist struct {
	t        *testing.T
	keyboard io.Writer
	lines    []string
	seen     bytes.Buffer
}

func (y *typist) Write(p []byte) (int, error) {
	if strings.HasSuffix(string(p), ": ") && len(y.lines) > 0 {
		if _, err := io.WriteString(y.keyboard, y.lines[0]+"\n"); err != nil {
			y.t.Error(err)
		}
		y.lines = y.lines[1:]
	}
	return y.seen.Write(p)
}

// A password that is typed must not be seen, and two that differ by a slip must not
// become a hash that nobody knows the password of.
func TestHashPasswordOnTerminal(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		code  int
	}{
		{"the same", []string{"s3cret", "s3cret"}, ExitOK},
		{"not the same", []string{"s3cret", "s3cre7"}, ExitFailure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keyboard, terminal := openTerminal(t)
			y := &typist{t: t, keyboard: keyboard, lines: tt.lines}
			var out bytes.Buffer
			d := (&runner{t: t, stdin: terminal}).deps(&out, y)
			if code := Run(t.Context(), []string{"hash-password"}, d); code != tt.code {
				t.Fatalf("exit code = %d, want %d: %s", code, tt.code, y.seen.String())
			}
			if got := phc.MatchString(out.String()); got != (tt.code == ExitOK) {
				t.Errorf("stdout = %q", out.String())
			}
			if !echoes(t, terminal) {
				t.Error("the terminal does not echo any more")
			}
			if !strings.Contains(y.seen.String(), "password: \nagain: \n") {
				t.Errorf("prompts = %q", y.seen.String())
			}
		})
	}
}

// The password of a login is asked for, if somebody can answer.
func TestPasswordIsAskedFor(t *testing.T) {
	v := newVendor(t)
	v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "made")
	keyboard, terminal := openTerminal(t)
	y := &typist{t: t, keyboard: keyboard, lines: []string{"s3cret"}}
	r := bare(t, v, "OS_USERNAME", "paula", "OS_DOMAIN_NAME", "provider", "OS_PROJECT_ID", project)
	r.stdin = terminal
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"token"}, r.deps(&out, y)); code != ExitOK || out.String() != "made\n" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, out.String(), y.seen.String())
	}
	if !strings.Contains(v.log[0].body, `"password":"s3cret"`) {
		t.Error("what was typed was not sent")
	}
}

// Whoever breaks off in the middle keeps a terminal that shows what is typed.
func TestInterruptedPrompt(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	prompted, restored := make(chan struct{}), make(chan struct{})
	stderr := writerFunc(func(p []byte) (int, error) {
		switch {
		case strings.HasSuffix(string(p), ": "):
			close(prompted)
		case strings.Contains(string(p), "interrupted"):
			close(restored)
		}
		return len(p), nil
	})
	done := make(chan int)
	go func() {
		done <- Run(ctx, []string{"hash-password"}, (&runner{t: t, stdin: terminal}).deps(io.Discard, stderr))
	}()
	<-prompted
	cancel()
	<-restored
	if !echoes(t, terminal) { // while the read still waits: a second signal kills here
		t.Error("the terminal does not echo after the interrupt")
	}
	if _, err := io.WriteString(keyboard, "\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != ExitFailure {
		t.Errorf("exit code = %d, want %d", code, ExitFailure)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal does not echo at the end")
	}
}

// A screen on which tables follow each other cannot be read; one that is drawn over
// but longer than the window destroys what stands above. The bytes that a terminal
// gets are looked at, in a window of a real size.
func TestWatchIsDrawnInPlace(t *testing.T) {
	v := newVendor(t)
	v.idle(ep1, ep2, ep3)
	call := nativeBase + "/endpoints/"
	for _, id := range []string{ep1, ep2, ep3} {
		v.on(call+id, 200, enforcementBody(id, "accepted", tcpKernel))
	}
	v.on(call+ep3, 503, "")
	v.on(call+ep3, 200, enforcementBody(ep3, "accepted", tcpKernel))
	_, terminal := openTerminal(t)
	resize := func(columns, rows uint16) {
		t.Helper()
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
			t.Fatal(err)
		}
	}
	resize(60, 4)
	looks := 5
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r := with(t, v)
	r.terminal = true
	var screen, stderr bytes.Buffer
	d := r.deps(nil, &stderr)
	d.Stdout = recorder{terminal: terminal, seen: &screen}
	d.Sleep = func(ctx context.Context, _ time.Duration) error {
		screen.WriteString("|")
		switch looks--; looks {
		case 2:
			resize(200, 50)
		case 0:
			interrupt()
		}
		return ctx.Err()
	}
	if code := Run(ctx, []string{"endpoint", "watch", ep1, ep2, ep3}, d); code != ExitOK {
		t.Fatalf("exit code = %d: %s", code, stderr.String())
	}
	short := ep1[:shortID] + "  accepted      0     -      -    0 B       0       " // 60 columns
	narrow := "ENDPOINT  STATUS    FLOWS  IN/S  OUT/S  TOTAL  RESETS  REFUS\x1b[K\n" + short + "\x1b[K\n" + "and 2 more; -o json shows all\x1b[K\n\x1b[J|"
	wide := "ENDPOINT                              STATUS    FLOWS  IN/S  OUT/S  TOTAL  RESETS  REFUSED  DIAL ERR  LAST  ENGINE\x1b[K\n"
	for _, id := range []string{ep1, ep2, ep3} {
		wide += id + "  accepted      0     -      -    0 B       0        0         0     -  kernel\x1b[K\n"
	}
	wide += "\x1b[J|"
	// The second look fails and says so, so the third begins below; the fourth is in
	// another window; only the fifth finds what it can be drawn over.
	want := narrow + "|" + narrow + wide + "\x1b[4A\r" + wide
	if diff := cmp.Diff(want, screen.String()); diff != "" {
		t.Errorf("what was drawn (-want +got):\n%s", diff)
	}
}

// recorder is a terminal that nobody reads, and which keeps what was written to it.
type recorder struct {
	terminal *os.File
	seen     *bytes.Buffer
}

func (r recorder) Fd() uintptr { return r.terminal.Fd() }

func (r recorder) Write(p []byte) (int, error) { return r.seen.Write(p) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

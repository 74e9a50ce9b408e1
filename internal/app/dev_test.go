package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-net/sallyport/internal/app"
)

// What "sallyport dev" prints is the first thing anybody tries, so it is run
// here, word for word, by a shell.
func TestDevGuide(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	ctx, stop := context.WithCancel(t.Context())
	out := &signalWriter{ready: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- app.Dev(ctx, app.DevOptions{Listen: "127.0.0.1:0", Out: out, Log: slog.New(slog.DiscardHandler)})
	}()
	select {
	case <-out.ready:
	case err := <-done:
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(out.String(), "\n\n")
	story, err := exec.CommandContext(t.Context(), bash, "-c", script).CombinedOutput()
	stop()
	if e := <-done; e != nil {
		t.Errorf("dev: %v", e)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, story)
	}
	for _, want := range []string{
		`"status":"pendingAcceptance"`, `"status":"accepted"`, "Hello from the provider's backend",
		`"status":"rejected"`, "refused, as it should be", `"action":"reject"`,
	} {
		if !strings.Contains(string(story), want) {
			t.Errorf("the story does not contain %s:\n%s", want, story)
		}
	}
}

// signalWriter collects what is printed and says when the guide is complete.
type signalWriter struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan struct{}
	once  sync.Once
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.buf.Write(p)
	if strings.Contains(w.buf.String(), `X-Auth-Token: $PROVIDER"; echo`) {
		w.once.Do(func() { close(w.ready) })
	}
	return n, err
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

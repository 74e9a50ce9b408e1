package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	// patience bounds every wait for a condition: far more than a slow machine
	// needs, so that only what never happens runs into it.
	patience = 20 * time.Second
	// pollInterval is how often a condition is looked at.
	pollInterval = 5 * time.Millisecond
	// moment is how long something that must not happen is waited for, where
	// nothing tells that it cannot happen any more.
	moment = 300 * time.Millisecond
	// quick is how long one of very many things that must not happen is waited for.
	quick = 60 * time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy removes what tests share after the last of them.
type tidy struct{ *testing.M }

// Run runs the tests.
func (m tidy) Run() int {
	defer func() { _ = os.RemoveAll(program.dir) }()
	return m.M.Run()
}

// needRoot skips a test that makes namespaces where it may not.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if os.Getenv("CI") != "" {
		t.Skip("network namespaces are not made in CI")
	}
	for _, name := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("the lab needs the program %s", name)
		}
	}
}

// program is the binary, built when the first test needs it.
var program struct {
	once sync.Once
	dir  string
	err  error
}

// binaryPath returns the path of the binary. It has the race detector where the
// tests have it.
func binaryPath(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		//nolint:usetesting // it outlives the test that happens to be the first
		if program.dir, program.err = os.MkdirTemp("", "sallyport-lab-"); program.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-race="+strconv.FormatBool(raceDetector), "-o", program.dir, "../../cmd/sallyport")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "sallyport")
}

// until looks at a condition again and again until it holds, and ends the test
// where it does not within the patience.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(patience, holds) {
		t.Fatalf("this never happened: %s", what)
	}
}

// within reports whether a condition holds at some time before the end of d.
func within(d time.Duration, holds func() bool) bool {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			return holds()
		}
	}
	return true
}

// numberFrom reads a number from the environment.
func numberFrom(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

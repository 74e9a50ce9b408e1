package e2e_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/pgtest"
)

func TestMain(m *testing.M) {
	// The children are killed here, PostgreSQL is not: it need not sync.
	goleak.VerifyTestMain(cleaner{pgtest.Main{M: m, NoSync: true}})
}

// cleaner removes what tests share after the last of them.
type cleaner struct{ pgtest.Main }

// Run runs the tests.
func (c cleaner) Run() int {
	defer func() { _ = os.RemoveAll(program.dir) }()
	return c.Main.Run()
}

const (
	// patience bounds every wait for a condition: far more than a slow machine
	// needs, so that only what never happens runs into it.
	patience = 30 * time.Second
	// pollInterval is how often a condition is looked at.
	pollInterval = 5 * time.Millisecond
)

// until looks at a condition again and again until it holds, and ends the test
// where it does not within the patience.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("this never happened: %s", what)
		}
	}
}

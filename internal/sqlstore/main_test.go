package sqlstore_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/pgtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		os.Exit(1) // it ends only where something is wrong
	}
	goleak.VerifyTestMain(pgtest.Main{M: m})
}

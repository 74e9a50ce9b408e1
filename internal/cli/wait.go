package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// pollEvery is the pause between two looks: what is waited for takes seconds here
// and minutes in a cloud.
const pollEvery = time.Second

// defaultWait is how long --wait waits: the API reference speaks of up to two
// minutes.
const defaultWait = 3 * time.Minute

// waitFlags are the flags of verbs that can wait for what they began.
type waitFlags struct {
	wait  bool
	limit timeoutValue
}

func (w *waitFlags) add(cmd *cobra.Command, until string) {
	w.limit = timeoutValue(defaultWait)
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until it is "+until+", with progress on stderr")
	cmd.Flags().Var(&w.limit, "wait-timeout", "`DURATION` to wait at most, up to 10m")
}

// await looks at an object until its status is none of pending, and returns it as
// it was last seen, also with an error. It counts pauses and not the clock, so
// that a clock that jumps ends no wait.
func (a *app) await(ctx context.Context, s *session, i item, path string, pending map[string]bool, limit time.Duration) (item, error) {
	shown, waited := "", time.Duration(0)
	for {
		status := i.text("status")
		if status != shown {
			a.note("%s is %s", i.id(), status)
			shown = status
		}
		if !pending[status] {
			return i, nil
		}
		if waited >= limit {
			return i, &hinted{fmt.Errorf("%s is still %s after %v", i.id(), status, limit), "it was created, and may yet come up; look with the show verb"}
		}
		if err := a.sleep(ctx, pollEvery); err != nil {
			return i, fmt.Errorf("wait for %s, which was created and is %s: %w", i.id(), status, err)
		}
		waited += pollEvery
		next, err := s.readOne(ctx, http.MethodGet, path+i.id(), nil, nil)
		if err != nil {
			return i, fmt.Errorf("wait for %s, which was created: %w", i.id(), err)
		}
		i = next
	}
}

// created prints what a create verb made, after the wait that was asked for. What
// was created is printed in any case: its id is needed to undo it.
func (a *app) created(ctx context.Context, s *session, n noun, i item, path string, pending map[string]bool, w waitFlags) error {
	if !validID(i.text("id")) { // it becomes a part of paths
		return &answerError{errors.New("the object that was created has no id")}
	}
	var failed error
	if w.wait {
		i, failed = a.await(ctx, s, i, path, pending, time.Duration(w.limit))
	}
	if err := a.printOne(n, i); err != nil {
		return err
	}
	if failed == nil && i.text("status") == "failed" {
		reason := show(i.fields["error"])
		if reason == "" {
			reason = "the server gives no reason"
		}
		failed = fmt.Errorf("%s was created and has failed: %w", i.id(), errors.New(shorten(reason)))
	}
	return failed
}

package sallyport_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machineFile is the picture of the state machine that a person reviews.
const machineFile = "testdata/machine.golden"

// The whole state machine stands in one file. If this fails, a step was added,
// taken away or changed: read the difference as a change of the product, and
// write it anew with -update if it is meant.
func TestMachineGolden(t *testing.T) {
	got := machine()
	name := filepath.FromSlash(machineFile)
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", machineFile, diff)
	}
}

// machine prints every status × action.
func machine() string {
	var b strings.Builder
	line := func(a, x, y string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-10s%-10s%s", a, x, y), " ") + "\n")
	}
	b.WriteString("The state machine of an endpoint, which its service's owner sees as a connection.\n" +
		"\"same\" succeeds and changes nothing; \"refused\" is an error and changes nothing.\n\n")
	line("from", "action", "to")
	line("(none)", "create", sallyport.First(true).String()+" (approval on)")
	line("(none)", "create", sallyport.First(false).String()+" (approval off)")
	for _, s := range sallyport.Statuses {
		b.WriteByte('\n')
		for _, a := range sallyport.Actions {
			to, ok := sallyport.Next(s, a)
			switch {
			case !ok:
				line(s.String(), a.String(), "refused")
			case to == s:
				line(s.String(), a.String(), "same")
			default:
				line(s.String(), a.String(), to.String())
			}
		}
	}
	return b.String()
}

// transition is what one action does to one status: it goes to another status,
// or stays (to is 0), or is refused for a reason.
type transition struct {
	to     sallyport.Status
	reason sallyport.Reason
}

// transitionsWanted says it a second time, in words of code, so that writing the
// golden file anew cannot hide a change.
func transitionsWanted() map[sallyport.Status]map[sallyport.Action]transition {
	var (
		same     = transition{}
		refused  = transition{reason: sallyport.ReasonRefused}
		deleting = transition{reason: sallyport.ReasonDeleting}
	)
	to := func(s sallyport.Status) transition { return transition{to: s} }
	return map[sallyport.Status]map[sallyport.Action]transition{
		sallyport.StatusPending: {
			sallyport.ActionAccept:  to(sallyport.StatusCreating),
			sallyport.ActionReject:  to(sallyport.StatusRejected),
			sallyport.ActionConfirm: refused,
			sallyport.ActionFail:    refused,
			sallyport.ActionDelete:  to(sallyport.StatusDeleting),
		},
		sallyport.StatusCreating: {
			sallyport.ActionAccept:  same,
			sallyport.ActionReject:  to(sallyport.StatusRejected),
			sallyport.ActionConfirm: to(sallyport.StatusAccepted),
			sallyport.ActionFail:    to(sallyport.StatusFailed),
			sallyport.ActionDelete:  to(sallyport.StatusDeleting),
		},
		sallyport.StatusAccepted: {
			sallyport.ActionAccept:  same,
			sallyport.ActionReject:  to(sallyport.StatusRejected),
			sallyport.ActionConfirm: refused,
			sallyport.ActionFail:    to(sallyport.StatusFailed),
			sallyport.ActionDelete:  to(sallyport.StatusDeleting),
		},
		sallyport.StatusRejected: {
			sallyport.ActionAccept:  to(sallyport.StatusCreating),
			sallyport.ActionReject:  same,
			sallyport.ActionConfirm: refused,
			sallyport.ActionFail:    refused,
			sallyport.ActionDelete:  to(sallyport.StatusDeleting),
		},
		sallyport.StatusFailed: {
			sallyport.ActionAccept:  to(sallyport.StatusCreating),
			sallyport.ActionReject:  to(sallyport.StatusRejected),
			sallyport.ActionConfirm: refused,
			sallyport.ActionFail:    refused,
			sallyport.ActionDelete:  to(sallyport.StatusDeleting),
		},
		sallyport.StatusDeleting: {
			sallyport.ActionAccept:  deleting,
			sallyport.ActionReject:  deleting,
			sallyport.ActionConfirm: deleting,
			sallyport.ActionFail:    deleting,
			sallyport.ActionDelete:  same,
		},
	}
}

// If this fails, an action leads elsewhere than the product promises, changes
// what it should leave alone, or is refused for the wrong reason: edges choose
// the answer's code by the reason.
func TestTransitions(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := made.Add(time.Hour)
	want := transitionsWanted()
	for _, s := range sallyport.Statuses {
		for _, a := range sallyport.Actions {
			t.Run(s.String()+" "+a.String(), func(t *testing.T) {
				w, ok := want[s][a]
				if !ok {
					t.Fatal("nobody has decided what happens here")
				}
				checkApply(t, sallyport.Endpoint{ID: "e", Status: s, Note: "kept", UpdatedAt: made}, a, now, w)
			})
		}
	}
}

// checkApply applies a to e and compares all that Apply returns.
func checkApply(t *testing.T, e sallyport.Endpoint, a sallyport.Action, now time.Time, w transition) {
	t.Helper()
	wantNext, wantChanged := e, w.to != 0
	if wantChanged {
		wantNext.Status, wantNext.UpdatedAt = w.to, now
		wantNext.WasAccepted = w.to == sallyport.StatusAccepted
	}
	next, changed, err := e.Apply(a, now)
	if got, want := sallyport.ReasonOf(err), w.reason; got != want {
		t.Errorf("reason = %q, want %q (%v)", got, want, err)
	}
	if w.reason != "" {
		if got, want := sallyport.KindOf(err), sallyport.KindConflict; got != want {
			t.Errorf("kind = %v, want %v", got, want)
		}
	}
	if changed != wantChanged {
		t.Errorf("changed = %v, want %v", changed, wantChanged)
	}
	if diff := cmp.Diff(wantNext, next, cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("endpoint (-want +got):\n%s", diff)
	}
}

// The promise behind the table: an owner can cut whatever lives, and saying the
// same thing twice is the same as saying it once.
func TestOwnerCanAlwaysCut(t *testing.T) {
	for _, s := range sallyport.Statuses {
		if s == sallyport.StatusDeleting {
			continue // it is being cut for good already
		}
		to, ok := sallyport.Next(s, sallyport.ActionReject)
		if !ok || to != sallyport.StatusRejected {
			t.Errorf("reject from %v = %v, %v; want rejected", s, to, ok)
		}
	}
	for _, a := range []sallyport.Action{sallyport.ActionAccept, sallyport.ActionReject, sallyport.ActionDelete} {
		for _, s := range sallyport.Statuses {
			once, ok := sallyport.Next(s, a)
			if !ok {
				continue
			}
			if twice, ok := sallyport.Next(once, a); !ok || twice != once {
				t.Errorf("%v twice from %v = %v, %v; once = %v", a, s, twice, ok, once)
			}
		}
	}
}

// A status or an action that does not exist must take no step: the zero value
// is one that somebody forgot to set.
func TestUnknownTakesNoStep(t *testing.T) {
	for _, s := range []sallyport.Status{0, sallyport.StatusDeleting + 1} {
		for _, a := range sallyport.Actions {
			if to, ok := sallyport.Next(s, a); ok {
				t.Errorf("status %d takes %v to %v", s, a, to)
			}
		}
		if got, want := s.String(), "none"; got != want {
			t.Errorf("Status(%d) = %q, want %q", s, got, want)
		}
		if s.Admitted() {
			t.Errorf("status %d is admitted", s)
		}
	}
	for _, a := range []sallyport.Action{0, sallyport.ActionDelete + 1} {
		for _, s := range sallyport.Statuses {
			if to, ok := sallyport.Next(s, a); ok {
				t.Errorf("action %d takes %v to %v", a, s, to)
			}
		}
		if got, want := a.String(), "none"; got != want {
			t.Errorf("Action(%d) = %q, want %q", a, got, want)
		}
	}
}

// The data plane carries what Admitted says. If this fails, it carries what
// nobody admitted, or cuts what somebody did.
func TestAdmitted(t *testing.T) {
	var got []sallyport.Status
	for _, s := range sallyport.Statuses {
		if s.Admitted() {
			got = append(got, s)
		}
	}
	want := []sallyport.Status{sallyport.StatusCreating, sallyport.StatusAccepted}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("admitted (-want +got):\n%s", diff)
	}
}

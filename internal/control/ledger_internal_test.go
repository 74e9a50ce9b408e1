package control

import (
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, a report about an older spec confirms a newer decision: the one
// way in which a reject could be answered before the cut.
func TestLedgerWakesAtTheRevision(t *testing.T) {
	t.Parallel()
	woken := func(w *wait) bool {
		select {
		case <-w.done:
			return true
		default:
			return false
		}
	}
	l := newLedger()
	note := func(id sallyport.EndpointID, rev sallyport.Revision) {
		l.note(id, ack{rev: rev, state: agentapi.StateClosed})
	}
	early, late, other := l.expect("a", 5), l.expect("a", 9), l.expect("b", 5)
	for _, w := range []*wait{early, late, other} {
		l.enter(w)
	}
	for _, step := range []struct {
		id                 sallyport.EndpointID
		rev                sallyport.Revision
		early, late, other bool
	}{
		{"a", 4, false, false, false},
		{"a", 6, true, false, false},
		{"a", 3, true, false, false}, // late news
		{"b", 5, true, false, true},
		{"a", 9, true, true, true},
	} {
		note(step.id, step.rev)
		if woken(early) != step.early || woken(late) != step.late || woken(other) != step.other {
			t.Errorf("after %s at %d: %v %v %v, want %+v", step.id, step.rev, woken(early), woken(late), woken(other), step)
		}
	}
	if got, ok := l.latest("a"); !ok || got.rev != 9 {
		t.Errorf("the newest report is %+v", got)
	}
	if len(l.waits) != 0 {
		t.Errorf("left waiting: %v", l.waits)
	}
	again := l.expect("a", 9)
	if l.enter(again); !woken(again) {
		t.Error("what is confirmed already has to be waited for")
	}
	// Who gives up leaves nothing, and does not take others along.
	first, second := l.expect("a", 10), l.expect("a", 10)
	l.enter(first)
	l.enter(second)
	l.leave(first)
	l.leave(first)
	if note("a", 10); woken(first) || !woken(second) {
		t.Errorf("after one left: %v, %v", woken(first), woken(second))
	}
	// The end of an endpoint wakes everybody and is forgotten.
	last := l.expect("a", 99)
	l.enter(last)
	if l.forget("a"); !woken(last) {
		t.Error("nobody is told of the end")
	}
	if _, ok := l.latest("a"); ok || len(l.waits) != 0 {
		t.Error("the ledger remembers what is gone")
	}
}

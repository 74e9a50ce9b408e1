package sallyport_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Edges choose status, code and text by kind and reason. If this fails, a fault
// of ours is shown to a caller, or a refusal is dressed as a fault.
func TestKindAndReason(t *testing.T) {
	refusal := sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonDeleting, "endpoint %s is being deleted", "e1")
	for _, tt := range []struct {
		name   string
		err    error
		kind   sallyport.Kind
		reason sallyport.Reason
	}{
		{"refusal", refusal, sallyport.KindConflict, sallyport.ReasonDeleting},
		{"wrapped", fmt.Errorf("decide: %w", refusal), sallyport.KindConflict, sallyport.ReasonDeleting},
		{"plain", errors.New("disk full"), sallyport.KindInternal, ""},
		{"none", nil, sallyport.KindInternal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sallyport.KindOf(tt.err); got != tt.kind {
				t.Errorf("kind = %v, want %v", got, tt.kind)
			}
			if got := sallyport.ReasonOf(tt.err); got != tt.reason {
				t.Errorf("reason = %q, want %q", got, tt.reason)
			}
		})
	}
}

// Msg is for the caller, Err for the log. If this fails, the log does not say
// what happened, or errors.Is does not see it.
func TestErrorText(t *testing.T) {
	e := sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonQuota, "the project has %d of %d endpoints", 50, 50)
	if got, want := e.Error(), "the project has 50 of 50 endpoints"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	cause := errors.New("disk full")
	e.Err = cause
	if got, want := e.Error(), "the project has 50 of 50 endpoints: disk full"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	if !errors.Is(e, cause) {
		t.Error("the cause is not found")
	}
}

// If this fails, two kinds share a name in logs and metrics.
func TestKindNames(t *testing.T) {
	seen := map[string]sallyport.Kind{}
	for k := sallyport.KindInternal; k <= sallyport.KindUnconfirmed; k++ {
		name := k.String()
		if old, ok := seen[name]; ok {
			t.Errorf("kinds %d and %d are both %q", old, k, name)
		}
		seen[name] = k
	}
	if got, want := (sallyport.KindUnconfirmed + 1).String(), "internal"; got != want {
		t.Errorf("an unknown kind is %q, want %q", got, want)
	}
}

package sallyport_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func sameAddr(a, b netip.Addr) bool { return a == b }

// If this fails, a client is told an address that leads nowhere yet, or loses
// sight of one that it knew.
func TestShowsAddress(t *testing.T) {
	type key struct {
		status sallyport.Status
		was    bool
	}
	want := map[key]bool{
		{sallyport.StatusAccepted, false}: true,
		{sallyport.StatusAccepted, true}:  true,
		{sallyport.StatusRejected, true}:  true,
	}
	for _, s := range sallyport.Statuses {
		for _, was := range []bool{false, true} {
			e := sallyport.Endpoint{Status: s, WasAccepted: was}
			if got := e.ShowsAddress(); got != want[key{s, was}] {
				t.Errorf("%v, accepted before %v: shows = %v, want %v", s, was, got, want[key{s, was}])
			}
		}
	}
}

// The life of one endpoint: what a step leaves behind must not outlive its
// meaning. A fault that stays after a retry would show an error on something
// that works; a forgotten acceptance would hide an address that was known.
func TestApplyKeepsFaultAndAcceptance(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := sallyport.Endpoint{ID: "e", Status: sallyport.StatusPending}
	step := func(a sallyport.Action, want sallyport.Status) {
		t.Helper()
		at = at.Add(time.Minute)
		next, changed, err := e.Apply(a, at)
		if err != nil || !changed || next.Status != want {
			t.Fatalf("%v from %v = %v, %v, %v; want %v", a, e.Status, next.Status, changed, err, want)
		}
		if !next.UpdatedAt.Equal(at) {
			t.Errorf("%v: updated at %v, want %v", a, next.UpdatedAt, at)
		}
		e = next
	}

	step(sallyport.ActionAccept, sallyport.StatusCreating)
	if e.WasAccepted {
		t.Error("creating counts as accepted")
	}
	step(sallyport.ActionFail, sallyport.StatusFailed)
	e.Fault = &sallyport.Fault{Reason: "open_failed", Message: "address in use"}
	step(sallyport.ActionAccept, sallyport.StatusCreating)
	if e.Fault != nil {
		t.Errorf("a retried endpoint still has the fault %+v", e.Fault)
	}
	step(sallyport.ActionConfirm, sallyport.StatusAccepted)
	step(sallyport.ActionReject, sallyport.StatusRejected)
	if !e.WasAccepted || !e.ShowsAddress() {
		t.Error("an endpoint that was open once hides its address after the reject")
	}
}

// Apply is pure: values of a View are shared by every reader.
func TestApplyLeavesItsReceiver(t *testing.T) {
	fault := &sallyport.Fault{Reason: "open_failed", Message: "address in use"}
	e := sallyport.Endpoint{ID: "e", Status: sallyport.StatusFailed, Fault: fault}
	before := e
	if _, _, err := e.Apply(sallyport.ActionAccept, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, e, cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("receiver changed (-before +after):\n%s", diff)
	}
}

// If this fails, what the API shows and what resolves are two names, or one that
// a resolver cannot read.
func TestDNSName(t *testing.T) {
	const id = sallyport.EndpointID("705290f3-0d00-41f2-aedc-71f09844e879")
	got := sallyport.DNSName(id, "eu-west-101", sallyport.DefaultDNSSuffix)
	if want := "vpcep-705290f3-0d00-41f2-aedc-71f09844e879.eu-west-101.sallyport.internal"; got != want {
		t.Errorf("name = %q, want %q", got, want)
	}
	parts := sallyport.DNSNameParts(id, "eu-west-101", sallyport.DefaultDNSSuffix)
	if joined := strings.Join(parts[:], ""); joined != got {
		t.Errorf("parts make %q, want %q", joined, got)
	}
	const maxLabel = 63 // RFC 1035, section 2.3.4
	for label := range strings.SplitSeq(got, ".") {
		if label == "" || len(label) > maxLabel {
			t.Errorf("%q of %q is no label", label, got)
		}
	}
}

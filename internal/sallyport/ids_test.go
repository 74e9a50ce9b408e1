package sallyport_test

import (
	"regexp"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Clients check that ids are UUIDs, and the edge refuses any other in a
// decision. If this fails, an id that was handed out is not taken back.
func TestNewID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[sallyport.EndpointID]bool{}
	for range 1000 {
		id := sallyport.NewID[sallyport.EndpointID]()
		if !form.MatchString(string(id)) {
			t.Fatalf("%q is no UUID of version 4 in lower case", id)
		}
		if seen[id] {
			t.Fatalf("%q was handed out twice", id)
		}
		seen[id] = true
	}
}

// The vendor's SDK decodes markers as int32. If this fails, it cannot read ours.
func TestMaxMarker(t *testing.T) {
	if got, want := int64(sallyport.MaxMarker), int64(2147483647); got != want {
		t.Errorf("largest marker = %d, want %d", got, want)
	}
}

package apig

import (
	"math"
	"net/url"
	"testing"
)

// Whatever a client writes into a query is converted or refused. If this failed,
// a page would be asked for that the store does not give out.
func FuzzPage(f *testing.F) {
	for _, q := range []string{"", "offset=-1&limit=0", "limit=501", "offset=9223372036854775808", "limit=1e3", "marker_id=2147483648", "marker_id=-1", "offset=%00"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		page, bad := parsePage(values)
		if bad == nil && (page.Offset < 0 || page.Offset > math.MaxInt32 || page.Limit < 1 || page.Limit > maxPage) {
			t.Errorf("%q is %+v", query, page)
		}
		marker, none, bad := parseMarker(values.Get("marker_id"))
		if bad == nil && !none && (marker < 0 || int64(marker) > math.MaxInt32) {
			t.Errorf("%q is marker %d", query, marker)
		}
	})
}

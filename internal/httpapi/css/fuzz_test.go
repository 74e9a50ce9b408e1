package css

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Whatever a client writes into a query is in range or refused. If this failed, a
// page would be asked for that the store does not give out.
func FuzzPage(f *testing.F) {
	for _, q := range []string{"", "offset=0&limit=1000", "start=1", "start=0", "offset=-1", "limit=1e3", "offset=1&start=7", "limit=%00"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		page, bad := parsePage(values)
		if bad == nil && (page.Offset < 0 || page.Offset > maxOffset || page.Limit < 1 || page.Limit > maxPage) {
			t.Errorf("%q is %+v", query, page)
		}
	})
}

// Whatever a client writes into a body becomes text that every database takes, or
// is refused.
func FuzzBodies(f *testing.F) {
	for _, b := range []string{
		`{"action":"receive","endpoint_id_list":["a"]}`, `{"action":"reject","endpointIdList":["\u0000"]}`, `{"vpc_permissions":["*"]}`,
		`{"vpcPermissions":[]}`, `{"vpc_permissions":["iam:domain::"]}`, `{"endpointWithDnsName":"true"}`, `{"dualstack_enable":"maybe"}`,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var decide decideRequest
		if json.Unmarshal([]byte(text), &decide) == nil {
			if _, ids, bad := decide.decision(); bad == nil {
				for _, id := range ids {
					if !validID(string(id)) {
						t.Errorf("%q becomes the id %q", text, id)
					}
				}
			}
		}
		var white whitelistRequest
		if json.Unmarshal([]byte(text), &white) == nil {
			if change, bad := white.change(); bad == nil {
				for _, n := range change.Add {
					if id := strings.TrimPrefix(n.Value, permissionPrefix); id != everyone && !validAccount(id) {
						t.Errorf("%q becomes the record %q", text, n.Value)
					}
				}
			}
		}
		var open openRequest
		_ = json.Unmarshal([]byte(text), &open) // it must not panic
	})
}

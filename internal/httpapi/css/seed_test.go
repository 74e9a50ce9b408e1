package css

import (
	"net/http"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

// The request is that of the reference (CSS API reference, Updating an Endpoint
// Connection), letter by letter. If this failed, the example would not work, or
// would be answered with a body where the reference has none.
func TestExampleOfTheReference(t *testing.T) {
	t.Parallel()
	srv := today.Serve(t)
	const path = "/v1.0/6204a5bd270343b5885144cf9c8c158d/clusters/4f3deec3-efa8-4598-bf91-560aad1377a3/vpcepservice/connections"
	status, got := familytest.Ask(t, srv.Client(), srv.URL, familytest.Owner, http.MethodPost, path, `{
     "action" : "receive",
     "endpointIdList" : [ "f132bb14-e1d5-4f25-9f7c-a29e4c8effd4" ]
   }`)
	if status != http.StatusOK || len(got) > 0 {
		t.Errorf("%d %s, want 200 without a body", status, got)
	}
}

package apig

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

// examples are those of the reference (APIG API reference, Querying VPC Endpoint
// Connections), letter by letter.
var examples = []struct {
	caller, path string
	status       int
	answer       string
}{
	{familytest.Owner, connectionsOfGateway(gateway1) + "?limit=1", http.StatusOK, `{
  "total" : 2,
  "size" : 1,
  "connections" : [ {
    "id" : "76ad893c-6a1e-4055-8019-fe9c9bd3204d",
    "marker_id" : 167960098,
    "created_at" : "2021-04-29T02:12:44Z",
    "updated_at" : "2021-04-29T02:12:45Z",
    "domain_id" : "b70fde8e849b4e76a61dd8aa0ec05c81",
    "status" : "accepted"
  } ]
}`},
	{"nobody", connectionsOfGateway(gateway1), http.StatusUnauthorized, `{
  "error_code" : "APIC.7102",
  "error_msg" : "Incorrect token or token resolution failed"
}`},
	{familytest.Stranger, connectionsOfGateway(gateway1), http.StatusForbidden, `{
  "error_code" : "APIC.7106",
  "error_msg" : "No permissions to request for the method"
}`},
	{familytest.Owner, connectionsOfGateway(gateway3), http.StatusNotFound, `{
  "error_code" : "APIC.7314",
  "error_msg" : "Endpoint service not found"
}`},
	{familytest.Owner, connectionsOfGateway(gateway9), http.StatusInternalServerError, `{
  "error_code" : "APIC.9007",
  "error_msg" : "Failed to execute VCPEP request"
}`},
}

func connectionsOfGateway(id string) string {
	return "/v2/" + familytest.OwnerProject + "/apigw/instances/" + id + "/vpc-endpoint/connections"
}

// If this failed, an answer would differ from the example in the reference: in a
// key, in their order, in a type, or in a letter.
func TestExamplesOfTheReference(t *testing.T) {
	t.Parallel()
	srv := today.Serve(t)
	for _, e := range examples {
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(e.answer)); err != nil {
			t.Fatal(err)
		}
		status, got := familytest.Ask(t, srv.Client(), srv.URL, e.caller, http.MethodGet, e.path, "")
		if status != e.status || string(got) != want.String() {
			t.Errorf("%s for %s: %d %s, want %d %s", e.path, e.caller, status, got, e.status, want.String())
		}
	}
}

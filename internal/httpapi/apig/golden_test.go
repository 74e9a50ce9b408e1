package apig

import (
	"flag"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/golden, and the page about this API")

// goldens are the conversations and the statuses they must have: -update
// rewrites the files, and never these.
var goldens = familytest.Goldens{
	"AcceptOrRejectEndpointConnections":             {200},
	"AcceptOrRejectEndpointConnections-refused":     {400, 400, 400, 400, 400, 400, 409, 200, 404, 403, 500, 404},
	"AcceptOrRejectEndpointConnections-several":     {200, 200, 200},
	"AcceptOrRejectEndpointConnections-unconfirmed": {504, 200},
	"AddEndpointPermissions":                        {200, 200, 200},
	"AddEndpointPermissions-refused":                {400, 400, 400, 400, 404, 403},
	"DeleteEndpointPermissions":                     {200, 200, 200},
	"DeleteEndpointPermissions-refused":             {400, 400, 404, 403},
	"ListEndpointConnections":                       {200},
	"ListEndpointConnections-examples":              {401, 403, 404, 500},
	"ListEndpointConnections-filters":               {200, 200, 200, 200, 200, 200, 400, 400},
	"ListEndpointConnections-missing":               {404, 404, 404},
	"ListEndpointConnections-pages":                 {200, 200, 200, 200, 200, 200, 200, 400, 400},
	"ListEndpointPermissions":                       {200},
	"ListEndpointPermissions-filters":               {200, 200, 200, 400, 404},
	"ListInstancesV2":                               {200},
	"ShowDetailsOfInstanceV2":                       {200},
	"ShowDetailsOfInstanceV2-missing":               {404, 404, 404},
	"errors-of-the-edge":                            {401, 400, 404, 405, 500},
}

// If this failed, an answer would have changed for clients. Every file is also
// documentation: what is sent, and what comes back.
func TestGoldens(t *testing.T) {
	t.Parallel()
	goldens.Play(t, today, *update)
}

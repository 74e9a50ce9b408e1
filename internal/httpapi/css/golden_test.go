package css

import (
	"flag"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/golden, and the page about this API")

// goldens are the conversations and the statuses they must have: -update
// rewrites the files, and never these.
var goldens = familytest.Goldens{
	"ListClustersDetails":               {200},
	"ListClustersDetails-filters":       {200, 200, 400, 200},
	"ShowClusterDetail":                 {200},
	"ShowClusterDetail-closed":          {200, 403, 403},
	"ShowVpcepConnection":               {200},
	"ShowVpcepConnection-pages":         {200, 200, 200, 400, 400, 400, 400, 400},
	"ShowVpcepConnection-refused":       {400, 403, 403, 403},
	"StartVpecp":                        {200, 200, 200},
	"StartVpecp-keys":                   {200, 200, 200, 200, 200},
	"StartVpecp-refused":                {409, 400, 400, 412, 403, 403},
	"StopVpecp":                         {200, 200, 400, 400},
	"StopVpecp-refused":                 {403, 403, 405},
	"UpdateVpcepConnection":             {200, 200},
	"UpdateVpcepConnection-keys":        {200, 200, 200, 200, 200},
	"UpdateVpcepConnection-refused":     {400, 400, 400, 400, 400, 400, 409, 200, 400, 403, 403, 403, 400},
	"UpdateVpcepConnection-unconfirmed": {504, 200},
	"UpdateVpcepWhitelist":              {200, 200},
	"UpdateVpcepWhitelist-everyone":     {200, 200, 200, 200, 200, 200},
	"UpdateVpcepWhitelist-refused":      {400, 400, 400, 400, 400, 403, 403},
	"errors-of-the-edge":                {401, 401, 403, 400, 404, 405, 500},
}

// If this failed, an answer would have changed for clients. Every file is also
// documentation: what is sent, and what comes back.
func TestGoldens(t *testing.T) {
	t.Parallel()
	goldens.Play(t, today, *update)
}

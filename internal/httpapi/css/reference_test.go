package css

import (
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

const referenceHead = "# The search cluster API\n\n" +
	"What this server answers of CSS v1.0, operation by operation: the endpoint service of a cluster, and the cluster it belongs to.\n" +
	"The page is made of the table of routes, the decoders and the conversations in `internal/httpapi/css/testdata/golden`, which are\n" +
	"played against the real server by a test; `make golden` writes it anew. Where the vendor's documents say otherwise, or say\n" +
	"nothing, [the divergences](../divergences/css.md) say why this is what it is.\n\n" +
	"* **Clusters** are declared in the [configuration](../configuration.md) or made with `sallyport cluster create`.\n" +
	"* **Credentials**: `X-Auth-Token`, or a signature with an access key (`Authorization: SDK-HMAC-SHA256 …`). The project of the path is\n" +
	"  one of the caller's. Examples leave the header out.\n" +
	"* **Bodies** are JSON. Where two keys are shown for one thing, the first is the newer and wins. Unknown fields are ignored.\n" +
	"* **Errors** have a code and a sentence, twice, because clients look in two places: `{\"errCode\": …, \"externalMessage\": …,\n" +
	"  \"error_code\": …, \"error_msg\": …}`. `X-Language: zh-cn` asks for Chinese. Every answer has an `X-Request-Id`.\n" +
	"* Any operation may be answered with 401 `APIGW.0301` (credentials), 403 `CSS.0010` (roles, project), 403 `CSS.0015` (no such\n" +
	"  cluster), 400 `CSS.0001` (body, project id), 500 `CSS.0005` (a fault of the server) and 504 `CSS.9999` (too late).\n" +
	"* `NEW-ID-1` in an example is an id that was made up on the way.\n"

// If this failed, the page about the API would promise something else than the
// code and its tests: run make golden.
func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	familytest.Page{
		Family: "css", Head: referenceHead, Routes: New(nil, Options{}).Routes, Goldens: goldens,
		Sentence: func(code string) string { return message(code, "", false) },
	}.Check(t, *update)
}

// If this failed, a documented operation would have no route or no example, or
// would stand at another path or method than clients use.
func TestRoutesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	goldens.Covered(t, New(nil, Options{}).Routes)
}

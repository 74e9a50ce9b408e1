package vpcep

import (
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

const referenceHead = "# The VPC Endpoint API\n\n" +
	"What this server answers, operation by operation. The page is made of the table of routes, the decoders and the conversations\n" +
	"in `internal/httpapi/vpcep/testdata/golden`, which are played against the real server by a test; `make golden` writes it anew.\n" +
	"Where the vendor's documents say otherwise, or contradict each other, [the divergences](../divergences/vpcep.md) say why this is\n" +
	"what it is.\n\n" +
	"* **Credentials**: `X-Auth-Token`, or a signature with an access key (`Authorization: SDK-HMAC-SHA256 …`), unless an operation says\n" +
	"  that it needs none. The project of the path is one of the caller's. Examples leave the header out.\n" +
	"* **Bodies** are JSON. Numbers and booleans may come as text. Unknown fields are ignored.\n" +
	"* **Errors** have a code and a sentence, twice, because clients look in two places: `{\"error_code\": …, \"error_msg\": …,\n" +
	"  \"error\": {\"code\": …, \"message\": …}}`. `X-Language: zh-cn` asks for Chinese. Every answer has an `X-Request-Id`.\n" +
	"* Any operation may be answered with 401 `EndPoint.0003` (credentials), 403 `EndPoint.0004` (roles, project), 400 `EndPoint.0014`\n" +
	"  (project id), 400 `EndPoint.0002` (body), 500 `EndPoint.0001` (a fault of the server) and 504 `EndPoint.0013` (too late).\n" +
	"* `NEW-ID-1` in an example is an id that was made up on the way.\n"

// If this failed, the page about the API would promise something else than the
// code and its tests: run make golden.
func TestReferenceIsCurrent(t *testing.T) {
	familytest.Page{
		Family: "vpcep", Head: referenceHead, Routes: New(nil, Options{}).Routes, Goldens: goldens,
		Examples: map[string]string{"AcceptOrRejectEndpoint": "AcceptOrRejectEndpoint-example-2022"},
		Sentence: func(code string) string { return byNumber[code[len(code)-numberDigits:]].English },
	}.Check(t, *update)
}

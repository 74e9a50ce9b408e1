package apig

import (
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

const referenceHead = "# The API gateway API\n\n" +
	"What this server answers of APIG v2, operation by operation: the endpoint service of a gateway, and the gateway it belongs to.\n" +
	"The page is made of the table of routes, the decoders and the conversations in `internal/httpapi/apig/testdata/golden`, which are\n" +
	"played against the real server by a test; `make golden` writes it anew. Where the vendor's documents say otherwise, or say\n" +
	"nothing, [the divergences](../divergences/apig.md) say why this is what it is.\n\n" +
	"* **Gateways** are declared in the [configuration](../configuration.md) or made with `sallyport gateway create`.\n" +
	"* **Credentials**: `X-Auth-Token`, or a signature with an access key (`Authorization: SDK-HMAC-SHA256 …`). The project of the path is\n" +
	"  one of the caller's. Examples leave the header out.\n" +
	"* **Bodies** are JSON. Unknown fields are ignored.\n" +
	"* **Errors** have a code and a sentence: `{\"error_code\": …, \"error_msg\": …}`. `X-Language: zh-cn` asks for Chinese. Every answer has\n" +
	"  an `X-Request-Id`.\n" +
	"* Any operation may be answered with 401 `APIC.7102` (credentials), 403 `APIC.7106` (roles, project), 404 `APIC.7302` (no such\n" +
	"  gateway), 400 `APIC.7211` (body, project id), 500 `APIC.9007` (a fault of the server) and 504 `APIC.9007` (too late).\n" +
	"* Everything is served a second time below `/apig`, for a client that finds no gateway service in the catalogue.\n"

// If this failed, the page about the API would promise something else than the
// code and its tests: run make golden.
func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	familytest.Page{
		Family: "apig", Head: referenceHead, Routes: New(nil).Routes, Goldens: goldens,
		Sentence: func(code string) string { return message(code, "", false) },
	}.Check(t, *update)
}

// If this failed, a documented operation would have no route or no example, or
// would stand at another path or method than clients use.
func TestRoutesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	goldens.Covered(t, New(nil).Routes)
}

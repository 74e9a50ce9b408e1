package edge

import (
	"net/http"
	"strings"
)

// sdkAgent begins the User-Agent of the vendor's SDKs in every language.
const sdkAgent = "huaweicloud-usdk-"

// WantsServiceVersions reports whether a GET / asks for the versions of a
// service rather than of identity. Both are documented at the root of a host of
// their own; here is one host. Clients that look for identity send neither
// credentials nor the SDK's User-Agent; the SDK's method for the service's
// versions sends both. The SDK's identity client names an account (X-Domain-Id)
// and no project, which its service clients never do. docs/adr/0007 has the
// evidence.
func WantsServiceVersions(r *http.Request) bool {
	h := r.Header
	if h.Get("X-Domain-Id") != "" && h.Get("X-Project-Id") == "" {
		return false
	}
	return h.Get("Authorization") != "" || h.Get("X-Auth-Token") != "" ||
		strings.HasPrefix(h.Get("User-Agent"), sdkAgent)
}

// Package aksk verifies and makes request signatures. Nearly every client uses the
// algorithm SDK-HMAC-SHA256, in one of two incompatible layouts that share that name:
//
//   - Access: "Access=<key>", the secret signs directly. The vendor's SDKs and
//     terraform-provider-huaweicloud speak it.
//   - Credential: "Credential=<key>/<date>/<region>/<service>/sdk_request", a key
//     derived from secret, date, region and service signs. gophertelekomcloud and
//     so terraform-provider-opentelekomcloud speak it, with region and service empty.
//
// Four more can be chosen in the vendor's SDK and are verified: SDK-HMAC-SM3,
// SDK-ECDSA-P256-SHA256 and SDK-SM2-SM3 in the Access layout, and V11-HMAC-SHA256 in
// one of its own. Why all of them: docs/adr/0013-temporary-keys.md.
//
// A signature covers method, path, query, the listed headers and the body. What
// it does not cover: whether the path ended in a slash, whether a slash in it was
// written %2F, and, in the Credential layout, all but the first value of a repeated
// query key or header; the clients' own signers lose those. Handlers must therefore
// read the first value, as url.Values.Get and http.Header.Get do.
//
// A byte-identical request that arrives twice verifies twice: real clients repeat
// requests within one second, so a signature is no nonce. The window bounds its life.
//
// The package imports only the standard library and gmsm (SM2 and SM3), knows no
// users, starts no goroutines and reads no clock. Its inputs come from outside and are bounded.
package aksk

// Package familytest is what the tests of the API families share: a server
// with one family on the real use cases and SQLite, callers that are known by
// name, the player of golden conversations, and the writer of the pages under
// docs/api.
//
// It is imported by tests only and may import the domain, the edge, the use
// cases and the store, and no family. The servers it starts end with the test.
package familytest

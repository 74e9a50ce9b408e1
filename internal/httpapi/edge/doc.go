// Package edge is what every HTTP family shares: the table of routes, the way
// in (request id, body, credentials, language, project) and the way out (JSON,
// errors in the family's own shape, one log line, metrics).
//
// It may import the domain (internal/sallyport), net/http, log/slog and
// Prometheus, and no family. It starts no goroutines: a request runs on the
// goroutine net/http gave it.
package edge

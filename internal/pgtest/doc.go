// Package pgtest runs a throw-away PostgreSQL for tests: one server per test
// process, started by the first call of URL, and a fresh empty database per
// call. A package that uses it runs its tests through Main, which stops the
// server and removes its directory, whether the tests pass or fail. A test
// process that is killed takes the server with it, and the next one removes the
// directory that was left.
//
// It is imported by tests only, and imports the standard library and pgx. The
// one goroutine, which keeps the server's parent thread alive, ends in Main.
package pgtest

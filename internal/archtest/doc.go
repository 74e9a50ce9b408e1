// Package archtest holds the rules of the house as tests: which package may
// import which, how long files and functions get, what must be documented, where
// the documents lead, and what must not be in the repository at all. It has no
// code of its own, imports nothing of the repository and starts no goroutine.
//
// A failure names the rule, the place and the reason. The rules stand in
// table_test.go; a new package needs a row there, so that where it belongs is
// decided when it is made. Each rule is shown to fire in controls_test.go.
package archtest

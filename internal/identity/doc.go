// Package identity proves who sends a request: by a token that it issued itself,
// or by an access key and a request signature. It holds the directory of accounts,
// projects, users and keys that the configuration names.
//
// It decides who a caller is, never what a caller may do: roles travel in the
// Principal, and package control judges them. Why tokens are as they are stands in
// docs/adr/0006-tokens.md.
//
// It may import sallyport, its own aksk, and the libraries for JWT and password
// hashes. It starts no goroutines; every method may be called concurrently.
// Passwords, secrets and token texts never reach an error or a log.
package identity

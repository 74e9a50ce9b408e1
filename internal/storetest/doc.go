// Package storetest is the contract of sallyport.Store as tests: Run is called
// by every implementation, on every database. Beside it stand what other tests
// of stores need: a naive state to compare with, nouns with every field set, and
// the check of the audit chain.
//
// It is imported by tests only and imports the domain. The goroutines it starts
// belong to the test that starts them and end with it.
package storetest

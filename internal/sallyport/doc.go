// Package sallyport is the domain: the nouns of a self-hosted PrivateLink, the
// state machine of a connection as data, the kinds of error, and the ports
// (Store, Tx, View) that adapters implement.
//
// It imports only the standard library, and of that neither HTTP nor SQL nor
// JSON: wire spellings belong to the edges, rows to the store. It starts no
// goroutines and reads no clock; time comes in as a value.
package sallyport

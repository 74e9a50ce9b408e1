// Package readmodel keeps the state of the product in memory: counted,
// copy-on-write B-trees, so that a page at any offset and every total cost
// O(log n), and a View is an immutable picture that costs nothing to take.
//
// The store's writer owns one Draft and changes it inside its transactions;
// after a commit it publishes a Model, which any number of goroutines may read
// at once. The package imports only the domain and the tree; it starts no
// goroutines and takes no locks.
package readmodel

// Package control holds the use cases: one method each that authorises, checks,
// transacts, and waits for the data plane. Policy lives here and nowhere else:
// an edge translates, the store keeps, an agent carries.
//
// It imports the domain and the agent protocol. Its goroutines are started and
// awaited by Plane.Run.
package control

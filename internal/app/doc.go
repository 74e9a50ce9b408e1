// Package app wires the product together: configuration, store, identity, use
// cases, edges and the agent, and runs them until it is told to stop. Tests run
// it in their own process. It imports everything below it; Run owns every
// goroutine, and when it returns none is left.
package app

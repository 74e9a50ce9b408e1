// Package forward is the user-space engine of the data plane: it listens on the
// addresses of endpoints, dials their backends, carries the bytes between the two,
// and cuts.
//
// It imports the standard library, internal/netattach and golang.org/x/sys, and
// nothing else of this repository: what a connection is, and who may decide on it,
// is not its business.
//
// An Engine carries all endpoints of a process, a Forwarder is one of them. On Linux
// an Engine is a few event loops, each a goroutine on a thread of its own that waits
// with epoll and never blocks in anything else; a flow belongs to the loop that let
// it in, so that what the loop knows of it needs no lock. Elsewhere, and with the
// build tag portable, it is a pair of goroutines for each flow, which is slower and
// does the same. What is decided about a flow (who is let in, where it goes, what is
// counted) is one code for both: the files without a build tag.
//
// An Engine owns every goroutine that is started here, and Close waits for them. The
// goroutine of a FlowLog is its own, and its Close waits for that.
//
// The kernel holds bytes too. A socket that was closed in the ordinary way still
// sends what it has queued, so a flow is not over when both directions have been
// read to their end: it stays in the table until its peers have acknowledged the
// last byte, and until then a cut still reaches it.
package forward

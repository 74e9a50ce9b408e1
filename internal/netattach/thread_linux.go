package netattach

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Thread makes sockets in any network by entering it with the operating system
// thread it was made on. It belongs to one goroutine that has called
// runtime.LockOSThread and never unlocks, so that a thread left in a foreign
// namespace ends with its goroutine and is never given to another.
//
// Entering costs one system call where the network differs from the last one,
// and nothing where it is the same.
type Thread struct {
	own int // descriptor of the namespace the thread began in
	// in is the network the thread is in, nil for the one it began in. The network
	// and not its descriptor is compared: the number of a closed one is given out
	// again.
	in Network
}

// entered is a Network that has a namespace of its own.
type entered interface {
	// handle returns the descriptor of the namespace, which stays open and stays
	// the same as long as the Network lives.
	handle() int
}

// NewThread returns the Thread of the calling goroutine's thread. Close releases
// it.
func NewThread() (*Thread, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the thread's own network namespace: %w", err)
	}
	return &Thread{own: fd}, nil
}

// Enter makes the sockets that the thread opens from now on belong to the network.
func (t *Thread) Enter(n Network) error {
	fd, in := t.own, Network(nil)
	if e, ok := n.(entered); ok {
		fd, in = e.handle(), n
	}
	if in == t.in {
		return nil
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", n, err)
	}
	t.in = in
	return nil
}

// Close releases what the Thread holds. The thread stays where it is.
func (t *Thread) Close() error { return unix.Close(t.own) }

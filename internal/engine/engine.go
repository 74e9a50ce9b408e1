// Package engine carries one endpoint by two engines behind one door: the
// kernel's path (internal/nft) for the mappings it can carry, and user space
// (internal/forward) for the rest. It chooses per mapping and says why, holds the
// endpoint's address, watches the backends, and cuts both at once.
//
// It imports the two engines, internal/health and internal/netattach. Its own
// goroutines live for the time of a call, or give an address back a moment later;
// what its parts start ends with Path.Finish. Engines.Close waits for all.
package engine

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// Options are the parts that Engines stand on.
type Options struct {
	// User is the user-space engine; it is always needed.
	User *forward.Engine
	// Kernel is the kernel's engine, or nil where the machine has none.
	Kernel *nft.Kernel
	// Namespaces returns the namespaces that are attached; nil is none. The kernel's
	// engine looks through them for what a crashed process left.
	Namespaces func() []*netattach.NetNS
	// Health checks backends; it is always needed.
	Health *health.Monitor
	// FlowLog says that every flow is logged, which only user space can do.
	FlowLog bool
	// Log receives what is worth an operator's attention; nil discards it.
	Log *slog.Logger
}

// Engines carry the endpoints of one machine.
type Engines struct {
	opt     Options
	leaving leaving
}

// New returns engines on the parts.
func New(opt Options) *Engines {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Engines{opt: opt}
}

// Recover closes what a process that crashed left in the kernel, but for the
// endpoints that keep wants at that revision: those go on, and the next Open
// takes them over. It is called once, before anything is opened or reported as
// closed; Sweep follows.
func (e *Engines) Recover(ctx context.Context, keep func(endpoint string, admitted int64) bool) error {
	if e.opt.Kernel == nil {
		return nil
	}
	if err := e.opt.Kernel.Recover(ctx, e.namespaces(), keep); err != nil {
		return fmt.Errorf("recover the kernel's paths: %w", err)
	}
	return nil
}

// Sweep removes what a process that crashed left in the kernel and nobody has
// opened since. It is called once what shall stand stands.
func (e *Engines) Sweep(ctx context.Context) error {
	if e.opt.Kernel == nil {
		return nil
	}
	if err := e.opt.Kernel.Sweep(ctx, e.namespaces()); err != nil {
		return fmt.Errorf("sweep the kernel's paths: %w", err)
	}
	return nil
}

func (e *Engines) namespaces() []nft.Namespace {
	if e.opt.Namespaces == nil {
		return nil
	}
	var out []nft.Namespace
	for _, ns := range e.opt.Namespaces() {
		out = append(out, ns)
	}
	return out
}

// Close ends both engines and the checks and leaves nothing in the kernel. Every
// Path has been finished before.
func (e *Engines) Close(ctx context.Context) error {
	e.opt.Health.Close()
	e.opt.User.Close()
	e.leaving.close()
	if e.opt.Kernel == nil {
		return nil
	}
	return e.opt.Kernel.Close(ctx)
}

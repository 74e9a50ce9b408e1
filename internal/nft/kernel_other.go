//go:build !linux

package nft

import (
	"context"
	"errors"
)

// onlyLinux is why nothing of this package works elsewhere.
const onlyLinux = "the kernel engine needs Linux"

var errOnlyLinux = errors.New(onlyLinux)

// Kernel supports nothing outside Linux.
type Kernel struct{}

// Path cannot be had outside Linux.
type Path struct{}

// Guard cannot be had outside Linux.
type Guard struct{}

// New returns a Kernel that supports nothing.
func New(Options) *Kernel { return &Kernel{} }

// Supports says that Linux is needed.
func (*Kernel) Supports(Spec) (reason string) { return onlyLinux }

// Open returns an error.
func (*Kernel) Open(context.Context, Spec) (*Path, error) { return nil, errOnlyLinux }

// Guard returns an error.
func (*Kernel) Guard(context.Context, GuardSpec) (*Guard, error) { return nil, errOnlyLinux }

// Sweep has nothing to remove.
func (*Kernel) Sweep(context.Context, []Namespace) error { return nil }

// Close has nothing to remove.
func (*Kernel) Close(context.Context) error { return nil }

// Update returns an error.
func (*Path) Update(context.Context, Spec) error { return errOnlyLinux }

// Shut returns an error.
func (*Path) Shut(context.Context) error { return errOnlyLinux }

// StopNew returns an error.
func (*Path) StopNew(context.Context) error { return errOnlyLinux }

// Finish returns an error.
func (*Path) Finish(context.Context) (flows int, err error) { return 0, errOnlyLinux }

// Stats returns an error.
func (*Path) Stats(context.Context) (Stats, error) { return Stats{}, errOnlyLinux }

// Mark is 0.
func (*Guard) Mark() uint32 { return 0 }

// Shut returns an error.
func (*Guard) Shut(context.Context) error { return errOnlyLinux }

// Release has nothing to remove.
func (*Guard) Release(context.Context) error { return nil }

// Available says that Linux is needed.
func Available() error { return errOnlyLinux }

// Recover has nothing to remove.
func (*Kernel) Recover(context.Context, []Namespace, func(string, int64) bool) error { return nil }

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// attachments are the networks that the process is attached to, each opened once.
type attachments struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[string]*netattach.NetNS // by name
}

func newAttachments(log *slog.Logger) *attachments {
	return &attachments{log: log, open: map[string]*netattach.NetNS{}}
}

// attach returns the network that an attachment stands for. A namespace that could
// not be opened is tried again at the next call: it may have been made since.
func (a *attachments) attach(at agentapi.Attach) (netattach.Network, error) {
	switch at.Mode {
	case agentapi.AttachHost:
		return netattach.Host(), nil
	case agentapi.AttachNetNS:
	default:
		return nil, fmt.Errorf("a network attached by %q is carried by no agent; use host or netns", at.Mode)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ns, ok := a.open[at.Name]; ok {
		if !ns.Replaced() {
			return ns, nil
		}
		// A namespace of the same name was made anew. What stands in the old one ends
		// with its endpoints; it is closed with the rest.
		a.open[fmt.Sprintf("%s (replaced, %p)", at.Name, ns)] = ns
		delete(a.open, at.Name)
	}
	ns, err := netattach.OpenNetNSWith(at.Name, netattach.NetNSOptions{Interface: at.Interface})
	if err != nil {
		return nil, err
	}
	if err := ns.Lock(); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	a.open[at.Name] = ns
	return ns, nil
}

// namespaces returns those that are attached.
func (a *attachments) namespaces() []*netattach.NetNS {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*netattach.NetNS, 0, len(a.open))
	for _, ns := range a.open {
		out = append(out, ns)
	}
	return out
}

// sweep removes the addresses that a crashed process left and nobody holds.
func (a *attachments) sweep(ctx context.Context) {
	for _, ns := range a.namespaces() {
		n, err := ns.Sweep(nil)
		if err != nil {
			a.log.WarnContext(ctx, "removing addresses that an earlier run left", "network", ns.String(), "err", err)
		} else if n > 0 {
			a.log.InfoContext(ctx, "removed addresses that an earlier run left", "network", ns.String(), "addresses", n)
		}
	}
}

// close gives every namespace back.
func (a *attachments) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for name, ns := range a.open {
		errs = append(errs, ns.Close())
		delete(a.open, name)
	}
	return errors.Join(errs...)
}

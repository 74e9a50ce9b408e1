package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// The marks that guards give to backend sockets: the upper half says that they are
// ours, the lower tells them apart. cutMark is the one with a lower half of 0.
const (
	markBase = cutMark
	maxMarks = 1<<16 - 1
)

// errNoMark says that every mark is taken.
var errNoMark = errors.New("every mark for backend sockets is in use")

// Guard can silence the sockets of the user-space engine at once, however many there
// are, before they are closed one by one. Its methods are safe for concurrent use.
type Guard struct {
	k    *Kernel
	spec GuardSpec
	mark uint32
	c, p *space // nil where that side is the host

	mu       sync.Mutex
	shut     bool
	released bool
}

// Guard prepares to silence the sockets of the spec. It needs CAP_NET_ADMIN and
// CAP_SYS_ADMIN. Release must follow.
func (k *Kernel) Guard(ctx context.Context, spec GuardSpec) (*Guard, error) {
	spec.Address = spec.Address.Unmap()
	if spec.Listen != nil && !spec.Address.IsValid() {
		return nil, errors.New("guard: no address is given")
	}
	if len(spec.Ports) > maxMappings {
		return nil, fmt.Errorf("guard: more than %d ports", maxMappings)
	}
	if missing := missingCapability(); missing != "" {
		return nil, fmt.Errorf("guard: the capability %s is missing", missing)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	g := &Guard{k: k, spec: spec}
	var err error
	if g.c, err = k.guarded(ctx, spec.Listen); err != nil {
		return nil, err
	}
	if g.p, err = k.guarded(ctx, spec.Dial); err != nil {
		return nil, err
	}
	if g.p != nil || g.c != nil {
		if len(k.marks) >= maxMarks {
			return nil, errNoMark
		}
		for k.mark == 0 || k.marks[k.mark] {
			k.mark = (k.mark + 1) & maxMarks
		}
		g.mark = markBase | k.mark
		k.marks[k.mark] = true
		k.mark = (k.mark + 1) & maxMarks
	}
	for _, s := range []*space{g.c, g.p} {
		if s != nil {
			s.hold(1)
		}
	}
	k.guards[g] = struct{}{}
	return g, nil
}

// guarded makes the rules of guards in a namespace. The caller holds k.mu.
func (k *Kernel) guarded(ctx context.Context, ns Namespace) (*space, error) {
	if ns == nil {
		return nil, nil
	}
	s, err := k.attach(ctx, ns)
	if err == nil {
		err = s.ensure(&s.guard, (*ruleset).addGuard)
	}
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return s, nil
}

// Mark is the SO_MARK that the backend sockets must carry, and without Ports the
// listening sockets, which hand it on to what they accept; 0 where both sides are the
// host. It is the guard's own until Release.
func (g *Guard) Mark() uint32 { return g.mark }

// elements are what silences the sockets on either side.
func (g *Guard) elements() (c, p []element) {
	marked := []element{{set: setMarks, key: string(native(g.mark))}}
	if g.c != nil && len(g.spec.Ports) == 0 {
		c = marked
	} else if g.c != nil {
		f := familyOf(g.spec.Address)
		for _, at := range g.spec.Ports {
			m := Mapping{UDP: at.UDP, ClientPort: at.Port}
			c = append(c, element{set: setGuarded + f.suffix, key: portKey(g.spec.Address, m.client())})
		}
	}
	if g.p != nil {
		p = slices.Clone(marked)
	}
	return c, p
}

// Shut lets no packet of the sockets out of their namespaces any more, but resets;
// both namespaces are told at the same time. What Path.Shut says of packets under
// way holds here too. It does not look at ctx.
func (g *Guard) Shut(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released {
		return ErrClosed
	}
	if g.shut {
		return nil
	}
	c, p := g.elements()
	var errC error
	var wg sync.WaitGroup
	if g.c != nil {
		wg.Go(func() { errC = g.c.gate.change(nil, c) })
	}
	var errP error
	if g.p != nil {
		errP = g.p.gate.change(nil, p)
	}
	wg.Wait()
	if err := errors.Join(errC, errP); err != nil {
		return fmt.Errorf("silence %s: %w", g.spec.Address, err)
	}
	g.shut = true
	return nil
}

// Release removes what Shut did and gives the mark back. Every socket of the guard
// must be closed by then.
func (g *Guard) Release(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released {
		return nil
	}
	if g.shut {
		c, p := g.elements()
		var err error
		if g.c != nil {
			err = g.c.table.remove(c)
		}
		if g.p != nil {
			err = errors.Join(err, g.p.table.remove(p))
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("release %s: %w", g.spec.Address, err)
		}
	}
	g.released = true
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	delete(g.k.marks, g.mark&maxMarks)
	delete(g.k.guards, g)
	for _, s := range []*space{g.c, g.p} {
		if s != nil {
			s.hold(-1)
		}
	}
	return nil
}

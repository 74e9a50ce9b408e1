package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// ErrReopen is returned by Update for another endpoint, address or network: finish
// this path and open a new one.
var ErrReopen = forward.ErrReopen

// Path is one endpoint that is carried. Its methods other than Stats and Choices
// are called one at a time.
type Path struct {
	engines *Engines
	release func() // gives the address back
	// life ends with Shut, so that what a check has begun does not hold it up; nil
	// where nothing was ever checked.
	life context.Context
	end  context.CancelFunc

	// mu guards what health reports and the owner's calls both touch.
	mu      sync.Mutex
	spec    *Spec
	choices []Choice
	user    *forward.Forwarder // nil where no mapping is carried so
	guard   *nft.Guard         // the gate of user, where there is one
	kernel  *nft.Path          // nil where no mapping is carried so
	down    map[netip.Addr]bool
	watches map[health.Target]func()
	shut    bool
	// quiesced says that the flows of user are silent and not reset yet.
	quiesced bool
}

// Open opens every mapping of the endpoint, or none. What a crashed process left
// of it in the kernel is taken over with its flows.
func (e *Engines) Open(ctx context.Context, s Spec) (*Path, error) {
	release, err := s.Listen.Hold(ctx, s.Address)
	if err != nil {
		return nil, fmt.Errorf("open endpoint %s: %w", s.Endpoint, err)
	}
	p := &Path{engines: e, release: release}
	p.mu.Lock()
	err = p.put(ctx, &s)
	p.mu.Unlock()
	if err != nil {
		_ = p.Shut(ctx)
		_, _ = p.Finish(context.WithoutCancel(ctx))
		return nil, err
	}
	p.watch(&s)
	return p, nil
}

// Update makes s what is carried. Flows of unchanged mappings go on; those of a
// mapping that is gone, or that now belongs to the other engine, are reset.
// After any error but ErrReopen the path stands somewhere between the two specs
// and is to be finished.
func (p *Path) Update(ctx context.Context, s Spec) error {
	p.mu.Lock()
	old := p.spec
	gated := p.guard != nil || p.kernel != nil // by a gate that belongs to the two networks
	if s.Endpoint != old.Endpoint || s.Address != old.Address || s.Listen != old.Listen || gated && s.Dial != old.Dial {
		p.mu.Unlock()
		return ErrReopen
	}
	err := p.put(ctx, &s)
	p.mu.Unlock()
	if err == nil {
		p.watch(&s)
	}
	return err
}

// put brings both engines to the spec. What leaves an engine is closed there before
// the other one takes it. mu is held.
func (p *Path) put(ctx context.Context, s *Spec) error {
	choices := p.engines.choose(s)
	user := userSpec(s, of(choices, User))
	kernel := kernelSpec(s, of(choices, Kernel), p.upOf(s))
	steps := []func() error{
		func() error { return p.putUser(ctx, user) },
		func() error { return p.putKernel(ctx, kernel) },
	}
	if p.kernel != nil { // a mapping may move from there to user space
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	p.spec, p.choices = s, choices
	return nil
}

func (p *Path) putUser(ctx context.Context, user forward.Spec) error {
	if len(user.Mappings) == 0 {
		return p.endUser(ctx)
	}
	in, out := namespace(user.Listen), namespace(user.Dial)
	if p.guard == nil && p.engines.opt.Kernel != nil && in != nil && out != nil {
		g, err := p.engines.opt.Kernel.Guard(ctx, nft.GuardSpec{Listen: in, Dial: out, Address: user.Address})
		if err != nil {
			return fmt.Errorf("guard endpoint %s: %w", user.EndpointID, err)
		}
		p.guard = g
	}
	if p.guard != nil {
		user.Mark = p.guard.Mark()
	}
	if p.user != nil {
		_, err := p.user.Update(user)
		return err
	}
	f, err := p.engines.opt.User.Open(ctx, user)
	if err != nil {
		return err
	}
	p.user = f
	p.tellUser()
	return nil
}

func (p *Path) putKernel(ctx context.Context, kernel nft.Spec) (err error) {
	switch {
	case len(kernel.Mappings) == 0:
		return p.endKernel(ctx)
	case p.kernel != nil:
		return p.kernel.Update(ctx, kernel)
	}
	p.kernel, err = p.engines.opt.Kernel.Open(ctx, kernel)
	return err
}

// Shut closes the gate: when it returns nil, no byte of the endpoint passes any
// more. Finish resets the flows; where no gate stands, they are reset already. After
// an error it may be called again.
func (p *Path) Shut(ctx context.Context) error {
	if p.end != nil {
		p.end()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var (
		work  sync.WaitGroup
		gates [2]error
	)
	if p.kernel != nil {
		work.Go(func() { gates[0] = p.kernel.Shut(ctx) })
	}
	if p.guard != nil {
		work.Go(func() { gates[1] = p.guard.Shut(ctx) })
	}
	if p.user != nil {
		p.shutUser()
	}
	work.Wait()
	if err := errors.Join(gates[:]...); err != nil {
		return fmt.Errorf("shut the gate: %w", err)
	}
	p.shut = true
	return nil
}

// fewFlows are so few that to reset them takes no longer than to ask each whether
// the kernel has something of it queued.
const fewFlows = 64

// shutUser stops user space. Where no gate holds what the kernel has queued, flows
// with something queued are reset, and few are all reset. mu is held.
func (p *Path) shutUser() {
	switch {
	case p.guard != nil:
		p.user.Shut()
	case p.user.Stats().Flows <= fewFlows:
		p.user.Cut()
	default:
		p.user.Quiesce()
		p.quiesced = true
	}
}

// Gated reports whether Finish has flows to reset that Shut has only gated.
func (p *Path) Gated() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kernel != nil || p.guard != nil || p.quiesced
}

// Finish resets what is left on both sides, frees the address and ends the path.
// Shut comes before. It returns the number of flows that were reset.
func (p *Path) Finish(ctx context.Context) (flows int, err error) {
	p.unwatch()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.user != nil {
		flows += p.user.Cut().Flows
		p.user = nil
	}
	if p.guard != nil {
		errs = append(errs, p.guard.Release(ctx))
		p.guard = nil
	}
	if p.kernel != nil {
		n, err := p.kernel.Finish(ctx)
		flows += n
		errs = append(errs, err)
		p.kernel = nil
		p.engines.leaving.later(p.release)
		return flows, errors.Join(errs...)
	}
	p.release()
	return flows, errors.Join(errs...)
}

// endKernel takes the endpoint out of the kernel. mu is held.
func (p *Path) endKernel(ctx context.Context) error {
	if p.kernel == nil {
		return nil
	}
	if err := p.kernel.Shut(ctx); err != nil {
		return err
	}
	_, err := p.kernel.Finish(ctx)
	p.kernel = nil
	return err
}

// endUser takes the endpoint out of user space. mu is held.
func (p *Path) endUser(ctx context.Context) error {
	if p.user != nil {
		p.user.Cut()
		p.user = nil
	}
	if p.guard == nil {
		return nil
	}
	err := p.guard.Release(ctx)
	p.guard = nil
	return err
}

// StopNew lets in no new flow; those that stand go on.
func (p *Path) StopNew(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.user != nil {
		p.user.StopNew()
	}
	if p.kernel != nil {
		return p.kernel.StopNew(ctx)
	}
	return nil
}

// Choices says which engine carries which mapping.
func (p *Path) Choices() []Choice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.choices)
}

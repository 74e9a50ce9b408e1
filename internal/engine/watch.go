package engine

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/internal/health"
)

// healthWait bounds one change of the kernel's path after a check. A Shut does not
// wait for it.
const healthWait = 5 * time.Second

// watch follows the checks that the spec asks for and no others. The owner calls
// it without mu: the end of a check waits for its last report.
func (p *Path) watch(s *Spec) {
	want := targets(s)
	stale := map[health.Target]func(){}
	p.mu.Lock()
	for t, stop := range p.watches {
		if !want[t] {
			stale[t] = stop
			delete(p.watches, t)
		}
	}
	p.mu.Unlock()
	for t, stop := range stale {
		stop() // nothing is reported of it from here on
		p.mu.Lock()
		delete(p.down, t.Addr.Addr())
		p.mu.Unlock()
	}
	if len(want) > 0 && p.watches == nil {
		p.mu.Lock()
		p.watches, p.down = make(map[health.Target]func()), make(map[netip.Addr]bool)
		p.life, p.end = context.WithCancel(context.Background())
		p.mu.Unlock()
	}
	for t := range want {
		p.mu.Lock()
		_, have := p.watches[t]
		p.mu.Unlock()
		if have {
			continue
		}
		stop := p.engines.opt.Health.Watch(t, func(up bool) { p.report(t, up) })
		p.mu.Lock()
		p.watches[t] = stop
		p.mu.Unlock()
	}
}

// unwatch ends every check of the path.
func (p *Path) unwatch() {
	p.mu.Lock()
	stops := make([]func(), 0, len(p.watches))
	for t, stop := range p.watches {
		stops = append(stops, stop)
		delete(p.watches, t)
	}
	p.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// report takes the result of a check to both engines.
func (p *Path) report(t health.Target, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addr := t.Addr.Addr()
	if p.shut || p.down[addr] == !up {
		return
	}
	if up {
		delete(p.down, addr)
	} else {
		p.down[addr] = true
	}
	log := p.engines.opt.Log
	id := p.spec.Endpoint
	ctx, cancel := context.WithTimeout(p.life, healthWait)
	defer cancel()
	log.InfoContext(ctx, "backend check changed", "endpoint_id", id, "backend", t.Addr.String(), "up", up)
	if p.user != nil {
		p.user.SetHealth(addr, up)
	}
	if p.kernel != nil {
		kernel := kernelSpec(p.spec, of(p.choices, Kernel), p.upOf(p.spec))
		if err := p.kernel.Update(ctx, kernel); err != nil {
			log.ErrorContext(ctx, "taking a backend in or out", "endpoint_id", id, "backend", t.Addr.String(), "err", err)
		}
	}
}

// tellUser tells user space which backends are down. mu is held.
func (p *Path) tellUser() {
	for addr := range p.down {
		p.user.SetHealth(addr, false)
	}
}

// upOf returns the backend addresses that new kernel flows go to: all that are not
// known to be down, and all if none is left, since a check may be wrong and a
// refused connection says more than silence. mu is held.
func (p *Path) upOf(s *Spec) []netip.Addr {
	up := slices.DeleteFunc(slices.Clone(s.Backends), func(a netip.Addr) bool { return p.down[a] })
	if len(up) == 0 {
		return s.Backends
	}
	return up
}

package nft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Path carries one admission of one endpoint. Its methods are safe for concurrent
// use, and Shut waits for none of the others.
type Path struct {
	k    *Kernel
	c, p *space // p is nil where an earlier process's provider is not known
	f    family
	t    netip.Addr // the transit address of the admission
	link *link

	// mu guards what follows; one change at a time.
	mu         sync.Mutex
	spec       Spec
	cons, prov elements // what the namespaces hold
	limit      *uint32  // what setCapped holds, which is less than the spec's after a change
	removed    map[netip.Addr]time.Time
	fresh      map[port]bool // ports whose early clients are not let in yet
	drain      *time.Timer
	draining   sync.WaitGroup
	stopped    bool // lets no new flow in
	ending     bool // Finish has begun
	finished   bool

	// gate guards what follows.
	gate  sync.Mutex
	shut  bool
	final map[string]counted // the gate's counters as it was shut
}

// Open lets flows pass as the spec says and returns when they do. What a process
// before this one left of the same endpoint and the same admission is adopted:
// flows of mappings that are still there go on untouched. What it left of another
// admission of the endpoint or its address is cut first.
func (k *Kernel) Open(ctx context.Context, spec Spec) (*Path, error) {
	if reason := k.Supports(spec); reason != "" {
		return nil, errors.New(reason)
	}
	spec, err := normalise(spec)
	if err != nil {
		return nil, err
	}
	p := &Path{k: k, f: familyOf(spec.Address), spec: spec, removed: map[netip.Addr]time.Time{}, fresh: map[port]bool{}}
	if err := k.reserve(ctx, p); err != nil {
		return nil, fmt.Errorf("open endpoint %s: %w", spec.EndpointID, err)
	}
	if err := p.open(ctx); err != nil {
		_, e := p.Finish(ctx)
		return nil, fmt.Errorf("open endpoint %s: %w", spec.EndpointID, errors.Join(err, e))
	}
	return p, nil
}

// reserve makes what a path needs in both namespaces and takes its address there.
func (k *Kernel) reserve(ctx context.Context, p *Path) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if p.c, err = k.attach(ctx, p.spec.Listen); err != nil {
		return err
	}
	if p.p, err = k.attach(ctx, p.spec.Dial); err != nil {
		return err
	}
	at := consumer{p.c.id, p.spec.Address}
	if other := k.paths[at]; other != nil {
		return fmt.Errorf("address %s of %s is open for endpoint %s", at.addr, p.c.ns, other.spec.EndpointID)
	}
	for _, s := range []*space{p.c, p.p} {
		if err := k.addRules(s); err != nil {
			return err
		}
	}
	l, err := k.ensureLink(ctx, p.c, p.p, p.f)
	if err != nil {
		return err
	}
	p.link = l.clone()
	k.paths[at] = p
	p.c.hold(1)
	p.p.hold(1)
	return nil
}

// orphan is a path of an earlier process that nobody wants, to be finished.
func (k *Kernel) orphan(c, provider *space, t netip.Addr) *Path {
	p := &Path{k: k, c: c, p: provider, f: familyOf(t), t: t}
	p.cons = collect(c.claim(ofAdmission(t, c.leftEndpoints(t))))
	if provider != nil {
		p.prov = collect(provider.claim(atProvider(t)))
	}
	return p
}

// adopt takes over what an earlier process left of this admission, and ends what it
// left of another one of the endpoint or its address. The caller holds p.mu.
func (p *Path) adopt(ctx context.Context) error {
	want := comment(&p.spec)
	for t, had := range p.c.leftAdmissions() {
		endpoints := p.c.leftEndpoints(t)
		if had != want && commentEndpoint(had) != p.spec.EndpointID && !endpoints[p.spec.Address] {
			continue
		}
		index, err := p.c.routed(t)
		if err != nil {
			return err
		}
		same := len(endpoints) == 0 || endpoints[p.spec.Address] && len(endpoints) == 1
		if had != want || !same || familyOf(t).suffix != p.f.suffix || index != p.link.index || p.t.IsValid() ||
			!p.k.transit[p.f.suffix].admissions.claim(t) {
			if _, err := p.k.orphan(p.c, p.p, t).Finish(ctx); err != nil {
				return err
			}
			continue
		}
		p.at(t)
		p.cons = collect(p.c.claim(ofAdmission(t, map[netip.Addr]bool{p.spec.Address: true})))
		p.prov = collect(p.p.claim(atProvider(t)))
		for _, el := range p.cons {
			if el.limited {
				p.limit = &el.cap
			}
		}
		// A drain that the earlier process did not end is begun again.
		p.drainLater(ctx)
	}
	return nil
}

// at sets the transit address. Sweep looks at those of all paths.
func (p *Path) at(t netip.Addr) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.t = t
}

// open brings both namespaces to what the spec says, the provider's first and the
// gate last.
func (p *Path) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return ErrClosed
	}
	if err := p.adopt(ctx); err != nil {
		return err
	}
	if !p.t.IsValid() {
		t, err := p.k.transit[p.f.suffix].admissions.take()
		if err != nil {
			return err
		}
		p.at(t)
	}
	if err := p.c.links.RouteReplace(p.link.route(p.f, p.t)); err != nil {
		return fmt.Errorf("route to %s in %s: %w", p.t, p.c.ns, err)
	}
	return p.apply(ctx)
}

// Update changes what the path carries while it goes on. Flows of mappings that stay
// are untouched; those of a mapping that is gone, or whose server port changed, are
// reset before it returns; those to a removed backend go on for Drain and are reset
// then. The whitelist and the limit are for flows that begin from now on; flows that
// are there count against a changed limit. Another address, namespace, endpoint or
// admission is ErrReopen and changes nothing.
func (p *Path) Update(ctx context.Context, spec Spec) error {
	spec, err := normalise(spec)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || p.stopped || p.isShut() {
		return ErrClosed
	}
	c, errC := identify(spec.Listen)
	to, errP := identify(spec.Dial)
	if err := errors.Join(errC, errP); err != nil {
		return err
	}
	if spec.Address != p.spec.Address || spec.EndpointID != p.spec.EndpointID || spec.Admitted != p.spec.Admitted ||
		c != p.c.id || to != p.p.id {
		return ErrReopen
	}
	if reason := p.k.Supports(spec); reason != "" {
		return errors.New(reason)
	}
	p.spec = spec
	return p.apply(ctx)
}

// apply makes the namespaces hold what the spec says. The caller holds p.mu.
func (p *Path) apply(ctx context.Context) error {
	near, errC := p.c.forward(p.f)
	far, errP := p.p.forward(p.f)
	if err := errors.Join(errC, errP); err != nil {
		return err
	}
	if err := p.fit(min(near, far)); err != nil {
		return err
	}
	if err := p.relimit(); err != nil {
		return err
	}
	before, had := servers(p.cons, p.prov), backends(p.prov)
	if err := p.set(providerElements(&p.spec, p.t), consumerElements(&p.spec, p.t, p.limit)); err != nil {
		return err
	}
	gone := map[port]bool{}
	after := servers(p.cons, p.prov)
	for at := range after {
		if _, ok := before[at]; !ok {
			p.fresh[at] = true
		}
	}
	if err := p.welcome(); err != nil {
		return err
	}
	for at, server := range before {
		if now, ok := after[at]; !ok || server != now && server != 0 && now != 0 {
			gone[at] = true
		}
	}
	if len(gone) > 0 {
		if err := p.cut(ctx, func(f *flow) bool { return gone[port{f.proto, f.orig.dst.Port()}] }); err != nil {
			return err
		}
	}
	now := p.k.now()
	kept := backends(p.prov)
	left := false
	for b := range had {
		if !kept[b] {
			p.removed[b], left = now.Add(p.spec.Drain), true
		}
	}
	maps.DeleteFunc(p.removed, func(b netip.Addr, _ time.Time) bool { return kept[b] })
	if !left {
		return nil
	}
	if p.spec.Drain <= 0 {
		return p.drained(ctx)
	}
	p.drainLater(ctx)
	return nil
}

// set changes the elements of both namespaces, one transaction each.
func (p *Path) set(prov, cons elements) error {
	del, add := diff(p.prov, prov)
	if err := p.p.table.change(del, add); err != nil {
		return fmt.Errorf("in %s: %w", p.p.ns, err)
	}
	p.prov = prov
	del, add = diff(p.cons, cons)
	if err := p.c.table.change(del, add); err != nil {
		return fmt.Errorf("in %s: %w", p.c.ns, err)
	}
	p.cons = cons
	return nil
}

// drainLater resets the flows of removed backends once the time of the first is up.
// The caller holds p.mu.
func (p *Path) drainLater(ctx context.Context) {
	p.stopDrain()
	p.draining.Add(1)
	wait := p.spec.Drain
	for _, until := range p.removed {
		wait = min(wait, until.Sub(p.k.now()))
	}
	ctx = context.WithoutCancel(ctx)
	p.drain = time.AfterFunc(wait, func() {
		defer p.draining.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ending {
			return
		}
		if err := p.drained(ctx); err != nil {
			p.k.log.WarnContext(ctx, "flows of a removed backend are not reset", "endpoint", p.spec.EndpointID, "err", err)
		}
	})
}

func (p *Path) stopDrain() {
	if p.drain != nil && p.drain.Stop() {
		p.draining.Done()
	}
	p.drain = nil
}

// drained resets the flows of backends that are neither the path's nor still allowed
// to go on. The caller holds p.mu.
func (p *Path) drained(ctx context.Context) error {
	now := p.k.now()
	kept := backends(p.prov)
	for b, until := range p.removed {
		if until.After(now) {
			kept[b] = true
		} else {
			delete(p.removed, b)
		}
	}
	over := map[tuple]bool{}
	err := p.p.track.flows(p.t.Is6(), providerSide, p.t, func(f *flow) {
		if !kept[f.reply.src.Addr()] {
			over[f.orig] = true
		}
	})
	if err != nil {
		return err
	}
	if len(over) > 0 {
		err = p.cut(ctx, func(f *flow) bool { return over[tuple{f.reply.dst, f.reply.src}] })
	}
	if len(p.removed) > 0 {
		p.drainLater(ctx)
	}
	return err
}

// Shut closes the gate: when it returns no packet of this admission is let through
// any more, however many flows there are, in either direction. It is one transaction
// that deletes two elements. It does not look at ctx, as a cut is never given up.
//
// What it guarantees: every packet that reaches the gate after the transaction, which
// is before Shut returns, is refused. A packet that another processor had already
// taken past the gate at that moment runs on to the end of that pass through the
// network stack, tens of microseconds at most, as nothing queues between the gate
// and the receiving socket or interface but the backlog of a processor. Whoever
// promises that no byte follows an answer must send the answer after Shut, which
// over a socket takes longer.
func (p *Path) Shut(context.Context) error {
	p.gate.Lock()
	defer p.gate.Unlock()
	if p.shut {
		return nil
	}
	if !p.t.IsValid() {
		p.shut = true
		return nil
	}
	elems := []element{
		{set: setBack + p.f.suffix, key: key(p.t)},
		{set: setFresh + p.f.suffix, key: key(p.t)},
		{set: setOpen + p.f.suffix, key: key(p.t)},
	}
	final := map[string]counted{}
	err := p.c.gate.exchange(func(e *encoder) {
		// The echo holds the counters as they were at the cut.
		batch(e, func() { writeElements(e, unix.NFT_MSG_DELSETELEM, unix.NLM_F_ACK|unix.NLM_F_ECHO, elems) })
	}, func(typ uint16, body []byte) error {
		if typ != nftMsgOffset|unix.NFT_MSG_DELSETELEM {
			return nil // the number of the new generation
		}
		got, _ := parseElements(body) // numbers that cannot be read are no reason to fail a cut
		for _, el := range got {
			final[el.set] = el
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		err = p.c.gate.remove(elems)
	}
	if err != nil {
		return fmt.Errorf("shut the gate of %s in %s: %w", p.spec.EndpointID, p.c.ns, err)
	}
	p.shut, p.final = true, final
	return nil
}

func (p *Path) isShut() bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	return p.shut
}

// StopNew lets no new flow in from now on; those that are there go on.
func (p *Path) StopNew(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || p.stopped {
		return nil
	}
	cons := maps.Clone(p.cons)
	maps.DeleteFunc(cons, func(_ string, el element) bool { return el.set[:len(el.set)-1] == setPorts })
	if err := p.set(p.prov, cons); err != nil {
		return fmt.Errorf("stop new flows of %s: %w", p.spec.EndpointID, err)
	}
	p.stopped = true
	return nil
}

// Finish shuts the gate if Shut did not, resets the flows on both sides, forgets
// them and removes everything of the path. It returns how many TCP and UDP flows
// ended so. Even where ctx ends early nothing passes; what Finish then left is in
// the error, and calling it again goes on.
func (p *Path) Finish(ctx context.Context) (flows int, err error) {
	p.mu.Lock()
	p.ending = true
	p.stopDrain()
	p.mu.Unlock()
	p.draining.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return 0, nil
	}
	if err := p.Shut(ctx); err != nil {
		return 0, err
	}
	if p.t.IsValid() {
		if flows, err = p.clear(ctx); err != nil {
			return flows, fmt.Errorf("finish endpoint %s: %w", p.spec.EndpointID, err)
		}
	}
	p.finished = true
	p.release()
	return flows, nil
}

// clear removes the path's elements, flows and route. The caller holds p.mu.
func (p *Path) clear(ctx context.Context) (flows int, err error) {
	// The gate's elements are gone, and it tolerates that.
	rest := maps.Clone(p.cons)
	maps.DeleteFunc(rest, func(_ string, el element) bool {
		name := el.set[:len(el.set)-1]
		return name == setOpen || name == setBack || name == setFresh
	})
	if err := p.c.table.remove(rest.list()); err != nil {
		return 0, err
	}
	p.cons = nil
	if p.p != nil {
		if err := p.p.table.remove(p.prov.list()); err != nil {
			return 0, err
		}
		p.prov = nil
	}
	list, err := p.last()
	if err != nil {
		return 0, err
	}
	for i := range list {
		// What the gate itself has reset is closed by now, and counts.
		if f := &list[i]; f.live() || f.state == tcpClose {
			flows++
		}
	}
	if err := p.reset(ctx, list); err != nil {
		return flows, err
	}
	if err := p.c.track.forget(consumerSide, p.t, list); err != nil {
		return flows, err
	}
	if p.p != nil {
		if err := p.p.track.forget(providerSide, p.t, list); err != nil {
			return flows, err
		}
	}
	return flows, p.c.unroute(p.f, p.t)
}

// last returns the flows that there are now that the gate is shut.
func (p *Path) last() ([]flow, error) {
	p.gate.Lock()
	fresh, known := p.final[setFresh+p.f.suffix]
	p.gate.Unlock()
	if known && fresh.packets == 0 {
		return nil, nil // there has never been one
	}
	all, err := p.c.flowsNow(p.f)
	return all[p.t], err
}

// release gives back what the path has taken.
func (p *Path) release() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	at := consumer{p.c.id, p.spec.Address}
	if p.k.paths[at] != p {
		return // an orphan has taken nothing
	}
	delete(p.k.paths, at)
	if p.t.IsValid() {
		p.k.transit[p.f.suffix].admissions.release(p.t)
	}
	p.c.hold(-1)
	p.p.hold(-1)
}

// cut resets some flows while the gate stands open. Once the consumer's namespace does
// not track a flow, nothing of it passes: neither side's packets begin one
// (addAdmission, addGate), and both are answered with resets. The caller holds p.mu.
func (p *Path) cut(ctx context.Context, match func(*flow) bool) error {
	var list []flow
	err := p.c.track.flows(p.t.Is6(), consumerSide, p.t, func(f *flow) {
		if match(f) {
			list = append(list, *f)
		}
	})
	if err != nil {
		return err
	}
	for i := range list {
		if err := p.c.track.forgetOne(&list[i]); err != nil {
			return err
		}
	}
	if err := p.reset(ctx, list); err != nil {
		return err
	}
	for i := range list {
		f := list[i].seenFrom(providerSide)
		if err := p.p.track.forgetOne(&f); err != nil {
			return err
		}
	}
	return nil
}

// unrouteAllBut deletes the routes of ours that are for none of the addresses.
func (s *space) unrouteAllBut(keep map[netip.Addr]bool) error {
	var err error
	for _, f := range []family{ipv4, ipv6} {
		routes, e := s.ownRoutes(f)
		err = errors.Join(err, e)
		for _, t := range slices.Compact(routes) {
			if !keep[t] {
				err = errors.Join(err, s.unroute(f, t))
			}
		}
	}
	return err
}

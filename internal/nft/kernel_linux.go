package nft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel carries endpoints between namespaces. Its methods are safe for concurrent
// use.
//
// Order of locks: Path.mu, Kernel.mu, space.mu, socket.mu. Path.gate comes before
// socket.mu alone, so that a cut waits for no other work.
type Kernel struct {
	log     *slog.Logger
	now     func() time.Time
	transit map[string]*transit // by family
	invalid error               // what is wrong with the options

	// mu guards what follows, and rules and links while they are made.
	mu     sync.Mutex
	closed bool
	spaces map[spaceID]*space
	links  map[pair]*link
	paths  map[consumer]*Path
	guards map[*Guard]struct{}
	marks  map[uint32]bool
	mark   uint32
	warned bool // that resets of idle flows are missing
}

// consumer is an endpoint's address in its namespace; one Path has it at a time.
type consumer struct {
	space spaceID
	addr  netip.Addr
}

// New returns a Kernel. It does nothing until something is opened; an invalid
// transit range is what Supports then tells.
func New(opt Options) *Kernel {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the one place where the real clock comes in
	}
	k := &Kernel{
		log: opt.Log, now: opt.Now, transit: map[string]*transit{},
		spaces: map[spaceID]*space{}, links: map[pair]*link{}, paths: map[consumer]*Path{},
		guards: map[*Guard]struct{}{}, marks: map[uint32]bool{},
	}
	for f, p := range map[string]netip.Prefix{
		ipv4.suffix: cmp.Or(opt.Transit4, defaultTransit4), ipv6.suffix: cmp.Or(opt.Transit6, defaultTransit6),
	} {
		t, err := newTransit(p)
		if err == nil && t.prefix.Addr().Is4() != (f == ipv4.suffix) {
			err = fmt.Errorf("transit range %s: it is of the other address family", p)
		}
		k.transit[f], k.invalid = t, errors.Join(k.invalid, err)
	}
	return k
}

// Supports says in a sentence why the kernel engine cannot carry the spec, or ""
// where it can.
func (k *Kernel) Supports(spec Spec) (reason string) {
	switch {
	case k.invalid != nil:
		return k.invalid.Error()
	case spec.Listen == nil || spec.Dial == nil:
		return "the kernel engine needs a network namespace on either side"
	case len(spec.EndpointID) < 1 || len(spec.EndpointID) > maxEndpointID:
		return fmt.Sprintf("the endpoint id has not 1 to %d bytes", maxEndpointID)
	case len(spec.Mappings) > maxMappings:
		return fmt.Sprintf("the kernel engine carries at most %d ports of one endpoint", maxMappings)
	case len(spec.Backends) > maxBackends:
		return fmt.Sprintf("the kernel engine balances over at most %d backend addresses", maxBackends)
	case len(spec.AllowFrom) > maxAllow:
		return fmt.Sprintf("the kernel engine filters by at most %d prefixes", maxAllow)
	}
	if reason := k.unusable(spec.Address, "endpoint"); reason != "" {
		return reason
	}
	for _, b := range spec.Backends {
		if reason := k.unusable(b, "backend"); reason != "" {
			return reason
		}
		if b.Unmap().Is4() != spec.Address.Unmap().Is4() {
			return "endpoint and backend are of different address families"
		}
	}
	c, errC := identify(spec.Listen)
	p, errP := identify(spec.Dial)
	if err := errors.Join(errC, errP); err != nil {
		return err.Error()
	}
	if c == p {
		return "consumer and provider are in the same namespace"
	}
	if missing := missingCapability(); missing != "" {
		return "the kernel engine needs the capability " + missing
	}
	return ""
}

// unusable says why an address cannot be translated to or from.
func (k *Kernel) unusable(a netip.Addr, what string) string {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "":
		return fmt.Sprintf("%s address %s is not the address of one host", what, a)
	case a.IsLoopback():
		return fmt.Sprintf("%s address %s is a loopback address, which cannot be translated", what, a)
	case a.Is6() && a.IsLinkLocalUnicast():
		return fmt.Sprintf("%s address %s is a link-local address, which cannot be translated", what, a)
	case k.transit[familyOf(a).suffix].prefix.Contains(a):
		return fmt.Sprintf("%s address %s is within the transit range: set another range", what, a)
	}
	return ""
}

// missingCapability names a capability that the process has not, "" for none.
func missingCapability() string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return "CAP_NET_ADMIN, and which ones the process has is not to be found out"
	}
	for bit, name := range map[uint]string{unix.CAP_NET_ADMIN: "CAP_NET_ADMIN", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN"} {
		if caps[bit/32].Effective&(1<<(bit%32)) == 0 {
			return name
		}
	}
	return ""
}

// attach returns the namespace with its sockets open. The caller holds k.mu.
func (k *Kernel) attach(ctx context.Context, ns Namespace) (*space, error) {
	if k.closed {
		return nil, ErrClosed
	}
	id, err := identify(ns)
	if err != nil {
		return nil, err
	}
	if s := k.spaces[id]; s != nil {
		return s, nil
	}
	s, err := openSpace(ns, id)
	if err != nil {
		return nil, err
	}
	s.transit = func(a netip.Addr) bool {
		return a.IsValid() && k.transit[familyOf(a).suffix].prefix.Contains(a)
	}
	err = ns.Do(func() error {
		s.in, err = openInjector()
		return err
	})
	switch {
	case errors.Is(err, unix.EPERM) && !k.warned:
		k.warned = true
		k.log.WarnContext(ctx, "without CAP_NET_RAW the peers of an idle flow learn of a cut only when they next send")
	case err != nil && !errors.Is(err, unix.EPERM):
		s.close()
		return nil, fmt.Errorf("enter %s: %w", ns, err)
	}
	if err := k.claimLeft(s); err != nil {
		s.close()
		return nil, err
	}
	k.spaces[id] = s
	return s, nil
}

// claimLeft takes the transit addresses that an earlier process left in a namespace,
// so that nothing new gets one of them there. They are given back with unclaim.
func (k *Kernel) claimLeft(s *space) error {
	claim := func(p *pool, a netip.Addr) {
		if p.claim(a) {
			s.claimed = append(s.claimed, func() { p.release(a) })
		}
	}
	for t := range s.leftTransit() {
		claim(&k.transit[familyOf(t).suffix].admissions, t)
	}
	addrs, err := s.linkAddresses()
	for _, a := range addrs {
		claim(&k.transit[familyOf(a).suffix].links, a)
	}
	return err
}

func (s *space) unclaim() {
	for _, release := range s.claimed {
		release()
	}
	s.claimed = nil
}

// addRules makes the rules of the kernel engine in a namespace.
func (k *Kernel) addRules(s *space) error {
	transit4, transit6 := k.transit[ipv4.suffix].prefix, k.transit[ipv6.suffix].prefix
	if err := s.ensure(&s.drafted, func(r *ruleset) { r.addPaths(transit4, transit6) }); err != nil {
		return err
	}
	return s.fillFirstGate(transit4, transit6)
}

// Close shuts and finishes what is still open and removes every table, link, route
// and setting of ours from the namespaces, so that nothing is left. What could not
// be removed is in the error.
func (k *Kernel) Close(ctx context.Context) error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	paths, guards := slices.Collect(maps.Values(k.paths)), slices.Collect(maps.Keys(k.guards))
	k.mu.Unlock()

	err := together(paths, func(p *Path) error {
		_, err := p.Finish(ctx)
		return err
	})
	for _, g := range guards {
		err = errors.Join(err, g.Release(ctx))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.spaces {
		err = errors.Join(err, k.retire(s))
	}
	return err
}

// retire removes everything of ours from a namespace and closes its sockets. The
// caller holds k.mu.
func (k *Kernel) retire(s *space) error {
	var err error
	for id, l := range k.links {
		if id.c == s.id || id.p == s.id {
			err = errors.Join(err, s.deleteLink(l.name))
			k.forgetLink(l)
		}
	}
	names, e := s.ownLinks()
	err = errors.Join(err, e)
	for _, name := range names {
		err = errors.Join(err, s.deleteLink(name))
	}
	if s.paths {
		err = errors.Join(err, s.unforward())
	}
	if s.drafted || s.guard {
		err = errors.Join(err, s.dropTable())
	}
	s.unclaim()
	s.close()
	delete(k.spaces, s.id)
	return err
}

// Sweep removes from the namespaces what an earlier process left and nobody has
// opened since: call it once the whole desired state stands. Flows of what it
// removes are reset. A namespace that nothing uses any more is left as if we had
// never been there.
func (k *Kernel) Sweep(ctx context.Context, namespaces []Namespace) error {
	spaces, err := k.attachAll(ctx, namespaces)
	// Flows first: their resets still need the links and the other namespace.
	err = errors.Join(err, k.finishOrphans(ctx, spaces, func(string) bool { return false }))
	for _, s := range spaces {
		if e := k.sweep(s); e != nil {
			err = errors.Join(err, fmt.Errorf("sweep %s: %w", s.ns, e))
		}
	}
	return err
}

// finishOrphans ends the admissions that an earlier process left in the namespaces,
// but for those whose comment is to be kept.
func (k *Kernel) finishOrphans(ctx context.Context, spaces []*space, keep func(comment string) bool) error {
	var orphans []*Path
	var err error
	for _, s := range spaces {
		for t, had := range s.leftAdmissions() {
			if keep(had) {
				continue
			}
			provider, e := s.providerOf(t, spaces)
			if e == nil {
				orphans = append(orphans, k.orphan(s, provider, t))
			}
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, together(orphans, func(p *Path) error {
		_, err := p.Finish(ctx)
		return err
	}))
}

// atATime bounds how many paths are finished at once. One that waits for a peer that
// is gone takes half a second, so they are not taken one after the other; the work
// itself is the kernel's and serial.
const atATime = 64

// together calls fn for all, some at a time, and returns their errors.
func together(paths []*Path, fn func(*Path) error) error {
	errs := make([]error, len(paths))
	turn := make(chan struct{}, atATime)
	var work sync.WaitGroup
	for i, p := range paths {
		turn <- struct{}{}
		work.Go(func() {
			defer func() { <-turn }()
			errs[i] = fn(p)
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// attachAll returns the namespaces that could be attached, each once, and what was
// wrong with the others.
func (k *Kernel) attachAll(ctx context.Context, namespaces []Namespace) ([]*space, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	spaces := make([]*space, 0, len(namespaces))
	for _, ns := range namespaces {
		s, e := k.attach(ctx, ns)
		err = errors.Join(err, e)
		if e == nil && !slices.Contains(spaces, s) {
			spaces = append(spaces, s)
		}
	}
	return spaces, err
}

// providerOf finds the namespace that the flows of t go to, nil where it is none of
// the given.
func (s *space) providerOf(t netip.Addr, spaces []*space) (*space, error) {
	index, err := s.routed(t)
	if err != nil || index == 0 {
		return nil, err
	}
	l, err := s.links.LinkByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("find the link to %s in %s: %w", t, s.ns, err)
	}
	for _, p := range spaces {
		if (pair{s.id, p.id}).name() == l.Attrs().Name {
			return p, nil
		}
	}
	return nil, nil
}

func (k *Kernel) sweep(s *space) error {
	// What remains is a provider's, or without a gate and so without an admission.
	rest := s.claim(func(*counted) bool { return true })
	err := s.table.remove(rest)
	gone := map[netip.Addr]bool{}
	for _, el := range rest {
		if name := el.set[:len(el.set)-1]; name == setWays || name == setBackends {
			gone[keyAddr(el)] = true
		}
	}
	for t := range gone {
		err = errors.Join(err, s.track.forgetAll(providerSide, t))
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	used := map[pair]bool{}
	routed := map[netip.Addr]bool{}
	for _, p := range k.paths {
		if p.link != nil {
			used[p.link.pair], routed[p.t] = true, true
		}
	}
	known := map[string]bool{}
	for id, l := range k.links {
		if used[id] {
			known[l.name] = true
		} else if id.c == s.id || id.p == s.id {
			k.forgetLink(l)
		}
	}
	names, e := s.ownLinks()
	err = errors.Join(err, e)
	for _, name := range names {
		if !known[name] {
			err = errors.Join(err, s.deleteLink(name))
		}
	}
	err = errors.Join(err, s.unrouteAllBut(routed))
	s.unclaim()
	if s.hold(0) == 0 {
		err = errors.Join(err, k.retire(s))
	}
	return err
}

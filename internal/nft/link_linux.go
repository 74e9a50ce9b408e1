package nft

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"time"

	rtnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// linkPrefix begins the names of our interfaces; with the hash they stay within
	// the 15 bytes of a name.
	linkPrefix = "sp"
	linkHash   = 12
	// linkMTU is the largest that Ethernet devices take: between two namespaces without
	// other interfaces the link limits nothing. leastMTU is what IPv6 needs.
	linkMTU  = 65535
	leastMTU = 1280
	// routeProtocol marks our routes (ip-route(8), protocol).
	routeProtocol = 0x5a
)

// pair is a consumer's and a provider's namespace.
type pair struct{ c, p spaceID }

// name is the name of the link of the pair, on both of its ends.
func (n pair) name() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d.%d-%d.%d", n.c.dev, n.c.ino, n.p.dev, n.p.ino))
	return linkPrefix + hex.EncodeToString(h[:])[:linkHash]
}

// link is the veth pair from a consumer's to a provider's namespace.
type link struct {
	pair
	name  string
	index int // in the consumer's namespace
	// addrs are the consumer's ends' addresses, by family; the provider's follow them.
	addrs map[string]netip.Addr
}

// clone returns what a path can keep: of a Kernel's links Kernel.mu is the guard.
func (l *link) clone() *link {
	c := *l
	c.addrs = maps.Clone(l.addrs)
	return &c
}

func (l *link) addr(f family) netip.Addr { return l.addrs[f.suffix] }

// ensureLink finds or makes the link of two namespaces and gives it addresses of the
// family. The caller holds the Kernel's mu.
func (k *Kernel) ensureLink(ctx context.Context, c, p *space, f family) (*link, error) {
	id := pair{c.id, p.id}
	l := k.links[id]
	if l == nil {
		l = &link{pair: id, name: id.name(), addrs: map[string]netip.Addr{}}
	}
	near, errC := c.links.LinkByName(l.name)
	far, errP := p.links.LinkByName(l.name)
	if errC != nil || errP != nil || !whole(near) || !whole(far) {
		k.forgetLink(l)
		// What a process left that died in the middle.
		for _, h := range []*space{c, p} {
			if err := h.deleteLink(l.name); err != nil {
				return nil, err
			}
		}
		var err error
		if near, far, err = makeLink(ctx, c, p, l.name); err != nil {
			return nil, fmt.Errorf("link %s to %s: %w", c.ns, p.ns, err)
		}
	}
	l.index = near.Attrs().Index
	k.links[id] = l
	if l.addr(f).IsValid() {
		return l, nil
	}
	return l, k.addressLink(c, p, l, f, near, far)
}

// whole says whether an end of a link is ours and was set up to the end.
func whole(l rtnl.Link) bool {
	return l.Attrs().Group == linkGroup && l.Attrs().Flags&net.FlagUp != 0
}

// forgetLink gives back the addresses of a link that is gone.
func (k *Kernel) forgetLink(l *link) {
	for suffix, a := range l.addrs {
		k.transit[suffix].links.release(a)
		delete(l.addrs, suffix)
	}
	delete(k.links, l.pair)
}

// makeLink makes both ends, and has them up only when the rules know them.
func makeLink(ctx context.Context, c, p *space, name string) (near, far rtnl.Link, err error) {
	attrs := rtnl.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Group = name, linkMTU, linkGroup
	veth := &rtnl.Veth{LinkAttrs: attrs, PeerName: name, PeerMTU: linkMTU, PeerNamespace: rtnl.NsFd(p.ns.FD())}
	if err := c.links.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("make a veth pair: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.deleteLink(name))
		}
	}()
	ends := [2]rtnl.Link{}
	for i, s := range []*space{c, p} {
		if ends[i], err = s.links.LinkByName(name); err != nil {
			return nil, nil, fmt.Errorf("find link %s in %s: %w", name, s.ns, err)
		}
		// Of the far end the group cannot be given when it is made.
		if err = s.links.LinkSetGroup(ends[i], linkGroup); err != nil {
			return nil, nil, fmt.Errorf("mark link %s in %s: %w", name, s.ns, err)
		}
		if err = s.ns.Do(func() error { return prepareLink(name) }); err != nil {
			return nil, nil, err
		}
	}
	for i, s := range []*space{c, p} {
		if err = s.links.LinkSetUp(ends[i]); err != nil {
			return nil, nil, fmt.Errorf("set up link %s in %s: %w", name, s.ns, err)
		}
		ends[i].Attrs().Group = linkGroup
	}
	for _, s := range []*space{c, p} {
		if err = s.awaitUp(ctx, name); err != nil {
			return nil, nil, err
		}
	}
	return ends[0], ends[1], nil
}

// fit gives both ends of the link the smallest MTU of the interfaces around it, or what
// is next to it in the range of a link. Programs in the two namespaces see the local
// route to the endpoint, which takes 64 KiB, and of IPv6 datagrams that came in pieces
// over a bridge with br_netfilter the kernel forgets the size of the pieces. Where the
// link took them whole, they would meet the real limit in the other namespace, and of
// that neither the program nor the client's machine can learn. At the link's own limit
// both are taken apart. Segments of TCP are joined across it (TSO) whatever the MTU.
func (p *Path) fit(mtu int) error {
	mtu = min(max(mtu, leastMTU), linkMTU)
	for _, s := range []*space{p.c, p.p} {
		l, err := s.links.LinkByName(p.link.name)
		if err == nil && l.Attrs().MTU != mtu {
			err = s.links.LinkSetMTU(l, mtu)
		}
		if err != nil {
			return fmt.Errorf("set the MTU of link %s in %s: %w", p.link.name, s.ns, err)
		}
	}
	return nil
}

// A link that was just set up drops packets until the kernel has seen to it behind
// the scenes, which takes milliseconds.
const (
	upWait   = time.Millisecond
	upRounds = 2000
)

func (s *space) awaitUp(ctx context.Context, name string) error {
	for range upRounds {
		l, err := s.links.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s in %s: %w", name, s.ns, err)
		}
		if l.Attrs().OperState == rtnl.OperUp {
			return nil
		}
		if err := pause(ctx, upWait); err != nil {
			return err
		}
	}
	return fmt.Errorf("link %s in %s does not come up", name, s.ns)
}

// addressLink gives both ends addresses and permanent neighbours, so that the first
// packet waits for no resolution and none can be forged. Addresses that an earlier
// process gave are taken up.
func (k *Kernel) addressLink(c, p *space, l *link, f family, near, far rtnl.Link) error {
	pool := &k.transit[f.suffix].links
	own, err := ownAddress(c, near, f)
	if err != nil {
		return err
	}
	if !own.IsValid() || !pool.claim(own) {
		if own, err = pool.take(); err != nil {
			return err
		}
	}
	bits := int(f.size)*8 - 1
	ends := []struct {
		s         *space
		link      rtnl.Link
		addr, via netip.Addr
		mac       net.HardwareAddr
	}{
		{c, near, own, own.Next(), far.Attrs().HardwareAddr},
		{p, far, own.Next(), own, near.Attrs().HardwareAddr},
	}
	for _, e := range ends {
		addr := &rtnl.Addr{IPNet: &net.IPNet{IP: e.addr.AsSlice(), Mask: net.CIDRMask(bits, int(f.size)*8)}}
		if f.suffix == ipv6.suffix {
			addr.Flags = unix.IFA_F_NODAD
		}
		err := e.s.links.AddrReplace(e.link, addr)
		if err == nil {
			err = e.s.links.NeighSet(&rtnl.Neigh{
				LinkIndex: e.link.Attrs().Index, Family: int(f.proto), State: unix.NUD_PERMANENT,
				IP: e.via.AsSlice(), HardwareAddr: e.mac,
			})
		}
		if err != nil {
			pool.release(own)
			return fmt.Errorf("give link %s in %s the address %s: %w", l.name, e.s.ns, e.addr, err)
		}
	}
	l.addrs[f.suffix] = own
	return nil
}

// ownAddress is the address that the consumer's end has, if any.
func ownAddress(c *space, near rtnl.Link, f family) (netip.Addr, error) {
	addrs, err := c.links.AddrList(near, int(f.proto))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of %s in %s: %w", near.Attrs().Name, c.ns, err)
	}
	for _, a := range addrs {
		if addr, ok := netip.AddrFromSlice(a.IP); ok && !addr.Unmap().IsLinkLocalUnicast() {
			return addr.Unmap(), nil
		}
	}
	return netip.Addr{}, nil
}

// deleteLink deletes an interface of ours, be it half made; a foreign one of that name,
// which would be up, stays.
func (s *space) deleteLink(name string) error {
	l, err := s.links.LinkByName(name)
	if err != nil {
		if _, ok := errors.AsType[rtnl.LinkNotFoundError](err); ok {
			return nil
		}
		return fmt.Errorf("find link %s in %s: %w", name, s.ns, err)
	}
	if l.Attrs().Group != linkGroup && l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	// The other end may have gone at the same time, and both go together.
	if err := s.links.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("delete link %s in %s: %w", name, s.ns, err)
	}
	return nil
}

// ownLinks lists the interfaces of ours.
func (s *space) ownLinks() ([]string, error) {
	links, err := s.links.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links of %s: %w", s.ns, err)
	}
	var names []string
	for _, l := range links {
		if a := l.Attrs(); a.Group == linkGroup && strings.HasPrefix(a.Name, linkPrefix) {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// linkAddresses lists the addresses of the interfaces of ours.
func (s *space) linkAddresses() ([]netip.Addr, error) {
	names, err := s.ownLinks()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, name := range names {
		l, err := s.links.LinkByName(name)
		if err != nil {
			continue // it went in this moment, with its addresses
		}
		addrs, err := s.links.AddrList(l, rtnl.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s in %s: %w", name, s.ns, err)
		}
		for _, a := range addrs {
			if addr, ok := netip.AddrFromSlice(a.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}

// route is the way of one admission.
func (l *link) route(f family, t netip.Addr) *rtnl.Route {
	bits := int(f.size) * 8
	return &rtnl.Route{
		LinkIndex: l.index, Protocol: routeProtocol, Flags: int(rtnl.FLAG_ONLINK),
		Dst: &net.IPNet{IP: t.AsSlice(), Mask: net.CIDRMask(bits, bits)},
		Gw:  l.addr(f).Next().AsSlice(),
	}
}

// routed returns the index of the interface that leads to t, 0 for none.
func (s *space) routed(t netip.Addr) (int, error) {
	routes, err := s.links.RouteGet(t.AsSlice())
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("find the route to %s in %s: %w", t, s.ns, err)
	case len(routes) == 0:
		return 0, nil
	}
	return routes[0].LinkIndex, nil
}

// ownRoutes lists where routes of ours lead.
func (s *space) ownRoutes(f family) ([]netip.Addr, error) {
	routes, err := s.links.RouteListFiltered(int(f.proto), &rtnl.Route{Protocol: routeProtocol}, rtnl.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list the routes of %s: %w", s.ns, err)
	}
	var addrs []netip.Addr
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs, nil
}

// unroute deletes the way to t, if there is one.
func (s *space) unroute(f family, t netip.Addr) error {
	bits := int(f.size) * 8
	err := s.links.RouteDel(&rtnl.Route{
		Protocol: routeProtocol, Dst: &net.IPNet{IP: t.AsSlice(), Mask: net.CIDRMask(bits, bits)},
	})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("delete the route to %s in %s: %w", t, s.ns, err)
	}
	return nil
}

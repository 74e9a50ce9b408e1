package netattach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errClosed is the error of a NetNS that is used after Close.
var errClosed = errors.New("the namespace is closed")

// Hold makes addr an address of the namespace until release (Network). Where it
// is none yet it is put, as a /32 or /128, on the interface of the options, else
// on the one that a route leads to directly, so that the kernel answers ARP and
// neighbour discovery for it; behind a gateway or without a route it goes on lo,
// which is brought up. It needs CAP_NET_ADMIN then. With CAP_NET_RAW as well, an
// address on an interface is announced once to those who have asked for it already.
//
// Addresses put there carry a mark: the protocol 0x53 (IFA_PROTO, Linux 5.18 and
// later) and, for IPv4, a label that ends in ":sally". One that a killed process
// left is taken over and removed at the release like a new one; on an older
// kernel an IPv6 address has no mark and stays.
//
// A release sends nothing: reset connections first, as the kernel sends nothing
// from an address that is gone.
func (n *NetNS) Hold(ctx context.Context, addr netip.Addr) (release func(), err error) {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid():
		return nil, errNoAddress
	case addr.Zone() != "", addr.IsUnspecified(), addr.IsMulticast():
		return nil, fmt.Errorf("%s cannot be an endpoint's address", addr)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(); err != nil {
		return nil, err
	}
	h := n.addrs.held[addr]
	if h == nil {
		index, err := n.acquire(addr)
		if err != nil {
			return nil, n.explain(fmt.Sprintf("add address %s in %s", addr, n), "CAP_NET_ADMIN", err)
		}
		h = &held{index: index}
		n.addrs.held[addr] = h
	}
	h.holders++
	return sync.OnceFunc(func() { n.release(addr) }), nil
}

// ready opens netlink and reads what earlier processes left, at the first use.
func (n *NetNS) ready() error {
	if n.closed {
		return errClosed
	}
	if n.addrs.kernel != nil {
		return nil
	}
	var k *kernel
	err := n.Do(func() (err error) {
		k, err = openKernel()
		return err
	})
	if err != nil {
		return fmt.Errorf("in %s: %w", n, err)
	}
	list, err := k.list()
	if err != nil {
		k.close()
		return fmt.Errorf("in %s: %w", n, err)
	}
	n.addrs = addresses{kernel: k, held: map[netip.Addr]*held{}, left: map[netip.Addr]int{}}
	for _, a := range list {
		if a.ours() {
			n.addrs.left[a.prefix.Addr()] = a.index
		}
	}
	return nil
}

// acquire makes addr an address and returns the interface that we put it on, 0
// where it was one without us.
func (n *NetNS) acquire(addr netip.Addr) (index int, err error) {
	k := n.addrs.kernel
	if index, ok := n.addrs.left[addr]; ok {
		// It may have been removed since we read it; replacing puts it back.
		if err := k.put(addr, index, unix.NLM_F_REPLACE); err == nil {
			delete(n.addrs.left, addr)
			return index, nil
		}
	}
	local, index, err := k.lookup(addr)
	if err != nil || local {
		return 0, err
	}
	if name := n.option.Interface; name != "" {
		link, err := k.handle.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return 0, fmt.Errorf("there is no interface %s", name)
		}
		if err != nil {
			return 0, fmt.Errorf("find interface %s: %w", name, err)
		}
		index = link.Attrs().Index
	}
	if index == 0 {
		index = loopback
	}
	if index == loopback {
		if err := k.raise(); err != nil {
			return 0, fmt.Errorf("bring lo up: %w", err)
		}
	}
	err = k.put(addr, index, unix.NLM_F_EXCL)
	switch {
	case errors.Is(err, unix.EEXIST):
		// Routes do not know an IPv6 address that is still being checked for
		// duplicates. It is there, and it is not ours.
		return 0, nil
	case errors.Is(err, unix.EACCES) && addr.Is6(), errors.Is(err, unix.EOPNOTSUPP):
		return 0, fmt.Errorf("the address family is switched off there: %w", unix.EAFNOSUPPORT)
	case err != nil:
		return 0, err
	}
	delete(n.addrs.left, addr)
	if index != loopback {
		n.announce(addr, index)
	}
	return index, nil
}

// release gives one hold of addr back.
func (n *NetNS) release(addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	h := n.addrs.held[addr]
	h.holders--
	if h.holders > 0 {
		return
	}
	delete(n.addrs.held, addr)
	if h.index == 0 {
		return
	}
	if err := n.addrs.kernel.remove(addr, h.index); err != nil {
		// It carries our mark, so the next Hold or Sweep finds it.
		n.addrs.left[addr] = h.index
	}
}

// Sweep removes the addresses that an earlier process put into the namespace and
// that nobody holds, but for those that keep wants; a nil keep wants none. It
// returns their number, and what could be removed is removed where some could
// not. Call it once Lock says that no other Sallyport is there; keep must not use
// the NetNS.
func (n *NetNS) Sweep(keep func(netip.Addr) bool) (removed int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(); err != nil {
		return 0, err
	}
	list, err := n.addrs.kernel.list()
	if err != nil {
		return 0, fmt.Errorf("in %s: %w", n, err)
	}
	clear(n.addrs.left)
	var errs []error
	for _, a := range list {
		addr := a.prefix.Addr()
		if !a.ours() || n.addrs.held[addr] != nil {
			continue
		}
		if keep == nil || !keep(addr) {
			err := n.addrs.kernel.remove(addr, a.index)
			if err == nil {
				removed++
				continue
			}
			errs = append(errs, n.explain(fmt.Sprintf("remove address %s in %s", addr, n), "CAP_NET_ADMIN", err))
		}
		n.addrs.left[addr] = a.index
	}
	return removed, errors.Join(errs...)
}

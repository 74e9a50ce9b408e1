package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
)

// maxTransit is the most addresses taken of one half, whatever its size: 65,536
// admissions at a time is beyond what one machine serves.
const maxTransit = 1 << 16

// errTransitFull says that every address of the range is taken.
var errTransitFull = errors.New("the transit range has no free address: set a larger one")

// transit gives out the addresses of one family's transit range. An address can
// be taken more than once: what a crashed process left in unrelated namespaces may
// coincide.
type transit struct {
	prefix     netip.Prefix
	admissions pool
	links      pool // pairs: 2i on the consumer's side and 2i+1 on the provider's
}

// pool gives out numbers in turn, so that one that was given back rests as long
// as possible.
type pool struct {
	mu   sync.Mutex
	base netip.Addr
	size uint32
	step uint32 // addresses per number
	next uint32
	used map[uint32]int
}

func newTransit(p netip.Prefix) (*transit, error) {
	if !p.IsValid() {
		return nil, errors.New("transit range: no prefix is given")
	}
	p = p.Masked()
	host := p.Addr().BitLen() - p.Bits()
	if host < 4 {
		return nil, fmt.Errorf("transit range %s: it has fewer than 16 addresses", p)
	}
	half := uint32(maxTransit)
	if host-1 < bits.Len32(maxTransit-1) {
		half = 1 << (host - 1)
	}
	upper := p.Addr().AsSlice()
	bit := p.Bits() // the first bit after the prefix tells the halves apart
	upper[bit/8] |= 0x80 >> (bit % 8)
	top, _ := netip.AddrFromSlice(upper)
	return &transit{
		prefix:     p,
		admissions: pool{base: p.Addr(), size: half, step: 1, next: 1, used: map[uint32]int{0: 1}},
		links:      pool{base: top, size: half / 2, step: 2, used: map[uint32]int{}},
	}, nil
}

// take returns a free number's first address.
func (p *pool) take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.size {
		n := p.next
		p.next = (p.next + 1) % p.size
		if p.used[n] == 0 {
			p.used[n] = 1
			return add(p.base, n*p.step), nil
		}
	}
	return netip.Addr{}, errTransitFull
}

// claim takes exactly addr, which an earlier process had taken, and reports
// whether it belongs to the pool.
func (p *pool) claim(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.number(addr)
	if ok {
		p.used[n]++
	}
	return ok
}

// release gives an address back.
func (p *pool) release(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.number(addr); ok {
		if p.used[n]--; p.used[n] <= 0 {
			delete(p.used, n)
		}
	}
}

func (p *pool) number(addr netip.Addr) (uint32, bool) {
	if addr.BitLen() != p.base.BitLen() {
		return 0, false
	}
	a, b := addr.As16(), p.base.As16()
	if [12]byte(a[:12]) != [12]byte(b[:12]) {
		return 0, false
	}
	n := binary.BigEndian.Uint32(a[12:]) - binary.BigEndian.Uint32(b[12:])
	return n / p.step, n/p.step < p.size
}

// add returns the address n after base; the caller keeps it within its prefix.
func add(base netip.Addr, n uint32) netip.Addr {
	b := base.As16()
	binary.BigEndian.PutUint32(b[12:], binary.BigEndian.Uint32(b[12:])+n)
	a := netip.AddrFrom16(b)
	if base.Is4() {
		return a.Unmap()
	}
	return a
}

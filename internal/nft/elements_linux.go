package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// port is a port of an endpoint.
type port struct {
	proto byte
	port  uint16
}

func (m Mapping) client() port {
	if m.UDP {
		return port{unix.IPPROTO_UDP, m.ClientPort}
	}
	return port{unix.IPPROTO_TCP, m.ClientPort}
}

// Keys are fields one behind the other, each filled up to a multiple of 4 bytes.

func key(a netip.Addr) string { return string(a.AsSlice()) }

func portKey(a netip.Addr, p port) string {
	b := append(a.AsSlice(), p.proto, 0, 0, 0)
	return string(append(binary.BigEndian.AppendUint16(b, p.port), 0, 0))
}

func turnKey(t netip.Addr, p port, turn int) string {
	return portKey(t, p) + string(native(uint32(turn)))
}

func target(a netip.Addr, p uint16) string {
	return string(append(binary.BigEndian.AppendUint16(a.AsSlice(), p), 0, 0))
}

// keyAddr reads the address that a key begins with.
func keyAddr(el element) netip.Addr {
	n := 4
	if strings.HasSuffix(el.set, ipv6.suffix) {
		n = 16
	}
	a, _ := netip.AddrFromSlice([]byte(el.key[:min(n, len(el.key))]))
	return a
}

// keyPort reads the port behind the address of a key of setPorts or setBackends.
func keyPort(el element) port {
	rest := el.key[min(keyAddr(el).BitLen()/8, len(el.key)):]
	if len(rest) < 6 {
		return port{}
	}
	return port{rest[0], binary.BigEndian.Uint16([]byte(rest[4:6]))}
}

// valueTarget reads the value of an element of setBackends.
func valueTarget(el element) netip.AddrPort {
	n := keyAddr(el).BitLen() / 8
	if len(el.value) < n+2 {
		return netip.AddrPort{}
	}
	a, _ := netip.AddrFromSlice([]byte(el.value[:n]))
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16([]byte(el.value[n:])))
}

// comment is what the gate's element remembers across a restart.
func comment(s *Spec) string { return strconv.FormatInt(s.Admitted, 10) + " " + s.EndpointID }

// commentEndpoint reads the endpoint of a comment.
func commentEndpoint(c string) string {
	_, id, _ := strings.Cut(c, " ")
	return id
}

// elements are those of a path in one namespace, by id.
type elements map[string]element

func (es elements) add(el element) { es[el.id()] = el }

func collect(list []element) elements {
	es := elements{}
	for _, el := range list {
		es.add(el)
	}
	return es
}

func (es elements) list() []element {
	l := make([]element, 0, len(es))
	for _, el := range es {
		l = append(l, el)
	}
	return l
}

// diff is what leads from have to want.
func diff(have, want elements) (del, add []element) {
	for id, el := range have {
		if want[id] != el {
			del = append(del, el)
		}
	}
	for id, el := range want {
		if have[id] != el {
			add = append(add, el)
		}
	}
	return del, add
}

// consumerElements are those of the consumer's namespace. limit is the one to set,
// nil for none; it is the spec's unless flows are there that the set does not count.
func consumerElements(s *Spec, t netip.Addr, limit *uint32) elements {
	f, es := familyOf(t), elements{}
	e := key(s.Address)
	for _, m := range s.Mappings {
		es.add(element{set: setPorts + f.suffix, key: portKey(s.Address, m.client()), value: key(t)})
	}
	for _, set := range []string{setNotAllowed, setOverLimit, setNoBackend} {
		es.add(element{set: set + f.suffix, key: e})
	}
	es.add(element{set: setFresh + f.suffix, key: key(t)})
	es.add(element{set: setBack + f.suffix, key: key(t)})
	es.add(element{set: setOpen + f.suffix, key: key(t), comment: comment(s)})
	if s.Filter {
		es.add(element{set: setFiltered + f.suffix, key: e})
		for _, p := range s.AllowFrom {
			if p.Addr().BitLen() == s.Address.BitLen() {
				es.add(element{set: setAllowed + f.suffix, key: e + key(p.Addr()), end: e + key(lastOf(p))})
			}
		}
	}
	if limit != nil {
		es.add(element{set: setCapped + f.suffix, key: e, limited: true, cap: *limit})
	}
	if len(s.Backends) == 0 {
		es.add(element{set: setEmpty + f.suffix, key: e})
	}
	return es
}

// providerElements are those of the provider's namespace.
func providerElements(s *Spec, t netip.Addr) elements {
	f, es := familyOf(t), elements{}
	if len(s.Backends) == 0 {
		return es
	}
	es.add(element{set: setWays + f.suffix, key: key(t), jump: turns(f, len(s.Backends))})
	for _, m := range s.Mappings {
		for i, b := range s.Backends {
			es.add(element{
				set: setBackends + f.suffix, key: turnKey(t, m.client(), i), value: target(b, m.ServerPort),
			})
		}
	}
	return es
}

// servers are the server ports by client port, as the elements say.
func servers(cons, prov elements) map[port]uint16 {
	m := map[port]uint16{}
	for _, el := range cons {
		if el.set[:len(el.set)-1] == setPorts {
			m[keyPort(el)] = 0
		}
	}
	for _, el := range prov {
		if p := keyPort(el); el.set[:len(el.set)-1] == setBackends {
			if _, ok := m[p]; ok {
				m[p] = valueTarget(el).Port()
			}
		}
	}
	return m
}

// backends are the addresses that the elements lead to.
func backends(prov elements) map[netip.Addr]bool {
	m := map[netip.Addr]bool{}
	for _, el := range prov {
		if el.set[:len(el.set)-1] == setBackends {
			m[valueTarget(el).Addr()] = true
		}
	}
	return m
}

// ofAdmission matches what belongs to transit address t in a consumer's namespace:
// with the endpoint addresses also what is kept by them.
func ofAdmission(t netip.Addr, endpoints map[netip.Addr]bool) func(*counted) bool {
	suffix := familyOf(t).suffix
	return func(el *counted) bool {
		name, ok := strings.CutSuffix(el.set, suffix)
		if !ok {
			return false
		}
		switch name {
		case setOpen, setBack, setFresh:
			return el.key == key(t)
		case setPorts:
			return el.value == key(t)
		case setWays, setBackends:
			return false
		}
		return endpoints[keyAddr(el.element)]
	}
}

// atProvider matches what belongs to transit address t in a provider's namespace.
func atProvider(t netip.Addr) func(*counted) bool {
	suffix := familyOf(t).suffix
	return func(el *counted) bool {
		name, ok := strings.CutSuffix(el.set, suffix)
		return ok && (name == setWays || name == setBackends) && keyAddr(el.element) == t
	}
}

// leftAdmissions are the transit addresses that an earlier process left gates or
// ports of, with the endpoint of each where the gate tells.
func (s *space) leftAdmissions() map[netip.Addr]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[netip.Addr]string{}
	for _, el := range s.left {
		switch el.set[:len(el.set)-1] {
		case setOpen:
			m[keyAddr(el.element)] = el.comment
		case setPorts:
			if t, ok := netip.AddrFromSlice([]byte(el.value)); ok && m[t] == "" {
				m[t] = ""
			}
		}
	}
	return m
}

// leftTransit are all transit addresses in what an earlier process left.
func (s *space) leftTransit() map[netip.Addr]bool {
	m := map[netip.Addr]bool{}
	for t := range s.leftAdmissions() {
		m[t] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, el := range s.left {
		switch el.set[:len(el.set)-1] {
		case setBack, setFresh, setWays, setBackends:
			m[keyAddr(el.element)] = true
		}
	}
	return m
}

// leftEndpoints are the endpoint addresses that lead to t.
func (s *space) leftEndpoints(t netip.Addr) map[netip.Addr]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[netip.Addr]bool{}
	for _, el := range s.left {
		if el.set[:len(el.set)-1] == setPorts && el.value == key(t) {
			m[keyAddr(el.element)] = true
		}
	}
	return m
}

// normalise returns the spec with nothing shared with the caller: addresses in
// their own family, backends and prefixes once each, none within another.
func normalise(s Spec) (Spec, error) {
	s.Address = s.Address.Unmap()
	s.Mappings = slices.Clone(s.Mappings)
	seen := map[port]bool{}
	for _, m := range s.Mappings {
		if m.ClientPort == 0 || m.ServerPort == 0 || seen[m.client()] {
			return s, fmt.Errorf("port %d of endpoint %s is zero, or mapped twice or to zero", m.ClientPort, s.EndpointID)
		}
		seen[m.client()] = true
	}
	var backends []netip.Addr
	for _, b := range s.Backends {
		if b = b.Unmap(); !slices.Contains(backends, b) {
			backends = append(backends, b)
		}
	}
	s.Backends = backends
	s.AllowFrom = disjoint(s.AllowFrom)
	return s, nil
}

// disjoint drops the prefixes that lie within others, as a set of ranges takes no
// range that overlaps another.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	var sorted []netip.Prefix
	for _, p := range prefixes {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p = p.Masked(); p.IsValid() {
			sorted = append(sorted, p)
		}
	}
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix
	for _, p := range sorted {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

package config

import (
	"cmp"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode"
)

// maxNamespace bounds the name of a namespace, in bytes: it is a file name
// (NAME_MAX of Linux). A path is given no more, for its name is a key of tables.
const maxNamespace = 255

// maxInterface bounds the name of a network interface, in bytes (IFNAMSIZ of
// Linux, less the byte that ends it).
const maxInterface = 15

// namespaceDirs are the two names of the directory that ip netns keeps its
// namespaces in; the second is a link to the first.
var namespaceDirs = []string{"/run/netns/", "/var/run/netns/"}

// networks is what the file declares, for the checks of what refers to it.
type networks struct {
	refuse  bool              // whether a reference must be declared
	sound   bool              // whether the declarations themselves are right
	vpcs    names             // id of a VPC → path
	subnets names             // id of a subnet → path
	home    map[string]string // id of a subnet → id of its VPC
}

// located is a subnet with the network whose addresses it takes part in.
type located struct {
	prefix netip.Prefix
	path   string // of its cidr
	vpc    int    // index of its VPC
}

func validateNetworks(n *Networks, f *findings) *networks {
	nets := &networks{
		refuse: n.Unknown == UnknownRefuse, vpcs: names{}, subnets: names{}, home: map[string]string{},
	}
	if n.Unknown != UnknownAllow && n.Unknown != UnknownRefuse {
		f.at("networks.unknown", "%s is not a policy; write %s or %s", quote(string(n.Unknown)), UnknownAllow, UnknownRefuse)
	}
	spaces, attached, resolvers := map[string][]located{}, map[string]int{}, map[resolver]string{}
	for i := range n.VPCs {
		v, path := &n.VPCs[i], item("networks.vpcs", i)
		nets.vpcs.id(f, path+".id", v.ID)
		if f.has(path+".name") && !validName(v.Name) {
			f.at(path+".name", "%s must be 1–64 printable characters without spaces around them", quote(v.Name))
		}
		space := addressSpace(v, path)
		validateAttach(v.Attach, path+".attach", f)
		if first, shared := attached[space]; !shared {
			attached[space] = i
		} else if other := n.VPCs[first].Attach; v.Attach.Mode == AttachNetns && other != v.Attach {
			at := item("networks.vpcs", first) + ".attach"
			f.at(path+".attach", "is another way into the namespace of line %d (%s); give VPCs in one namespace the same name and interface", f.line(at), at)
		}
		validateResolver(v, path, resolver{space, v.DNS}, resolvers, f)
		for j, s := range v.Subnets {
			at := item(path+".subnets", j)
			if nets.subnets.id(f, at+".id", s.ID) {
				nets.home[s.ID] = v.ID
			}
			if validateCIDR(s.CIDR, at+".cidr", f) {
				spaces[space] = append(spaces[space], located{s.CIDR, at + ".cidr", i})
			}
		}
	}
	for _, space := range slices.Sorted(maps.Keys(spaces)) { // sorted, so that messages come in one order
		validateOverlaps(n, spaces[space], f)
	}
	nets.sound = f.soundUnder("networks")
	return nets
}

func validateAttach(a Attach, path string, f *findings) {
	switch a.Mode {
	case AttachHost, AttachNone:
		for _, what := range []string{"a name", "an interface"} {
			_, key, _ := strings.Cut(what, " ")
			if at := path + "." + key; f.has(at) {
				f.at(at, "only mode %s has %s; remove it or write mode: %s", AttachNetns, what, AttachNetns)
			}
		}
	case AttachNetns:
		if !f.has(path + ".name") {
			f.missing(path+".name", "mode netns needs the name of the network namespace, as ip netns list shows it")
		} else if !validNamespace(a.Name) {
			f.at(path+".name", "%s is not the name of a network namespace; write it as ip netns list shows it, or the absolute path of a namespace file, at most %d bytes", quote(a.Name), maxNamespace)
		}
		if f.has(path+".interface") && !validInterface(a.Interface) {
			f.at(path+".interface", "%s is not the name of a network interface: 1–%d bytes without spaces, / and :; remove it to go by the routes", quote(a.Interface), maxInterface)
		}
	default:
		f.at(path+".mode", "%s is not a way to attach; write %s, %s or %s", quote(string(a.Mode)), AttachHost, AttachNetns, AttachNone)
	}
}

func validateCIDR(p netip.Prefix, path string, f *findings) bool {
	switch {
	case f.bad[path]:
	case !p.IsValid():
		f.missing(path, "give a network, for example 127.64.1.0/24")
	case p.Addr().Is4In6():
		f.at(path, "%s is an IPv4 network in IPv6 spelling; write it as IPv4", p)
	case p.Bits() == 0 || p.Addr().IsMulticast():
		f.at(path, "%s cannot be a subnet; write for example 127.64.1.0/24", p)
	case p != p.Masked():
		f.at(path, "%s has host bits set; write %s if the network is meant", p, p.Masked())
	default:
		return true
	}
	return false
}

// addressSpace names what the addresses of a VPC must be unique in: VPCs on the
// host, or in one namespace, bind in the same place.
func addressSpace(v *VPC, path string) string {
	switch v.Attach.Mode {
	case AttachHost:
		return "host"
	case AttachNetns:
		name := v.Attach.Name
		for _, dir := range namespaceDirs {
			name = strings.TrimPrefix(name, dir)
		}
		return "netns " + name
	default:
		return path
	}
}

// validateOverlaps reports subnets of one address space that overlap. Sorted by
// address and then by size, a subnet can only overlap the widest one before it
// that reaches far enough, so one pass is enough however many there are.
func validateOverlaps(n *Networks, subnets []located, f *findings) {
	slices.SortStableFunc(subnets, func(a, b located) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	for i, wide := 1, 0; i < len(subnets); i++ {
		a, b := subnets[wide], subnets[i]
		if !a.prefix.Overlaps(b.prefix) {
			wide = i
			continue
		}
		if f.line(b.path) < f.line(a.path) { // what the file says last is what is wrong
			a, b = b, a
		}
		why := "subnets of one VPC must not overlap"
		if a.vpc != b.vpc {
			why = "VPCs attached to the host share its addresses: change one network, or attach one VPC to a network namespace"
			if n.VPCs[b.vpc].Attach.Mode == AttachNetns {
				why = "VPCs attached to one network namespace share its addresses: change one network, or use another namespace"
			}
		}
		f.at(b.path, "%s overlaps %s on line %d (%s); %s", b.prefix, a.prefix, f.line(a.path), a.path, why)
	}
}

// vpc checks a reference to a VPC.
func (n *networks) vpc(f *findings, path, id string) {
	if !reference(f, path, id, "a VPC") {
		return
	}
	if _, known := n.vpcs[id]; !known && n.refuse && n.sound {
		f.at(path, "%s is not a VPC of this file; declare it under networks.vpcs, or set networks.unknown: allow", quote(id))
	}
}

// subnet checks a reference to a subnet of a VPC.
func (n *networks) subnet(f *findings, path, id, vpc string) {
	if !reference(f, path, id, "a subnet") || !n.sound {
		return
	}
	home, known := n.home[id]
	switch {
	case known && home != vpc:
		f.at(path, "%s is a subnet of the VPC %s, not of %s; make vpc and subnet fit", quote(id), quote(home), quote(vpc))
	case !known && n.refuse:
		f.at(path, "%s is not a subnet of this file; declare it under networks.vpcs, or set networks.unknown: allow", quote(id))
	}
}

func validateAddresses(list []netip.Addr, path string, f *findings) {
	if len(list) == 0 {
		f.missing(path, "give at least one address, for example [127.0.0.1]")
	}
	first := make(map[netip.Addr]bool, len(list))
	for i, a := range list {
		if at := item(path, i); validateAddress(a, at, f) && first[a] {
			f.at(at, "%s is listed twice; keep one of them", a)
		}
		first[a] = true
	}
}

// validateAddress checks that an address is one of one machine.
func validateAddress(a netip.Addr, path string, f *findings) bool {
	switch {
	case !a.IsValid(): // already reported
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		f.at(path, "%s is not the address of one machine; write for example 127.0.0.1", a)
	case a.Is4In6():
		f.at(path, "%s is an IPv4 address in IPv6 spelling; write %s", a, a.Unmap())
	case a.Zone() != "":
		f.at(path, "%s has a zone, which only means something on one machine; write the address without it", a)
	default:
		return true
	}
	return false
}

// resolver is a place where a DNS server listens.
type resolver struct {
	space string // that the address is one of
	addr  netip.AddrPort
}

// validateResolver judges where the DNS server of a VPC listens; taken are the
// places of the others. Two networks cannot share one, since each has its own
// answers and a question does not say which network it comes from.
func validateResolver(v *VPC, path string, r resolver, taken map[resolver]string, f *findings) {
	at := path + ".dns"
	switch first, used := taken[r]; {
	case !v.DNS.IsValid():
	case v.Attach.Mode == AttachNone:
		f.at(at, "mode %s has no machine to listen on; remove it or attach the VPC", AttachNone)
	case !validateAddress(v.DNS.Addr(), at, f):
	case v.DNS.Port() == 0:
		f.at(at, "0 is not a port; write a number from 1 to 65535, or the address alone for %d", DefaultDNSPort)
	case used:
		f.at(at, "%s is where the DNS server of line %d (%s) listens; give each network another address or port", v.DNS, f.line(first), first)
	default:
		taken[r] = at
	}
}

// validNamespace accepts what ip netns takes as a name, and clean absolute paths:
// with two spellings of one path, two VPCs would not be seen to share addresses.
func validNamespace(s string) bool {
	if s == "" || len(s) > maxNamespace || s == "." || s == ".." || strings.ContainsFunc(s, unprintable) {
		return false
	}
	return !strings.Contains(s, "/") || path.IsAbs(s) && path.Clean(s) == s && s != "/"
}

// validInterface accepts what Linux takes as the name of an interface.
func validInterface(s string) bool {
	return s != "" && len(s) <= maxInterface && s != "." && s != ".." &&
		!strings.ContainsAny(s, "/:") && !strings.ContainsFunc(s, unprintable)
}

// unprintable finds what cannot be seen or told apart in a message: space is one.
func unprintable(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }

// placed is a network or a single address that the file places in a VPC.
type placed struct {
	prefix netip.Prefix
	path   string
	netns  bool // whether the VPC is attached as a network namespace
}

// placed returns all of them, section by section. What is not valid is left out.
func (c *Config) placed() []placed {
	var list []placed
	namespaces := make(map[string]bool, len(c.Networks.VPCs)) // by the id of the VPC
	single := func(a netip.Addr, path, vpc string) {
		if a.IsValid() {
			list = append(list, placed{netip.PrefixFrom(a, a.BitLen()), path, namespaces[vpc]})
		}
	}
	for i, v := range c.Networks.VPCs {
		at := item("networks.vpcs", i)
		namespaces[v.ID] = v.Attach.Mode == AttachNetns
		single(v.DNS.Addr(), at+".dns", v.ID)
		for j, s := range v.Subnets {
			if s.CIDR.IsValid() {
				list = append(list, placed{s.CIDR, item(at+".subnets", j) + ".cidr", namespaces[v.ID]})
			}
		}
	}
	machines := func(addrs []netip.Addr, path, vpc string) {
		for i, a := range addrs {
			single(a, item(path+".addresses", i), vpc)
		}
	}
	for i, b := range c.Backends {
		machines(b.Addresses, item("backends", i), b.VPC)
	}
	for i, k := range c.Clusters {
		machines(k.Addresses, item("clusters", i), k.VPC)
	}
	for i, g := range c.Gateways {
		machines(g.Addresses, item("gateways", i), g.VPC)
	}
	return list
}

package config

import (
	"cmp"
	"maps"
	"net/netip"
	"regexp"
	"slices"
)

// namespaceForm is a file name under /run/netns, so it has no slash and is
// neither "." nor "..".
var namespaceForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

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
	spaces := map[string][]located{}
	for i := range n.VPCs {
		v, path := &n.VPCs[i], item("networks.vpcs", i)
		nets.vpcs.id(f, path+".id", v.ID)
		if f.has(path+".name") && !validName(v.Name) {
			f.at(path+".name", "%s must be 1–64 printable characters without spaces around them", quote(v.Name))
		}
		validateAttach(v.Attach, path+".attach", f)
		for j, s := range v.Subnets {
			at := item(path+".subnets", j)
			if nets.subnets.id(f, at+".id", s.ID) {
				nets.home[s.ID] = v.ID
			}
			if validateCIDR(s.CIDR, at+".cidr", f) {
				space := addressSpace(v, path)
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
		if f.has(path + ".name") {
			f.at(path+".name", "only mode %s has a name; remove it or write mode: %s", AttachNetns, AttachNetns)
		}
	case AttachNetns:
		if !f.has(path + ".name") {
			f.missing(path+".name", "mode netns needs the name of the network namespace, as ip netns list shows it")
		} else if !namespaceForm.MatchString(a.Name) {
			f.at(path+".name", "%s is not the name of a network namespace; write it as ip netns list shows it, without a path", quote(a.Name))
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
		return "netns " + v.Attach.Name
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
		switch at := item(path, i); {
		case !a.IsValid(): // already reported
		case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			f.at(at, "%s is not the address of one machine; write for example 127.0.0.1", a)
		case a.Is4In6():
			f.at(at, "%s is an IPv4 address in IPv6 spelling; write %s", a, a.Unmap())
		case a.Zone() != "":
			f.at(at, "%s has a zone, which only means something on one machine; write the address without it", a)
		case first[a]:
			f.at(at, "%s is listed twice; keep one of them", a)
		}
		first[a] = true
	}
}

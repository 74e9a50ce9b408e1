package control

import (
	"encoding/binary"
	"net/netip"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// VPC is a network known from the configuration.
type VPC struct {
	Attach  agentapi.Attach
	Subnets map[sallyport.SubnetID]netip.Prefix
}

// Backend is what a port id stands for.
type Backend struct {
	VPC       sallyport.VPCID
	Addresses []netip.Addr
	// Balance says which address a new flow goes to; "" is round robin.
	Balance agentapi.Balance
	// Check is the active health check of the addresses, nil for none.
	Check *agentapi.Check
	// TLVs names those of the PROXY protocol header (docs/proxy-protocol.md); empty
	// is our own.
	TLVs []string
}

// Networks are what is known of networks and backends.
type Networks struct {
	// AllowUnknown takes any VPC, subnet or port id as it comes (docs/configuration.md, networks).
	AllowUnknown bool
	VPCs         map[sallyport.VPCID]VPC
	Backends     map[sallyport.PortID]Backend
}

// unknownPool is where subnets that nobody told us of get their networks from:
// loopback addresses, which need no privilege, in blocks of /24.
var unknownPool = netip.MustParsePrefix("127.64.0.0/10")

// leaseBits is the size of the network an unknown subnet gets; the pool holds
// 16,384 of them.
const leaseBits = 24

// checkVPC refuses a VPC that is unknown and has to be known.
func (n *Networks) checkVPC(id sallyport.VPCID) error {
	if _, ok := n.VPCs[id]; !ok && !n.AllowUnknown {
		return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonVPCUnknown, "VPC %s is not known here", id)
	}
	return nil
}

// attach returns how the VPC is reached.
func (n *Networks) attach(id sallyport.VPCID) agentapi.Attach {
	if v, ok := n.VPCs[id]; ok {
		return v.Attach
	}
	return agentapi.Attach{Mode: agentapi.AttachHost}
}

// subnetOwner returns the VPC that the configuration lists the subnet under.
func (n *Networks) subnetOwner(id sallyport.SubnetID) (sallyport.VPCID, netip.Prefix, bool) {
	for vid, v := range n.VPCs {
		if p, ok := v.Subnets[id]; ok {
			return vid, p, true
		}
	}
	return "", netip.Prefix{}, false
}

// checkBackend refuses a port id that is unknown and has to be known, or that
// belongs to another VPC.
func (n *Networks) checkBackend(vpc sallyport.VPCID, id sallyport.PortID) error {
	b, ok := n.Backends[id]
	switch {
	case ok && b.VPC != vpc:
		return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonPortForeign, "port %s is not in VPC %s", id, vpc)
	case !ok && !n.AllowUnknown:
		return sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonPortUnknown, "port %s is not known here", id)
	}
	return nil
}

// place is where a new endpoint lives.
type place struct {
	address netip.Addr
	outside bool
	lease   *sallyport.SubnetLease // to be stored, nil where there is one already
	// routeTables are those of a gateway endpoint.
	routeTables []string
}

// choosePlace finds the address of a new endpoint: the one asked for, or a free
// one of the subnet.
func (n *Networks) choosePlace(tx sallyport.Tx, ne *sallyport.NewEndpoint) (place, error) {
	if err := n.checkVPC(ne.VPCID); err != nil {
		return place{}, err
	}
	owner, prefix, configured := n.subnetOwner(ne.SubnetID)
	if configured && owner != ne.VPCID {
		return place{}, subnetForeign(ne)
	}
	var pl place
	if !configured {
		lease, isNew, err := n.lease(tx, ne)
		if err != nil {
			return place{}, err
		}
		prefix = lease.Prefix
		if isNew {
			pl.lease = lease
		}
	}
	if !ne.Address.IsValid() {
		free, ok := tx.FreeAddress(ne.SubnetID, prefix)
		if !ok {
			return place{}, sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonAddressesExhausted,
				"subnet %s has no free address in %s", ne.SubnetID, prefix)
		}
		pl.address = free
		return pl, nil
	}
	if !prefix.Contains(ne.Address) {
		if configured {
			return place{}, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonAddressOutside,
				"address %s is not in %s of subnet %s", ne.Address, prefix, ne.SubnetID)
		}
		pl.outside = true
	}
	if _, taken := tx.AddressOf(ne.SubnetID, ne.Address); taken {
		return place{}, sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonAddressTaken,
			"address %s of subnet %s is in use", ne.Address, ne.SubnetID)
	}
	pl.address = ne.Address
	return pl, nil
}

func subnetForeign(ne *sallyport.NewEndpoint) error {
	return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonSubnetForeign,
		"subnet %s does not belong to VPC %s", ne.SubnetID, ne.VPCID)
}

// lease returns the network of a subnet that the configuration does not list,
// a new one where it has none yet.
func (n *Networks) lease(tx sallyport.Tx, ne *sallyport.NewEndpoint) (_ *sallyport.SubnetLease, isNew bool, _ error) {
	if !n.AllowUnknown {
		return nil, false, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonSubnetUnknown,
			"subnet %s is not known here", ne.SubnetID)
	}
	if l, ok := tx.Subnet(ne.SubnetID); ok {
		if l.VPCID != ne.VPCID {
			return nil, false, subnetForeign(ne)
		}
		return l, false, nil
	}
	next := unknownPool.Masked()
	if last := tx.LastSubnet(); last.IsValid() {
		next = following(last)
	}
	for p := netip.PrefixFrom(next.Addr(), leaseBits); unknownPool.Contains(p.Addr()); p = following(p) {
		if !n.overlaps(p) {
			return &sallyport.SubnetLease{ID: ne.SubnetID, VPCID: ne.VPCID, Prefix: p}, true, nil
		}
	}
	return nil, false, sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonAddressesExhausted,
		"all networks of %s for unknown subnets are given away", unknownPool)
}

// following returns the block after p of the same size.
func following(p netip.Prefix) netip.Prefix {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) + 1<<(32-leaseBits)
	binary.BigEndian.PutUint32(b[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(b), leaseBits)
}

// overlaps reports whether a configured subnet has addresses of p.
func (n *Networks) overlaps(p netip.Prefix) bool {
	for _, v := range n.VPCs {
		for _, s := range v.Subnets {
			if s.Overlaps(p) {
				return true
			}
		}
	}
	return false
}

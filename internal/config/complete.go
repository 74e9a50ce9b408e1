package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// complete fills in what follows from other keys. It looks at which keys are
// set, not at zero values, so that an explicit 0 or "" is judged and not mended.
func complete(c *Config, f *findings) {
	if !f.has("public_url") {
		c.PublicURL = PublicURLFor(c.Listen)
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	for i := range c.Identity.Domains {
		d := &c.Identity.Domains[i]
		for j := range d.Users {
			if u := &d.Users[j]; !f.has(fmt.Sprintf("identity.domains[%d].users[%d].id", i, j)) {
				u.ID = derivedUserID(d.ID, u.Name)
			}
		}
	}
	for i := range c.Networks.VPCs {
		if !f.has(fmt.Sprintf("networks.vpcs[%d].attach.mode", i)) {
			c.Networks.VPCs[i].Attach.Mode = AttachHost
		}
	}
	for i := range c.Backends {
		c.Backends[i].complete(f, item("backends", i))
	}
	for i := range c.PublicServices {
		c.PublicServices[i].complete(f, fmt.Sprintf("public_services[%d]", i))
	}
	for i := range c.Clusters {
		if !f.has(fmt.Sprintf("clusters[%d].port", i)) {
			c.Clusters[i].Port = DefaultClusterPort
		}
	}
	for i := range c.Gateways {
		if !f.has(fmt.Sprintf("gateways[%d].ports", i)) {
			c.Gateways[i].Ports = []int{80, 443} // HTTP and HTTPS, what an API gateway serves
		}
	}
}

func (b *Backend) complete(f *findings, path string) {
	if !f.has(path + ".balance") {
		b.Balance = BalanceRoundRobin
	}
	if !f.has(path + ".proxy_tlvs") {
		b.ProxyTLVs = []string{TLVSallyport}
	}
	k, at := b.Check, path+".check"
	if k == nil {
		return
	}
	if !f.has(at + ".type") {
		k.Type = CheckTCP
	}
	if k.Type == CheckHTTP && !f.has(at+".path") {
		k.Path = "/"
	}
	if !f.has(at + ".interval") {
		k.Interval = DefaultCheckInterval
	}
	if !f.has(at + ".timeout") {
		k.Timeout = min(DefaultCheckTimeout, k.Interval)
	}
}

func (s *PublicService) complete(f *findings, path string) {
	if !f.has(path + ".id") {
		s.ID = derivedServiceID(s.Name)
	}
	if !f.has(path + ".service_type") {
		s.ServiceType = ServiceInterface
	}
	for i := range s.Ports {
		if !f.has(fmt.Sprintf("%s.ports[%d].protocol", path, i)) {
			s.Ports[i].Protocol = ProtocolTCP
		}
	}
}

// PublicURLFor returns the URL under which a listener on host:port is reached
// from the machine itself: an unspecified host becomes the loopback address. It
// returns "" where the port is 0 or addr is not host:port.
func PublicURLFor(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || strings.Trim(port, "0") == "" {
		return ""
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() && a.Is4() {
		host = "127.0.0.1"
	} else if err == nil && a.IsUnspecified() {
		host = "::1"
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}).String() // escapes the zone of an address
}

// derivedUserID makes the id of a user whose id the file leaves out. It is the
// same after every start, since tokens and audit records name it.
func derivedUserID(domain, name string) string {
	sum := sha256.Sum256([]byte("sallyport user\x00" + domain + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}

// derivedServiceID makes the id of a public service, an RFC 9562 version 8 UUID:
// clients expect ids of services to look like one.
func derivedServiceID(name string) string {
	sum := sha256.Sum256([]byte("sallyport public service\x00" + name))
	b := slices.Clone(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// maxConnections bounds the flows of one endpoint: about as many descriptors as
	// Linux lets a process have unless told otherwise (fs.nr_open, 1,048,576).
	maxConnections = 1_000_000
	// minDialTimeout and maxDialTimeout bound a dial: less than the way to another
	// continent refuses what is well, and no client waits for longer than Linux
	// itself would (about two minutes with its six retries).
	minDialTimeout = 100 * time.Millisecond
	maxDialTimeout = 5 * time.Minute
	// minIdle and maxIdle bound the idle timeout. Keep-alive of TCP finds dead
	// peers; what is silent for a week is nobody's flow.
	minIdle = time.Second
	maxIdle = 7 * 24 * time.Hour
	// minUDP and maxUDP bound the life of a silent UDP session: each holds a socket.
	minUDP = time.Second
	maxUDP = time.Hour
	// maxDrain bounds the wait of a stop; a service manager kills far earlier.
	maxDrain = time.Hour
	// minInterval and maxInterval bound the time between two health checks: more
	// often is a load of its own, more rarely finds nothing.
	minInterval = time.Second
	maxInterval = time.Hour
	// minTimeout bounds a health check below, as minDialTimeout does a dial.
	minTimeout = 100 * time.Millisecond
	// maxCheckPath bounds the path of a health check, in bytes; servers take eight
	// times as much for the whole request line.
	maxCheckPath = 1024
	// maxSuffix bounds the DNS suffix, in bytes: with "vpcep-", an id of 36 and a
	// region of ordinary length the name stays within maxDNSName.
	maxSuffix = 150
	// maxDNSName bounds a whole DNS name as text, in bytes (RFC 1035, 255 octets on
	// the wire).
	maxDNSName = 253
	// ownNameBytes is what a name has before the region: "vpcep-", an id, a dot.
	ownNameBytes = len("vpcep-") + 36 + len(".")
)

// transitSize bounds a transit range. Half of it stands for endpoints, so the
// smallest IPv4 range is good for 128 of them; the widest is what one registry
// gives to one network.
type transitSize struct{ least, most int }

var (
	transitIPv4 = transitSize{8, 24}
	transitIPv6 = transitSize{16, 64}
)

// notTransit are the networks whose addresses the kernel does not route like
// those of other machines: this host, loopback, link-local, multicast, broadcast.
var notTransit = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// labelForm is one label of a host name (RFC 1123, section 2.1; RFC 1035 for its length).
var labelForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// tlvs are the fields that a PROXY header can carry.
var tlvs = []string{TLVSallyport, TLVAWS, TLVAzure, TLVGCP, TLVUniqueID, TLVAuthority}

func validateForwarding(c *Config, f *findings) {
	w := &c.Forwarding
	if w.Engine != EngineAuto && w.Engine != EngineUser {
		f.at("forwarding.engine", "%s is not an engine; write %s or %s", quote(w.Engine), EngineAuto, EngineUser)
	}
	if w.Connections < 1 || w.Connections > maxConnections {
		f.at("forwarding.connections", "%d must be from 1 to %d", w.Connections, maxConnections)
	}
	validateDuration(f, "forwarding.dial_timeout", w.DialTimeout, minDialTimeout, maxDialTimeout)
	if w.IdleTimeout != 0 && (w.IdleTimeout < minIdle || w.IdleTimeout > maxIdle) {
		f.at("forwarding.idle_timeout", "%s must be from %s to %s, or 0s for never", short(w.IdleTimeout), short(minIdle), short(maxIdle))
	}
	validateDuration(f, "forwarding.udp_timeout", w.UDPTimeout, minUDP, maxUDP)
	validateDuration(f, "forwarding.drain", w.Drain, 0, maxDrain)
	validateFlowLog(w.FlowLog, f)
	validateTransit(c, "forwarding.transit.ipv4", w.Transit.IPv4, DefaultTransitIPv4, transitIPv4, f)
	validateTransit(c, "forwarding.transit.ipv6", w.Transit.IPv6, DefaultTransitIPv6, transitIPv6, f)
}

func validateDuration(f *findings, path string, d, least, most time.Duration) bool {
	if d >= least && d <= most {
		return true
	}
	f.at(path, "%s must be from %s to %s", short(d), short(least), short(most))
	return false
}

func validateFlowLog(path string, f *findings) {
	if hasControl(path) || strings.HasSuffix(path, "/") {
		f.at("forwarding.flow_log", `must name a file, or be "%s" for standard output or "" for no flow log`, FlowLogStdout)
	}
}

// validateTransit judges one range and that the file places nothing in it: a packet
// to such an address would be taken for one of the kernel's path. A range that the
// file does not choose only minds namespaces, the one place where it is used, so
// that a file without them stays right whatever its addresses are.
func validateTransit(c *Config, path string, p, example netip.Prefix, size transitSize, f *findings) {
	special := func(n netip.Prefix) bool { return n.Overlaps(p) }
	switch {
	case f.bad[path]:
		return
	case !p.IsValid() || p.Addr().Is4() != example.Addr().Is4():
		f.at(path, "%s is a network of the other family; write for example %s", p, example)
		return
	case p != p.Masked():
		f.at(path, "%s has host bits set; write %s if the network is meant", p, p.Masked())
		return
	case p.Bits() < size.least || p.Bits() > size.most:
		f.at(path, "%s must have from /%d to /%d; write for example %s", p, size.least, size.most, example)
		return
	case slices.ContainsFunc(notTransit, special):
		f.at(path, "%s has addresses that are not routed like those of other machines; write for example %s", p, example)
		return
	case c.Forwarding.Engine == EngineUser:
		return // nothing is translated
	}
	for _, o := range c.placed() {
		switch {
		case !o.prefix.Overlaps(p) || f.bad[o.path]:
		case f.has(path):
			f.at(path, "%s overlaps %s on line %d (%s); write a range that no network here uses, or forwarding.engine: %s", p, o.prefix, f.line(o.path), o.path, EngineUser)
			return
		case o.netns:
			f.at(o.path, "%s overlaps %s, which the kernel's path translates through; set %s to a range that no network here uses, or forwarding.engine: %s", o.prefix, p, path, EngineUser)
		}
	}
}

// validateDNS judges the suffix, and the region where it is a part of names that
// are really served.
func validateDNS(c *Config, f *findings) {
	const path = "dns.suffix"
	s := c.DNS.Suffix
	labels := strings.Split(s, ".")
	switch {
	case strings.HasSuffix(s, ".") && s != ".":
		f.at(path, "%s ends with a dot; write it without", quote(s))
	case slices.ContainsFunc(labels, func(l string) bool { return !labelForm.MatchString(l) }):
		f.at(path, "%s is not a domain name: words of 1–63 letters, digits and inner -, with dots between; write for example %s", quote(s), DefaultDNSSuffix)
	case len(s) > maxSuffix:
		f.at(path, "has %d bytes; at most %d are allowed", len(s), maxSuffix)
	case ownNameBytes+len(c.Region)+len(".")+len(s) > maxDNSName && !f.bad["region"]:
		f.at(path, "makes names (vpcep-id.%s.suffix) longer than the %d bytes that DNS allows; shorten it or region", c.Region, maxDNSName)
	}
	if labelForm.MatchString(c.Region) || f.bad["region"] {
		return
	}
	for i := range c.Networks.VPCs {
		if at := item("networks.vpcs", i) + ".dns"; c.Networks.VPCs[i].DNS.IsValid() && !f.bad[at] {
			f.at(at, "the region %s cannot be a part of DNS names; change region to 1–63 letters, digits and inner -, or remove dns", quote(c.Region))
			return // the other VPCs have the same region
		}
	}
}

// validateHandling judges how the addresses of a backend are used.
func validateHandling(b *Backend, path string, f *findings) {
	if b.Balance != BalanceRoundRobin && b.Balance != BalanceLeastConnections {
		f.at(path+".balance", "%s is not a way to balance; write %s or %s", quote(b.Balance), BalanceRoundRobin, BalanceLeastConnections)
	}
	for i, t := range b.ProxyTLVs {
		at := item(path+".proxy_tlvs", i)
		if !slices.Contains(tlvs, t) {
			f.at(at, "%s is not a field of the PROXY header; write %s", quote(t), strings.Join(tlvs, ", "))
		} else if slices.Index(b.ProxyTLVs, t) < i {
			f.at(at, "%s is listed twice; keep one of them", t)
		}
	}
	if b.Check != nil {
		validateCheck(b.Check, path+".check", f)
	}
}

func validateCheck(k *Check, path string, f *findings) {
	switch k.Type {
	case CheckTCP:
		if f.has(path + ".path") {
			f.at(path+".path", "only type %s has a path; remove it or write type: %s", CheckHTTP, CheckHTTP)
		}
	case CheckHTTP:
		if !validCheckPath(k.Path) {
			f.at(path+".path", "%s must begin with / and be what stands in a URL after the host, at most %d bytes; write for example /healthz", quote(k.Path), maxCheckPath)
		}
	default:
		f.at(path+".type", "%s is not a kind of check; write %s or %s", quote(k.Type), CheckTCP, CheckHTTP)
	}
	if k.Port != 0 && !validPort(k.Port) {
		f.at(path+".port", "%d is not a port; write a number from 1 to 65535, or 0 for the first TCP server port of the service", k.Port)
	}
	if validateDuration(f, path+".interval", k.Interval, minInterval, maxInterval) && !f.bad[path+".interval"] {
		switch {
		case k.Timeout < minTimeout:
			f.at(path+".timeout", "%s must be from %s to the interval", short(k.Timeout), short(minTimeout))
		case k.Timeout > k.Interval:
			f.at(path+".timeout", "%s is longer than the interval, %s; checks would pile up", short(k.Timeout), short(k.Interval))
		}
	}
}

// validCheckPath accepts what can stand in a request line as it is.
func validCheckPath(s string) bool {
	if !strings.HasPrefix(s, "/") || len(s) > maxCheckPath ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return false
	}
	_, err := url.ParseRequestURI(s)
	return err == nil
}

package config

import (
	"net/netip"
	"time"
)

// The values of the data plane that hold where the file does not say otherwise.
const (
	// DefaultConnections is the most flows of one endpoint at a time (VPCEP user
	// guide, constraints: an endpoint supports at most 3,000 connections).
	DefaultConnections = 3000
	// DefaultDialTimeout is how long one backend address may take to answer. Three
	// lost segments of a handshake pass in it.
	DefaultDialTimeout = 5 * time.Second
	// DefaultUDPTimeout is how long a silent UDP session is remembered. DNS and NTP
	// answer far within it.
	DefaultUDPTimeout = time.Minute
	// DefaultDrain is how long flows may go on that shall end.
	DefaultDrain = 5 * time.Second
	// DefaultCheckInterval is the time between two health checks of an address.
	DefaultCheckInterval = 5 * time.Second
	// DefaultCheckTimeout is how long one check may take; where the interval is
	// shorter, the interval is.
	DefaultCheckTimeout = 2 * time.Second
	// DefaultDNSPort is where a DNS server listens whose port is not given.
	DefaultDNSPort = 53
	// DefaultDNSSuffix ends the names of endpoints; .internal is what ICANN chose for
	// private networks (SAC113).
	DefaultDNSSuffix = "sallyport.internal"
)

// The ranges that the kernel's path translates through where the file names none.
var (
	// DefaultTransitIPv4 is the range for tests of network devices (RFC 2544,
	// RFC 6890), which no network uses for its machines.
	DefaultTransitIPv4 = netip.MustParsePrefix("198.18.0.0/15")
	// DefaultTransitIPv6 is a network of the kind that everybody may give itself
	// (RFC 4193).
	DefaultTransitIPv6 = netip.MustParsePrefix("fd53:6170:7274::/48")
)

// Which engine carries the mappings of endpoints.
const (
	// EngineAuto takes the kernel's path where it can carry a mapping; it is the
	// default.
	EngineAuto = "auto"
	// EngineUser copies every byte in the process.
	EngineUser = "user"
)

// FlowLogStdout is the flow log's path that stands for standard output.
const FlowLogStdout = "-"

// Forwarding is how bytes are carried.
type Forwarding struct {
	Engine string `yaml:"engine"` // EngineAuto or EngineUser
	// Connections is the most flows of one endpoint at a time, 1–1,000,000.
	Connections int `yaml:"connections"`
	// DialTimeout is how long one backend address may take to answer, 100ms–5m.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// IdleTimeout resets a TCP flow that was silent for so long, 1s–168h, or 0: never.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// UDPTimeout forgets a UDP session that was silent for so long, 1s–1h.
	UDPTimeout time.Duration `yaml:"udp_timeout"`
	// Drain is how long flows may go on when the process stops or their backend
	// address is removed, 0–1h.
	Drain time.Duration `yaml:"drain"`
	// Transit are the ranges that the kernel's path translates through.
	Transit Transit `yaml:"transit"`
	// FlowLog is the path of a file of JSON lines, FlowLogStdout, or "": no flow log.
	FlowLog string `yaml:"flow_log,omitempty"`
}

// Transit are addresses that stand for endpoints inside the kernel's path, between
// two network namespaces of one machine. Where the engine is EngineAuto they overlap
// nothing that the file places in a namespace, and where the file sets them, nothing
// that it places anywhere: subnets, addresses of backends, clusters and gateways,
// and DNS servers.
type Transit struct {
	IPv4 netip.Prefix `yaml:"ipv4"` // /8 to /24, host bits are zero
	IPv6 netip.Prefix `yaml:"ipv6"` // /16 to /64, host bits are zero
}

// DNS is how endpoints are named.
type DNS struct {
	// Suffix ends the names, which are vpcep-ID.REGION.SUFFIX: labels after RFC 1123
	// without a final dot, at most 150 bytes.
	Suffix string `yaml:"suffix"`
}

// Which backend address a new flow goes to.
const (
	// BalanceRoundRobin takes them in turn; it is the default.
	BalanceRoundRobin = "round_robin"
	// BalanceLeastConnections takes the one with the fewest flows of the endpoint.
	BalanceLeastConnections = "least_connections"
)

// The kinds of health checks.
const (
	// CheckTCP opens a connection and closes it; it is the default.
	CheckTCP = "tcp"
	// CheckHTTP asks with GET.
	CheckHTTP = "http"
)

// Check is an active health check of every address of a backend.
type Check struct {
	Type string `yaml:"type"` // CheckTCP or CheckHTTP
	// Port is the port to ask, or 0 for the first TCP server port of the service.
	Port int `yaml:"port"`
	// Path is what CheckHTTP asks for, with a slash at its begin; "" for CheckTCP.
	Path     string        `yaml:"path,omitempty"`
	Interval time.Duration `yaml:"interval"` // between two checks, 1s–1h
	Timeout  time.Duration `yaml:"timeout"`  // of one check, 100ms–Interval
}

// The fields that a PROXY header can carry (docs/proxy-protocol.md).
const (
	TLVSallyport = "sallyport" // our own; the default
	TLVAWS       = "aws"       // the one that AWS PrivateLink sends
	TLVAzure     = "azure"     // the one that Azure Private Link sends
	TLVGCP       = "gcp"       // the one that Google Private Service Connect sends
	TLVUniqueID  = "unique_id" // PP2_TYPE_UNIQUE_ID of the protocol
	TLVAuthority = "authority" // PP2_TYPE_AUTHORITY of the protocol
)

// defaultForwarding returns the data plane of an empty file.
func defaultForwarding() Forwarding {
	return Forwarding{
		Engine: EngineAuto, Connections: DefaultConnections, DialTimeout: DefaultDialTimeout,
		UDPTimeout: DefaultUDPTimeout, Drain: DefaultDrain,
		Transit: Transit{IPv4: DefaultTransitIPv4, IPv6: DefaultTransitIPv6},
	}
}

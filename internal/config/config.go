package config

import "net/netip"

// The values that hold where neither the file nor the environment says
// otherwise. An empty file is valid and means exactly these.
const (
	// DefaultListen is a loopback address: nothing is offered to other machines
	// unless the operator asks for it.
	DefaultListen = "127.0.0.1:8780"
	// DefaultDataDir is relative to the working directory of the process.
	DefaultDataDir = "./data"
	// DefaultRegion is the region the first half of a service name shows.
	DefaultRegion = "eu-west-101"
	// DefaultLanguage is the language of error texts.
	DefaultLanguage = LanguageEnglish
	// DefaultClusterPort is where a search cluster answers (CSS API reference:
	// the endpoint of a cluster is address:9200).
	DefaultClusterPort = 9200
	// DefaultEndpointServiceQuota is the number of services per project
	// (VPCEP API reference, quotas).
	DefaultEndpointServiceQuota = 20
	// DefaultEndpointQuota is the number of endpoints per project.
	DefaultEndpointQuota = 50
)

// What removing a whitelist record does to existing endpoints.
const (
	// RevokeKeep leaves them as they are; it is the default.
	RevokeKeep = "keep"
	// RevokeCut rejects those whose account no record admits any more.
	RevokeCut = "cut"
)

// The languages error texts are offered in.
const (
	LanguageEnglish = "en-us"
	LanguageChinese = "zh-cn"
)

// The roles a user may have.
const (
	// RoleAdmin may call every operation of its account.
	RoleAdmin = "admin"
	// RoleReader may only look.
	RoleReader = "reader"
)

// The types of an operator's own service.
const (
	// ServiceInterface is reached through an address in a subnet.
	ServiceInterface = "interface"
	// ServiceGateway is reached through routes.
	ServiceGateway = "gateway"
)

// The protocols that port mappings carry.
const (
	// ProtocolTCP is the default.
	ProtocolTCP = "TCP"
	// ProtocolUDP is carried as sessions, one per client address and port.
	ProtocolUDP = "UDP"
)

// Config is a complete and checked configuration: defaults are filled in, ids
// derived, references resolved. Printing it in any way shows no secret.
type Config struct {
	// Listen is the host:port of API, console, /metrics, /healthz and /readyz.
	Listen string `yaml:"listen"`
	// PublicURL is what catalogue and links show, without a slash at its end.
	// Where it is not set it follows from Listen, except that it is "" when the
	// port is 0: then only [PublicURLFor] the bound address can tell.
	PublicURL string `yaml:"public_url,omitempty"`
	// DataDir is the directory of the SQLite file and of the keys.
	DataDir string `yaml:"data_dir"`
	// Database is a PostgreSQL URL, or "" for SQLite under DataDir. It may hold a
	// password, so it is shown through [Config.ShownDatabase] only and is left
	// out of JSON.
	Database string `yaml:"database,omitempty" json:"-"`
	// Region is the region's name; it has no dot.
	Region string `yaml:"region"`
	// Language is LanguageEnglish or LanguageChinese.
	Language string `yaml:"language"`
	// OnRevoke says what removing a whitelist record does to the endpoints it had
	// let in, where the service does not say itself: RevokeKeep or RevokeCut.
	OnRevoke string `yaml:"on_revoke"`
	// Identity is the embedded directory of accounts.
	Identity Identity `yaml:"identity,omitempty"`
	// Networks are the VPCs and how they are attached.
	Networks Networks `yaml:"networks"`
	// Backends are what port ids stand for.
	Backends []Backend `yaml:"backends,omitempty"`
	// PublicServices are the operator's own services, visible to every account.
	PublicServices []PublicService `yaml:"public_services,omitempty"`
	// Clusters are the search clusters that the CSS calls know.
	Clusters []Cluster `yaml:"clusters,omitempty"`
	// Gateways are the API gateways that the APIG calls know.
	Gateways []Gateway `yaml:"gateways,omitempty"`
	// Forwarding is how bytes are carried.
	Forwarding Forwarding `yaml:"forwarding"`
	// DNS is how endpoints are named.
	DNS DNS `yaml:"dns"`
	// Quotas bound what one project may create.
	Quotas Quotas `yaml:"quotas"`
}

// Identity is the embedded directory.
type Identity struct {
	Domains []Domain `yaml:"domains,omitempty"` // no domain: nobody can log in
}

// Domain is an account. ID and Name are unique in the file.
type Domain struct {
	ID       string    `yaml:"id"`   // 1–64 of [A-Za-z0-9_-]
	Name     string    `yaml:"name"` // 1–64 characters
	Projects []Project `yaml:"projects,omitempty"`
	Users    []User    `yaml:"users,omitempty"`
}

// Project owns services and endpoints. Clients look a project up by the name of
// the region, so every domain should have one that is called like it.
type Project struct {
	ID   string `yaml:"id"`   // unique in the file, 1–64 of [A-Za-z0-9_-]
	Name string `yaml:"name"` // unique in its domain, 1–64 characters
}

// User may log in by password, sign requests by access key, or both.
type User struct {
	// ID is unique in the file. Where it is not set it is derived from the
	// domain's id and the user's name, so it is the same after every start.
	ID   string `yaml:"id"`
	Name string `yaml:"name"` // unique in its domain, 1–64 characters
	// Password is plain text, an argon2id hash in PHC form or a bcrypt hash;
	// "" where the user has access keys only.
	Password   Secret      `yaml:"password,omitempty"`
	Roles      []string    `yaml:"roles"` // RoleAdmin, RoleReader; at least one
	AccessKeys []AccessKey `yaml:"access_keys,omitempty"`
}

// AccessKey signs requests.
type AccessKey struct {
	Access string `yaml:"access"` // an identifier, not a secret; unique in the file
	Secret Secret `yaml:"secret"` // 1–256 characters
}

// UnknownPolicy says what happens to a VPC, subnet or port id that the file
// does not name.
type UnknownPolicy string

// The two policies.
const (
	// UnknownAllow takes any id as it comes; it is the default.
	UnknownAllow UnknownPolicy = "allow"
	// UnknownRefuse answers as the API documents for an id that does not exist.
	UnknownRefuse UnknownPolicy = "refuse"
)

// Networks are the networks the file declares.
type Networks struct {
	Unknown UnknownPolicy `yaml:"unknown"`
	VPCs    []VPC         `yaml:"vpcs,omitempty"`
}

// VPC is a virtual network.
type VPC struct {
	ID     string `yaml:"id"` // unique in the file, 1–64 of [A-Za-z0-9_-]
	Name   string `yaml:"name,omitempty"`
	Attach Attach `yaml:"attach"`
	// DNS is where a DNS server for this network listens, over UDP and TCP; the zero
	// value where there is none. No two networks that share addresses have the same.
	DNS     netip.AddrPort `yaml:"dns"`
	Subnets []Subnet       `yaml:"subnets,omitempty"`
}

// AttachMode is the way an agent reaches a VPC.
type AttachMode string

// The three ways.
const (
	// AttachHost binds and dials on the machine itself; it is the default.
	AttachHost AttachMode = "host"
	// AttachNetns binds and dials inside a named network namespace.
	AttachNetns AttachMode = "netns"
	// AttachNone leaves the VPC without an agent here.
	AttachNone AttachMode = "none"
)

// Attach is how a VPC is attached. VPCs in one network namespace are attached in
// the same way.
type Attach struct {
	Mode AttachMode `yaml:"mode"`
	// Name is that of the namespace, for AttachNetns only: a file name under
	// /run/netns or the absolute path of a namespace file, at most 255 bytes.
	Name string `yaml:"name,omitempty"`
	// Interface is the one that endpoint addresses are added to in the namespace,
	// for AttachNetns only; "" leaves it to the routes there.
	Interface string `yaml:"interface,omitempty"`
}

// Subnet is a part of a VPC.
type Subnet struct {
	ID   string       `yaml:"id"`   // unique in the file
	CIDR netip.Prefix `yaml:"cidr"` // host bits are zero; overlaps none it shares a network with
}

// Backend is what a port id stands for.
type Backend struct {
	PortID    string       `yaml:"port_id"` // unique in the file
	VPC       string       `yaml:"vpc"`     // the network the addresses are dialled in
	Addresses []netip.Addr `yaml:"addresses"`
	Balance   string       `yaml:"balance"`         // BalanceRoundRobin or BalanceLeastConnections
	Check     *Check       `yaml:"check,omitempty"` // nil: no active check
	// ProxyTLVs are the fields of the PROXY header, where a service sends one:
	// TLVSallyport and the others. Empty stands for TLVSallyport.
	ProxyTLVs []string `yaml:"proxy_tlvs,omitempty"`
}

// PublicService is an operator's own service: every account sees it and may
// create endpoints to it.
type PublicService struct {
	// ID is unique in the file. Where it is not set it is derived from the name
	// and looks like a UUID.
	ID          string `yaml:"id"`
	Name        string `yaml:"name"`         // the whole name clients see, unique, 1–128 of [A-Za-z0-9._-]
	Owner       string `yaml:"owner"`        // shown as the owner; a domain's id or name where one decides
	ServiceType string `yaml:"service_type"` // ServiceInterface (default) or ServiceGateway
	Approval    bool   `yaml:"approval"`     // whether the owner decides on each connection
	// PortID is the backend and Ports are its port mappings, at most 200; both
	// or neither. Without them the service is listed and carries nothing.
	PortID string        `yaml:"port_id,omitempty"`
	Ports  []PortMapping `yaml:"ports,omitempty"`
}

// PortMapping forwards one port of an endpoint to one port of the backend.
type PortMapping struct {
	ClientPort int    `yaml:"client_port"` // the port the endpoint offers, 1–65535
	ServerPort int    `yaml:"server_port"` // the port of the backend, 1–65535
	Protocol   string `yaml:"protocol"`    // ProtocolTCP or ProtocolUDP
}

// Cluster is a search cluster for which the CSS calls manage an endpoint service.
type Cluster struct {
	ID        string       `yaml:"id"`
	Name      string       `yaml:"name"`
	Project   string       `yaml:"project"` // id of the project that owns it
	VPC       string       `yaml:"vpc"`
	Subnet    string       `yaml:"subnet"`
	Addresses []netip.Addr `yaml:"addresses"` // of its nodes, in the VPC
	Port      int          `yaml:"port"`      // DefaultClusterPort where it is not set
}

// Gateway is an API gateway for which the APIG calls manage an endpoint service.
type Gateway struct {
	ID        string       `yaml:"id"`
	Name      string       `yaml:"name"`
	Project   string       `yaml:"project"` // id of the project that owns it
	VPC       string       `yaml:"vpc"`
	Subnet    string       `yaml:"subnet"`
	Addresses []netip.Addr `yaml:"addresses"` // of its nodes, in the VPC
	Ports     []int        `yaml:"ports"`     // 80 and 443 where they are not set
}

// Quotas bound what one project may create; 0 means nothing may be created.
type Quotas struct {
	EndpointService int `yaml:"endpoint_service"`
	Endpoint        int `yaml:"endpoint"`
}

// defaults returns the configuration of an empty file, but for what follows
// from other keys (see complete).
func defaults() *Config {
	return &Config{
		Listen:     DefaultListen,
		DataDir:    DefaultDataDir,
		Region:     DefaultRegion,
		Language:   DefaultLanguage,
		OnRevoke:   RevokeKeep,
		Networks:   Networks{Unknown: UnknownAllow},
		Forwarding: defaultForwarding(),
		DNS:        DNS{Suffix: DefaultDNSSuffix},
		Quotas:     Quotas{EndpointService: DefaultEndpointServiceQuota, Endpoint: DefaultEndpointQuota},
	}
}

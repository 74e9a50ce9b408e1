package sallyport

import (
	"strings"
	"time"
)

// ServiceKind tells interface services (an address in a subnet) from gateway
// services (routes).
type ServiceKind string

// The two kinds of service (VPCEP API reference, service_type).
const (
	KindInterface ServiceKind = "interface"
	KindGateway   ServiceKind = "gateway"
)

// ServiceStatus is the state of a service.
type ServiceStatus uint8

// A service is usable as soon as it is stored, so creating is never seen; a
// deleted one stays as a tombstone while endpoints still point at it.
const (
	// ServiceAvailable takes endpoints.
	ServiceAvailable ServiceStatus = iota + 1
	// ServiceDeleted is gone for every caller; the row lives on until its last
	// endpoint is deleted, so that the endpoint can still tell its service's name.
	ServiceDeleted
)

// ProxyMode is how a backend learns the client's address (tcp_proxy).
type ProxyMode string

// The five values of tcp_proxy (VPCEP API reference). Those that ask for the
// PROXY protocol are honoured, for TCP mappings; the TCP option is not (see the
// divergences).
const (
	ProxyClose ProxyMode = "close"
	ProxyTOA   ProxyMode = "toa_open"
	ProxyPROXY ProxyMode = "proxy_open"
	ProxyBoth  ProxyMode = "open"
	ProxyVNI   ProxyMode = "proxy_vni"
)

// SendsHeader reports whether a PROXY protocol header precedes the bytes.
func (m ProxyMode) SendsHeader() bool {
	return m == ProxyPROXY || m == ProxyBoth || m == ProxyVNI
}

// The protocols of a port mapping (VPCEP API reference, ports).
const (
	ProtocolTCP = "TCP"
	ProtocolUDP = "UDP"
)

// PortMapping forwards one port of the endpoint to one port of the backend.
type PortMapping struct {
	Client   uint16 // the port the endpoint offers, 1–65535
	Server   uint16 // the port of the backend, 1–65535
	Protocol string // ProtocolTCP or ProtocolUDP
}

// MaxTags is how many tags a resource may have (VPCEP API reference, tags).
const MaxTags = 20

// Tag is a label of a resource.
type Tag struct{ Key, Value string }

// Service is a VPC endpoint service. Values handed out by a View are shared and
// must not be changed.
type Service struct {
	ID          ServiceID
	Name        string // the user's part of the name, may be ""
	Region      string
	SystemName  string // the whole name of an operator's own service, else ""
	Kind        ServiceKind
	ServerType  string // VM, VIP, LB or BMS
	ProjectID   ProjectID
	DomainID    DomainID
	VPCID       VPCID
	PortID      PortID
	VIPPortID   string
	PoolID      string
	IP          string
	IPVersion   string
	SNATNetwork string
	Ports       []PortMapping
	TCPProxy    ProxyMode
	Approval    bool
	Policy      bool // enable_policy
	Status      ServiceStatus
	Description string
	Tags        []Tag
	// Professional says that the service was upgraded from the basic edition.
	Professional bool
	// Resources are the load balancers added behind the service; they are kept for
	// those who ask, and carry nothing of themselves.
	Resources []ServerResource
	// BorderGroup is the label of an edge pool, "" for none.
	BorderGroup string
	// ManagedBy is the managed resource whose service this is, "" for none: then
	// connections are carried to it, and it goes only with it.
	ManagedBy InstanceID
	// OnRevoke says what removing a whitelist record does to the endpoints it had
	// let in; "" is the configuration's default.
	OnRevoke  RevokeMode
	CreatedAt time.Time
	UpdatedAt time.Time
	Rev       Revision // of the last change
	SpecRev   Revision // of the last change that the data plane must act on
}

// ServerResource is a load balancer added behind a service.
type ServerResource struct {
	ID   string // of the load balancer
	Zone string // availability zone, may be ""
}

// RevokeMode says what happens to endpoints whose account loses its last
// whitelist record.
type RevokeMode string

// The two modes. The documents are silent; keep is what the cloud's guide
// suggests, cut is for owners who want the whitelist to be the last word.
const (
	// RevokeKeep leaves existing endpoints as they are.
	RevokeKeep RevokeMode = "keep"
	// RevokeCut rejects them, with all that a reject promises.
	RevokeCut RevokeMode = "cut"
)

// NetType is how a backend is classified: an address of a VLAN, or a port.
func (s *Service) NetType() string {
	if s.IP != "" {
		return "vlan"
	}
	return "vxlan"
}

// FullName returns the name clients see: region, the user's part where there is
// one, and the id, joined by dots. Clients take it apart at the dots, so the
// region has none (VPCEP API reference, service_name).
func (s *Service) FullName() string {
	if s.SystemName != "" {
		return s.SystemName
	}
	if s.Name == "" {
		return s.Region + "." + string(s.ID)
	}
	return s.Region + "." + s.Name + "." + string(s.ID)
}

// PermissionType tells what a whitelist record names.
type PermissionType string

// The two types of whitelist record.
const (
	PermissionDomain PermissionType = "domainId"
	PermissionPath   PermissionType = "orgPath"
)

// The spellings of whitelist records (VPCEP API reference, permissions).
const (
	permissionPrefix = "iam:domain::"
	permissionAll    = "*"
)

// Permission is one whitelist record of a service: who may create endpoints to it.
type Permission struct {
	ID          PermissionID
	ServiceID   ServiceID
	Value       string // verbatim, as clients compare it
	Type        PermissionType
	Description string
	CreatedAt   time.Time
	Rev         Revision
}

// Admits reports whether the record lets the account create endpoints. Accounts
// belong to no organization here, so an organization path admits nobody.
func (p *Permission) Admits(d DomainID) bool {
	if p.Type != PermissionDomain {
		return false
	}
	id := strings.TrimPrefix(p.Value, permissionPrefix)
	return id == permissionAll || id == string(d)
}

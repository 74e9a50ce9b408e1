package vpcep

import (
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// timeLayout is the spelling of every time on the wire: UTC, whole seconds. The
// vendor's SDK reads an offset as if it were UTC, so there is never one: times
// are turned into UTC first, and RFC 3339 writes that as Z.
const timeLayout = time.RFC3339

// Constants of the wire that say the same of every object.
const (
	cidrInternal     = "internal" // cidr_type: backends are addresses of a VPC
	editionBasic     = "basic"    // supported_editions
	editionPro       = "profession"
	centralSite      = "center" // public_border_group of what is in no edge pool
	versionIPv4      = "ipv4"   // ip_version where none was asked for
	versionDual      = "dualstack"
	serviceAvailable = "available"
)

// portMapping is one element of ports.
type portMapping struct {
	ClientPort int    `json:"client_port"`
	ServerPort int    `json:"server_port"`
	Protocol   string `json:"protocol"`
}

// tag is one element of tags.
type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// service is an endpoint service as create, get, update and list show it: the
// union of the fields of every edition.
type service struct {
	ID                string        `json:"id"`
	PortID            string        `json:"port_id"`
	VIPPortID         string        `json:"vip_port_id,omitempty"`
	VPCID             string        `json:"vpc_id"`
	PoolID            string        `json:"pool_id"`
	ServiceName       string        `json:"service_name"`
	ServiceType       string        `json:"service_type"`
	ServerType        string        `json:"server_type"`
	ApprovalEnabled   bool          `json:"approval_enabled"`
	Status            string        `json:"status"`
	TCPProxy          string        `json:"tcp_proxy"`
	CIDRType          string        `json:"cidr_type"`
	IP                string        `json:"ip,omitempty"`
	Ports             []portMapping `json:"ports"`
	Tags              []tag         `json:"tags"`
	Description       string        `json:"description"`
	EnablePolicy      bool          `json:"enable_policy"`
	IPVersion         string        `json:"ip_version"`
	SNATNetworkID     string        `json:"snat_network_id,omitempty"`
	SupportedEditions []string      `json:"supported_editions"`
	PublicBorderGroup string        `json:"public_border_group"`
	ConnectionCount   int           `json:"connection_count"`
	ProjectID         string        `json:"project_id"`
	DomainID          string        `json:"domain_id"`
	CreatedAt         string        `json:"created_at"`
	UpdatedAt         string        `json:"updated_at"`
}

// serviceList is the answer of ListEndpointService.
type serviceList struct {
	Services []service `json:"endpoint_services"`
	Total    int       `json:"total_count"`
}

// publicService is one element of ListServicePublicDetails.
type publicService struct {
	ID           string `json:"id"`
	Owner        string `json:"owner"`
	ServiceName  string `json:"service_name"`
	ServiceType  string `json:"service_type"`
	CreatedAt    string `json:"created_at"`
	IsCharge     bool   `json:"is_charge"`
	EnablePolicy bool   `json:"enable_policy"`
}

// publicList is the answer of ListServicePublicDetails.
type publicList struct {
	Services []publicService `json:"endpoint_services"`
	Total    int             `json:"total_count"`
}

// description is the answer of ListServiceDescribeDetails: what a consumer may
// know of a service, and nothing of its backend.
type description struct {
	ID                string `json:"id"`
	ServiceName       string `json:"service_name"`
	ServiceType       string `json:"service_type"`
	CreatedAt         string `json:"created_at"`
	IsCharge          bool   `json:"is_charge"`
	EnablePolicy      bool   `json:"enable_policy"`
	PublicBorderGroup string `json:"public_border_group"`
}

// permission is one whitelist record of a service. The type is always there:
// one client drops records without it.
type permission struct {
	ID             string `json:"id"`
	Permission     string `json:"permission"`
	PermissionType string `json:"permission_type"`
	Description    string `json:"description"`
	CreatedAt      string `json:"created_at"`
}

// permissionRecords is the answer of the calls that write whitelist records: the
// whole list after the change, or the one record that was described.
type permissionRecords struct {
	Permissions []permission `json:"permissions"`
}

// permissionList is the answer of ListServicePermissionsDetails.
type permissionList struct {
	Permissions []permission `json:"permissions"`
	Total       int          `json:"total_count"`
}

// serviceOf shows a service with the number of its admitted endpoints.
func serviceOf(s *sallyport.Service, connections int) service {
	return service{
		ID:                string(s.ID),
		PortID:            string(s.PortID),
		VIPPortID:         s.VIPPortID,
		VPCID:             string(s.VPCID),
		PoolID:            s.PoolID,
		ServiceName:       s.FullName(),
		ServiceType:       string(s.Kind),
		ServerType:        s.ServerType,
		ApprovalEnabled:   s.Approval,
		Status:            serviceStatus(s.Status),
		TCPProxy:          string(s.TCPProxy),
		CIDRType:          cidrInternal,
		IP:                s.IP,
		Ports:             portsOf(s.Ports),
		Tags:              tagsOf(s.Tags),
		Description:       s.Description,
		EnablePolicy:      s.Policy,
		IPVersion:         orDefault(s.IPVersion, versionIPv4),
		SNATNetworkID:     s.SNATNetwork,
		SupportedEditions: editionsOf(s),
		PublicBorderGroup: orDefault(s.BorderGroup, centralSite),
		ConnectionCount:   connections,
		ProjectID:         string(s.ProjectID),
		DomainID:          string(s.DomainID),
		CreatedAt:         timeText(s.CreatedAt),
		UpdatedAt:         timeText(s.UpdatedAt),
	}
}

// editionsOf returns the editions of endpoints that a service takes.
func editionsOf(s *sallyport.Service) []string {
	if s.Professional {
		return []string{editionBasic, editionPro}
	}
	return []string{editionBasic}
}

// serviceStatus spells the status of a service. A service is usable as soon as
// it is stored, so creating and failed are never shown; a deleted one is only
// seen by who reads it in the moment of its deletion.
func serviceStatus(s sallyport.ServiceStatus) string {
	if s == sallyport.ServiceDeleted {
		return "deleting"
	}
	return serviceAvailable
}

// statusText spells the status of an endpoint.
func statusText(s sallyport.Status) string {
	if s == sallyport.StatusPending {
		return "pendingAcceptance"
	}
	return s.String()
}

func portsOf(ports []sallyport.PortMapping) []portMapping {
	out := make([]portMapping, len(ports))
	for i, p := range ports {
		out[i] = portMapping{ClientPort: int(p.Client), ServerPort: int(p.Server), Protocol: p.Protocol}
	}
	return out
}

func tagsOf(tags []sallyport.Tag) []tag {
	out := make([]tag, len(tags))
	for i, t := range tags {
		out[i] = tag(t)
	}
	return out
}

func permissionOf(p *sallyport.Permission) permission {
	return permission{
		ID:             string(p.ID),
		Permission:     p.Value,
		PermissionType: string(p.Type),
		Description:    p.Description,
		CreatedAt:      timeText(p.CreatedAt),
	}
}

func permissionsOf(list []*sallyport.Permission) []permission {
	out := make([]permission, len(list))
	for i, p := range list {
		out[i] = permissionOf(p)
	}
	return out
}

func timeText(t time.Time) string { return t.UTC().Format(timeLayout) }

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

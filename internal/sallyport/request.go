package sallyport

import (
	"net/netip"
	"time"
)

// NewService is what an owner says of a service to be made. The edge has
// checked syntax and bounds; the use case checks what depends on state.
type NewService struct {
	Name        string
	ServerType  string
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
	Policy      bool
	Description string
	Tags        []Tag
}

// ServiceChange is what shall change of a service; nil leaves a field as it is.
type ServiceChange struct {
	Name        *string
	PortID      *PortID
	VIPPortID   *string
	IP          *string
	Ports       *[]PortMapping // replaces the whole list
	TCPProxy    *ProxyMode
	Approval    *bool // of endpoints made from now on
	Description *string
	OnRevoke    *RevokeMode
}

// NewPermission is a whitelist record to be made.
type NewPermission struct {
	Value       string
	Type        PermissionType
	Description string
}

// NewEndpoint is what a consumer says of an endpoint to be made. The edge has
// checked syntax and bounds; the use case checks what depends on state.
type NewEndpoint struct {
	ServiceID       ServiceID
	VPCID           VPCID
	SubnetID        SubnetID
	Address         netip.Addr // invalid: choose one
	EnableDNS       bool
	EnableWhitelist bool
	Whitelist       []string
	RouteTables     []string
	Tags            []Tag
	Description     string
	Specification   string
	IPVersion       string
	IPv6Address     string
	PolicyStatement string // JSON array of statements, "" for none
	PolicyDocument  string // any JSON value, "" for none
}

// EndpointChange is what shall change of an endpoint; nil leaves a field as it
// is. Whitelists belong to interface endpoints, route tables to gateway ones,
// and policies to services that have them enabled.
type EndpointChange struct {
	Whitelist       *[]string
	EnableWhitelist *bool
	RouteTables     *[]string // replaces the whole set
	PolicyStatement *string   // "" removes it
	PolicyDocument  *string   // "" removes it
	Professional    *bool
}

// PermissionChange is what shall change of a service's whitelist.
type PermissionChange struct {
	Add          []NewPermission
	RemoveValues []string
	RemoveIDs    []PermissionID
	// Replace removes every record that Add does not name.
	Replace bool
}

// Removes reports whether the change asks for the removal of records.
func (c PermissionChange) Removes() bool {
	return c.Replace || len(c.RemoveValues)+len(c.RemoveIDs) > 0
}

// Note is the owner's description of one connection.
type Note struct {
	Endpoint    EndpointID
	Description string
}

// Resource names a service or an endpoint where both can be meant.
type Resource struct {
	Kind ObjectKind // ObjectService or ObjectEndpoint
	ID   string
}

// TagKey is a tag key of a project with all the values it has.
type TagKey struct {
	Key    string
	Values []string // sorted
}

// TaggedResource is one hit of a search by tags. Endpoints have no name of their
// own and are called by their id.
type TaggedResource struct {
	ID   string
	Name string
	Tags []Tag
}

// ServiceView is a service and the number of its admitted endpoints.
type ServiceView struct {
	*Service
	Connections int
}

// EndpointView is an endpoint with the service it belongs to.
type EndpointView struct {
	*Endpoint
	Service *Service
}

// Quota is one limit of a project: 0 ≤ Used ≤ Limit, except where an operator
// lowered the limit below what exists.
type Quota struct{ Used, Limit int }

// Quotas are the limits of a project.
type Quotas struct{ Services, Endpoints Quota }

// Enforcement is what the data plane last said about an endpoint.
type Enforcement struct {
	Endpoint *Endpoint
	// State is open, closed, failed, unattached or unknown.
	State      string
	Agent      string
	Revision   Revision // the spec that the agent spoke of
	At         time.Time
	FlowsReset int // by the last cut
	// Gated says that nothing passes any more while flows are still being reset:
	// FlowsReset is yet to come.
	Gated bool
	// Paths says how the mappings of an open endpoint are carried.
	Paths []Path
}

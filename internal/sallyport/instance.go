package sallyport

import (
	"net/netip"
	"time"
)

// InstanceID names a managed resource: a search cluster or an API gateway.
type InstanceID string

// InstanceKind tells the kinds of managed resource.
type InstanceKind string

// The kinds of managed resource, each with an API family of its own.
const (
	InstanceCluster InstanceKind = "cluster"
	InstanceGateway InstanceKind = "gateway"
)

// Instance is a managed resource with an endpoint service of its own: a gateway
// has one from the start, a cluster from open to close. The service is an
// ordinary one, whichever door its owner comes through. Values handed out by a
// View are shared and must not be changed.
type Instance struct {
	ID        InstanceID
	Kind      InstanceKind
	Name      string
	ProjectID ProjectID
	DomainID  DomainID
	VPCID     VPCID
	SubnetID  SubnetID
	Addresses []netip.Addr // where connections are carried to, in the VPC
	Ports     []uint16     // offered by its endpoints and dialled at the addresses
	ServiceID ServiceID    // its endpoint service, "" while there is none
	// EndpointID is the endpoint in a cluster's own subnet, "" while there is none.
	EndpointID EndpointID
	// Configured says that the configuration file declares it.
	Configured bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Rev        Revision
}

// InstanceQuery selects managed resources of a project.
type InstanceQuery struct {
	Page
	ProjectID ProjectID
	Kind      InstanceKind // "" is any
}

// NewInstance is what is said of a managed resource to be made.
type NewInstance struct {
	ID        InstanceID // "": choose one
	Kind      InstanceKind
	Name      string
	VPCID     VPCID
	SubnetID  SubnetID
	Addresses []netip.Addr
	Ports     []uint16
	// ServiceName is the user's part of its service's name, "" for the kind's own.
	ServiceName string
}

// ClusterOptions say how a cluster's own endpoint is made.
type ClusterOptions struct {
	DNS          bool // with a private domain name
	Professional bool
}

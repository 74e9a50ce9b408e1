package sallyport

import (
	"crypto/rand"
	"encoding/hex"
)

// Identifiers are distinct types so that passing one for another does not
// compile. Those of services, endpoints and permissions are lower-case UUIDs
// made by NewID; those of accounts, projects and networks come from the
// configuration or from callers and are opaque (1–64 characters).
type (
	// ServiceID names an endpoint service.
	ServiceID string
	// EndpointID names an endpoint; the service's owner sees the same id as the
	// id of a connection.
	EndpointID string
	// PermissionID names one whitelist record of a service.
	PermissionID string
	// DomainID names an account.
	DomainID string
	// ProjectID names a project, the unit that owns services and endpoints.
	ProjectID string
	// UserID names a user of an account.
	UserID string
	// VPCID names a virtual network.
	VPCID string
	// SubnetID names a subnet of a VPC.
	SubnetID string
	// PortID names a backend: what a service forwards to.
	PortID string
	// Marker is the packet id of an endpoint: 1…2147483647, unique among the
	// endpoints that exist (VPCEP API reference: clients decode it as int32).
	Marker int32
	// Revision is a position in the log of changes. The audit record, the change
	// and the revision are one thing: record n is revision n, without holes.
	Revision int64
)

// MaxMarker is the largest marker: the vendor's SDK decodes markers as int32.
const MaxMarker = Marker(1<<31 - 1)

// NewID makes a random identifier, an RFC 9562 version 4 UUID in lower case.
func NewID[T ~string]() T {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return T(s[:])
}

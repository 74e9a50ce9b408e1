package sallyport

import (
	"net/netip"
	"strings"
	"time"
)

// Fault is why an endpoint is failed, in words for its owner.
type Fault struct {
	Reason  string
	Message string
}

// Endpoint is a VPC endpoint, and the same thing seen from the service's owner:
// a connection. Values handed out by a View are shared and must not be changed.
type Endpoint struct {
	ID        EndpointID
	ServiceID ServiceID
	ProjectID ProjectID
	DomainID  DomainID
	VPCID     VPCID
	SubnetID  SubnetID
	Address   netip.Addr
	// Outside says that the address was asked for outside the network this
	// product gave the subnet: where the machine cannot bind it, the endpoint is
	// unattached rather than failed (docs/adr/0012).
	Outside bool
	Marker  Marker
	Status  Status
	// WasAccepted says that the endpoint was open once: from then on its address
	// is shown, also after a reject (VPCEP API reference, ip).
	WasAccepted bool
	// Unattached says that no agent carries this endpoint: accepted is then a
	// decision alone.
	Unattached      bool
	Fault           *Fault // of StatusFailed
	EnableDNS       bool
	EnableWhitelist bool
	Whitelist       []string // verbatim
	RouteTables     []string
	Tags            []Tag
	Description     string // the consumer's
	Note            string // the owner's description of the connection
	Specification   string
	IPVersion       string
	IPv6Address     string
	PolicyStatement string // JSON array of statements, "" for none
	PolicyDocument  string // any JSON value, "" for none
	Professional    bool   // upgraded from the basic edition
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Rev             Revision // of the last change
	SpecRev         Revision // of the last change that the data plane must act on
	// AdmitRev is the revision of the step that admitted it last: a flow that is
	// older than a reject must not survive the accept that follows at once.
	AdmitRev Revision
}

// Apply returns e after a has happened at time now, and whether anything
// changed. It refuses with ReasonDeleting where the endpoint is on its way out
// and with ReasonRefused where the state machine knows no such step.
func (e Endpoint) Apply(a Action, now time.Time) (Endpoint, bool, error) {
	to, ok := Next(e.Status, a)
	switch {
	case !ok && e.Status == StatusDeleting:
		return e, false, Refuse(KindConflict, ReasonDeleting, "endpoint %s is being deleted", e.ID)
	case !ok:
		return e, false, Refuse(KindConflict, ReasonRefused, "endpoint %s is %s and does not take %s", e.ID, e.Status, a)
	case to == e.Status:
		return e, false, nil
	}
	e.Status = to
	e.UpdatedAt = now
	if to != StatusFailed {
		e.Fault = nil
	}
	if to == StatusAccepted {
		e.WasAccepted = true
	}
	return e, true, nil
}

// ShowsAddress reports whether the address is shown to clients: once accepted,
// and still after a later reject.
func (e *Endpoint) ShowsAddress() bool {
	return e.Status == StatusAccepted || e.WasAccepted && e.Status == StatusRejected
}

// DefaultDNSSuffix ends the DNS names of endpoints where the operator named no
// suffix; ICANN keeps .internal for private networks (SAC113).
const DefaultDNSSuffix = "sallyport.internal"

// DNSName returns the private DNS name of an endpoint, without a final dot. Only
// interface endpoints with EnableDNS have one.
func DNSName(id EndpointID, region, suffix string) string {
	parts := DNSNameParts(id, region, suffix)
	return strings.Join(parts[:], "")
}

// DNSNameParts returns what DNSName joins, for an encoder that makes no strings:
// vpcep-<id>.<region>.<suffix>. The label is the one that pictures of the
// vendor's console show; what follows it is documented nowhere.
func DNSNameParts(id EndpointID, region, suffix string) [6]string {
	return [6]string{"vpcep-", string(id), ".", region, ".", suffix}
}

// SubnetLease is the network this product gave to a subnet it was not told of
// (networks.unknown: allow). It is stored, so that addresses survive a restart.
type SubnetLease struct {
	ID     SubnetID
	VPCID  VPCID
	Prefix netip.Prefix
	Rev    Revision
}

// Revocation is a token that was revoked before it expired.
type Revocation struct {
	TokenID   string
	ExpiresAt time.Time
	Rev       Revision
}

package sallyport

import (
	"errors"
	"fmt"
)

// Kind is the class of an error, what a caller branches on. An error that is
// not an *Error is internal, always.
type Kind uint8

// Every edge maps kinds and reasons to its own statuses and codes.
const (
	// KindInternal is a fault of ours or of the machine; its text is not shown.
	KindInternal Kind = iota
	// KindInvalid is a request that can never succeed as it is.
	KindInvalid
	// KindForbidden is a known caller who may not do this.
	KindForbidden
	// KindNotFound is a thing that does not exist, or is not the caller's to know.
	KindNotFound
	// KindConflict is a request that the present state forbids.
	KindConflict
	// KindQuota is a limit of the project or the network that is used up.
	KindQuota
	// KindUnconfirmed is a decision that was kept but not confirmed by the data
	// plane in time; repeating the call is safe.
	KindUnconfirmed
)

// String returns the name used in logs and metrics.
func (k Kind) String() string {
	switch k {
	case KindInvalid:
		return "invalid"
	case KindForbidden:
		return "forbidden"
	case KindNotFound:
		return "not_found"
	case KindConflict:
		return "conflict"
	case KindQuota:
		return "quota"
	case KindUnconfirmed:
		return "unconfirmed"
	default:
		return "internal"
	}
}

// Reason says which rule refused; each edge has a code for each reason.
type Reason string

// The reasons, by the noun they speak of.
const (
	ReasonForbidden          Reason = "forbidden"            // the role does not allow the operation
	ReasonProjectForeign     Reason = "project_foreign"      // the project is not the caller's
	ReasonServiceNotFound    Reason = "service_not_found"    // the addressed service
	ReasonServiceUnknown     Reason = "service_unknown"      // a service named inside a request
	ReasonServiceUnavailable Reason = "service_unavailable"  // it exists and takes no endpoints now
	ReasonServiceInUse       Reason = "service_in_use"       // admitted endpoints forbid deletion
	ReasonServiceSystem      Reason = "service_system"       // the operator's own service
	ReasonServiceAmbiguous   Reason = "service_ambiguous"    // id and name do not agree, or neither is given
	ReasonEndpointNotFound   Reason = "endpoint_not_found"   // the addressed endpoint
	ReasonNotConnection      Reason = "not_connection"       // the endpoint is no connection of this service
	ReasonNotWhitelisted     Reason = "not_whitelisted"      // the account may not connect to the service
	ReasonDeleting           Reason = "deleting"             // the endpoint is being deleted
	ReasonRefused            Reason = "refused"              // the state machine knows no such step
	ReasonQuota              Reason = "quota"                // the project's quota is used up
	ReasonVPCUnknown         Reason = "vpc_unknown"          // networks.unknown is refuse
	ReasonSubnetUnknown      Reason = "subnet_unknown"       // networks.unknown is refuse
	ReasonSubnetForeign      Reason = "subnet_foreign"       // the subnet is not in the VPC
	ReasonAddressTaken       Reason = "address_taken"        // another endpoint has the address
	ReasonAddressOutside     Reason = "address_outside"      // the address is not of the subnet
	ReasonAddressesExhausted Reason = "addresses_exhausted"  // the subnet has no free address
	ReasonPortUnknown        Reason = "port_unknown"         // networks.unknown is refuse
	ReasonPortForeign        Reason = "port_foreign"         // the backend is not in the VPC
	ReasonPortsConflict      Reason = "ports_conflict"       // another service forwards to the same backend port
	ReasonPermissionsFull    Reason = "permissions_full"     // the service's whitelist is full
	ReasonMarkersExhausted   Reason = "markers_exhausted"    // all 2^31-1 markers are taken
	ReasonUnconfirmed        Reason = "unconfirmed"          // no confirmation within the wait
	ReasonInstanceNotFound   Reason = "instance_not_found"   // the addressed cluster or gateway
	ReasonInstanceClosed     Reason = "instance_closed"      // a cluster without an endpoint service
	ReasonInstanceOpen       Reason = "instance_open"        // a cluster that has one already
	ReasonInstanceConfigured Reason = "instance_configured"  // the configuration file declares it
	ReasonInstanceExists     Reason = "instance_exists"      // the id is taken
	ReasonServiceManaged     Reason = "service_managed"      // it goes only with its cluster or gateway
	ReasonPermissionNotFound Reason = "permission_not_found" // the addressed whitelist record
	ReasonWhitelistKind      Reason = "whitelist_kind"       // source whitelists belong to interface endpoints
	ReasonFailed             Reason = "failed"               // a failed endpoint is not changed
	ReasonRouteTableKind     Reason = "route_table_kind"     // route tables belong to gateway endpoints
	ReasonRouteTableUsed     Reason = "route_table_used"     // another endpoint has the route table
	ReasonRouteTableNone     Reason = "route_table_none"     // at least one route table stays bound
	ReasonPolicyDisabled     Reason = "policy_disabled"      // the service has no policies
	ReasonNoPolicy           Reason = "no_policy"            // there is none to remove
	ReasonTagsFull           Reason = "tags_full"            // a resource has at most MaxTags
	ReasonResourcesFull      Reason = "resources_full"       // a service has at most so many load balancers
	ReasonTokensFull         Reason = "revocations_full"     // too many revoked tokens are still alive
)

// Error is an error that may be shown: Kind to branch on, Reason to name the
// rule, Msg safe for any caller, Err for the log only.
type Error struct {
	Kind   Kind
	Reason Reason
	Msg    string
	Err    error
}

// Error returns Msg, and for the log what lies under it.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns what lies under the error.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an Error from a kind, a reason and a sentence for the caller.
func Refuse(k Kind, r Reason, format string, args ...any) *Error {
	return &Error{Kind: k, Reason: r, Msg: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err; what is not an *Error is internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// ReasonOf returns the reason of err, or "" where there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

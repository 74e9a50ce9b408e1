package sallyport

import "slices"

// Role is a named set of operations a user may call.
type Role string

// The roles of the embedded directory (docs/configuration.md, roles).
const (
	// RoleAdmin may call every operation of its account.
	RoleAdmin Role = "admin"
	// RoleReader may only look.
	RoleReader Role = "reader"
)

// Method is the way a caller proved who it is.
type Method string

// The ways of proof.
const (
	// MethodToken is an X-Auth-Token.
	MethodToken Method = "token"
	// MethodKey is an access key and a request signature.
	MethodKey Method = "aksk"
	// MethodSystem is the product itself: the agent's reports, the reconciler.
	MethodSystem Method = "system"
)

// Principal is an authenticated caller. Its zero value may do nothing.
type Principal struct {
	DomainID    DomainID
	DomainName  string
	UserID      UserID
	UserName    string
	ProjectID   ProjectID // "" for a domain scope
	ProjectName string
	Roles       []Role
	Method      Method
	AccessKey   string // of MethodKey; it is an identifier, not a secret
}

// May reports whether the roles of p allow the operation; write says whether
// the operation changes anything.
func (p Principal) May(write bool) bool {
	if slices.Contains(p.Roles, RoleAdmin) {
		return true
	}
	return !write && slices.Contains(p.Roles, RoleReader)
}

// Call is one request as the use cases see it: who, through which door, under
// which name, from where. It is what an audit record needs to know.
type Call struct {
	Principal Principal
	Project   ProjectID // the project addressed; must be one of the caller's
	Family    string    // vpcep, css, apig, iam, native, agent, system
	Operation string    // the documented operation id, for example AcceptOrRejectEndpoint
	Source    string    // remote address, "" for the system
	// Write says that the caller asks for a change: a refusal is then recorded.
	Write     bool
	RequestID string
}

package sallyport

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Outcome is how an attempt ended.
type Outcome string

// The outcomes of an attempt.
const (
	// OutcomeDone changed the object.
	OutcomeDone Outcome = "done"
	// OutcomeUnchanged was allowed and found nothing to change.
	OutcomeUnchanged Outcome = "unchanged"
	// OutcomeDenied was refused; Reason says by which rule.
	OutcomeDenied Outcome = "denied"
)

// ObjectKind is the kind of thing a record speaks of. Together with the id it
// tells a replica what to read again.
type ObjectKind string

// The kinds of object in the log.
const (
	ObjectService     ObjectKind = "service"
	ObjectPermissions ObjectKind = "permissions" // of the service with the id
	ObjectEndpoint    ObjectKind = "endpoint"
	ObjectSubnet      ObjectKind = "subnet"
	ObjectToken       ObjectKind = "token"
	ObjectInstance    ObjectKind = "instance"
)

// Record is one entry of the audit log and, at the same time, one revision: who
// did what to which object, through which door, from which state to which, and
// how it ended. The chain of hashes makes a changed or missing record visible.
type Record struct {
	Rev       Revision
	At        time.Time
	Family    string
	Operation string
	Action    string
	Outcome   Outcome
	Reason    Reason // of OutcomeDenied
	Object    ObjectKind
	ObjectID  string
	ServiceID ServiceID // the service an endpoint belongs to
	From, To  string    // statuses
	DomainID  DomainID
	ProjectID ProjectID
	UserID    UserID
	UserName  string
	Method    Method
	Source    string
	RequestID string
	Detail    string // more facts, as short key=value words
	Hash      [sha256.Size]byte
}

// Chain returns the hash of r given the hash of the record before it: SHA-256
// over the previous hash and every field but Hash, each preceded by its length
// as eight bytes, so that no two records share an encoding.
func (r *Record) Chain(prev [sha256.Size]byte) [sha256.Size]byte {
	buf := make([]byte, 0, 512)
	buf = append(buf, prev[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Rev))
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.At.UnixMicro()))
	for _, s := range [...]string{
		r.Family, r.Operation, r.Action, string(r.Outcome), string(r.Reason), string(r.Object), r.ObjectID,
		string(r.ServiceID), r.From, r.To, string(r.DomainID), string(r.ProjectID), string(r.UserID),
		r.UserName, string(r.Method), r.Source, r.RequestID, r.Detail,
	} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	return sha256.Sum256(buf)
}

// HashText returns the hash in lower-case hexadecimal.
func (r *Record) HashText() string { return hex.EncodeToString(r.Hash[:]) }

package sallyport

// Status is the state of an endpoint, seen from both sides: the consumer's
// endpoint and the owner's connection are one thing.
type Status uint8

// The six states (VPCEP API reference, status of an endpoint). The zero value is no state, so that a forgotten
// one is visible.
const (
	// StatusPending waits for the owner of the service.
	StatusPending Status = iota + 1
	// StatusCreating is admitted, and the listener does not stand yet.
	StatusCreating
	// StatusAccepted is admitted and open: a listener stands.
	StatusAccepted
	// StatusRejected was refused by the owner; nothing passes.
	StatusRejected
	// StatusFailed was admitted but the data plane could not open it.
	StatusFailed
	// StatusDeleting is being removed; the row goes when the data plane has closed.
	StatusDeleting
)

// Statuses lists every status in order of their numbers.
var Statuses = []Status{StatusPending, StatusCreating, StatusAccepted, StatusRejected, StatusFailed, StatusDeleting}

// String returns the name used in logs and in the audit record.
func (s Status) String() string {
	switch s {
	case StatusPending:
		return "pending"
	case StatusCreating:
		return "creating"
	case StatusAccepted:
		return "accepted"
	case StatusRejected:
		return "rejected"
	case StatusFailed:
		return "failed"
	case StatusDeleting:
		return "deleting"
	default:
		return "none"
	}
}

// Admitted reports whether the data plane shall carry bytes in this status.
func (s Status) Admitted() bool { return s == StatusCreating || s == StatusAccepted }

// Action is what can happen to an endpoint.
type Action uint8

// Owners accept and reject, consumers delete, agents confirm and fail.
const (
	// ActionAccept admits the connection (the owner's decision).
	ActionAccept Action = iota + 1
	// ActionReject refuses it (the owner's decision).
	ActionReject
	// ActionConfirm reports that the listener stands (an agent's report).
	ActionConfirm
	// ActionFail reports that it cannot be opened (an agent's report).
	ActionFail
	// ActionDelete removes the endpoint (the consumer's wish).
	ActionDelete
)

// Actions lists every action in order of their numbers.
var Actions = []Action{ActionAccept, ActionReject, ActionConfirm, ActionFail, ActionDelete}

// String returns the name used in logs and in the audit record.
func (a Action) String() string {
	switch a {
	case ActionAccept:
		return "accept"
	case ActionReject:
		return "reject"
	case ActionConfirm:
		return "confirm"
	case ActionFail:
		return "fail"
	case ActionDelete:
		return "delete"
	default:
		return "none"
	}
}

// transitions is the whole state machine (docs/adr/0010): from, action, to. A pair
// that is absent is refused; a pair that stays where it is changes nothing and
// is a success, which is what makes decisions idempotent. Reject is possible
// from every live state: an owner can always cut.
var transitions = map[Status]map[Action]Status{
	StatusPending: {
		ActionAccept: StatusCreating,
		ActionReject: StatusRejected,
		ActionDelete: StatusDeleting,
	},
	StatusCreating: {
		ActionAccept:  StatusCreating,
		ActionReject:  StatusRejected,
		ActionConfirm: StatusAccepted,
		ActionFail:    StatusFailed,
		ActionDelete:  StatusDeleting,
	},
	StatusAccepted: {
		ActionAccept: StatusAccepted,
		ActionReject: StatusRejected,
		ActionFail:   StatusFailed,
		ActionDelete: StatusDeleting,
	},
	StatusRejected: {
		ActionAccept: StatusCreating,
		ActionReject: StatusRejected,
		ActionDelete: StatusDeleting,
	},
	StatusFailed: {
		ActionAccept: StatusCreating,
		ActionReject: StatusRejected,
		ActionDelete: StatusDeleting,
	},
	StatusDeleting: {
		ActionDelete: StatusDeleting,
	},
}

// Next returns the status that follows when a happens in s, and whether the
// machine knows the pair at all.
func Next(s Status, a Action) (Status, bool) {
	to, ok := transitions[s][a]
	return to, ok
}

// First returns the status of a new endpoint: with approval it waits for the
// owner, without it is admitted at once.
func First(approval bool) Status {
	if approval {
		return StatusPending
	}
	return StatusCreating
}

package vpcep

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits on names and texts. All come from the VPCEP API reference, so that
// what is accepted here is accepted there.
const (
	// maxServiceName is the length of the user's part of a service name.
	maxServiceName = 16
	// maxDescription is in characters, not bytes: descriptions may be Chinese.
	// Only the Open Telekom Cloud edition states it; without a limit a text could
	// fill a body.
	maxDescription = 128
	// maxID is the length of an id in a path or body; real ones are UUIDs (36) or
	// 32 hexadecimal digits.
	maxID = 64
	// maxNameFilter is the length of the query parameter endpoint_service_name.
	maxNameFilter = 128
	// maxPermissionFilter is the length of the query parameter permission.
	maxPermissionFilter = 1000
	// maxQuoted is how much of a wrong value a detail repeats: enough to recognise
	// it, and never a whole body.
	maxQuoted = 64
)

// parseStatus reads the status filter of a connection list; "" is no filter.
// The reference lists four of the six states as filters; all six are taken,
// because a client that can see a state should be able to ask for it.
func parseStatus(text string) (sallyport.Status, *codeError) {
	switch text {
	case "":
		return 0, nil
	case "pendingAcceptance":
		return sallyport.StatusPending, nil
	case "creating":
		return sallyport.StatusCreating, nil
	case "accepted":
		return sallyport.StatusAccepted, nil
	case "rejected":
		return sallyport.StatusRejected, nil
	case "failed":
		return sallyport.StatusFailed, nil
	case "deleting":
		return sallyport.StatusDeleting, nil
	default:
		return 0, refuse(codeStatus, "status is %s, one of pendingAcceptance, creating, accepted, rejected, failed, deleting is needed", quote(text))
	}
}

// parseServiceStatus reads the status filter of a service list; "" is no
// filter. Services are available from the moment they are stored and gone from
// the moment they are deleted, so the other documented states are valid and
// match nothing: none says so.
func parseServiceStatus(text string) (st sallyport.ServiceStatus, none bool, err *codeError) {
	switch text {
	case "":
		return 0, false, nil
	case "available":
		return sallyport.ServiceAvailable, false, nil
	case "creating", "failed", "deleting":
		return 0, true, nil
	default:
		return 0, false, refuse(codeStatus, "status is %s, one of creating, available, failed, deleting is needed", quote(text))
	}
}

// parseAction reads the action of an owner's decision, receive or reject.
func parseAction(text string) (sallyport.Action, *codeError) {
	switch text {
	case "receive":
		return sallyport.ActionAccept, nil
	case "reject":
		return sallyport.ActionReject, nil
	default:
		return 0, refuse(codeDecision, "action is %s, receive or reject is needed", quote(text))
	}
}

// parseDecision reads the body of AcceptOrRejectEndpoint in the order in which
// its errors win: the action, the number of endpoints, the id's syntax. Several
// endpoints per call are refused because the reference allows one.
func parseDecision(action string, endpoints []string) (sallyport.Action, sallyport.EndpointID, *codeError) {
	a, err := parseAction(action)
	switch {
	case err != nil:
		return 0, "", err
	case len(endpoints) == 0:
		return 0, "", refuse(codeEmpty, "the list endpoints is empty")
	case len(endpoints) > 1:
		return 0, "", refuse(codeOneEndpoint, "the list endpoints has %d ids", len(endpoints))
	case !isUUID(endpoints[0]):
		return 0, "", refuse(codeEndpointID, "%s is not a UUID", quote(endpoints[0]))
	}
	return a, sallyport.EndpointID(endpoints[0]), nil
}

// checkServiceName checks the user's part of a service name: at most 16
// letters, digits, _ and -; it may be empty. number is the code to refuse with,
// codeServiceName where a service is made and codeNewName where it is renamed.
func checkServiceName(name, number string) *codeError {
	if n := utf8.RuneCountInString(name); n > maxServiceName {
		return refuse(number, "the service name has %d characters, at most %d are allowed", n, maxServiceName)
	}
	if !onlyOf(name, isWord) {
		return refuse(number, "the service name is %s, only letters, digits, _ and - are allowed", quote(name))
	}
	return nil
}

// checkDescription checks a description of anything: at most 128 characters,
// neither < nor >. NUL is refused too, because PostgreSQL cannot store it.
func checkDescription(text string) *codeError {
	if n := utf8.RuneCountInString(text); n > maxDescription {
		return refuse(codeParameter, "description has %d characters, at most %d are allowed", n, maxDescription)
	}
	if strings.ContainsAny(text, "<>\x00") {
		return refuse(codeParameter, "description must not contain <, > or NUL")
	}
	return nil
}

// checkFilter checks a text filter of a query: at most limit characters of
// valid UTF-8. An empty one is no filter.
func checkFilter(field, text string, limit int) *codeError {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return refuse(codeParameter, "%s is not valid text", field)
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return refuse(codeParameter, "%s has %d characters, at most %d are allowed", field, n, limit)
	}
	return nil
}

// parseID reads an id from a path or a body: 1–64 visible ASCII characters. It
// does not ask for a UUID, because operators and stock Terraform files name
// networks as they like; an id that names nothing is refused later, as unknown.
// empty and malformed are the codes to refuse with.
func parseID[T ~string](field, text, empty, malformed string) (T, *codeError) {
	switch {
	case text == "":
		return "", refuse(empty, "%s is empty", field)
	case len(text) > maxID:
		return "", refuse(malformed, "%s has %d characters, at most %d are allowed", field, len(text), maxID)
	case !onlyOf(text, isVisible):
		return "", refuse(malformed, "%s is %s, only visible ASCII characters are allowed", field, quote(text))
	}
	return T(text), nil
}

// isUUID reports whether s is 32 hexadecimal digits with hyphens in the places
// of RFC 9562, in either case.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return true
}

// onlyOf reports whether every byte of s is one that is accepts.
func onlyOf(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isWord(c byte) bool { return isAlnum(c) || c == '_' || c == '-' }

func isVisible(c byte) bool { return '!' <= c && c <= '~' }

// refuse makes a codeError with a detail for the caller.
func refuse(number, format string, args ...any) *codeError {
	return &codeError{number: number, detail: fmt.Sprintf(format, args...)}
}

// quote repeats a value of the caller in a detail, shortened and with every
// character that could disturb a terminal or a log escaped.
func quote(s string) string {
	if utf8.RuneCountInString(s) <= maxQuoted {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", string([]rune(s)[:maxQuoted]))
}

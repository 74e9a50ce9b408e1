package apig

import (
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// defaultPage and maxPage are those of the reference (Querying VPC Endpoint
	// Connections, limit).
	defaultPage = 20
	maxPage     = 500
	// maxBatch is how many endpoints or whitelist records one call has at most
	// (APIG API reference, endpoints and permissions).
	maxBatch = 50
	// maxID is the length of an id: real ones are UUIDs or 32 hexadecimal digits.
	maxID = 64
	// maxFilter is the length of a text filter; longer than any record.
	maxFilter = 1000
	// everyone stands for every account behind permissionPrefix.
	everyone         = "*"
	permissionPrefix = "iam:domain::"
)

// parsePage reads the page of a list and converts what is out of range, as the
// reference has it. What is no number is refused.
func parsePage(values url.Values) (sallyport.Page, *codeError) {
	page := sallyport.Page{Limit: defaultPage}
	offset, bad := number("offset", values.Get("offset"), 0)
	if bad != nil {
		return page, bad
	}
	page.Offset = int(min(max(offset, 0), math.MaxInt32)) // no list is longer
	limit, bad := number("limit", values.Get("limit"), defaultPage)
	if bad != nil {
		return page, bad
	}
	if limit > 0 {
		page.Limit = int(min(limit, maxPage))
	}
	return page, nil
}

// number reads a whole number; one beyond 64 bits is the nearest that has them.
func number(name, text string, fallback int64) (int64, *codeError) {
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, refuse("parameter name[%s]", name)
	}
	return n, nil
}

// parseStatus reads the status filter, "" for none: four of the six states, as
// the reference lists them.
func parseStatus(text string) (sallyport.Status, *codeError) {
	switch text {
	case "":
		return 0, nil
	case "pendingAcceptance":
		return sallyport.StatusPending, nil
	case "accepted":
		return sallyport.StatusAccepted, nil
	case "rejected":
		return sallyport.StatusRejected, nil
	case "failed":
		return sallyport.StatusFailed, nil
	default:
		return 0, refuse("parameter name[status]")
	}
}

// parseMarker reads the filter by packet id, 0 for none. A number that no
// endpoint can have finds nothing.
func parseMarker(text string) (marker sallyport.Marker, none bool, bad *codeError) {
	n, bad := number("marker_id", text, 0)
	switch {
	case bad != nil || text == "":
		return 0, false, bad
	case n < 1 || n > math.MaxInt32:
		return 0, true, nil
	}
	return sallyport.Marker(n), false, nil
}

// decideRequest is the body of AcceptOrRejectEndpointConnections.
type decideRequest struct {
	Action    string   `json:"action"`
	Endpoints []string `json:"endpoints"`
}

// decision checks what can be checked without state. An id that stands twice is
// decided once.
func (in *decideRequest) decision() (sallyport.Action, []sallyport.EndpointID, *codeError) {
	var action sallyport.Action
	switch in.Action {
	case "receive":
		action = sallyport.ActionAccept
	case "reject":
		action = sallyport.ActionReject
	default:
		return 0, nil, refuse("parameter name[action]")
	}
	if n := len(in.Endpoints); n == 0 || n > maxBatch {
		return 0, nil, refuse("parameter name[endpoints]: 1 to %d ids are allowed", maxBatch)
	}
	ids := make([]sallyport.EndpointID, 0, len(in.Endpoints))
	for _, id := range in.Endpoints {
		if !validID(id) {
			return 0, nil, refuse("parameter name[endpoints]: an entry is no id")
		}
		if e := sallyport.EndpointID(id); !slices.Contains(ids, e) {
			ids = append(ids, e)
		}
	}
	return action, ids, nil
}

// permissionsBody is the body and the answer of the two calls that change the
// whitelist.
type permissionsBody struct {
	Permissions []string `json:"permissions"`
}

// records returns the records that are named.
func (in *permissionsBody) records() ([]sallyport.NewPermission, *codeError) {
	if n := len(in.Permissions); n == 0 || n > maxBatch {
		return nil, refuse("parameter name[permissions]: 1 to %d records are allowed", maxBatch)
	}
	out := make([]sallyport.NewPermission, len(in.Permissions))
	for n, value := range in.Permissions {
		id, ok := strings.CutPrefix(value, permissionPrefix)
		if !ok || id != everyone && !validAccount(id) {
			return nil, refuse("parameter name[permissions]: an entry is not iam:domain:: with an account or *")
		}
		out[n] = sallyport.NewPermission{Value: value, Type: sallyport.PermissionDomain}
	}
	return out, nil
}

// validID reports whether text could be an id: 1–64 visible ASCII characters.
func validID(text string) bool {
	return text != "" && len(text) <= maxID && !slices.ContainsFunc([]byte(text), func(c byte) bool {
		return c <= ' ' || c >= utf8.RuneSelf || c == 0x7f
	})
}

// validAccount reports whether text could be an account's id: letters and
// digits, as the whitelist of the VPC endpoint family takes them.
func validAccount(text string) bool {
	return text != "" && len(text) <= maxID && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// validFilter reports whether text can be part of a stored text.
func validFilter(text string) bool {
	return len(text) <= maxFilter && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

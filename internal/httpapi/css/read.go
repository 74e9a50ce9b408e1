package css

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// maxPage, maxOffset and defaultPage are those of the reference (Querying
	// Endpoint Connections, limit and offset).
	maxPage     = 1000
	maxOffset   = 1000
	defaultPage = 10
	// maxDecisions is how many endpoints one call decides. The reference has no
	// limit; this is all that one page of the list can show.
	maxDecisions = maxPage
	// maxAccounts is how many accounts a whitelist names: what a service may have.
	maxAccounts = 500
	// maxID is the length of an id: real ones are UUIDs or 32 hexadecimal digits.
	maxID = 64
	// everyone stands for every account in a whitelist.
	everyone = "*"
	// permissionPrefix is in front of an account where a whitelist is shown, and
	// not where it is set.
	permissionPrefix = "iam:domain::"
)

// flexBool is a boolean that may come as text: old SDKs send "true".
type flexBool bool

// UnmarshalJSON reads true, false, "true" and "false".
func (b *flexBool) UnmarshalJSON(text []byte) error {
	var on bool
	if err := json.Unmarshal(bytes.Trim(text, `"`), &on); err != nil {
		return errors.New("a boolean is needed")
	}
	*b = flexBool(on)
	return nil
}

// openRequest is the body of StartVpecp. The keys were renamed in 2025; clients
// of both generations are about.
type openRequest struct {
	DNS           *flexBool `json:"endpoint_with_dns_name"`
	OldDNS        *flexBool `json:"endpointWithDnsName"`
	Profession    *flexBool `json:"profession_vpcep"`
	OldProfession *flexBool `json:"professionVpcep"`
	Dual          *flexBool `json:"dualstack_enable"`
	OldDual       *flexBool `json:"dualstackEnable"`
}

// options returns what was asked for. Both protocols need a professional
// endpoint, and a subnet that has both, which none has here.
func (in *openRequest) options() (sallyport.ClusterOptions, *codeError) {
	opt := sallyport.ClusterOptions{DNS: either(in.DNS, in.OldDNS), Professional: either(in.Profession, in.OldProfession)}
	switch dual := either(in.Dual, in.OldDual); {
	case dual && !opt.Professional:
		return opt, refuse(codeParameter, "dualstack_enable needs profession_vpcep")
	case dual:
		return opt, refuse(codeUnsupported, "the subnet has no IPv6")
	}
	return opt, nil
}

// either returns the value under the new key, or else that under the old one.
func either(now, old *flexBool) bool {
	if now == nil {
		now = old
	}
	return now != nil && bool(*now)
}

// decideRequest is the body of UpdateVpcepConnection.
type decideRequest struct {
	Action string   `json:"action"`
	IDs    []string `json:"endpoint_id_list"`
	OldIDs []string `json:"endpointIdList"`
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
		return 0, nil, refuse(codeParameter, "action must be receive or reject")
	}
	ids := in.IDs
	if ids == nil {
		ids = in.OldIDs
	}
	switch {
	case len(ids) == 0:
		return 0, nil, refuse(codeParameter, "endpoint_id_list is empty")
	case len(ids) > maxDecisions:
		return 0, nil, refuse(codeParameter, "endpoint_id_list has %d ids, at most %d are allowed", len(ids), maxDecisions)
	}
	out := make([]sallyport.EndpointID, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if !validID(id) {
			return 0, nil, refuse(codeParameter, "endpoint_id_list has an entry that is no id")
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, sallyport.EndpointID(id))
		}
	}
	return action, out, nil
}

// whitelistRequest is the body of UpdateVpcepWhitelist.
type whitelistRequest struct {
	Accounts    *[]string `json:"vpc_permissions"`
	OldAccounts *[]string `json:"vpcPermissions"`
}

// change returns the records that shall replace the whitelist. An empty list
// lets every account in, as * does (CSS user guide, VPC endpoint whitelist).
func (in *whitelistRequest) change() (sallyport.PermissionChange, *codeError) {
	ch := sallyport.PermissionChange{Replace: true}
	accounts := in.Accounts
	if accounts == nil {
		accounts = in.OldAccounts
	}
	if accounts == nil {
		return ch, &codeError{code: codeNoWhitelist}
	}
	list := *accounts
	if len(list) == 0 {
		list = []string{everyone}
	}
	if len(list) > maxAccounts {
		return ch, refuse(codeParameter, "vpc_permissions has %d accounts, at most %d are allowed", len(list), maxAccounts)
	}
	for _, account := range list {
		id := strings.TrimPrefix(account, permissionPrefix)
		if id != everyone && !validAccount(id) {
			return ch, refuse(codeParameter, "vpc_permissions has an entry that is no account id")
		}
		ch.Add = append(ch.Add, sallyport.NewPermission{Value: permissionPrefix + id, Type: sallyport.PermissionDomain})
	}
	return ch, nil
}

// parsePage reads the page of a list: offset counts from 0, and the older start
// from 1. Nothing is clamped.
func parsePage(values url.Values) (sallyport.Page, *codeError) {
	page := sallyport.Page{Limit: defaultPage}
	var bad *codeError
	if text := values.Get("limit"); text != "" {
		if page.Limit, bad = number("limit", text, 1, maxPage); bad != nil {
			return page, bad
		}
	}
	offset, start := values.Get("offset"), values.Get("start")
	switch {
	case offset != "":
		page.Offset, bad = number("offset", offset, 0, maxOffset)
	case start != "":
		page.Offset, bad = number("start", start, 1, maxOffset)
		page.Offset--
	}
	return page, bad
}

func number(name, text string, least, most int) (int, *codeError) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, refuse(codeParameter, "%s must be a whole number from %d to %d", name, least, most)
	}
	return n, nil
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

package vpcep

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The numeric parts of the codes that validation refuses with; the catalogue
// has their texts.
const (
	codeParameter        = "0002"
	codeLimit            = "0006"
	codeAction           = "0007"
	codeOffset           = "0010"
	codeBatchSize        = "0016"
	codeSortKey          = "0017"
	codeSortDir          = "0018"
	codeStatus           = "0019"
	codeMarker           = "0021"
	codeServiceName      = "1003"
	codeEmpty            = "2002"
	codeEndpointID       = "2017"
	codeDecision         = "2027"
	codePortEmpty        = "2028"
	codeOneEndpoint      = "2031"
	codePortIP           = "2041"
	codeWhitelist        = "2044"
	codeWhitelistFull    = "2045"
	codePermission       = "3002"
	codePort             = "3004"
	codeServerType       = "3021"
	codePermissionAction = "3035"
	codePermissionsEmpty = "3036"
	codePortRange        = "3043"
	codeTagEmpty         = "3066"
	codeTagKeyTwice      = "3067"
	codeTagCharacters    = "3068"
	codeTagsFull         = "3069"
	codeResourceType     = "3070"
	codeTagValueTwice    = "3071"
	codeTagKeySize       = "3072"
	codeTagValueSize     = "3073"
	codePortsFull        = "3074"
	codeProtocol         = "3075"
	codeNewName          = "3076"
)

// Limits on lists and values. Where editions of the VPCEP API reference differ,
// the wider one holds, so that a client of either is served.
const (
	// maxPorts is the number of port mappings of a service in every edition.
	maxPorts = 200
	// maxTagKey is in characters (36 in the older editions).
	maxTagKey = 128
	// maxTagValue is in characters (43 in the older editions).
	maxTagValue = 255
	// maxDomainID is the length of the account id of a whitelist record.
	maxDomainID = 64
	// maxOrgPath is the length of the organization path of a whitelist record.
	maxOrgPath = 1024
	// maxPermissionBatch is the number of whitelist records in one call. The
	// reference has none; one page of the list is as much as a caller can see at
	// once, and it bounds what one transaction writes.
	maxPermissionBatch = maxPermissionPage
	// maxWhitelist is the number of entries of an endpoint's whitelist (20 in
	// other places of the user guides).
	maxWhitelist = 60
	// maxPermissionPage is the largest limit of the whitelist list; every other
	// list has sallyport.MaxPage.
	maxPermissionPage = 500
	// defaultLimit is the page size of a list that is asked for without a limit.
	defaultLimit = 10
	// maxOffset is what the vendor's SDK can send, an int32.
	maxOffset = 1<<31 - 1
)

// flexBool is a JSON boolean that may come as text: examples in the reference
// send "true". null leaves it as it is.
type flexBool bool

// UnmarshalJSON reads true, "true" or "True" and their opposites; anything else
// is a parameter error.
func (f *flexBool) UnmarshalJSON(data []byte) error {
	switch text := strings.ToLower(strings.Trim(string(data), `"`)); text {
	case "true", "false":
		*f = text == "true"
		return nil
	case "null":
		if data[0] != '"' {
			return nil
		}
	}
	return refuse(codeParameter, "%s stands where true or false is needed", quoteJSON(data))
}

// flexInt is a JSON integer that may come as text: examples in the reference
// send "8080", and a client sends its limit so. null leaves it as it is.
type flexInt int64

// UnmarshalJSON reads 8080 or "8080"; fractions, exponents and what does not
// fit 64 bits are a parameter error.
func (f *flexInt) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	n, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	if err != nil {
		return refuse(codeParameter, "%s stands where an integer is needed", quoteJSON(data))
	}
	*f = flexInt(n)
	return nil
}

// flexString is a JSON string that may come as a number: a client sends the
// same field both ways. A number keeps its spelling; null leaves the value as
// it is.
type flexString string

// UnmarshalJSON reads a string or a number; anything else is a parameter error.
func (f *flexString) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	switch c := data[0]; {
	case c == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return valueError(err)
		}
		*f = flexString(text)
		return nil
	case c == '-' || '0' <= c && c <= '9':
		*f = flexString(data)
		return nil
	default:
		return refuse(codeParameter, "%s stands where a string is needed", quoteJSON(data))
	}
}

// opt is a field of a request that tells absent, null and a value apart: an
// update leaves what is absent and clears what is null.
type opt[T any] struct {
	set   bool // the key was there
	null  bool // with null
	value T
}

// UnmarshalJSON notes that the key was there and reads its value. Of a repeated
// key the last one counts.
func (o *opt[T]) UnmarshalJSON(data []byte) error {
	*o = opt[T]{set: true}
	if bytes.Equal(data, []byte("null")) {
		o.null = true
		return nil
	}
	if err := json.Unmarshal(data, &o.value); err != nil {
		return valueError(err)
	}
	return nil
}

// or returns the value, or fallback where the key was absent or null.
func (o opt[T]) or(fallback T) T {
	if !o.set || o.null {
		return fallback
	}
	return o.value
}

// valueError turns what encoding/json says of the value of an opt into a
// parameter error that a caller can act on, without the names of our types. The
// decoder of the body cannot: it does not see into an opt.
func valueError(err error) *codeError {
	if refused, ok := errors.AsType[*codeError](err); ok {
		return refused
	}
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return refuse(codeParameter, "a value is not valid")
	case wrong.Field == "":
		return refuse(codeParameter, "a JSON %s stands where %s is needed", wrong.Value, wanted(wrong.Type))
	default:
		return refuse(codeParameter, "%s is a JSON %s where %s is needed", wrong.Field, wrong.Value, wanted(wrong.Type))
	}
}

// quoteJSON repeats a JSON value of the caller in a detail.
func quoteJSON(data []byte) string { return quote(strings.Trim(string(data), `"`)) }

// wanted names the JSON type that a Go type is read from.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a number"
	}
}

// portRequest is a port mapping as clients send it.
type portRequest struct {
	ClientPort opt[flexInt]    `json:"client_port"`
	ServerPort opt[flexInt]    `json:"server_port"`
	Protocol   opt[flexString] `json:"protocol"`
}

// checkPorts reads the port mappings of a service, 1–200 of them. The same
// server port may stand behind two client ports; a client port has one meaning
// per protocol.
func checkPorts(in []portRequest) ([]sallyport.PortMapping, *codeError) {
	switch {
	case len(in) == 0:
		return nil, refuse(codePortEmpty, "the list ports is empty")
	case len(in) > maxPorts:
		return nil, refuse(codePortsFull, "the list ports has %d mappings, at most %d are allowed", len(in), maxPorts)
	}
	type key struct {
		client   uint16
		protocol string
	}
	seen := make(map[key]bool, len(in))
	out := make([]sallyport.PortMapping, 0, len(in))
	for _, p := range in {
		m, err := checkPort(p)
		if err != nil {
			return nil, err
		}
		k := key{m.Client, m.Protocol}
		if seen[k] {
			return nil, refuse(codePort, "client_port %d is mapped twice for %s", m.Client, m.Protocol)
		}
		seen[k] = true
		out = append(out, m)
	}
	return out, nil
}

func checkPort(p portRequest) (sallyport.PortMapping, *codeError) {
	var m sallyport.PortMapping
	client, err := checkPortNumber("client_port", p.ClientPort)
	if err != nil {
		return m, err
	}
	server, err := checkPortNumber("server_port", p.ServerPort)
	if err != nil {
		return m, err
	}
	protocol, err := parseProtocol(string(p.Protocol.or("")))
	if err != nil {
		return m, err
	}
	return sallyport.PortMapping{Client: client, Server: server, Protocol: protocol}, nil
}

func checkPortNumber(field string, p opt[flexInt]) (uint16, *codeError) {
	if !p.set || p.null {
		return 0, refuse(codePortEmpty, "%s is empty", field)
	}
	if p.value < 1 || p.value > 65535 {
		return 0, refuse(codePortRange, "%s is %d, 1 to 65535 is allowed", field, p.value)
	}
	return uint16(p.value), nil
}

// parseProtocol reads the protocol of a mapping, in either case; "" is TCP,
// which a client sends where its user said nothing. UDP stands in one edition of
// the reference only.
func parseProtocol(text string) (string, *codeError) {
	switch strings.ToUpper(text) {
	case "", sallyport.ProtocolTCP:
		return sallyport.ProtocolTCP, nil
	case sallyport.ProtocolUDP:
		return sallyport.ProtocolUDP, nil
	default:
		return "", refuse(codeProtocol, "protocol is %s, TCP or UDP is needed", quote(text))
	}
}

// The spellings of whitelist records.
const (
	permissionDomain   = "iam:domain::"
	permissionPath     = "organizations:orgPath::"
	permissionEveryone = "*"
)

// parsePermission reads one whitelist record of a service. The value is kept
// verbatim, because clients compare what they sent with what they read. Its
// type follows from its prefix; a declared type, "" for none, must agree.
//
// A * inside a longer account id is allowed by the reference and is no pattern
// here: only the whole id * means everyone.
func parsePermission(value, declared string) (sallyport.NewPermission, *codeError) {
	p := sallyport.NewPermission{Value: value}
	id, isDomain := strings.CutPrefix(value, permissionDomain)
	path, isPath := strings.CutPrefix(value, permissionPath)
	switch {
	case value == permissionEveryone,
		isDomain && id != "" && len(id) <= maxDomainID && onlyOf(id, isDomainID):
		p.Type = sallyport.PermissionDomain
	case isPath && path != "" && len(path) <= maxOrgPath && onlyOf(path, isOrgPath):
		p.Type = sallyport.PermissionPath
	default:
		return p, refuse(codePermission, "%s is neither iam:domain::<account> nor organizations:orgPath::<path> nor *", quote(value))
	}
	switch t := sallyport.PermissionType(declared); t {
	case "", p.Type:
		return p, nil
	case sallyport.PermissionDomain, sallyport.PermissionPath:
		return p, refuse(codePermission, "%s is not of the permission_type %s", quote(value), t)
	default:
		return p, refuse(codeParameter, "permission_type is %s, domainId or orgPath is needed", quote(declared))
	}
}

// parsePermissions reads the list of a whitelist call, 1–500 records that share
// a declared type.
func parsePermissions(values []string, declared string) ([]sallyport.NewPermission, *codeError) {
	switch {
	case len(values) == 0:
		return nil, refuse(codePermissionsEmpty, "the list permissions is empty")
	case len(values) > maxPermissionBatch:
		return nil, refuse(codeBatchSize, "the list permissions has %d records, at most %d are allowed", len(values), maxPermissionBatch)
	}
	out := make([]sallyport.NewPermission, 0, len(values))
	for _, v := range values {
		p, err := parsePermission(v, declared)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parsePermissionAction reads the action of a whitelist call; add reports
// whether records are added, otherwise they are removed.
func parsePermissionAction(text string) (add bool, err *codeError) {
	switch text {
	case "add":
		return true, nil
	case "remove":
		return false, nil
	default:
		return false, refuse(codePermissionAction, "action is %s, add or remove is needed", quote(text))
	}
}

func isDomainID(c byte) bool { return isAlnum(c) || c == '*' }

// isOrgPath is the alphabet of the reference and the underscore, which its own
// example has.
func isOrgPath(c byte) bool { return isWord(c) || c == '/' || c == '*' || c == '?' }

// whitelistEntry is one source that an endpoint lets in.
type whitelistEntry struct {
	Text   string       // verbatim, as clients compare it
	Prefix netip.Prefix // masked; an address is a /32
}

// parseWhitelist reads the whitelist of an endpoint, 0–60 IPv4 addresses or
// networks. What would let everyone in is refused: that is said by leaving the
// whitelist off.
func parseWhitelist(entries []string) ([]whitelistEntry, *codeError) {
	if len(entries) > maxWhitelist {
		return nil, refuse(codeWhitelistFull, "the list whitelist has %d entries, at most %d are allowed", len(entries), maxWhitelist)
	}
	out := make([]whitelistEntry, 0, len(entries))
	for _, text := range entries {
		p, ok := parseSource(text)
		switch {
		case !ok:
			return nil, refuse(codeWhitelist, "%s is neither an IPv4 address nor an IPv4 network", quote(text))
		case p.Bits() == 0, p.IsSingleIP() && p.Addr().IsUnspecified():
			return nil, refuse(codeWhitelist, "%s stands for every address; set enable_whitelist to false instead", quote(text))
		}
		out = append(out, whitelistEntry{Text: text, Prefix: p.Masked()})
	}
	return out, nil
}

func parseSource(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), a.Is4()
	}
	p, err := netip.ParsePrefix(text)
	return p, err == nil && p.Addr().Is4()
}

// parsePortIP reads the address a consumer wants for an endpoint; "" is no
// wish and returns the zero address. It must be an IPv4 address that a host can
// have: not 0.0.0.0, not multicast, not the broadcast address.
func parsePortIP(text string) (netip.Addr, *codeError) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, refuse(codePortIP, "port_ip is %s, an IPv4 address is needed", quote(text))
	}
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, refuse(codePortIP, "port_ip is %s, which no host can have", a)
	}
	return a, nil
}

// parseIPv6 reads the IPv6 address a consumer wants for an endpoint; "" is no
// wish. Its text is kept, because clients compare what they sent with what they
// read. Only an endpoint with both versions has one: where no ip_version is
// said, that is what is meant.
func parseIPv6(text string, ipVersion *string) (string, *codeError) {
	if text == "" {
		return "", nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return "", refuse(codeIP, "ipv6_address is %s, an IPv6 address of a host is needed", quote(text))
	}
	switch *ipVersion {
	case "":
		*ipVersion = versionDual
	case versionDual:
	default:
		return "", refuse(codeIP, "ipv6_address needs the ip_version %s", versionDual)
	}
	return text, nil
}

// parsePage reads limit, offset, sort_key and sort_dir of a list. Without them
// it is the first ten, newest first. An offset past the end is valid and finds
// nothing, because clients page until they get an empty list. maxLimit is
// sallyport.MaxPage, or maxPermissionPage for the whitelist.
func parsePage(q url.Values, maxLimit int) (sallyport.Page, *codeError) {
	page := sallyport.Page{Limit: defaultLimit}
	if text := q.Get("limit"); text != "" {
		n, ok := parseCount(text, maxLimit)
		if !ok {
			return sallyport.Page{}, refuse(codeLimit, "limit is %s, 0 to %d is allowed", quote(text), maxLimit)
		}
		page.Limit = n
	}
	if text := q.Get("offset"); text != "" {
		n, ok := parseCount(text, maxOffset)
		if !ok {
			return sallyport.Page{}, refuse(codeOffset, "offset is %s, 0 to %d is allowed", quote(text), maxOffset)
		}
		page.Offset = n
	}
	switch text := q.Get("sort_key"); text {
	case "", "created_at", "create_at": // the editions spell the keys differently
	case "updated_at", "update_at":
		page.Sort = sallyport.SortUpdated
	default:
		return sallyport.Page{}, refuse(codeSortKey, "sort_key is %s, created_at or updated_at is needed", quote(text))
	}
	switch text := q.Get("sort_dir"); text {
	case "", "desc":
	case "asc":
		page.Ascending = true
	default:
		return sallyport.Page{}, refuse(codeSortDir, "sort_dir is %s, asc or desc is needed", quote(text))
	}
	return page, nil
}

// parseCount reads a decimal number of 0–limit without a sign.
func parseCount(text string, limit int) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err == nil && n <= uint64(limit)
}

// parseMarker reads the marker_id filter of a connection list; "" is no filter.
// Examples of the reference ask for numbers beyond 2147483647, which no
// connection can have: these are valid and match nothing, none says so.
func parseMarker(text string) (m sallyport.Marker, none bool, err *codeError) {
	if text == "" {
		return 0, false, nil
	}
	n, parseErr := strconv.ParseUint(text, 10, 64)
	if parseErr != nil {
		return 0, false, refuse(codeMarker, "marker_id is %s, a number is needed", quote(text))
	}
	if n < 1 || n > uint64(sallyport.MaxMarker) {
		return 0, true, nil
	}
	return sallyport.Marker(n), false, nil
}

// parseServerType reads server_type in either case, as a client's own check
// does, and returns it in upper case. It has no default.
func parseServerType(text string) (string, *codeError) {
	switch upper := strings.ToUpper(text); upper {
	case "VM", "VIP", "LB", "BMS":
		return upper, nil
	default:
		return "", refuse(codeServerType, "server_type is %s, one of VM, VIP, LB, BMS is needed", quote(text))
	}
}

// parseTCPProxy reads tcp_proxy; "" is close, the default.
func parseTCPProxy(text string) (sallyport.ProxyMode, *codeError) {
	switch m := sallyport.ProxyMode(text); m {
	case "":
		return sallyport.ProxyClose, nil
	case sallyport.ProxyClose, sallyport.ProxyTOA, sallyport.ProxyPROXY, sallyport.ProxyBoth, sallyport.ProxyVNI:
		return m, nil
	default:
		return "", refuse(codeParameter, "tcp_proxy is %s, one of close, toa_open, proxy_open, open, proxy_vni is needed", quote(text))
	}
}

// parseServiceType reads service_type of a service to be made; "" is interface,
// the default. Gateway services exist, but only operators make them.
func parseServiceType(text string) (sallyport.ServiceKind, *codeError) {
	switch sallyport.ServiceKind(text) {
	case "", sallyport.KindInterface:
		return sallyport.KindInterface, nil
	case sallyport.KindGateway:
		return "", refuse(codeParameter, "service_type is gateway, which only an operator can make")
	default:
		return "", refuse(codeParameter, "service_type is %s, interface is needed", quote(text))
	}
}

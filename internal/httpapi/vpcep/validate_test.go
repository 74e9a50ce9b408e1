package vpcep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// decodeAs reads text as T; the test fails on an error that is not a codeError.
func decodeAs[T any](t *testing.T, text string) (T, *codeError) {
	t.Helper()
	var v T
	err := json.Unmarshal([]byte(text), &v)
	if err == nil {
		return v, nil
	}
	return v, valueError(err)
}

// If this failed, requests that documented examples send would be refused, or a
// value of another type would be read as false or 0.
func TestFlexScalars(t *testing.T) {
	type scalars struct {
		B flexBool   `json:"b"`
		I flexInt    `json:"i"`
		S flexString `json:"s"`
	}
	tests := []struct {
		text string
		want scalars
		code string
	}{
		{`{"b":true,"i":8080,"s":"x"}`, scalars{true, 8080, "x"}, ""},
		{`{"b":"true","i":"8080","s":12}`, scalars{true, 8080, "12"}, ""},
		{`{"b":"True","i":-1,"s":-1.50}`, scalars{true, -1, "-1.50"}, ""},
		{`{"b":"False","s":"\u7ec8"}`, scalars{S: "终"}, ""},
		{`{"b":null,"i":null,"s":null}`, scalars{}, ""},
		{`{"i":9223372036854775807}`, scalars{I: 9223372036854775807}, ""},
		{`{"i":9223372036854775808}`, scalars{}, "0002"},
		{`{"b":1}`, scalars{}, "0002"},
		{`{"b":"yes"}`, scalars{}, "0002"},
		{`{"b":"null"}`, scalars{}, "0002"},
		{`{"b":[]}`, scalars{}, "0002"},
		{`{"i":80.5}`, scalars{}, "0002"},
		{`{"i":8e3}`, scalars{}, "0002"},
		{`{"i":""}`, scalars{}, "0002"},
		{`{"i":true}`, scalars{}, "0002"},
		{`{"s":true}`, scalars{}, "0002"},
		{`{"s":{}}`, scalars{}, "0002"},
		{`{"s":["x"]}`, scalars{}, "0002"},
	}
	for _, tt := range tests {
		got, err := decodeAs[scalars](t, tt.text)
		wantCode(t, tt.text, err, tt.code)
		if err == nil && got != tt.want {
			t.Errorf("%s reads as %v, want %v", tt.text, got, tt.want)
		}
	}
}

// If this failed, an update could not tell a field to be cleared from one to be
// left alone.
func TestOptTellsAbsentNullAndValue(t *testing.T) {
	type update struct {
		List opt[[]string] `json:"list"`
		Flag opt[flexBool] `json:"flag"`
	}
	tests := []struct {
		text string
		want update
	}{
		{`{}`, update{}},
		{`{"list":null,"flag":null}`, update{List: opt[[]string]{set: true, null: true}, Flag: opt[flexBool]{set: true, null: true}}},
		{`{"list":[],"flag":"false"}`, update{List: opt[[]string]{set: true, value: []string{}}, Flag: opt[flexBool]{set: true}}},
		{`{"list":["a"],"flag":true}`, update{List: opt[[]string]{set: true, value: []string{"a"}}, Flag: opt[flexBool]{set: true, value: true}}},
		{`{"list":["a"],"list":null}`, update{List: opt[[]string]{set: true, null: true}}},
	}
	for _, tt := range tests {
		got, err := decodeAs[update](t, tt.text)
		wantCode(t, tt.text, err, "")
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(opt[[]string]{}, opt[flexBool]{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
	if got := (opt[int]{set: true, value: 3}).or(7); got != 3 {
		t.Errorf("a value reads as %d, want 3", got)
	}
	if got := (opt[int]{set: true, null: true}).or(7); got != 7 {
		t.Errorf("null reads as %d, want the fallback", got)
	}
	if got := (opt[int]{}).or(7); got != 7 {
		t.Errorf("absent reads as %d, want the fallback", got)
	}
}

// If this failed, a caller would be told the names of our types, or nothing.
func TestValueError(t *testing.T) {
	type inner struct {
		N int `json:"n"`
	}
	type body struct {
		List  []string       `json:"list"`
		Text  string         `json:"text"`
		Flag  bool           `json:"flag"`
		Inner inner          `json:"inner"`
		Opt   opt[[]flexInt] `json:"opt"`
		Ports []opt[flexInt] `json:"ports"`
	}
	tests := []struct{ text, want string }{
		{`{"list":"x"}`, `list is a JSON string where an array is needed`},
		{`{"text":1}`, `text is a JSON number where a string is needed`},
		{`{"flag":"x"}`, `flag is a JSON string where true or false is needed`},
		{`{"inner":{"n":"x"}}`, `inner.n is a JSON string where a number is needed`},
		{`{"inner":[]}`, `inner is a JSON array where an object is needed`},
		{`[]`, `a JSON array stands where an object is needed`},
		{`{"ports":["x"]}`, `"x" stands where an integer is needed`},
		{`{"opt":{}}`, `a JSON object stands where an array is needed`},
	}
	for _, tt := range tests {
		_, err := decodeAs[body](t, tt.text)
		wantCode(t, tt.text, err, "0002")
		if err != nil && err.detail != tt.want {
			t.Errorf("%s: detail is %q, want %q", tt.text, err.detail, tt.want)
		}
	}
}

// manyPorts returns n mappings with different client ports.
func manyPorts(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"client_port":%d,"server_port":80}`, i+1)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// If this failed, a mapping would be stored that the data plane cannot carry or
// that two meanings could be read from.
func TestCheckPorts(t *testing.T) {
	tests := []struct {
		name, text string
		want       []sallyport.PortMapping
		code       string
	}{
		{"lowest and highest", `[{"client_port":1,"server_port":65535,"protocol":"TCP"}]`, []sallyport.PortMapping{{Client: 1, Server: 65535, Protocol: "TCP"}}, ""},
		{"protocol empty", `[{"client_port":80,"server_port":81,"protocol":""}]`, []sallyport.PortMapping{{Client: 80, Server: 81, Protocol: "TCP"}}, ""},
		{"protocol absent", `[{"client_port":80,"server_port":81}]`, []sallyport.PortMapping{{Client: 80, Server: 81, Protocol: "TCP"}}, ""},
		{"lower case and text", `[{"client_port":"80","server_port":"81","protocol":"tcp"}]`, []sallyport.PortMapping{{Client: 80, Server: 81, Protocol: "TCP"}}, ""},
		{"one server port twice", `[{"client_port":8080,"server_port":80},{"client_port":8081,"server_port":80}]`, []sallyport.PortMapping{{Client: 8080, Server: 80, Protocol: "TCP"}, {Client: 8081, Server: 80, Protocol: "TCP"}}, ""},
		{"one client port twice", `[{"client_port":80,"server_port":80},{"client_port":80,"server_port":81}]`, nil, "3004"},
		{"twice in other spellings", `[{"client_port":80,"server_port":80},{"client_port":"80","server_port":80,"protocol":"tcp"}]`, nil, "3004"},
		{"client 0", `[{"client_port":0,"server_port":80}]`, nil, "3043"},
		{"server 0", `[{"client_port":80,"server_port":0}]`, nil, "3043"},
		{"client 65536", `[{"client_port":65536,"server_port":80}]`, nil, "3043"},
		{"server 65536", `[{"client_port":80,"server_port":65536}]`, nil, "3043"},
		{"negative", `[{"client_port":-80,"server_port":80}]`, nil, "3043"},
		{"beyond 32 bits", `[{"client_port":4294967376,"server_port":80}]`, nil, "3043"},
		{"UDP", `[{"client_port":53,"server_port":5353,"protocol":"UDP"}]`, []sallyport.PortMapping{{Client: 53, Server: 5353, Protocol: "UDP"}}, ""},
		{"one client port, both protocols", `[{"client_port":53,"server_port":53,"protocol":"udp"},{"client_port":53,"server_port":53}]`, []sallyport.PortMapping{{Client: 53, Server: 53, Protocol: "UDP"}, {Client: 53, Server: 53, Protocol: "TCP"}}, ""},
		{"one UDP client port twice", `[{"client_port":53,"server_port":53,"protocol":"UDP"},{"client_port":53,"server_port":54,"protocol":"udp"}]`, nil, "3004"},
		{"unknown protocol", `[{"client_port":80,"server_port":80,"protocol":"SCTP"}]`, nil, "3075"},
		{"no list", `null`, nil, "2028"},
		{"empty list", `[]`, nil, "2028"},
		{"null mapping", `[null]`, nil, "2028"},
		{"no client port", `[{"server_port":80}]`, nil, "2028"},
		{"null server port", `[{"client_port":80,"server_port":null}]`, nil, "2028"},
		{"201", manyPorts(201), nil, "3074"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := decodeAs[[]portRequest](t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := checkPorts(in)
			wantCode(t, tt.text, err, tt.code)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	in, _ := decodeAs[[]portRequest](t, manyPorts(200))
	if got, err := checkPorts(in); err != nil || len(got) != 200 {
		t.Errorf("200 mappings: got %d, %v", len(got), err)
	}
}

func tagOf(key, value string) tagRequest {
	return tagRequest{Key: flexString(key), Value: opt[flexString]{set: true, value: flexString(value)}}
}

func manyTags(n int) []tagRequest {
	list := make([]tagRequest, n)
	for i := range list {
		list[i] = tagOf(strconv.Itoa(i), "")
	}
	return list
}

// If this failed, a tag that one edition of the reference allows would be
// refused, or one that none allows would be taken.
func TestCheckTags(t *testing.T) {
	tests := []struct {
		name string
		in   []tagRequest
		code string
	}{
		{"none", nil, ""},
		{"plain", []tagRequest{tagOf("team", "blue")}, ""},
		{"any language", []tagRequest{tagOf("环境", "生产 环境")}, ""},
		{"every sign", []tagRequest{tagOf("a_.:=+-@ b", "a_.:=+-@ b/c")}, ""},
		{"empty value", []tagRequest{tagOf("k", "")}, ""},
		{"absent value", []tagRequest{{Key: "k"}}, ""},
		{"20", manyTags(20), ""},
		{"21", manyTags(21), "3069"},
		{"empty key", []tagRequest{tagOf("", "v")}, "3066"},
		{"key 128", []tagRequest{tagOf(strings.Repeat("键", 128), "")}, ""},
		{"key 129", []tagRequest{tagOf(strings.Repeat("键", 129), "")}, "3072"},
		{"value 255", []tagRequest{tagOf("k", strings.Repeat("值", 255))}, ""},
		{"value 256", []tagRequest{tagOf("k", strings.Repeat("值", 256))}, "3073"},
		{"slash in key", []tagRequest{tagOf("a/b", "")}, "3068"},
		{"reserved", []tagRequest{tagOf("_sys_x", "")}, "3068"},
		{"space before key", []tagRequest{tagOf(" k", "")}, "3068"},
		{"space after key", []tagRequest{tagOf("k ", "")}, "3068"},
		{"space before value", []tagRequest{tagOf("k", " v")}, "3068"},
		{"space after value", []tagRequest{tagOf("k", "v\u3000")}, "3068"},
		{"control character", []tagRequest{tagOf("k", "a\nb")}, "3068"},
		{"the same key twice", []tagRequest{tagOf("k", "1"), tagOf("k", "2")}, "3067"},
		{"two spellings are two keys", []tagRequest{tagOf("k", "1"), tagOf("K", "1")}, ""},
	}
	for _, c := range `*<>\,|` {
		tests = append(tests, struct {
			name string
			in   []tagRequest
			code string
		}{"key with " + string(c), []tagRequest{tagOf("a"+string(c), "")}, "3068"})
		wantCode(t, "value with "+string(c), checkTagText(sallyport.Tag{Key: "k", Value: "a" + string(c)}), "3068")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkTags(tt.in)
			wantCode(t, tt.name, err, tt.code)
			if err == nil && len(got) != len(tt.in) {
				t.Errorf("%d tags became %d", len(tt.in), len(got))
			}
		})
	}
}

// If this failed, an account could be let in by a record that does not name it,
// or a record would come back in another spelling and show as a difference.
func TestParsePermission(t *testing.T) {
	const account = "6e9dfd51d1124e8d8498dce894923a0d"
	tests := []struct {
		value, declared string
		want            sallyport.PermissionType
		code            string
	}{
		{"iam:domain::" + account, "", "domainId", ""},
		{"iam:domain::" + account, "domainId", "domainId", ""},
		{"iam:domain::*", "domainId", "domainId", ""},
		{"*", "", "domainId", ""},
		{"*", "domainId", "domainId", ""},
		{"iam:domain::" + strings.Repeat("a", 64), "", "domainId", ""},
		{"iam:domain::" + strings.Repeat("a", 65), "", "", "3002"},
		{"organizations:orgPath::o-1/r-2/ou_3/*", "", "orgPath", ""},
		{"organizations:orgPath::*", "orgPath", "orgPath", ""},
		{"organizations:orgPath::" + strings.Repeat("a", 1024), "", "orgPath", ""},
		{"organizations:orgPath::" + strings.Repeat("a", 1025), "", "", "3002"},
		{"", "", "", "3002"},
		{account, "", "", "3002"},
		{"iam:domain::", "", "", "3002"},
		{"iam:domain::a-b", "", "", "3002"},
		{"iam:domain::a ", "", "", "3002"},
		{"IAM:domain::a", "", "", "3002"},
		{"**", "", "", "3002"},
		{"organizations:orgPath::", "", "", "3002"},
		{"organizations:orgPath::a.b", "", "", "3002"},
		{"iam:domain::" + account, "orgPath", "", "3002"},
		{"*", "orgPath", "", "3002"},
		{"organizations:orgPath::a", "domainId", "", "3002"},
		{"*", "domain", "", "0002"},
	}
	for _, tt := range tests {
		got, err := parsePermission(tt.value, tt.declared)
		wantCode(t, tt.value+" as "+tt.declared, err, tt.code)
		if want := (sallyport.NewPermission{Value: tt.value, Type: tt.want}); err == nil && got != want {
			t.Errorf("%s reads as %v, want %v", tt.value, got, want)
		}
	}
}

// If this failed, a call without records would be a success, or one call could
// write without limit.
func TestParsePermissions(t *testing.T) {
	many := make([]string, maxPermissionBatch+1)
	for i := range many {
		many[i] = "iam:domain::a" + strconv.Itoa(i)
	}
	tests := []struct {
		name   string
		values []string
		code   string
	}{
		{"none", nil, "3036"},
		{"500", many[:500], ""},
		{"501", many, "0016"},
		{"one wrong", []string{"*", "x"}, "3002"},
	}
	for _, tt := range tests {
		got, err := parsePermissions(tt.values, "")
		wantCode(t, tt.name, err, tt.code)
		if err == nil && len(got) != len(tt.values) {
			t.Errorf("%s: %d records became %d", tt.name, len(tt.values), len(got))
		}
	}
}

// If this failed, a record would be removed where it was to be added.
func TestParsePermissionAction(t *testing.T) {
	tests := []struct {
		text string
		add  bool
		code string
	}{{"add", true, ""}, {"remove", false, ""}, {"delete", false, "3035"}, {"", false, "3035"}, {"Add", false, "3035"}}
	for _, tt := range tests {
		add, err := parsePermissionAction(tt.text)
		wantCode(t, tt.text, err, tt.code)
		if add != tt.add {
			t.Errorf("%s reads as add=%v", tt.text, add)
		}
	}
}

// If this failed, a whitelist would let in more than its owner wrote down, or
// would come back in another spelling.
func TestParseWhitelist(t *testing.T) {
	tests := []struct{ text, prefix, code string }{
		{"192.0.2.7", "192.0.2.7/32", ""},
		{"192.0.2.7/32", "192.0.2.7/32", ""},
		{"192.0.2.7/24", "192.0.2.0/24", ""},
		{"0.0.0.0/1", "0.0.0.0/1", ""},
		{"0.0.0.0", "", "2044"},
		{"0.0.0.0/32", "", "2044"},
		{"0.0.0.0/0", "", "2044"},
		{"10.0.0.0/0", "", "2044"},
		{"*", "", "2044"},
		{"", "", "2044"},
		{"192.0.2.7/33", "", "2044"},
		{"192.0.2.07", "", "2044"},
		{"192.0.2", "", "2044"},
		{" 192.0.2.7", "", "2044"},
		{"192.0.2.1-192.0.2.9", "", "2044"},
		{"2001:db8::1", "", "2044"},
		{"2001:db8::/32", "", "2044"},
		{"::ffff:192.0.2.7", "", "2044"},
		{"::ffff:192.0.2.7/120", "", "2044"},
	}
	for _, tt := range tests {
		got, err := parseWhitelist([]string{tt.text})
		wantCode(t, tt.text, err, tt.code)
		if err == nil && (got[0].Text != tt.text || got[0].Prefix.String() != tt.prefix) {
			t.Errorf("%s reads as %v, want %s", tt.text, got[0], tt.prefix)
		}
	}
	list := make([]string, 61)
	for i := range list {
		list[i] = "192.0.2." + strconv.Itoa(i)
	}
	_, err := parseWhitelist(list[:60])
	wantCode(t, "60 entries", err, "")
	_, err = parseWhitelist(list)
	wantCode(t, "61 entries", err, "2045")
}

// If this failed, an endpoint would be given an address that no host can have.
func TestParsePortIP(t *testing.T) {
	tests := []struct{ text, code string }{
		{"192.168.0.12", ""},
		{"127.64.1.5", ""},
		{"223.255.255.255", ""},
		{"0.0.0.0", "2041"},
		{"224.0.0.0", "2041"},
		{"239.255.255.255", "2041"},
		{"255.255.255.254", ""},
		{"255.255.255.255", "2041"},
		{"2001:db8::1", "2041"},
		{"::ffff:192.0.2.7", "2041"},
		{"192.168.0.12/32", "2041"},
		{"192.168.0", "2041"},
		{"host", "2041"},
	}
	for _, tt := range tests {
		got, err := parsePortIP(tt.text)
		wantCode(t, tt.text, err, tt.code)
		if err == nil && got.String() != tt.text {
			t.Errorf("%s reads as %s", tt.text, got)
		}
	}
	if got, err := parsePortIP(""); err != nil || got.IsValid() {
		t.Errorf("no wish reads as %s, %v", got, err)
	}
}

// If this failed, a client that pages to the end would get an error there, or a
// page in the order of another edition's key.
func TestParsePage(t *testing.T) {
	tests := []struct {
		query string
		max   int
		want  sallyport.Page
		code  string
	}{
		{"", 1000, sallyport.Page{Limit: 10}, ""},
		{"limit=&offset=&sort_key=&sort_dir=", 1000, sallyport.Page{Limit: 10}, ""},
		{"limit=0", 1000, sallyport.Page{}, ""},
		{"limit=1000&offset=2147483647", 1000, sallyport.Page{Limit: 1000, Offset: 2147483647}, ""},
		{"limit=1001", 1000, sallyport.Page{}, "0006"},
		{"limit=500", maxPermissionPage, sallyport.Page{Limit: 500}, ""},
		{"limit=501", maxPermissionPage, sallyport.Page{}, "0006"},
		{"limit=-1", 1000, sallyport.Page{}, "0006"},
		{"limit=%2B1", 1000, sallyport.Page{}, "0006"},
		{"limit=x", 1000, sallyport.Page{}, "0006"},
		{"offset=-1", 1000, sallyport.Page{}, "0010"},
		{"offset=2147483648", 1000, sallyport.Page{}, "0010"},
		{"offset=99999999999999999999", 1000, sallyport.Page{}, "0010"},
		{"offset=1.5", 1000, sallyport.Page{}, "0010"},
		{"sort_key=created_at&sort_dir=asc", 1000, sallyport.Page{Limit: 10, Ascending: true}, ""},
		{"sort_key=create_at&sort_dir=desc", 1000, sallyport.Page{Limit: 10}, ""},
		{"sort_key=updated_at", 1000, sallyport.Page{Limit: 10, Sort: sallyport.SortUpdated}, ""},
		{"sort_key=update_at", 1000, sallyport.Page{Limit: 10, Sort: sallyport.SortUpdated}, ""},
		{"sort_key=id", 1000, sallyport.Page{}, "0017"},
		{"sort_dir=up", 1000, sallyport.Page{}, "0018"},
		{"limit=x&offset=x&sort_key=x&sort_dir=x", 1000, sallyport.Page{}, "0006"},
	}
	for _, tt := range tests {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		got, refused := parsePage(q, tt.max)
		wantCode(t, tt.query, refused, tt.code)
		if got != tt.want {
			t.Errorf("%s reads as %v, want %v", tt.query, got, tt.want)
		}
	}
}

// If this failed, the largest marker could not be searched for, or a documented
// example would be an error.
func TestParseMarker(t *testing.T) {
	tests := []struct {
		text string
		want sallyport.Marker
		none bool
		code string
	}{
		{"", 0, false, ""},
		{"1", 1, false, ""},
		{"2147483647", sallyport.MaxMarker, false, ""},
		{"2147483648", 0, true, ""},
		{"422321321312321321", 0, true, ""},
		{"0", 0, true, ""},
		{"18446744073709551616", 0, false, "0021"},
		{"-1", 0, false, "0021"},
		{"16777322x", 0, false, "0021"},
	}
	for _, tt := range tests {
		got, none, err := parseMarker(tt.text)
		wantCode(t, tt.text, err, tt.code)
		if got != tt.want || none != tt.none {
			t.Errorf("%s reads as %d, %v, want %d, %v", tt.text, got, none, tt.want, tt.none)
		}
	}
}

// If this failed, a documented value of an enumeration would be refused, or an
// unknown one would be stored.
func TestEnumerations(t *testing.T) {
	serverType := func(s string) (string, *codeError) { return parseServerType(s) }
	tcpProxy := func(s string) (string, *codeError) { m, err := parseTCPProxy(s); return string(m), err }
	serviceType := func(s string) (string, *codeError) { k, err := parseServiceType(s); return string(k), err }
	tests := []struct {
		what             string
		parse            func(string) (string, *codeError)
		text, want, code string
	}{
		{"server_type", serverType, "VM", "VM", ""},
		{"server_type", serverType, "lb", "LB", ""},
		{"server_type", serverType, "Vip", "VIP", ""},
		{"server_type", serverType, "BMS", "BMS", ""},
		{"server_type", serverType, "", "", "3021"},
		{"server_type", serverType, "ELB", "", "3021"},
		{"tcp_proxy", tcpProxy, "", "close", ""},
		{"tcp_proxy", tcpProxy, "close", "close", ""},
		{"tcp_proxy", tcpProxy, "toa_open", "toa_open", ""},
		{"tcp_proxy", tcpProxy, "proxy_open", "proxy_open", ""},
		{"tcp_proxy", tcpProxy, "open", "open", ""},
		{"tcp_proxy", tcpProxy, "proxy_vni", "proxy_vni", ""},
		{"tcp_proxy", tcpProxy, "Open", "", "0002"},
		{"tcp_proxy", tcpProxy, "on", "", "0002"},
		{"service_type", serviceType, "", "interface", ""},
		{"service_type", serviceType, "interface", "interface", ""},
		{"service_type", serviceType, "gateway", "", "0002"},
		{"service_type", serviceType, "gataway", "", "0002"},
	}
	for _, tt := range tests {
		got, err := tt.parse(tt.text)
		wantCode(t, tt.what+" "+tt.text, err, tt.code)
		if got != tt.want {
			t.Errorf("%s %q reads as %q, want %q", tt.what, tt.text, got, tt.want)
		}
	}
}

// If this failed, bytes from outside could make the decoder panic, answer with
// another code than that of a wrong parameter, or read a value that was not sent.
func FuzzFlexScalars(f *testing.F) {
	for _, seed := range []string{`true`, `"True"`, `8080`, `"8080"`, `null`, `"null"`, `-1.5e3`, `{}`, `["x"]`, `"\u0000"`, `"`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b opt[flexBool]
		var i opt[flexInt]
		var s opt[flexString]
		valid := json.Valid(data)
		for _, into := range []any{&b, &i, &s} {
			err := json.Unmarshal(data, into)
			if err == nil {
				continue
			}
			if _, ok := errors.AsType[*codeError](err); valid && !ok {
				t.Errorf("%T of %q: %v is no codeError", into, data, err)
			}
			wantCode(t, string(data), valueError(err), codeParameter)
		}
		if valid && i.set && !i.null && i.value != 0 && !strings.Contains(string(data), strings.TrimPrefix(strconv.FormatInt(int64(i.value), 10), "-")) {
			t.Errorf("%q reads as %d", data, i.value)
		}
		var want string
		if json.Unmarshal(data, &want) == nil && s.set && !s.null && string(s.value) != want {
			t.Errorf("%q reads as %q, want %q", data, s.value, want)
		}
	})
}

// If this failed, a record would be stored in another spelling than it came in,
// or with characters that the reference does not allow.
func FuzzParsePermission(f *testing.F) {
	for _, seed := range []string{"*", "iam:domain::*", "iam:domain::6e9dfd51", "organizations:orgPath::o-1/*", "organizations:orgPath::", "iam:domain::\x00", "iam:domain::ä"} {
		f.Add(seed, "")
		f.Add(seed, "domainId")
		f.Add(seed, "orgPath")
	}
	f.Fuzz(func(t *testing.T, value, declared string) {
		p, err := parsePermission(value, declared)
		if err != nil {
			if err.number != codePermission && err.number != codeParameter {
				t.Errorf("%q: %v", value, err)
			}
			return
		}
		if p.Value != value || !onlyOf(value, isVisible) || len(value) > len(permissionPath)+maxOrgPath {
			t.Errorf("%q reads as %q", value, p.Value)
		}
		if again, err := parsePermission(p.Value, string(p.Type)); err != nil || again != p {
			t.Errorf("%q reads as %v, and again as %v, %v", value, p, again, err)
		}
	})
}

// If this failed, an entry would admit addresses that it does not name.
func FuzzParseWhitelist(f *testing.F) {
	for _, seed := range []string{"192.0.2.7", "192.0.2.7/24", "0.0.0.0/0", "::/0", "*", "192.0.2.7/032", "192.0.2.7%eth0", "10.0.0.0/8\n10.1.0.0/16"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, joined string) {
		entries := strings.Split(joined, "\n")
		got, err := parseWhitelist(entries)
		if err != nil {
			if err.number != codeWhitelist && err.number != codeWhitelistFull {
				t.Errorf("%q: %v", joined, err)
			}
			return
		}
		for i, e := range got {
			if e.Text != entries[i] || !e.Prefix.IsValid() || !e.Prefix.Addr().Is4() || e.Prefix.Bits() == 0 || e.Prefix != e.Prefix.Masked() {
				t.Errorf("%q reads as %v", entries[i], e)
			}
			address, _, _ := strings.Cut(e.Text, "/")
			if a, err := netip.ParseAddr(address); err != nil || !e.Prefix.Contains(a) {
				t.Errorf("%s is not in %s", address, e.Prefix)
			}
		}
	})
}

// If this failed, a tag would be stored that cannot be shown, or another one
// than was sent.
func FuzzCheckTags(f *testing.F) {
	for _, seed := range [][2]string{{"team", "blue"}, {"", ""}, {"_sys_a", "b"}, {"a/b", "a/b"}, {"k", "\xff"}, {"键", " 值"}, {"k", "a\u0085"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		got, err := checkTags([]tagRequest{tagOf(key, value)})
		if err != nil {
			if !utf8.ValidString(err.detail) {
				t.Errorf("the detail %q is no text", err.detail)
			}
			return
		}
		if want := (sallyport.Tag{Key: key, Value: value}); got[0] != want {
			t.Errorf("got %v, want %v", got[0], want)
		}
		if key == "" || !utf8.ValidString(key+value) || strings.TrimSpace(key) != key || strings.ContainsAny(key+value, "*<>\\,|\x00\n") {
			t.Errorf("%q = %q was taken", key, value)
		}
	})
}

package vpcep

import (
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const testUUID = "5b1f0c1e-6d2a-4c55-9a53-0d9b8a1f7c20"

// wantCode fails the test unless err has the number; "" wants no error. Every
// refusal must have a detail, because the catalogue's sentence alone does not
// tell a caller what to change.
func wantCode(t *testing.T, what string, err *codeError, number string) {
	t.Helper()
	switch {
	case err == nil && number != "":
		t.Errorf("%s was taken, want code %s", what, number)
	case err != nil && err.number != number:
		t.Errorf("%s: got %v, want code %q", what, err, number)
	case err != nil && err.detail == "":
		t.Errorf("%s: refused with %v and without a detail", what, err)
	}
}

// If this failed, a name that is refused by the cloud would be taken here, or
// the other way round; 16 characters are the documented maximum.
func TestCheckServiceName(t *testing.T) {
	tests := []struct{ name, want string }{
		{"", ""},
		{"a", ""},
		{"Web_1-b", ""},
		{strings.Repeat("a", 16), ""},
		{strings.Repeat("a", 17), "1003"},
		{"a.b", "1003"}, // a dot would break the full name
		{"a b", "1003"},
		{"网络", "1003"},
	}
	for _, tt := range tests {
		wantCode(t, tt.name, checkServiceName(tt.name, codeServiceName), tt.want)
	}
	wantCode(t, "renaming to 17 characters", checkServiceName(strings.Repeat("a", 17), codeNewName), "3076")
}

// If this failed, descriptions would be counted in bytes, which refuses Chinese
// ones, or markup would be stored.
func TestCheckDescription(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"any text & more / 终端节点", ""},
		{strings.Repeat("终", 128), ""},
		{strings.Repeat("终", 129), "0002"},
		{"a<b", "0002"},
		{"a>b", "0002"},
		{"a\x00b", "0002"},
	}
	for _, tt := range tests {
		wantCode(t, tt.text, checkDescription(tt.text), tt.want)
	}
}

// If this failed, a search text could be of any length or no text at all.
func TestCheckFilter(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{strings.Repeat("终", maxNameFilter), ""},
		{strings.Repeat("a", maxNameFilter+1), "0002"},
		{"\xff", "0002"},
		{"a\x00", "0002"},
	}
	for _, tt := range tests {
		wantCode(t, tt.text, checkFilter("endpoint_service_name", tt.text, maxNameFilter), tt.want)
	}
	wantCode(t, "1000 characters", checkFilter("permission", strings.Repeat("a", maxPermissionFilter), maxPermissionFilter), "")
	wantCode(t, "1001 characters", checkFilter("permission", strings.Repeat("a", maxPermissionFilter+1), maxPermissionFilter), "0002")
}

// If this failed, an id of any length or with control characters would reach
// the store, or a network's plain name would be refused.
func TestParseID(t *testing.T) {
	tests := []struct{ text, want string }{
		{"v", ""},
		{"my-vpc.1", ""},
		{testUUID, ""},
		{strings.Repeat("a", 64), ""},
		{"", "2011"},
		{strings.Repeat("a", 65), "0020"},
		{"a b", "0020"},
		{"a\nb", "0020"},
		{"ä", "0020"},
	}
	for _, tt := range tests {
		got, err := parseID[sallyport.VPCID]("vpc_id", tt.text, "2011", "0020")
		wantCode(t, tt.text, err, tt.want)
		if err == nil && string(got) != tt.text {
			t.Errorf("%q became %q", tt.text, got)
		}
	}
}

// If this failed, malformed endpoint ids would be answered as unknown ones.
func TestIsUUID(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{testUUID, true},
		{strings.ToUpper(testUUID), true},
		{string(sallyport.NewID[sallyport.EndpointID]()), true},
		{"", false},
		{testUUID + "0", false},
		{testUUID[1:], false},
		{strings.ReplaceAll(testUUID, "-", "0"), false},
		{strings.Replace(testUUID, "5", "g", 1), false},
		{"-" + testUUID[1:], false},
	}
	for _, tt := range tests {
		if got := isUUID(tt.text); got != tt.want {
			t.Errorf("isUUID(%q) is %v, want %v", tt.text, got, tt.want)
		}
	}
}

// If this failed, a client could not ask for a state that it can see.
func TestParseStatus(t *testing.T) {
	for _, want := range sallyport.Statuses {
		text := statusText(want)
		got, err := parseStatus(text)
		wantCode(t, text, err, "")
		if got != want {
			t.Errorf("%s reads as %s", text, got)
		}
	}
	if got, err := parseStatus(""); got != 0 || err != nil {
		t.Errorf("no filter reads as %s, %v", got, err)
	}
	for _, text := range []string{"pending", "Accepted", "open"} {
		_, err := parseStatus(text)
		wantCode(t, text, err, "0019")
	}
}

// If this failed, asking for creating services would list available ones, or
// would be an error although the reference documents the state.
func TestParseServiceStatus(t *testing.T) {
	tests := []struct {
		text string
		st   sallyport.ServiceStatus
		none bool
		want string
	}{
		{"", 0, false, ""},
		{"available", sallyport.ServiceAvailable, false, ""},
		{"creating", 0, true, ""},
		{"failed", 0, true, ""},
		{"deleting", 0, true, ""},
		{"accepted", 0, false, "0019"},
	}
	for _, tt := range tests {
		st, none, err := parseServiceStatus(tt.text)
		wantCode(t, tt.text, err, tt.want)
		if st != tt.st || none != tt.none {
			t.Errorf("%q reads as %d, %v, want %d, %v", tt.text, st, none, tt.st, tt.none)
		}
	}
}

// If this failed, a decision would be taken for another one, or errors of one
// call would win in another order than documented.
func TestParseDecision(t *testing.T) {
	two := []string{testUUID, testUUID}
	tests := []struct {
		action    string
		endpoints []string
		want      sallyport.Action
		code      string
	}{
		{"receive", []string{testUUID}, sallyport.ActionAccept, ""},
		{"reject", []string{testUUID}, sallyport.ActionReject, ""},
		{"accept", []string{testUUID}, 0, "2027"},
		{"Receive", []string{testUUID}, 0, "2027"},
		{"", two, 0, "2027"}, // the action before the number
		{"receive", nil, 0, "2002"},
		{"receive", two, 0, "2031"},
		{"receive", []string{"a", "b"}, 0, "2031"}, // the number before the syntax
		{"receive", []string{"a"}, 0, "2017"},
		{"receive", []string{""}, 0, "2017"},
	}
	for _, tt := range tests {
		a, id, err := parseDecision(tt.action, tt.endpoints)
		wantCode(t, tt.action, err, tt.code)
		if err == nil && (a != tt.want || id != testUUID) {
			t.Errorf("%s %v reads as %s %s", tt.action, tt.endpoints, a, id)
		}
	}
}

// If this failed, a detail could carry a whole body, or control characters into
// a terminal.
func TestQuote(t *testing.T) {
	tests := []struct{ text, want string }{
		{"a\x1b[2J", `"a\x1b[2J"`},
		{strings.Repeat("终", maxQuoted), `"` + strings.Repeat("终", maxQuoted) + `"`},
		{strings.Repeat("终", maxQuoted+1), `"` + strings.Repeat("终", maxQuoted) + `"…`},
	}
	for _, tt := range tests {
		if got := quote(tt.text); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

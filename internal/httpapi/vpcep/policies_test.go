package vpcep

import (
	"encoding/json"
	"testing"
)

// If this failed, a policy that the service could never apply would be kept, or
// one that was sent would be shown in another meaning.
func TestParseStatements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want, code string }{
		{"absent", ``, ``, ""},
		{"null", `null`, ``, ""},
		{"empty", ` [ ] `, ``, ""},
		{"as it was sent", `[ {"Effect": "Allow", "Resource": [ "b" ], "Action": ["a", "c"]} ]`, `[{"Effect":"Allow","Resource":["b"],"Action":["a","c"]}]`, ""},
		{"names become lists", `[{"Effect":"Deny","Action":"a","Resource":"b"}]`, `[{"Effect":"Deny","Action":["a"],"Resource":["b"]}]`, ""},
		{
			"the rest stays", `[{"Sid":"s","Effect":"Deny","Action":"a","Resource":"b","Condition":{"z":1.0,"a":[]},"New":null}]`,
			`[{"Sid":"s","Effect":"Deny","Action":["a"],"Resource":["b"],"Condition":{"z":1.0,"a":[]},"New":null}]`, "",
		},
		{"an object", `{"Effect":"Allow"}`, ``, "2048"},
		{"text", `"[]"`, ``, "2048"},
		{"no object in it", `[["Allow"]]`, ``, "2048"},
		{"null in it", `[null]`, ``, "2048"},
		{"no Effect", `[{"Action":["a"],"Resource":["b"]}]`, ``, "2048"},
		{"no Action", `[{"Effect":"Allow","Resource":["b"]}]`, ``, "2048"},
		{"no Resource", `[{"Effect":"Allow","Action":["a"]}]`, ``, "2048"},
		{"another Effect", `[{"Effect":"allow","Action":["a"],"Resource":["b"]}]`, ``, "2048"},
		{"a number for Effect", `[{"Effect":1,"Action":["a"],"Resource":["b"]}]`, ``, "2048"},
		{"a number for Sid", `[{"Sid":1,"Effect":"Allow","Action":["a"],"Resource":["b"]}]`, ``, "2048"},
		{"no names", `[{"Effect":"Allow","Action":[],"Resource":["b"]}]`, ``, "2048"},
		{"an empty name", `[{"Effect":"Allow","Action":"","Resource":["b"]}]`, ``, "2048"},
		{"an empty name in a list", `[{"Effect":"Allow","Action":["a",""],"Resource":["b"]}]`, ``, "2048"},
		{"null in a list", `[{"Effect":"Allow","Action":["a",null],"Resource":["b"]}]`, ``, "2048"},
		{"null for names", `[{"Effect":"Allow","Action":null,"Resource":["b"]}]`, ``, "2048"},
		{"a key twice", `[{"Effect":"Allow","Effect":"Deny","Action":["a"],"Resource":["b"]}]`, ``, "2048"},
		{"no UTF-8", "[{\"Effect\":\"Allow\",\"Action\":[\"\xff\"],\"Resource\":[\"b\"]}]", ``, "2048"},
	} {
		got, bad := parseStatements(json.RawMessage(tt.in))
		wantCode(t, tt.name, bad, tt.code)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// If this failed, a document would be shown in another spelling than it was sent
// in, and Terraform would want to change it for ever.
func TestParseDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want, code string }{
		{"absent", ``, ``, ""},
		{"null", `null`, ``, ""},
		{"empty object", `{ }`, ``, ""},
		{"empty list", `[]`, ``, ""},
		{"empty text", `""`, ``, ""},
		{"order and spelling", `{ "z": 1.50, "a": [ "\u0041", null ] }`, `{"z":1.50,"a":["\u0041",null]}`, ""},
		{"text", `"x"`, `"x"`, ""},
		{"no UTF-8", "\"\xff\"", ``, "2048"},
	} {
		got, bad := parseDocument(json.RawMessage(tt.in))
		wantCode(t, tt.name, bad, tt.code)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// If this failed, a policy that was not spoken of would change, or one that was
// to go would stay.
func TestPolicyChange(t *testing.T) {
	t.Parallel()
	const none, kept = "removed", "kept"
	for _, tt := range []struct{ in, statements, document, code string }{
		{`{}`, kept, kept, "2048"},
		{`{"policy_statement":null}`, none, kept, ""},
		{`{"policy_document":{}}`, kept, none, ""},
		{`{"policy_statement":[],"policy_document":null}`, none, none, ""},
		{`{"policy_document":{"a":1}}`, kept, `{"a":1}`, ""},
	} {
		in, bad := decodeAs[policyRequest](t, tt.in)
		if bad != nil {
			t.Fatal(bad)
		}
		ch, bad := in.change()
		wantCode(t, tt.in, bad, tt.code)
		for what, got := range map[string]*string{tt.statements: ch.PolicyStatement, tt.document: ch.PolicyDocument} {
			if got == nil && what != kept || got != nil && *got == "" && what != none || got != nil && *got != "" && *got != what {
				t.Errorf("%s: got %v, want %s", tt.in, got, what)
			}
		}
	}
}

// If this failed, an IPv6 address would come back in another spelling, or one
// would be taken that no host can have.
func TestParseIPv6(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, version, want, code string }{
		{"", "", "", ""},
		{"", versionIPv4, versionIPv4, ""},
		{"2001:DB8::10", versionDual, versionDual, ""},
		{"2001:db8::10", "", versionDual, ""},
		{"2001:db8::10", versionIPv4, versionIPv4, "3010"},
		{"192.168.0.12", versionDual, versionDual, "3010"},
		{"::ffff:192.168.0.12", versionDual, versionDual, "3010"},
		{"fe80::1%eth0", versionDual, versionDual, "3010"},
		{"::", versionDual, versionDual, "3010"},
		{"ff02::1", versionDual, versionDual, "3010"},
		{"2001:db8::10/64", versionDual, versionDual, "3010"},
	} {
		version := tt.version
		got, bad := parseIPv6(tt.text, &version)
		wantCode(t, tt.text, bad, tt.code)
		if bad == nil && got != tt.text || version != tt.want {
			t.Errorf("%q with %q is %q with %q, want %q", tt.text, tt.version, got, version, tt.want)
		}
	}
}

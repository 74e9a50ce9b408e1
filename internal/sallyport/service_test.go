package sallyport_test

import (
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Clients take the name apart at the dots and the Terraform providers compare
// it. If this fails, they find no service or the wrong one.
func TestFullName(t *testing.T) {
	const id = sallyport.ServiceID("5b2c1d00-0000-4000-8000-000000000009")
	for _, tt := range []struct {
		name string
		s    sallyport.Service
		want string
	}{
		{"named", sallyport.Service{ID: id, Region: "eu-west-101", Name: "web"}, "eu-west-101.web." + string(id)},
		{"unnamed", sallyport.Service{ID: id, Region: "eu-west-101"}, "eu-west-101." + string(id)},
		{"operator's", sallyport.Service{ID: id, Region: "eu-west-101", Name: "x", SystemName: "com.example.dns"}, "com.example.dns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.s.FullName()
			if got != tt.want {
				t.Errorf("full name = %q, want %q", got, tt.want)
			}
			if tt.s.SystemName == "" && !strings.HasSuffix(got, "."+string(id)) {
				t.Errorf("%q does not end in the id", got)
			}
		})
	}
}

// The whitelist is who may create endpoints. If this fails, a stranger gets in,
// or somebody who was let in stays out.
func TestAdmits(t *testing.T) {
	const acme = sallyport.DomainID("6e9dfd51d1124e8d8498dce894923a0d")
	for _, tt := range []struct {
		value  string
		typ    sallyport.PermissionType
		domain sallyport.DomainID
		want   bool
	}{
		{"iam:domain::" + string(acme), sallyport.PermissionDomain, acme, true},
		{string(acme), sallyport.PermissionDomain, acme, true},
		{"*", sallyport.PermissionDomain, acme, true},
		{"iam:domain::*", sallyport.PermissionDomain, acme, true},
		{"iam:domain::" + string(acme), sallyport.PermissionDomain, "other", false},
		{"iam:domain::" + string(acme), sallyport.PermissionDomain, "", false},
		{"iam:domain::6e9d*", sallyport.PermissionDomain, acme, false}, // not a pattern
		{"IAM:DOMAIN::" + string(acme), sallyport.PermissionDomain, acme, false},
		{"iam:domain::iam:domain::" + string(acme), sallyport.PermissionDomain, acme, false},
		{"organizations:orgPath::o/r/ou", sallyport.PermissionPath, acme, false},
		{"*", sallyport.PermissionPath, acme, false},
		{string(acme), "", acme, false},
	} {
		p := sallyport.Permission{Value: tt.value, Type: tt.typ}
		if got := p.Admits(tt.domain); got != tt.want {
			t.Errorf("%q of type %q admits %q = %v, want %v", tt.value, tt.typ, tt.domain, got, tt.want)
		}
	}
}

// If this fails, a backend that asked who connects is not told, or one that did
// not ask finds bytes it cannot read in front of the client's.
func TestSendsHeader(t *testing.T) {
	for mode, want := range map[sallyport.ProxyMode]bool{
		sallyport.ProxyClose: false, sallyport.ProxyTOA: false, "": false,
		sallyport.ProxyPROXY: true, sallyport.ProxyBoth: true, sallyport.ProxyVNI: true,
	} {
		if got := mode.SendsHeader(); got != want {
			t.Errorf("%q sends a header = %v, want %v", mode, got, want)
		}
	}
}

// If this fails, the filter by kind of backend finds the other kind.
func TestNetType(t *testing.T) {
	for _, tt := range []struct {
		s    sallyport.Service
		want string
	}{
		{sallyport.Service{PortID: "p"}, "vxlan"},
		{sallyport.Service{PortID: "p", IP: "10.0.0.1"}, "vlan"},
	} {
		if got := tt.s.NetType(); got != tt.want {
			t.Errorf("net type with address %q = %q, want %q", tt.s.IP, got, tt.want)
		}
	}
}

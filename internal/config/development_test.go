package config_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/config"
)

// If this fails, sallyport dev does not start, or its accounts cannot play
// provider and consumer.
func TestDevelopment(t *testing.T) {
	c := parse(t, string(config.Development("")))
	if c.Listen != config.DefaultListen || c.Networks.Unknown != config.UnknownAllow || c.Quotas.Endpoint != 50 {
		t.Errorf("listen %s, unknown %s, endpoint quota %d: not the defaults", c.Listen, c.Networks.Unknown, c.Quotas.Endpoint)
	}
	for i, want := range []struct{ domain, user, access, cidr string }{
		{"provider", "paula", "SPPROVIDER0000000001", "127.64.1.0/24"},
		{"consumer", "carl", "SPCONSUMER0000000001", "127.64.2.0/24"},
	} {
		d := c.Identity.Domains[i]
		u := d.Users[0]
		if d.Name != want.domain || u.Name != want.user || u.Password == "" || u.AccessKeys[0].Access != want.access {
			t.Errorf("domain %d is %s with user %s and key %s, want %+v", i, d.Name, u.Name, u.AccessKeys[0].Access, want)
		}
		if d.Projects[0].Name != c.Region {
			t.Errorf("project of %s is %s: clients look it up by the region, %s", d.Name, d.Projects[0].Name, c.Region)
		}
		v := c.Networks.VPCs[i]
		if v.Attach.Mode != config.AttachHost || v.Subnets[0].CIDR != netip.MustParsePrefix(want.cidr) {
			t.Errorf("VPC %d: %s %s, want host %s", i, v.Attach.Mode, v.Subnets[0].CIDR, want.cidr)
		}
	}
	if p := c.Identity.Domains[0]; p.ID != "6e9dfd51d1124e8d8498dce894923a0d" || p.Projects[0].ID != "6204a5bd270343b5885144cf9c8c158d" {
		t.Errorf("provider is %s with project %s: the ids of the documentation changed", p.ID, p.Projects[0].ID)
	}
	if b := c.Backends[0]; b.VPC != c.Networks.VPCs[0].ID || b.Addresses[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("backend is %v in %s", b.Addresses, b.VPC)
	}
	for _, w := range c.Warnings() {
		if !strings.Contains(w, "plain text") {
			t.Errorf("unexpected warning: %s", w)
		}
	}
}

// If this fails, sallyport dev ignores the address it was asked to listen on, or
// an address changes more of the file than that.
func TestDevelopmentListens(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:9000", ":9000"} {
		if got := parse(t, string(config.Development(addr))).Listen; got != addr {
			t.Errorf("listen = %q, want %q", got, addr)
		}
	}
	if _, err := config.Parse(config.Development("x\nregion: y"), "dev"); err == nil {
		t.Error("an address with a line break was taken")
	}
}

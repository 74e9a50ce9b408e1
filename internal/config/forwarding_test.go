package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/config"
)

// If this fails, a time span is read as another one, or one that says nothing
// about its unit is guessed at.
func TestTimeSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"100ms": 100 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "1m30s": 90 * time.Second, `"5m"`: 5 * time.Minute,
	} {
		if got := parse(t, "forwarding: {dial_timeout: "+text+"}").Forwarding.DialTimeout; got != want {
			t.Errorf("dial_timeout %s = %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "0d": 0, "1d": 24 * time.Hour, "7d": 168 * time.Hour} {
		if got := parse(t, "forwarding: {idle_timeout: "+text+"}").Forwarding.IdleTimeout; got != want {
			t.Errorf("idle_timeout %s = %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"5", "five", "1.5d", "-1d", "99999d", "d", "1h 5m", `""`, "9999999h", "true"} {
		_, err := config.Parse([]byte("forwarding: {idle_timeout: "+text+"}"), "bad.yaml")
		if want := "is not a time span; write number and unit"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("idle_timeout %s: error = %v, want %q", text, err, want)
		}
	}
}

// If this fails, a bound of a key is not where the reference says it is.
func TestBoundsOfForwarding(t *testing.T) {
	const backend = "backends: [{port_id: b, vpc: v, addresses: [10.0.0.1], check: {%s}}]"
	for _, tt := range []struct{ text, least, most, below, above string }{
		{"forwarding: {connections: %s}", "1", "1000000", "0", "1000001"},
		{"forwarding: {dial_timeout: %s}", "100ms", "5m", "99ms", "301s"},
		{"forwarding: {idle_timeout: %s}", "1s", "7d", "999ms", "169h"},
		{"forwarding: {idle_timeout: %s}", "0", "168h", "-1s", "168h1ns"},
		{"forwarding: {udp_timeout: %s}", "1s", "1h", "0", "61m"},
		{"forwarding: {drain: %s}", "0", "1h", "-1ns", "61m"},
		{"forwarding: {transit: {ipv4: %s}}", "203.0.113.0/24", "10.0.0.0/8", "203.0.113.0/25", "10.0.0.0/7"},
		{"forwarding: {transit: {ipv6: %s}}", `"fd00::/64"`, `"fd00::/16"`, `"fd00::/65"`, `"fc00::/15"`},
		{fmt.Sprintf(backend, "interval: %s"), "1s", "1h", "999ms", "61m"},
		{fmt.Sprintf(backend, "timeout: %s"), "100ms", "5s", "99ms", "5001ms"},
		{fmt.Sprintf(backend, "port: %s"), "0", "65535", "-1", "65536"},
		{fmt.Sprintf(backend, "type: http, path: /%s"), "", strings.Repeat("a", 1023), "#", strings.Repeat("a", 1024)},
		{"dns: {suffix: %s}", "a", strings.Repeat("abcde.", 24) + "abcdef", `""`, strings.Repeat("abcde.", 25) + "a"},
	} {
		for _, value := range []string{tt.least, tt.most} {
			if _, err := config.Parse(fmt.Appendf(nil, tt.text, value), "good.yaml"); err != nil {
				t.Errorf("%s: %v", value, err)
			}
		}
		for _, value := range []string{tt.below, tt.above} {
			if _, err := config.Parse(fmt.Appendf(nil, tt.text, value), "bad.yaml"); err == nil {
				t.Errorf("%s was taken", fmt.Sprintf(tt.text, value))
			}
		}
	}
}

// If this fails, a file that an earlier version took is refused because of a key
// that it does not have, or a range is taken in which the kernel's path would
// mistake foreign packets for its own.
func TestTransitKeepsClear(t *testing.T) {
	const vpc = "networks: {vpcs: [{id: v, attach: {mode: %s}, subnets: [{id: s, cidr: 198.18.7.0/24}]}]}\n"
	for _, tt := range []struct {
		name, text string
		want       string // what the error begins with, "" for none
	}{
		{"default and the host", fmt.Sprintf(vpc, "host"), ""},
		{"default and nothing attached", fmt.Sprintf(vpc, "none"), ""},
		{"default and a namespace", fmt.Sprintf(vpc, "netns, name: blue"), "bad.yaml:1: networks.vpcs[0].subnets[0].cidr: "},
		{"default, but another engine", fmt.Sprintf(vpc, "netns, name: blue") + "forwarding: {engine: user}", ""},
		{"another range", fmt.Sprintf(vpc, "netns, name: blue") + "forwarding: {transit: {ipv4: 100.64.0.0/16}}", ""},
		{"chosen and the host", fmt.Sprintf(vpc, "host") + "forwarding: {transit: {ipv4: 198.18.0.0/16}}", "bad.yaml:2: forwarding.transit.ipv4: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			if _, err := config.Parse([]byte(tt.text), "bad.yaml"); err != nil {
				got = err.Error()
			}
			if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
				t.Errorf("error = %q, want %q…", got, tt.want)
			}
		})
	}
}

// If this fails, two ways to write one namespace are taken for two namespaces, and
// the second VPC cannot be attached.
func TestNamespacePaths(t *testing.T) {
	const text = `networks:
  vpcs:
    - {id: v1, attach: {mode: netns, name: blue}, subnets: [{id: s1, cidr: 10.0.0.0/24}]}
    - {id: v2, attach: {mode: netns, name: %s}, subnets: [{id: s2, cidr: 10.0.1.0/24}]}
`
	for name, want := range map[string]bool{
		"blue": true, "green": true, "/proc/4711/ns/net": true, "/run/netns/green": true,
		"/run/netns/blue": false, "/var/run/netns/blue": false,
	} {
		c, err := config.Parse(fmt.Appendf(nil, text, name), "test.yaml")
		if (err == nil) != want {
			t.Errorf("%s beside blue: error = %v, want one: %t", name, err, !want)
		}
		if err == nil {
			if diff := cmp.Diff(name, c.Networks.VPCs[1].Attach.Name); diff != "" {
				t.Errorf("name (-want +got):\n%s", diff)
			}
		}
	}
}

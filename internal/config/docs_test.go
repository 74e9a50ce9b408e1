package config_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/config"
)

// reference returns docs/configuration.md.
func reference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// paths returns the path of every key of a type, lists marked with [].
func paths(t reflect.Type, prefix string) []string {
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return paths(t.Elem(), prefix+"[]")
	case t.Kind() == reflect.Pointer:
		return paths(t.Elem(), prefix)
	case t.Kind() != reflect.Struct || t.PkgPath() == "net/netip":
		return nil
	}
	var list []string
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		path := strings.TrimPrefix(prefix+"."+key, ".")
		list = append(list, path)
		list = append(list, paths(f.Type, path)...)
	}
	return list
}

// If this fails, the reference lacks a key that the program reads, or describes
// one that it does not.
func TestReferenceHasEveryKey(t *testing.T) {
	want := paths(reflect.TypeFor[config.Config](), "")
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|").FindAllStringSubmatch(reference(t), -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the types and of the reference (-types +reference):\n%s", diff)
	}
}

// If this fails, somebody copies an example from the reference and it is refused.
func TestReferenceExamplesParse(t *testing.T) {
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(reference(t), -1)
	if len(examples) < 8 {
		t.Fatalf("%d examples, want one for the whole file and one per section", len(examples))
	}
	for i, m := range examples {
		if _, err := config.Parse([]byte(m[1]), fmt.Sprintf("example %d", i+1)); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
	}
	first := parse(t, examples[0][1])
	for f, v := range reflect.ValueOf(*first).Fields() {
		if v.IsZero() && f.Name != "Database" { // which the example has as a comment
			t.Errorf("the first example does not show %s", f.Name)
		}
	}
}

// If this fails, a default in the reference is not the one that holds.
func TestReferenceDefaults(t *testing.T) {
	text := reference(t)
	c := parse(t, "backends: [{port_id: b, vpc: v, addresses: [10.0.0.1], check: {}}, {port_id: c, vpc: v, addresses: [10.0.0.1], check: {type: http}}]")
	w, b, k := c.Forwarding, c.Backends[0], c.Backends[0].Check
	for key, value := range map[string]any{
		"listen": c.Listen, "data_dir": c.DataDir, "region": c.Region, "language": c.Language,
		"networks.unknown": c.Networks.Unknown, "quotas.endpoint_service": c.Quotas.EndpointService,
		"quotas.endpoint": c.Quotas.Endpoint, "clusters[].port": config.DefaultClusterPort,
		"networks.vpcs[].attach.mode": config.AttachHost, "public_services[].service_type": config.ServiceInterface,
		"public_services[].ports[].protocol": config.ProtocolTCP,
		"backends[].balance":                 b.Balance, "backends[].proxy_tlvs": b.ProxyTLVs, "backends[].check.type": k.Type,
		"backends[].check.port": k.Port, "backends[].check.path": c.Backends[1].Check.Path,
		"backends[].check.interval": k.Interval, "backends[].check.timeout": k.Timeout,
		"forwarding.engine": w.Engine, "forwarding.connections": w.Connections, "forwarding.dial_timeout": w.DialTimeout,
		"forwarding.idle_timeout": w.IdleTimeout, "forwarding.udp_timeout": w.UDPTimeout, "forwarding.drain": w.Drain,
		"forwarding.transit.ipv4": w.Transit.IPv4, "forwarding.transit.ipv6": w.Transit.IPv6,
		"forwarding.flow_log": fmt.Sprintf("%q", w.FlowLog), "dns.suffix": c.DNS.Suffix,
	} {
		if d, ok := value.(time.Duration); ok { // the reference writes 1m, Go 1m0s
			value = strings.Replace(d.String(), "m0s", "m", 1)
		}
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%s` \\| [^|]+ \\| `%s` \\|", regexp.QuoteMeta(key), regexp.QuoteMeta(fmt.Sprint(value))))
		if !row.MatchString(text) {
			t.Errorf("the reference does not say that the default of %s is %v", key, value)
		}
	}
}

// If this fails, a variable of the reference sets another key, or none. The
// values are such that only the right key refuses them with its own words.
func TestReferenceEnvironment(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `(SALLYPORT_[A-Z_]+)` \\| `([a-z_]+)` \\|$").FindAllStringSubmatch(reference(t), -1)
	want := map[string]string{
		"listen": "is not host:port", "public_url": "must be an http", "data_dir": "must name a directory",
		"database": "must be a postgres", "region": "contains a dot", "language": "is not offered",
	}
	if len(rows) != len(want) {
		t.Errorf("%d variables in the reference, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		_, err := config.Load("", func(name string) string {
			if name == row[1] {
				return "no.such\x00value"
			}
			return ""
		})
		if err == nil || !strings.Contains(err.Error(), row[1]+": ") || !strings.Contains(err.Error(), want[row[2]]) {
			t.Errorf("%s: error = %v, want the one of %s", row[1], err, row[2])
		}
	}
}

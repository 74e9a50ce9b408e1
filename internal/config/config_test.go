package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/sallyport-net/sallyport/internal/config"
)

// comparable lets go-cmp compare addresses and networks, which hide their fields.
var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withDefaults returns the configuration of an empty file with a change applied.
func withDefaults(change func(*config.Config)) *config.Config {
	c := &config.Config{
		Listen: "127.0.0.1:8780", PublicURL: "http://127.0.0.1:8780", DataDir: "./data",
		Region: "eu-west-101", Language: "en-us", OnRevoke: "keep",
		Networks: config.Networks{Unknown: config.UnknownAllow},
		Forwarding: config.Forwarding{
			Engine: "auto", Connections: 3000, DialTimeout: 5 * time.Second, UDPTimeout: time.Minute, Drain: 5 * time.Second,
			Transit: config.Transit{IPv4: netip.MustParsePrefix("198.18.0.0/15"), IPv6: netip.MustParsePrefix("fd53:6170:7274::/48")},
		},
		DNS:    config.DNS{Suffix: "sallyport.internal"},
		Quotas: config.Quotas{EndpointService: 20, Endpoint: 50},
	}
	change(c)
	return c
}

// If this fails, a file that says nothing does not mean the documented defaults.
func TestDefaults(t *testing.T) {
	want := withDefaults(func(*config.Config) {})
	for name, text := range map[string]string{
		"empty":       "",
		"blank":       "\n\n",
		"comments":    "# nothing\n",
		"document":    "---\n",
		"bare keys":   "listen:\nidentity:\nnetworks:\nbackends:\nforwarding:\ndns:\nquotas:\n",
		"empty parts": "identity: {}\nnetworks: {vpcs: }\nforwarding: {transit: {ipv4: }, drain: }\ndns: {}\nquotas: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, parse(t, text), comparable); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

// everyKey sets every key once and leaves out once what has a default in a list.
const everyKey = `
listen: 127.0.0.1:9000
public_url: https://sallyport.example.net/
data_dir: /var/lib/sallyport
database: postgres://sallyport:pw@127.0.0.1:5432/sallyport
region: eu-de
language: zh-cn
on_revoke: cut
identity:
  domains:
    - id: 0123
      name: acme
      projects: [{id: 12e4, name: eu-de}]
      users:
        - id: u1
          name: paula
          password: 0815
          roles: [admin, reader]
          access_keys: [{access: A1, secret: S1}]
        - {name: carl, password: x, roles: [reader]}
networks:
  unknown: refuse
  vpcs:
    - {id: v1, name: provider, attach: {mode: netns, name: blue, interface: eth0}, dns: "10.0.0.2:5353", subnets: [{id: s1, cidr: 10.0.0.0/24}]}
    - {id: v2, attach: {mode: none}, subnets: [{id: s2, cidr: 10.0.0.0/24}]}
    - {id: v3, dns: "fd00::53", subnets: [{id: s3, cidr: "fd00::/64"}]}
backends:
  - port_id: b1
    vpc: v1
    addresses: [10.0.0.7, "fd00::7"]
    balance: least_connections
    check: {type: http, port: 8081, path: "/up?deep=1", interval: 10s, timeout: 500ms}
    proxy_tlvs: [sallyport, aws, azure, gcp, unique_id, authority]
  - {port_id: b2, vpc: v1, addresses: [10.0.0.7], check: {interval: 1s}}
  - {port_id: b3, vpc: v1, addresses: [10.0.0.7], check: {type: http, port: 0, timeout: 5s}}
public_services:
  - {id: i1, name: com.example.dns, owner: acme, service_type: gateway, approval: true, port_id: b1, ports: [{client_port: 53, server_port: 5353, protocol: TCP}]}
  - {name: com.example.ntp, owner: acme, port_id: b1, ports: [{client_port: 123, server_port: 123}, {client_port: 123, server_port: 123, protocol: UDP}, {client_port: 53, server_port: 5353, protocol: UDP}]}
clusters:
  - {id: c1, name: search, project: 12e4, vpc: v1, subnet: s1, addresses: [10.0.0.8], port: 9201}
  - {id: c2, name: other, project: 12e4, vpc: v1, subnet: s1, addresses: [10.0.0.8]}
gateways:
  - {id: g1, name: front, project: 12e4, vpc: v3, subnet: s3, addresses: ["fd00::9"], ports: [8443]}
  - {id: g2, name: other, project: 12e4, vpc: v3, subnet: s3, addresses: ["fd00::9"]}
forwarding:
  engine: user
  connections: 1000000
  dial_timeout: 100ms
  idle_timeout: 7d
  udp_timeout: 1h
  drain: 0
  transit: {ipv4: 10.0.0.0/8, ipv6: "fd00::/16"}
  flow_log: "-"
dns: {suffix: Lab.example}
quotas: {endpoint_service: 0, endpoint: 7}
`

// If this fails, a key is read into the wrong field, or a default inside a list
// does not hold, or overrides what the file says.
func TestEveryKey(t *testing.T) {
	got := parse(t, everyKey)
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	want := &config.Config{
		Listen: "127.0.0.1:9000", PublicURL: "https://sallyport.example.net", DataDir: "/var/lib/sallyport",
		Database: "postgres://sallyport:pw@127.0.0.1:5432/sallyport", Region: "eu-de", Language: "zh-cn", OnRevoke: "cut",
		Identity: config.Identity{Domains: []config.Domain{{
			ID: "0123", Name: "acme", Projects: []config.Project{{ID: "12e4", Name: "eu-de"}},
			Users: []config.User{
				{ID: "u1", Name: "paula", Password: "0815", Roles: []string{"admin", "reader"}, AccessKeys: []config.AccessKey{{Access: "A1", Secret: "S1"}}},
				{ID: "e23784886ca0ec9d3711d32e21d8de17", Name: "carl", Password: "x", Roles: []string{"reader"}},
			},
		}}},
		Networks: config.Networks{Unknown: config.UnknownRefuse, VPCs: []config.VPC{
			{ID: "v1", Name: "provider", Attach: config.Attach{Mode: config.AttachNetns, Name: "blue", Interface: "eth0"}, DNS: netip.MustParseAddrPort("10.0.0.2:5353"), Subnets: []config.Subnet{{ID: "s1", CIDR: prefix("10.0.0.0/24")}}},
			{ID: "v2", Attach: config.Attach{Mode: config.AttachNone}, Subnets: []config.Subnet{{ID: "s2", CIDR: prefix("10.0.0.0/24")}}},
			{ID: "v3", Attach: config.Attach{Mode: config.AttachHost}, DNS: netip.MustParseAddrPort("[fd00::53]:53"), Subnets: []config.Subnet{{ID: "s3", CIDR: prefix("fd00::/64")}}},
		}},
		Backends: []config.Backend{
			{
				PortID: "b1", VPC: "v1", Addresses: []netip.Addr{addr("10.0.0.7"), addr("fd00::7")}, Balance: "least_connections",
				Check:     &config.Check{Type: "http", Port: 8081, Path: "/up?deep=1", Interval: 10 * time.Second, Timeout: 500 * time.Millisecond},
				ProxyTLVs: []string{"sallyport", "aws", "azure", "gcp", "unique_id", "authority"},
			},
			{
				PortID: "b2", VPC: "v1", Addresses: []netip.Addr{addr("10.0.0.7")}, Balance: "round_robin",
				Check: &config.Check{Type: "tcp", Interval: time.Second, Timeout: time.Second}, ProxyTLVs: []string{"sallyport"},
			},
			{
				PortID: "b3", VPC: "v1", Addresses: []netip.Addr{addr("10.0.0.7")}, Balance: "round_robin",
				Check: &config.Check{Type: "http", Path: "/", Interval: 5 * time.Second, Timeout: 5 * time.Second}, ProxyTLVs: []string{"sallyport"},
			},
		},
		PublicServices: []config.PublicService{
			{ID: "i1", Name: "com.example.dns", Owner: "acme", ServiceType: "gateway", Approval: true, PortID: "b1", Ports: []config.PortMapping{{ClientPort: 53, ServerPort: 5353, Protocol: "TCP"}}},
			{ID: "5ef2bbdf-5872-8a4e-8acd-fe8d5979b14c", Name: "com.example.ntp", Owner: "acme", ServiceType: "interface", PortID: "b1", Ports: []config.PortMapping{{ClientPort: 123, ServerPort: 123, Protocol: "TCP"}, {ClientPort: 123, ServerPort: 123, Protocol: "UDP"}, {ClientPort: 53, ServerPort: 5353, Protocol: "UDP"}}},
		},
		Clusters: []config.Cluster{
			{ID: "c1", Name: "search", Project: "12e4", VPC: "v1", Subnet: "s1", Addresses: []netip.Addr{addr("10.0.0.8")}, Port: 9201},
			{ID: "c2", Name: "other", Project: "12e4", VPC: "v1", Subnet: "s1", Addresses: []netip.Addr{addr("10.0.0.8")}, Port: 9200},
		},
		Gateways: []config.Gateway{
			{ID: "g1", Name: "front", Project: "12e4", VPC: "v3", Subnet: "s3", Addresses: []netip.Addr{addr("fd00::9")}, Ports: []int{8443}},
			{ID: "g2", Name: "other", Project: "12e4", VPC: "v3", Subnet: "s3", Addresses: []netip.Addr{addr("fd00::9")}, Ports: []int{80, 443}},
		},
		Forwarding: config.Forwarding{
			Engine: "user", Connections: 1_000_000, DialTimeout: 100 * time.Millisecond, IdleTimeout: 168 * time.Hour,
			UDPTimeout: time.Hour, Transit: config.Transit{IPv4: prefix("10.0.0.0/8"), IPv6: prefix("fd00::/16")}, FlowLog: "-",
		},
		DNS:    config.DNS{Suffix: "Lab.example"},
		Quotas: config.Quotas{EndpointService: 0, Endpoint: 7},
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// If this fails, public_url shows something that nobody can follow.
func TestPublicURLFollowsListen(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8780":   "http://127.0.0.1:8780",
		"0.0.0.0:80":       "http://127.0.0.1:80",
		":80":              "http://127.0.0.1:80",
		"[::]:80":          "http://[::1]:80",
		"[fd00::1]:80":     "http://[fd00::1]:80",
		"[fe80::1%lo]:80":  "http://[fe80::1%25lo]:80",
		"sally.example:80": "http://sally.example:80",
		"127.0.0.1:0":      "",
	} {
		if got := parse(t, fmt.Sprintf("listen: %q", listen)).PublicURL; got != want {
			t.Errorf("listen %s: public_url = %q, want %q", listen, got, want)
		}
	}
	if got := config.PublicURLFor("nowhere"); got != "" {
		t.Errorf("PublicURLFor(nowhere) = %q, want none", got)
	}
}

// If this fails, the environment does not win over the file, the file not over
// the defaults, or what follows from a value follows from the losing one.
func TestLoadPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sallyport.yaml")
	file := "listen: 127.0.0.1:1\ndata_dir: /file\nlanguage: latin\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"SALLYPORT_LISTEN": "127.0.0.1:2", "SALLYPORT_DATABASE": "postgresql:///sallyport?host=/run/postgresql",
		"SALLYPORT_LANGUAGE": "zh-cn", "SALLYPORT_REGION": "eu-de",
	}
	got, err := config.Load(path, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	want := withDefaults(func(c *config.Config) {
		c.Listen, c.PublicURL, c.DataDir = "127.0.0.1:2", "http://127.0.0.1:2", "/file"
		c.Database, c.Language, c.Region = env["SALLYPORT_DATABASE"], "zh-cn", "eu-de"
	})
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}

	got, err = config.Load("", func(name string) string {
		return map[string]string{"SALLYPORT_DATA_DIR": "/env", "SALLYPORT_PUBLIC_URL": "https://sally.example"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	want = withDefaults(func(c *config.Config) { c.DataDir, c.PublicURL = "/env", "https://sally.example" })
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("configuration without a file (-want +got):\n%s", diff)
	}
}

// If this fails, a wrong variable is blamed on the file, or shown when it may
// hold a password.
func TestLoadNamesTheVariable(t *testing.T) {
	env := map[string]string{"SALLYPORT_REGION": "eu.west", "SALLYPORT_DATABASE": "mysql://root:CANARY@127.0.0.1"}
	_, err := config.Load("", func(name string) string { return env[name] })
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Fatalf("error = %v, want one without the password", err)
	}
	var list config.Errors
	if !errors.As(err, &list) || len(list) != 2 {
		t.Fatalf("error = %v, want two", err)
	}
	for i, want := range []string{"environment: SALLYPORT_DATABASE: must be ", `environment: SALLYPORT_REGION: "eu.west" contains a dot`} {
		if got := list[i].Error(); !strings.HasPrefix(got, want) {
			t.Errorf("error %d = %q, want it to begin with %q", i, got, want)
		}
	}
}

// If this fails, a caller cannot tell a missing file from a wrong one, or a file
// of any length is read into memory.
func TestLoadReadsAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Load(filepath.Join(dir, "none.yaml"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v, want fs.ErrNotExist", err)
	}
	if _, err := config.Load(dir, nil); err == nil {
		t.Error("a directory was taken")
	}
	long := filepath.Join(dir, "long.yaml")
	if err := os.WriteFile(long, bytes.Repeat([]byte("# filler\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(long, nil); err == nil || !strings.Contains(err.Error(), "longer than 4 MiB") {
		t.Errorf("file of 9 MiB: %v", err)
	}
}

// If this fails, a password or key of the file appears where a configuration or
// a part of it is printed, logged or encoded.
func TestSecretsNeverShow(t *testing.T) {
	c := parse(t, `
database: postgres://sallyport:CANARY@127.0.0.1/sallyport?sslpassword=CANARY
identity:
  domains:
    - id: d1
      name: acme
      users:
        - {name: paula, password: CANARY, roles: [admin], access_keys: [{access: A1, secret: CANARY}]}
`)
	user := c.Identity.Domains[0].Users[0]
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		for _, v := range []any{c, *c, user, &user, user.Password, user.AccessKeys} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{c, *c, user, user.Password} {
		text, err := yaml.Marshal(v)
		out.Write(text)
		encoded, err2 := json.Marshal(v)
		out.Write(encoded)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("configuration", "config", c, "value", *c, "user", user, "password", user.Password)
	}
	out.WriteString(strings.Join(c.Warnings(), "\n"))
	out.WriteString(user.Password.String() + user.Password.GoString() + c.ShownDatabase())
	if got := out.String(); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
		t.Errorf("a secret shows:\n%s", got)
	}
	if want := "postgres://sallyport:xxxxx@127.0.0.1/sallyport?sslpassword=xxxxx"; c.ShownDatabase() != want {
		t.Errorf("ShownDatabase = %q, want %q", c.ShownDatabase(), want)
	}
	if string(user.Password) != canary {
		t.Errorf("the password itself is lost: %q", string(user.Password))
	}
}

// If this fails, ShownDatabase shows a value that Load would have refused.
func TestShownDatabaseOfAnything(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"postgres://u@h/db":             "postgres://u@h/db",
		"host=h password=CANARY":        "[secret]",
		"postgres:u:CANARY@h":           "[secret]",
		"postgres://u:%zzCANARY@h":      "[secret]",
		"postgres://?host=/run":         "postgres:///?host=%2Frun",
		"postgres://h/?PASSWORD=CANARY": "postgres://h/?PASSWORD=xxxxx",
	} {
		if got := (config.Config{Database: in}).ShownDatabase(); got != want {
			t.Errorf("ShownDatabase of %q = %q, want %q", in, got, want)
		}
	}
}

// If this fails, what config show prints is not a configuration any more.
func TestShownConfigParsesAgain(t *testing.T) {
	for name, text := range map[string]string{"development": string(config.Development("")), "every key": strings.Replace(everyKey, ":pw@", "@", 1)} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, text)
			again := parse(t, c.String())
			for _, d := range c.Identity.Domains { // all that may differ
				for i := range d.Users {
					d.Users[i].Password = "[secret]"
					for k := range d.Users[i].AccessKeys {
						d.Users[i].AccessKeys[k].Secret = "[secret]"
					}
				}
			}
			if diff := cmp.Diff(c, again, comparable); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

// If this fails, an operator is not told about what will surprise them later, or
// is warned about what is in order.
func TestWarnings(t *testing.T) {
	const quiet = `
identity:
  domains:
    - id: d1
      name: acme
      projects: [{id: p1, name: eu-west-101}]
      users: [{name: paula, password: "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", roles: [admin]}]
`
	for _, tt := range []struct {
		name, text string
		want       []string // the path each warning begins with
	}{
		{"nothing", quiet, nil},
		{"argon2id", strings.Replace(quiet, "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG", 1), nil},
		{"plain password", strings.Replace(quiet, "$2a", "2a", 1), []string{"identity.domains[0].users[0].password"}},
		{"nobody", "", []string{"identity.domains"}},
		{"region without a project", quiet + "region: eu-de\n", []string{"identity.domains[0].projects"}},
		{"in the clear", quiet + "listen: 0.0.0.0:8780\n", []string{"listen"}},
		{"behind a proxy", quiet + "listen: 0.0.0.0:8780\npublic_url: https://sally.example\n", nil},
		{"links to nowhere", quiet + "listen: 0.0.0.0:8780\npublic_url: https://127.0.0.1\n", []string{"public_url"}},
		{"localhost", quiet + "listen: localhost:8780\n", nil},
		{"nobody approves", quiet + "public_services: [{name: dns, owner: operator, approval: true}]\n", []string{"public_services[0].approval"}},
		{"no field in the header", quiet + "backends: [{port_id: b1, vpc: v1, addresses: [10.0.0.7], proxy_tlvs: []}]\n", []string{"backends[0].proxy_tlvs"}},
		{"default field in the header", quiet + "backends: [{port_id: b1, vpc: v1, addresses: [10.0.0.7]}]\n", nil},
		{"somebody approves", quiet + "public_services: [{name: dns, owner: acme, approval: true}]\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, w := range parse(t, tt.text).Warnings() {
				path, _, _ := strings.Cut(w, ": ")
				got = append(got, path)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

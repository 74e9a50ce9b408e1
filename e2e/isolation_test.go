package e2e_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/httpapi/apig"
	"github.com/sallyport-net/sallyport/internal/httpapi/css"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/iam"
	"github.com/sallyport-net/sallyport/internal/httpapi/native"
	"github.com/sallyport-net/sallyport/internal/httpapi/vpcep"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// update is set by -update. "make golden" does not look for it here: it would
// play every test of this package for one file.
var update bool

func init() { flag.BoolVar(&update, "update", false, "rewrite testdata/isolation.golden") }

const isolationFile = "testdata/isolation.golden"

// operations lists every operation that the product serves.
func operations() []edge.Operation {
	return edge.Operations([]edge.Family{
		vpcep.New(nil, vpcep.Options{}), css.New(nil, css.Options{}), apig.New(nil), iam.New(iam.Options{}), native.New(nil),
	})
}

// isolationColumns are the callers, each asking for what the owner has. The
// owner comes last: what it asks for may be gone then.
var isolationColumns = []string{"no-credentials", "expired", "revoked", "wrong-project", "other-domain", "other-project", "reader", "owner"}

// Who may do what, as one table: every operation of every family for every kind
// of caller. If this fails, a tenant sees or changes what another has, or an
// operation was added that nobody thought about.
func TestIsolation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Services, w.Endpoint = 1000, 1000
	w.managed(9, 9)
	start := time.Now()
	var late atomic.Int64 // how much the product's clock is ahead
	w.now = func() time.Time { return start.Add(time.Since(start)).Add(time.Duration(late.Load())) }
	p := w.start(t)
	s := &isolation{t: t, p: p, owner: p.as(t, w.provider())}
	expired := s.owner.login().token
	late.Store(int64(25 * time.Hour)) // a token lives a day
	revoked := s.owner.login()
	if a := revoked.send(http.MethodDelete, "/v3/auth/tokens", nil, header("X-Subject-Token", revoked.token)); a.status >= 300 {
		t.Fatalf("revoke: %s", a)
	}
	s.credentials(expired, revoked.token)

	var table strings.Builder
	fmt.Fprintf(&table, "# What each caller is answered who asks for what the owner has. go test ./e2e -run TestIsolation -update writes it anew.\n%-64s", "# family operation, request")
	for _, c := range isolationColumns {
		fmt.Fprintf(&table, " %s", c)
	}
	table.WriteString("\n")
	for _, op := range operations() {
		s.row(op, &table)
	}
	if update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(isolationFile, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(isolationFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), table.String()); diff != "" {
		t.Errorf("who may do what (-want +got):\n%s", diff)
	}
}

// isolation plays the table.
type isolation struct {
	t       *testing.T
	p       *product
	owner   *caller
	callers map[string]*caller
}

// credentials makes the callers of the columns.
func (s *isolation) credentials(expired, revoked string) {
	s.t.Helper()
	with := func(token, project string) *caller {
		c := *s.owner
		c.token, c.project = token, project
		return &c
	}
	token := s.owner.login()
	foreign := s.p.as(s.t, s.p.consumer()).login()
	elsewhere := s.owner.send(http.MethodPost, "/v3/auth/tokens", otherProjectLogin(s.p.provider()), nil)
	if elsewhere.status != http.StatusCreated {
		s.t.Fatalf("login for the other project: %s", elsewhere)
	}
	s.callers = map[string]*caller{
		"no-credentials": with("", providerID),
		"expired":        with(expired, providerID),
		"revoked":        with(revoked, providerID),
		"wrong-project":  with(token.token, consumerID), // the owner, in the path of somebody else
		"other-domain":   with(foreign.token, consumerID),
		"other-project":  with(elsewhere.header.Get("X-Subject-Token"), providerOther),
		"reader":         with(s.p.as(s.t, s.p.reader()).login().token, providerID),
		"owner":          with(token.token, providerID),
	}
}

func otherProjectLogin(u user) map[string]any {
	body := loginBody(u, true)
	body["auth"].(map[string]any)["scope"] = map[string]any{"project": map[string]any{"id": providerOther}}
	return body
}

// row asks one operation of every caller and writes the line.
func (s *isolation) row(op edge.Operation, table *strings.Builder) {
	s.t.Helper()
	name := op.Family + " " + op.Name
	have := s.belongings()
	ask, ok := isolationRequests[name]
	if !ok {
		s.t.Errorf("%s has no request in this test: say what it is sent, and to what answer each caller has a right", name)
		return
	}
	line := fmt.Sprintf("%-64s", name+", "+op.Method)
	for _, column := range isolationColumns {
		c := s.callers[column]
		have.tok = s.owner.login().token // the caller before may have revoked it
		path, body, header := ask(have, op.Path)
		path = strings.ReplaceAll(path, "{project_id}", c.project)
		if i := strings.Index(path, "{"); i >= 0 {
			s.t.Fatalf("%s: nothing fills %s", name, path[i:])
		}
		a := s.ask(column, c, op.Method, path, body, header)
		line += fmt.Sprintf(" %*d", len(column), a.status)
		s.judge(name, column, op, a, have)
	}
	table.WriteString(line + "\n")
}

// ask sends a request with the credentials of a column, or without any.
func (s *isolation) ask(column string, c *caller, method, path string, body any, header http.Header) answer {
	s.t.Helper()
	req, err := c.request(method, path, body, header)
	if err != nil {
		s.t.Fatal(err)
	}
	if column == "no-credentials" {
		for _, k := range []string{"Authorization", "X-Auth-Token", "X-Sdk-Date"} {
			req.Header.Del(k)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, text}
}

// judge holds an answer to the rules, whatever the table says.
func (s *isolation) judge(name, column string, op edge.Operation, a answer, have *belongings) {
	s.t.Helper()
	bad := func(why string) { s.t.Errorf("%s for %s: %s: %s", name, column, a, why) }
	public := op.Public || isolationShared[name]
	switch {
	case column == "owner" && a.status >= 400:
		bad("the owner may do everything")
	case op.Public:
	case slices.Contains([]string{"no-credentials", "expired", "revoked"}, column) && a.status != http.StatusUnauthorized:
		bad("want 401")
	case strings.Contains(op.Path, "{project_id}") && column == "wrong-project" && a.status != http.StatusForbidden:
		bad("want 403")
	case column == "reader" && op.Method != http.MethodGet && op.Method != http.MethodHead && !isolationReads[name] && !public && a.status != http.StatusForbidden:
		bad("want 403")
	case column == "reader" && op.Family != "iam" && (op.Method == http.MethodGet || isolationReads[name]) && a.status >= 400:
		bad("who may look may look at everything")
	}
	// The account of a service may connect to it from each of its projects.
	admitted := name == "vpcep CreateEndpoint" && column == "other-project"
	if column == "owner" || column == "reader" || public || admitted {
		return
	}
	for _, id := range have.all() {
		if strings.Contains(string(a.body), id) && !strings.Contains(string(a.body), "does not exist") {
			bad("it tells of " + id)
		}
	}
}

// belongings are the things of the owner that one row is about: new ones for
// every row, because the owner may delete them.
type belongings struct {
	service, record, endpoint, routed                string
	cluster, closed, gateway                         string // the closed one is a cluster
	connection, clusterConnection, gatewayConnection string
	tok                                              string
}

func (b *belongings) all() []string {
	return []string{b.service, b.record, b.endpoint, b.routed, b.cluster, b.closed, b.gateway, b.connection, b.clusterConnection, b.gatewayConnection}
}

// belongings makes a new set.
func (s *isolation) belongings() *belongings {
	s.t.Helper()
	o := s.owner
	var made struct{ ID string }
	o.do(http.MethodPost, "vpc-endpoint-services", map[string]any{
		"service_name": "isolation", "port_id": backendPort, "vpc_id": providerVPC, "server_type": "VM", "enable_policy": true,
		"ports": []port{{Client: clientPort, Server: int(freshPort.Add(1)), Protocol: "TCP"}},
	}, 200, &made)
	b := &belongings{service: made.ID}
	o.allow(b.service, "0123456789abcdef0123456789abcdef") // none of the callers
	var records struct{ Permissions []struct{ ID string } }
	o.do(http.MethodGet, "vpc-endpoint-services/"+b.service+"/permissions", nil, 200, &records)
	b.record = records.Permissions[0].ID
	subnet := string(sallyport.NewID[sallyport.SubnetID]())
	mine := func(service string) string {
		return o.createEndpoint(endpoint{Service: service, VPC: detachedVPC, Subnet: subnet}).ID
	}
	b.endpoint, b.connection = mine(b.service), mine(b.service)
	o.do(http.MethodPut, "vpc-endpoints/"+b.endpoint+"/policy", isolationPolicy, 200, nil)
	var routed endpoint
	o.do(http.MethodPost, "vpc-endpoints", map[string]any{
		"endpoint_service_id": gatewayService, "vpc_id": detachedVPC, "routetables": []string{string(sallyport.NewID[sallyport.EndpointID]())},
	}, 200, &routed)
	b.routed = routed.ID
	of := func(plural string) string {
		var out instance
		o.through(http.MethodPost, o.nativePath("/"+plural), map[string]any{
			"name": "isolation", "vpc_id": detachedVPC, "subnet_id": subnet, "addresses": []string{"10.77.0.250"}, "ports": []int{9},
		}, 201, &out)
		return out.ID
	}
	b.cluster, b.closed, b.gateway = of("clusters"), of("clusters"), of("gateways")
	b.clusterConnection = mine(o.openCluster(b.cluster).Service)
	b.gatewayConnection = mine(o.instance("gateways", b.gateway).Service)
	return b
}

// freshPort makes the ports of services differ.
var freshPort atomic.Int32

// asker says what an operation is sent.
type asker func(b *belongings, path string) (string, any, http.Header)

// at fills the wildcards of a path with the owner's things.
func (b *belongings) at(path string) string {
	return strings.NewReplacer(
		"{vpc_endpoint_service_id}", b.service, "{vpc_endpoint_id}", b.endpoint, "{permission_id}", b.record,
		"{cluster_id}", b.cluster, "{instance_id}", b.gateway, "{version}", "v1",
	).Replace(path)
}

// plain asks without a body; query is appended.
func plain(query string) asker {
	return func(b *belongings, path string) (string, any, http.Header) { return b.at(path) + query, nil, nil }
}

// body asks with a body.
func body(of func(b *belongings) any) asker {
	return func(b *belongings, path string) (string, any, http.Header) { return b.at(path), of(b), nil }
}

// named asks of one of the owner's things by {id}, with a body or without.
func named(id func(b *belongings) string, of any) asker {
	return func(b *belongings, path string) (string, any, http.Header) {
		return strings.ReplaceAll(path, "{id}", id(b)), of, nil
	}
}

// typed fills the type and the id of a resource.
func typed(of any) asker {
	return func(b *belongings, path string) (string, any, http.Header) {
		return strings.NewReplacer("{resource_type}", "endpoint_service", "{resource_id}", b.service).Replace(path), of, nil
	}
}

// token asks about a token of the owner.
func token(_ *belongings, path string) (string, any, http.Header) { return path, nil, nil }

func subject(b *belongings, path string) (string, any, http.Header) {
	return path, nil, header("X-Subject-Token", b.tok)
}

// isolationShared are operations that need credentials and answer every account
// about itself, or with what all may know.
var isolationShared = map[string]bool{
	"vpcep ListServicePublicDetails": true, "iam KeystoneListProjects": true, "iam KeystoneListAuthProjects": true,
	"iam KeystoneListAuthDomains": true, "iam KeystoneShowCatalog": true, "iam KeystoneRevokeToken": true,
	"iam KeystoneListUsers": true, "vpcep ListServiceDescribeDetails": true,
}

// isolationReads are operations that only look, though their method is POST.
var isolationReads = map[string]bool{"vpcep ListResourceInstances": true}

// isolationPolicy lets everyone do everything.
var isolationPolicy = map[string]any{
	"policy_statement": []any{map[string]any{"Effect": "Allow", "Action": []string{"*"}, "Resource": []string{"*"}}},
}

// spareInstance is a thing of the caller's own.
var spareInstance = map[string]any{
	"name": "spare", "vpc_id": detachedVPC, "subnet_id": detachedSubnet, "addresses": []string{"10.77.0.251"}, "ports": []int{9},
}

// isolationRequests says for every operation what is sent: the most harmful
// request that can be made to the owner's things.
var isolationRequests = map[string]asker{
	"vpcep ListVersionDetails":          plain(""),
	"vpcep ListSpecifiedVersionDetails": plain(""),
	"vpcep CreateEndpointService": body(func(*belongings) any {
		return forwarding(clientPort, int(freshPort.Add(1)))
	}),
	"vpcep ListEndpointService":      plain("?limit=1000"),
	"vpcep ListServicePublicDetails": plain(""),
	"vpcep ListServiceDescribeDetails": func(b *belongings, path string) (string, any, http.Header) {
		return path + "?id=" + b.service, nil, nil
	},
	"vpcep ListServiceDetails":        plain(""),
	"vpcep UpdateEndpointService":     body(func(*belongings) any { return map[string]any{"description": "mine"} }),
	"vpcep UpdateEndpointServiceName": body(func(*belongings) any { return map[string]any{"endpoint_service_name": "mine"} }),
	"vpcep DeleteEndpointService":     plain(""),
	"vpcep AddEndpointServiceServerResource": body(func(*belongings) any {
		return map[string]any{"server_resources": []any{map[string]any{"resource_id": providerVPC, "availability_zone_id": nil}}}
	}),
	"vpcep UpgradeEndpointService": plain(""),
	"vpcep ListServiceConnections": plain(""),
	"vpcep AcceptOrRejectEndpoint": body(func(b *belongings) any { return decision("receive", b.connection) }),
	"vpcep UpdateEndpointConnectionsDesc": body(func(b *belongings) any {
		return map[string]any{"connections": []any{map[string]any{"id": b.connection, "description": "mine"}}}
	}),
	"vpcep ListServicePermissionsDetails": plain(""),
	"vpcep AddOrRemoveServicePermissions": body(func(*belongings) any {
		return map[string]any{"action": "add", "permissions": []string{"iam:domain::*"}}
	}),
	"vpcep BatchAddEndpointServicePermissions": body(func(*belongings) any {
		return map[string]any{"permissions": []any{map[string]any{"permission": "iam:domain::*"}}}
	}),
	"vpcep BatchRemoveEndpointServicePermissions": body(func(b *belongings) any {
		return map[string]any{"permissions": []any{map[string]any{"id": b.record}}}
	}),
	"vpcep UpdateEndpointServicePermissionDesc": body(func(*belongings) any {
		return map[string]any{"permission": map[string]any{"description": "mine"}}
	}),
	"vpcep CreateEndpoint": body(func(b *belongings) any {
		return endpoint{Service: b.service, VPC: detachedVPC, Subnet: detachedSubnet}
	}),
	"vpcep ListEndpoints":           plain("?limit=1000"),
	"vpcep ListEndpointInfoDetails": plain(""),
	"vpcep UpdateEndpointWhite": body(func(*belongings) any {
		return map[string]any{"enable_whitelist": true, "whitelist": []string{"10.0.0.1"}}
	}),
	"vpcep UpdateEndpointRoutetable": func(b *belongings, path string) (string, any, http.Header) {
		return strings.ReplaceAll(path, "{vpc_endpoint_id}", b.routed), map[string]any{"routetables": []string{providerVPC}}, nil
	},
	"vpcep UpdateEndpointPolicy": body(func(*belongings) any { return isolationPolicy }),
	"vpcep DeleteEndpointPolicy": plain(""),
	"vpcep UpgradeEndpoint":      body(func(*belongings) any { return map[string]any{"action": "start"} }),
	"vpcep DeleteEndpoint":       plain(""),
	"vpcep BatchAddOrRemoveResourceInstance": typed(map[string]any{
		"action": "create", "tags": []any{map[string]any{"key": "mine", "value": "yes"}},
	}),
	"vpcep ListQueryProjectResourceTags": plain(""),
	"vpcep ListResourceInstances":        typed(map[string]any{"action": "filter", "limit": "1000", "offset": 0}),
	"vpcep ListQuotaDetails":             plain(""),

	"css StartVpecp": func(b *belongings, path string) (string, any, http.Header) {
		return strings.ReplaceAll(path, "{cluster_id}", b.closed), map[string]any{}, nil
	},
	"css StopVpecp":           plain(""),
	"css ShowVpcepConnection": plain(""),
	"css UpdateVpcepConnection": body(func(b *belongings) any {
		return map[string]any{"action": "receive", "endpoint_id_list": []string{b.clusterConnection}}
	}),
	"css UpdateVpcepWhitelist": body(func(*belongings) any { return map[string]any{"vpc_permissions": []string{"*"}} }),
	"css ShowClusterDetail":    plain(""),
	"css ListClustersDetails":  plain("?limit=1000"),

	"apig ListEndpointConnections": plain(""),
	"apig AcceptOrRejectEndpointConnections": body(func(b *belongings) any {
		return decision("receive", b.gatewayConnection)
	}),
	"apig ListEndpointPermissions":   plain(""),
	"apig AddEndpointPermissions":    body(func(*belongings) any { return map[string]any{"permissions": []string{"iam:domain::*"}} }),
	"apig DeleteEndpointPermissions": body(func(*belongings) any { return map[string]any{"permissions": []string{"iam:domain::*"}} }),
	"apig ShowDetailsOfInstanceV2":   plain(""),
	"apig ListInstancesV2":           plain("?limit=500"),

	"iam KeystoneListVersions":  plain(""),
	"iam KeystoneShowVersion":   plain(""),
	"iam KeystoneValidateToken": subject,
	"iam KeystoneCheckToken":    subject,
	"iam KeystoneRevokeToken":   subject,
	"iam KeystoneCreateUserTokenByPassword": func(_ *belongings, path string) (string, any, http.Header) {
		return path, loginBody((&world{}).provider(), true), nil
	},
	"iam KeystoneListProjects":     token,
	"iam KeystoneListAuthProjects": token,
	"iam KeystoneListAuthDomains":  token,
	"iam KeystoneShowCatalog":      token,
	"iam KeystoneListUsers":        token,
	"iam CreateTemporaryAccessKeyByToken": func(b *belongings, path string) (string, any, http.Header) {
		return path, map[string]any{"auth": map[string]any{"identity": map[string]any{
			"methods": []string{"token"}, "token": map[string]any{"id": b.tok, "duration_seconds": 900},
		}}}, nil
	},

	"native ShowEnforcement":       named(func(b *belongings) string { return b.endpoint }, nil),
	"native ShowActivity":          named(func(b *belongings) string { return b.endpoint }, nil),
	"native ListServiceActivity":   named(func(b *belongings) string { return b.service }, nil),
	"native ShowServiceSettings":   named(func(b *belongings) string { return b.service }, nil),
	"native UpdateServiceSettings": named(func(b *belongings) string { return b.service }, map[string]any{"on_revoke": "cut"}),
	"native ListAudit":             plain("?limit=1000"),
	"native ListClusters":          plain("?limit=1000"),
	"native CreateCluster":         body(func(*belongings) any { return spareInstance }),
	"native ShowCluster":           named(func(b *belongings) string { return b.cluster }, nil),
	"native DeleteCluster":         named(func(b *belongings) string { return b.cluster }, nil),
	"native ListGateways":          plain("?limit=1000"),
	"native CreateGateway":         body(func(*belongings) any { return spareInstance }),
	"native ShowGateway":           named(func(b *belongings) string { return b.gateway }, nil),
	"native DeleteGateway":         named(func(b *belongings) string { return b.gateway }, nil),
}

// isolationIDs are ids in a sentence.
var isolationIDs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// What another account has, and what nobody has, read the same byte for byte,
// but for the request id and the id that was asked for. If this fails, anyone can
// find out which ids exist.
func TestForeignAndMissingReadTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Services, w.Endpoint = 100, 100
	w.managed(9, 9)
	p := w.start(t)
	s := &isolation{t: t, p: p, owner: p.as(t, w.provider())}
	have, c := s.belongings(), p.as(t, w.consumer())
	missing := &belongings{}
	for _, id := range []*string{
		&missing.service, &missing.record, &missing.endpoint, &missing.routed, &missing.cluster, &missing.closed, &missing.gateway,
		&missing.connection, &missing.clusterConnection, &missing.gatewayConnection,
	} {
		*id = string(sallyport.NewID[sallyport.EndpointID]())
	}
	asked := 0
	for _, op := range operations() {
		if op.Family == "iam" || !strings.Contains(strings.ReplaceAll(op.Path, "{project_id}", ""), "{") || op.Public {
			continue
		}
		asked++
		var shown [2]string
		for i, b := range []*belongings{have, missing} {
			path, body, header := isolationRequests[op.Family+" "+op.Name](b, op.Path)
			a := s.ask("", c, op.Method, strings.ReplaceAll(path, "{project_id}", c.project), body, header)
			a.header.Del("X-Request-Id")
			a.header.Del("Date")
			shown[i] = fmt.Sprintf("%d %v %s", a.status, a.header, isolationIDs.ReplaceAll(a.body, []byte("ID")))
			if op.Name != "ListResourceInstances" && a.status < 400 {
				t.Errorf("%s %s: %s", op.Family, op.Name, a)
			}
		}
		if shown[0] != shown[1] {
			t.Errorf("%s %s:\nforeign: %s\nmissing: %s", op.Family, op.Name, shown[0], shown[1])
		}
	}
	if asked < 30 {
		t.Errorf("only %d operations were asked", asked)
	}
}

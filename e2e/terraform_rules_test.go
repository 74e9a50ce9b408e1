package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// tfRules are the rules that the behaviour of both Terraform providers lays on a
// server, most costly mistakes first; the number of a rule is its place here.
// Each says what breaks where it is not kept.
var tfRules = []func(*ruleStage){
	rule01, rule02, rule03, rule04, rule05, rule06, rule07, rule08, rule09, rule10, rule11, rule12, rule13,
	rule14, rule15, rule16, rule17, rule18, rule19, rule20, rule21, rule22, rule23, rule24, rule25,
}

// underscored is an account whose project has a part of its name after the
// region.
func (w *world) underscored() account {
	return account{
		user: user{
			domain: "underscored", domainID: "c0b7c2a94d3e84f5fa1c6e9d27483b51", name: "una", password: "una-test-password",
			access: "SPUNA" + w.Run, secret: "una-secret-of-the-tests-000000001",
		},
		projects: []string{"d1f4c7e05ad24b0e8a63d2b15c7f9e48, " + region + "_dev"},
	}
}

// ruleStage is what a rule plays on: an owner and a consumer through each of the
// providers, in a product that the rules share.
type ruleStage struct {
	*testing.T
	p                *product
	hw, otc, guest   *terraform // guest is the consumer, through the Huawei provider
	plain, plainUser *caller    // with a token: the owner, and one who may only look
}

// rulePort numbers the backend ports of the rules, which must not repeat.
var rulePort = 20000

func newRuleStage(t *testing.T, p *product) *ruleStage {
	t.Helper()
	s := &ruleStage{T: t, p: p}
	s.hw, s.guest, s.otc = p.terraform(t, p.provider(), false), p.terraform(t, p.consumer(), false), p.terraform(t, p.provider(), true)
	s.otc.url = p.url + "/v1/" + providerID + "/"
	s.plain, s.plainUser = p.as(t, p.provider()).login(), p.as(t, p.reader()).login()
	return s
}

// file is the service of a rule; each has another backend port.
func (s *ruleStage) file(approval bool) servicePlan {
	rulePort++
	return servicePlan{
		ServerType: "VM", VPC: providerVPC, Port: backendPort, Name: "rule", Type: "interface", Proxy: "close", Approval: approval,
		Mappings: []tfPort{{clientPort, rulePort, "TCP"}}, Permissions: []string{"iam:domain::" + consumerDomain},
	}
}

// connect makes a service and an endpoint of the consumer to it.
func (s *ruleStage) connect(approval bool) (service, endpoint string) {
	s.Helper()
	service = s.hw.hwCreateService(s.file(approval))
	endpoint, _ = s.guest.hwCreateEndpoint(endpointPlan{Service: service, VPC: detachedVPC, Subnet: detachedSubnet})
	return service, endpoint
}

// If this fails, the OTC provider cannot destroy an endpoint: it takes nothing
// but a 204.
func rule01(s *ruleStage) {
	_, e := s.connect(true)
	a := s.guest.call(http.MethodDelete, s.guest.at("vpc-endpoints/"+e), nil, 204)
	if len(a.body) > 0 {
		s.Errorf("the body is %q", a.body)
	}
}

// If this fails, the OTC provider cannot destroy a service.
func rule02(s *ruleStage) {
	id := s.hw.hwCreateService(s.file(true))
	if a := s.otc.call(http.MethodDelete, s.otc.at("vpc-endpoint-services/"+id), nil, 204); len(a.body) > 0 {
		s.Errorf("the body is %q", a.body)
	}
}

// If this fails, the Huawei provider takes what it has created for an error.
func rule03(s *ruleStage) {
	f := s.file(true)
	var made hwService
	s.hw.into(s.hw.call(http.MethodPost, s.hw.at("vpc-endpoint-services"), tfBody("vpc_id", f.VPC, "port_id", f.Port,
		"server_type", f.ServerType, "ports", f.Mappings, "approval_enabled", false), 200), &made)
	var e hwEndpoint
	s.hw.into(s.hw.call(http.MethodPost, s.hw.at("vpc-endpoints"), tfBody("endpoint_service_id", made.ID, "vpc_id", detachedVPC,
		"subnet_id", detachedSubnet, "enable_dns", true, "enable_whitelist", false), 200), &e)
	if e.Status != "creating" { // a client asserts it
		s.Errorf("a new endpoint without approval is %s", e.Status)
	}
	s.hw.await("the endpoint", []string{"creating"}, []string{"accepted"}, func() string { return s.hw.status("vpc-endpoints/" + e.ID) })
}

// If this fails, every plan of the Huawei provider shows an update.
func rule04(s *ruleStage) {
	id := s.hw.hwCreateService(servicePlan{
		ServerType: "VM", VPC: providerVPC, Port: missing, Type: "interface", Mappings: []tfPort{{1, 1, "TCP"}},
	})
	nobody := url.Values{"id": {missing}}.Encode()
	for path, key := range map[string]string{
		"vpc-endpoint-services/" + id + "/connections": "connections", "vpc-endpoint-services/" + id + "/permissions": "permissions",
		"vpc-endpoints?" + nobody: "endpoints", "vpc-endpoint-services?" + nobody: "endpoint_services",
		"vpc-endpoint-services/public?" + nobody: "endpoint_services",
	} {
		a := s.hw.call(http.MethodGet, s.hw.at(path), nil, 200)
		if !strings.Contains(string(a.body), `"`+key+`":[]`) {
			s.Errorf("%s: %s", path, a)
		}
	}
	a := s.hw.call(http.MethodPost, s.hw.at("endpoint/resource_instances/action"),
		map[string]any{"action": "filter", "tags": []hwTagKey{{"no", []string{}}}}, 200)
	if !strings.Contains(string(a.body), `"resources":[]`) {
		s.Errorf("the search by tags: %s", a)
	}
	a = s.guest.call(http.MethodGet, s.guest.at("endpoint_service/tags"), nil, 200)
	if string(a.body) != `{"tags":[]}` && string(a.body) != "{\"tags\":[]}\n" {
		s.Errorf("the tags: %s", a)
	}
	s.hw.hwDeleteService(id)
}

// If this fails, the OTC provider crashes at the first service.
func rule05(s *ruleStage) {
	id := s.hw.hwCreateService(s.file(true))
	s.otc.call(http.MethodGet, s.otc.at("vpc-endpoint-services/"+id+"/permissions"), nil, 200)
}

// If this fails, a list of the Huawei provider never ends, or ends in an error.
func rule06(s *ruleStage) {
	id := s.hw.hwCreateService(s.file(true))
	var want []string
	for n := range 11 {
		want = append(want, "iam:domain::rule6n"+strconv.Itoa(n))
		s.hw.hwPermit(id, "add", "domainId", want[n:])
	}
	path := "vpc-endpoint-services/" + id + "/permissions"
	for offset, items := range map[int]int{0: 10, 10: 2, 11: 1, 12: 0, 500: 0} {
		target := s.hw.at(path)
		if offset > 0 {
			target += "?offset=" + strconv.Itoa(offset)
		}
		page, total := tfList[hwPermission](s.T, s.hw.call(http.MethodGet, target, nil, 200), "permissions")
		if len(page) != items || total != 12 {
			s.Errorf("from %d there are %d of %d, want %d of 12", offset, len(page), total, items)
		}
	}
	for _, list := range []string{"vpc-endpoint-services", "vpc-endpoint-services/public", "vpc-endpoints", "vpc-endpoint-services/" + id + "/connections"} {
		a := s.hw.call(http.MethodGet, s.hw.at(list+"?offset=100000"), nil, 200)
		if !strings.Contains(string(a.body), ":[]") {
			s.Errorf("%s past its end: %s", list, a)
		}
	}
}

// If this fails, the Huawei provider's pager takes every list for empty.
func rule07(s *ruleStage) {
	id := s.hw.hwCreateService(s.file(true))
	for _, path := range []string{
		"vpc-endpoint-services", "vpc-endpoint-services/public", "vpc-endpoints", "quotas", "endpoint/tags", "endpoint_service/tags",
		"vpc-endpoint-services/" + id + "/connections", "vpc-endpoint-services/" + id + "/permissions",
	} {
		a := s.hw.call(http.MethodGet, s.hw.at(path), nil, 200)
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
			s.Errorf("%s: the Content-Type is %q", path, kind)
		}
	}
}

// If this fails, one of the providers is not let in at all.
func rule08(s *ruleStage) {
	for layout, c := range map[string]*terraform{"Access=": s.hw, "Credential=": s.otc} {
		for _, r := range []*http.Request{
			c.request(http.MethodGet, c.at("vpc-endpoints?limit=5&vpc_id=a%20b&id="), nil),
			c.request(http.MethodPost, c.at("endpoint/resource_instances/action"), map[string]any{"action": "count"}),
		} {
			if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, aksk.Algorithm+" "+layout) {
				s.Fatalf("signed %q", got)
			}
			if a := c.deliver(r); a.status != 200 {
				s.Errorf("%s %s with %s: %s", r.Method, r.URL, layout, a)
			}
		}
	}
}

// If this fails, the Huawei provider is not let in: it signs without the host,
// and names its project and account in headers that nothing signs.
func rule09(s *ruleStage) {
	r := s.hw.request(http.MethodGet, s.hw.at("vpc-endpoints"), nil)
	if got := r.Header.Get("Authorization"); !strings.Contains(got, "SignedHeaders=accept;content-type;user-agent;x-sdk-date,") {
		s.Fatalf("signed %q", got)
	}
	if r.Header.Get("X-Project-Id") == "" || r.Header.Get("X-Domain-Id") == "" {
		s.Fatal("the ids are not there")
	}
	if a := s.hw.deliver(r); a.status != 200 {
		s.Errorf("with both ids: %s", a)
	}
	r = s.hw.request(http.MethodGet, s.hw.at("vpc-endpoints"), nil)
	r.Header.Del("X-Project-Id")
	r.Header.Del("X-Domain-Id")
	if a := s.hw.deliver(r); a.status != 200 {
		s.Errorf("without ids: %s", a)
	}
}

// If this fails, a list that is read twice within a second is refused.
func rule10(s *ruleStage) {
	id := s.hw.hwCreateService(s.file(true))
	for _, c := range []*terraform{s.hw, s.otc} {
		for _, in := range []struct {
			method, path string
			body         any
		}{
			{http.MethodGet, "vpc-endpoint-services", nil},
			{http.MethodPut, "vpc-endpoint-services/" + id, map[string]any{}},
			{http.MethodPost, "vpc-endpoint-services/" + id + "/permissions/action", map[string]any{"action": "add", "permissions": []string{"*"}}},
		} {
			r := c.request(in.method, c.at(in.path), in.body)
			for range 3 {
				again := r.Clone(s.Context())
				if r.GetBody != nil {
					again.Body, _ = r.GetBody()
				}
				if a := c.deliver(again); a.status != 200 {
					s.Fatalf("%s %s again: %s", in.method, in.path, a)
				}
			}
		}
	}
}

// If this fails, the OTC provider logs in again and again, thousands of times.
func rule11(s *ruleStage) {
	f := forwarding(clientPort, 9)
	s.plainUser.refused(http.MethodPost, "vpc-endpoint-services", f, 403, "EndPoint.0004")
	foreign := *s.plain
	foreign.project = consumerID
	foreign.refused(http.MethodGet, "vpc-endpoints", nil, 403, "EndPoint.0004")
	foreign.project = missing
	foreign.refused(http.MethodGet, "vpc-endpoints", nil, 403, "EndPoint.0004")
	a := s.plain.send(http.MethodPost, "/v3/auth/tokens", map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"token"}, "token": map[string]any{"id": s.plain.token}},
		"scope":    map[string]any{"project": map[string]any{"id": consumerID}},
	}}, nil)
	if a.status != 403 {
		s.Errorf("a token for a foreign project: %s", a)
	}
	s.hw.user.secret += "x"
	s.hw.call(http.MethodGet, s.hw.at("vpc-endpoints"), nil, 401)
	s.hw.token = "nonsense"
	s.hw.call(http.MethodGet, s.hw.at("vpc-endpoints"), nil, 401)
}

// If this fails, the OTC provider finds no endpoint in the service catalogue.
func rule12(s *ruleStage) {
	una := s.p.underscored()
	id, name, _ := strings.Cut(una.projects[0], ", ")
	una.project = id
	c := s.p.terraform(s.T, una.user, true)
	c.domain = "" // then it names its project
	want := s.p.url + "/v1/" + id + "/"
	if got := c.catalogue().find("vpcep", region); got != want {
		s.Errorf("the catalogue has %q, want %q", got, want)
	}
	a := s.plain.send(http.MethodPost, "/v3/auth/tokens", map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": una.name, "password": una.password, "domain": map[string]any{"name": una.domain},
		}}},
		"scope": map[string]any{"project": map[string]any{"name": name}},
	}}, nil)
	var login tokenAnswer
	a.into(s.T, &login)
	if got := login.Token.Catalog.find("vpcep", region); got != want {
		s.Errorf("the token's catalogue has %q, want %q", got, want)
	}
}

// If this fails, the Huawei provider replaces an endpoint at every apply.
func rule13(s *ruleStage) {
	service := s.hw.hwCreateService(s.file(false))
	for _, dns := range []bool{true, false} {
		id, _ := s.guest.hwCreateEndpoint(endpointPlan{Service: service, VPC: detachedVPC, Subnet: detachedSubnet, DNS: dns})
		if p, _, _ := s.guest.hwReadEndpoint(id); p.DNS != dns {
			s.Errorf("enable_dns is %t, want %t", p.DNS, dns)
		}
	}
}

// If this fails, both providers see a whitelist that nobody wrote.
func rule14(s *ruleStage) {
	f := s.file(true)
	f.Permissions = nil
	id := s.hw.hwCreateService(f)
	if got := tfPages[hwPermission](s.hw, "vpc-endpoint-services/"+id+"/permissions", "permissions", nil); len(got) != 0 {
		s.Errorf("a new whitelist has %+v", got)
	}
	// And yet the owner's own account is let in.
	if e, status := s.hw.hwCreateEndpoint(endpointPlan{Service: id, VPC: detachedVPC, Subnet: detachedSubnet}); e == "" || status != "pendingAcceptance" {
		s.Errorf("the owner's own endpoint is %s", status)
	}
}

// If this fails, the Huawei provider ends an approval with an unexpected state.
func rule15(s *ruleStage) {
	service, e := s.connect(true)
	// hwDecide accepts no state but creating and pendingAcceptance on the way.
	for _, action := range []string{"receive", "reject", "receive", "receive", "reject", "reject"} {
		s.hw.hwDecide(service, action, []string{e})
	}
}

// If this fails, the OTC provider cannot destroy what it has made: it deletes
// the service some milliseconds after its endpoints.
func rule16(s *ruleStage) {
	service, e := s.connect(false)
	attached, status := s.guest.hwCreateEndpoint(endpointPlan{Service: service, VPC: consumerVPC, Subnet: consumerSubnet})
	if status != "accepted" {
		s.Fatalf("the endpoint is %s", status)
	}
	for _, id := range []string{e, attached} {
		s.guest.call(http.MethodDelete, s.guest.at("vpc-endpoints/"+id), nil, 204)
		if got := s.guest.status("vpc-endpoints/" + id); got != "deleting" && got != tfGone {
			s.Errorf("right after its deletion an endpoint is %s", got)
		}
	}
	s.otc.otcDeleteService(service)
}

// If this fails, both providers read another name than the file has.
func rule17(s *ruleStage) {
	name := regexp.MustCompile(`^[\w-]+\.([\w-]+)\.[\w-]+$`)
	for _, short := range []string{"a", "A_b-9", "sixteen_letters_", ""} {
		f := s.file(true)
		f.Name = short
		id := s.hw.hwCreateService(f)
		var got hwService
		s.hw.into(s.hw.call(http.MethodGet, s.hw.at("vpc-endpoint-services/"+id), nil, 200), &got)
		if short == "" {
			if parts := strings.Split(got.Name, "."); len(parts) > 2 {
				s.Errorf("a service without a name is called %s", got.Name)
			}
			continue
		}
		m := name.FindStringSubmatch(got.Name)
		if m == nil || m[1] != short || got.Name != region+"."+short+"."+id {
			s.Errorf("the service %q is called %s", short, got.Name)
		}
	}
}

// If this fails, data sources do not find what is there.
func rule18(s *ruleStage) {
	f := s.file(true)
	f.Name = "FuzzyName"
	id := s.hw.hwCreateService(f)
	for _, part := range []string{"fuzzyname", "ZZYN", strings.ToUpper(id[:8]), region + ".fuzzyname." + id} {
		if got := s.otc.otcFindService(url.Values{"endpoint_service_name": {part}}); got.ID != id {
			s.Errorf("%q finds %s", part, got.ID)
		}
	}
	for _, part := range []string{"dns", "Dns", "com.EXAMPLE." + region + ".dns"} {
		if got := s.otc.otcFindPublic(url.Values{"endpoint_service_name": {part}}); got.Name != dnsName {
			s.Errorf("%q finds %s", part, got.Name)
		}
	}
	e, _ := s.hw.hwCreateEndpoint(endpointPlan{Service: id, VPC: detachedVPC, Subnet: detachedSubnet})
	if got := tfPages[hwEndpoint](s.hw, "vpc-endpoints", "endpoints", url.Values{"endpoint_service_name": {"fUZZYn"}}); len(got) != 1 || got[0].ID != e {
		s.Errorf("the endpoints are %+v", got)
	}
}

// If this fails, a provider cannot decode what it has just created, and the
// resource is left behind without a state.
func rule19(s *ruleStage) {
	service, e := s.connect(false)
	a := s.guest.call(http.MethodGet, s.guest.at("vpc-endpoints/"+e), nil, 200)
	var fields map[string]json.RawMessage
	a.into(s.T, &fields)
	for field, first := range map[string]string{
		"marker_id": "123456789", "enable_dns": "tf", "enable_whitelist": "tf", "active_status": "[", "whitelist": "[", "routetables": "[",
		"tags": "[", "id": `"`, "status": `"`, "ip": `"`, "description": `"`, "created_at": `"`,
	} {
		if v := fields[field]; len(v) == 0 || !strings.Contains(first, string(v[:1])) {
			s.Errorf("%s is %s", field, v)
		}
	}
	var marker int32
	if err := json.Unmarshal(fields["marker_id"], &marker); err != nil || marker < 1 {
		s.Errorf("marker_id is %s: %v", fields["marker_id"], err)
	}
	s.hw.into(s.hw.call(http.MethodGet, s.hw.at("vpc-endpoint-services/"+service), nil, 200), &otcService{})
	s.guest.into(a, &otcEndpoint{})
	s.guest.into(a, &hwEndpoint{})
	var summary hwSummary
	s.guest.into(s.guest.call(http.MethodGet, s.guest.at("vpc-endpoint-services/describe?id="+service), nil, 200), &summary)
	tfPages[tfPublic](s.hw, "vpc-endpoint-services/public", "endpoint_services", nil)
}

// If this fails, a user reads a fixed sentence instead of what is wrong.
func rule20(s *ruleStage) {
	service, e := s.connect(false)
	taken := tfBody("vpc_id", providerVPC, "port_id", backendPort, "server_type", "VM", "ports", []tfPort{{clientPort, rulePort, "TCP"}})
	for _, in := range []struct {
		method, path string
		body         any
		status       int
	}{
		{http.MethodDelete, "vpc-endpoint-services/" + service, nil, 400}, // in use
		{http.MethodPost, "vpc-endpoint-services", map[string]any{}, 400},
		{http.MethodPost, "vpc-endpoint-services", taken, 400},
		{http.MethodPost, "vpc-endpoints", map[string]any{"endpoint_service_id": missing, "vpc_id": "v", "subnet_id": "s"}, 400},
		{http.MethodPost, "vpc-endpoint-services/" + service + "/connections/action", decision("receive", missing), 400},
		{http.MethodGet, "vpc-endpoint-services/" + missing, nil, 404},
		{http.MethodGet, "vpc-endpoints/" + e, nil, 404}, // the consumer's
		{http.MethodPut, "vpc-endpoints/" + e, map[string]any{}, 404},
		{http.MethodGet, "vpc-endpoints?limit=x", nil, 400},
		{http.MethodGet, "nothing", nil, 404},
	} {
		a := s.hw.call(in.method, s.hw.at(in.path), in.body, in.status)
		if a.code(s.T) == "" || a.header.Get("X-Request-Id") == "" {
			s.Errorf("%s %s: %s", in.method, in.path, a)
		}
	}
}

// If this fails, a resource that somebody else has deleted is never created anew.
func rule21(s *ruleStage) {
	service, e := s.connect(true)
	s.guest.hwDeleteEndpoint(e)
	s.hw.hwDeleteService(service)
	for c, paths := range map[*terraform][]string{
		s.hw: {
			"vpc-endpoint-services/" + service, "vpc-endpoint-services/" + service + "/connections",
			"vpc-endpoint-services/" + service + "/connections?id=" + e, "vpc-endpoint-services/" + service + "/permissions",
		},
		s.guest: {"vpc-endpoints/" + e, "vpc-endpoint-services/describe?id=" + service},
	} {
		for _, path := range paths {
			c.call(http.MethodGet, c.at(path), nil, 404)
		}
	}
	s.hw.call(http.MethodDelete, s.hw.at("vpc-endpoint-services/"+service), nil, 404)
	s.guest.call(http.MethodDelete, s.guest.at("vpc-endpoints/"+e), nil, 404)
}

// If this fails, a whitelist in a file is refused, or read back differently.
func rule22(s *ruleStage) {
	f := s.file(true)
	f.Permissions = tfSet([]string{"iam:domain::" + consumerDomain, "iam:domain::*", "*"})
	f.Organizations = tfSet([]string{"organizations:orgPath::o-1/r-2/ou-3", "organizations:orgPath::*"})
	id := s.hw.hwCreateService(f)
	got, _, _ := s.hw.hwReadService(id)
	same(s.T, "the service", f, got)
	// Whatever the user of the other provider wrote gets a prefix, and no type.
	s.otc.otcPermit(id, "add", []string{"*", "0123456789abcdef0123456789abcdef"})
	s.otc.otcPermit(id, "remove", []string{"*"})
	f.Permissions = tfSet([]string{"iam:domain::" + consumerDomain, "*", "iam:domain::0123456789abcdef0123456789abcdef"})
	got, _, _ = s.hw.hwReadService(id)
	same(s.T, "the service", f, got)
}

// If this fails, the OTC provider cannot change a whitelist.
func rule23(s *ruleStage) {
	f := s.file(true)
	id := s.hw.hwCreateService(f)
	s.otc.call(http.MethodPut, s.otc.at("vpc-endpoint-services/"+id), map[string]any{}, 200)
	got, _, _ := s.hw.hwReadService(id)
	same(s.T, "the service", f, got)
}

// If this fails, an update that was made is reported as an error.
func rule24(s *ruleStage) {
	f := s.file(false)
	f.Policy = true
	service := s.hw.hwCreateService(f)
	e, _ := s.guest.hwCreateEndpoint(endpointPlan{Service: service, VPC: detachedVPC, Subnet: detachedSubnet})
	s.hw.into(s.hw.call(http.MethodPut, s.hw.at("vpc-endpoint-services/"+service), map[string]any{"description": "new"}, 200), &hwService{})
	s.otc.into(s.otc.call(http.MethodPut, s.otc.at("vpc-endpoint-services/"+service), map[string]any{}, 200), &otcService{})
	var got hwEndpoint
	s.guest.into(s.guest.call(http.MethodPut, s.guest.at("vpc-endpoints/"+e),
		map[string]any{"enable_whitelist": false, "whitelist": []string{}}, 200), &got)
	s.guest.into(s.guest.call(http.MethodPut, s.guest.at("vpc-endpoints/"+e+"/policy"),
		map[string]any{"policy_document": map[string]any{"Version": "5.0"}}, 200), &got)
	if got.ID != e || got.Document == nil {
		s.Errorf("the answer is %+v", got)
	}
}

// If this fails, a start or an apply of the OTC provider, which opens a new
// connection for every request, runs out of them, or the Huawei provider's kept
// connections are closed under it.
func rule25(s *ruleStage) {
	for range 2 { // one apply starts the provider twice
		c := s.p.terraform(s.T, s.p.provider(), true)
		c.otcStart("key")
		if len(c.calls) != 6 {
			s.Errorf("a start is %d requests", len(c.calls))
		}
		r := c.request(http.MethodGet, c.at("vpc-endpoints"), nil)
		res, err := c.http.Do(r)
		if err != nil {
			s.Fatal(err)
		}
		res.Body.Close()
		if !r.Close || !res.Close {
			s.Error("the connection stays open")
		}
	}
	reused := 0
	for range 5 {
		r := s.hw.request(http.MethodGet, s.hw.at("vpc-endpoints"), nil)
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if i.Reused {
				reused++
			}
		}}
		if a := s.hw.deliver(r.WithContext(httptrace.WithClientTrace(s.Context(), trace))); a.status != 200 {
			s.Error(a)
		}
	}
	if reused != 4 {
		s.Errorf("of 5 requests %d were sent on the same connection", reused)
	}
}

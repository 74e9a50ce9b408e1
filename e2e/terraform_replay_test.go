package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The calls of both Terraform providers, in their order and signed as they sign
// them: start, create, refresh, update, import and destroy of every resource,
// and every data source. If this fails, a Terraform file that works in the cloud
// ends in an error here, wants to change something at every plan, or leaves
// something behind.
func TestTerraformReplay(t *testing.T) {
	t.Parallel()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			w.Services, w.Endpoint = 100, 100
			w.further()
			p := w.start(t)
			for _, r := range []struct {
				name string
				play func(*testing.T, *product)
			}{
				{"HW/start", replayHWStart},
				{"HW/story", replayHWStory},
				{"HW/gateway", replayHWGateway},
				{"HW/policy", replayHWPolicy},
				{"HW/public", replayHWPublic},
				{"HW/data", replayHWData},
				{"OTC/start", replayOTCStart},
				{"OTC/story", replayOTCStory},
				{"OTC/approval", replayOTCApproval},
			} {
				t.Run(r.name, func(t *testing.T) { r.play(t, p) })
			}
		})
	}
	t.Run("rules", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Services, w.Endpoint = 100, 100
		w.further(w.underscored())
		p := w.start(t)
		for n, rule := range tfRules {
			t.Run(fmt.Sprintf("Rule%02d", n+1), func(t *testing.T) { rule(newRuleStage(t, p)) })
		}
	})
}

func jsonNumber(n int32) string { return strconv.Itoa(int(n)) }

// same wants a refresh to have read what the file says.
func same[T any](t *testing.T, what string, plan, state T) {
	t.Helper()
	if diff := cmp.Diff(plan, state); diff != "" {
		t.Errorf("a plan for %s is not empty (-file +state):\n%s", what, diff)
	}
}

// replayHWStart starts the Huawei provider in each of its modes.
func replayHWStart(t *testing.T, p *product) {
	t.Helper()
	for mode, want := range map[string][]string{
		"key": {"GET /v3/projects?name=" + region, "GET /v3/auth/domains"}, "key and project": {"GET /v3/auth/domains"},
		"password": {"POST /v3/auth/tokens", "POST /v3/auth/tokens", "GET /v3/auth/domains", "GET /v3/users?name=paula"},
		"token":    {"POST /v3/auth/tokens", "POST /v3/auth/tokens", "GET /v3/auth/domains"},
	} {
		t.Run(mode, func(t *testing.T) {
			c := p.terraform(t, p.provider(), false)
			c.hwStart(mode)
			if !slices.Equal(c.calls, want) {
				t.Errorf("the provider asked %q, want %q", c.calls, want)
			}
			tfPages[hwService](c, "vpc-endpoint-services", "endpoint_services", nil)
		})
	}
}

// replayOTCStart starts the OTC provider in each of its modes.
func replayOTCStart(t *testing.T, p *product) {
	t.Helper()
	for _, mode := range []string{"key", "password", "token"} {
		t.Run(mode, func(t *testing.T) {
			c := p.terraform(t, p.provider(), true)
			c.otcStart(mode)
			want := []string{"POST /v3/auth/tokens", "POST /v3/auth/tokens"}
			if mode == "key" {
				want = []string{
					"GET /v3/projects?name=" + region, "GET /v3/projects?name=" + region, "GET /v3/auth/catalog",
					"GET /v3/auth/domains?name=provider", "GET /v3/auth/domains?name=provider", "GET /v3/auth/catalog",
				}
			}
			if !slices.Equal(c.calls, want) {
				t.Errorf("the provider asked %q, want %q", c.calls, want)
			}
			c.call(http.MethodGet, c.at("vpc-endpoint-services"), nil, 200)
		})
	}
}

// hwStory is a service, two endpoints and their approval, as the Huawei provider
// has them in its files.
type hwStory struct {
	*testing.T
	p           *product
	c, consumer *terraform
	plan        servicePlan
	own, other  endpointPlan
	id, e1, e2  string
}

// replayHWStory is the life of these resources.
func replayHWStory(t *testing.T, p *product) {
	t.Helper()
	s := &hwStory{T: t, p: p, c: p.terraform(t, p.provider(), false), consumer: p.terraform(t, p.consumer(), false)}
	s.create()
	for _, chapter := range []struct {
		name string
		play func(*hwStory)
	}{
		{"second plan", (*hwStory).refresh},
		{"service_connection_update", (*hwStory).note},
		{"approval update", (*hwStory).approve},
		{"update service", (*hwStory).updateService},
		{"update endpoint", (*hwStory).updateEndpoint},
		{"upgrades", (*hwStory).upgrade},
		{"import", (*hwStory).takeOver},
		{"destroy", (*hwStory).destroy},
	} {
		t.Run(chapter.name, func(t *testing.T) {
			s.T, s.c.t, s.consumer.t = t, t, t
			chapter.play(s)
		})
	}
}

// create is the first apply: service, endpoints, approval.
func (s *hwStory) create() {
	s.c.hwStart("key and project")
	s.consumer.hwStart("key")
	echo := newEcho(s.T)
	s.plan = servicePlan{
		ServerType: "VM", VPC: providerVPC, Port: backendPort, Name: "tf-story", Type: "interface", Description: "of a file",
		Mappings: []tfPort{{clientPort, echo.port, "TCP"}, {clientPort + 1, echo.port, "TCP"}}, Proxy: "close", Approval: true,
		Permissions:   tfSet([]string{"iam:domain::" + consumerDomain, "iam:domain::abcdef0123456789"}),
		Organizations: []string{"organizations:orgPath::o-1/r-1/ou_1/*"}, Tags: map[string]string{"owner": "paula", "stage": "test"},
	}
	s.id = s.c.hwCreateService(s.plan)
	state, connections, _ := s.c.hwReadService(s.id)
	same(s.T, "the new service", s.plan, state)
	if len(connections) != 0 {
		s.Errorf("a new service has the connections %+v", connections)
	}
	s.own = endpointPlan{
		Service: s.id, VPC: consumerVPC, Subnet: consumerSubnet, IP: s.p.address(30), Description: "of the owner", DNS: true,
		EnableWhitelist: true, Whitelist: []string{"127.0.0.0/8", "192.0.2.1"}, Tags: map[string]string{"a": "1"},
	}
	var status string
	if s.e1, status = s.c.hwCreateEndpoint(s.own); status != "pendingAcceptance" {
		s.Fatalf("a new endpoint is %s", status)
	}
	s.other = endpointPlan{Service: s.id, VPC: consumerVPC, Subnet: consumerSubnet, IP: s.p.address(31)}
	s.e2, _ = s.consumer.hwCreateEndpoint(s.other)
	s.c.hwApprove(s.id, []string{s.e1})
	if _, connections, _ = s.c.hwReadService(s.id); len(connections) != 2 {
		s.Fatalf("the connections are %+v", connections)
	}
}

// refresh is the next plan, which has to be empty.
func (s *hwStory) refresh() {
	state, _, _ := s.c.hwReadService(s.id)
	same(s.T, "the service", s.plan, state)
	got, e, _ := s.c.hwReadEndpoint(s.e1)
	same(s.T, "the endpoint", s.own, got)
	if len(e.DNSNames) != 1 || e.DNSNames[0] == "" {
		s.Errorf("the private domain names are %q", e.DNSNames)
	}
	mustEcho(s.T, at(s.own.IP))
}

// note is the resource vpcep_service_connection_update.
func (s *hwStory) note() {
	path := "vpc-endpoint-services/" + s.id + "/connections"
	s.c.call(http.MethodPut, s.c.at(path+"/description"),
		map[string]any{"connections": []map[string]any{{"id": s.e1, "description": "a note"}}}, 200, 201, 202)
	page, _ := tfList[hwConnection](s.T, s.c.call(http.MethodGet, s.c.at(path+"?limit=1000&id="+s.e1), nil, 200), "connections")
	if len(page) == 0 || page[0].Description != "a note" {
		s.Errorf("the note is not there: %+v", page)
	}
}

// approve changes which endpoints are approved.
func (s *hwStory) approve() {
	s.c.hwUpdateApproval(s.id, []string{s.e1}, []string{s.e1, s.e2})
	mustEcho(s.T, at(s.other.IP))
	s.c.hwUpdateApproval(s.id, []string{s.e1, s.e2}, []string{s.e2})
	mustRefuse(s.T, at(s.own.IP))
	s.c.hwUpdateApproval(s.id, []string{s.e2}, []string{s.e1, s.e2})
	mustEcho(s.T, at(s.own.IP))
	// A run that broke off half-way sends what it has sent already.
	s.c.hwDecide(s.id, "receive", []string{s.e1, s.e2})
	got, _, _ := s.consumer.hwReadEndpoint(s.e2)
	same(s.T, "the consumer's endpoint", s.other, got)
}

func (s *hwStory) updateService() {
	for _, change := range []func(*servicePlan){
		func(p *servicePlan) { p.Name, p.Description = "tf-new", "" },
		func(p *servicePlan) { p.Mappings = p.Mappings[:1] },
		func(p *servicePlan) { p.Approval = false },
		func(p *servicePlan) { p.Proxy = "toa_open" },
		func(p *servicePlan) { p.Tags = map[string]string{"owner": "carl", "new": ""} },
		func(p *servicePlan) { p.Tags = nil },
		func(p *servicePlan) {
			p.Permissions = tfSet([]string{"iam:domain::" + consumerDomain, "iam:domain::*"})
			p.Organizations = []string{"organizations:orgPath::*"}
		},
		func(p *servicePlan) { p.Permissions, p.Organizations = []string{"*"}, nil },
		func(p *servicePlan) { p.Permissions = nil },
		func(p *servicePlan) { p.Name = "" },
	} {
		next := s.plan
		change(&next)
		s.c.hwUpdateService(s.id, s.plan, next)
		s.plan = next
		state, _, _ := s.c.hwReadService(s.id)
		same(s.T, "the changed service", s.plan, state)
	}
}

func (s *hwStory) updateEndpoint() {
	for _, change := range []func(*endpointPlan){
		func(p *endpointPlan) { p.Whitelist = []string{"127.0.0.1/32"} },
		func(p *endpointPlan) { p.Tags = map[string]string{"a": "2", "b": "1"} },
		func(p *endpointPlan) { p.EnableWhitelist, p.Whitelist, p.Tags = false, nil, nil },
	} {
		next := s.own
		change(&next)
		s.c.hwUpdateEndpoint(s.e1, s.own, next)
		s.own = next
		got, _, _ := s.c.hwReadEndpoint(s.e1)
		same(s.T, "the changed endpoint", s.own, got)
	}
	mustEcho(s.T, at(s.own.IP))
}

// upgrade is the resources that are one call each and have nothing to read.
func (s *hwStory) upgrade() {
	s.c.call(http.MethodPost, s.c.atV2("vpc-endpoint-services/"+s.id+"/upgrade"), nil, 204)
	s.c.call(http.MethodPost, s.c.atV2("vpc-endpoints/"+s.e1+"/upgrade"), map[string]any{"action": "start"}, 200, 201, 202)
	s.c.call(http.MethodPost, s.c.atV2("vpc-endpoint-services/"+s.id+"/add-server-resources"), map[string]any{
		"server_resources": []map[string]any{{"resource_id": missing, "availability_zone_id": nil}},
	}, 204)
	state, _, _ := s.c.hwReadService(s.id)
	same(s.T, "the upgraded service", s.plan, state)
}

// takeOver is the import by another user of Terraform.
func (s *hwStory) takeOver() {
	fresh := s.p.terraform(s.T, s.p.provider(), false)
	fresh.hwStart("password")
	state, _, _ := fresh.hwReadService(s.id)
	same(s.T, "the imported service", s.plan, state)
	got, _, _ := fresh.hwReadEndpoint(s.e1)
	same(s.T, "the imported endpoint", s.own, got)
}

// destroy goes in the order of the references, and leaves nothing.
func (s *hwStory) destroy() {
	s.c.hwDecide(s.id, "reject", []string{s.e1, s.e2})
	mustRefuse(s.T, at(s.own.IP))
	s.c.hwDeleteEndpoint(s.e1)
	s.consumer.hwDeleteEndpoint(s.e2)
	s.c.hwDeleteService(s.id)
	s.c.call(http.MethodDelete, s.c.at("vpc-endpoint-services/"+s.id), nil, 404)
	if _, _, there := s.c.hwReadService(s.id); there {
		s.Error("the service is still there")
	}
	if _, _, there := s.c.hwReadEndpoint(s.e1); there {
		s.Error("the endpoint is still there")
	}
}

// replayHWGateway is an endpoint to a gateway service, with its policy and its
// route tables.
func replayHWGateway(t *testing.T, p *product) {
	t.Helper()
	c := p.terraform(t, p.consumer(), false)
	c.hwStart("token")
	statement := func(effect string) any {
		return []any{map[string]any{"Effect": effect, "Action": []any{"obs:*:*"}, "Resource": []any{"obs:*:*:*:*/*", "obs:*:*:*:*"}}}
	}
	plan := endpointPlan{
		Service: gatewayService, VPC: "9c1d7a34-1111-4222-8333-444455556666", DNS: true,
		RouteTables: []string{"rt-1"}, Statement: statement("Allow"), Tags: map[string]string{"a": "1"},
	}
	id, status := c.hwCreateEndpoint(plan)
	if status != "accepted" {
		t.Errorf("an endpoint to a gateway is %s", status)
	}
	for _, change := range []func(*endpointPlan){
		func(*endpointPlan) {},
		func(e *endpointPlan) { e.Statement = statement("Deny") },
		func(e *endpointPlan) { e.RouteTables = []string{"rt-2", "rt-3"} },
		func(e *endpointPlan) { e.Tags = map[string]string{"b": "2"} },
	} {
		next := plan
		change(&next)
		c.hwUpdateEndpoint(id, plan, next)
		plan = next
		got, e, _ := c.hwReadEndpoint(id)
		same(t, "the gateway endpoint", plan, got)
		if e.ServiceType != "gateway" || e.IP != "" {
			t.Errorf("the endpoint is %+v", e)
		}
	}
	c.hwDeleteEndpoint(id)
}

// replayHWPolicy is a service with policies and an endpoint with a document.
func replayHWPolicy(t *testing.T, p *product) {
	t.Helper()
	c := p.terraform(t, p.provider(), false)
	c.hwStart("password")
	plan := servicePlan{
		ServerType: "LB", VPC: providerVPC, Port: backendPort, Name: "tf-policy", Type: "interface",
		Mappings: []tfPort{{clientPort, 9, "TCP"}}, Proxy: "close", Policy: true,
	}
	id := c.hwCreateService(plan)
	state, _, _ := c.hwReadService(id)
	same(t, "the service", plan, state)
	document := func(action string) any {
		return map[string]any{"Version": "5.0", "Statement": []any{map[string]any{"Effect": "Allow", "Principal": "*", "Action": []any{action}}}}
	}
	own := endpointPlan{Service: id, VPC: detachedVPC, Subnet: detachedSubnet, IP: "10.77.0.9", DNS: true, Document: document("*")}
	e, status := c.hwCreateEndpoint(own)
	if status != "accepted" {
		t.Errorf("an endpoint without approval is %s", status)
	}
	for _, d := range []any{own.Document, document("ecs:*:get")} {
		next := own
		next.Document = d
		c.hwUpdateEndpoint(e, own, next)
		own = next
		got, _, _ := c.hwReadEndpoint(e)
		same(t, "the endpoint", own, got)
	}
	// A destroy in the order of the references: the endpoint first.
	c.hwDeleteEndpoint(e)
	c.hwDeleteService(id)
}

// replayHWPublic is an endpoint to a service of the operator, found by a data
// source, in a network that nobody told the server of.
func replayHWPublic(t *testing.T, p *product) {
	t.Helper()
	c := p.terraform(t, p.consumer(), false)
	c.hwStart("key")
	found := tfPages[tfPublic](c, "vpc-endpoint-services/public", "endpoint_services", url.Values{"endpoint_service_name": {"dns"}})
	if len(found) != 1 {
		t.Fatalf("the public services called dns are %+v", found)
	}
	plan := endpointPlan{
		Service: found[0].ID, VPC: "9c1d7a34-1111-4222-8333-444455556677", Subnet: "1a2b3c4d-1111-4222-8333-444455556677",
		IP: "192.168.0.12", DNS: true, Description: "to the operator's service",
	}
	id, status := c.hwCreateEndpoint(plan)
	if status != "accepted" {
		t.Errorf("an endpoint to a public service is %s", status)
	}
	got, e, _ := c.hwReadEndpoint(id)
	same(t, "the endpoint", plan, got)
	if e.ServiceName != dnsName || len(e.DNSNames) != 1 {
		t.Errorf("the endpoint is %+v", e)
	}
	c.hwDeleteEndpoint(id)
}

// replayOTCStory is a service without approval and an endpoint to it.
func replayOTCStory(t *testing.T, p *product) {
	t.Helper()
	c := p.terraform(t, p.provider(), true)
	c.otcStart("key")
	echo := newEcho(t)
	plan := otcServicePlan{
		Port: backendPort, Name: "tf-otc", VPC: providerVPC, ServerType: "VM", ServiceType: "interface",
		Ports: []tfPort{{clientPort, echo.port, "TCP"}}, Whitelist: []string{consumerDomain}, Tags: map[string]string{"muh": "kuh"},
	}
	id := c.otcCreateService(plan)
	state, _ := c.otcReadService(id)
	same(t, "the new service", plan, state)
	own := otcEndpointPlan{Service: id, VPC: consumerVPC, Subnet: consumerSubnet, IP: p.address(40), DNS: true, Tags: map[string]string{"fizz": "buzz"}}
	e, status := c.otcCreateEndpoint(own)
	if status != "accepted" {
		t.Errorf("an endpoint without approval is %s", status)
	}
	got, read := c.otcReadEndpoint(e)
	same(t, "the endpoint", own, got)
	if len(read.DNSNames) != 1 {
		t.Errorf("the DNS names are %q, want one", read.DNSNames)
	}
	mustEcho(t, at(own.IP))

	for _, change := range []func(*otcServicePlan){
		func(s *otcServicePlan) { s.Whitelist = tfSet([]string{"another0account", "third0account"}) },
		func(s *otcServicePlan) { s.Name, s.Whitelist = "tf-otc-2", nil },
		func(s *otcServicePlan) {
			s.Ports = []tfPort{{clientPort, echo.port, "TCP"}, {clientPort + 2, echo.port, "TCP"}}
		},
		func(s *otcServicePlan) { s.Approval, s.Whitelist = true, []string{"*"} },
	} {
		next := plan
		change(&next)
		c.otcUpdateService(id, plan, next)
		plan = next
		state, _ := c.otcReadService(id)
		same(t, "the changed service", plan, state)
	}
	mustEcho(t, at(own.IP))

	t.Run("data", func(t *testing.T) {
		c.t = t
		if got := c.otcFindService(url.Values{"endpoint_service_name": {plan.Name}}); got.ID != id {
			t.Errorf("by name the service is %s, want %s", got.ID, id)
		}
		if got := c.otcFindService(url.Values{"id": {id}, "status": {"available"}}); otcShortName(got.Name) != plan.Name {
			t.Errorf("by id the service is called %s", got.Name)
		}
		if got := c.otcFindPublic(url.Values{"endpoint_service_name": {gatewayName}}); got.Owner != publicOwner || got.ServiceType != "gateway" {
			t.Errorf("the public service is %+v", got)
		}
	})
	t.Run("import", func(t *testing.T) {
		fresh := p.terraform(t, p.provider(), true)
		fresh.otcStart("token")
		state, _ := fresh.otcReadService(id)
		same(t, "the imported service", plan, state)
		got, _ := fresh.otcReadEndpoint(e)
		same(t, "the imported endpoint", own, got)
	})
	c.t = t
	c.otcDeleteEndpoint(e)
	c.otcDeleteService(id) // at once
	mustRefuse(t, at(own.IP))
	if _, there := c.otcReadService(id); there {
		t.Error("the service is still there")
	}
	// Both deletes take a 404 for success.
	c.call(http.MethodDelete, c.at("vpc-endpoints/"+e), nil, 404)
	c.call(http.MethodDelete, c.at("vpc-endpoint-services/"+id), nil, 404)
}

// replayOTCApproval is what the provider's default gives: approval is on, and
// nobody decides.
func replayOTCApproval(t *testing.T, p *product) {
	t.Helper()
	c := p.terraform(t, p.provider(), true)
	c.otcStart("password")
	plan := otcServicePlan{
		Port: backendPort, Name: "tf-wait", VPC: providerVPC, ServerType: "LB", ServiceType: "interface", Approval: true,
		Ports: []tfPort{{clientPort, 9, "TCP"}},
	}
	id := c.otcCreateService(plan)
	state, _ := c.otcReadService(id)
	same(t, "the service", plan, state)
	own := otcEndpointPlan{
		Service: id, VPC: detachedVPC, Subnet: detachedSubnet, EnableWhitelist: true, Whitelist: []string{"127.0.0.1"},
	}
	e, status := c.otcCreateEndpoint(own)
	if status != "pendingAcceptance" {
		t.Errorf("an endpoint with approval is %s", status)
	}
	got, _ := c.otcReadEndpoint(e)
	same(t, "the endpoint", own, got)
	c.otcDeleteEndpoint(e)
	c.otcDeleteService(id)
}

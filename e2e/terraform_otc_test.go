package e2e_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What the OTC provider reads of the API, with the JSON types it needs.

type otcService struct {
	ID          string   `json:"id"`
	Port        string   `json:"port_id"`
	VIPPort     string   `json:"vip_port_id,omitempty"`
	Pool        string   `json:"pool_id"`
	Name        string   `json:"service_name"`
	VPC         string   `json:"vpc_id"`
	Approval    bool     `json:"approval_enabled"`
	Status      string   `json:"status"`
	ServiceType string   `json:"service_type"`
	ServerType  string   `json:"server_type"`
	Ports       []tfPort `json:"ports"`
	Proxy       string   `json:"tcp_proxy"`
	Tags        []tfTag  `json:"tags"`
	CIDRType    string   `json:"cidr_type"`
	Project     string   `json:"project_id"`
	Connections int      `json:"connection_count"`
	Created     string   `json:"created_at"`
	Updated     string   `json:"updated_at"`
	Error       []fault  `json:"error,omitempty"`
}

type otcEndpoint struct {
	ID              string   `json:"id"`
	Service         string   `json:"endpoint_service_id"`
	ServiceName     string   `json:"endpoint_service_name"`
	ServiceType     string   `json:"service_type"`
	Status          string   `json:"status"`
	Project         string   `json:"project_id"`
	DNS             bool     `json:"enable_dns"`
	DNSNames        []string `json:"dns_names,omitempty"`
	IP              string   `json:"ip,omitempty"`
	EnableWhitelist bool     `json:"enable_whitelist"`
	Whitelist       []string `json:"whitelist"`
	VPC             string   `json:"vpc_id"`
	Subnet          string   `json:"subnet_id,omitempty"`
	Marker          int32    `json:"marker_id"`
	Tags            []tfTag  `json:"tags"`
	RouteTables     []string `json:"routetables"`
	ActiveStatus    []string `json:"active_status"`
	Error           []fault  `json:"error,omitempty"`
}

// otcServicePlan is an opentelekomcloud_vpcep_service_v1 in a Terraform file.
// What is not read back (tcp_proxy) is not in it.
type otcServicePlan struct {
	Port, Name, VPC         string
	ServerType, ServiceType string // compared without case
	Approval                bool
	Ports                   []tfPort // a set, sorted here
	Whitelist               []string // a set of accounts, sorted here
	Tags                    map[string]string
}

// otcEndpointPlan is an opentelekomcloud_vpcep_endpoint_v1 in a Terraform file.
type otcEndpointPlan struct {
	Service, VPC, Subnet, IP string
	DNS, EnableWhitelist     bool
	Whitelist                []string
	Tags                     map[string]string
}

// otcName is how the provider takes the user's part out of a service's name.
var otcName = regexp.MustCompile(`[\w-]+\.([\w-]+)\.[\w-]+`)

func otcShortName(full string) string {
	if m := otcName.FindStringSubmatch(full); len(m) == 2 {
		return m[1]
	}
	return ""
}

func sortPorts(ports []tfPort) []tfPort {
	return slices.SortedFunc(slices.Values(ports), func(a, b tfPort) int { return a.Client - b.Client })
}

// prefixed are accounts as the provider sends them, whatever the user wrote.
func prefixed(accounts []string) []string {
	var out []string
	for _, a := range accounts {
		out = append(out, "iam:domain::"+a)
	}
	return out
}

func (c *terraform) otcCreateService(p otcServicePlan) string {
	c.t.Helper()
	in := tfBody("port_id", p.Port, "service_name", p.Name, "vpc_id", p.VPC, "approval_enabled", p.Approval,
		"service_type", p.ServiceType, "server_type", p.ServerType, "ports", p.Ports, "tags", tfTags(p.Tags))
	var made otcService
	c.into(c.call(http.MethodPost, c.at("vpc-endpoint-services"), in, 200, 201), &made)
	c.otcAvailable(made.ID)
	c.otcPermit(made.ID, "add", p.Whitelist)
	return made.ID
}

// otcAvailable waits for a service as after a create and after an update.
func (c *terraform) otcAvailable(id string) {
	c.t.Helper()
	c.await("the service", []string{"creating"}, []string{"available"}, func() string {
		return c.status("vpc-endpoint-services/" + id)
	})
}

func (c *terraform) otcPermit(id, action string, accounts []string) {
	c.t.Helper()
	if len(accounts) == 0 {
		return
	}
	var out struct {
		Permissions []string `json:"permissions"`
	}
	c.into(c.call(http.MethodPost, c.at("vpc-endpoint-services/"+id+"/permissions/action"),
		map[string]any{"permissions": prefixed(accounts), "action": action}, 200), &out)
}

// otcReadService is the refresh of a service; an import is one too.
func (c *terraform) otcReadService(id string) (p otcServicePlan, ok bool) {
	c.t.Helper()
	a := c.call(http.MethodGet, c.at("vpc-endpoint-services/"+id), nil, 200, 404)
	if a.status == 404 {
		return p, false
	}
	var s otcService
	c.into(a, &s)
	// A failure here is what the provider does not survive.
	var whitelist struct {
		Permissions []struct {
			ID      string `json:"id"`
			Value   string `json:"permission"`
			Created string `json:"created_at"`
		} `json:"permissions"`
	}
	c.into(c.call(http.MethodGet, c.at("vpc-endpoint-services/"+id+"/permissions"), nil, 200), &whitelist)
	p = otcServicePlan{
		Port: s.Port, Name: otcShortName(s.Name), VPC: s.VPC, ServerType: s.ServerType, ServiceType: s.ServiceType,
		Approval: s.Approval, Ports: sortPorts(s.Ports), Tags: tagMap(s.Tags),
	}
	for _, w := range whitelist.Permissions {
		p.Whitelist = append(p.Whitelist, strings.TrimPrefix(w.Value, "iam:domain::"))
	}
	p.Whitelist = tfSet(p.Whitelist)
	return p, true
}

// otcUpdateService is the update of a service. It is sent even where nothing of
// the service itself changes, and then says nothing.
func (c *terraform) otcUpdateService(id string, from, to otcServicePlan) {
	c.t.Helper()
	in := map[string]any{}
	if from.Port != to.Port {
		in["port_id"] = to.Port
	}
	if from.Name != to.Name {
		in["service_name"] = to.Name
	}
	if !slices.Equal(from.Ports, to.Ports) {
		in["ports"] = to.Ports
	}
	if from.Approval != to.Approval {
		in["approval_enabled"] = to.Approval
	}
	var s otcService
	c.into(c.call(http.MethodPut, c.at("vpc-endpoint-services/"+id), in, 200, 201), &s)
	c.otcAvailable(id)
	c.otcPermit(id, "remove", tfMinus(from.Whitelist, to.Whitelist))
	c.otcPermit(id, "add", tfMinus(to.Whitelist, from.Whitelist))
}

// otcDeleteService deletes a service, which follows the deletion of its
// endpoints at once.
func (c *terraform) otcDeleteService(id string) {
	c.t.Helper()
	c.call(http.MethodDelete, c.at("vpc-endpoint-services/"+id), nil, 202, 204)
	c.await("the deleted service", []string{"deleting"}, []string{tfGone, ""}, func() string {
		return c.status("vpc-endpoint-services/" + id)
	})
}

func (c *terraform) otcCreateEndpoint(p otcEndpointPlan) (id, status string) {
	c.t.Helper()
	in := tfBody("subnet_id", p.Subnet, "endpoint_service_id", p.Service, "vpc_id", p.VPC, "enable_dns", p.DNS,
		"tags", tfTags(p.Tags), "port_ip", p.IP, "whitelist", p.Whitelist)
	if p.EnableWhitelist {
		in["enable_whitelist"] = true
	}
	var made otcEndpoint
	c.into(c.call(http.MethodPost, c.at("vpc-endpoints"), in, 200, 201), &made)
	return made.ID, c.await("the new endpoint", []string{"creating"}, []string{"accepted", "pendingAcceptance"}, func() string {
		return c.status("vpc-endpoints/" + made.ID)
	})
}

// otcReadEndpoint is the refresh of an endpoint; one that is gone is an error.
func (c *terraform) otcReadEndpoint(id string) (otcEndpointPlan, otcEndpoint) {
	c.t.Helper()
	var e otcEndpoint
	c.into(c.call(http.MethodGet, c.at("vpc-endpoints/"+id), nil, 200), &e)
	return otcEndpointPlan{
		Service: e.Service, VPC: e.VPC, Subnet: e.Subnet, IP: e.IP, DNS: e.DNS, EnableWhitelist: e.EnableWhitelist,
		Whitelist: tfSet(e.Whitelist), Tags: tagMap(e.Tags),
	}, e
}

// otcDeleteEndpoint deletes an endpoint and waits for nothing.
func (c *terraform) otcDeleteEndpoint(id string) {
	c.t.Helper()
	if a := c.call(http.MethodDelete, c.at("vpc-endpoints/"+id), nil, 204); len(a.body) > 0 {
		c.t.Errorf("204 has a body: %s", a)
	}
}

// otcFindService is the data source of a service: the first page is read, with
// the same bytes twice, and has to have one item.
func (c *terraform) otcFindService(query url.Values) otcService {
	c.t.Helper()
	req := c.request(http.MethodGet, c.at("vpc-endpoint-services?"+query.Encode()), nil)
	var found []otcService
	for range 2 {
		a := c.deliver(req.Clone(req.Context()))
		if a.status != 200 {
			c.t.Fatalf("the list of services: %s", a)
		}
		found, _ = tfList[otcService](c.t, a, "endpoint_services")
	}
	if len(found) != 1 {
		c.t.Fatalf("%d services match %v, want one", len(found), query)
	}
	return found[0]
}

// otcFindPublic is the data source of a public service: exactly one hit.
func (c *terraform) otcFindPublic(query url.Values) tfPublic {
	c.t.Helper()
	found, _ := tfList[tfPublic](c.t, c.call(http.MethodGet, c.at("vpc-endpoint-services/public?"+query.Encode()), nil, 200), "endpoint_services")
	if len(found) != 1 {
		c.t.Fatalf("%d public services match %v, want one", len(found), query)
	}
	return found[0]
}

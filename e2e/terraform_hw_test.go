package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// What the Huawei provider reads of the API, with the JSON types it needs.

type tfTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type hwService struct {
	ID          string   `json:"id"`
	Status      string   `json:"status"`
	Name        string   `json:"service_name"`
	VPC         string   `json:"vpc_id"`
	Port        string   `json:"port_id"`
	Approval    bool     `json:"approval_enabled"`
	ServerType  string   `json:"server_type"`
	ServiceType string   `json:"service_type"`
	Description string   `json:"description"`
	Proxy       string   `json:"tcp_proxy"`
	Ports       []tfPort `json:"ports"`
	Tags        []tfTag  `json:"tags"`
	Policy      bool     `json:"enable_policy"`
	IPVersion   string   `json:"ip_version"`
	SNAT        string   `json:"snat_network_id,omitempty"`
	IP          string   `json:"ip,omitempty"`
	Pool        string   `json:"pool_id"`
	Created     string   `json:"created_at"`
	Updated     string   `json:"updated_at"`
	Connections int      `json:"connection_count"`
	Error       []fault  `json:"error,omitempty"`
}

type tfPort struct {
	Client   int    `json:"client_port"`
	Server   int    `json:"server_port"`
	Protocol string `json:"protocol"`
}

type hwEndpoint struct {
	ID              string   `json:"id"`
	Status          string   `json:"status"`
	Service         string   `json:"endpoint_service_id"`
	ServiceName     string   `json:"endpoint_service_name"`
	ServiceType     string   `json:"service_type"`
	VPC             string   `json:"vpc_id"`
	Subnet          string   `json:"subnet_id,omitempty"`
	IP              string   `json:"ip,omitempty"`
	Description     string   `json:"description"`
	EnableWhitelist bool     `json:"enable_whitelist"`
	Whitelist       []string `json:"whitelist"`
	Marker          int32    `json:"marker_id"`
	Tags            []tfTag  `json:"tags"`
	Statement       any      `json:"policy_statement,omitempty"`
	Document        any      `json:"policy_document,omitempty"`
	IPVersion       string   `json:"ip_version"`
	IPv6            string   `json:"ipv6_address,omitempty"`
	DNS             bool     `json:"enable_dns"`
	RouteTables     []string `json:"routetables"`
	DNSNames        []string `json:"dns_names,omitempty"`
	ActiveStatus    []string `json:"active_status"`
	Created         string   `json:"created_at"`
	Updated         string   `json:"updated_at"`
	Project         string   `json:"project_id"`
	Error           []fault  `json:"error,omitempty"`
}

type hwConnection struct {
	ID          string  `json:"id"`
	Marker      int32   `json:"marker_id"`
	Domain      string  `json:"domain_id"`
	Status      string  `json:"status"`
	Description string  `json:"description"`
	Created     string  `json:"created_at"`
	Updated     string  `json:"updated_at"`
	Error       []fault `json:"error,omitempty"`
}

type hwPermission struct {
	ID      string `json:"id"`
	Value   string `json:"permission"`
	Type    string `json:"permission_type"`
	Created string `json:"created_at"`
}

// servicePlan is a huaweicloud_vpcep_service in a Terraform file: what it holds
// is compared with what a refresh reads. Optional attributes that the server
// decides on are set in the files of these tests, so that they count.
type servicePlan struct {
	ServerType, VPC, Port      string
	Mappings                   []tfPort // their order counts
	Name, Type                 string
	Description, Proxy         string
	Approval, Policy           bool
	Permissions, Organizations []string // sets, sorted here
	Tags                       map[string]string
}

// endpointPlan is a huaweicloud_vpcep_endpoint in a Terraform file.
type endpointPlan struct {
	Service, VPC, Subnet, IP string
	Description              string
	DNS, EnableWhitelist     bool
	Whitelist                []string // a set, sorted here
	RouteTables              []string // a set, sorted here
	Tags                     map[string]string
	Statement, Document      any // JSON
}

func tfTags(m map[string]string) []tfTag {
	out := []tfTag{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, tfTag{k, m[k]})
	}
	return out
}

func tagMap(tags []tfTag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// tfSet returns a set as the plans hold it.
func tfSet(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	return slices.Sorted(slices.Values(values))
}

// tfMinus returns what is in a and not in b.
func tfMinus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(v string) bool { return slices.Contains(b, v) })
}

// tfBody makes a JSON object of pairs of a key and a value, without those that are
// empty, as the library leaves them out.
func tfBody(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		text, err := json.Marshal(pairs[i+1])
		if key := pairs[i].(string); err != nil || !slices.Contains([]string{`""`, "null", "[]"}, string(text)) {
			out[key] = pairs[i+1]
		}
	}
	return out
}

// Resource vpcep_service.

func (c *terraform) hwCreateService(p servicePlan) string {
	c.t.Helper()
	in := tfBody("vpc_id", p.VPC, "port_id", p.Port, "server_type", p.ServerType, "ports", p.Mappings, "service_name", p.Name,
		"service_type", p.Type, "approval_enabled", p.Approval, "description", p.Description, "tcp_proxy", p.Proxy, "tags", tfTags(p.Tags))
	if p.Policy {
		in["enable_policy"] = true
	}
	var made hwService
	c.into(c.call(http.MethodPost, c.at("vpc-endpoint-services"), in, 200), &made)
	c.await("the new service", []string{"creating"}, []string{"available"}, func() string {
		return c.status("vpc-endpoint-services/" + made.ID)
	})
	c.hwPermit(made.ID, "add", "domainId", p.Permissions)
	c.hwPermit(made.ID, "add", "orgPath", p.Organizations)
	return made.ID
}

// hwPermit changes the whitelist of a service.
func (c *terraform) hwPermit(id, action, kind string, values []string) {
	c.t.Helper()
	if len(values) == 0 {
		return
	}
	var out struct {
		Permissions []string `json:"permissions"`
		Type        string   `json:"permission_type"`
	}
	c.into(c.call(http.MethodPost, c.at("vpc-endpoint-services/"+id+"/permissions/action"),
		tfBody("action", action, "permission_type", kind, "permissions", values), 200), &out)
}

// hwReadService is the refresh of a service; an import is one too. ok is false
// where the service is gone from the state.
func (c *terraform) hwReadService(id string) (p servicePlan, connections []hwConnection, ok bool) {
	c.t.Helper()
	path := "vpc-endpoint-services/" + id
	a := c.call(http.MethodGet, c.at(path), nil, 200, 404)
	if a.status == 404 {
		return p, nil, false
	}
	var s hwService
	c.into(a, &s)
	connections = tfPages[hwConnection](c, path+"/connections", "connections", nil)
	p = servicePlan{
		ServerType: s.ServerType, VPC: s.VPC, Port: s.Port, Mappings: s.Ports, Type: s.ServiceType,
		Description: s.Description, Proxy: s.Proxy, Approval: s.Approval, Policy: s.Policy, Tags: tagMap(s.Tags),
	}
	if parts := strings.Split(s.Name, "."); len(parts) > 2 {
		p.Name = parts[1]
	}
	for _, w := range tfPages[hwPermission](c, path+"/permissions", "permissions", nil) {
		switch w.Type {
		case "domainId":
			p.Permissions = append(p.Permissions, w.Value)
		case "orgPath":
			p.Organizations = append(p.Organizations, w.Value)
		default:
			c.t.Errorf("the provider drops a record of type %q", w.Type)
		}
	}
	p.Permissions, p.Organizations = tfSet(p.Permissions), tfSet(p.Organizations)
	return p, connections, true
}

// hwUpdateService is the update of a service from one plan to the next.
func (c *terraform) hwUpdateService(id string, from, to servicePlan) {
	c.t.Helper()
	in := map[string]any{"service_name": to.Name, "description": to.Description}
	if from.Approval != to.Approval {
		in["approval_enabled"] = to.Approval
	}
	if from.Port != to.Port {
		in["port_id"] = to.Port
	}
	if !slices.Equal(from.Mappings, to.Mappings) {
		in["ports"] = to.Mappings
	}
	if from.Proxy != to.Proxy {
		in["tcp_proxy"] = to.Proxy
	}
	if len(in) > 2 || from.Name != to.Name || from.Description != to.Description {
		var s hwService
		c.into(c.call(http.MethodPut, c.at("vpc-endpoint-services/"+id), in, 200), &s)
	}
	c.hwRetag("endpoint_service", id, from.Tags, to.Tags)
	for kind, sets := range map[string][2][]string{
		"domainId": {from.Permissions, to.Permissions}, "orgPath": {from.Organizations, to.Organizations},
	} {
		c.hwPermit(id, "add", kind, tfMinus(sets[1], sets[0]))
		c.hwPermit(id, "remove", kind, tfMinus(sets[0], sets[1]))
	}
}

// hwRetag replaces the tags of a resource: all old ones go, all new ones come.
func (c *terraform) hwRetag(kind, id string, from, to map[string]string) {
	c.t.Helper()
	if maps.Equal(from, to) {
		return
	}
	for _, step := range []struct {
		action string
		tags   []tfTag
	}{{"delete", tfTags(from)}, {"create", tfTags(to)}} {
		if len(step.tags) > 0 {
			a := c.call(http.MethodPost, c.at(kind+"/"+id+"/tags/action"),
				map[string]any{"action": step.action, "tags": step.tags}, 200, 204)
			if a.status == 204 && len(a.body) > 0 {
				c.t.Errorf("204 has a body: %s", a)
			}
		}
	}
}

func (c *terraform) hwDeleteService(id string) {
	c.t.Helper()
	c.call(http.MethodDelete, c.at("vpc-endpoint-services/"+id), nil, 200, 202, 204)
	c.await("the deleted service", []string{"available", "deleting"}, []string{tfGone}, func() string {
		return c.status("vpc-endpoint-services/" + id)
	})
}

// Resource vpcep_endpoint.

func (c *terraform) hwCreateEndpoint(p endpointPlan) (id, status string) {
	c.t.Helper()
	in := tfBody("endpoint_service_id", p.Service, "vpc_id", p.VPC, "subnet_id", p.Subnet, "port_ip", p.IP, "description", p.Description,
		"enable_dns", p.DNS, "enable_whitelist", p.EnableWhitelist, "tags", tfTags(p.Tags), "routetables", p.RouteTables,
		"policy_statement", p.Statement, "policy_document", p.Document)
	if p.EnableWhitelist && len(p.Whitelist) > 0 {
		in["whitelist"] = p.Whitelist
	}
	var made hwEndpoint
	c.into(c.call(http.MethodPost, c.at("vpc-endpoints"), in, 200), &made)
	return made.ID, c.await("the new endpoint", []string{"creating"}, []string{"accepted", "pendingAcceptance"}, func() string {
		return c.status("vpc-endpoints/" + made.ID)
	})
}

// hwReadEndpoint is the refresh of an endpoint; an import is one too.
func (c *terraform) hwReadEndpoint(id string) (p endpointPlan, e hwEndpoint, ok bool) {
	c.t.Helper()
	a := c.call(http.MethodGet, c.at("vpc-endpoints/"+id), nil, 200, 404)
	if a.status == 404 {
		return p, e, false
	}
	c.into(a, &e)
	p = endpointPlan{
		Service: e.Service, VPC: e.VPC, Subnet: e.Subnet, IP: e.IP, Description: e.Description, DNS: e.DNS,
		EnableWhitelist: e.EnableWhitelist, Whitelist: tfSet(e.Whitelist), RouteTables: tfSet(e.RouteTables),
		Tags: tagMap(e.Tags), Statement: e.Statement, Document: e.Document,
	}
	if e.ServiceType != "interface" {
		p.DNS = true // then it is not read, and the file's default stays
	}
	return p, e, true
}

// hwUpdateEndpoint is the update of an endpoint from one plan to the next.
func (c *terraform) hwUpdateEndpoint(id string, from, to endpointPlan) {
	c.t.Helper()
	path := "vpc-endpoints/" + id
	var e hwEndpoint
	if from.EnableWhitelist != to.EnableWhitelist || !slices.Equal(from.Whitelist, to.Whitelist) {
		c.into(c.call(http.MethodPut, c.at(path), map[string]any{
			"enable_whitelist": to.EnableWhitelist, "whitelist": append([]string{}, to.Whitelist...),
		}, 200, 201, 202), &e)
	}
	c.hwRetag("endpoint", id, from.Tags, to.Tags)
	if !cmp.Equal(from.Statement, to.Statement) || !cmp.Equal(from.Document, to.Document) {
		c.into(c.call(http.MethodPut, c.at(path+"/policy"), tfBody(
			"policy_statement", to.Statement, "policy_document", to.Document), 200, 201, 202), &e)
	}
	if !slices.Equal(from.RouteTables, to.RouteTables) {
		c.call(http.MethodPut, c.at(path+"/routetables"), map[string]any{"routetables": to.RouteTables}, 200, 201, 202)
	}
}

func (c *terraform) hwDeleteEndpoint(id string) {
	c.t.Helper()
	c.call(http.MethodDelete, c.at("vpc-endpoints/"+id), nil, 200, 202, 204)
	c.await("the deleted endpoint", []string{"deleting"}, []string{tfGone}, func() string { return c.status("vpc-endpoints/" + id) })
}

// Resource vpcep_approval, whose id is that of the service.

// hwDecide sends one decision per request and looks at each until it is taken.
func (c *terraform) hwDecide(service, action string, endpoints []string) {
	c.t.Helper()
	target := map[string]string{"receive": "accepted", "reject": "rejected"}[action]
	for _, id := range endpoints {
		c.call(http.MethodPost, c.at("vpc-endpoint-services/"+service+"/connections/action"),
			map[string]any{"action": action, "endpoints": []string{id}}, 200)
		c.await("the connection after "+action, []string{"creating", "pendingAcceptance"}, []string{target}, func() string {
			page, _ := tfList[hwConnection](c.t, c.call(http.MethodGet,
				c.at("vpc-endpoint-services/"+service+"/connections?id="+url.QueryEscape(id)), nil, 200), "connections")
			if len(page) != 1 || page[0].ID != id {
				return tfGone
			}
			return page[0].Status
		})
	}
}

// hwApprove is the creation of an approval; it starts with a look at the service.
func (c *terraform) hwApprove(service string, endpoints []string) {
	c.t.Helper()
	if got := c.status("vpc-endpoint-services/" + service); got != "available" {
		c.t.Fatalf("the service is %s, expected to be available", got)
	}
	c.hwDecide(service, "receive", endpoints)
}

// hwUpdateApproval receives what is new and rejects what is no longer there.
func (c *terraform) hwUpdateApproval(service string, from, to []string) {
	c.t.Helper()
	c.hwDecide(service, "receive", tfMinus(to, from))
	c.hwDecide(service, "reject", tfMinus(from, to))
}

package e2e_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// tfPublic is what both providers read of a public service.
type tfPublic struct {
	ID          string `json:"id"`
	Owner       string `json:"owner"`
	Name        string `json:"service_name"`
	ServiceType string `json:"service_type"`
	Charged     bool   `json:"is_charge"`
	Created     string `json:"created_at"`
}

// hwSummary is what the Huawei provider reads of the summary of a service.
type hwSummary struct {
	ID          string `json:"id"`
	Name        string `json:"service_name"`
	ServiceType string `json:"service_type"`
	Charged     bool   `json:"is_charge"`
	Policy      bool   `json:"enable_policy"`
	BorderGroup string `json:"public_border_group,omitempty"`
	Created     string `json:"created_at"`
}

type hwQuota struct {
	Type  string `json:"type"`
	Used  int    `json:"used"`
	Quota int    `json:"quota"`
}

type hwTagKey struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

type hwResource struct {
	ID   string  `json:"resource_id"`
	Name string  `json:"resource_name"`
	Tags []tfTag `json:"tags"`
}

// hwQuotas is the data source vpcep_quotas.
func (c *terraform) hwQuotas(kind string) []hwQuota {
	c.t.Helper()
	target := c.at("quotas")
	if kind != "" {
		target += "?type=" + kind
	}
	var out struct {
		Quotas struct {
			Resources []hwQuota `json:"resources"`
		} `json:"quotas"`
	}
	c.into(c.call(http.MethodGet, target, nil, 200), &out)
	return out.Quotas.Resources
}

// hwTagKeys is the data source vpcep_tags.
func (c *terraform) hwTagKeys(kind string) []hwTagKey {
	c.t.Helper()
	var out struct {
		Tags []hwTagKey `json:"tags"`
	}
	c.into(c.call(http.MethodGet, c.at(kind+"/tags"), nil, 200), &out)
	return out.Tags
}

// hwByTags is the data source vpcep_resources_by_tags. Its limit is a string and
// its offset a number; it goes on until a page is empty.
func (c *terraform) hwByTags(kind string, filter map[string]any) (found []hwResource, total int) {
	c.t.Helper()
	in := map[string]any{"action": "filter", "limit": "1000"}
	maps.Copy(in, filter)
	for range maxPages {
		in["offset"] = len(found)
		var out struct {
			Resources []hwResource `json:"resources"`
			Total     int          `json:"total_count"`
		}
		c.into(c.call(http.MethodPost, c.at(kind+"/resource_instances/action"), in, 200, 201, 202), &out)
		if len(out.Resources) == 0 {
			return found, out.Total
		}
		found = append(found, out.Resources...)
	}
	c.t.Fatal("the search by tags never comes to an empty page")
	return nil, 0
}

// hwCountByTags counts instead; it sends neither a limit nor an offset.
func (c *terraform) hwCountByTags(kind string, filter map[string]any) int {
	c.t.Helper()
	in := map[string]any{"action": "count"}
	maps.Copy(in, filter)
	var out struct {
		Total int `json:"total_count"`
	}
	a := c.call(http.MethodPost, c.at(kind+"/resource_instances/action"), in, 200, 201, 202)
	c.into(a, &out)
	return out.Total
}

// hwData is what the data sources are asked about.
type hwData struct {
	*testing.T
	c, consumer         *terraform
	services, endpoints []string
}

// Every data source of the Huawei provider, over more objects than one page of
// ten has. If this fails, a data source ends in an error, misses items, or never
// ends.
func replayHWData(t *testing.T, p *product) {
	t.Helper()
	d := &hwData{c: p.terraform(t, p.provider(), false), consumer: p.terraform(t, p.consumer(), false)}
	for n := range 12 {
		d.services = append(d.services, d.c.hwCreateService(servicePlan{
			ServerType: []string{"VM", "LB"}[n%2], VPC: providerVPC, Port: backendPort, Name: "Data-" + string(rune('a'+n)), Type: "interface",
			Mappings: []tfPort{{clientPort, 100 + n, "TCP"}}, Approval: true, Tags: map[string]string{"replay": "data", "odd": []string{"no", "yes"}[n%2]},
		}))
	}
	first := d.services[0]
	d.c.hwPermit(first, "add", "domainId", []string{"iam:domain::" + consumerDomain})
	for n := range 11 {
		d.c.hwPermit(first, "add", "domainId", []string{"iam:domain::guest" + string(rune('a'+n))})
	}
	for range 12 {
		id, status := d.consumer.hwCreateEndpoint(endpointPlan{
			Service: first, VPC: detachedVPC, Subnet: detachedSubnet, DNS: true, Tags: map[string]string{"replay": "data"},
		})
		if status != "pendingAcceptance" {
			t.Fatalf("an endpoint is %s", status)
		}
		d.endpoints = append(d.endpoints, id)
	}
	d.c.hwApprove(first, d.endpoints[:1])
	for _, source := range []struct {
		name string
		read func(*hwData)
	}{
		{"services", (*hwData).listServices},
		{"public_services", (*hwData).listPublic},
		{"service_summary", (*hwData).summary},
		{"service_connections", (*hwData).listConnections},
		{"service_permissions", (*hwData).listPermissions},
		{"endpoints", (*hwData).listEndpoints},
		{"quotas", (*hwData).quotas},
		{"tags", (*hwData).tags},
		{"resources_by_tags", (*hwData).byTags},
	} {
		t.Run(source.name, func(t *testing.T) {
			d.T, d.c.t, d.consumer.t = t, t, t
			source.read(d)
		})
	}
	d.c.t, d.consumer.t = t, t
	d.c.hwDecide(first, "reject", d.endpoints[:1])
	for _, id := range d.endpoints {
		d.consumer.hwDeleteEndpoint(id)
	}
	for _, id := range d.services {
		d.c.hwDeleteService(id)
	}
}

func (d *hwData) listServices() {
	read := func(query url.Values) []hwService {
		return tfPages[hwService](d.c, "vpc-endpoint-services", "endpoint_services", query)
	}
	query := url.Values{"endpoint_service_name": {"data-"}, "status": {"available"}}
	if got := read(query); len(got) != 12 {
		d.Errorf("%d services, want 12", len(got))
	}
	query.Set("server_type", "LB")
	if got := read(query); len(got) != 6 {
		d.Errorf("%d services have load balancers, want 6", len(got))
	}
	if got := read(url.Values{"id": d.services[:1]}); len(got) != 1 || got[0].ID != d.services[0] || got[0].Connections != 1 {
		d.Errorf("by id the list has %+v", got)
	}
	if got := read(url.Values{"public_border_group": {"edge"}}); len(got) != 0 {
		d.Errorf("an edge pool has %d services", len(got))
	}
}

func (d *hwData) listPublic() {
	got := tfPages[tfPublic](d.c, "vpc-endpoint-services/public", "endpoint_services", url.Values{"endpoint_service_name": {"dns"}})
	if len(got) != 1 || got[0].Name != dnsName || got[0].ServiceType != "interface" || got[0].Owner != publicOwner {
		d.Errorf("the public services called dns are %+v", got)
	}
	if got := tfPages[tfPublic](d.c, "vpc-endpoint-services/public", "endpoint_services", nil); len(got) != 2 {
		d.Errorf("%d public services, want 2", len(got))
	}
}

func (d *hwData) summary() {
	for _, query := range []string{"id=" + d.services[0], "endpoint_service_name=" + region + ".Data-a." + d.services[0]} {
		var s hwSummary
		d.consumer.into(d.consumer.call(http.MethodGet, d.consumer.at("vpc-endpoint-services/describe?"+query), nil, 200), &s)
		if _, err := time.Parse(time.RFC3339, s.Created); err != nil || s.ID != d.services[0] || s.ServiceType != "interface" {
			d.Errorf("the summary is %+v, %v", s, err)
		}
	}
}

func (d *hwData) listConnections() {
	read := func(query url.Values) []hwConnection {
		return tfPages[hwConnection](d.c, "vpc-endpoint-services/"+d.services[0]+"/connections", "connections", query)
	}
	if got := read(nil); len(got) != 12 {
		d.Errorf("%d connections, want 12", len(got))
	}
	if got := read(url.Values{"status": {"pendingAcceptance"}}); len(got) != 11 {
		d.Errorf("%d connections wait, want 11", len(got))
	}
	one := read(url.Values{"id": d.endpoints[3:4]})
	if len(one) != 1 || one[0].Domain != consumerDomain {
		d.Fatalf("by id the list has %+v", one)
	}
	if got := read(url.Values{"marker_id": {jsonNumber(one[0].Marker)}}); len(got) != 1 || got[0].ID != d.endpoints[3] {
		d.Errorf("by marker the list has %+v", got)
	}
}

func (d *hwData) listPermissions() {
	path := "vpc-endpoint-services/" + d.services[0] + "/permissions"
	if got := tfPages[hwPermission](d.c, path, "permissions", nil); len(got) != 12 {
		d.Errorf("%d records, want 12", len(got))
	}
	if got := tfPages[hwPermission](d.c, path, "permissions", url.Values{"permission": {"guestb"}}); len(got) != 1 {
		d.Errorf("the records with guestb are %+v", got)
	}
}

func (d *hwData) listEndpoints() {
	query := url.Values{"endpoint_service_name": {"DATA-A"}, "vpc_id": {detachedVPC}}
	if got := tfPages[hwEndpoint](d.consumer, "vpc-endpoints", "endpoints", query); len(got) != 12 {
		d.Errorf("%d endpoints, want 12", len(got))
	}
	got := tfPages[hwEndpoint](d.consumer, "vpc-endpoints", "endpoints", url.Values{"id": d.endpoints[:1]})
	if len(got) != 1 || got[0].Status != "accepted" {
		d.Errorf("by id the list has %+v", got)
	}
}

func (d *hwData) quotas() {
	if got := d.c.hwQuotas(""); len(got) != 2 {
		d.Errorf("the quotas are %+v", got)
	}
	for kind, used := range map[string]int{"endpoint_service": 12, "endpoint": 0} {
		if got := d.c.hwQuotas(kind); len(got) != 1 || got[0].Type != kind || got[0].Used < used {
			d.Errorf("the quota of %s is %+v, want at least %d used", kind, got, used)
		}
	}
}

func (d *hwData) tags() {
	keys := d.c.hwTagKeys("endpoint_service")
	i := slices.IndexFunc(keys, func(k hwTagKey) bool { return k.Key == "odd" })
	if i < 0 || !slices.Equal(tfSet(keys[i].Values), []string{"no", "yes"}) {
		d.Errorf("the tags of the services are %+v", keys)
	}
	if keys := d.consumer.hwTagKeys("endpoint"); len(keys) != 1 || keys[0].Key != "replay" {
		d.Errorf("the tags of the endpoints are %+v", keys)
	}
}

func (d *hwData) byTags() {
	replay := []hwTagKey{{"replay", []string{"data", "more"}}}
	odd := []hwTagKey{{"odd", []string{"yes"}}}
	called := func(name string) []map[string]string {
		return []map[string]string{{"key": "resource_name", "value": name}}
	}
	for _, f := range []struct {
		name   string
		filter map[string]any
		want   int
	}{
		{"tags", map[string]any{"tags": slices.Concat(replay, odd)}, 6},
		{"tags_any", map[string]any{"tags_any": slices.Concat(replay, odd)}, 12},
		{"not_tags", map[string]any{"tags": replay, "not_tags": slices.Concat(replay, odd)}, 6},
		{"not_tags_any", map[string]any{"tags": replay, "not_tags_any": odd}, 6},
		{"matches", map[string]any{"tags": replay, "matches": called("dAtA-c")}, 1},
		{"without_any_tag", map[string]any{"without_any_tag": true, "matches": called("data-")}, 0},
	} {
		found, total := d.c.hwByTags("endpoint_service", f.filter)
		if len(found) != f.want || total != f.want || d.c.hwCountByTags("endpoint_service", f.filter) != f.want {
			d.Errorf("%s: %d found, %d counted, want %d", f.name, len(found), total, f.want)
		}
	}
	found, _ := d.consumer.hwByTags("endpoint", map[string]any{"tags": replay})
	if len(found) != 12 || found[0].Name == "" {
		d.Errorf("%d endpoints are found, want 12", len(found))
	}
}

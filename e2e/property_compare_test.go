package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The comparisons of the property test.

// page compares one page of a list with the model's: the items, the total, and
// what they show.
func page[T, W any](p *property, actor int, path, key string, filter url.Values, w window, list []T, order func(T) sortKey, show func(T) W) {
	p.t.Helper()
	target := path + "?" + w.values(filter).Encode()
	var got map[string]json.RawMessage
	p.get(actor, target, &got)
	who := p.users[actor].domain
	if total := strconv.Itoa(len(list)); string(got["total_count"]) != total {
		p.fatalf("%s reads %s: total_count is %s, the model has %s", who, target, got["total_count"], total)
	}
	var items []W
	if err := json.Unmarshal(got[key], &items); err != nil {
		p.fatalf("%s reads %s: %v", who, target, err)
	}
	want := []W{}
	for _, v := range cut(w, list, order) {
		want = append(want, show(v))
	}
	p.same(who+" reads "+target+": the page", items, want)
}

// drawWindow draws which part of a list is asked for.
func (p *property) drawWindow() window {
	w := window{updated: p.chance(50), ascending: p.chance(50), limit: 10}
	if p.chance(60) {
		w.limit = one(p, []int{0, 1, 3, 7, 50, 500})
	}
	if p.chance(50) {
		w.offset = p.IntN(30)
	}
	return w
}

// windows are those of a full comparison: all of a list in its four orders, and
// page by page.
func windows(n int) []window {
	out := []window{{limit: 500}, {limit: 500, updated: true}, {limit: 500, ascending: true}, {limit: 500, updated: true, ascending: true}, {limit: 0}}
	for from := 0; from <= n; from += 10 {
		out = append(out, window{limit: 10, offset: from})
	}
	return out
}

// drawnParts are what names are searched for.
var drawnParts = []string{"ALPHA", "beta", "a-2", region + ".", ".x.", "nothing"}

// filterServices draws a filter of services and returns what it leaves.
func (p *property) filterServices(list []*modelService, kind int) (url.Values, []*modelService) {
	switch kind {
	case 0:
		part := one(p, drawnParts)
		if s := anyOf(p, list); s != nil && p.chance(30) {
			part = strings.ToUpper(s.id[4:13])
		}
		return url.Values{"endpoint_service_name": {part}}, only(list, func(s *modelService) bool { return fold(s.full(), part) })
	case 1:
		id := missing
		if s := anyOf(p, p.services); s != nil {
			id = s.id
		}
		return url.Values{"id": {id}}, only(list, func(s *modelService) bool { return s.id == id })
	case 2:
		status := one(p, []string{"available", "creating", "failed", "deleting"})
		return url.Values{"status": {status}}, only(list, func(*modelService) bool { return status == "available" })
	case 3:
		server := one(p, drawnServers)
		return url.Values{"server_type": {server}}, only(list, func(s *modelService) bool { return s.serverType == server })
	case 4:
		net := one(p, []string{"vlan", "vxlan", "all"})
		return url.Values{"net_type": {net}}, only(list, func(s *modelService) bool { return net == "all" || (net == "vlan") == (s.ip != "") })
	case 5: // several at once
		a, list := p.filterServices(list, 0)
		b, list := p.filterServices(list, 3)
		a["server_type"] = b["server_type"]
		return a, list
	}
	return nil, list
}

func (p *property) compareServices(actor, filter int, w window) {
	p.t.Helper()
	values, list := p.filterServices(p.owned(actor), filter)
	page(p, actor, "vpc-endpoint-services", "endpoint_services", values, w, list, keyOfService, p.showService)
}

func (p *property) filterEndpoints(list []*modelEndpoint, kind int) (url.Values, []*modelEndpoint) {
	switch kind {
	case 0:
		part := one(p, append(drawnParts, "OBS"))
		return url.Values{"endpoint_service_name": {part}}, only(list, func(e *modelEndpoint) bool { return fold(e.service.full(), part) })
	case 1:
		id := missing
		if e := anyOf(p, p.endpoints); e != nil {
			id = e.id
		}
		return url.Values{"id": {id}}, only(list, func(e *modelEndpoint) bool { return e.id == id })
	case 2:
		vpc := one(p, append(drawnNetworks, detachedVPC, consumerVPC, "vpc-none"))
		return url.Values{"vpc_id": {vpc}}, only(list, func(e *modelEndpoint) bool { return e.vpc == vpc })
	case 3: // both
		a, list := p.filterEndpoints(list, 0)
		b, list := p.filterEndpoints(list, 2)
		a["vpc_id"] = b["vpc_id"]
		return a, list
	}
	return nil, list
}

func (p *property) compareEndpoints(actor, filter int, w window) {
	p.t.Helper()
	values, list := p.filterEndpoints(p.mine(actor), filter)
	page(p, actor, "vpc-endpoints", "endpoints", values, w, list, keyOfEndpoint, p.showEndpoint)
}

// statuses are what connections are filtered by.
var statuses = []string{"pendingAcceptance", "creating", "accepted", "rejected", "failed", "deleting"}

func (p *property) filterConnections(list []*modelEndpoint, kind int) (url.Values, []*modelEndpoint) {
	switch {
	case kind < len(statuses):
		return url.Values{"status": {statuses[kind]}}, only(list, func(e *modelEndpoint) bool { return e.status == statuses[kind] })
	case kind == len(statuses):
		return p.filterEndpoints(list, 1)
	case kind == len(statuses)+1:
		marker := int32(2147483647)
		if e := anyOf(p, p.endpoints); e != nil {
			marker = e.marker
		}
		return url.Values{"marker_id": {jsonNumber(marker)}}, only(list, func(e *modelEndpoint) bool { return e.marker == marker })
	}
	return nil, list
}

func (p *property) compareConnections(s *modelService, filter int, w window) {
	p.t.Helper()
	values, list := p.filterConnections(p.connections(s), filter)
	page(p, s.owner, s.path("/connections"), "connections", values, w, list, keyOfEndpoint, p.showConnection)
}

func (p *property) compareWhitelist(s *modelService, filtered bool, w window) {
	p.t.Helper()
	var values url.Values
	list := s.whitelist
	if filtered {
		part := one(p, []string{"domain", "*", "org", "::", "DOMAIN", "nobody"})
		values, list = url.Values{"permission": {part}}, only(list, func(w *modelPermission) bool { return strings.Contains(w.value, part) })
	}
	w.limit = min(w.limit, 500)
	page(p, s.owner, s.path("/permissions"), "permissions", values, w, list, keyOfPermission, showPermission)
}

func (p *property) compareQuotas(actor int) {
	p.t.Helper()
	endpoint := hwQuota{"endpoint", len(p.mine(actor)), modelEndpoints}
	service := hwQuota{"endpoint_service", len(p.owned(actor)), modelServices}
	for query, want := range map[string][]hwQuota{"": {endpoint, service}, "?type=endpoint": {endpoint}, "?type=endpoint_service": {service}} {
		var got struct {
			Quotas struct {
				Resources []hwQuota `json:"resources"`
			} `json:"quotas"`
		}
		p.get(actor, "quotas"+query, &got)
		p.same("quotas"+query, got.Quotas.Resources, want)
	}
}

// tagged are the resources of one kind that an actor has, as a search shows them.
func (p *property) tagged(actor int, kind string) (all []hwResource, order map[string]sortKey) {
	order = map[string]sortKey{}
	if kind == "endpoint" {
		for _, e := range p.mine(actor) {
			all, order[e.id] = append(all, hwResource{e.id, e.id, some(e.tags)}), keyOfEndpoint(e)
		}
		return all, order
	}
	for _, s := range p.owned(actor) {
		all, order[s.id] = append(all, hwResource{s.id, s.full(), some(s.tags)}), keyOfService(s)
	}
	return all, order
}

func (p *property) compareTagKeys(actor int, kind string) {
	p.t.Helper()
	all, _ := p.tagged(actor, kind)
	var lists [][]tfTag
	for _, r := range all {
		lists = append(lists, r.Tags)
	}
	var got struct {
		Tags []hwTagKey `json:"tags"`
	}
	p.get(actor, kind+"/tags", &got)
	slices.SortFunc(got.Tags, func(a, b hwTagKey) int { return strings.Compare(a.Key, b.Key) })
	for i := range got.Tags {
		got.Tags[i].Values = tfSet(got.Tags[i].Values)
	}
	p.same("the tags of the project", got.Tags, tagUnion(lists))
}

// drawFilters draws a list of keys with values.
func (p *property) drawFilters() []hwTagKey {
	var out []hwTagKey
	for range 1 + p.IntN(3) {
		f := hwTagKey{"key" + strconv.Itoa(p.IntN(24)), drawSome(p, []string{"v0", "v1", "v2", "v3"})}
		if !slices.ContainsFunc(out, func(o hwTagKey) bool { return o.Key == f.Key }) {
			out = append(out, f)
		}
	}
	return out
}

// compareSearch compares a search by tags: kind 0 to 5 has one of the six
// filters, 6 several of them.
func (p *property) compareSearch(actor int, resource string, kind int) {
	p.t.Helper()
	var q tagSearch
	several := kind == 6
	for n := range 6 {
		if n != kind && (!several || p.chance(60)) {
			continue
		}
		switch n {
		case 0:
			q.All = p.drawFilters()[:1]
		case 1:
			q.Any = p.drawFilters()
		case 2:
			q.NotAll = p.drawFilters()
		case 3:
			q.NotAny = p.drawFilters()
		case 4:
			q.Matches = []map[string]string{{"key": "resource_name", "value": one(p, drawnParts)}}
		case 5:
			q.None = true
		}
	}
	everything, order := p.tagged(actor, resource)
	found := only(everything, func(r hwResource) bool { return q.finds(r.Name, r.Tags) })
	w := window{limit: 1000}
	q.Action = "filter"
	if p.chance(50) {
		w.limit, w.offset = 1+p.IntN(5), p.IntN(8)
		q.Limit, q.Offset = strconv.Itoa(w.limit), w.offset
	}
	var got struct {
		Resources []hwResource `json:"resources"`
		Total     int          `json:"total_count"`
	}
	p.search(actor, resource, q, &got)
	what := fmt.Sprintf("the search %+v among what is %s", q, resource)
	p.same(what, got.Total, len(found))
	p.same(what, some(got.Resources), some(cut(w, found, func(r hwResource) sortKey { return order[r.ID] })))

	q.Action, q.Limit, q.Offset = "count", "", 0
	var count struct {
		Total int `json:"total_count"`
	}
	p.search(actor, resource, q, &count)
	p.same("the count of "+what, count.Total, len(found))
}

func (p *property) search(actor int, resource string, q tagSearch, out any) {
	p.t.Helper()
	c := p.callers[actor]
	a, err := c.try(http.MethodPost, "/v1/"+c.project+"/"+resource+"/resource_instances/action", q, nil)
	if err != nil || a.status != 200 {
		p.fatalf("search %+v: %s, %v", q, a, err)
	}
	a.into(p.t, out)
}

// compareDescription compares what a consumer may know of a service.
func (p *property) compareDescription(actor int) {
	p.t.Helper()
	s := one(p, p.public)
	if p.chance(70) {
		if s = anyOf(p, only(p.services, func(s *modelService) bool { return !s.deleted })); s == nil {
			return
		}
	}
	for _, query := range []url.Values{{"id": {s.id}}, {"endpoint_service_name": {s.full()}}, {"id": {s.id}, "endpoint_service_name": {s.full()}}} {
		var got hwSummary
		p.get(actor, "vpc-endpoint-services/describe?"+query.Encode(), &got)
		got.BorderGroup = ""
		p.same("the description", got, hwSummary{ID: s.id, Name: s.full(), ServiceType: s.kind, Policy: s.policy, Created: stamp(s.created)})
	}
}

// compareDetails compares a service and an endpoint as their owners read them.
func (p *property) compareDetails() {
	p.t.Helper()
	if s := anyOf(p, only(p.services, func(s *modelService) bool { return !s.deleted })); s != nil {
		var got wireService
		p.get(s.owner, s.path(""), &got)
		p.same("the service", got, p.showService(s))
	}
	if e := anyOf(p, p.endpoints); e != nil {
		var got hwEndpoint
		p.get(e.owner, e.path(""), &got)
		p.same("the endpoint", got, p.showEndpoint(e))
	}
}

// The numbers of filters, the one that keeps all included.
const (
	serviceFilters    = 7
	endpointFilters   = 5
	connectionFilters = 9
	searchKinds       = 7
)

var resourceTypes = []string{"endpoint", "endpoint_service"}

// compareOne compares something drawn at random.
func (p *property) compareOne() {
	p.t.Helper()
	actor := p.IntN(actors)
	s := anyOf(p, only(p.services, func(s *modelService) bool { return !s.deleted }))
	switch n := p.IntN(10); {
	case n < 2:
		p.compareServices(actor, p.IntN(serviceFilters), p.drawWindow())
	case n < 4:
		p.compareEndpoints(actor, p.IntN(endpointFilters), p.drawWindow())
	case n < 6 && s != nil:
		p.compareConnections(s, p.IntN(connectionFilters), p.drawWindow())
	case n == 6 && s != nil:
		p.compareWhitelist(s, p.chance(50), p.drawWindow())
	case n == 7:
		p.compareSearch(actor, one(p, resourceTypes), p.IntN(searchKinds))
	case n == 8:
		p.compareDetails()
	default:
		p.compareDescription(actor)
	}
}

// compareAll compares every list in every order and page by page, with every
// filter, and every count.
func (p *property) compareAll() {
	p.t.Helper()
	for actor := range actors {
		for _, w := range windows(len(p.owned(actor))) {
			p.compareServices(actor, serviceFilters-1, w)
		}
		for _, w := range windows(len(p.mine(actor))) {
			p.compareEndpoints(actor, endpointFilters-1, w)
		}
		for n := range 3 * serviceFilters {
			p.compareServices(actor, n%serviceFilters, p.drawWindow())
		}
		for n := range 3 * endpointFilters {
			p.compareEndpoints(actor, n%endpointFilters, p.drawWindow())
		}
		p.compareQuotas(actor)
		for _, kind := range resourceTypes {
			p.compareTagKeys(actor, kind)
			for n := range 2 * searchKinds {
				p.compareSearch(actor, kind, n%searchKinds)
			}
		}
		p.compareDescription(actor)
		page(p, actor, "vpc-endpoint-services/public", "endpoint_services", nil, all, p.public, keyOfService, func(s *modelService) tfPublic {
			return tfPublic{s.id, publicOwner, s.system, s.kind, false, stamp(s.created)}
		})
	}
	for _, s := range p.services {
		if s.deleted {
			continue
		}
		for _, w := range windows(len(p.connections(s))) {
			p.compareConnections(s, connectionFilters-1, w)
		}
		for n := range connectionFilters {
			p.compareConnections(s, n, p.drawWindow())
		}
		for _, w := range windows(len(s.whitelist)) {
			p.compareWhitelist(s, false, w)
		}
		p.compareWhitelist(s, true, p.drawWindow())
	}
}

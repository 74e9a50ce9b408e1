package e2e_test

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The model of the property test: what two owners and two consumers have made,
// in plain slices, with the rules of the API written down a second time. Lists
// are in the order of creation; every answer is worked out from the start.

// The quotas of the model's projects: small, so that they are met.
const (
	modelServices  = 14
	modelEndpoints = 40
)

// modelService is a service, of an owner or of the operator.
type modelService struct {
	owner       int // index of the actor, -1 for the operator
	id, name    string
	system      string // the whole name of an operator's own service
	kind        string
	serverType  string
	vpc, port   string
	ip          string
	ports       []tfPort
	approval    bool
	policy      bool
	proxy       string
	description string
	tags        []tfTag
	pro         bool
	resources   []string
	whitelist   []*modelPermission
	deleted     bool // gone for its owner, while endpoints still point at it
	created     time.Time
	updated     time.Time
}

// modelPermission is one record of a service's whitelist.
type modelPermission struct {
	id, value, kind, description string
	created                      time.Time
}

// modelEndpoint is an endpoint and the connection that it is for its service.
type modelEndpoint struct {
	owner       int
	id          string
	service     *modelService
	vpc, subnet string
	address     netip.Addr
	attached    bool // an agent carries it
	marker      int32
	status      string
	opened      bool // it was accepted once
	dns         bool
	filter      bool
	sources     []string
	tables      []string
	tags        []tfTag
	description string
	note        string
	statement   any
	document    any
	pro         bool
	created     time.Time
	updated     time.Time
}

func (s *modelService) gateway() bool { return s.kind == "gateway" }

// full returns the name that clients see.
func (s *modelService) full() string {
	switch {
	case s.system != "":
		return s.system
	case s.name == "":
		return region + "." + s.id
	}
	return region + "." + s.name + "." + s.id
}

// admits reports whether an account may make endpoints to the service.
func (s *modelService) admits(domain, owner string) bool {
	if s.system != "" || domain == owner {
		return true
	}
	return slices.ContainsFunc(s.whitelist, func(w *modelPermission) bool {
		id := strings.TrimPrefix(w.value, "iam:domain::")
		return w.kind == "domainId" && (id == "*" || id == domain)
	})
}

// shows reports whether clients see the endpoint's address.
func (e *modelEndpoint) shows() bool {
	return !e.service.gateway() && (e.status == "accepted" || e.status == "rejected" && e.opened)
}

// Selections of the state.

func (p *property) owned(actor int) (out []*modelService) {
	for _, s := range p.services {
		if s.owner == actor && !s.deleted {
			out = append(out, s)
		}
	}
	return out
}

func (p *property) mine(actor int) (out []*modelEndpoint) {
	for _, e := range p.endpoints {
		if e.owner == actor {
			out = append(out, e)
		}
	}
	return out
}

func (p *property) connections(s *modelService) (out []*modelEndpoint) {
	for _, e := range p.endpoints {
		if e.service == s {
			out = append(out, e)
		}
	}
	return out
}

// admitted is the number of a service's endpoints that count as connected.
func (p *property) admitted(s *modelService) (n int) {
	for _, e := range p.connections(s) {
		if e.status == "accepted" || e.status == "creating" {
			n++
		}
	}
	return n
}

// portTaken reports whether another service forwards to one of the ports.
func (p *property) portTaken(self *modelService, port string, ports []tfPort) bool {
	for _, s := range p.services {
		if s == self || s.deleted || s.port != port {
			continue
		}
		for _, m := range ports {
			if slices.ContainsFunc(s.ports, func(o tfPort) bool { return o.Server == m.Server }) {
				return true
			}
		}
	}
	return false
}

// tableTaken reports whether another endpoint of the project to the same service
// in the same network has one of the route tables.
func (p *property) tableTaken(self, like *modelEndpoint, tables []string) bool {
	for _, e := range p.mine(like.owner) {
		if e != self && e.service == like.service && e.vpc == like.vpc && len(tfMinus(tables, e.tables)) < len(tables) {
			return true
		}
	}
	return false
}

// addressTaken reports whether an endpoint of the subnet has the address.
func (p *property) addressTaken(subnet string, a netip.Addr) bool {
	return slices.ContainsFunc(p.endpoints, func(e *modelEndpoint) bool { return e.subnet == subnet && e.address == a })
}

// free returns the address that an endpoint gets which asks for none: the one
// after the highest in use, and where that is the last one the lowest gap. The
// gateway's address, the network's own and the broadcast address are never given.
func (p *property) free(subnet string, in netip.Prefix) (netip.Addr, bool) {
	host := func(n byte) netip.Addr {
		a := in.Masked().Addr().As4()
		a[3] = n
		return netip.AddrFrom4(a)
	}
	const first, last = 2, 254
	top := byte(first - 1)
	for _, e := range p.endpoints {
		if e.subnet == subnet && e.address.IsValid() {
			top = max(top, e.address.As4()[3])
		}
	}
	if top < last {
		return host(top + 1), true
	}
	for n := byte(first); n <= last; n++ {
		if !p.addressTaken(subnet, host(n)) {
			return host(n), true
		}
	}
	return netip.Addr{}, false
}

// What the API shows of the state.

// wireService is a service as every call shows it to its owner.
type wireService struct {
	hwService

	Project  string   `json:"project_id"`
	Domain   string   `json:"domain_id"`
	Editions []string `json:"supported_editions"`
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (p *property) showService(s *modelService) wireService {
	editions := []string{"basic"}
	if s.pro {
		editions = append(editions, "profession")
	}
	return wireService{
		hwService: hwService{
			ID: s.id, Status: "available", Name: s.full(), VPC: s.vpc, Port: s.port, Approval: s.approval, ServerType: s.serverType,
			ServiceType: s.kind, Description: s.description, Proxy: s.proxy, Ports: s.ports, Tags: some(s.tags), Policy: s.policy,
			IPVersion: "ipv4", IP: s.ip, Created: stamp(s.created), Updated: stamp(s.updated), Connections: p.admitted(s),
		},
		Project: p.users[s.owner].project, Domain: p.users[s.owner].domainID, Editions: editions,
	}
}

func (p *property) showEndpoint(e *modelEndpoint) hwEndpoint {
	out := hwEndpoint{
		ID: e.id, Status: e.status, Service: e.service.id, ServiceName: e.service.full(), ServiceType: e.service.kind, VPC: e.vpc,
		Subnet: e.subnet, Description: e.description, EnableWhitelist: e.filter, Whitelist: some(e.sources), Marker: e.marker,
		Tags: some(e.tags), Statement: e.statement, Document: e.document, IPVersion: "ipv4", DNS: e.dns && !e.service.gateway(),
		RouteTables: some(e.tables), ActiveStatus: []string{"active"}, Created: stamp(e.created), Updated: stamp(e.updated),
		Project: p.users[e.owner].project,
	}
	if e.shows() {
		out.IP = e.address.String()
		if e.dns {
			out.DNSNames = []string{"vpcep-" + e.id + "." + region + ".sallyport.internal"}
		}
	}
	return out
}

func (p *property) showConnection(e *modelEndpoint) hwConnection {
	return hwConnection{
		ID: e.id, Marker: e.marker, Domain: p.users[e.owner].domainID, Status: e.status, Description: e.note,
		Created: stamp(e.created), Updated: stamp(e.updated),
	}
}

// wirePermission is a record of a whitelist.
type wirePermission struct {
	hwPermission

	Description string `json:"description"`
}

func showPermission(w *modelPermission) wirePermission {
	return wirePermission{hwPermission{w.id, w.value, w.kind, stamp(w.created)}, w.description}
}

// some returns a list that is never nil, as JSON decodes it.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// window is which part of a list is asked for, and in which order.
type window struct {
	updated, ascending bool
	limit, offset      int
}

// all is the window of the largest page, newest first.
var all = window{limit: 1000}

// values adds the window to the filters of a query.
func (w window) values(filter url.Values) url.Values {
	if filter == nil {
		filter = url.Values{}
	}
	if w.updated {
		filter.Set("sort_key", "updated_at")
	}
	if w.ascending {
		filter.Set("sort_dir", "asc")
	}
	if w.limit != 10 {
		filter.Set("limit", strconv.Itoa(w.limit))
	}
	if w.offset > 0 {
		filter.Set("offset", strconv.Itoa(w.offset))
	}
	return filter
}

// sortKey is what a list is ordered by; equal times are ordered by the id.
type sortKey struct {
	created, updated time.Time
	id               string
}

func keyOfService(s *modelService) sortKey       { return sortKey{s.created, s.updated, s.id} }
func keyOfEndpoint(e *modelEndpoint) sortKey     { return sortKey{e.created, e.updated, e.id} }
func keyOfPermission(w *modelPermission) sortKey { return sortKey{w.created, w.created, w.id} }

// cut returns the part of a list that a window shows.
func cut[T any](w window, list []T, key func(T) sortKey) []T {
	list = slices.SortedFunc(slices.Values(list), func(a, b T) int {
		ka, kb := key(a), key(b)
		ta, tb := ka.created, kb.created
		if w.updated {
			ta, tb = ka.updated, kb.updated
		}
		c := cmp.Or(ta.Compare(tb), strings.Compare(ka.id, kb.id))
		if !w.ascending {
			c = -c
		}
		return c
	})
	from := min(w.offset, len(list))
	return list[from:min(from+w.limit, len(list))]
}

// only returns the items of a list that a filter keeps.
func only[T any](list []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return !keep(v) })
}

// fold reports whether part is in text, whatever the case.
func fold(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// Tags.

// retag returns the tags after a change, in the order in which their keys came.
func retag(have []tfTag, action string, change []map[string]string) []tfTag {
	out := slices.Clone(have)
	for _, c := range change {
		value, given := c["value"]
		i := slices.IndexFunc(out, func(t tfTag) bool { return t.Key == c["key"] })
		switch {
		case action == "create" && i >= 0:
			out[i].Value = value
		case action == "create":
			out = append(out, tfTag{c["key"], value})
		case i >= 0 && (!given || out[i].Value == value):
			out = slices.Delete(out, i, i+1)
		}
	}
	return out
}

// tagSearch is a search by tags; its fields are those of the request.
type tagSearch struct {
	All     []hwTagKey          `json:"tags,omitempty"`
	Any     []hwTagKey          `json:"tags_any,omitempty"`
	NotAll  []hwTagKey          `json:"not_tags,omitempty"`
	NotAny  []hwTagKey          `json:"not_tags_any,omitempty"`
	Matches []map[string]string `json:"matches,omitempty"`
	None    bool                `json:"without_any_tag,omitempty"`
	Action  string              `json:"action"`
	Limit   string              `json:"limit,omitempty"`
	Offset  int                 `json:"offset,omitempty"`
}

// finds reports whether the search finds a resource.
func (q *tagSearch) finds(name string, tags []tfTag) bool {
	for _, m := range q.Matches {
		if !fold(name, m["value"]) {
			return false
		}
	}
	if q.None {
		return len(tags) == 0
	}
	has := func(f hwTagKey) bool {
		return slices.ContainsFunc(tags, func(t tfTag) bool {
			return t.Key == f.Key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
		})
	}
	every := func(l []hwTagKey) bool { return !slices.ContainsFunc(l, func(f hwTagKey) bool { return !has(f) }) }
	return every(q.All) && (len(q.Any) == 0 || slices.ContainsFunc(q.Any, has)) &&
		(len(q.NotAll) == 0 || !every(q.NotAll)) && !slices.ContainsFunc(q.NotAny, has)
}

// tagUnion returns the keys and values of some resources.
func tagUnion(lists [][]tfTag) []hwTagKey {
	values := map[string][]string{}
	for _, tags := range lists {
		for _, t := range tags {
			if !slices.Contains(values[t.Key], t.Value) {
				values[t.Key] = append(values[t.Key], t.Value)
			}
		}
	}
	out := []hwTagKey{}
	for k, v := range values {
		out = append(out, hwTagKey{k, tfSet(v)})
	}
	slices.SortFunc(out, func(a, b hwTagKey) int { return strings.Compare(a.Key, b.Key) })
	return out
}

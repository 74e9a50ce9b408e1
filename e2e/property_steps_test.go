package e2e_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The steps of the property test. Each draws what it asks for, works out from
// the model what has to come of it, sends it, and takes it over.

// What is drawn from. Few values, so that they meet.
var (
	drawnNames    = []string{"", "Alpha", "alpha-2", "BETA_b", "beta", "gamma", "x"}
	drawnTexts    = []string{"", "a text", "Beschreibung mit ü", "说明", `quotes " and \ and &`}
	drawnPorts    = []string{backendPort, "0d8fbc31-0000-4000-8000-000000000001", "0d8fbc31-0000-4000-8000-000000000002"}
	drawnVPCs     = []string{providerVPC, providerVPC, providerVPC, "0d8fbc31-0000-4000-8000-0000000000aa"}
	drawnServers  = []string{"VM", "LB", "VIP", "BMS"}
	drawnProxies  = []string{"close", "toa_open", "proxy_open", "open", "proxy_vni"}
	drawnIPs      = []string{"", "", "10.1.2.3", "db.example.com"}
	drawnSources  = []string{"127.0.0.0/8", "10.0.0.0/8", "192.0.2.7", "198.51.100.0/24"}
	drawnTables   = []string{"rt-1", "rt-2", "rt-3", "rt-4"}
	drawnNetworks = []string{"vpc-one", "vpc-two", "vpc-three"}
	drawnAccounts = []string{
		"*", "iam:domain::*", "iam:domain::" + consumerDomain, "iam:domain::44c2a94d3e84f5fa1c6e9d27483b5104", "iam:domain::" + providerDomain,
		"iam:domain::22c2a94d3e84f5fa1c6e9d27483b5102", "iam:domain::nobody", "organizations:orgPath::o-1/r-1/*", "organizations:orgPath::*",
	}
	detachedNet = netip.MustParsePrefix("10.77.0.0/24")
)

// maxAttached is how many endpoints of a sequence have real listeners.
const maxAttached = 4

func (p *property) drawPorts() []tfPort {
	out := make([]tfPort, 0, 3)
	for n := range 1 + p.IntN(3) {
		out = append(out, tfPort{7200 + 10*n + p.IntN(10), 1 + p.IntN(60), "TCP"})
	}
	return out
}

func (p *property) drawTags(most int) []tfTag {
	out := []tfTag{}
	for range p.IntN(most + 1) {
		t := tfTag{"key" + strconv.Itoa(p.IntN(24)), "v" + strconv.Itoa(p.IntN(4))}
		if !slices.ContainsFunc(out, func(o tfTag) bool { return o.Key == t.Key }) {
			out = append(out, t)
		}
	}
	return out
}

func drawSome[T any](p *property, from []T) []T {
	out := []T{}
	for _, v := range from {
		if p.chance(40) {
			out = append(out, v)
		}
	}
	return out
}

// Services.

func (p *property) createService() {
	actor := p.IntN(owners)
	if p.chance(10) {
		actor = p.IntN(actors)
	}
	s := &modelService{
		owner: actor, name: one(p, drawnNames), kind: "interface", serverType: one(p, drawnServers), vpc: one(p, drawnVPCs), port: one(p, drawnPorts),
		ip: one(p, drawnIPs), ports: p.drawPorts(), approval: p.chance(75), policy: p.chance(30), proxy: one(p, drawnProxies),
		description: one(p, drawnTexts), tags: p.drawTags(5), created: p.now(), updated: p.now(),
	}
	want := fine
	switch {
	case len(p.owned(actor)) >= modelServices:
		want = quotaUsed
	case s.port == backendPort && s.vpc != providerVPC:
		want = bad400("3042")
	case p.portTaken(nil, s.port, s.ports):
		want = bad400("3044")
	}
	var got wireService
	if p.send(actor, http.MethodPost, "vpc-endpoint-services", map[string]any{
		"service_name": s.name, "server_type": strings.ToLower(s.serverType), "vpc_id": s.vpc, "port_id": s.port, "ip": s.ip, "ports": s.ports,
		"approval_enabled": s.approval, "enable_policy": s.policy, "tcp_proxy": s.proxy, "description": s.description, "tags": s.tags,
	}, want, &got) {
		s.id = got.ID
		p.services = append(p.services, s)
		p.same("the new service", got, p.showService(s))
	}
}

// service draws a service that was made by an owner, sometimes one that is gone,
// and who asks for it. want is the outcome where that is not its owner.
func (p *property) service() (s *modelService, actor int, want outcome) {
	if s = anyOf(p, p.services); s == nil {
		s = &modelService{owner: 0, id: missing, deleted: true}
	}
	actor = p.actorOf(s.owner)
	if actor != s.owner || s.deleted {
		return s, actor, noSuch
	}
	return s, actor, fine
}

func (s *modelService) path(more string) string { return "vpc-endpoint-services/" + s.id + more }

func (p *property) updateService() {
	s, actor, want := p.service()
	next := *s
	in := map[string]any{}
	change := func(key string, set func()) {
		if p.chance(30) {
			set()
			in[key] = map[string]any{
				"service_name": next.name, "port_id": next.port, "ports": next.ports, "tcp_proxy": next.proxy,
				"approval_enabled": next.approval, "description": next.description,
			}[key]
		}
	}
	change("service_name", func() { next.name = one(p, drawnNames) })
	change("port_id", func() { next.port = one(p, drawnPorts) })
	change("ports", func() { next.ports = p.drawPorts() })
	change("tcp_proxy", func() { next.proxy = one(p, drawnProxies) })
	change("approval_enabled", func() { next.approval = !next.approval })
	change("description", func() { next.description = one(p, drawnTexts) })
	if want == fine {
		switch {
		case next.port != s.port && next.port == backendPort && next.vpc != providerVPC:
			want = bad400("3042")
		case p.portTaken(s, next.port, next.ports):
			want = bad400("3044")
		}
	}
	var got wireService
	if p.send(actor, http.MethodPut, s.path(""), in, want, &got) {
		if next.name != s.name || next.port != s.port || !slices.Equal(next.ports, s.ports) || next.proxy != s.proxy ||
			next.approval != s.approval || next.description != s.description {
			next.updated = p.now()
		}
		*s = next
		p.same("the changed service", got, p.showService(s))
	}
}

func (p *property) renameService() {
	s, actor, want := p.service()
	name := one(p, drawnNames)
	var got struct {
		Name string `json:"endpoint_service_name"`
	}
	if p.send(actor, http.MethodPut, s.path("/name"), map[string]any{"endpoint_service_name": name}, want, &got) {
		if s.name != name {
			s.name, s.updated = name, p.now()
		}
		p.same("the new name", got.Name, name)
	}
}

func (p *property) deleteService() {
	s, actor, want := p.service()
	if want == fine {
		want = empty
		if p.admitted(s) > 0 {
			want = bad400("3006")
		}
	}
	if p.send(actor, http.MethodDelete, s.path(""), nil, want, nil) {
		s.deleted, s.whitelist = true, nil
		p.forget()
	}
}

// forget drops services that are gone and that no endpoint points at.
func (p *property) forget() {
	p.services = slices.DeleteFunc(p.services, func(s *modelService) bool { return s.deleted && len(p.connections(s)) == 0 })
}

func (p *property) upgradeService() {
	s, actor, want := p.service()
	if want == fine {
		want = empty
	}
	pro := p.chance(50)
	in := map[string]any{"action": "rollback"}
	if pro {
		in["action"] = "upgrade"
	}
	if p.send(actor, http.MethodPost, s.path("/upgrade"), in, want, nil) && s.pro != pro {
		s.pro, s.updated = pro, p.now()
	}
}

func (p *property) addResources() {
	s, actor, want := p.service()
	if want == fine {
		want = empty
	}
	id := "elb-" + strconv.Itoa(p.IntN(5))
	if p.send(actor, http.MethodPost, s.path("/add-server-resources"), map[string]any{
		"server_resources": []map[string]any{{"resource_id": id, "availability_zone_id": nil}},
	}, want, nil) && !slices.Contains(s.resources, id) {
		s.resources, s.updated = append(s.resources, id), p.now()
	}
}

// Whitelists.

func kindOf(value string) string {
	if strings.HasPrefix(value, "organizations:") {
		return "orgPath"
	}
	return "domainId"
}

// add puts values on a whitelist. Of those of one call the first is the newest.
func (p *property) add(s *modelService, values []string, description string) {
	n := 0
	for _, v := range values {
		if slices.ContainsFunc(s.whitelist, func(w *modelPermission) bool { return w.value == v }) {
			continue
		}
		s.whitelist = append(s.whitelist, &modelPermission{
			value: v, kind: kindOf(v), description: description, created: p.now().Add(-time.Duration(n) * time.Microsecond),
		})
		n++
	}
}

// learn takes the ids of new records from the whole list, which has to be what
// the model has.
func (p *property) learn(s *modelService) {
	var list struct {
		Permissions []wirePermission `json:"permissions"`
	}
	p.get(s.owner, s.path("/permissions?limit=500"), &list)
	for _, got := range list.Permissions {
		for _, w := range s.whitelist {
			if w.value == got.Value && w.id == "" {
				w.id = got.ID
			}
		}
	}
	p.same("the whitelist", list.Permissions, p.showWhitelist(s))
}

func (p *property) showWhitelist(s *modelService) []wirePermission {
	out := []wirePermission{}
	for _, w := range cut(all, s.whitelist, keyOfPermission) {
		out = append(out, showPermission(w))
	}
	return out
}

func (p *property) permit() {
	s, actor, want := p.service()
	values := drawSome(p, drawnAccounts)
	if p.chance(70) {
		values = []string{one(p, drawnAccounts)}
	}
	adds := p.chance(65)
	if len(values) == 0 {
		want = bad400("3036")
	}
	in := map[string]any{"action": "remove", "permissions": values}
	if adds {
		in["action"] = "add"
	}
	var got struct {
		Permissions []string `json:"permissions"`
	}
	if !p.send(actor, http.MethodPost, s.path("/permissions/action"), in, want, &got) {
		return
	}
	if adds {
		p.add(s, values, "")
	} else {
		s.whitelist = slices.DeleteFunc(s.whitelist, func(w *modelPermission) bool { return slices.Contains(values, w.value) })
	}
	p.learn(s)
	now := []string{}
	for _, w := range cut(all, s.whitelist, keyOfPermission) {
		now = append(now, w.value)
	}
	p.same("the answer", got.Permissions, now)
}

func (p *property) permitBatch() {
	s, actor, want := p.service()
	values, text := drawSome(p, drawnAccounts), one(p, drawnTexts)
	if len(values) == 0 {
		want = bad400("3036")
	}
	records := []map[string]any{}
	for _, v := range values {
		records = append(records, map[string]any{"permission": v, "description": text})
	}
	var got struct {
		Permissions []wirePermission `json:"permissions"`
	}
	if p.send(actor, http.MethodPost, s.path("/permissions/batch-create"), map[string]any{"permissions": records}, want, &got) {
		p.add(s, values, text)
		p.learn(s)
		p.same("the answer", got.Permissions, p.showWhitelist(s))
	}
}

func (p *property) forbidBatch() {
	s, actor, want := p.service()
	gone := drawSome(p, s.whitelist)
	records := []map[string]any{{"id": missing}}
	for _, w := range gone {
		records = append(records, map[string]any{"id": w.id})
	}
	var got struct {
		Permissions []wirePermission `json:"permissions"`
	}
	if p.send(actor, http.MethodPost, s.path("/permissions/batch-delete"), map[string]any{"permissions": records}, want, &got) {
		s.whitelist = slices.DeleteFunc(s.whitelist, func(w *modelPermission) bool { return slices.Contains(gone, w) })
		p.same("the answer", got.Permissions, p.showWhitelist(s))
	}
}

func (p *property) describePermission() {
	s, actor, want := p.service()
	text := one(p, drawnTexts)
	w := anyOf(p, s.whitelist)
	if w == nil || p.chance(5) {
		w, want = &modelPermission{id: missing}, noSuch
	}
	var got struct {
		Permissions []wirePermission `json:"permissions"`
	}
	if p.send(actor, http.MethodPut, s.path("/permissions/"+w.id), map[string]any{"permission": map[string]any{"description": text}}, want, &got) {
		w.description = text
		p.same("the answer", got.Permissions, []wirePermission{showPermission(w)})
	}
}

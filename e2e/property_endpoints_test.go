package e2e_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The steps of the property test that are about endpoints and their connections,
// and about tags.

func (p *property) createEndpoint() {
	actor := owners + p.IntN(actors-owners)
	if p.chance(10) {
		actor = p.IntN(actors)
	}
	s := anyOf(p, p.services)
	if s == nil || p.chance(20) {
		s = one(p, p.public)
	}
	e := &modelEndpoint{
		owner: actor, service: s, dns: p.chance(50), tags: p.drawTags(4), description: one(p, drawnTexts), status: "pendingAcceptance",
		created: p.now(), updated: p.now(),
	}
	in := map[string]any{"endpoint_service_id": s.id, "enable_dns": e.dns, "tags": e.tags, "description": e.description}
	if !s.approval {
		e.status = "creating"
	}
	want := p.place(e, in)
	switch {
	case s.deleted:
		want = bad400("2003")
	case s.owner >= 0 && !s.admits(p.users[actor].domainID, p.users[s.owner].domainID):
		want = bad400("2012")
	case want == fine && len(p.mine(actor)) >= modelEndpoints:
		want = quotaUsed
	}
	var got hwEndpoint
	if !p.send(actor, http.MethodPost, "vpc-endpoints", in, want, &got) {
		return
	}
	e.id, e.marker = got.ID, got.Marker
	if e.marker < 1 || slices.ContainsFunc(p.endpoints, func(o *modelEndpoint) bool { return o.marker == e.marker }) {
		p.fatalf("the marker %d is taken or none", e.marker)
	}
	if s.gateway() && len(e.tables) == 0 {
		e.tables = got.RouteTables // the default one, which the model cannot know
	}
	p.endpoints = append(p.endpoints, e)
	p.same("the new endpoint", got, p.showEndpoint(e))
	if e.status == "creating" {
		e.status, e.opened = "accepted", true
		p.settle(e)
	}
}

// place draws where an endpoint is to live, and says what comes of it.
func (p *property) place(e *modelEndpoint, in map[string]any) outcome {
	s := e.service
	policy := func() bool {
		if !p.chance(10) {
			return true
		}
		e.document = map[string]any{"Version": "5.0"}
		in["policy_document"] = e.document
		return s.policy
	}
	if s.gateway() {
		e.vpc = one(p, drawnNetworks)
		in["vpc_id"] = e.vpc
		if !policy() {
			return bad400("2048")
		}
		if p.chance(80) {
			e.tables = []string{one(p, drawnTables)}
			in["routetables"] = e.tables
		}
		taken := p.tableTaken(nil, e, e.tables)
		if len(e.tables) == 0 { // then it gets the network's own
			taken = slices.ContainsFunc(p.mine(e.owner), func(o *modelEndpoint) bool {
				return o.service == s && o.vpc == e.vpc && slices.ContainsFunc(o.tables, func(t string) bool { return !strings.HasPrefix(t, "rt-") })
			})
		}
		if taken {
			return bad400("2039")
		}
		return fine
	}
	net := detachedNet
	e.vpc, e.subnet = detachedVPC, detachedSubnet
	if p.chance(3) && len(only(p.endpoints, func(o *modelEndpoint) bool { return o.attached })) < maxAttached {
		e.vpc, e.subnet, e.attached, net = consumerVPC, consumerSubnet, len(s.ports) > 0, p.world.Net
	}
	in["vpc_id"], in["subnet_id"] = e.vpc, e.subnet
	if p.chance(20) {
		e.filter, e.sources = p.chance(50), drawSome(p, drawnSources)
		in["enable_whitelist"], in["whitelist"] = e.filter, e.sources
	}
	if !policy() {
		return bad400("2048")
	}
	if p.chance(3) {
		in["routetables"] = drawnTables
		return bad400("1019")
	}
	if p.chance(15) {
		a := net.Masked().Addr().As4()
		a[3] = byte(2 + p.IntN(253))
		if p.chance(5) {
			a[2]++ // outside
		}
		e.address = netip.AddrFrom4(a)
		in["port_ip"] = e.address.String()
		switch {
		case !net.Contains(e.address):
			return bad400("2043")
		case p.addressTaken(e.subnet, e.address):
			return bad400("2042")
		}
		return fine
	}
	var free bool
	if e.address, free = p.free(e.subnet, net); !free {
		return bad400("2016")
	}
	return fine
}

// settle waits until an endpoint is what the model says; steps that follow by
// themselves take no time of the model's clock.
func (p *property) settle(e *modelEndpoint) {
	want := p.showEndpoint(e)
	until(p.t, "endpoint "+e.id+" is "+e.status, func() bool {
		var got hwEndpoint
		p.get(e.owner, "vpc-endpoints/"+e.id, &got)
		if got.Status == "creating" {
			return false
		}
		p.same("the endpoint", got, want)
		return true
	})
}

// endpoint draws an endpoint and who asks for it.
func (p *property) endpoint() (e *modelEndpoint, actor int, want outcome) {
	if e = anyOf(p, p.endpoints); e == nil {
		e = &modelEndpoint{owner: actors, id: missing, service: p.public[0]}
	}
	actor = p.actorOf(e.owner % actors)
	if actor != e.owner {
		return e, actor, noSuchE
	}
	return e, actor, fine
}

func (e *modelEndpoint) path(more string) string { return "vpc-endpoints/" + e.id + more }

func (p *property) decide() {
	e, _, _ := p.endpoint()
	s := e.service
	if p.chance(4) { // of another service
		if other := anyOf(p, p.services); other != nil {
			s = other
		}
	}
	actor, want := p.actorOf(s.owner), fine
	switch {
	case actor != s.owner || s.deleted:
		want = noSuch
	case s != e.service || e.id == missing:
		want = bad400("2013")
	}
	action, to := "receive", "accepted"
	if p.chance(45) {
		action, to = "reject", "rejected"
	}
	var got struct {
		Connections []hwConnection `json:"connections"`
	}
	if p.send(actor, http.MethodPost, s.path("/connections/action"), decision(action, e.id), want, &got) {
		if e.status != to {
			e.status, e.updated = to, p.now()
		}
		e.opened = e.opened || to == "accepted"
		if len(got.Connections) == 1 && got.Connections[0].Status == "creating" && to == "accepted" {
			p.settle(e) // the machine was slow to open it
			return
		}
		p.same("the answer", got.Connections, []hwConnection{p.showConnection(e)})
	}
}

func (p *property) note() {
	s, actor, want := p.service()
	chosen := drawSome(p, p.connections(s))
	notes := []map[string]any{}
	texts := map[*modelEndpoint]string{}
	for _, e := range chosen {
		texts[e] = one(p, drawnTexts)
		notes = append(notes, map[string]any{"id": e.id, "description": texts[e]})
	}
	switch {
	case p.chance(5):
		notes = append(notes, map[string]any{"id": missing, "description": ""})
		if want == fine {
			want = bad400("2013")
		}
	case len(notes) == 0:
		want = bad400("2002")
	}
	var got struct {
		Connections []hwConnection `json:"connections"`
	}
	if p.send(actor, http.MethodPut, s.path("/connections/description"), map[string]any{"connections": notes}, want, &got) {
		shown := []hwConnection{}
		for _, e := range chosen {
			if e.note != texts[e] {
				e.note, e.updated = texts[e], p.now()
			}
			shown = append(shown, p.showConnection(e))
		}
		p.same("the answer", got.Connections, shown)
	}
}

// change sends a change of an endpoint and takes over what next has.
func (p *property) change(e *modelEndpoint, actor int, more string, in any, want outcome, next modelEndpoint, changed bool) {
	var got hwEndpoint
	if p.send(actor, http.MethodPut, e.path(more), in, want, &got) {
		if changed {
			next.updated = p.now()
		}
		*e = next
		p.same("the changed endpoint", got, p.showEndpoint(e))
	}
}

func (p *property) filter() {
	e, actor, want := p.endpoint()
	next := *e
	in := map[string]any{}
	if p.chance(60) {
		next.filter = p.chance(50)
		in["enable_whitelist"] = next.filter
	}
	if p.chance(60) {
		next.sources = drawSome(p, drawnSources)
		in["whitelist"] = next.sources
	}
	if want == fine && e.service.gateway() && len(in) > 0 {
		want = bad400("2044")
	}
	p.change(e, actor, "", in, want, next, next.filter != e.filter || !slices.Equal(next.sources, e.sources))
}

func (p *property) upgradeEndpoint() {
	e, actor, want := p.endpoint()
	if want == fine {
		want = outcome{status: 202}
	}
	if p.send(actor, http.MethodPost, e.path("/upgrade"), map[string]any{"action": "start"}, want, nil) && !e.pro {
		e.pro, e.updated = true, p.now()
	}
}

func (p *property) policy() {
	e, actor, want := p.endpoint()
	next := *e
	statement := any([]any{map[string]any{
		"Effect": one(p, []string{"Allow", "Deny"}), "Action": []any{"obs:*:*"}, "Resource": []any{"obs:*:*:*:*/*"},
	}})
	document := any(map[string]any{"Version": "5.0", "Statement": strconv.Itoa(p.IntN(3))})
	remove, both := p.chance(25), p.chance(30)
	in := map[string]any{}
	switch {
	case remove:
		next.statement, next.document = nil, nil
	case both:
		next.statement, next.document = statement, document
		in["policy_statement"], in["policy_document"] = statement, document
	case p.chance(50):
		next.statement = statement
		in["policy_statement"] = statement
	default:
		next.document = document
		in["policy_document"] = document
	}
	if want == fine {
		switch {
		case !e.service.policy:
			want = bad400("2048")
		case remove && e.statement == nil && e.document == nil:
			want = bad400("2049")
		}
	}
	changed := fmt.Sprint(next.statement, next.document) != fmt.Sprint(e.statement, e.document)
	if !remove {
		p.change(e, actor, "/policy", in, want, next, changed)
		return
	}
	var got hwEndpoint
	if p.send(actor, http.MethodDelete, e.path("/policy"), nil, want, &got) {
		next.updated = p.now()
		*e = next
		p.same("the endpoint without a policy", got, p.showEndpoint(e))
	}
}

func (p *property) routeTables() {
	e, actor, want := p.endpoint()
	tables := drawSome(p, drawnTables)
	if want == fine {
		switch {
		case !e.service.gateway():
			want = bad400("1019")
		case len(tables) == 0:
			want = bad400("2040")
		case p.tableTaken(e, e, tables):
			want = bad400("2039")
		}
	}
	var got struct {
		Tables []string `json:"routetables"`
	}
	if p.send(actor, http.MethodPut, e.path("/routetables"), map[string]any{"routetables": tables}, want, &got) {
		if !slices.Equal(tables, e.tables) {
			e.tables, e.updated = tables, p.now()
		}
		p.same("the route tables", got.Tables, tables)
	}
}

// tag changes the tags of a service or of an endpoint.
func (p *property) tag() {
	action := one(p, []string{"create", "create", "create", "delete"})
	change := []map[string]string{}
	for _, t := range p.drawTags(12) {
		c := map[string]string{"key": t.Key}
		if action == "create" || p.chance(50) {
			c["value"] = t.Value
		}
		change = append(change, c)
	}
	in := map[string]any{"action": action, "tags": change}
	apply := func(actor int, path string, want outcome, have *[]tfTag, touch func()) {
		next := retag(*have, action, change)
		switch {
		case len(change) == 0:
			want = bad400("3066")
		case want == fine && len(next) > 20:
			want = bad400("3069")
		case want == fine:
			want = empty
		}
		if p.send(actor, http.MethodPost, path, in, want, nil) && !slices.Equal(next, *have) {
			*have = next
			touch()
		}
	}
	if p.chance(50) {
		s, actor, want := p.service()
		apply(actor, "endpoint_service/"+s.id+"/tags/action", want, &s.tags, func() { s.updated = p.now() })
		return
	}
	e, actor, want := p.endpoint()
	apply(actor, "endpoint/"+e.id+"/tags/action", want, &e.tags, func() { e.updated = p.now() })
}

func (p *property) deleteEndpoint() {
	e, actor, want := p.endpoint()
	if want == fine {
		want = empty
	}
	if !p.send(actor, http.MethodDelete, e.path(""), nil, want, nil) {
		return
	}
	if e.attached {
		c := p.callers[actor]
		until(p.t, "the endpoint is gone", func() bool { return c.gone(e.id) })
	}
	p.endpoints = slices.DeleteFunc(p.endpoints, func(o *modelEndpoint) bool { return o == e })
	p.forget()
}

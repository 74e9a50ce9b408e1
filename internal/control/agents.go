package control

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Agents is the control plane as the agents see it.
type Agents struct{ p *Plane }

var _ agentapi.Server = Agents{}

// Agents returns the side of the plane that agents speak to.
func (p *Plane) Agents() Agents { return Agents{p} }

// Changes returns the specs that changed since the revision; with 0, all that
// an agent has to know to start from nothing.
func (a Agents) Changes(ctx context.Context, _ string, since int64) (agentapi.Delta, error) {
	for {
		v, err := a.p.store.View(ctx)
		if err != nil {
			return agentapi.Delta{}, err
		}
		d := agentapi.Delta{Rev: int64(v.Revision()), Full: since == 0}
		d.Specs = a.p.specsSince(v, sallyport.Revision(since))
		if d.Full || len(d.Specs) > 0 {
			return d, nil
		}
		// What changed does not concern agents: go on behind it.
		since = max(since, d.Rev)
		if err := a.p.store.Wait(ctx, v.Revision()); err != nil {
			return agentapi.Delta{}, err
		}
	}
}

// specsSince returns the specs of all endpoints that an agent has to act on
// because of a change beyond since.
func (p *Plane) specsSince(v sallyport.View, since sallyport.Revision) []agentapi.Spec {
	nets := p.networks.Load()
	seen := map[sallyport.EndpointID]bool{}
	var out []agentapi.Spec
	take := func(e *sallyport.Endpoint) {
		if seen[e.ID] || !p.concernsAgents(e) {
			return
		}
		seen[e.ID] = true
		s, _ := v.Service(e.ServiceID)
		out = append(out, p.spec(v, nets, e, s))
	}
	v.ChangesSince(since, func(c sallyport.Change) bool {
		switch {
		case c.Endpoint != nil && c.Endpoint.SpecRev > since:
			take(c.Endpoint)
		case c.Service != nil && since > 0 && c.Service.SpecRev > since:
			eachAdmitted(v, c.Service.ID, take)
		}
		return true
	})
	return out
}

// concernsAgents reports whether agents have to know of the endpoint: all but
// what nobody carries. Where the configuration has taken the network from them
// since, the spec fails there, and what stood is cut.
func (p *Plane) concernsAgents(e *sallyport.Endpoint) bool {
	switch {
	case p.opt.Agentless, e.Status == sallyport.StatusPending, !e.Address.IsValid():
		return false
	case e.Status.Admitted():
		return !e.Unattached
	}
	return true
}

// eachAdmitted calls f for every endpoint of the service that shall be open.
func eachAdmitted(v sallyport.View, id sallyport.ServiceID, f func(*sallyport.Endpoint)) {
	eachEndpoint(v, id, sallyport.StatusCreating, f)
	eachEndpoint(v, id, sallyport.StatusAccepted, f)
}

// eachEndpoint calls f for every endpoint of the service in the status; f must
// not change what it walks.
func eachEndpoint(v sallyport.View, id sallyport.ServiceID, st sallyport.Status, f func(*sallyport.Endpoint)) {
	q := sallyport.EndpointQuery{ServiceID: id, Status: st, Page: sallyport.Page{Limit: sallyport.MaxPage}}
	for {
		page, _ := v.Endpoints(q)
		for _, e := range page {
			f(e)
		}
		if len(page) < q.Limit {
			return
		}
		q.Offset += len(page)
	}
}

// specRev is the revision of an endpoint's spec: that of the last change, of
// itself or of its service, that the data plane must act on.
func specRev(e *sallyport.Endpoint, s *sallyport.Service) sallyport.Revision {
	if s != nil && e.Status.Admitted() {
		return max(e.SpecRev, s.SpecRev)
	}
	return e.SpecRev
}

// spec returns what an agent shall do about an endpoint; s is nil where its
// service is gone.
func (p *Plane) spec(v sallyport.View, nets *Networks, e *sallyport.Endpoint, s *sallyport.Service) agentapi.Spec {
	sp := agentapi.Spec{
		Endpoint: string(e.ID), Rev: int64(specRev(e, s)), Open: e.Status.Admitted() && s != nil,
		Attach: nets.attach(e.VPCID), Address: e.Address, Marker: int32(e.Marker), Tolerant: e.Outside,
	}
	if !sp.Open {
		return sp
	}
	sp.Admitted, sp.Engine, sp.Limits = int64(e.AdmitRev), p.opt.Engine, p.opt.Limits
	sp.Proxy = s.TCPProxy.SendsHeader()
	if s.TCPProxy == sallyport.ProxyVNI {
		sp.Network = string(e.VPCID)
	}
	if e.EnableDNS && s.Kind == sallyport.KindInterface {
		sp.Names = []string{sallyport.DNSName(e.ID, s.Region, p.opt.DNSSuffix)}
	}
	sp.Filter = e.EnableWhitelist
	for _, w := range e.Whitelist {
		if prefix, err := parseSource(w); err == nil {
			sp.AllowFrom = append(sp.AllowFrom, prefix)
		}
	}
	if b, ok := backendOf(v, nets, s); ok {
		sp.Backend, sp.Backends, sp.Balance, sp.Check = nets.attach(b.VPC), b.Addresses, b.Balance, b.Check
		if sp.Proxy {
			sp.TLVs = b.TLVs
		}
	}
	for _, m := range s.Ports {
		sp.Mappings = append(sp.Mappings, agentapi.Mapping{Protocol: agentapi.Protocol(m.Protocol), Client: m.Client, Server: m.Server})
	}
	return sp
}

// backendOf returns what a service forwards to: the addresses of its instance,
// or those that the configuration gives to its port id.
func backendOf(v sallyport.View, nets *Networks, s *sallyport.Service) (Backend, bool) {
	if s.ManagedBy == "" {
		b, ok := nets.Backends[s.PortID]
		return b, ok
	}
	i, ok := v.Instance(s.ManagedBy)
	if !ok {
		return Backend{}, false
	}
	return Backend{VPC: i.VPCID, Addresses: i.Addresses}, true
}

// parseSource reads a whitelist entry, an address or a prefix; the edge has
// refused anything else.
func parseSource(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Report takes the results of an agent: it confirms, fails and removes
// endpoints, and then wakes those who wait.
func (a Agents) Report(ctx context.Context, agent string, results []agentapi.Report) error {
	p := a.p
	v, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	var steps []agentapi.Report
	for _, r := range results {
		if p.needsStep(v, r) {
			steps = append(steps, r)
		}
	}
	if len(steps) > 0 {
		err := p.store.Update(ctx, func(tx sallyport.Tx) error {
			for _, r := range steps {
				p.takeReport(tx, agent, r)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("store reports: %w", err)
		}
	}
	now := p.now()
	for _, r := range results {
		id := sallyport.EndpointID(r.Endpoint)
		e, ok := v.Endpoint(id)
		if ok && p.provesCut(e, r) {
			p.noteCut(ctx, agent, e, r)
		}
		removed := ok && closes(r) && e.Status == sallyport.StatusDeleting &&
			sallyport.Revision(r.Rev) >= e.SpecRev // an older close proves nothing about this one
		if !ok || removed {
			p.forget(id)
			continue
		}
		p.acks.note(id, ackOf(agent, r, now))
	}
	return nil
}

// closes reports whether a result is the end of what an endpoint carried. A gated
// one is not yet: nothing passes, but flows are still held, and the address with
// them.
func closes(r agentapi.Report) bool { return r.State == agentapi.StateClosed && !r.Gated }

// provesCut reports whether a result is the proof of a reject: a cut, not the
// silence of an agent that has just started. A gated result confirms the reject
// and owes its proof, which the final one of the revision brings, whatever has
// been decided since.
func (p *Plane) provesCut(e *sallyport.Endpoint, r agentapi.Report) bool {
	if r.State != agentapi.StateClosed {
		return false
	}
	rev := sallyport.Revision(r.Rev)
	have, known := p.acks.latest(e.ID)
	news := e.Status == sallyport.StatusRejected && have.rev < rev
	if r.Gated {
		if news {
			p.acks.owe(e.ID, rev)
		}
		return false
	}
	return p.acks.settle(e.ID, rev) || news && known
}

// noteCut stores the proof of a reject.
func (p *Plane) noteCut(ctx context.Context, agent string, e *sallyport.Endpoint, r agentapi.Report) {
	rec := p.reportRecord(agent, e, r)
	rec.Action, rec.Outcome = "cut", sallyport.OutcomeUnchanged
	// It is stored after the decision it proves, perhaps after further ones: it
	// names the revision, and no status, so that the log can be replayed.
	rec.From, rec.To = "", ""
	p.noteLater(ctx, rec)
}

// needsStep reports whether a result changes an endpoint.
func (p *Plane) needsStep(v sallyport.View, r agentapi.Report) bool {
	e, ok := v.Endpoint(sallyport.EndpointID(r.Endpoint))
	if !ok {
		return false
	}
	s, _ := v.Service(e.ServiceID)
	if sallyport.Revision(r.Rev) < specRev(e, s) {
		return false // about a spec that is no longer wanted
	}
	switch r.State {
	case agentapi.StateOpen:
		return e.Status == sallyport.StatusCreating
	case agentapi.StateUnattached:
		return e.Status.Admitted() && !e.Unattached
	case agentapi.StateFailed:
		return e.Status.Admitted()
	default:
		// While flows are still held, the address must not go to another endpoint.
		return closes(r) && e.Status == sallyport.StatusDeleting
	}
}

// takeReport carries out one result inside a transaction.
func (p *Plane) takeReport(tx sallyport.Tx, agent string, r agentapi.Report) {
	e, ok := tx.Endpoint(sallyport.EndpointID(r.Endpoint))
	if !ok {
		return
	}
	s, _ := tx.Service(e.ServiceID)
	if sallyport.Revision(r.Rev) < specRev(e, s) {
		return // decided otherwise in the meantime
	}
	rec := p.reportRecord(agent, e, r)
	action := sallyport.ActionConfirm
	if r.State == agentapi.StateClosed {
		p.takeClosed(tx, e, rec)
		return
	}
	if r.State == agentapi.StateFailed {
		action = sallyport.ActionFail
	}
	if r.State == agentapi.StateUnattached && e.Status == sallyport.StatusAccepted {
		p.detach(tx, e, rec)
		return
	}
	next, changed, err := e.Apply(action, rec.At)
	if err != nil || !changed {
		return
	}
	next.Unattached = r.State == agentapi.StateUnattached
	if action == sallyport.ActionFail {
		next.Fault = &sallyport.Fault{Reason: "open_failed", Message: r.Message}
	}
	rec.Action, rec.To = action.String(), next.Status.String()
	next.Rev = tx.Record(rec)
	if action == sallyport.ActionFail {
		next.SpecRev = next.Rev // what is left of it shall be closed
	}
	tx.PutEndpoint(&next)
}

// detach marks an accepted endpoint as carried by nobody any more.
func (*Plane) detach(tx sallyport.Tx, e *sallyport.Endpoint, rec sallyport.Record) {
	rec.Action = "detach"
	next := *e
	next.Unattached, next.Rev = true, tx.Record(rec)
	tx.PutEndpoint(&next)
}

// reportRecord starts the record of what an agent reported about an endpoint.
func (p *Plane) reportRecord(agent string, e *sallyport.Endpoint, r agentapi.Report) sallyport.Record {
	rec := p.record(systemCall("agent", agent), endpointTarget(e.ID, e.ServiceID, ""), sallyport.OutcomeDone)
	rec.From, rec.To = e.Status.String(), e.Status.String()
	rec.Detail = fmt.Sprintf("state=%s rev=%d flows=%d", r.State, r.Rev, r.Flows)
	return rec
}

// takeClosed removes what was only waiting for the data plane to close.
func (p *Plane) takeClosed(tx sallyport.Tx, e *sallyport.Endpoint, rec sallyport.Record) {
	if e.Status != sallyport.StatusDeleting {
		return
	}
	rec.Action, rec.To = "remove", "deleted"
	tx.Record(rec)
	removeEndpoint(tx, e)
}

// systemCall is the caller of what the product does by itself.
func systemCall(family, name string) sallyport.Call {
	return sallyport.Call{
		Family:    family,
		Principal: sallyport.Principal{UserName: name, Method: sallyport.MethodSystem},
	}
}

// awaitService waits until the admitted endpoints of a service are confirmed at
// its spec, as far as the wait goes.
func (p *Plane) awaitService(ctx context.Context, s *sallyport.Service) {
	v, err := p.store.View(ctx)
	if err != nil {
		return
	}
	var waits []*wait
	eachAdmitted(v, s.ID, func(e *sallyport.Endpoint) {
		if !e.Unattached {
			waits = append(waits, p.acks.expect(e.ID, s.SpecRev))
		}
	})
	if len(waits) > 0 {
		_, _ = p.await(ctx, waits...)
	}
}

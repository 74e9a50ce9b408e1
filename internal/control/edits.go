package control

import (
	"context"
	"slices"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// UpdateEndpoint changes the source whitelist, the route tables, the policies or
// the edition of one of the caller's endpoints. A changed whitelist reaches the
// data plane before the call returns; not confirmed within the wait, it is kept
// and ReasonUnconfirmed returned. Flows that are under way are not touched.
func (p *Plane) UpdateEndpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID, ch sallyport.EndpointChange) (sallyport.EndpointView, error) {
	var (
		out  sallyport.EndpointView
		wait []*wait
	)
	err := p.mutate(ctx, c, endpointTarget(id, "", "update"), func(tx sallyport.Tx) error {
		wait = wait[:0]
		e, err := ownEndpoint(tx, c, id)
		if err != nil {
			return err
		}
		s, _ := tx.Service(e.ServiceID)
		if err := changeable(e); err != nil {
			return err
		}
		next := *e
		if err := p.edit(tx, &next, s, ch); err != nil {
			return err
		}
		spec := next.EnableWhitelist != e.EnableWhitelist || !slices.Equal(next.Whitelist, e.Whitelist)
		changed := spec || !slices.Equal(next.RouteTables, e.RouteTables) || next.PolicyStatement != e.PolicyStatement ||
			next.PolicyDocument != e.PolicyDocument || next.Professional != e.Professional
		rec := p.record(c, endpointTarget(id, e.ServiceID, "update"), outcome(changed))
		rec.From, rec.To = e.Status.String(), e.Status.String()
		rev := tx.Record(rec)
		if changed {
			next.UpdatedAt, next.Rev = rec.At, rev
			if spec {
				next.SpecRev = rev
			}
			tx.PutEndpoint(&next)
		}
		// Also where nothing changed: a repeated call waits again.
		if filter := ch.Whitelist != nil || ch.EnableWhitelist != nil; filter && next.Status.Admitted() && !next.Unattached {
			wait = append(wait, p.acks.expect(id, next.SpecRev))
		}
		out = sallyport.EndpointView{Endpoint: &next, Service: s}
		return nil
	})
	if err != nil || len(wait) == 0 {
		return out, err
	}
	confirmed, err := p.await(ctx, wait...)
	if err == nil && !confirmed {
		err = p.unconfirmed()
	}
	return out, err
}

// changeable refuses changes of an endpoint that is on its way out or failed
// (VPCEP API reference, error codes 2018 and 2047).
func changeable(e *sallyport.Endpoint) error {
	if e.Status == sallyport.StatusDeleting {
		return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonDeleting, "endpoint %s is being deleted", e.ID)
	}
	if e.Status == sallyport.StatusFailed {
		return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonFailed, "endpoint %s is failed", e.ID)
	}
	return nil
}

func (p *Plane) edit(tx sallyport.Tx, e *sallyport.Endpoint, s *sallyport.Service, ch sallyport.EndpointChange) error {
	gateway := s != nil && s.Kind == sallyport.KindGateway
	if ch.Whitelist != nil || ch.EnableWhitelist != nil {
		if gateway {
			return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonWhitelistKind,
				"source whitelists belong to interface endpoints")
		}
		set(&e.Whitelist, ch.Whitelist)
		set(&e.EnableWhitelist, ch.EnableWhitelist)
	}
	if ch.RouteTables != nil {
		if !gateway {
			return routeTableKind()
		}
		if len(*ch.RouteTables) == 0 {
			return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonRouteTableNone,
				"at least one route table stays bound")
		}
		if err := freeRouteTables(tx, e, *ch.RouteTables); err != nil {
			return err
		}
		e.RouteTables = *ch.RouteTables
	}
	set(&e.Professional, ch.Professional)
	return editPolicy(e, s, ch)
}

func routeTableKind() error {
	return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonRouteTableKind,
		"route tables belong to gateway endpoints")
}

func editPolicy(e *sallyport.Endpoint, s *sallyport.Service, ch sallyport.EndpointChange) error {
	if ch.PolicyStatement == nil && ch.PolicyDocument == nil {
		return nil
	}
	if s == nil || !s.Policy {
		return sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonPolicyDisabled, "the service has no policies")
	}
	removes := (ch.PolicyStatement == nil || *ch.PolicyStatement == "") && (ch.PolicyDocument == nil || *ch.PolicyDocument == "")
	if removes && e.PolicyStatement == "" && e.PolicyDocument == "" {
		return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonNoPolicy, "the endpoint has no policy")
	}
	set(&e.PolicyStatement, ch.PolicyStatement)
	set(&e.PolicyDocument, ch.PolicyDocument)
	return nil
}

// freeRouteTables refuses route tables that another endpoint of the project has
// to the same service.
func freeRouteTables(v sallyport.View, e *sallyport.Endpoint, tables []string) error {
	var taken error
	q := sallyport.EndpointQuery{ProjectID: e.ProjectID, VPCID: e.VPCID, Page: sallyport.Page{Limit: sallyport.MaxPage}}
	for taken == nil {
		page, _ := v.Endpoints(q)
		for _, o := range page {
			if o.ID == e.ID || o.ServiceID != e.ServiceID {
				continue
			}
			if i := slices.IndexFunc(tables, func(t string) bool { return slices.Contains(o.RouteTables, t) }); i >= 0 {
				taken = sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonRouteTableUsed,
					"route table %s is used by another endpoint", tables[i])
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.Offset += len(page)
	}
	return taken
}

// ChangeTags removes and then adds tags of a service or an endpoint of the
// caller. A filter without values removes its key, one with values only those
// pairs; adding a key that is there replaces its value.
func (p *Plane) ChangeTags(ctx context.Context, c sallyport.Call, r sallyport.Resource, add []sallyport.Tag, remove []sallyport.TagFilter) error {
	t := target{kind: r.Kind, id: r.ID, action: "tag"}
	return p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		var (
			have []sallyport.Tag
			put  func(tags []sallyport.Tag, rec sallyport.Record, rev sallyport.Revision)
		)
		if r.Kind == sallyport.ObjectService {
			s, err := owned(tx, c, sallyport.ServiceID(r.ID))
			if err != nil {
				return err
			}
			t.service, have = s.ID, s.Tags
			put = func(tags []sallyport.Tag, rec sallyport.Record, rev sallyport.Revision) {
				next := *s
				next.Tags, next.UpdatedAt, next.Rev = tags, rec.At, rev
				tx.PutService(&next)
			}
		} else {
			e, err := ownEndpoint(tx, c, sallyport.EndpointID(r.ID))
			if err != nil {
				return err
			}
			t.service, have = e.ServiceID, e.Tags
			put = func(tags []sallyport.Tag, rec sallyport.Record, rev sallyport.Revision) {
				next := *e
				next.Tags, next.UpdatedAt, next.Rev = tags, rec.At, rev
				tx.PutEndpoint(&next)
			}
		}
		tags := changeTags(have, add, remove)
		if len(tags) > sallyport.MaxTags {
			return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonTagsFull,
				"a resource has at most %d tags", sallyport.MaxTags)
		}
		changed := !slices.Equal(have, tags)
		rec := p.record(c, t, outcome(changed))
		if rev := tx.Record(rec); changed {
			put(tags, rec, rev)
		}
		return nil
	})
}

// changeTags returns have after the change, in the order in which keys came.
func changeTags(have, add []sallyport.Tag, remove []sallyport.TagFilter) []sallyport.Tag {
	tags := slices.DeleteFunc(slices.Clone(have), func(t sallyport.Tag) bool {
		return slices.ContainsFunc(remove, func(f sallyport.TagFilter) bool {
			return f.Key == t.Key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
		})
	})
	for _, t := range add {
		i := slices.IndexFunc(tags, func(h sallyport.Tag) bool { return h.Key == t.Key })
		if i < 0 {
			tags = append(tags, t)
			continue
		}
		tags[i] = t
	}
	return tags
}

// TagKeys returns the tags of all the caller's services, or of all its
// endpoints.
func (p *Plane) TagKeys(ctx context.Context, c sallyport.Call, kind sallyport.ObjectKind) ([]sallyport.TagKey, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, err
	}
	return v.TagKeys(c.Project, kind), nil
}

// Tagged returns one page of a search by tags among the caller's services or
// endpoints, and the number of all hits.
func (p *Plane) Tagged(ctx context.Context, c sallyport.Call, q sallyport.TagQuery) ([]sallyport.TaggedResource, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	q.ProjectID = c.Project
	page, total := v.Tagged(q)
	return page, total, nil
}

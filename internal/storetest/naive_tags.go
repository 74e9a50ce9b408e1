package storetest

import (
	"maps"
	"slices"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Permission returns one record of a service's whitelist.
func (n *Naive) Permission(s sallyport.ServiceID, id sallyport.PermissionID) (*sallyport.Permission, bool) {
	p, ok := n.permissions[permissionKey{s, id}]
	return p, ok
}

// tagged is a service or an endpoint in a search by tags.
type tagged struct {
	key
	name string
	tags []sallyport.Tag
}

func (n *Naive) taggedOf(p sallyport.ProjectID, kind sallyport.ObjectKind) []tagged {
	var all []tagged
	if kind == sallyport.ObjectEndpoint {
		for _, e := range n.endpoints {
			if e.ProjectID == p {
				all = append(all, tagged{key{e.CreatedAt, e.UpdatedAt, string(e.ID)}, string(e.ID), e.Tags})
			}
		}
		return all
	}
	for _, s := range n.services {
		if s.ProjectID == p && s.SystemName == "" && s.Status != sallyport.ServiceDeleted {
			all = append(all, tagged{key{s.CreatedAt, s.UpdatedAt, string(s.ID)}, s.FullName(), s.Tags})
		}
	}
	return all
}

// Tagged returns one page of the resources that match.
func (n *Naive) Tagged(q sallyport.TagQuery) ([]sallyport.TaggedResource, int) {
	var hits []*tagged
	for _, r := range n.taggedOf(q.ProjectID, q.Kind) {
		if (q.ID == "" || r.id == q.ID) && containsFold(r.name, q.Name) && holds(&q, r.tags) {
			hits = append(hits, &r)
		}
	}
	list, total := page(hits, q.Page, func(r *tagged) key { return r.key })
	var out []sallyport.TaggedResource
	for _, r := range list {
		out = append(out, sallyport.TaggedResource{ID: r.id, Name: r.name, Tags: r.tags})
	}
	return out, total
}

func holds(q *sallyport.TagQuery, tags []sallyport.Tag) bool {
	if q.Untagged {
		return len(tags) == 0
	}
	count := func(fs []sallyport.TagFilter) int {
		n := 0
		for _, f := range fs {
			if slices.ContainsFunc(tags, func(t sallyport.Tag) bool {
				return t.Key == f.Key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
			}) {
				n++
			}
		}
		return n
	}
	return count(q.All) == len(q.All) && (len(q.Any) == 0 || count(q.Any) > 0) &&
		(len(q.NotAll) == 0 || count(q.NotAll) < len(q.NotAll)) && count(q.NotAny) == 0
}

// TagKeys returns the keys and values of all resources of the kind.
func (n *Naive) TagKeys(p sallyport.ProjectID, kind sallyport.ObjectKind) []sallyport.TagKey {
	values := map[string]map[string]bool{}
	for _, r := range n.taggedOf(p, kind) {
		for _, t := range r.tags {
			if values[t.Key] == nil {
				values[t.Key] = map[string]bool{}
			}
			values[t.Key][t.Value] = true
		}
	}
	var out []sallyport.TagKey
	for _, k := range slices.Sorted(maps.Keys(values)) {
		out = append(out, sallyport.TagKey{Key: k, Values: slices.Sorted(maps.Keys(values[k]))})
	}
	return out
}

// hasLabels reports whether a service has the labels that q asks for.
func hasLabels(s *sallyport.Service, serverType, netType, border string) bool {
	eq := func(want, have string) bool { return want == "" || want == have }
	return eq(serverType, s.ServerType) && eq(netType, s.NetType()) && eq(border, s.BorderGroup)
}

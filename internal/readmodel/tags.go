package readmodel

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// tagEntry is the list of a project's resources that have one tag, oldest first.
type tagEntry struct {
	gen       uint64
	kind      sallyport.ObjectKind
	key       string
	value     string
	services  *tree[*sallyport.Service]
	endpoints *tree[*sallyport.Endpoint]
}

func lessTag(a, b *tagEntry) bool {
	if c := cmp.Compare(a.kind, b.kind); c != 0 {
		return c < 0
	}
	if a.key != b.key {
		return a.key < b.key
	}
	return a.value < b.value
}

func (t *tagEntry) serviceTree() **tree[*sallyport.Service] { return &t.services }

func (t *tagEntry) endpointTree() **tree[*sallyport.Endpoint] { return &t.endpoints }

// taggable is a noun that has tags.
type taggable interface {
	sallyport.Service | sallyport.Endpoint
}

func tagsOf[T taggable](v *T) []sallyport.Tag {
	switch n := any(v).(type) {
	case *sallyport.Service:
		return n.Tags
	case *sallyport.Endpoint:
		return n.Tags
	}
	return nil
}

// nameOf is how a search calls a resource: endpoints have no name and are called
// by their id.
func nameOf[T taggable](v *T) (id, name string) {
	switch n := any(v).(type) {
	case *sallyport.Service:
		return string(n.ID), n.FullName()
	case *sallyport.Endpoint:
		return string(n.ID), string(n.ID)
	}
	return "", ""
}

// setTags moves a resource between the lists of its tags.
func setTags[T interface {
	taggable
	item
}](d *Draft, p *projectEntry, kind sallyport.ObjectKind, old, cur *T, list func(*tagEntry) **tree[*T]) {
	if old != nil {
		for _, t := range tagsOf(old) {
			if cur == nil || !slices.Contains(tagsOf(cur), t) {
				e := ownTag(d, p, kind, t)
				if l := list(e); *l != nil {
					(*l).Delete(old)
				}
				if length(e.services)+length(e.endpoints) == 0 {
					p.tags.Delete(e)
				}
			}
		}
	}
	if cur == nil {
		return
	}
	for _, t := range tagsOf(cur) {
		l := list(ownTag(d, p, kind, t))
		if *l == nil {
			*l = newTree(lessCreated[T])
		}
		(*l).Set(cur)
	}
}

// ownTag returns the entry of a tag, one that this draft may change.
func ownTag(d *Draft, p *projectEntry, kind sallyport.ObjectKind, t sallyport.Tag) *tagEntry {
	if p.tags == nil {
		p.tags = newTree(lessTag)
	}
	e, ok := p.tags.Get(&tagEntry{kind: kind, key: t.Key, value: t.Value})
	switch {
	case !ok:
		e = &tagEntry{gen: d.gen, kind: kind, key: t.Key, value: t.Value}
	case e.gen == d.gen:
		return e
	default:
		e = &tagEntry{
			gen: d.gen, kind: kind, key: e.key, value: e.value, services: fork(e.services), endpoints: fork(e.endpoints),
		}
	}
	p.tags.Set(e)
	return e
}

// TagKeys returns the keys and values of all resources of the kind, sorted, in
// O(distinct tags).
func (m *Model) TagKeys(id sallyport.ProjectID, kind sallyport.ObjectKind) []sallyport.TagKey {
	var out []sallyport.TagKey
	p, ok := m.projects.Get(&projectEntry{id: id})
	if !ok || p.tags == nil {
		return nil
	}
	p.tags.Ascend(&tagEntry{kind: kind}, func(e *tagEntry) bool {
		if e.kind != kind {
			return false
		}
		if n := len(out); n == 0 || out[n-1].Key != e.key {
			out = append(out, sallyport.TagKey{Key: e.key})
		}
		last := &out[len(out)-1]
		last.Values = append(last.Values, e.value)
		return true
	})
	return out
}

// Tagged returns one page of a search by tags and the number of all hits. The
// most selective of the keys that all hits must have is looked up; what is
// further asked is checked on its resources one by one.
func (m *Model) Tagged(q sallyport.TagQuery) ([]sallyport.TaggedResource, int) {
	p, ok := m.projects.Get(&projectEntry{id: q.ProjectID})
	if !ok {
		return nil, 0
	}
	if q.Kind == sallyport.ObjectService {
		return tagged(p, &q, &p.services, (*tagEntry).serviceTree)
	}
	return tagged(p, &q, &p.endpoints, (*tagEntry).endpointTree)
}

func tagged[T interface {
	taggable
	item
}](p *projectEntry, q *sallyport.TagQuery, all *order[T], list func(*tagEntry) **tree[*T]) ([]sallyport.TaggedResource, int) {
	trees, rest := candidates(p, q, all, list)
	var (
		hits  []*T
		total int
	)
	if rest == 0 && len(trees) == 1 {
		hits, total = pageTree(trees[0], q.Page), length(trees[0])
	} else {
		q.Name = strings.ToLower(q.Name)
		hits, total = searchTrees(trees, q.Page, func(v *T) bool { return matchTags(q, v) })
	}
	out := make([]sallyport.TaggedResource, len(hits))
	for i, v := range hits {
		id, name := nameOf(v)
		out[i] = sallyport.TaggedResource{ID: id, Name: name, Tags: tagsOf(v)}
	}
	return out, total
}

// candidates returns lists that hold every hit, the shortest there are, and how
// many conditions are left to be checked on their items.
func candidates[T item](p *projectEntry, q *sallyport.TagQuery, all *order[T], list func(*tagEntry) **tree[*T]) (trees []*tree[*T], rest int) {
	rest = len(q.Any) + len(q.NotAll) + len(q.NotAny)
	if q.Untagged {
		rest = 1
	}
	if q.Name != "" {
		rest++
	}
	if q.ID != "" {
		rest++
	}
	if length(all.created) > 0 {
		trees = []*tree[*T]{all.created}
	}
	if q.Untagged || len(q.All) == 0 {
		return trees, rest
	}
	best := -1
	for _, f := range q.All {
		found, n := treesWith(p, q.Kind, f, list)
		if best < 0 || n < best {
			trees, best = found, n
		}
	}
	return trees, rest + len(q.All) - 1
}

// treesWith returns the lists of the tags that a filter names, and how many
// resources they hold; a resource has one value for a key, so it is in one list.
func treesWith[T item](p *projectEntry, kind sallyport.ObjectKind, f sallyport.TagFilter, list func(*tagEntry) **tree[*T]) (trees []*tree[*T], n int) {
	if p.tags == nil {
		return nil, 0
	}
	p.tags.Ascend(&tagEntry{kind: kind, key: f.Key}, func(e *tagEntry) bool {
		if e.kind != kind || e.key != f.Key {
			return false
		}
		if len(f.Values) == 0 || slices.Contains(f.Values, e.value) {
			if t := *list(e); length(t) > 0 {
				trees = append(trees, t)
				n += t.Len()
			}
		}
		return true
	})
	return trees, n
}

func matchTags[T taggable](q *sallyport.TagQuery, v *T) bool {
	id, name := nameOf(v)
	if q.ID != "" && id != q.ID || q.Name != "" && !strings.Contains(strings.ToLower(name), q.Name) {
		return false
	}
	tags := tagsOf(v)
	if q.Untagged {
		return len(tags) == 0
	}
	has := func(f sallyport.TagFilter) bool {
		return slices.ContainsFunc(tags, func(t sallyport.Tag) bool {
			return t.Key == f.Key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
		})
	}
	lacks := func(f sallyport.TagFilter) bool { return !has(f) }
	return !slices.ContainsFunc(q.All, lacks) &&
		(len(q.Any) == 0 || slices.ContainsFunc(q.Any, has)) &&
		(len(q.NotAll) == 0 || slices.ContainsFunc(q.NotAll, lacks)) &&
		!slices.ContainsFunc(q.NotAny, has)
}

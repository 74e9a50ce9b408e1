package readmodel

import (
	"time"

	"github.com/tidwall/btree"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// tree is a counted B-tree. Locks are off: a tree is either owned by the one
// Draft or never changed again.
type tree[T any] = btree.BTreeG[T]

func newTree[T any](less func(a, b T) bool) *tree[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func fork[T any](t *tree[T]) *tree[T] {
	if t == nil {
		return nil
	}
	return t.Copy()
}

func length[T any](t *tree[T]) int {
	if t == nil {
		return 0
	}
	return t.Len()
}

// item is what an order can hold: a noun with an id and two times.
type item interface {
	sallyport.Service | sallyport.Endpoint | sallyport.Permission | sallyport.Instance
}

// keys reads from a noun what lists are ordered by.
func keys[T item](v *T) (created, updated time.Time, id string) {
	switch n := any(v).(type) {
	case *sallyport.Service:
		return n.CreatedAt, n.UpdatedAt, string(n.ID)
	case *sallyport.Endpoint:
		return n.CreatedAt, n.UpdatedAt, string(n.ID)
	case *sallyport.Permission:
		return n.CreatedAt, n.CreatedAt, string(n.ID)
	case *sallyport.Instance:
		return n.CreatedAt, n.UpdatedAt, string(n.ID)
	}
	return time.Time{}, time.Time{}, ""
}

func lessCreated[T item](a, b *T) bool {
	ca, _, ia := keys(a)
	cb, _, ib := keys(b)
	if c := ca.Compare(cb); c != 0 {
		return c < 0
	}
	return ia < ib
}

func lessUpdated[T item](a, b *T) bool {
	_, ua, ia := keys(a)
	_, ub, ib := keys(b)
	if c := ua.Compare(ub); c != 0 {
		return c < 0
	}
	return ia < ib
}

// order is a list in its two sort orders. Its zero value is empty; the trees
// are made when they are first needed, since most lists are short.
type order[T item] struct{ created, updated *tree[*T] }

func (o *order[T]) fork() order[T] {
	return order[T]{created: fork(o.created), updated: fork(o.updated)}
}

func (o *order[T]) len() int { return length(o.created) }

// set replaces old by cur; nil stands for "not in the list".
func (o *order[T]) set(old, cur *T) {
	if o.created == nil {
		if cur == nil {
			return
		}
		o.created, o.updated = newTree(lessCreated[T]), newTree(lessUpdated[T])
	}
	if old != nil {
		created, updated := sameTimes(old, cur)
		if !created {
			o.created.Delete(old)
		}
		if !updated {
			o.updated.Delete(old)
		}
	}
	if cur != nil {
		o.created.Set(cur)
		o.updated.Set(cur)
	}
}

// sameTimes reports in which of the two orders cur takes the place of old by
// itself; in the other one old has to be taken out.
func sameTimes[T item](old, cur *T) (created, updated bool) {
	if cur == nil {
		return false, false
	}
	ca, ua, _ := keys(old)
	cb, ub, _ := keys(cur)
	return ca.Equal(cb), ua.Equal(ub)
}

// sorted returns the list in the order that p asks for, nil where it is empty.
func (o *order[T]) sorted(p sallyport.Page) *tree[*T] {
	if p.Sort == sallyport.SortUpdated {
		return o.updated
	}
	return o.created
}

// page returns the part of the list that p asks for, in O(log n + limit).
func (o *order[T]) page(p sallyport.Page) []*T { return pageTree(o.sorted(p), p) }

// pageTree returns the part of a sorted list that p asks for.
func pageTree[T any](t *tree[*T], p sallyport.Page) []*T {
	n := length(t)
	limit := clampLimit(p.Limit)
	if limit == 0 || p.Offset < 0 || p.Offset >= n {
		return nil
	}
	out := make([]*T, 0, min(limit, n-p.Offset))
	take := func(v *T) bool {
		out = append(out, v)
		return len(out) < limit
	}
	if p.Ascending {
		first, _ := t.GetAt(p.Offset)
		t.Ascend(first, take)
	} else {
		first, _ := t.GetAt(n - 1 - p.Offset)
		t.Descend(first, take)
	}
	return out
}

// search walks the list in the order of p and returns the page of what match
// lets through, with the number of all of it: O(n).
func (o *order[T]) search(p sallyport.Page, match func(*T) bool) ([]*T, int) {
	return searchOf([]*order[T]{o}, p, match)
}

func clampLimit(n int) int { return max(0, min(n, sallyport.MaxPage)) }

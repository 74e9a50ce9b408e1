package readmodel

import (
	"container/heap"

	"github.com/tidwall/btree"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// pageOf returns the part that p asks for of several lists together, which have
// nothing in common, and the number of all of it. One list costs O(log n +
// limit), several O((offset + limit) log k).
func pageOf[T item](lists []*order[T], p sallyport.Page) ([]*T, int) {
	trees := treesOf(lists, p)
	total := 0
	for _, t := range trees {
		total += t.Len()
	}
	if len(trees) <= 1 || p.Offset >= total {
		if len(trees) == 1 {
			return pageTree(trees[0], p), total
		}
		return nil, total
	}
	limit := clampLimit(p.Limit)
	if limit == 0 || p.Offset < 0 {
		return nil, total
	}
	out := make([]*T, 0, min(limit, total-p.Offset))
	seen := 0
	merge(trees, p.Ascending, func(v *T) bool {
		if seen++; seen > p.Offset {
			out = append(out, v)
		}
		return len(out) < limit
	})
	return out, total
}

// searchOf walks several lists together in the order of p and returns the page
// of what match lets through, with the number of all of it.
func searchOf[T item](lists []*order[T], p sallyport.Page, match func(*T) bool) ([]*T, int) {
	return searchTrees(treesOf(lists, p), p, match)
}

func searchTrees[T any](trees []*tree[*T], p sallyport.Page, match func(*T) bool) ([]*T, int) {
	var out []*T
	total, limit := 0, clampLimit(p.Limit)
	merge(trees, p.Ascending, func(v *T) bool {
		if match(v) {
			if total >= p.Offset && len(out) < limit {
				out = append(out, v)
			}
			total++
		}
		return true
	})
	return out, total
}

func treesOf[T item](lists []*order[T], p sallyport.Page) []*tree[*T] {
	var out []*tree[*T]
	for _, l := range lists {
		if t := l.sorted(p); length(t) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// merge calls yield for the items of sorted lists, in their common order, until
// it returns false.
func merge[T any](trees []*tree[*T], ascending bool, yield func(*T) bool) {
	if len(trees) == 1 {
		if ascending {
			trees[0].Scan(yield)
		} else {
			trees[0].Reverse(yield)
		}
		return
	}
	h := cursors[T]{ascending: ascending}
	for _, t := range trees {
		c := cursor[T]{iter: t.Iter(), less: t.Less}
		if c.start(ascending) {
			h.list = append(h.list, &c)
		}
	}
	heap.Init(&h)
	for len(h.list) > 0 {
		c := h.list[0]
		if !yield(c.item) {
			return
		}
		if c.step(ascending) {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
}

// cursor is a place in one list.
type cursor[T any] struct {
	iter btree.IterG[*T]
	less func(a, b *T) bool
	item *T
}

func (c *cursor[T]) start(ascending bool) bool {
	ok := false
	if ascending {
		ok = c.iter.First()
	} else {
		ok = c.iter.Last()
	}
	return c.take(ok)
}

func (c *cursor[T]) step(ascending bool) bool {
	if ascending {
		return c.take(c.iter.Next())
	}
	return c.take(c.iter.Prev())
}

func (c *cursor[T]) take(ok bool) bool {
	if ok {
		c.item = c.iter.Item()
	}
	return ok
}

// cursors is the heap of places, the next item on top.
type cursors[T any] struct {
	list      []*cursor[T]
	ascending bool
}

// Len is part of heap.Interface.
func (h *cursors[T]) Len() int { return len(h.list) }

// Less is part of heap.Interface.
func (h *cursors[T]) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if h.ascending {
		return a.less(a.item, b.item)
	}
	return a.less(b.item, a.item)
}

// Swap is part of heap.Interface.
func (h *cursors[T]) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }

// Push is part of heap.Interface; the number of places never grows.
func (h *cursors[T]) Push(any) { panic("readmodel: a merge gets no further lists") }

// Pop is part of heap.Interface.
func (h *cursors[T]) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}

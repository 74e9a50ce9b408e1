package identity

import (
	"crypto/sha256"
	"sync"
)

// generations is a map of at most limit entries that forgets what has not been used
// for longest, in steps: when the young half is full it becomes the old one, and what
// is used again comes back. Every step is O(1). It does not lock.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]*V
}

func (g *generations[K, V]) get(k K) *V {
	if v := g.young[k]; v != nil {
		return v
	}
	v := g.old[k]
	if v != nil {
		g.put(k, v)
	}
	return v
}

func (g *generations[K, V]) put(k K, v *V) {
	if len(g.young) >= g.limit/2 {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = map[K]*V{}
	}
	g.young[k] = v
}

// textCache remembers what a verified text stands for by the SHA-256 of the text, so
// that a look at its keys shows none that could be used.
type textCache[V any] struct {
	mu sync.Mutex
	g  generations[[sha256.Size]byte, V]
}

func newTextCache[V any]() *textCache[V] {
	return &textCache[V]{g: generations[[sha256.Size]byte, V]{limit: maxCachedTokens}}
}

func (c *textCache[V]) get(sum [sha256.Size]byte) *V {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.g.get(sum)
}

func (c *textCache[V]) put(sum [sha256.Size]byte, v *V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.g.put(sum, v)
}

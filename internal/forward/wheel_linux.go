//go:build !portable

package forward

import (
	"math/bits"
	"time"
)

const (
	// tick is how exact the timers are. Nothing that they decide is felt at a
	// hundredth of a second, and a coarse wheel costs no system call and no search.
	tick = 10 * time.Millisecond
	// wheelSize is the number of ticks of one turn: ten seconds, which is longer than
	// most flows live. A later timer goes round.
	wheelSize = 1024
)

// timer is one entry of a wheel. Its owner embeds it.
type timer struct {
	next, prev *timer
	at         time.Duration // when it is due
	place      int32         // in the wheel, plus one; 0 is not armed
	owner      expirer
}

// expirer is told when its timer is due.
type expirer interface{ expire(l *loop) }

// wheel is the timers of one loop.
type wheel struct {
	turn  int64 // ticks until which everything has fired
	count int
	heads [wheelSize]*timer
	used  [wheelSize / 64]uint64 // a bit for each head that is not nil
}

// set arms the timer for the time, anew if it is armed.
func (w *wheel) set(t *timer, at time.Duration) {
	w.stop(t)
	t.at = at
	due := min(max(int64((at+tick-1)/tick), w.turn+1), w.turn+wheelSize-1)
	place := due % wheelSize
	t.place = int32(place) + 1
	t.prev, t.next = nil, w.heads[place]
	if t.next != nil {
		t.next.prev = t
	}
	w.heads[place] = t
	w.used[place/64] |= 1 << (place % 64)
	w.count++
}

// stop disarms the timer; one that is not armed stays so.
func (w *wheel) stop(t *timer) {
	if t.place == 0 {
		return
	}
	place := t.place - 1
	t.place = 0
	w.count--
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.heads[place] = t.next; t.next == nil {
		w.used[place/64] &^= 1 << (place % 64)
	}
	t.next, t.prev = nil, nil
}

// fire tells the owners of all timers that are due.
func (w *wheel) fire(l *loop) {
	now := int64(l.now / tick)
	if w.count == 0 || now-w.turn > wheelSize {
		// Nothing, or a whole turn, was passed over.
		w.turn = max(w.turn, now-wheelSize)
	}
	if w.count == 0 {
		w.turn = max(w.turn, now)
	}
	for w.turn < now {
		w.turn++
		place := w.turn % wheelSize
		for t := w.heads[place]; t != nil; t = w.heads[place] {
			w.stop(t)
			if t.at > l.now {
				w.set(t, t.at) // it goes round once more
				continue
			}
			t.owner.expire(l)
		}
	}
}

// wait returns how many milliseconds pass until a timer may be due, or -1.
func (w *wheel) wait(now time.Duration) int {
	if w.count == 0 {
		return -1
	}
	from := (w.turn + 1) % wheelSize
	word, shift := from/64, from%64
	found := w.used[word] >> shift
	ahead := int64(bits.TrailingZeros64(found))
	if found == 0 {
		ahead = 64 - shift
		for found == 0 {
			word = (word + 1) % int64(len(w.used))
			if found = w.used[word]; found == 0 {
				ahead += 64
			}
		}
		ahead += int64(bits.TrailingZeros64(found))
	}
	due := time.Duration(w.turn+1+ahead) * tick
	return max(0, int((due-now+time.Millisecond-1)/time.Millisecond))
}

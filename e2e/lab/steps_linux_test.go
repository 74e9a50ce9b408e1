package lab_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const (
	// steps are those of each engine by default: as many as fit a minute and a half
	// with the race detector on two processors.
	steps = 1000
	// everybodyEach is after how many steps all that were not touched are waited for.
	everybodyEach = 20
	// kept is how many of the last steps a failure shows.
	kept = 30
)

// Owners and consumers decide and edit at random, with traffic on every way into
// every endpoint. If this fails, bytes pass after an owner was told that they do
// not, somebody is refused who was told to be welcome, or a decision about one
// consumer hurts another.
//
// A failure prints the seed. To see it again, or to go further:
//
//	SALLYPORT_TEST_SEED=<seed> SALLYPORT_TEST_STEPS=<steps> go test ./e2e/lab -run TestRandomSteps/<engine>
func TestRandomSteps(t *testing.T) {
	for _, engine := range []string{"auto", "user"} {
		t.Run(engine, func(t *testing.T) {
			n := int(numberFrom(t, "SALLYPORT_TEST_STEPS", steps))
			seed := uint64(numberFrom(t, "SALLYPORT_TEST_SEED", time.Now().UnixNano()))
			t.Logf("seed %d, %d steps", seed, n)
			w := &walk{stage: newStage(t, settings{Engine: engine}), r: rand.New(rand.NewPCG(seed, seed))}
			w.checkEngines(engine)
			progress(t, w.open(), 2)
			for w.n = 1; w.n <= n && !t.Failed(); w.n++ {
				w.turn()
			}
			w.finish()
		})
	}
}

// walk is a walk through the decisions.
type walk struct {
	*stage
	r    *rand.Rand
	n    int
	last []string
}

// checkEngines wants the lanes to be carried by the engines that the walk is about.
func (w *walk) checkEngines(engine string) {
	w.t.Helper()
	kernel := 0
	for _, e := range w.endpoints {
		for d := range e.service.to {
			if p := w.server.as(w.t, e.consumer.user).engineOf(e.id, d.protocol, d.port); p.Engine == "kernel" {
				kernel++
			}
		}
	}
	// Of both consumers plain by TCP and UDP and the datagrams of proxied, and A's
	// endpoint of six.
	want := map[string]int{"auto": 8, "user": 0}[engine]
	if kernel != want {
		w.t.Errorf("%d mappings are carried in the kernel, want %d", kernel, want)
	}
}

// turn does one step, waits until everybody else went on after it, and wants
// nothing to have been wrong.
func (w *walk) turn() {
	w.t.Helper()
	e := w.endpoints[w.r.IntN(len(w.endpoints))]
	touched := map[*stageEndpoint]bool{e: true}
	begin := time.Now()
	var what string
	switch n := w.r.IntN(100); {
	case n < 45:
		accept := w.r.IntN(100) < 55
		what = fmt.Sprintf("accept=%t %s", accept, e.name)
		w.decide(e, accept)
	case n < 65:
		to := w.otherPorts(e.service)
		what = fmt.Sprintf("ports of %s: %v", e.service.name, to)
		for _, o := range w.endpoints {
			touched[o] = o.service == e.service
		}
		w.edit(e.service, to)
	case n < 85:
		list := w.r.IntN(whitelists)
		if e.place.PortIP == "" {
			list = everybody // whitelists are of IPv4
		}
		what = fmt.Sprintf("whitelist %d of %s", list, e.name)
		w.allow(e, list)
	default:
		what = "new " + e.name
		w.remove(e)
		e.id = e.consumer.create(e.place)
	}
	if len(w.last) == kept {
		w.last = w.last[1:]
	}
	w.last = append(w.last, fmt.Sprintf("%d %s-%s %s", w.n, begin.Format("15:04:05.000000"), time.Now().Format("05.000000"), what))
	others := w.lanes(func(o *stageEndpoint, l stageLane) bool { return !touched[o] && o.right(l).admit && l.flowing.Load() })
	if w.n%everybodyEach != 0 && len(others) > 0 {
		n := w.r.IntN(len(others))
		others = others[n : n+1] // the rest has to go on too, which they note themselves
	}
	progress(w.t, others, 1)
	w.check()
}

// otherPorts changes one door of a service at random; one always stays.
func (w *walk) otherPorts(s *stageService) map[door]int {
	to := maps.Clone(s.to)
	d := doors[w.r.IntN(len(doors))]
	_, there := to[d]
	switch {
	case d == extraDoor:
		switch n := w.r.IntN(3); n {
		case 0:
			delete(to, d)
		default:
			to[d] = s.base + n
		}
	case there:
		delete(to, d)
	default:
		to[d] = s.base
	}
	if len(to) == 0 {
		to[mainDoor] = s.base
	}
	return to
}

// check ends the walk where the traffic noted something.
func (w *walk) check() {
	w.t.Helper()
	list := w.book.wrongs()
	if len(list) == 0 {
		return
	}
	pause(w.t.Context(), moment) // for what follows from it
	list = append(list, w.book.wrongs()...)
	w.t.Errorf("the traffic notes at step %d:\n%s\nthe last steps were:\n%s", w.n, strings.Join(list, "\n"), strings.Join(w.last, "\n"))
}

// finish wants the traffic to have been there, and nothing to be left of it all.
func (w *walk) finish() {
	w.t.Helper()
	var rounds, ended, probes, refusals int64
	for _, l := range w.book.lanes {
		rounds, ended = rounds+l.rounds.Load(), ended+l.ended.Load()
		probes, refusals = probes+l.probes.Load(), refusals+l.refusals.Load()
	}
	w.t.Logf("%d rounds, %d flows ended, %d connections carried, %d refused, %d arrivals stamped, %d not",
		rounds, ended, probes, refusals, w.book.stamps.Load(), w.book.blind.Load())
	if rounds == 0 || ended == 0 || probes == 0 || refusals == 0 || w.book.blind.Load() > w.book.stamps.Load()/100 {
		w.t.Error("the traffic proves nothing")
	}
	for _, e := range w.endpoints {
		w.remove(e)
	}
	for _, b := range w.backends {
		if !within(laneTimeout, func() bool { return b.standing() == 0 }) {
			w.t.Errorf("%d connections stand at the backend %s, which was never told of their end", b.standing(), b.addr)
		}
	}
	w.check()
	w.server.stop(w.t)
	w.check()
	w.world.mustBeAsBefore(w.t)
}

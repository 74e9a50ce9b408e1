package lab_test

import (
	"testing"
	"time"
)

// The process is killed under traffic, each time just after a rejection was
// answered, and started again. If this fails, a crash resets connections that the
// kernel carries, lets somebody back in who was cut off, or leaves rules and
// addresses behind for ever.
func TestCrash(t *testing.T) {
	t.Parallel()
	st := newStage(t, settings{Engine: "auto"})
	kernel := map[*lane]bool{}
	for _, e := range st.endpoints {
		for _, l := range e.lanes {
			if _, ok := e.service.to[l.door]; ok {
				kernel[l.lane] = e.consumer.engineOf(e.id, l.door.protocol, l.door.port).Engine == "kernel"
			}
		}
	}
	byKernel := func(e *stageEndpoint, l stageLane) bool { return kernel[l.lane] && e.right(l).admit }
	byUser := func(e *stageEndpoint, l stageLane) bool { return !kernel[l.lane] && e.right(l).admit }
	if len(st.lanes(byKernel)) == 0 || len(st.lanes(byUser)) == 0 {
		t.Fatalf("%d lanes are carried in the kernel and %d in user space", len(st.lanes(byKernel)), len(st.lanes(byUser)))
	}
	progress(t, st.open(), 5)
	for _, n := range []int{0, 3, 1} { // two of plain, which is in the kernel, and one of proxied, which is not
		victim := st.endpoints[n]
		st.decide(victim, false)
		for _, l := range st.lanes(byUser) {
			l.change(true, true)
		}
		st.server.kill()
		progress(t, st.lanes(byKernel), 10)
		clean(t, st.book)
		if alive(st.lanes(byUser)) {
			t.Error("flows in user space outlive their process")
		}
		st.server.start(t)
		restarted := time.Now()
		for _, l := range st.lanes(byUser) {
			l.settle(open, false, restarted)
		}
		progress(t, st.open(), 10)
		clean(t, st.book)
		for _, l := range victim.lanes {
			if l.flowing.Load() {
				t.Errorf("%s carries after the restart", l.name)
			}
		}
		st.decide(victim, true)
		progress(t, st.open(), 5)
		clean(t, st.book)
	}
	// The last one dies with everything as it is, and is followed by a clean stop.
	for _, l := range st.lanes(byUser) {
		l.change(true, true)
	}
	st.server.kill()
	st.server.start(t)
	for _, l := range st.open() {
		if kernel[l] {
			l.change(true, false)
		}
	}
	st.server.stop(t)
	st.world.mustBeAsBefore(t)
}

// alive reports whether a flow of some lane is still going on after a moment in
// which it could have ended.
func alive(lanes []*lane) bool {
	return !within(patience, func() bool {
		for _, l := range lanes {
			if l.flowing.Load() {
				return false
			}
		}
		return true
	})
}

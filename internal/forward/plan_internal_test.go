package forward

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The order in which addresses are tried is what a client waits for: those that are
// well first and each equally often, the doubtful last, the dead only if there is
// nothing else, and none twice.
func TestPickOrder(t *testing.T) {
	const up, doubt, down = 'u', 'd', 'x'
	tests := []struct {
		state   string
		balance Balance
		active  []int64
		turn    uint32
		want    []int
	}{
		{"", RoundRobin, nil, 0, nil},
		{"u", RoundRobin, nil, 5, []int{0}},
		{"x", RoundRobin, nil, 0, []int{0}},
		{"uuu", RoundRobin, nil, 0, []int{0, 1, 2}},
		{"uuu", RoundRobin, nil, 1, []int{1, 2, 0}},
		{"uuu", RoundRobin, nil, 2, []int{2, 0, 1}},
		{"duu", RoundRobin, nil, 0, []int{1, 2, 0}},
		{"duu", RoundRobin, nil, 1, []int{2, 1, 0}},
		{"ddu", RoundRobin, nil, 1, []int{2, 1, 0}},
		{"xuu", RoundRobin, nil, 0, []int{1, 2}},
		{"xd", RoundRobin, nil, 0, []int{1}},
		{"xx", RoundRobin, nil, 1, []int{1, 0}},
		{"uuu", LeastConnections, []int64{3, 1, 2}, 7, []int{1, 2, 0}},
		{"udu", LeastConnections, []int64{3, 0, 2}, 7, []int{2, 0, 1}},
	}
	const now = time.Hour
	for _, tt := range tests {
		spec := &Spec{Balance: tt.balance}
		for i := range len(tt.state) {
			spec.Backends = append(spec.Backends, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		}
		p := newPlan(spec, nil)
		for i, s := range tt.state {
			p.targets[i].down.Store(s == down)
			p.targets[i].suspect.Store(int64(now - 1))
			if s == doubt {
				p.targets[i].suspect.Store(int64(now + 1))
			}
			if tt.active != nil {
				p.targets[i].active.Store(tt.active[i])
			}
		}
		var got []int
		var tried uint64
		for {
			i := p.pick(tried, tt.turn, now)
			if i < 0 || len(got) > len(tt.state) {
				break
			}
			tried |= 1 << i
			got = append(got, i)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, turn %d (-want +got):\n%s", tt.state, tt.turn, diff)
		}
	}
}

// The turns of many flows must reach each of the well addresses equally often, however
// many there are that are not.
func TestPickIsEven(t *testing.T) {
	spec := &Spec{}
	for i := range 5 {
		spec.Backends = append(spec.Backends, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	p := newPlan(spec, nil)
	p.targets[1].down.Store(true)
	p.targets[2].suspect.Store(int64(time.Hour))
	var got [5]int
	for turn := range uint32(300) {
		got[p.pick(0, turn, 0)]++
	}
	if want := [5]int{100, 0, 0, 100, 100}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

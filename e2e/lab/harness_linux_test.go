package lab_test

import (
	"strings"
	"testing"
	"time"
)

// The lab without Sallyport: a machine talks to one on its own network, and what is
// promised of it is then said wrongly on purpose. If this fails, the other tests of
// this package can pass though the product does not hold what it promises.
func TestTheLabSeesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	b := &book{}
	server := (&backend{book: b}).listen(t, w.a.first, firstIP, 7100)
	server6 := (&backend{book: b}).listen(t, w.a.first, firstIP6, 7100)
	tcp := b.add("TCP", w.a.router, routerIP, "tcp", at(firstIP, 7100))
	udp := b.add("UDP", w.a.router, routerIP, "udp", at(firstIP, 7100))
	tcp6 := b.add("TCP over IPv6", w.a.router, routerIP6, "tcp", at(firstIP6, 7100))
	udp6 := b.add("UDP over IPv6", w.a.router, routerIP6, "udp", at(firstIP6, 7100))
	for _, l := range b.lanes {
		l.change(true, true)
		l.settle(open, false, time.Now())
	}
	stop := b.drive()
	defer stop()
	progress(t, b.lanes, 10)
	clean(t, b)
	if b.blind.Load() > 0 || b.stamps.Load() == 0 {
		t.Errorf("%d arrivals have the kernel's time and %d have not", b.stamps.Load(), b.blind.Load())
	}

	for _, l := range []*lane{tcp, udp, tcp6, udp6} {
		l.change(true, false)
		l.settle(shut, true, time.Now())
	}
	for _, want := range []string{
		"TCP: bytes of admission 1 reached the client", "TCP: bytes of admission 1 reached the backend",
		"UDP: bytes of admission 1 reached the client", "UDP: bytes of admission 1 reached the backend",
		"TCP over IPv6: bytes", "UDP over IPv6: bytes",
		"TCP: a connection was carried while it was closed", "UDP: a connection was carried while it was closed",
	} {
		notes(t, b, want)
	}
	for _, l := range []*lane{tcp, udp, tcp6, udp6} {
		l.change(true, true)
		l.settle(open, false, time.Now())
	}
	// What was admitted before has no right to go on, though the way is open again.
	notes(t, b, "TCP: bytes of admission 1")

	for _, s := range []*backend{server, server6} { // so that every flow is of the new admission
		s.die()
		s.start(t)
	}
	progress(t, b.lanes, 10)
	b.wrongs()
	server.die()
	for _, want := range []string{
		"TCP: a flow that nobody touched ended", "TCP: a connection failed while it was open", "UDP: a connection failed while it was open",
	} {
		notes(t, b, want)
	}
	server.start(t)
	stop()
	if len(tcp.closed) != 1 || tcp.admission != 2 {
		t.Errorf("the lane was opened %d times and closed %d times", tcp.admission, len(tcp.closed))
	}
	w.mustBeAsBefore(t)
}

// Rules, addresses, routes and settings that are changed on purpose. If this fails,
// nobody learns what a stopped server leaves behind.
func TestTheLabSeesWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	w.mustBeAsBefore(t)
	r := w.b.router
	r.inside(t, "nft", "add table inet left")
	r.ip(t, "address add 10.0.0.77/32 dev br0", "route add 198.18.0.1 dev br0", "link add left type veth peer name right")
	r.write(t, "/proc/sys/net/ipv4/conf/br0/forwarding", "1")
	for what, want := range map[string]string{
		"rules": "table inet left", "addresses": "10.0.0.77", "routes": "198.18.0.1", "links": "left", "settings": "br0/forwarding = 1",
	} {
		if after := w.traces(t)["B"][what]; after == w.before["B"][what] || !strings.Contains(after, want) {
			t.Errorf("%s are not seen to be changed", what)
		}
	}
}

// progress waits until the steady flow of every lane has gone on for some rounds.
func progress(t *testing.T, lanes []*lane, rounds int64) {
	t.Helper()
	for _, l := range lanes {
		want := l.rounds.Load() + rounds
		if !within(patience, func() bool { return l.rounds.Load() >= want }) {
			t.Fatalf("%s does not go on; before that:\n%s", l.name, strings.Join(l.book.wrongs(), "\n"))
		}
	}
}

// clean wants nothing to have been noted.
func clean(t *testing.T, b *book) {
	t.Helper()
	if list := b.wrongs(); len(list) > 0 {
		t.Errorf("the traffic notes:\n%s", strings.Join(list, "\n"))
	}
}

// notes waits until the traffic notes something.
func notes(t *testing.T, b *book, want string) {
	t.Helper()
	var seen []string
	if !within(patience, func() bool {
		seen = append(seen, b.wrongs()...)
		seen = seen[max(0, len(seen)-maxWrong):]
		return strings.Contains(strings.Join(seen, "\n"), want)
	}) {
		t.Errorf("the traffic notes nothing like %q, but:\n%s", want, strings.Join(seen, "\n"))
	}
}

package lab_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Whoever is in one network tries to reach the others by everything but an
// endpoint. If this fails, a network that was isolated is not, or the server leaves
// something behind in somebody's namespace.
func TestNothingLeaks(t *testing.T) {
	for _, engine := range []string{"auto", "user"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			// Addresses that one network has alone.
			w.a.router.ip(t, "address add 10.6.6.1/24 dev br0", "address add fd00:66::1/64 dev br0 nodad")
			w.p.router.ip(t, "address add 10.7.7.1/24 dev br0", "address add fd00:77::1/64 dev br0 nodad")
			w.b.router.ip(t, "address add 10.8.8.1/24 dev br0", "address add fd00:88::1/64 dev br0 nodad")
			w.before = w.traces(t)
			secrets := secretServers(t, w)
			exposed := (&backend{}).listen(t, w.p.first, firstIP, 8100)
			(&backend{}).listen(t, w.p.first, firstIP6, 8100)

			server := newServer(t, w, settings{Engine: engine})
			provider, annas, berts := server.as(t, paula), server.as(t, anna), server.as(t, bert)
			service := provider.createService(portFirst, "", mapping{7100, 8100, "TCP"}, mapping{7100, 8100, "UDP"})
			service6 := provider.createService(portFirst6, "", mapping{7100, 8100, "TCP"}, mapping{7100, 8100, "UDP"})
			accepted := annas.create(of(service, subnetA, "10.0.0.50"))
			provider.decide(service, accepted, "receive")
			accepted6 := annas.create(of(service6, subnetA6, ""))
			provider.decide(service6, accepted6, "receive")
			rejected := berts.create(of(service, subnetB, "10.0.0.50"))
			provider.decide(service, rejected, "receive")
			mustEcho(t, w.b.first, "tcp", firstIP, "10.0.0.50:7100")
			mustEcho(t, w.b.first, "udp", firstIP, "10.0.0.50:7100")
			provider.decide(service, rejected, "reject")
			annas.create(of(service, subnetA, "10.0.0.60")) // nobody decides on it

			both := func(m *machine, to string) {
				t.Helper()
				mustNotEcho(t, m, "tcp", "", to)
				mustNotEcho(t, m, "udp", "", to)
			}
			for _, m := range []*machine{w.a.router, w.a.first} {
				mustEcho(t, m, "tcp", "", "10.0.0.50:7100")
				mustEcho(t, m, "udp", "", at(annas.read(accepted6).IP, 7100))
				both(m, "10.0.0.60:7100")
				both(m, "10.0.0.50:8100") // the backend's port is none of the endpoint's
			}
			for _, m := range []*machine{w.b.router, w.b.first} {
				both(m, "10.0.0.50:7100")
			}
			reached := exposed.served.Load()
			attack(t, w, secrets)
			if got := exposed.served.Load(); got != reached {
				t.Errorf("%d connections reached the backend by no endpoint", got-reached)
			}

			server.stop(t)
			w.mustBeAsBefore(t)
			both(w.a.first, "10.0.0.50:7100")
			server.start(t)
			mustEcho(t, w.a.first, "tcp", firstIP, "10.0.0.50:7100")
			server.stop(t)
			w.mustBeAsBefore(t)
		})
	}
}

// secretServers puts a server that nobody exposes on every address.
func secretServers(t *testing.T, w *world) []*backend {
	t.Helper()
	var out []*backend
	for n, s := range []struct {
		m  *machine
		ip []string
	}{
		{w.p.router, []string{routerIP, routerIP6, "10.7.7.1", "fd00:77::1"}},
		{w.p.first, []string{firstIP, firstIP6}},
		{w.p.second, []string{secondIP, secondIP6}},
		{w.b.router, []string{routerIP, routerIP6, "10.8.8.1", "fd00:88::1"}},
		{w.b.first, []string{firstIP, firstIP6}},
		{w.a.router, []string{"10.6.6.1", "fd00:66::1"}},
	} {
		for _, ip := range s.ip {
			out = append(out, (&backend{}).listen(t, s.m, ip, 9000+n))
		}
	}
	return out
}

// attack tries to get from A to P and B, and from P to A, by every address there
// is: their own, those that Sallyport put between them, and through its links.
func attack(t *testing.T, w *world, secrets []*backend) {
	t.Helper()
	between := append(transit(t, w.a.router), transit(t, w.p.router)...)
	between = append(between, "198.18.0.1", "198.18.0.2", "198.19.0.0", "198.19.0.1", "fd53:6170:7274::1", "fd53:6170:7274::2")
	slices.Sort(between)
	between = slices.Compact(between)
	t.Logf("between the networks are %v", between)
	tryAll := func(how string, sources []*machine, addresses []string, ports ...int) {
		t.Helper()
		var all sync.WaitGroup
		for _, ip := range addresses {
			for _, m := range sources {
				all.Go(func() {
					for _, port := range ports {
						for _, network := range []string{"tcp", "udp"} {
							if err := echoes(t, m, network, "", at(ip, port), quick); err == nil {
								t.Errorf("%s: %s reaches %s port %d of %s", how, m.name, network, port, ip)
							}
						}
					}
				})
			}
		}
		all.Wait()
	}
	inA, inP := []*machine{w.a.router, w.a.first}, []*machine{w.p.router, w.p.first}
	tryAll("by transit", inA, between, 7100, 8100, 9000)
	tryAll("by transit", inP, between, 7100, 8100, 9000)
	for _, s := range secrets {
		from := inA
		if s.machine == w.a.router {
			from = inP
		}
		tryAll("directly", from, []string{s.addr.Addr().String()}, int(s.addr.Port()))
	}
	// Whoever may set routes in a network points them into the links.
	for from, foreign := range map[*machine][]string{
		w.a.router: {secondIP, "10.7.7.1", "10.8.8.1", secondIP6, "fd00:77::1", "fd00:88::1"},
		w.p.router: {"10.6.6.1", "10.8.8.1", "fd00:66::1", "fd00:88::1"},
	} {
		for _, link := range links(t, from) {
			for _, ip := range foreign {
				from.ip(t, "route replace "+ip+" dev "+link)
			}
			tryAll("through "+link, []*machine{from}, foreign, 9000, 9002, 9003, 9005)
			for _, ip := range foreign {
				from.ip(t, "route del "+ip+" dev "+link)
			}
		}
	}
	for _, s := range secrets {
		if n := s.accepted.Load(); n > 0 {
			t.Errorf("%d connections reached port %d of %s in %s", n, s.addr.Port(), s.addr.Addr(), s.machine.name)
		}
	}
}

// links are those that Sallyport put into a router.
func links(t *testing.T, m *machine) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(m.show(t, "-o", "link", "show")) {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		name = strings.TrimSuffix(name, ":")
		if name != "lo" && name != "br0" && !strings.HasPrefix(name, "port") {
			out = append(out, name)
		}
	}
	return out
}

// transit are the addresses in a router's addresses and routes that are of the
// ranges between the networks.
func transit(t *testing.T, m *machine) []string {
	t.Helper()
	ranges := []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("fd53:6170:7274::/48")}
	var out []string
	for _, args := range [][]string{{"-o", "address", "show"}, {"-4", "route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}} {
		for word := range strings.FieldsSeq(m.show(t, args...)) {
			word, _, _ = strings.Cut(word, "/")
			if ip, err := netip.ParseAddr(word); err == nil && slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) }) {
				out = append(out, word)
			}
		}
	}
	return out
}

package lab_test

import "testing"

// Clients that have tried an endpoint before it was open, and try again from the
// same port: programs do that which are configured so, such as name servers, and all
// others now and then. If this fails, they are refused though they are told that it
// is open, for as long as they go on trying.
func TestEarlyClientsAreLetIn(t *testing.T) {
	for _, engine := range []string{"auto", "user"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := newServer(t, w, settings{Engine: engine})
			provider, annas := server.as(t, paula), server.as(t, anna)
			for _, six := range []bool{false, true} {
				port, backendIP, subnet, ip := portFirst, firstIP, subnetA, "10.0.0.50"
				router, first := routerIP, firstIP
				if six {
					port, backendIP, subnet, ip = portFirst6, firstIP6, subnetA6, ""
					router, first = routerIP6, firstIP6
				}
				(&backend{}).listen(t, w.p.first, backendIP, 8100)
				service := provider.createService(port, "", mapping{7100, 8100, "TCP"}, mapping{7100, 8100, "UDP"})
				id := annas.create(of(service, subnet, ip))
				provider.decide(service, id, "receive")
				to := at(annas.read(id).IP, 7100)
				provider.decide(service, id, "reject")

				const early = 5353 // of the clients
				for from, m := range map[string]*machine{router: w.a.router, first: w.a.first} {
					for range 2 {
						mustNotEcho(t, m, "tcp", at(from, early), to)
						mustNotEcho(t, m, "udp", at(from, early), to)
					}
				}
				provider.decide(service, id, "receive")
				for from, m := range map[string]*machine{router: w.a.router, first: w.a.first} {
					for _, network := range []string{"tcp", "udp"} {
						if err := echoes(t, m, network, at(from, early), to, laneTimeout); err != nil {
							t.Errorf("%s from %s in %s, which has tried before: %v", network, at(from, early), m.name, err)
						}
					}
				}
			}
			server.stop(t)
			w.mustBeAsBefore(t)
		})
	}
}

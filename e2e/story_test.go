package e2e_test

import "testing"

// credentials are the ways in which clients prove who they are.
var credentials = []struct {
	name string
	as   func(*testing.T, *product, user) party
}{
	{"key", func(t *testing.T, p *product, u user) party { t.Helper(); return p.sdk(t, u, u.project) }},
	{"key-without-project", func(t *testing.T, p *product, u user) party { t.Helper(); return p.sdk(t, u, "") }},
	{"token", func(t *testing.T, p *product, u user) party { t.Helper(); return p.as(t, u).login() }},
}

// The first promise, on both databases and with every credential: 200 on reject
// means cut. If this fails, an owner who was told that a consumer is out may be
// wrong, or the whole does not work at all.
func TestRejectMeansCut(t *testing.T) {
	t.Parallel()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			p := w.start(t)
			for _, with := range credentials {
				// One after the other: they share the project's whitelist of addresses.
				t.Run(with.name, func(t *testing.T) {
					story(t, with.as(t, p, w.provider()), with.as(t, p, w.consumer()), w.address(20))
				})
			}
		})
	}
}

// story is the life of a connection between two accounts.
func story(t *testing.T, provider, consumer party, ip string) {
	t.Helper()
	back := newBackend(t)
	s := forwarding(clientPort, back.port)
	s.Name = "story"
	id := provider.createService(s)
	provider.allow(id, consumerDomain)
	want := to(id)
	want.PortIP = ip
	e := consumer.createEndpoint(want)
	if e.Status != "pendingAcceptance" {
		t.Fatalf("a new endpoint is %s, want pendingAcceptance", e.Status)
	}
	mustRefuse(t, at(ip))

	for range 2 {
		if got := provider.decide(id, e.ID, "receive"); got.Status != "accepted" || got.Marker != e.Marker {
			t.Fatalf("accept answers %+v, want accepted and marker %d", got, e.Marker)
		}
		if got := consumer.endpoint(e.ID); got.Status != "accepted" || got.IP != ip {
			t.Fatalf("the consumer sees %+v, want accepted at %s", got, ip)
		}
		client, server := back.connect(t, at(ip))
		exchange(t, client, server, 1<<20)

		client, server = back.connect(t, at(ip))
		flow := pour(client, server)
		flow.wait(t)
		if got := provider.decide(id, e.ID, "reject"); got.Status != "rejected" {
			t.Fatalf("reject answers %+v", got)
		}
		flow.mustEnd(t, [2]int64{arrived(t, client), arrived(t, server)})
		mustRefuse(t, at(ip))
		if got := consumer.endpoint(e.ID); got.Status != "rejected" || got.IP != ip {
			t.Errorf("the consumer sees %+v, want rejected and still %s", got, ip)
		}
	}
	provider.decide(id, e.ID, "receive")
	client, server := back.connect(t, at(ip))
	exchange(t, client, server, 1<<20)

	consumer.deleteEndpoint(e.ID)
	if !consumer.gone(e.ID) {
		t.Error("the deleted endpoint is still there")
	}
	mustRefuse(t, at(ip))
	provider.deleteService(id)
}

package lab_test

import (
	"testing"

	"github.com/miekg/dns"
)

// Two networks ask their own server, at the same address. If this fails, a client
// does not find its endpoint by name, finds one that is cut off, or learns what
// there is in another network.
func TestDNS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := newServer(t, w, settings{DNS: true})
	provider, annas, berts := server.as(t, paula), server.as(t, anna), server.as(t, bert)
	(&backend{}).listen(t, w.p.first, firstIP, 8100)
	service := provider.createService(portFirst, "", mapping{7100, 8100, "TCP"})
	make := func(c *caller, subnet, ip string) (id, name string) {
		t.Helper()
		e := of(service, subnet, ip)
		e.DNS = true
		id = c.create(e)
		provider.decide(service, id, "receive")
		got := c.read(id)
		if len(got.Names) != 1 {
			t.Fatalf("the endpoint's names are %v", got.Names)
		}
		return id, got.Names[0]
	}
	idA, nameA := make(annas, subnetA, "10.0.0.50")
	_, nameB := make(berts, subnetB, "10.0.0.51")
	_, name6 := make(annas, subnetA6, "")
	ip6 := annas.read(idOf(name6)).IP

	for _, network := range []string{"udp", "tcp"} {
		for _, m := range []*machine{w.a.first, w.a.router} {
			resolves(t, m, network, nameA, dns.TypeA, "10.0.0.50")
			resolves(t, m, network, name6, dns.TypeAAAA, ip6)
			resolves(t, m, network, nameB, dns.TypeA, "")
		}
		resolves(t, w.b.first, network, nameB, dns.TypeA, "10.0.0.51")
		resolves(t, w.b.first, network, nameA, dns.TypeA, "")
		resolves(t, w.b.first, network, name6, dns.TypeAAAA, "")
	}
	if _, err := ask(t, w.p.first, "udp", nameA, dns.TypeA); err == nil {
		t.Error("somebody answers in the provider's network")
	}

	provider.decide(service, idA, "reject")
	resolves(t, w.a.first, "udp", nameA, dns.TypeA, "")
	resolves(t, w.a.first, "udp", name6, dns.TypeAAAA, ip6)
	resolves(t, w.b.first, "udp", nameB, dns.TypeA, "10.0.0.51")
	provider.decide(service, idA, "receive")
	resolves(t, w.a.first, "udp", nameA, dns.TypeA, "10.0.0.50")
	server.stop(t)
	w.mustBeAsBefore(t)
}

// idOf takes the id out of a name of the form vpcep-<id>.<region>.<suffix>.
func idOf(name string) string {
	const prefix, id = len("vpcep-"), 36
	return name[prefix : prefix+id]
}

// ask asks the DNS server of a machine's network.
func ask(t *testing.T, m *machine, network, name string, kind uint16) (*dns.Msg, error) {
	t.Helper()
	conn, err := m.dial(t.Context(), network, "", at(dnsIP, 53), laneTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	client := dns.Client{Net: network, Timeout: moment}
	reply, _, err := client.ExchangeWithConnContext(t.Context(), q, &dns.Conn{Conn: conn})
	return reply, err
}

// resolves wants a name to have one address, or "" for a name that does not exist.
func resolves(t *testing.T, m *machine, network, name string, kind uint16, want string) {
	t.Helper()
	reply, err := ask(t, m, network, name, kind)
	if err != nil {
		t.Errorf("%s by %s in %s: %v", name, network, m.name, err)
		return
	}
	var got string
	for _, r := range reply.Answer {
		switch r := r.(type) {
		case *dns.A:
			got += r.A.String()
		case *dns.AAAA:
			got += r.AAAA.String()
		}
	}
	if got != want || want == "" && reply.Rcode != dns.RcodeNameError {
		t.Errorf("%s by %s in %s is %q (%s), want %q", name, network, m.name, got, dns.RcodeToString[reply.Rcode], want)
	}
}

package resolver_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/resolver"
)

const (
	four = "vpcep-4.eu-west-101.sallyport.internal"
	six  = "vpcep-6.eu-west-101.sallyport.internal"
)

// maxGrowth bounds, in bytes, how much longer than its question an answer is, the
// length of the zone's own name not counted: the SOA record of a denial, or the
// NS record with the address of its target.
const maxGrowth = 64

var self = netip.MustParseAddrPort("10.0.0.2:53")

// sample resolves one name of each family in the host's network.
func sample(tb testing.TB) *resolver.Resolver {
	tb.Helper()
	r := resolver.New(resolver.Options{})
	set(tb, r, netattach.Host(), four, "10.0.0.7")
	set(tb, r, netattach.Host(), six, "fd00::7")
	return r
}

func set(tb testing.TB, r *resolver.Resolver, network netattach.Network, name, addr string) {
	tb.Helper()
	if err := r.Set(network, name, netip.MustParseAddr(addr)); err != nil {
		tb.Fatal(err)
	}
}

func question(name string, kind uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
}

// ask gives the answer to a message, nil for none.
func ask(tb testing.TB, r *resolver.Resolver, query *dns.Msg, stream bool) *dns.Msg {
	tb.Helper()
	raw, err := query.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	packed := r.Reply(netattach.Host(), self, raw, stream)
	if packed == nil {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(packed); err != nil {
		tb.Fatalf("the answer to %v does not parse: %v", query, err)
	}
	return m
}

// summary is what matters of an answer: the code, the flags, and each record as
// its section, owner, TTL, type and data.
func summary(m *dns.Msg) []string {
	if m == nil {
		return []string{"silence"}
	}
	head := dns.RcodeToString[m.Rcode]
	for _, flag := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.RecursionAvailable, "ra"}, {m.Truncated, "tc"}} {
		if flag.set {
			head += " " + flag.name
		}
	}
	list := []string{head}
	for _, part := range []struct {
		name    string
		records []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, rr := range part.records {
			if rr.Header().Rrtype != dns.TypeOPT {
				list = append(list, part.name+" "+strings.ReplaceAll(rr.String(), "\t", " "))
			}
		}
	}
	return list
}

const denial = "authority sallyport.internal. 5 IN SOA ns.sallyport.internal. hostmaster.sallyport.internal. 1 3600 600 86400 5"

// If this fails, a client is told something else about a name than what is so,
// or its resolver keeps it for longer than it should.
func TestAnswers(t *testing.T) {
	r := sample(t)
	for _, test := range []struct {
		about string
		name  string
		kind  uint16
		want  []string
	}{
		{"an IPv4 endpoint", four, dns.TypeA, []string{"NOERROR aa", "answer " + four + ". 30 IN A 10.0.0.7"}},
		{"an IPv6 endpoint", six, dns.TypeAAAA, []string{"NOERROR aa", "answer " + six + ". 30 IN AAAA fd00::7"}},
		{"the other family", four, dns.TypeAAAA, []string{"NOERROR aa", denial}},
		{"another type", six, dns.TypeTXT, []string{"NOERROR aa", denial}},
		{"any type", four, dns.TypeANY, []string{"NOERROR aa", "answer " + four + ". 30 IN A 10.0.0.7"}},
		{
			"mixed case comes back as asked", "VPCEP-4.Eu-West-101.sallyport.INTERNAL", dns.TypeA,
			[]string{"NOERROR aa", "answer VPCEP-4.Eu-West-101.sallyport.INTERNAL. 30 IN A 10.0.0.7"},
		},
		{"an unknown name", "vpcep-5.eu-west-101.sallyport.internal", dns.TypeA, []string{"NXDOMAIN aa", denial}},
		{"below an endpoint", "www." + four, dns.TypeA, []string{"NXDOMAIN aa", denial}},
		{"between zone and endpoint", "eu-west-101.sallyport.internal", dns.TypeA, []string{"NOERROR aa", denial}},
		{"an unknown region", "eu-west-102.sallyport.internal", dns.TypeNS, []string{"NXDOMAIN aa", denial}},
		{"the zone, any type", "sallyport.internal", dns.TypeANY, []string{
			"NOERROR aa", "answer sallyport.internal. 30 IN SOA ns.sallyport.internal. hostmaster.sallyport.internal. 1 3600 600 86400 5",
		}},
		{"the zone's name server", "sallyport.internal", dns.TypeNS, []string{
			"NOERROR aa", "answer sallyport.internal. 30 IN NS ns.sallyport.internal.", "additional ns.sallyport.internal. 30 IN A 10.0.0.2",
		}},
		{"the zone has no address", "sallyport.internal", dns.TypeA, []string{"NOERROR aa", denial}},
		{"the name server", "ns.sallyport.internal", dns.TypeA, []string{"NOERROR aa", "answer ns.sallyport.internal. 30 IN A 10.0.0.2"}},
		{"a zone transfer", "sallyport.internal", dns.TypeAXFR, []string{"REFUSED"}},
		{"an incremental transfer", "sallyport.internal", dns.TypeIXFR, []string{"REFUSED"}},
		{"above the zone", "internal", dns.TypeSOA, []string{"REFUSED"}},
		{"the root", ".", dns.TypeNS, []string{"REFUSED"}},
		{"elsewhere", "example.com", dns.TypeA, []string{"REFUSED"}},
		{"only the letters of the zone", "notsallyport.internal", dns.TypeA, []string{"REFUSED"}},
		{"a dot inside a label", `x\.sallyport.internal`, dns.TypeA, []string{"REFUSED"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				got := ask(t, r, question(test.name, test.kind), stream)
				if diff := cmp.Diff(test.want, summary(got)); diff != "" {
					t.Errorf("over a stream %v (-want +got):\n%s", stream, diff)
				}
			}
		})
	}
}

// If this fails, a message that is no plain question is answered in a way that
// breaks its sender, or two servers answer each other for ever.
func TestMessagesThatAreNoPlainQuestion(t *testing.T) {
	r := sample(t)
	edit := func(fn func(m *dns.Msg)) *dns.Msg {
		m := question(four, dns.TypeA)
		fn(m)
		return m
	}
	for _, test := range []struct {
		about string
		query *dns.Msg
		want  []string
	}{
		{"an answer", edit(func(m *dns.Msg) { m.Response = true }), []string{"silence"}},
		{"another class", edit(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), []string{"REFUSED"}},
		{"any class", edit(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }), []string{"REFUSED"}},
		{"an update", edit(func(m *dns.Msg) { m.SetUpdate("sallyport.internal.") }), []string{"NOTIMP"}},
		{"a notification", edit(func(m *dns.Msg) { m.SetNotify("sallyport.internal.") }), []string{"NOTIMP"}},
		{"no question", edit(func(m *dns.Msg) { m.Question = nil }), []string{"FORMERR"}},
		{"two questions", edit(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), []string{"FORMERR"}},
		{"two OPT records", edit(func(m *dns.Msg) { m.SetEdns0(4096, false).SetEdns0(4096, false) }), []string{"FORMERR"}},
		{"a later EDNS", edit(func(m *dns.Msg) { m.SetEdns0(4096, false).IsEdns0().SetVersion(1) }), []string{dns.RcodeToString[dns.RcodeBadVers]}},
	} {
		t.Run(test.about, func(t *testing.T) {
			got := ask(t, r, test.query, false)
			if diff := cmp.Diff(test.want, summary(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got != nil && (got.Id != test.query.Id || got.Opcode != test.query.Opcode) {
				t.Errorf("answered id %d opcode %d to id %d opcode %d", got.Id, got.Opcode, test.query.Id, test.query.Opcode)
			}
		})
	}
}

// If this fails, an answer has an OPT record although the client knows none, or
// lacks it, or its length may exceed what the client said it can take.
func TestEDNS(t *testing.T) {
	r := sample(t)
	if got := ask(t, r, question(four, dns.TypeA), false); got.IsEdns0() != nil {
		t.Errorf("a client without EDNS got %v", got.IsEdns0())
	}
	for _, name := range []string{four, "unknown.sallyport.internal", "example.com"} {
		query := question(name, dns.TypeA)
		query.SetEdns0(4096, true)
		got := ask(t, r, query, false).IsEdns0()
		if got == nil || got.UDPSize() != 1232 || !got.Do() || got.Version() != 0 {
			t.Errorf("%s: OPT record %v, want version 0, size 1232 and the DO bit as asked", name, got)
		}
	}
}

// If this fails, an answer over UDP to the longest names is longer than every
// client must take, or cut short although it need not be.
func TestLongestAnswerFits(t *testing.T) {
	zone := strings.Repeat("z.", 100) + "internal" // 208 bytes
	r := resolver.New(resolver.Options{Suffix: zone})
	long := strings.Repeat("x", 253-len(zone)-1) + "." + zone
	set(t, r, netattach.Host(), long, "fd00::1")
	for _, name := range []string{long, "y" + long[1:], zone} {
		for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA, dns.TypeNS, dns.TypeSOA} {
			// The case differs, so that the question's name does not compress the zone's.
			raw, err := question(strings.ToUpper(name), kind).Pack()
			if err != nil {
				t.Fatal(err)
			}
			packed := r.Reply(netattach.Host(), self, raw, false)
			if len(packed) > dns.MinMsgSize && !truncated(packed) {
				t.Errorf("the answer to %s %s has %d bytes over UDP", name, dns.TypeToString[kind], len(packed))
			}
			stream := r.Reply(netattach.Host(), self, raw, true)
			if truncated(stream) {
				t.Errorf("the answer to %s %s is cut short over TCP", name, dns.TypeToString[kind])
			}
		}
	}
}

func truncated(packed []byte) bool { return packed[2]&0x02 != 0 }

// If this fails, a name goes on resolving after its endpoint was rejected, or the
// first of two endpoints to go takes the names above the other with it.
func TestSetAndRemove(t *testing.T) {
	r := sample(t)
	set(t, r, netattach.Host(), "stays.sallyport.internal", "10.0.0.6")
	set(t, r, netattach.Host(), strings.ToUpper(four)+".", "10.0.0.7") // the same again
	set(t, r, netattach.Host(), four, "::ffff:10.0.0.8")
	want := []string{"NOERROR aa", "answer " + four + ". 30 IN A 10.0.0.8"}
	if diff := cmp.Diff(want, summary(ask(t, r, question(four, dns.TypeA), false))); diff != "" {
		t.Errorf("after a new address (-want +got):\n%s", diff)
	}
	code := func(name string) string { return summary(ask(t, r, question(name, dns.TypeA), false))[0] }
	steps := []struct {
		remove string
		want   []string // four, six, the name above both
	}{
		{"never.sallyport.internal", []string{"NOERROR aa", "NOERROR aa", "NOERROR aa"}},
		{"eu-west-101.sallyport.internal", []string{"NOERROR aa", "NOERROR aa", "NOERROR aa"}},
		{strings.ToUpper(four), []string{"NXDOMAIN aa", "NOERROR aa", "NOERROR aa"}},
		{four, []string{"NXDOMAIN aa", "NOERROR aa", "NOERROR aa"}},
		{six, []string{"NXDOMAIN aa", "NXDOMAIN aa", "NXDOMAIN aa"}},
		{six, []string{"NXDOMAIN aa", "NXDOMAIN aa", "NXDOMAIN aa"}},
	}
	for i, step := range steps {
		r.Remove(netattach.Host(), step.remove)
		got := []string{code(four), code(six), code("eu-west-101.sallyport.internal")}
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d, without %s: %q, want %q", i, step.remove, got, step.want)
		}
	}
}

// If this fails, a name is taken that can never be answered, and whoever set it
// believes that it resolves.
func TestSetRefuses(t *testing.T) {
	r := resolver.New(resolver.Options{Suffix: "Corp.Example."})
	for _, test := range []struct{ name, addr string }{
		{"", "10.0.0.1"},
		{".", "10.0.0.1"},
		{"corp.example", "10.0.0.1"},
		{"example", "10.0.0.1"},
		{"a.sallyport.internal", "10.0.0.1"},
		{"acorp.example", "10.0.0.1"},
		{"a..corp.example", "10.0.0.1"},
		{strings.Repeat("x", 64) + ".corp.example", "10.0.0.1"},
		{"NS.corp.example", "10.0.0.1"},
		{"a.corp.example", "0.0.0.0"},
	} {
		if err := r.Set(netattach.Host(), test.name, netip.MustParseAddr(test.addr)); err == nil {
			t.Errorf("%q was taken with the address %s", test.name, test.addr)
		}
	}
	if err := r.Set(netattach.Host(), "a.corp.example", netip.Addr{}); err == nil {
		t.Error("a name was taken without an address")
	}
	if err := r.Set(netattach.Host(), "a.corp.example", netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Error(err)
	}
}

// inflated is a question whose name is read twice: its first label, of 62 bytes,
// has a second one inside, and is followed by a pointer to that.
var inflated = []byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
	"\x3e\x3c" + strings.Repeat("x", 60) + "\x00\xc0\x0d" + "\x00\x01\x00\x01")

// If this fails, a client gets back more than it sent by having its question
// written out.
func TestCompressedQuestionIsNotWrittenOut(t *testing.T) {
	packed := sample(t).Reply(netattach.Host(), self, inflated, false)
	var m dns.Msg
	if err := m.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	if m.Rcode != dns.RcodeFormatError || len(packed) > len(inflated) {
		t.Errorf("%d bytes got %d with %s", len(inflated), len(packed), dns.RcodeToString[m.Rcode])
	}
}

// If this fails, a message from outside stops the process, or gets an answer so
// much longer than itself that the server is of use for amplification.
func FuzzReply(f *testing.F) {
	for _, name := range []string{four, "unknown.sallyport.internal", "sallyport.internal", "example.com"} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeANY, dns.TypeAXFR} {
			query := question(name, kind)
			query.SetEdns0(4096, true)
			raw, err := query.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Add([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\xc0\x0c\x00\x01\x00\x01")) // a name that goes on in itself
	f.Add(inflated)
	f.Add([]byte("\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	r := sample(f)
	f.Fuzz(func(t *testing.T, query []byte) {
		for _, stream := range []bool{false, true} {
			packed := r.Reply(netattach.Host(), self, query, stream)
			if packed == nil {
				continue
			}
			var m dns.Msg
			if err := m.Unpack(packed); err != nil {
				t.Fatalf("the answer %x does not parse: %v", packed, err)
			}
			if !m.Response || m.RecursionAvailable || packed[0] != query[0] || packed[1] != query[1] {
				t.Errorf("the header of the answer is %v", m.MsgHdr)
			}
			if most := len(query) + len(resolver.DefaultSuffix) + maxGrowth; len(packed) > most {
				t.Errorf("%d bytes get an answer of %d, want %d at most", len(query), len(packed), most)
			}
			if !stream && len(packed) > 1232 {
				t.Errorf("an answer over UDP has %d bytes", len(packed))
			}
		}
	})
}

package resolver

import (
	"net/netip"

	"github.com/miekg/dns"
)

const (
	// answerTTL is how long, in seconds, a client may keep an address. The cloud
	// documents 300 for the record of an endpoint; ours is shorter, because the
	// address of an endpoint that was deleted may be given to another one, and for
	// that time a cached name leads to it. That a rejected endpoint carries nothing
	// does not depend on it: its address refuses at once. Asking anew costs a
	// client one round trip inside its own network.
	answerTTL = 30
	// negativeTTL is how long, in seconds, a client may keep that a name does not
	// exist: whoever asks just before an endpoint is accepted finds it soon after.
	negativeTTL = 5
	// maxPayload is the largest answer over UDP, in bytes: what passes every path
	// in one piece (DNS flag day 2020).
	maxPayload = 1232
	// headerSize is the length of the header of a message (RFC 1035, 4.1.1); what
	// is shorter has no id to answer to.
	headerSize = 12
)

// Timers of the SOA record, in seconds. They are for secondary servers, of which
// there are none, and so is the serial, which stays 1.
const (
	soaRefresh = 3600
	soaRetry   = 600
	soaExpire  = 86400
)

// reply is the answer to one message, or nil where none shall be sent: to what
// is itself an answer, lest two servers talk to each other, and to what is too
// short to have an id. stream says that the answer goes over TCP.
func (s *Server) reply(query []byte, stream bool) []byte {
	var req dns.Msg
	if len(query) < headerSize {
		return nil
	}
	err := req.Unpack(query) // sets the header in any case
	if req.Response {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(&req)
	// Pointers into its own labels make a name longer than what was sent. No client
	// compresses its question; one that does shall not get it back written out.
	inflated := m.Len() > len(query)
	if inflated {
		m.Question = nil
	}
	limit := dns.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(maxPayload, opt.Do())
		limit = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxPayload)
	}
	if stream {
		limit = dns.MaxMsgSize
	}
	switch {
	case req.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case err != nil, inflated, len(req.Question) != 1, options(&req) > 1: // RFC 9619; RFC 6891, 6.1.1
		m.Rcode = dns.RcodeFormatError
	case options(&req) == 1 && req.IsEdns0().Version() != 0:
		m.Rcode = dns.RcodeBadVers
	default:
		s.resolve(m)
	}
	m.Truncate(limit)
	m.Compress = true // Truncate leaves it off where the answer fits without
	packed, err := m.Pack()
	if err != nil {
		return nil // a question that cannot be written down again
	}
	return packed
}

// options is the number of OPT records, of which one is allowed.
func options(req *dns.Msg) (n int) {
	for _, rr := range req.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			n++
		}
	}
	return n
}

// resolve answers the one question of m.
func (s *Server) resolve(m *dns.Msg) {
	q := m.Question[0]
	name := dns.CanonicalName(q.Name)
	transfer := q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR
	if q.Qclass != dns.ClassINET || transfer || !dns.IsSubDomain(s.resolver.zone, name) {
		m.Rcode = dns.RcodeRefused
		return
	}
	m.Authoritative = true
	records, exists := s.records(name, q.Name)
	for _, rr := range records {
		if q.Qtype == rr.Header().Rrtype || q.Qtype == dns.TypeANY {
			m.Answer = append(m.Answer, rr)
			break // no type has two records, and one is enough for ANY (RFC 8482)
		}
	}
	switch {
	case !exists:
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{s.resolver.soa(s.resolver.zone, negativeTTL)}
	case len(m.Answer) == 0:
		m.Ns = []dns.RR{s.resolver.soa(s.resolver.zone, negativeTTL)}
	case m.Answer[0].Header().Rrtype == dns.TypeNS:
		// SetEdns0 has put the OPT record there; where it stands does not matter.
		m.Extra = append(m.Extra, address(s.resolver.nameServer, s.addr.Addr()))
	}
}

// records are the records of a name, owned by the spelling that was asked for:
// clients that mix upper and lower case want theirs back.
func (s *Server) records(name, owner string) (records []dns.RR, exists bool) {
	switch name {
	case s.resolver.zone:
		ns := &dns.NS{Hdr: header(owner, dns.TypeNS, answerTTL), Ns: s.resolver.nameServer}
		return []dns.RR{s.resolver.soa(owner, answerTTL), ns}, true
	case s.resolver.nameServer:
		return []dns.RR{address(owner, s.addr.Addr())}, true
	}
	addr, exists := s.resolver.lookup(s.network, name)
	if !addr.IsValid() {
		return nil, exists
	}
	return []dns.RR{address(owner, addr)}, true
}

// soa is the SOA record of the zone.
func (r *Resolver) soa(owner string, ttl uint32) dns.RR {
	return &dns.SOA{
		Hdr: header(owner, dns.TypeSOA, ttl), Ns: r.nameServer, Mbox: r.mailbox,
		Serial: 1, Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: negativeTTL,
	}
}

// address is an A or AAAA record, by the family of addr.
func address(owner string, addr netip.Addr) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, answerTTL), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, answerTTL), AAAA: addr.AsSlice()}
}

func header(owner string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names that are ours in a namespace. Everything else in it is foreign and
// never touched.
const (
	// tableName is the one table, of family inet.
	tableName = "sallyport"
	// linkGroup is the device group of our links (ip-link(8), group): rules know
	// them by it without a list of names.
	linkGroup = 0x5a11
	// cutMark is on the segments that provoke resets (reset_linux.go); connection
	// tracking leaves them alone.
	cutMark = 0x5a11_0000
	// The chains without rules that say which rules a table has. Their numbers grow
	// with the rules: a table that an older version left is made anew.
	pathsVersion = "paths_1"
	guardVersion = "guard_1"
)

// family is what differs between IPv4 and IPv6 in the rules.
type family struct {
	suffix   string
	proto    byte // NFPROTO, which is the address family too
	size     uint32
	src, dst uint32 // offsets in the IP header
	addr     nftables.SetDatatype
}

var (
	ipv4 = family{"4", unix.NFPROTO_IPV4, 4, 12, 16, nftables.TypeIPAddr}
	ipv6 = family{"6", unix.NFPROTO_IPV6, 16, 8, 24, nftables.TypeIP6Addr}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// The registers of rules: reg is the first of sixteen with 4 bytes, and an address
// begins there; data is where maps put what they give.
const (
	reg  = unix.NFT_REG32_00
	data = unix.NFT_REG32_08
)

// The bits of connection tracking: of ct state (NF_CT_STATE_BIT of linux's
// nf_conntrack_common.h) and of ct status.
const (
	ctInvalid     = 1 << 0
	ctEstablished = 1 << 1
	ctRelated     = 1 << 2
	ctNew         = 1 << 3
	ctUntracked   = 1 << 6
	statusDNAT    = 1 << 5
	dirOriginal   = 0
	dirReply      = 1
)

// The flags of a TCP header, in its fourteenth byte.
const (
	tcpFlagsAt = 13
	tcpFin     = 0x01
	tcpSyn     = 0x02
	tcpRst     = 0x04
	tcpAck     = 0x10
)

type match []expr.Any

func rule(parts ...match) []expr.Any { return slices.Concat(parts...) }

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func equals(b []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: b} }

func metaIs(key expr.MetaKey, b []byte) match {
	return match{&expr.Meta{Key: key, Register: reg}, equals(b)}
}

func fromLink() match            { return metaIs(expr.MetaKeyIIFGROUP, native(linkGroup)) }
func toLink() match              { return metaIs(expr.MetaKeyOIFGROUP, native(linkGroup)) }
func marked() match              { return metaIs(expr.MetaKeyMARK, native(cutMark)) }
func is(f family) match          { return metaIs(expr.MetaKeyNFPROTO, []byte{f.proto}) }
func l4(proto byte) match        { return metaIs(expr.MetaKeyL4PROTO, []byte{proto}) }
func ctDirection(dir byte) match { return match{ct(expr.CtKeyDIRECTION), equals([]byte{dir})} }
func ct(key expr.CtKey) *expr.Ct { return &expr.Ct{Key: key, Register: reg} }
func ctState(bits uint32) match  { return anyBit(ct(expr.CtKeySTATE), bits) }
func translated() match          { return anyBit(ct(expr.CtKeySTATUS), statusDNAT) }
func to(kind expr.VerdictKind, chain string) match {
	return match{&expr.Verdict{Kind: kind, Chain: chain}}
}

// anyBit matches where the value has one of the bits.
func anyBit(load expr.Any, bits uint32) match {
	return match{
		load,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(bits), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: native(0)},
	}
}

// tcpFlags matches where the flags within mask are, or with op are not, want.
func tcpFlags(mask byte, op expr.CmpOp, want byte) match {
	return append(l4(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsAt, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: reg, Data: []byte{want}},
	)
}

// fields loads parts of a packet one behind the other, as the key of a set with a
// concatenated type has them: each begins at a register of its own.
type fields struct {
	f    family
	next uint32
	ops  match
}

func load(f family) *fields { return &fields{f: f, next: reg} }

func (l *fields) payload(base expr.PayloadBase, at, n uint32) *fields {
	l.ops = append(l.ops, &expr.Payload{DestRegister: l.next, Base: base, Offset: at, Len: n})
	l.next += (n + 3) / 4
	return l
}

func (l *fields) src() *fields {
	return l.payload(expr.PayloadBaseNetworkHeader, l.f.src, l.f.size)
}

func (l *fields) dst() *fields {
	return l.payload(expr.PayloadBaseNetworkHeader, l.f.dst, l.f.size)
}
func (l *fields) sport() *fields { return l.payload(expr.PayloadBaseTransportHeader, 0, 2) }
func (l *fields) dport() *fields { return l.payload(expr.PayloadBaseTransportHeader, 2, 2) }

func (l *fields) proto() *fields {
	l.ops = append(l.ops, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: l.next})
	l.next++
	return l
}

// turn loads a number from 0 to n-1 that goes up by one each time.
func (l *fields) turn(n uint32) *fields {
	l.ops = append(l.ops, &expr.Numgen{Register: l.next, Modulus: n, Type: unix.NFT_NG_INCREMENTAL})
	l.next++
	return l
}

func (l *fields) in(set string) match {
	return append(l.ops, &expr.Lookup{SourceRegister: reg, SetName: set + l.f.suffix})
}

func (l *fields) mapped(set string) match {
	return append(l.ops, &expr.Lookup{
		SourceRegister: reg, SetName: set + l.f.suffix, DestRegister: data, IsDestRegSet: true,
	})
}

// verdict goes where the verdict map says; its register is the one of verdicts.
func (l *fields) verdict(set string) match {
	return append(l.ops, &expr.Lookup{
		SourceRegister: reg, SetName: set + l.f.suffix, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true,
	})
}

// translate sets the destination to what a map gave: an address, and with port
// also the port behind it.
func translate(f family, port bool) match {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto), RegAddrMin: data}
	if port {
		nat.RegProtoMin = data + f.size/4
	}
	return match{nat}
}

// within matches packets to an address of the prefix.
func within(p netip.Prefix) match {
	f := familyOf(p.Addr())
	return slices.Concat(is(f), load(f).dst().ops, inPrefix(p, reg))
}

// inPrefix matches where the address in reg is of the prefix. It works in another
// register where the address is still needed.
func inPrefix(p netip.Prefix, work uint32) match {
	size := familyOf(p.Addr()).size
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return match{
		&expr.Bitwise{SourceRegister: reg, DestRegister: work, Len: size, Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: work, Data: p.Addr().AsSlice()},
	}
}

// notIn matches where the set has not what the register holds.
func notIn(register uint32, set string) match {
	return match{&expr.Lookup{SourceRegister: register, SetName: set, Invert: true}}
}

// ruleset collects one transaction that makes rules.
type ruleset struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  uint32
	rules []*nftables.Rule
	err   error
}

func (r *ruleset) set(f family, s nftables.Set, name string, key ...nftables.SetDatatype) {
	r.sets++
	s.Table, s.Name, s.ID = r.table, name+f.suffix, r.sets
	s.KeyType, s.Concatenation = key[0], len(key) > 1
	var err error
	if s.Concatenation {
		s.KeyType, err = nftables.ConcatSetType(key...)
	}
	if err == nil {
		err = r.conn.AddSet(&s, nil)
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("add set %s: %w", s.Name, err)
	}
}

func (r *ruleset) chain(name string, rules ...[]expr.Any) {
	r.fill(r.conn.AddChain(&nftables.Chain{Table: r.table, Name: name}), rules)
}

func (r *ruleset) base(name string, kind nftables.ChainType, hook *nftables.ChainHook,
	priority nftables.ChainPriority, rules ...[]expr.Any,
) {
	r.fill(r.conn.AddChain(&nftables.Chain{
		Table: r.table, Name: name, Type: kind, Hooknum: hook, Priority: &priority,
	}), rules)
}

func (r *ruleset) fill(c *nftables.Chain, rules [][]expr.Any) {
	for _, exprs := range rules {
		r.rules = append(r.rules, &nftables.Rule{Table: r.table, Chain: c, Exprs: exprs})
	}
}

// flush makes it all. Rules come last, as they may go to any chain.
func (r *ruleset) flush() error {
	for _, rule := range r.rules {
		r.conn.AddRule(rule)
	}
	return errors.Join(r.err, r.conn.Flush())
}

// The priorities of our chains. Connection tracking has run at -200 and translates
// at -100 and 100 (netfilter_ipv4.h).
const (
	beforeTracking    = -300
	beforeTranslation = -150
	translation       = -100
	afterTranslation  = -90
	filtering         = 0
	sourceTranslation = 100
)

// addPaths writes the rules of the kernel engine: all sets, all chains, but those of
// the first gate, which fillFirstGate adds. Endpoints come and go as elements.
func (r *ruleset) addPaths(transit4, transit6 netip.Prefix) {
	for _, f := range []family{ipv4, ipv6} {
		r.addPathSets(f)
	}
	// The families where all interfaces were made to forward.
	r.set(family{}, nftables.Set{}, setFamilies, nftables.TypeNFProto)
	r.chain("refuse",
		rule(l4(unix.IPPROTO_TCP), match{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}),
		rule(to(expr.VerdictDrop, "")))
	r.chain(firstGate)
	r.addAdmission()
	r.addGate(transit4, transit6)
	r.addTranslation()
}

func (r *ruleset) addPathSets(f family) {
	var plain nftables.Set
	counter := nftables.Set{Counter: true}
	port := []nftables.SetDatatype{f.addr, nftables.TypeInetProto, nftables.TypeInetService}
	target, err := nftables.ConcatSetType(f.addr, nftables.TypeInetService)
	if err != nil && r.err == nil {
		r.err = err
	}
	// Keys: E is an endpoint's address, T the transit address of its admission.
	r.set(f, nftables.Set{IsMap: true, DataType: f.addr}, setPorts, port...)             // E, protocol, port -> T
	r.set(f, counter, setOpen, f.addr)                                                   // T: the gate, to the backend
	r.set(f, counter, setBack, f.addr)                                                   // T: the gate, to the client
	r.set(f, counter, setFresh, f.addr)                                                  // T: new flows
	r.set(f, plain, setFiltered, f.addr)                                                 // E with a whitelist
	r.set(f, nftables.Set{Interval: true}, setAllowed, f.addr, f.addr)                   // E, range of sources
	r.set(f, plain, setCapped, f.addr)                                                   // E with its limit
	r.set(f, plain, setEmpty, f.addr)                                                    // E without a backend
	r.set(f, counter, setNotAllowed, f.addr)                                             // E: refusals
	r.set(f, counter, setOverLimit, f.addr)                                              // E: refusals
	r.set(f, counter, setNoBackend, f.addr)                                              // E: refusals
	r.set(f, nftables.Set{IsMap: true, DataType: nftables.TypeVerdict}, setWays, f.addr) // T -> turns_N
	r.set(f, nftables.Set{IsMap: true, DataType: target}, setBackends,
		append(port, nftables.TypeMark)...) // T, protocol, port, turn -> backend, port
	r.set(f, nftables.Set{KeyByteOrder: binaryutil.NativeEndian}, setClosed, nftables.TypeIFName) // interfaces that we made forward
}

// The names of sets, to which the family's 4 or 6 is added.
const (
	setPorts      = "ports"
	setOpen       = "open"
	setBack       = "back"
	setFresh      = "fresh"
	setFiltered   = "filtered"
	setAllowed    = "allowed"
	setCapped     = "capped"
	setEmpty      = "empty"
	setNotAllowed = "not_allowed"
	setOverLimit  = "over_limit"
	setNoBackend  = "no_backend"
	setWays       = "ways"
	setBackends   = "backends"
	setClosed     = "closed"
	setFamilies   = "closed_families"
	setGuarded    = "guarded"
	setMarks      = "marks"
)

// gateReset accepts the resets that the gate sends to backends: they belong to the
// flows that it refuses, and nothing else of TCP is related to a flow without a helper.
func gateReset() match {
	return slices.Concat(ctState(ctRelated), tcpFlags(tcpRst, expr.CmpOpEq, tcpRst), to(expr.VerdictAccept, ""))
}

// addAdmission writes what a packet meets that would begin a flow to an endpoint.
//
// Only a SYN begins a TCP flow: connection tracking would take up a flow in its
// middle (nf_conntrack_tcp_loose), and so a flow of an older admission could go on
// in a newer one. Its reset has the right numbers, so it also ends the peer. What
// connection tracking calls invalid is dropped: untranslated, the namespace itself
// would answer it with a reset.
func (r *ruleset) addAdmission() {
	var admit [][]expr.Any
	for _, f := range []family{ipv4, ipv6} {
		dst := func() *fields { return load(f).dst() }
		r.chain("count_not_allowed"+f.suffix,
			rule(load(f).dst().src().in(setAllowed), to(expr.VerdictReturn, "")),
			rule(dst().in(setNotAllowed), to(expr.VerdictGoto, "refuse")),
			rule(to(expr.VerdictGoto, "refuse")))
		for _, set := range []string{setNoBackend, setOverLimit} {
			r.chain("count_"+set+f.suffix,
				rule(dst().in(set), to(expr.VerdictGoto, "refuse")),
				rule(to(expr.VerdictGoto, "refuse")))
		}
		r.chain("admit"+f.suffix,
			rule(ctState(ctInvalid), to(expr.VerdictDrop, "")),
			rule(tcpFlags(tcpFin|tcpSyn|tcpRst|tcpAck, expr.CmpOpNeq, tcpSyn), to(expr.VerdictGoto, "refuse")),
			rule(dst().in(setFiltered), to(expr.VerdictJump, "count_not_allowed"+f.suffix)),
			rule(dst().in(setEmpty), to(expr.VerdictGoto, "count_no_backend"+f.suffix)),
			// The element counts the flow and matches only where there are too many.
			rule(dst().in(setCapped), to(expr.VerdictGoto, "count_over_limit"+f.suffix)))
		admit = append(admit, rule(is(f), load(f).dst().proto().dport().mapped(setPorts),
			to(expr.VerdictGoto, "admit"+f.suffix)))
	}
	r.chain("admit", admit...)
	begins := rule(ctState(ctNew|ctInvalid), to(expr.VerdictGoto, "admit"))
	goesOn := rule(ctDirection(dirOriginal), translated(), to(expr.VerdictGoto, firstGate))
	r.base("prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, beforeTranslation,
		rule(fromLink(), to(expr.VerdictJump, "from_link")), begins, goesOn)
	r.base("output_admission", nftables.ChainTypeFilter, nftables.ChainHookOutput, beforeTranslation, begins, goesOn)
}

// addGate writes what stands between a namespace and a link. In the consumer's
// namespace a packet passes only with its admission's element; in the provider's
// only what was translated by us and the answers to it. To a link nothing is answered
// with a reset: that would come from an address of the transit range.
func (r *ruleset) addGate(transit4, transit6 netip.Prefix) {
	accept, refuse := to(expr.VerdictAccept, ""), to(expr.VerdictGoto, "refuse")
	var fresh, out, back [][]expr.Any
	for _, f := range []family{ipv4, ipv6} {
		fresh = append(fresh, rule(is(f), load(f).dst().in(setFresh), accept))
		out = append(out, rule(ctDirection(dirOriginal), translated(), is(f), load(f).dst().in(setOpen),
			to(expr.VerdictGoto, "passed")))
		back = append(back, rule(is(f), load(f).src().in(setBack), accept))
	}
	r.chain("passed", slices.Concat([][]expr.Any{rule(ctState(ctEstablished|ctRelated), accept)}, fresh, [][]expr.Any{rule(accept)})...)
	r.chain("to_link", append(out,
		rule(ctDirection(dirReply), translated(), accept),
		// The resets that the gate itself sends, and what provokes them.
		rule(gateReset()),
		rule(ctState(ctUntracked), marked(), accept),
		rule(to(expr.VerdictDrop, "")))...)
	r.chain("from_link_reply", append(back, rule(refuse))...)
	r.chain("from_link",
		rule(ctState(ctInvalid), to(expr.VerdictDrop, "")),
		rule(ctDirection(dirReply), to(expr.VerdictGoto, "from_link_reply")),
		rule(ctState(ctNew), tcpFlags(tcpFin|tcpSyn|tcpRst|tcpAck, expr.CmpOpNeq, tcpSyn), refuse))
	// What no map translated has no business here. This runs behind the maps.
	r.chain("translated", rule(translated(), accept), rule(refuse))
	r.base("prerouting_translated", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, afterTranslation,
		rule(fromLink(), to(expr.VerdictGoto, "translated")))

	forward := [][]expr.Any{
		rule(toLink(), to(expr.VerdictGoto, "to_link")),
		rule(fromLink(), accept),
	}
	for _, f := range []family{ipv4, ipv6} {
		name := match{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg}}
		forward = append(forward, rule(is(f), name, (&fields{f: f}).in(setClosed), to(expr.VerdictDrop, "")))
	}
	proto := match{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg}}
	forward = append(forward, rule(proto, (&fields{}).in(setFamilies), to(expr.VerdictDrop, "")))
	r.base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, filtering, forward...)
	// A packet of the namespace itself was routed before its address was translated,
	// so its outgoing interface does not tell.
	r.base("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, filtering,
		rule(within(transit4), to(expr.VerdictGoto, "to_link")),
		rule(within(transit6), to(expr.VerdictGoto, "to_link")),
		rule(toLink(), to(expr.VerdictGoto, "to_link")))
}

// addTranslation writes the address translation. A new flow's first packet meets
// it; connection tracking repeats it for all others.
func (r *ruleset) addTranslation() {
	r.base("output_mark", nftables.ChainTypeFilter, nftables.ChainHookOutput, beforeTracking,
		rule(marked(), match{&expr.Notrack{}}))
	var pre, out [][]expr.Any
	for _, f := range []family{ipv4, ipv6} {
		for n := uint32(1); n <= maxBackends; n++ {
			r.chain(turns(f, int(n)),
				rule(load(f).dst().proto().dport().turn(n).mapped(setBackends), translate(f, true)))
		}
		endpoint := rule(is(f), load(f).dst().proto().dport().mapped(setPorts), translate(f, false))
		pre = append(pre, rule(fromLink(), is(f), load(f).dst().verdict(setWays)), endpoint)
		out = append(out, endpoint)
	}
	r.base("translate", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, translation, pre...)
	r.base("output_translate", nftables.ChainTypeNAT, nftables.ChainHookOutput, translation, out...)
	masquerade := match{&expr.Masq{}}
	r.base("masquerade", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, sourceTranslation,
		rule(toLink(), ctDirection(dirOriginal), translated(), masquerade),
		rule(fromLink(), ctDirection(dirOriginal), translated(), masquerade))
}

// turns names the chain that takes n backends in turn.
func turns(f family, n int) string { return "turns" + f.suffix + "_" + strconv.Itoa(n) }

// addGuard writes the rules that silence sockets of the user-space engine. They
// need no connection tracking.
func (r *ruleset) addGuard() {
	r.chain(guardVersion)
	none := family{}
	r.set(none, nftables.Set{KeyByteOrder: binaryutil.NativeEndian}, setMarks, nftables.TypeMark)
	var rules [][]expr.Any
	for _, f := range []family{ipv4, ipv6} {
		r.set(f, nftables.Set{}, setGuarded, f.addr, nftables.TypeInetProto, nftables.TypeInetService)
		rules = append(rules, rule(is(f), load(f).src().proto().sport().in(setGuarded), to(expr.VerdictGoto, "silence")))
	}
	rules = append(rules, rule(match{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}},
		(&fields{}).in(setMarks), to(expr.VerdictGoto, "silence")))
	r.chain("silence",
		rule(tcpFlags(tcpRst, expr.CmpOpEq, tcpRst), to(expr.VerdictAccept, "")),
		rule(to(expr.VerdictDrop, "")))
	r.base("guard", nftables.ChainTypeFilter, nftables.ChainHookOutput, filtering, rules...)
}

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The message types and attributes of connection tracking
// (nfnetlink_conntrack.h), which golang.org/x/sys/unix does not name.
const (
	ctMsgGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	ctMsgDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoInfo  = 4
	ctaFilter     = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3

	ctaProtoInfoTCP = 1
	ctaTCPState     = 1

	ctaFilterOrig  = 1
	ctaFilterReply = 2
	filterIPSrc    = 1 << 0
	filterIPDst    = 1 << 1
)

// The states of TCP that matter (nf_conntrack_tcp.h).
const (
	tcpEstablished = 3
	tcpLastAck     = 6
	tcpTimeWait    = 7
	tcpClose       = 8
)

// tuple is one direction of a flow.
type tuple struct{ src, dst netip.AddrPort }

// flow is an entry of connection tracking.
type flow struct {
	proto       byte
	state       byte // of TCP
	orig, reply tuple
}

// live says whether the flow is one that counts: not one that has ended and waits
// to be forgotten.
func (f *flow) live() bool { return f.proto != unix.IPPROTO_TCP || f.state <= tcpLastAck }

// side says where in a flow's tuples an admission's transit address stands.
type side bool

const (
	// consumerSide: the answers come from it.
	consumerSide side = false
	// providerSide: the flow was sent to it.
	providerSide side = true
)

// of says whether the flow is one of the transit address.
func (f *flow) of(s side, addr netip.Addr) bool {
	if s == providerSide {
		return f.orig.dst.Addr() == addr
	}
	return f.reply.src.Addr() == addr
}

// only restricts a dump or a deletion to the flows of one transit address, which the
// kernel compares since 5.8. It is for IPv4 alone: with IPv6 addresses the comparison
// is the wrong way round (ctnetlink_filter_match_tuple up to 6.18 at least), and so
// would delete every flow but those meant.
func only(e *encoder, s side, addr netip.Addr) {
	outer, inner, filter, bit := uint16(ctaTupleReply), uint16(ctaIPv4Src), uint16(ctaFilterReply), uint32(filterIPSrc)
	if s == providerSide {
		outer, inner, filter, bit = ctaTupleOrig, ctaIPv4Dst, ctaFilterOrig, filterIPDst
	}
	t := e.nest(outer)
	ip := e.nest(ctaTupleIP)
	e.attr(inner, addr.AsSlice())
	e.end(ip)
	e.end(t)
	f := e.nest(ctaFilter)
	e.attr(filter, native(bit))
	e.end(f)
}

// flows calls each for the flows of one transit address, or with the zero address
// for all flows of the family.
func (s *socket) flows(v6 bool, where side, addr netip.Addr, each func(*flow)) error {
	proto := uint8(unix.AF_INET)
	if v6 {
		proto = unix.AF_INET6
	}
	var f flow
	err := s.exchange(func(e *encoder) {
		e.message(ctMsgGet, unix.NLM_F_DUMP, proto, 0)
		if addr.Is4() {
			only(e, where, addr)
		}
		e.done()
	}, func(_ uint16, body []byte) error {
		if err := f.parse(body); err != nil {
			return err
		}
		if !addr.IsValid() || f.of(where, addr) {
			each(&f)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read connection tracking: %w", err)
	}
	return nil
}

// forget deletes flows of one transit address, which are as the consumer's namespace
// has them. Of many it deletes all that the address has.
func (s *socket) forget(where side, addr netip.Addr, list []flow) error {
	if len(list) > fewFlows && addr.Is4() {
		err := s.exchange(func(e *encoder) {
			e.message(ctMsgDelete, unix.NLM_F_ACK, unix.AF_INET, 0)
			only(e, where, addr)
			e.done()
		}, nil)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("delete from connection tracking: %w", err)
		}
		// Before 6.6 a deletion takes one whole tuple alone, and refuses this one.
	}
	for i := range list {
		f := list[i].seenFrom(where)
		if err := s.forgetOne(&f); err != nil {
			return err
		}
	}
	return nil
}

// forgetAll deletes every flow of one transit address, whatever the other side has.
func (s *socket) forgetAll(where side, addr netip.Addr) error {
	var list []flow
	if err := s.flows(addr.Is6(), where, addr, func(f *flow) { list = append(list, *f) }); err != nil {
		return err
	}
	for i := range list {
		if err := s.forgetOne(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// seenFrom turns a flow as the consumer's namespace has it into the same as the
// other side has it, of which the original direction is known.
func (f *flow) seenFrom(s side) flow {
	if s == providerSide {
		return flow{proto: f.proto, orig: tuple{f.reply.dst, f.reply.src}}
	}
	return *f
}

// state looks up the state of one TCP flow by its original direction; 0 where it is
// not tracked.
func (s *socket) state(f *flow) (state byte, err error) {
	var got flow
	err = s.exchange(func(e *encoder) {
		e.message(ctMsgGet, unix.NLM_F_ACK, familyOf(f.orig.src.Addr()).proto, 0)
		writeTuple(e, f.proto, f.orig)
		e.done()
	}, func(_ uint16, body []byte) error { return got.parse(body) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return 0, fmt.Errorf("look up a flow in connection tracking: %w", err)
	}
	return got.state, nil
}

// forgetOne deletes one flow; one that is gone already is fine.
func (s *socket) forgetOne(f *flow) error {
	err := s.exchange(func(e *encoder) {
		e.message(ctMsgDelete, unix.NLM_F_ACK, familyOf(f.orig.src.Addr()).proto, 0)
		writeTuple(e, f.proto, f.orig)
		e.done()
	}, nil)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete a flow from connection tracking: %w", err)
	}
	return nil
}

// writeTuple writes the original direction of a flow.
func writeTuple(e *encoder, proto byte, t tuple) {
	src, dst := uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if t.src.Addr().Is6() {
		src, dst = ctaIPv6Src, ctaIPv6Dst
	}
	outer := e.nest(ctaTupleOrig)
	ip := e.nest(ctaTupleIP)
	e.attr(src, t.src.Addr().AsSlice())
	e.attr(dst, t.dst.Addr().AsSlice())
	e.end(ip)
	p := e.nest(ctaTupleProto)
	e.attr(ctaProtoNum, []byte{proto})
	e.attr(ctaProtoSrcPort, binary.BigEndian.AppendUint16(nil, t.src.Port()))
	e.attr(ctaProtoDstPort, binary.BigEndian.AppendUint16(nil, t.dst.Port()))
	e.end(p)
	e.end(outer)
}

// parse reads one entry. What it does not know, such as ICMP, has zero ports.
func (f *flow) parse(body []byte) error {
	if len(body) < sizeofNfgenmsg {
		return errShort
	}
	*f = flow{}
	return attributes(body[sizeofNfgenmsg:], func(typ uint16, b []byte) error {
		switch typ {
		case ctaTupleOrig:
			return f.tuple(&f.orig, b)
		case ctaTupleReply:
			return f.tuple(&f.reply, b)
		case ctaProtoInfo:
			return attributes(b, func(typ uint16, b []byte) error {
				if typ != ctaProtoInfoTCP {
					return nil
				}
				return attributes(b, func(typ uint16, b []byte) error {
					if typ == ctaTCPState && len(b) == 1 {
						f.state = b[0]
					}
					return nil
				})
			})
		}
		return nil
	})
}

func (f *flow) tuple(t *tuple, b []byte) error {
	var src, dst netip.Addr
	var sport, dport uint16
	err := attributes(b, func(typ uint16, b []byte) error {
		return attributes(b, func(inner uint16, b []byte) error {
			switch {
			case typ == ctaTupleIP && (inner == ctaIPv4Src || inner == ctaIPv6Src):
				src, _ = netip.AddrFromSlice(b)
			case typ == ctaTupleIP && (inner == ctaIPv4Dst || inner == ctaIPv6Dst):
				dst, _ = netip.AddrFromSlice(b)
			case typ == ctaTupleProto && inner == ctaProtoNum && len(b) == 1:
				f.proto = b[0]
			case typ == ctaTupleProto && inner == ctaProtoSrcPort && len(b) == 2:
				sport = binary.BigEndian.Uint16(b)
			case typ == ctaTupleProto && inner == ctaProtoDstPort && len(b) == 2:
				dport = binary.BigEndian.Uint16(b)
			}
			return nil
		})
	})
	t.src, t.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return err
}

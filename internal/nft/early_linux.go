package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Address translation looks at the first packet of a flow alone. A client that tried
// an endpoint before it was open has left a flow without translation in connection
// tracking, and while that is remembered everything the client sends from the same
// port goes untranslated to the namespace itself. A name server that keeps asking
// would be refused for ever. So the path forgets such flows once its ports lead
// somewhere.

// More of nfnetlink_conntrack.h.
const (
	// ctaStatusMask says which bits of CTA_STATUS a dump is restricted by. Before Linux
	// 5.17 it has no effect.
	ctaStatusMask = 26

	ctMsgStats      = unix.NFNL_SUBSYS_CTNETLINK<<8 | 5
	ctaStatsEntries = 1
)

// entries is how many flows the namespace tracks.
func (s *socket) entries() (n uint32, err error) {
	err = s.exchange(func(e *encoder) {
		e.message(ctMsgStats, unix.NLM_F_ACK, unix.AF_UNSPEC, 0)
		e.done()
	}, func(_ uint16, body []byte) error {
		if len(body) < sizeofNfgenmsg {
			return errShort
		}
		return attributes(body[sizeofNfgenmsg:], func(typ uint16, b []byte) error {
			if typ == ctaStatsEntries && len(b) == 4 {
				n = binary.BigEndian.Uint32(b)
			}
			return nil
		})
	})
	if err != nil {
		return 0, fmt.Errorf("count what connection tracking has: %w", err)
	}
	return n, nil
}

// untranslated calls each for the flows of the family whose destination no rule has
// changed.
func (s *socket) untranslated(f family, each func(*flow)) error {
	var fl flow
	err := s.exchange(func(e *encoder) {
		e.message(ctMsgGet, unix.NLM_F_DUMP, f.proto, 0)
		e.uint32(ctaStatus, 0)
		e.uint32(ctaStatusMask, statusDNAT)
		e.done()
	}, func(_ uint16, body []byte) error {
		if err := fl.parse(body); err != nil {
			return err
		}
		if fl.reply.src == fl.orig.dst {
			each(&fl)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read connection tracking: %w", err)
	}
	return nil
}

// untranslatedNow returns the flows of the family that no rule has translated, by both
// of their addresses.
func (s *space) untranslatedNow(f family) (map[netip.Addr][]flow, error) {
	return s.early[f.proto == ipv6.proto].get(func() (map[netip.Addr][]flow, error) {
		flows := map[netip.Addr][]flow{}
		err := s.track.untranslated(f, func(fl *flow) {
			src, dst := fl.orig.src.Addr(), fl.orig.dst.Addr()
			flows[dst] = append(flows[dst], *fl)
			if src != dst {
				flows[src] = append(flows[src], *fl)
			}
		})
		return flows, err
	})
}

// welcome lets the clients in that tried the new ports before they were open. It comes
// after the ports. The caller holds p.mu.
func (p *Path) welcome() error {
	if len(p.fresh) == 0 {
		return nil
	}
	n, err := p.c.track.entries()
	if err != nil {
		return err
	}
	var all map[netip.Addr][]flow
	if n > 0 { // a walk takes milliseconds, even through nothing
		if all, err = p.c.untranslatedNow(p.f); err != nil {
			return err
		}
	}
	// The first packet that is remembered can be an answer of who had the port before.
	ours := func(proto byte, at netip.AddrPort) bool {
		return at.Addr() == p.spec.Address && p.fresh[port{proto, at.Port()}]
	}
	for _, f := range all[p.spec.Address] {
		if !ours(f.proto, f.orig.dst) && !ours(f.proto, f.orig.src) {
			continue
		}
		if err := p.c.track.forgetOne(&f); err != nil {
			return err
		}
	}
	clear(p.fresh)
	return nil
}

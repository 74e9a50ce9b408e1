package nft

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firstGate is the chain that refuses the packets of a closed admission's flows before
// they are translated, so that the reset comes from the endpoint. Behind the
// translation it would come from the transit address where the client is behind a
// bridge whose packets meet these rules (br_netfilter): such a reset leaves through
// the bridge's port as it was made.
const firstGate = "gate"

// keyCtSource are the keys of a flow's source address by family, of one length each.
// The library writes only the older key for both, which nft(8) cannot list.
var keyCtSource = map[byte]uint32{unix.NFPROTO_IPV4: unix.NFT_CT_SRC_IP, unix.NFPROTO_IPV6: unix.NFT_CT_SRC_IP6}

// fillFirstGate writes the rules of the first gate, and then the chain that says that
// the rules are whole. It is the second transaction of two: the sets must be there.
//
// A lookup that is to find nothing counts nothing in the set.
func (s *space) fillFirstGate(transit4, transit6 netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths {
		return nil
	}
	var failed error
	err := s.table.exchange(func(e *encoder) {
		batch(e, func() {
			failed = writeRule(e, gateReset())
			for _, t := range []netip.Prefix{transit4, transit6} {
				f := familyOf(t.Addr())
				failed = errors.Join(failed, writeRule(e, rule(
					inPrefix(t, data), notIn(reg, setOpen+f.suffix), to(expr.VerdictGoto, "refuse")), f))
			}
			e.message(nftMsgOffset|unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_ACK, unix.NFPROTO_INET, 0)
			e.text(unix.NFTA_CHAIN_TABLE, tableName)
			e.text(unix.NFTA_CHAIN_NAME, pathsVersion)
			e.done()
		})
	}, nil)
	if err := errors.Join(failed, err); err != nil {
		return fmt.Errorf("make table %s in %s: %w", tableName, s.ns, err)
	}
	s.paths = true
	return nil
}

// writeRule writes a rule of the first gate. With a family it first loads the address
// that the flow's answers come from: the transit address, where we translated it.
func writeRule(e *encoder, parts []expr.Any, from ...family) error {
	e.message(nftMsgOffset|unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND|unix.NLM_F_ACK, unix.NFPROTO_INET, 0)
	e.text(unix.NFTA_RULE_TABLE, tableName)
	e.text(unix.NFTA_RULE_CHAIN, firstGate)
	list := e.nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, f := range from {
		item := e.nest(unix.NFTA_LIST_ELEM)
		e.text(unix.NFTA_EXPR_NAME, "ct")
		body := e.nest(unix.NFTA_EXPR_DATA)
		e.uint32(unix.NFTA_CT_KEY, keyCtSource[f.proto])
		e.uint32(unix.NFTA_CT_DREG, reg)
		e.attr(unix.NFTA_CT_DIRECTION, []byte{dirReply})
		e.end(body)
		e.end(item)
	}
	var failed error
	for _, part := range parts {
		b, err := expr.Marshal(unix.NFPROTO_INET, part)
		failed = errors.Join(failed, err)
		e.attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
	}
	e.end(list)
	e.done()
	return failed
}

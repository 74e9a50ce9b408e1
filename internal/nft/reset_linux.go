package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// injector sends, from inside a consumer's namespace, segments that make a peer of
// a cut flow show its sequence number.
//
// A reset counts only with the number the peer expects next (RFC 5961, 3.2), and
// nobody here knows it. But a peer answers a SYN within an established flow with an
// acknowledgement that holds its numbers (RFC 5961, 4.2), and that runs into the
// closed gate, which refuses it with a reset of exactly these numbers. So one SYN
// to each peer ends a flow at once, however idle it was. Destroying sockets
// (INET_DIAG_DESTROY) would reach only those of the two namespaces and tell their
// owner ECONNABORTED; this reaches every peer, and all see a reset by the other.
type injector struct {
	fd4, fd6 int // -1 without CAP_NET_RAW
}

// openInjector must be called inside the namespace.
func openInjector() (injector, error) {
	in := injector{-1, -1}
	for fd, family := range map[*int]int{&in.fd4: unix.AF_INET, &in.fd6: unix.AF_INET6} {
		var err error
		// IPPROTO_RAW implies that the header comes with the packet (raw(7)).
		*fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			*fd = -1
			continue
		}
		if err == nil {
			err = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_MARK, cutMark)
		}
		if err != nil {
			in.close()
			return injector{-1, -1}, fmt.Errorf("open raw socket: %w", err)
		}
	}
	return in, nil
}

func (in *injector) close() {
	for _, fd := range []*int{&in.fd4, &in.fd6} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// checkEvery is how many flows are reset between two looks at the context.
const checkEvery = 64

// provoke sends the client, the backend or both of each flow, which is as the
// consumer's namespace tracks it, the SYN that ends it. A peer that cannot be reached
// has nothing to be told, so errors of single packets are not returned.
func (in *injector) provoke(ctx context.Context, flows []flow, client, backend bool) error {
	var packet []byte
	for i := range flows {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		f := &flows[i]
		if f.proto != unix.IPPROTO_TCP || f.state == tcpTimeWait {
			continue
		}
		if client {
			packet = in.send(packet[:0], f.orig.dst, f.orig.src)
		}
		if backend {
			packet = in.send(packet[:0], f.reply.dst, f.reply.src)
		}
	}
	return nil
}

func (in *injector) send(b []byte, src, dst netip.AddrPort) []byte {
	b = appendSyn(b, src, dst, rand.Uint32())
	if a := dst.Addr(); a.Is4() && in.fd4 >= 0 {
		_ = unix.Sendto(in.fd4, b, 0, &unix.SockaddrInet4{Addr: a.As4()})
	} else if a.Is6() && in.fd6 >= 0 {
		_ = unix.Sendto(in.fd6, b, 0, &unix.SockaddrInet6{Addr: a.As16()})
	}
	return b
}

// A peer on another machine needs a round trip until its reset has passed, and a
// peer answers only one SYN in half a second (net.ipv4.tcp_invalid_ratelimit; a
// keep-alive probe counts too). So who is not seen to be reset is asked once more.
const (
	settleWait   = 20 * time.Millisecond
	settleRounds = 10
	askAgain     = 540 * time.Millisecond
)

// reset ends flows that do not pass any more, and returns once they are seen to have
// ended or will not be. The consumer's namespace sees the gate's reset of the client
// and the provider's that of the backend. The caller holds p.mu.
func (p *Path) reset(ctx context.Context, list []flow) error {
	if p.c.in.fd4 < 0 && p.c.in.fd6 < 0 {
		return nil // without CAP_NET_RAW there is nothing to wait for
	}
	begin := p.k.now()
	if err := p.c.in.provoke(ctx, list, true, false); err != nil {
		return err
	}
	clients, err := p.settle(ctx, p.c, consumerSide, list)
	if err != nil {
		return err
	}
	if err := p.c.in.provoke(ctx, list, false, true); err != nil {
		return err
	}
	backends, err := p.settle(ctx, p.p, providerSide, list)
	if err != nil || len(clients)+len(backends) == 0 {
		return err
	}
	if err := pause(ctx, askAgain-p.k.now().Sub(begin)); err != nil {
		return err
	}
	if err := p.c.in.provoke(ctx, clients, true, false); err != nil {
		return err
	}
	if err := p.c.in.provoke(ctx, backends, false, true); err != nil {
		return err
	}
	_, err = p.settle(ctx, p.p, providerSide, backends)
	return err
}

// settle waits until the namespace has seen the resets of the flows, which are as the
// consumer's namespace has them, and returns those without after the last round. The
// caller holds p.mu.
func (p *Path) settle(ctx context.Context, s *space, where side, list []flow) ([]flow, error) {
	if s == nil {
		return nil, nil
	}
	for round := range settleRounds {
		if round > 0 {
			if err := pause(ctx, settleWait); err != nil {
				return nil, err
			}
		}
		var err error
		if list, err = p.unsettled(s, where, list); err != nil || len(list) == 0 {
			return list, err
		}
	}
	return list, nil
}

// fewFlows are so few that looking each up by its tuple is cheaper than walking the
// whole table of connection tracking, which takes milliseconds whatever is in it.
const fewFlows = 500

// unsettled returns the TCP flows that the namespace has as living.
func (p *Path) unsettled(s *space, where side, list []flow) ([]flow, error) {
	states := map[tuple]byte{}
	if len(list) > fewFlows {
		err := s.track.flows(p.t.Is6(), where, p.t, func(f *flow) {
			if f.proto == unix.IPPROTO_TCP {
				states[f.orig] = f.state
			}
		})
		if err != nil {
			return nil, err
		}
	}
	var open []flow
	for _, f := range list {
		if f.proto != unix.IPPROTO_TCP || f.state == tcpTimeWait {
			continue
		}
		here := f.seenFrom(where)
		state := states[here.orig]
		if len(list) <= fewFlows {
			var err error
			if state, err = s.track.state(&here); err != nil {
				return nil, err
			}
		}
		if state >= tcpEstablished && state <= tcpLastAck {
			open = append(open, f)
		}
	}
	return open, nil
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The sizes and fields of the headers (RFC 791, RFC 8200, RFC 9293).
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	hops       = 64
)

// appendSyn writes an IP packet with a SYN without options.
func appendSyn(b []byte, src, dst netip.AddrPort, seq uint32) []byte {
	s, d := src.Addr(), dst.Addr()
	if s.Is4() {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, ipv4Header+tcpHeader)
		// The kernel fills in identification and header checksum (raw(7)).
		b = append(b, 0, 0, 0x40 /* do not fragment */, 0, hops, unix.IPPROTO_TCP, 0, 0)
	} else {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, tcpHeader)
		b = append(b, unix.IPPROTO_TCP, hops)
	}
	b = append(append(b, s.AsSlice()...), d.AsSlice()...)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0, tcpHeader/4<<4, tcpSyn, 0xff, 0xff, 0, 0, 0, 0)

	sum := uint32(unix.IPPROTO_TCP + tcpHeader)
	for _, part := range [][]byte{s.AsSlice(), d.AsSlice(), b[at:]} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[at+16:], ^uint16(sum))
	return b
}

package forward

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// Ending says how a flow ended, or why a connection was refused.
type Ending string

// The endings. Each but Closed and Expired of a flow that was let in is a reset of
// both sides.
const (
	// Closed: both sides ended by themselves and have everything.
	Closed Ending = "closed"
	// Expired: a UDP session carried nothing for Spec.UDPTimeout.
	Expired Ending = "expired"
	// ResetByClient: the client reset its connection, or vanished.
	ResetByClient Ending = "reset_by_client"
	// ResetByBackend: the backend reset its connection, or vanished.
	ResetByBackend Ending = "reset_by_backend"
	// ByCut: the endpoint was cut.
	ByCut Ending = "cut"
	// ByUpdate: its mapping was removed or leads elsewhere.
	ByUpdate Ending = "port_changed"
	// Idle: it carried nothing for Spec.IdleTimeout.
	Idle Ending = "idle"
	// Drained: its backend address was removed, and Spec.Drain is over.
	Drained Ending = "drained"
	// BackendGone: the backend's machine said of a UDP session that nobody listens.
	BackendGone Ending = "backend_gone"
	// RefusedNotAllowed: the source is not in the whitelist.
	RefusedNotAllowed Ending = "refused_not_allowed"
	// RefusedNoBackend: the endpoint has no backend address.
	RefusedNoBackend Ending = "refused_no_backend"
	// RefusedOverLimit: the endpoint holds Spec.MaxConns flows already.
	RefusedOverLimit Ending = "refused_over_limit"
	// RefusedDialError: no backend address answered.
	RefusedDialError Ending = "refused_dial_error"
)

// refusal is the counter of a reason.
type refusal uint8

const (
	notAllowed refusal = iota
	noBackend
	overLimit
	dialError
	refusals // how many there are
	none     // let in
	closing  // the endpoint is being closed: refused, and not worth a count
)

var refusalEnding = [refusals]Ending{RefusedNotAllowed, RefusedNoBackend, RefusedOverLimit, RefusedDialError}

// passage is what both carriers know of a flow. The one who carries it uses it.
type passage struct {
	door       *door
	plan       *plan // as it was when the client came
	target     *target
	tried      uint64 // a bit for each backend address that was tried
	source     netip.AddrPort
	began      time.Duration // the engine's time
	turn       uint32
	serverPort uint16
}

// judge lets a client in or says why not. Who is let in holds a place until over. The
// whitelist comes first: to a stranger an endpoint looks the same in every state.
func (f *Forwarder) judge(d *door, source netip.AddrPort, now time.Duration) (passage, refusal) {
	if f.stage.Load() != open || d.removed.Load() {
		return passage{}, closing
	}
	p := f.plan.Load()
	reason := none
	switch {
	case !p.spec.allows(source.Addr()):
		reason = notAllowed
	case len(p.targets) == 0:
		reason = noBackend
	case !f.place(p.spec.MaxConns):
		reason = overLimit
	}
	if reason != none {
		f.refuse(d, source, reason, now)
		return passage{}, reason
	}
	f.total.Add(1)
	return passage{
		door: d, plan: p, source: source, began: now,
		turn: f.next.Add(1) - 1, serverPort: uint16(d.serverPort.Load()),
	}, none
}

// place takes one of limit places. It is exact however many ask at once.
func (f *Forwarder) place(limit int) bool {
	for {
		n := f.active.Load()
		if n >= int64(limit) {
			return false
		}
		if f.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// refuse counts and tells a connection that is not let in.
func (f *Forwarder) refuse(d *door, source netip.AddrPort, reason refusal, now time.Duration) {
	f.refusals[reason].Add(1)
	f.tell(passage{door: d, plan: f.plan.Load(), source: source, began: now}, refusalEnding[reason], 0, 0)
	f.debug("connection refused", "client_port", d.clientPort, "source", source, "reason", refusalEnding[reason])
}

// debug logs what happens to single connections, at a price only where it is wanted.
func (f *Forwarder) debug(msg string, args ...any) {
	ctx := context.Background()
	if f.engine.log.Enabled(ctx, slog.LevelDebug) {
		f.engine.log.With("endpoint_id", f.id).DebugContext(ctx, msg, args...) //nolint:sloglint // constant where it is called
	}
}

// choose makes the next backend address that is worth trying the flow's own, or
// reports false.
func (p *passage) choose(now time.Duration) bool {
	i := p.plan.pick(p.tried, p.turn, now)
	if i < 0 {
		return false
	}
	p.release()
	p.tried |= 1 << i
	p.target = p.plan.targets[i]
	p.target.active.Add(1)
	return true
}

// release gives the backend address back.
func (p *passage) release() {
	if p.target != nil {
		p.target.active.Add(-1)
		p.target = nil
	}
}

// failed notes that the flow's backend address did not answer.
func (p *passage) failed(now time.Duration, cause error) {
	f := p.door.f
	f.dialErrors.Add(1)
	p.target.suspect.Store(int64(now + suspicion))
	f.debug("backend does not answer", "backend", p.backend(), "err", cause)
}

// backend is where the flow goes, or nothing.
func (p *passage) backend() netip.AddrPort {
	if p.target == nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.target.addr, p.serverPort)
}

// address is what the client connected to.
func (p *passage) address() netip.AddrPort {
	return netip.AddrPortFrom(p.plan.spec.Address, p.door.clientPort)
}

// stale reports whether the flow's mapping is gone or leads elsewhere.
func (p *passage) stale() bool {
	return p.door.removed.Load() || uint32(p.serverPort) != p.door.serverPort.Load()
}

// quiet reports whether no byte of the flow may be written any more.
func (p *passage) quiet() bool { return p.door.f.stage.Load() == shut }

// over gives the flow's place back, counts how it ended and tells. It is the last
// thing of a flow, after its sockets are closed.
func (p *passage) over(how Ending, up, down uint64) {
	f := p.door.f
	switch how {
	case RefusedDialError:
		f.refusals[dialError].Add(1)
	case Closed, Expired, BackendGone:
	default:
		f.resets.Add(1)
	}
	f.tell(*p, how, up, down)
	p.release()
	if f.active.Add(-1) == 0 && f.awaited.Load() {
		f.tellDrained()
	}
}

// tell hands the flow to the flow log.
func (f *Forwarder) tell(p passage, how Ending, up, down uint64) {
	e := f.engine
	if e.flowLog == nil {
		return
	}
	end := e.now()
	e.flowLog(FlowRecord{
		Start: end.Add(p.began - end.Sub(e.epoch)), End: end,
		Endpoint: f.id, Protocol: Mapping{UDP: p.door.udp}.protocol(),
		Client: p.source, Address: p.address(), Backend: p.backend(),
		ToBackend: up, ToClient: down, Ending: how,
	})
}

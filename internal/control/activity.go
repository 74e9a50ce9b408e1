package control

import (
	"context"
	"sync"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// activities is what agents last told of endpoints: one entry per endpoint that
// exists and was told of. It is kept in memory only, since the agents tell again.
type activities struct {
	mu   sync.Mutex
	last map[sallyport.EndpointID]sallyport.Activity
}

func newActivities() *activities {
	return &activities{last: map[sallyport.EndpointID]sallyport.Activity{}}
}

func (a *activities) note(list []sallyport.Activity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, act := range list {
		a.last[act.Endpoint] = act
	}
}

func (a *activities) forget(id sallyport.EndpointID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, id)
}

// of returns what was told of the endpoint, zeros where nothing was.
func (a *activities) of(id sallyport.EndpointID) sallyport.Activity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id]
}

func (a *activities) all() []sallyport.Activity {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]sallyport.Activity, 0, len(a.last))
	for _, act := range a.last {
		out = append(out, act)
	}
	return out
}

// Observe takes the activity of endpoints; that of an endpoint which does not
// exist is dropped. An error means that none of it was kept.
func (a Agents) Observe(ctx context.Context, _ string, list []agentapi.Activity) error {
	p := a.p
	v, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	now := p.now()
	known := make([]sallyport.Activity, 0, len(list))
	for i := range list {
		if e, ok := v.Endpoint(sallyport.EndpointID(list[i].Endpoint)); ok {
			act := activityOf(e, &list[i])
			act.ObservedAt = now
			known = append(known, act)
		}
	}
	p.activities.note(known)
	// One that was removed since the view has been forgotten too early.
	after, err := p.store.View(ctx)
	for i := range known {
		id := known[i].Endpoint
		if err != nil {
			p.activities.forget(id)
		} else if _, ok := after.Endpoint(id); !ok {
			p.activities.forget(id)
		}
	}
	return err
}

func activityOf(e *sallyport.Endpoint, a *agentapi.Activity) sallyport.Activity {
	return sallyport.Activity{
		Endpoint: e.ID, Service: e.ServiceID, Since: a.Since, Flows: a.Flows, Total: a.Total,
		ToBackend: a.ToBackend, ToClient: a.ToClient, Resets: a.Resets, DialErrors: a.DialErrors, Last: a.Last,
		// Only the reasons of the protocol: what else an agent says is not kept.
		Refused: sallyport.Refusals{
			NotAllowed: a.Refused["not_allowed"], NoBackend: a.Refused["no_backend"],
			OverLimit: a.Refused["over_limit"], DialError: a.Refused["dial_error"],
		},
	}
}

// Activity returns what an endpoint carries, to the consumer who has it and to
// the owner of its service. Of one that no agent has told of, all numbers are 0.
func (p *Plane) Activity(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.Activity, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return sallyport.Activity{}, err
	}
	e, err := eitherSide(v, c, id)
	if err != nil {
		return sallyport.Activity{}, err
	}
	return p.activity(e), nil
}

// ConnectionActivity returns what one page of the connections of the caller's
// service carry, ordered as Connections orders them, and the number of all that
// match.
func (p *Plane) ConnectionActivity(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]sallyport.Activity, int, error) {
	page, total, err := p.Connections(ctx, c, q)
	if err != nil {
		return nil, 0, err
	}
	out := make([]sallyport.Activity, len(page))
	for i, e := range page {
		out[i] = p.activity(e)
	}
	return out, total, nil
}

// EachActivity calls fn for every endpoint that an agent has told of, in no
// order. It asks for no authorisation: it is for the operator's metrics.
func (p *Plane) EachActivity(fn func(sallyport.EndpointID, sallyport.ServiceID, sallyport.Activity)) {
	for _, act := range p.activities.all() {
		fn(act.Endpoint, act.Service, p.settled(act))
	}
}

func (p *Plane) activity(e *sallyport.Endpoint) sallyport.Activity {
	act := p.settled(p.activities.of(e.ID))
	act.Endpoint, act.Service = e.ID, e.ServiceID
	return act
}

// settled corrects the flows of an endpoint whose agent has ended them: what it
// carries no more, it does not tell of again.
func (p *Plane) settled(act sallyport.Activity) sallyport.Activity {
	if a, known := p.acks.latest(act.Endpoint); known && a.state != agentapi.StateOpen && !a.gated {
		act.Flows = 0
	}
	return act
}

// forget drops what agents have said of an endpoint that no longer exists, and
// wakes those who wait for its end.
func (p *Plane) forget(id sallyport.EndpointID) {
	p.acks.forget(id)
	p.activities.forget(id)
}

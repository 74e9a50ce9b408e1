package agent

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

// serve is the worker of one endpoint: it carries out the newest spec until
// there is no newer one. Results are reported beside the work, so that a cut
// never waits for the store to take an older result.
func (a *Agent) serve(ctx context.Context, p *port) {
	if p.first {
		defer a.first.Done()
		p.first = false
	}
	for {
		sp, more := a.next(p)
		if !more {
			return
		}
		if sp.Open && p.carried.path == nil {
			if !a.turn(ctx, p) {
				continue // wanted otherwise before its turn came
			}
			r := a.open(ctx, p, sp, 0)
			<-a.opening
			a.opened(ctx, r)
			continue
		}
		a.apply(ctx, p, sp)
	}
}

// next returns what is wanted of the endpoint where it is news, and otherwise
// ends the worker's turn.
func (a *Agent) next(p *port) (agentapi.Spec, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.fresh {
		p.fresh = false
		return p.want, true
	}
	p.busy = false
	if p.carried.path == nil {
		// Nothing stands: closed, or it could not be opened. Whatever comes for it
		// next begins anew, and if nothing does, nothing is kept.
		delete(a.ports, p.id)
	}
	return agentapi.Spec{}, false
}

// turn waits for a place among those who open, and gives up when something else
// is wanted of the endpoint or ctx ends.
func (a *Agent) turn(ctx context.Context, p *port) bool {
	for {
		select {
		case a.opening <- struct{}{}:
			return true
		case <-p.poke:
			a.mu.Lock()
			fresh := p.fresh
			a.mu.Unlock()
			if fresh {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// apply brings what is carried to the spec and reports how far it got.
func (a *Agent) apply(ctx context.Context, p *port, sp agentapi.Spec) {
	closed := agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateClosed}
	if !sp.Open {
		var gated <-chan struct{}
		if p.carried.path != nil {
			closed.Flows = a.cut(ctx, p, func() {
				early := closed
				early.Gated = true
				gated = a.tell(ctx, early, nil)
			})
		}
		a.tell(ctx, closed, gated)
		return
	}
	flows := 0
	if p.carried.path != nil && p.carried.admitted != sp.Admitted {
		flows = a.cut(ctx, p, nil)
	}
	if p.carried.path == nil {
		a.tell(ctx, a.open(ctx, p, sp, flows), nil)
		return
	}
	es, err := a.engineSpec(sp)
	if err == nil {
		err = p.carried.path.Update(ctx, es)
	}
	if err == nil {
		a.publish(ctx, p, sp)
		a.tell(ctx, result(sp, p.carried.path, nil, 0), nil)
		return
	}
	// The old spec would still stand: what is reported as failed carries nothing.
	flows = a.cut(ctx, p, nil)
	if errors.Is(err, engine.ErrReopen) {
		a.tell(ctx, a.open(ctx, p, sp, flows), nil)
		return
	}
	a.tell(ctx, result(sp, nil, err, flows), nil)
}

// cut ends what stands for the endpoint and returns the number of flows that were
// reset. It calls gated, where there is one, as soon as nothing passes any more
// while flows are still to be reset. A gate that cannot be closed is tried again
// until ctx ends: nobody is told of a cut that did not happen.
func (a *Agent) cut(ctx context.Context, p *port, gated func()) int {
	path := p.carried.path
	a.unpublish(p)
	for {
		err := path.Shut(ctx)
		if err == nil {
			break
		}
		a.opt.Log.ErrorContext(ctx, "closing the gate of an endpoint", "endpoint", p.id, "err", err)
		if pause(ctx); ctx.Err() != nil {
			break
		}
	}
	if gated != nil && path.Gated() {
		gated()
	}
	flows, err := path.Finish(context.WithoutCancel(ctx))
	if err != nil {
		a.opt.Log.ErrorContext(ctx, "resetting the flows of an endpoint", "endpoint", p.id, "err", err)
	}
	a.carry(p, carried{})
	return flows
}

// open opens a path; flows is what was reset before.
func (a *Agent) open(ctx context.Context, p *port, sp agentapi.Spec, flows int) agentapi.Report {
	es, err := a.engineSpec(sp)
	var path *engine.Path
	if err == nil {
		path, err = a.opt.Engines.Open(ctx, es)
	}
	if err == nil {
		a.carry(p, carried{path: path, admitted: sp.Admitted, since: a.opt.Now(), network: es.Listen})
		a.publish(ctx, p, sp)
	}
	return result(sp, path, err, flows)
}

// publish makes the spec's names those that resolve to the endpoint.
func (a *Agent) publish(ctx context.Context, p *port, sp agentapi.Spec) {
	if a.opt.Names == nil {
		return
	}
	for _, name := range p.carried.names {
		if !slices.Contains(sp.Names, name) {
			a.opt.Names.Remove(p.carried.network, name)
		}
	}
	for _, name := range sp.Names {
		if err := a.opt.Names.Set(p.carried.network, name, sp.Address); err != nil {
			a.opt.Log.WarnContext(ctx, "publishing a name", "endpoint", p.id, "name", name, "err", err)
		}
	}
	a.mu.Lock()
	p.carried.names = sp.Names
	a.mu.Unlock()
}

// unpublish makes the names of the endpoint resolve no more.
func (a *Agent) unpublish(p *port) {
	if a.opt.Names == nil {
		return
	}
	for _, name := range p.carried.names {
		a.opt.Names.Remove(p.carried.network, name)
	}
}

func result(sp agentapi.Spec, path *engine.Path, err error, flows int) agentapi.Report {
	r := agentapi.Report{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateOpen, Flows: flows}
	switch {
	case err == nil:
		for _, c := range path.Choices() {
			w := agentapi.Path{Protocol: agentapi.TCP, Client: c.Mapping.Client, Engine: agentapi.Engine(c.Engine), Reason: c.Reason}
			if c.Mapping.UDP {
				w.Protocol = agentapi.UDP
			}
			r.Paths = append(r.Paths, w)
		}
	case sp.Tolerant && netattach.IsUnbindable(err):
		r.State = agentapi.StateUnattached
	default:
		r.State, r.Message = agentapi.StateFailed, err.Error()
	}
	return r
}

// tell reports one result beside the work, after the report that earlier stands
// for, and returns what is closed when the server has taken it.
func (a *Agent) tell(ctx context.Context, r agentapi.Report, earlier <-chan struct{}) <-chan struct{} {
	done := make(chan struct{})
	a.work.Go(func() {
		defer close(done)
		if earlier != nil {
			<-earlier
		}
		a.report(ctx, []agentapi.Report{r})
	})
	return done
}

// opened reports the result of an opening, together with others if there are many.
func (a *Agent) opened(ctx context.Context, r agentapi.Report) {
	select {
	case a.results <- r:
	default:
		a.tell(ctx, r, nil)
	}
}

// reportOpenings reports the results of openings until ctx ends, all that wait in
// one call: a thousand new endpoints shall not be a thousand transactions that a
// decision finds before it.
func (a *Agent) reportOpenings(ctx context.Context) {
	for {
		select {
		case r := <-a.results:
			chunk := []agentapi.Report{r}
			for more := true; more && len(chunk) < reportChunk; {
				select {
				case r := <-a.results:
					chunk = append(chunk, r)
				default:
					more = false
				}
			}
			a.report(ctx, chunk)
		case <-ctx.Done():
			return
		}
	}
}

// report hands in results until the server has taken them or ctx ends.
func (a *Agent) report(ctx context.Context, rs []agentapi.Report) {
	for {
		err := a.opt.Server.Report(ctx, a.opt.Name, rs)
		if err == nil || ctx.Err() != nil {
			return
		}
		a.opt.Log.WarnContext(ctx, "reporting", "results", len(rs), "err", err)
		pause(ctx)
	}
}

// drain lets flows go on for a while, without new ones.
func (a *Agent) drain(ctx context.Context) {
	if a.opt.Drain <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opt.Drain)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range a.standing() {
		all.Go(func() {
			if err := p.carried.path.StopNew(ctx); err != nil {
				a.opt.Log.WarnContext(ctx, "letting in nothing new", "endpoint", p.id, "err", err)
			}
			p.carried.path.Wait(ctx)
		})
	}
	all.Wait()
}

// cutAll ends every path, all at once.
func (a *Agent) cutAll(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	var all sync.WaitGroup
	for _, p := range a.standing() {
		all.Go(func() { a.end(ctx, p) })
	}
	all.Wait()
	a.mu.Lock()
	clear(a.ports)
	a.mu.Unlock()
}

// end ends one path when the agent stops. Nobody is told.
func (a *Agent) end(ctx context.Context, p *port) {
	a.unpublish(p)
	err := p.carried.path.Shut(ctx)
	_, ferr := p.carried.path.Finish(ctx)
	if err = errors.Join(err, ferr); err != nil {
		a.opt.Log.ErrorContext(ctx, "ending an endpoint", "endpoint", p.id, "err", err)
	}
}

// standing returns the ports that carry something.
func (a *Agent) standing() []*port {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*port, 0, len(a.ports))
	for _, p := range a.ports {
		if p.carried.path != nil {
			out = append(out, p)
		}
	}
	return out
}

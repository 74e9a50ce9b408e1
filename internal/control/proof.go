package control

import (
	"context"
	"fmt"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// auditScan is how many records one call of Audit looks at, at most: the log is
// that of every account, and a caller sees only what concerns its project.
const auditScan = 10_000

// Enforcement returns what the data plane last said about an endpoint, to the
// consumer who has it and to the owner of its service.
func (p *Plane) Enforcement(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.Enforcement, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return sallyport.Enforcement{}, err
	}
	e, err := eitherSide(v, c, id)
	if err != nil {
		return sallyport.Enforcement{}, err
	}
	out := sallyport.Enforcement{Endpoint: e, State: "unknown"}
	if e.Unattached {
		out.State = string(agentapi.StateUnattached)
		return out, nil
	}
	if a, known := p.acks.latest(id); known {
		out.State, out.Agent, out.Revision, out.At, out.FlowsReset = string(a.state), a.agent, a.rev, a.at, a.flows
		out.Gated, out.Paths = a.gated, a.paths
	}
	return out, nil
}

// eitherSide returns an endpoint to the consumer who has it and to the owner of
// its service; else nobody learns whether it exists.
func eitherSide(v sallyport.View, c sallyport.Call, id sallyport.EndpointID) (*sallyport.Endpoint, error) {
	e, ok := v.Endpoint(id)
	if ok && e.ProjectID != c.Project {
		_, err := owned(v, c, e.ServiceID)
		ok = err == nil
	}
	if !ok {
		return nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonEndpointNotFound, "endpoint %s does not exist", id)
	}
	return e, nil
}

// Audit returns up to limit records beyond since that concern the caller's
// project: what its users did, and what happened to its services and endpoints.
// The revision is where the next call goes on.
func (p *Plane) Audit(ctx context.Context, c sallyport.Call, since sallyport.Revision, limit int) ([]sallyport.Record, sallyport.Revision, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, since, err
	}
	var out []sallyport.Record
	for seen := 0; seen < auditScan && len(out) < limit; {
		page, err := p.store.Audit(ctx, since, min(limit, sallyport.MaxPage))
		if err != nil {
			return nil, since, fmt.Errorf("read the log: %w", err)
		}
		for i := range page {
			if len(out) == limit {
				break
			}
			since = page[i].Rev
			if concerns(v, c, &page[i]) {
				out = append(out, page[i])
			}
		}
		seen += len(page)
		if len(page) == 0 {
			break
		}
	}
	return out, since, nil
}

// concerns reports whether a record is the caller's to see.
func concerns(v sallyport.View, c sallyport.Call, r *sallyport.Record) bool {
	if r.ProjectID != "" && r.ProjectID == c.Project {
		return true
	}
	if s, ok := v.Service(r.ServiceID); ok && s.ProjectID == c.Project && r.Outcome != sallyport.OutcomeDenied {
		return true
	}
	if r.Object == sallyport.ObjectEndpoint {
		e, ok := v.Endpoint(sallyport.EndpointID(r.ObjectID))
		return ok && e.ProjectID == c.Project
	}
	return false
}

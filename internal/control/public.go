package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// PublicService is an operator's own service, visible to every account.
type PublicService struct {
	ID       sallyport.ServiceID
	Name     string // the whole name clients see
	Owner    sallyport.DomainID
	Kind     sallyport.ServiceKind
	Approval bool
	VPCID    sallyport.VPCID
	PortID   sallyport.PortID
	Ports    []sallyport.PortMapping
}

// SyncPublicServices makes the stored operator's services those of the
// configuration. One that is no longer configured goes, unless endpoints point
// at it: then it stays and the log says so.
func (p *Plane) SyncPublicServices(ctx context.Context, want []PublicService) error {
	call := systemCall("system", "configuration")
	return p.store.Update(ctx, func(tx sallyport.Tx) error {
		keep := map[sallyport.ServiceID]bool{}
		for _, w := range want {
			keep[w.ID] = true
			if err := p.putPublic(tx, call, w); err != nil {
				return err
			}
		}
		have, _ := tx.Services(sallyport.ServiceQuery{Public: true, Page: sallyport.Page{Limit: sallyport.MaxPage}})
		for _, s := range have {
			if keep[s.ID] {
				continue
			}
			if _, n := tx.Endpoints(sallyport.EndpointQuery{ServiceID: s.ID}); n > 0 {
				p.opt.Log.WarnContext(ctx, "a public service left the configuration and still has endpoints",
					"service", string(s.ID), "endpoints", n)
				continue
			}
			rec := p.record(call, serviceTarget(s.ID, "delete"), sallyport.OutcomeDone)
			rec.From, rec.To = "available", "deleted"
			tx.Record(rec)
			tx.RemoveService(s.ID)
		}
		return nil
	})
}

func (p *Plane) putPublic(tx sallyport.Tx, c sallyport.Call, w PublicService) error {
	old, exists := tx.Service(w.ID)
	if exists && old.SystemName == "" {
		return fmt.Errorf("public service %q: id %s is that of a tenant's service", w.Name, w.ID)
	}
	next := sallyport.Service{
		ID: w.ID, Region: p.opt.Region, SystemName: w.Name, Kind: w.Kind, ServerType: "LB", DomainID: w.Owner,
		VPCID: w.VPCID, PortID: w.PortID, Ports: w.Ports, TCPProxy: sallyport.ProxyClose, Approval: w.Approval,
		Policy: w.Kind == sallyport.KindGateway, Status: sallyport.ServiceAvailable,
	}
	action := "create"
	if exists {
		action = "update"
		if old.SystemName == next.SystemName && old.Kind == next.Kind && old.DomainID == next.DomainID &&
			old.VPCID == next.VPCID && old.PortID == next.PortID && old.Approval == next.Approval &&
			slices.Equal(old.Ports, next.Ports) {
			return nil
		}
	}
	rec := p.record(c, serviceTarget(w.ID, action), sallyport.OutcomeDone)
	rec.To = "available"
	rev := tx.Record(rec)
	next.CreatedAt, next.UpdatedAt, next.Rev, next.SpecRev = rec.At, rec.At, rev, rev
	if exists {
		next.CreatedAt = old.CreatedAt
	}
	tx.PutService(&next)
	return nil
}

package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// CreateService makes an endpoint service. It is available at once.
func (p *Plane) CreateService(ctx context.Context, c sallyport.Call, n sallyport.NewService) (sallyport.ServiceView, error) {
	id := sallyport.NewID[sallyport.ServiceID]()
	nets := p.networks.Load()
	var made *sallyport.Service
	err := p.mutate(ctx, c, serviceTarget(id, "create"), func(tx sallyport.Tx) error {
		if used, _ := tx.Usage(c.Project); used >= p.opt.Services {
			return p.serviceQuota(used)
		}
		if err := nets.checkVPC(n.VPCID); err != nil {
			return err
		}
		if err := nets.checkBackend(n.VPCID, n.PortID); err != nil {
			return err
		}
		if err := checkPorts(tx, "", n.PortID, n.Ports); err != nil {
			return err
		}
		rec := p.record(c, serviceTarget(id, "create"), sallyport.OutcomeDone)
		rec.To = "available"
		rev := tx.Record(rec)
		made = newService(id, c, n, p.opt.Region, rec.At, rev)
		tx.PutService(made)
		return nil
	})
	if err != nil {
		return sallyport.ServiceView{}, err
	}
	return sallyport.ServiceView{Service: made}, nil
}

func newService(id sallyport.ServiceID, c sallyport.Call, n sallyport.NewService, region string, now time.Time, rev sallyport.Revision) *sallyport.Service {
	return &sallyport.Service{
		ID: id, Name: n.Name, Region: region, Kind: sallyport.KindInterface, ServerType: n.ServerType,
		ProjectID: c.Project, DomainID: c.Principal.DomainID, VPCID: n.VPCID, PortID: n.PortID, VIPPortID: n.VIPPortID,
		PoolID: n.PoolID, IP: n.IP, IPVersion: n.IPVersion, SNATNetwork: n.SNATNetwork, Ports: n.Ports,
		TCPProxy: n.TCPProxy, Approval: n.Approval, Policy: n.Policy, Status: sallyport.ServiceAvailable,
		Description: n.Description, Tags: n.Tags, CreatedAt: now, UpdatedAt: now, Rev: rev, SpecRev: rev,
	}
}

// checkPorts refuses mappings to a backend port that another service forwards
// to (VPCEP API reference, ports: server port and protocol are unique across the
// services of one port_id).
func checkPorts(v sallyport.View, self sallyport.ServiceID, port sallyport.PortID, ports []sallyport.PortMapping) error {
	for _, m := range ports {
		if owner, taken := v.BackendPort(port, m); taken && owner != self {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonPortsConflict,
				"another service forwards to %s port %d of backend %s", m.Protocol, m.Server, port)
		}
	}
	return nil
}

// UpdateService changes what ch names. New mappings and backends reach admitted
// endpoints before the call returns, as far as the data plane confirms them in
// time; flows of unchanged mappings are not touched.
func (p *Plane) UpdateService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.ServiceChange) (sallyport.ServiceView, error) {
	nets := p.networks.Load()
	var (
		out  sallyport.ServiceView
		spec bool
	)
	err := p.mutate(ctx, c, serviceTarget(id, "update"), func(tx sallyport.Tx) error {
		s, err := owned(tx, c, id)
		if err != nil {
			return err
		}
		next := *s
		applyChange(&next, ch)
		if next.PortID != s.PortID {
			if err := nets.checkBackend(next.VPCID, next.PortID); err != nil {
				return err
			}
		}
		if err := checkPorts(tx, id, next.PortID, next.Ports); err != nil {
			return err
		}
		if s.ManagedBy != "" && (next.PortID != s.PortID || !slices.Equal(next.Ports, s.Ports)) {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonServiceManaged,
				"backend and ports are those of instance %s", s.ManagedBy)
		}
		changed := !sameService(s, &next)
		spec = next.PortID != s.PortID || next.TCPProxy != s.TCPProxy || !slices.Equal(next.Ports, s.Ports)
		rec := p.record(c, serviceTarget(id, "update"), outcome(changed))
		rec.From, rec.To = "available", "available"
		rev := tx.Record(rec)
		if changed {
			next.UpdatedAt, next.Rev = rec.At, rev
			if spec {
				next.SpecRev = rev
			}
			tx.PutService(&next)
			s = &next
		}
		out = serviceView(tx, s)
		return nil
	})
	if err != nil {
		return sallyport.ServiceView{}, err
	}
	if spec {
		p.awaitService(ctx, out.Service)
	}
	return out, nil
}

func applyChange(s *sallyport.Service, ch sallyport.ServiceChange) {
	set(&s.Name, ch.Name)
	set(&s.PortID, ch.PortID)
	set(&s.VIPPortID, ch.VIPPortID)
	set(&s.IP, ch.IP)
	set(&s.Ports, ch.Ports)
	set(&s.TCPProxy, ch.TCPProxy)
	set(&s.Approval, ch.Approval)
	set(&s.Description, ch.Description)
	set(&s.OnRevoke, ch.OnRevoke)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func sameService(a, b *sallyport.Service) bool {
	return a.Name == b.Name && a.PortID == b.PortID && a.VIPPortID == b.VIPPortID && a.IP == b.IP &&
		slices.Equal(a.Ports, b.Ports) && a.TCPProxy == b.TCPProxy && a.Approval == b.Approval &&
		a.Description == b.Description && a.OnRevoke == b.OnRevoke
}

// AddResources adds load balancers behind a service. Those it has already are
// left alone.
func (p *Plane) AddResources(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, rs []sallyport.ServerResource) error {
	return p.editService(ctx, c, id, "add_resources", func(s *sallyport.Service) error {
		have := slices.Clone(s.Resources)
		for _, r := range rs {
			if !slices.ContainsFunc(have, func(h sallyport.ServerResource) bool { return h.ID == r.ID }) {
				have = append(have, r)
			}
		}
		if len(have) > maxResources {
			return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonResourcesFull,
				"a service has at most %d load balancers", maxResources)
		}
		s.Resources = have
		return nil
	})
}

// UpgradeService moves a service to the professional edition, or back.
func (p *Plane) UpgradeService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, professional bool) error {
	return p.editService(ctx, c, id, "upgrade", func(s *sallyport.Service) error {
		s.Professional = professional
		return nil
	})
}

// editService changes what concerns neither lists nor the data plane.
func (p *Plane) editService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, action string, edit func(*sallyport.Service) error) error {
	return p.mutate(ctx, c, serviceTarget(id, action), func(tx sallyport.Tx) error {
		s, err := owned(tx, c, id)
		if err != nil {
			return err
		}
		next := *s
		if err := edit(&next); err != nil {
			return err
		}
		changed := next.Professional != s.Professional || len(next.Resources) != len(s.Resources)
		rec := p.record(c, serviceTarget(id, action), outcome(changed))
		rec.From, rec.To = "available", "available"
		rev := tx.Record(rec)
		if changed {
			next.UpdatedAt, next.Rev = rec.At, rev
			tx.PutService(&next)
		}
		return nil
	})
}

func outcome(changed bool) sallyport.Outcome {
	if changed {
		return sallyport.OutcomeDone
	}
	return sallyport.OutcomeUnchanged
}

// DeleteService removes a service. It is refused while an endpoint is admitted;
// the others stay, deletable by their owners, and are never accepted again.
func (p *Plane) DeleteService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) error {
	return p.mutate(ctx, c, serviceTarget(id, "delete"), func(tx sallyport.Tx) error {
		s, err := owned(tx, c, id)
		if err != nil {
			return err
		}
		if n := admitted(tx, id); n > 0 {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonServiceInUse,
				"%d endpoints of the service are accepted or being created", n)
		}
		if s.ManagedBy != "" {
			return sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonServiceManaged,
				"the service goes only with instance %s", s.ManagedBy)
		}
		_, left := tx.Endpoints(sallyport.EndpointQuery{ServiceID: id})
		p.buryService(tx, c, s, left > 0)
		return nil
	})
}

// buryService records the end of a service and removes it with its whitelist.
// Where endpoints still point at it, a tombstone is left, which goes with the
// last of them.
func (p *Plane) buryService(tx sallyport.Tx, c sallyport.Call, s *sallyport.Service, used bool) {
	rec := p.record(c, serviceTarget(s.ID, "delete"), sallyport.OutcomeDone)
	rec.From, rec.To = "available", "deleted"
	rev := tx.Record(rec)
	perms, _ := tx.Permissions(allPermissions(s.ID))
	if len(perms) > 0 {
		gone := rec
		gone.Object = sallyport.ObjectPermissions
		gone.Detail = fmt.Sprintf("removed=%d", len(perms))
		tx.Record(gone)
	}
	for _, w := range perms {
		tx.RemovePermission(s.ID, w.ID)
	}
	if !used {
		tx.RemoveService(s.ID)
		return
	}
	next := *s
	next.Status, next.UpdatedAt, next.Rev = sallyport.ServiceDeleted, rec.At, rev
	tx.PutService(&next)
}

func admitted(v sallyport.View, id sallyport.ServiceID) int {
	return v.Connections(id, sallyport.StatusAccepted) + v.Connections(id, sallyport.StatusCreating)
}

func serviceView(v sallyport.View, s *sallyport.Service) sallyport.ServiceView {
	return sallyport.ServiceView{Service: s, Connections: admitted(v, s.ID)}
}

// Service returns one of the caller's services.
func (p *Plane) Service(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) (sallyport.ServiceView, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return sallyport.ServiceView{}, err
	}
	s, err := owned(v, c, id)
	if err != nil {
		return sallyport.ServiceView{}, err
	}
	return serviceView(v, s), nil
}

// Services returns one page of the caller's services, or of the operator's own,
// and the number of all that match.
func (p *Plane) Services(ctx context.Context, c sallyport.Call, q sallyport.ServiceQuery) ([]sallyport.ServiceView, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	q.ProjectID = c.Project
	page, total := v.Services(q)
	out := make([]sallyport.ServiceView, len(page))
	for i, s := range page {
		out[i] = serviceView(v, s)
	}
	return out, total, nil
}

// Describe returns what a consumer may know of a service, found by its id, by
// its full name, or by both where they agree.
func (p *Plane) Describe(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, fullName string) (*sallyport.Service, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, err
	}
	if id == "" && fullName == "" {
		return nil, sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonServiceAmbiguous,
			"give the id or the full name of the service")
	}
	if id == "" {
		id = nameID(v, fullName)
	}
	s, ok := v.Service(id)
	if !ok || s.Status == sallyport.ServiceDeleted || fullName != "" && s.FullName() != fullName {
		return nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonServiceNotFound, "the service does not exist")
	}
	return s, nil
}

// nameID returns the id that a full name ends in, or that of the operator's own
// service with that name.
func nameID(v sallyport.View, name string) sallyport.ServiceID {
	if page, _ := v.Services(sallyport.ServiceQuery{
		Public: true, Name: name, Page: sallyport.Page{Limit: sallyport.MaxPage},
	}); len(page) > 0 {
		for _, s := range page {
			if s.FullName() == name {
				return s.ID
			}
		}
	}
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return sallyport.ServiceID(name[i+1:])
		}
	}
	return ""
}

// Quotas returns what the caller's project has and may have.
func (p *Plane) Quotas(ctx context.Context, c sallyport.Call) (sallyport.Quotas, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return sallyport.Quotas{}, err
	}
	services, endpoints := v.Usage(c.Project)
	return sallyport.Quotas{
		Services:  sallyport.Quota{Used: services, Limit: p.opt.Services},
		Endpoints: sallyport.Quota{Used: endpoints, Limit: p.opt.Endpoints},
	}, nil
}

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/internal/readmodel"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// reader is what load and catch-up read through: a transaction, so that all of
// it is of one revision.
type reader interface {
	query(ctx context.Context, q string, args ...any) (rows, error)
}

// each runs a query and calls take for every row.
func each[T any](ctx context.Context, r reader, scan func(rows) (T, error), take func(T), q string, args ...any) error {
	rs, err := r.query(ctx, q, args...)
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		v, err := scan(rs)
		if err != nil {
			return err
		}
		take(v)
	}
	return rs.Err()
}

// load reads the whole state. What it reads belongs to the revision of the
// counter row that tx holds locked.
func load(ctx context.Context, tx reader, now time.Time) (*readmodel.Draft, error) {
	d := readmodel.NewDraft()
	in := interner{}
	err := errors.Join(
		each(ctx, tx, scanService, func(s *sallyport.Service) { d.SetService(s.ID, s) },
			`SELECT `+serviceColumns+` FROM services`),
		each(ctx, tx, scanEndpoint, func(e *sallyport.Endpoint) { in.endpoint(e); d.SetEndpoint(e.ID, e) },
			`SELECT `+endpointColumns+` FROM endpoints`),
		each(ctx, tx, scanPermission, func(p *sallyport.Permission) { d.SetPermission(p.ServiceID, p.ID, p) },
			`SELECT `+permissionColumns+` FROM permissions`),
		each(ctx, tx, scanInstance, func(i *sallyport.Instance) { d.SetInstance(i.ID, i) },
			`SELECT `+instanceColumns+` FROM instances`),
		each(ctx, tx, scanSubnet, d.SetSubnet, `SELECT `+subnetColumns+` FROM subnets`),
		each(ctx, tx, scanRevocation, d.SetRevocation,
			`SELECT `+revocationColumns+` FROM revocations WHERE expires_us > $1`, now.UnixMicro()),
	)
	if err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	return d, nil
}

// interner shares the strings that many endpoints have in common: at a million
// endpoints that is a third of their memory.
type interner map[string]string

func (in interner) endpoint(e *sallyport.Endpoint) {
	e.ServiceID = sallyport.ServiceID(in.share(string(e.ServiceID)))
	e.ProjectID = sallyport.ProjectID(in.share(string(e.ProjectID)))
	e.DomainID = sallyport.DomainID(in.share(string(e.DomainID)))
	e.VPCID = sallyport.VPCID(in.share(string(e.VPCID)))
	e.SubnetID = sallyport.SubnetID(in.share(string(e.SubnetID)))
}

func (in interner) share(s string) string {
	if have, ok := in[s]; ok {
		return have
	}
	in[s] = s
	return s
}

// touched is the set of objects that a stretch of the log speaks of.
type touched struct {
	services, permissions map[sallyport.ServiceID]bool
	endpoints             map[sallyport.EndpointID]sallyport.ServiceID
	subnets, tokens       map[string]bool
	instances             map[sallyport.InstanceID]bool
}

// catchUp brings the draft from its revision to that of the database, which tx
// holds locked: it reads which objects the log speaks of, and then those
// objects as they are now.
func catchUp(ctx context.Context, tx reader, d *readmodel.Draft) error {
	t := touched{
		services: map[sallyport.ServiceID]bool{}, permissions: map[sallyport.ServiceID]bool{},
		endpoints: map[sallyport.EndpointID]sallyport.ServiceID{}, subnets: map[string]bool{}, tokens: map[string]bool{},
		instances: map[sallyport.InstanceID]bool{},
	}
	err := each(ctx, tx, scanChange, t.add,
		`SELECT object, object_id, service_id FROM audit WHERE rev > $1 AND outcome <> 'denied' ORDER BY rev`, int64(d.Revision()))
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	return t.reload(ctx, tx, d)
}

// touch names an object that a record speaks of.
type touch struct {
	object sallyport.ObjectKind
	id     string
}

// change is a touch with the service that an endpoint belongs to.
type change struct {
	touch
	service sallyport.ServiceID
}

func scanChange(rs rows) (change, error) {
	var c change
	return c, rs.Scan(&c.object, &c.id, &c.service)
}

func (t *touched) add(c change) {
	switch c.object {
	case sallyport.ObjectService:
		t.services[sallyport.ServiceID(c.id)] = true
	case sallyport.ObjectPermissions:
		t.permissions[sallyport.ServiceID(c.id)] = true
	case sallyport.ObjectEndpoint:
		t.endpoints[sallyport.EndpointID(c.id)] = c.service
	case sallyport.ObjectSubnet:
		t.subnets[c.id] = true
	case sallyport.ObjectToken:
		t.tokens[c.id] = true
	case sallyport.ObjectInstance:
		t.instances[sallyport.InstanceID(c.id)] = true
	}
}

// reload replaces in the draft what the database has under the touched ids. An
// id that is gone is removed.
func (t *touched) reload(ctx context.Context, tx reader, d *readmodel.Draft) error {
	for id, service := range t.endpoints {
		var found *sallyport.Endpoint
		err := each(ctx, tx, scanEndpoint, func(e *sallyport.Endpoint) { found = e },
			`SELECT `+endpointColumns+` FROM endpoints WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		d.SetEndpoint(id, found)
		if found == nil {
			t.services[service] = true // it may have taken its service's tombstone along
		}
	}
	for id := range t.services {
		var found *sallyport.Service
		err := each(ctx, tx, scanService, func(s *sallyport.Service) { found = s },
			`SELECT `+serviceColumns+` FROM services WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		d.SetService(id, found)
	}
	for id := range t.permissions {
		if err := t.reloadPermissions(ctx, tx, d, id); err != nil {
			return err
		}
	}
	for id := range t.instances {
		var found *sallyport.Instance
		err := each(ctx, tx, scanInstance, func(i *sallyport.Instance) { found = i },
			`SELECT `+instanceColumns+` FROM instances WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		d.SetInstance(id, found)
	}
	return t.reloadRest(ctx, tx, d)
}

// reloadRest reloads what is only ever added.
func (t *touched) reloadRest(ctx context.Context, tx reader, d *readmodel.Draft) error {
	for id := range t.subnets {
		err := each(ctx, tx, scanSubnet, d.SetSubnet, `SELECT `+subnetColumns+` FROM subnets WHERE id = $1`, id)
		if err != nil {
			return err
		}
	}
	for id := range t.tokens {
		err := each(ctx, tx, scanRevocation, d.SetRevocation,
			`SELECT `+revocationColumns+` FROM revocations WHERE token_id = $1`, id)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*touched) reloadPermissions(ctx context.Context, tx reader, d *readmodel.Draft, id sallyport.ServiceID) error {
	now := map[sallyport.PermissionID]*sallyport.Permission{}
	err := each(ctx, tx, scanPermission, func(p *sallyport.Permission) { now[p.ID] = p },
		`SELECT `+permissionColumns+` FROM permissions WHERE service_id = $1`, string(id))
	if err != nil {
		return err
	}
	for offset := 0; ; {
		page, total := d.Permissions(sallyport.PermissionQuery{
			ServiceID: id, Page: sallyport.Page{Offset: offset, Limit: sallyport.MaxPage, Ascending: true},
		})
		for _, p := range page {
			if now[p.ID] == nil {
				d.SetPermission(id, p.ID, nil)
			} else {
				offset++
			}
		}
		if offset >= total || len(page) == 0 {
			break
		}
	}
	for pid, p := range now {
		d.SetPermission(id, pid, p)
	}
	return nil
}

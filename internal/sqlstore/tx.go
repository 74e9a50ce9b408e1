package sqlstore

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sallyport-net/sallyport/internal/readmodel"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// tx is the pen of one batch: it changes the draft at once, so that later
// functions see it, and collects the statements that make it durable.
type tx struct {
	*readmodel.Draft
	head  [32]byte
	first sallyport.Revision
	out   []statement

	// What the records of the running function speak of, and what it put. Other
	// processes read again what the log speaks of, and nothing else.
	told map[touch]bool
	put  []touch
}

var _ sallyport.Tx = (*tx)(nil)

// run lets one function write; what it put is taken back where it returns an
// error or panics.
func (t *tx) run(fn func(sallyport.Tx) error) (err error) {
	mark, head, n := t.Mark(), t.head, len(t.out)
	clear(t.told)
	t.put = t.put[:0]
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in an update: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			t.Undo(mark)
			t.head, t.out = head, t.out[:n]
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	for _, p := range t.put {
		if !t.told[p] {
			return fmt.Errorf("an update changed the %s of %s without a record that says so", p.object, p.id)
		}
	}
	return nil
}

func (t *tx) add(q string, args ...any) {
	t.out = append(t.out, statement{query: q, args: args})
}

// change adds a statement that changes an object.
func (t *tx) change(object sallyport.ObjectKind, id string, q string, args ...any) {
	t.put = append(t.put, touch{object: object, id: id})
	t.add(q, args...)
}

// stored returns a time as it comes back from the database, so that memory
// shows no more than what is kept.
func stored(t time.Time) time.Time { return instant(t.UnixMicro()) }

// Record appends r to the log.
func (t *tx) Record(r sallyport.Record) sallyport.Revision {
	r.Rev = t.Revision() + 1
	r.At = stored(r.At)
	t.SetRevision(r.Rev)
	r.Hash = r.Chain(t.head)
	t.head = r.Hash
	t.add(addAudit, auditRow(&r)...)
	if r.Outcome != sallyport.OutcomeDenied {
		t.told[touch{object: r.Object, id: r.ObjectID}] = true
		if r.Object == sallyport.ObjectEndpoint {
			// The last endpoint takes its service's tombstone along.
			t.told[touch{object: sallyport.ObjectService, id: string(r.ServiceID)}] = true
		}
	}
	return r.Rev
}

// PutService stores a service, new or changed.
func (t *tx) PutService(s *sallyport.Service) {
	if c, u := stored(s.CreatedAt), stored(s.UpdatedAt); c != s.CreatedAt || u != s.UpdatedAt {
		n := *s
		n.CreatedAt, n.UpdatedAt = c, u
		s = &n
	}
	t.SetService(s.ID, s)
	t.change(sallyport.ObjectService, string(s.ID), putService, serviceRow(s)...)
}

// RemoveService forgets a service.
func (t *tx) RemoveService(id sallyport.ServiceID) {
	t.SetService(id, nil)
	t.change(sallyport.ObjectService, string(id), removeService, string(id))
}

// PutEndpoint stores an endpoint, new or changed.
func (t *tx) PutEndpoint(e *sallyport.Endpoint) {
	if c, u := stored(e.CreatedAt), stored(e.UpdatedAt); c != e.CreatedAt || u != e.UpdatedAt {
		n := *e
		n.CreatedAt, n.UpdatedAt = c, u
		e = &n
	}
	old, ok := t.Endpoint(e.ID)
	t.SetEndpoint(e.ID, e)
	if ok && !sameOrigin(old, e) {
		t.add(removeEndpoint, string(e.ID))
		ok = false
	}
	if !ok {
		t.change(sallyport.ObjectEndpoint, string(e.ID), addEndpoint, endpointRow(e)...)
		return
	}
	if !sameEdit(old, e) {
		t.add(editEndpoint, editRow(e)...)
	}
	t.change(sallyport.ObjectEndpoint, string(e.ID), stepEndpoint, stepRow(e)...)
}

// sameOrigin reports whether a and b differ in nothing but what editEndpoint and
// stepEndpoint write. Use cases never change the rest; who does gets a new row.
func sameOrigin(a, b *sallyport.Endpoint) bool {
	return a.ServiceID == b.ServiceID && a.ProjectID == b.ProjectID && a.DomainID == b.DomainID && a.VPCID == b.VPCID &&
		a.SubnetID == b.SubnetID && a.Address == b.Address && a.Outside == b.Outside && a.Marker == b.Marker &&
		a.EnableDNS == b.EnableDNS && a.Specification == b.Specification && a.IPVersion == b.IPVersion && a.IPv6Address == b.IPv6Address &&
		a.CreatedAt.Equal(b.CreatedAt)
}

// sameEdit reports whether a and b differ in nothing that editEndpoint writes.
// Decisions copy the endpoint and leave these fields, so the lists are the same
// ones and comparing their addresses is enough; a false "no" only costs a write.
func sameEdit(a, b *sallyport.Endpoint) bool {
	return a.EnableWhitelist == b.EnableWhitelist && a.Description == b.Description && a.Note == b.Note &&
		a.PolicyStatement == b.PolicyStatement && a.PolicyDocument == b.PolicyDocument && a.Professional == b.Professional &&
		sameList(a.Whitelist, b.Whitelist) && sameList(a.RouteTables, b.RouteTables) && sameList(a.Tags, b.Tags)
}

func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// RemoveEndpoint forgets an endpoint.
func (t *tx) RemoveEndpoint(id sallyport.EndpointID) {
	t.SetEndpoint(id, nil)
	t.change(sallyport.ObjectEndpoint, string(id), removeEndpoint, string(id))
}

// PutPermission stores a whitelist record, new or changed.
func (t *tx) PutPermission(p *sallyport.Permission) {
	if c := stored(p.CreatedAt); c != p.CreatedAt {
		n := *p
		n.CreatedAt = c
		p = &n
	}
	t.SetPermission(p.ServiceID, p.ID, p)
	t.change(sallyport.ObjectPermissions, string(p.ServiceID), putPermission, permissionRow(p)...)
}

// RemovePermission forgets a whitelist record.
func (t *tx) RemovePermission(s sallyport.ServiceID, id sallyport.PermissionID) {
	t.SetPermission(s, id, nil)
	t.change(sallyport.ObjectPermissions, string(s), removePermission, string(s), string(id))
}

// PutSubnet stores the network given to a subnet.
func (t *tx) PutSubnet(l *sallyport.SubnetLease) {
	t.SetSubnet(l)
	t.change(sallyport.ObjectSubnet, string(l.ID), putSubnet, string(l.ID), string(l.VPCID), l.Prefix.String(), int64(l.Rev))
}

// PutRevocation stores a revoked token.
func (t *tx) PutRevocation(r *sallyport.Revocation) {
	if e := stored(r.ExpiresAt); e != r.ExpiresAt {
		n := *r
		n.ExpiresAt = e
		r = &n
	}
	t.SetRevocation(r)
	t.change(sallyport.ObjectToken, r.TokenID, putRevocation, r.TokenID, r.ExpiresAt.UnixMicro(), int64(r.Rev))
}

// PutInstance stores a managed resource, new or changed.
func (t *tx) PutInstance(i *sallyport.Instance) {
	t.SetInstance(i.ID, i)
	t.add(putInstance, instanceRow(i)...)
}

// RemoveInstance forgets a managed resource.
func (t *tx) RemoveInstance(id sallyport.InstanceID) {
	t.SetInstance(id, nil)
	t.add(removeInstance, string(id))
}

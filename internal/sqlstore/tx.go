package sqlstore

import (
	"fmt"
	"runtime/debug"

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
}

var _ sallyport.Tx = (*tx)(nil)

func (t *tx) draftRevision() sallyport.Revision { return t.Draft.Revision() }

// run lets one function write; what it put is taken back where it returns an
// error or panics.
func (t *tx) run(fn func(sallyport.Tx) error) (err error) {
	mark, head, n := t.Mark(), t.head, len(t.out)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in an update: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			t.Undo(mark)
			t.head, t.out = head, t.out[:n]
		}
	}()
	return fn(t)
}

func (t *tx) add(q string, args ...any) {
	t.out = append(t.out, statement{query: q, args: args})
}

// Record appends r to the log.
func (t *tx) Record(r sallyport.Record) sallyport.Revision {
	r.Rev = t.Draft.Revision() + 1
	r.At = r.At.UTC()
	t.SetRevision(r.Rev)
	r.Hash = r.Chain(t.head)
	t.head = r.Hash
	t.add(addAudit, auditRow(&r)...)
	return r.Rev
}

// PutService stores a service, new or changed.
func (t *tx) PutService(s *sallyport.Service) {
	t.SetService(s.ID, s)
	t.add(putService, serviceRow(s)...)
}

// RemoveService forgets a service.
func (t *tx) RemoveService(id sallyport.ServiceID) {
	t.SetService(id, nil)
	t.add(removeService, string(id))
}

// PutEndpoint stores an endpoint, new or changed.
func (t *tx) PutEndpoint(e *sallyport.Endpoint) {
	old, ok := t.Endpoint(e.ID)
	t.SetEndpoint(e.ID, e)
	if !ok {
		t.add(addEndpoint, endpointRow(e)...)
		return
	}
	if !sameEdit(old, e) {
		t.add(editEndpoint, editRow(e)...)
	}
	t.add(stepEndpoint, stepRow(e)...)
}

// sameEdit reports whether a and b differ in nothing that editEndpoint writes.
// Decisions copy the endpoint and leave these fields, so the lists are the same
// ones and comparing their addresses is enough; a false "no" only costs a write.
func sameEdit(a, b *sallyport.Endpoint) bool {
	return a.EnableWhitelist == b.EnableWhitelist && a.Description == b.Description && a.Note == b.Note &&
		sameList(a.Whitelist, b.Whitelist) && sameList(a.RouteTables, b.RouteTables) && sameList(a.Tags, b.Tags)
}

func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// RemoveEndpoint forgets an endpoint.
func (t *tx) RemoveEndpoint(id sallyport.EndpointID) {
	t.SetEndpoint(id, nil)
	t.add(removeEndpoint, string(id))
}

// PutPermission stores a whitelist record, new or changed.
func (t *tx) PutPermission(p *sallyport.Permission) {
	t.SetPermission(p.ServiceID, p.ID, p)
	t.add(putPermission, permissionRow(p)...)
}

// RemovePermission forgets a whitelist record.
func (t *tx) RemovePermission(s sallyport.ServiceID, id sallyport.PermissionID) {
	t.SetPermission(s, id, nil)
	t.add(removePermission, string(s), string(id))
}

// PutSubnet stores the network given to a subnet.
func (t *tx) PutSubnet(l *sallyport.SubnetLease) {
	t.SetSubnet(l)
	t.add(putSubnet, string(l.ID), string(l.VPCID), l.Prefix.String(), int64(l.Rev))
}

// PutRevocation stores a revoked token.
func (t *tx) PutRevocation(r *sallyport.Revocation) {
	t.SetRevocation(r)
	t.add(putRevocation, r.TokenID, r.ExpiresAt.UnixMicro(), int64(r.Rev))
}

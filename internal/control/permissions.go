package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func allPermissions(id sallyport.ServiceID) sallyport.PermissionQuery {
	return sallyport.PermissionQuery{ServiceID: id, Page: sallyport.Page{Limit: maxPermissions}}
}

// Permissions returns one page of the whitelist of the caller's service. The
// owner's own account is admitted without a record and never listed.
func (p *Plane) Permissions(ctx context.Context, c sallyport.Call, q sallyport.PermissionQuery) ([]*sallyport.Permission, int, error) {
	v, err := p.read(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	if _, err := owned(v, c, q.ServiceID); err != nil {
		return nil, 0, err
	}
	page, total := v.Permissions(q)
	return page, total, nil
}

// ChangePermissions adds and removes whitelist records in one transaction and
// returns the whole list after it, newest first. Adding what is there and
// removing what is not changes nothing.
//
// What happens to endpoints whose account loses its last record is the
// service's choice: they are kept, or rejected in the same transaction, and then
// the call returns when no byte of theirs passes any more.
func (p *Plane) ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error) {
	t := permissionTarget(id, ch)
	var (
		out   []*sallyport.Permission
		waits []*wait
	)
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		waits = waits[:0]
		s, err := owned(tx, c, id)
		if err != nil {
			return err
		}
		have, _ := tx.Permissions(allPermissions(id))
		fresh, gone, left := plan(have, ch)
		if left > maxPermissions {
			return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonPermissionsFull,
				"a service has at most %d whitelist records", maxPermissions)
		}
		rec := p.record(c, t, outcome(len(gone)+len(fresh) > 0))
		rec.Detail = permissionDetail(fresh, gone)
		rev := tx.Record(rec)
		for _, w := range gone {
			tx.RemovePermission(id, w.ID)
		}
		for i, n := range fresh {
			tx.PutPermission(&sallyport.Permission{
				ID: sallyport.NewID[sallyport.PermissionID](), ServiceID: id, Value: n.Value, Type: n.Type,
				Description: n.Description, Rev: rev,
				// The first of several is the newest: clients look for the value they
				// sent at the head of the answer.
				CreatedAt: rec.At.Add(-time.Duration(i) * time.Microsecond),
			})
		}
		// Asked of what is asked for, not of what is found: a repeated call waits
		// again for the cuts that the first one did not see confirmed.
		if ch.Removes() && cmp.Or(s.OnRevoke, p.opt.OnRevoke) == sallyport.RevokeCut {
			waits = p.revoke(tx, c, s, waits)
		}
		out, _ = tx.Permissions(allPermissions(id))
		return nil
	})
	if err != nil || len(waits) == 0 {
		return out, err
	}
	confirmed, err := p.await(ctx, waits...)
	if err != nil {
		return nil, err
	}
	if !confirmed {
		return nil, p.unconfirmed()
	}
	return out, nil
}

func permissionTarget(id sallyport.ServiceID, ch sallyport.PermissionChange) target {
	t := target{kind: sallyport.ObjectPermissions, id: string(id), service: id, action: "permit"}
	if len(ch.Add) == 0 {
		t.action = "forbid"
	}
	return t
}

// plan says which records a change makes and removes, and how many are left.
func plan(have []*sallyport.Permission, ch sallyport.PermissionChange) (fresh []sallyport.NewPermission, gone []*sallyport.Permission, left int) {
	values := make(map[string]bool, len(have))
	for _, w := range have {
		unwanted := ch.Replace && !slices.ContainsFunc(ch.Add, func(n sallyport.NewPermission) bool { return n.Value == w.Value })
		if unwanted || slices.Contains(ch.RemoveValues, w.Value) || slices.Contains(ch.RemoveIDs, w.ID) {
			gone = append(gone, w)
			continue
		}
		values[w.Value] = true
	}
	for _, n := range ch.Add {
		if !values[n.Value] {
			fresh = append(fresh, n)
			values[n.Value] = true // a value twice in one call is one record
		}
	}
	return fresh, gone, len(values)
}

// revoke rejects every endpoint of the service whose account no record admits
// any more, and returns what has to be waited for.
func (p *Plane) revoke(tx sallyport.Tx, c sallyport.Call, s *sallyport.Service, waits []*wait) []*wait {
	var lost []*sallyport.Endpoint
	for _, st := range []sallyport.Status{
		sallyport.StatusPending, sallyport.StatusCreating, sallyport.StatusAccepted, sallyport.StatusFailed,
	} {
		eachEndpoint(tx, s.ID, st, func(e *sallyport.Endpoint) {
			if e.DomainID != s.DomainID && !tx.Admits(s.ID, e.DomainID) {
				lost = append(lost, e)
			}
		})
	}
	// Those rejected before may still wait for their cut.
	eachEndpoint(tx, s.ID, sallyport.StatusRejected, func(e *sallyport.Endpoint) {
		if !e.Unattached && e.DomainID != s.DomainID && !tx.Admits(s.ID, e.DomainID) {
			waits = append(waits, p.acks.expect(e.ID, e.SpecRev))
		}
	})
	for _, e := range lost {
		next, changed, err := e.Apply(sallyport.ActionReject, p.now())
		if err != nil {
			continue // every status above takes a reject
		}
		st := step{from: e, to: &next, changed: changed}
		p.carryOut(tx, c, &st, sallyport.ActionReject)
		if !st.to.Unattached {
			waits = append(waits, p.acks.expect(e.ID, st.to.SpecRev))
		}
	}
	return waits
}

// DescribePermission sets the description of one whitelist record.
func (p *Plane) DescribePermission(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, pid sallyport.PermissionID, text string) (*sallyport.Permission, error) {
	t := target{kind: sallyport.ObjectPermissions, id: string(id), service: id, action: "describe"}
	var out *sallyport.Permission
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		if _, err := owned(tx, c, id); err != nil {
			return err
		}
		w, ok := tx.Permission(id, pid)
		if !ok {
			return sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonPermissionNotFound,
				"the whitelist record does not exist")
		}
		rec := p.record(c, t, outcome(w.Description != text))
		rec.Detail = "record=" + string(pid)
		next := *w
		next.Description, next.Rev = text, tx.Record(rec)
		tx.PutPermission(&next)
		out = &next
		return nil
	})
	return out, err
}

// maxDetail bounds what one audit record spells out; the counts are always there.
const maxDetail = 512

func permissionDetail(fresh []sallyport.NewPermission, gone []*sallyport.Permission) string {
	var b strings.Builder
	fmt.Fprintf(&b, "added=%d removed=%d", len(fresh), len(gone))
	for _, n := range fresh {
		if b.Len()+len(n.Value) < maxDetail {
			b.WriteString(" +" + n.Value)
		}
	}
	for _, w := range gone {
		if b.Len()+len(w.Value) < maxDetail {
			b.WriteString(" -" + w.Value)
		}
	}
	return b.String()
}

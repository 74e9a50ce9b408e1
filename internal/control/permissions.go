package control

import (
	"context"
	"fmt"
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
// removing what is not changes nothing. Endpoints that exist are not touched.
func (p *Plane) ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, add []sallyport.NewPermission, remove []string) ([]*sallyport.Permission, error) {
	t := target{kind: sallyport.ObjectPermissions, id: string(id), service: id, action: "permit"}
	if len(add) == 0 {
		t.action = "forbid"
	}
	var out []*sallyport.Permission
	err := p.mutate(ctx, c, t, func(tx sallyport.Tx) error {
		if _, err := owned(tx, c, id); err != nil {
			return err
		}
		have, _ := tx.Permissions(allPermissions(id))
		byValue := make(map[string]*sallyport.Permission, len(have))
		for _, w := range have {
			byValue[w.Value] = w
		}
		var gone []*sallyport.Permission
		for _, value := range remove {
			if w, ok := byValue[value]; ok {
				gone = append(gone, w)
				delete(byValue, value)
			}
		}
		var fresh []sallyport.NewPermission
		for _, n := range add {
			if _, ok := byValue[n.Value]; !ok {
				fresh = append(fresh, n)
				byValue[n.Value] = nil // a value twice in one call is one record
			}
		}
		if len(byValue) > maxPermissions {
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
		out, _ = tx.Permissions(allPermissions(id))
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

package vpcep

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// permissionRequest is the body of AddOrRemoveServicePermissions.
type permissionRequest struct {
	Permissions    []string `json:"permissions"`
	PermissionType string   `json:"permission_type"`
	Action         string   `json:"action"`
}

// permissionAnswer is the answer of AddOrRemoveServicePermissions: the whole
// whitelist after the change, newest first.
type permissionAnswer struct {
	Permissions    []string `json:"permissions"`
	PermissionType string   `json:"permission_type"`
}

// listPermissions is ListServicePermissionsDetails. The owner's own account is
// always admitted and never listed.
func (a *api) listPermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values, maxPermissionPage)
	if bad != nil {
		return edge.Response{}, bad
	}
	contains := values.Get("permission")
	if bad := checkFilter("permission", contains, maxPermissionFilter); bad != nil {
		return edge.Response{}, bad
	}
	list, total, err := a.plane.Permissions(ctx, q.Call, sallyport.PermissionQuery{Page: page, ServiceID: service, Contains: contains})
	if err != nil {
		return edge.Response{}, err
	}
	out := permissionList{Permissions: make([]permission, len(list)), Total: total}
	for i, p := range list {
		out.Permissions[i] = permissionOf(p)
	}
	return ok(out)
}

// changePermissions is AddOrRemoveServicePermissions. Adding what is there and
// removing what is not are successes that change nothing.
func (a *api) changePermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in permissionRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	add, bad := parsePermissionAction(in.Action)
	if bad != nil {
		return edge.Response{}, bad
	}
	records, bad := parsePermissions(in.Permissions, in.PermissionType)
	if bad != nil {
		return edge.Response{}, bad
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	var remove []string
	if !add {
		for _, r := range records {
			remove = append(remove, r.Value)
		}
		records = nil
	}
	list, err := a.plane.ChangePermissions(ctx, q.Call, service, sallyport.PermissionChange{Add: records, RemoveValues: remove})
	if err != nil {
		return edge.Response{}, err
	}
	out := permissionAnswer{Permissions: make([]string, len(list)), PermissionType: orDefault(in.PermissionType, string(sallyport.PermissionDomain))}
	for i, p := range list {
		out.Permissions[i] = p.Value
	}
	return ok(out)
}

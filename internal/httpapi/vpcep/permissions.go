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

// batchAddRequest is the body of BatchAddEndpointServicePermissions.
type batchAddRequest struct {
	Permissions    []describedPermission `json:"permissions"`
	PermissionType string                `json:"permission_type"`
}

// describedPermission is a whitelist record to be made, with its description.
type describedPermission struct {
	Permission  string     `json:"permission"`
	Description flexString `json:"description"`
}

// batchRemoveRequest is the body of BatchRemoveEndpointServicePermissions.
type batchRemoveRequest struct {
	Permissions []permissionRef `json:"permissions"`
}

// permissionRef names a whitelist record.
type permissionRef struct {
	ID flexString `json:"id"`
}

// describeRequest is the body of UpdateEndpointServicePermissionDesc.
type describeRequest struct {
	Permission struct {
		Description opt[flexString] `json:"description"`
	} `json:"permission"`
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
	return ok(permissionList{Permissions: permissionsOf(list), Total: total})
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

// addPermissions is BatchAddEndpointServicePermissions: adding with descriptions.
// A record that is there already keeps the description it has.
func (a *api) addPermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in batchAddRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	records, bad := in.records()
	if bad != nil {
		return edge.Response{}, bad
	}
	return a.batch(ctx, q, sallyport.PermissionChange{Add: records})
}

// records checks the records of a batch as those of a single call are, and their
// descriptions.
func (in *batchAddRequest) records() ([]sallyport.NewPermission, *codeError) {
	values := make([]string, len(in.Permissions))
	for i, p := range in.Permissions {
		values[i] = p.Permission
	}
	records, bad := parsePermissions(values, in.PermissionType)
	if bad != nil {
		return nil, bad
	}
	for i, p := range in.Permissions {
		if bad := checkDescription(string(p.Description)); bad != nil {
			return nil, bad
		}
		records[i].Description = string(p.Description)
	}
	return records, nil
}

// removePermissions is BatchRemoveEndpointServicePermissions: removing by id.
func (a *api) removePermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in batchRemoveRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	switch n := len(in.Permissions); {
	case n == 0:
		return edge.Response{}, refuse(codePermissionsEmpty, "the list permissions is empty")
	case n > maxPermissionBatch:
		return edge.Response{}, refuse(codeBatchSize, "the list permissions has %d records, at most %d are allowed", n, maxPermissionBatch)
	}
	ids := make([]sallyport.PermissionID, len(in.Permissions))
	for i, p := range in.Permissions {
		var bad *codeError
		if ids[i], bad = parseID[sallyport.PermissionID]("id", string(p.ID), codeEmpty, codePermission); bad != nil {
			return edge.Response{}, bad
		}
	}
	return a.batch(ctx, q, sallyport.PermissionChange{RemoveIDs: ids})
}

// batch changes the whitelist of the path's service and answers with all of it.
func (a *api) batch(ctx context.Context, q *edge.Request, ch sallyport.PermissionChange) (edge.Response, error) {
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	list, err := a.plane.ChangePermissions(ctx, q.Call, service, ch)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(permissionRecords{Permissions: permissionsOf(list)})
}

// describePermission is UpdateEndpointServicePermissionDesc.
func (a *api) describePermission(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in describeRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if !given(in.Permission.Description) {
		return edge.Response{}, refuse(codeEmpty, "permission.description is missing")
	}
	text := string(in.Permission.Description.value)
	if bad := checkDescription(text); bad != nil {
		return edge.Response{}, bad
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	id, bad := parseID[sallyport.PermissionID]("permission_id", q.Path("permission_id"), codePermission, codePermission)
	if bad != nil {
		return edge.Response{}, bad
	}
	p, err := a.plane.DescribePermission(ctx, q.Call, service, id, text)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(permissionRecords{Permissions: []permission{permissionOf(p)}})
}

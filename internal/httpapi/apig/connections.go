package apig

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// listConnections is ListEndpointConnections, the newest first.
func (a *api) listConnections(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values)
	if bad != nil {
		return edge.Response{}, bad
	}
	status, bad := parseStatus(values.Get("status"))
	if bad != nil {
		return edge.Response{}, bad
	}
	marker, none, bad := parseMarker(values.Get("marker_id"))
	if bad != nil {
		return edge.Response{}, bad
	}
	id := values.Get("id")
	none = none || id != "" && !validID(id)
	if none {
		page.Limit, id = 0, "" // the call is still authorised, and the gateway still looked for
	}
	_, s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	list, total, err := a.plane.Connections(ctx, q.Call, sallyport.EndpointQuery{
		Page: page, ServiceID: s.ID, ID: sallyport.EndpointID(id), Marker: marker, Status: status,
	})
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		total = 0
	}
	return edge.Response{Body: connectionsOf(list, total)}, nil
}

// decide is AcceptOrRejectEndpointConnections: all the endpoints that are named,
// or none. The answer is those, as they are then.
func (a *api) decide(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in decideRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	action, ids, bad := in.decision()
	if bad != nil {
		return edge.Response{}, bad
	}
	_, s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	list, err := a.plane.Decide(ctx, q.Call, s.ID, ids, action)
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: connectionsOf(list, len(list))}, nil
}

// listPermissions is ListEndpointPermissions, the newest first.
func (a *api) listPermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values)
	if bad != nil {
		return edge.Response{}, bad
	}
	contains := values.Get("permission")
	if !validFilter(contains) {
		return edge.Response{}, refuse("parameter name[permission]")
	}
	_, s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	list, total, err := a.plane.Permissions(ctx, q.Call, sallyport.PermissionQuery{Page: page, ServiceID: s.ID, Contains: contains})
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: permissionsOf(list, total)}, nil
}

// addPermissions is AddEndpointPermissions. Adding what is there changes nothing.
func (a *api) addPermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in permissionsBody
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	records, bad := in.records()
	if bad != nil {
		return edge.Response{}, bad
	}
	return a.change(ctx, q, in, sallyport.PermissionChange{Add: records})
}

// deletePermissions is DeleteEndpointPermissions. Deleting what is not there
// changes nothing.
func (a *api) deletePermissions(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in permissionsBody
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if _, bad := in.records(); bad != nil {
		return edge.Response{}, bad
	}
	return a.change(ctx, q, in, sallyport.PermissionChange{RemoveValues: in.Permissions})
}

// change changes the whitelist and answers with what was asked for.
func (a *api) change(ctx context.Context, q *edge.Request, in permissionsBody, ch sallyport.PermissionChange) (edge.Response, error) {
	_, s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	if _, err := a.plane.ChangePermissions(ctx, q.Call, s.ID, ch); err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: in}, nil
}

// showInstance is ShowDetailsOfInstanceV2.
func (a *api) showInstance(ctx context.Context, q *edge.Request) (edge.Response, error) {
	i, s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: detailOf(i, s)}, nil
}

// listInstances is ListInstancesV2, the newest first. It has no word of endpoint
// services.
func (a *api) listInstances(ctx context.Context, q *edge.Request) (edge.Response, error) {
	page, bad := parsePage(q.HTTP.URL.Query())
	if bad != nil {
		return edge.Response{}, bad
	}
	list, total, err := a.plane.Instances(ctx, q.Call, sallyport.InstanceQuery{Page: page, Kind: sallyport.InstanceGateway})
	if err != nil {
		return edge.Response{}, err
	}
	out := instanceList{Total: total, Size: len(list), Instances: make([]instance, len(list))}
	for n, i := range list {
		out.Instances[n] = instanceOf(i)
	}
	return edge.Response{Body: out}, nil
}

package css

import (
	"bytes"
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// actionAnswer is the answer of StartVpecp and StopVpecp, with fixed words.
type actionAnswer struct {
	Action string `json:"action"`
}

// open is StartVpecp: the cluster gets an endpoint service, and one endpoint in
// its own subnet.
func (a *api) open(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in openRequest
	if len(bytes.TrimSpace(q.Body)) > 0 { // every field is optional, and so is the body
		if err := edge.Decode(q, &in); err != nil {
			return edge.Response{}, err
		}
	}
	opt, bad := in.options()
	if bad != nil {
		return edge.Response{}, bad
	}
	id, err := clusterID(q)
	if err != nil {
		return edge.Response{}, err
	}
	if _, err := a.plane.OpenCluster(ctx, q.Call, id, opt); err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: actionAnswer{"createVpcepservice"}}, nil
}

// close is StopVpecp: the service goes, with every endpoint that points at it.
func (a *api) close(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, err := clusterID(q)
	if err != nil {
		return edge.Response{}, err
	}
	if err := a.plane.CloseCluster(ctx, q.Call, id); err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: actionAnswer{"deleteVpcepservice"}}, nil
}

// listConnections is ShowVpcepConnection. The oldest connection comes first: it
// is the cluster's own, and clients take the first for that.
func (a *api) listConnections(ctx context.Context, q *edge.Request) (edge.Response, error) {
	page, bad := parsePage(q.HTTP.URL.Query())
	if bad != nil {
		return edge.Response{}, bad
	}
	s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	page.Ascending = true
	list, total, err := a.plane.Connections(ctx, q.Call, sallyport.EndpointQuery{Page: page, ServiceID: s.ID})
	if err != nil {
		return edge.Response{}, err
	}
	records, _, err := a.plane.Permissions(ctx, q.Call, sallyport.PermissionQuery{
		Page: sallyport.Page{Limit: maxAccounts}, ServiceID: s.ID,
	})
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: connectionList{
		Connections: a.connectionsOf(list, s), UpdateSwitch: true, Total: total,
		ServiceName: s.FullName(), Permissions: permissionsOf(records),
	}}, nil
}

// decide is UpdateVpcepConnection: all the endpoints that are named, or none.
// What is wrong with a request wins in this order: the body, the action, the
// list, the cluster, whether it is open, whether the endpoints are connections
// of it, their states.
func (a *api) decide(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in decideRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	action, ids, bad := in.decision()
	if bad != nil {
		return edge.Response{}, bad
	}
	s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	_, err = a.plane.Decide(ctx, q.Call, s.ID, ids, action)
	return edge.Response{}, err
}

// replaceWhitelist is UpdateVpcepWhitelist: the list replaces the one before.
func (a *api) replaceWhitelist(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in whitelistRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	change, bad := in.change()
	if bad != nil {
		return edge.Response{}, bad
	}
	s, err := a.service(ctx, q)
	if err != nil {
		return edge.Response{}, err
	}
	_, err = a.plane.ChangePermissions(ctx, q.Call, s.ID, change)
	return edge.Response{}, err
}

// Package apig is the API family of dedicated API gateways, as far as it speaks
// of their VPC endpoint services: the five vpc-endpoint operations of APIG v2,
// and the two that show gateways. A gateway's endpoint service is an ordinary
// one; this package is one more door to it, and decides nothing itself.
//
// It may import the domain (internal/sallyport) and internal/httpapi/edge, and
// no other family. It starts no goroutines.
package apig

import (
	"context"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Plane is what this family asks of the product. Every method authorises the
// caller for the project of the call, and returns a *sallyport.Error for what
// may be shown and any other error for what may not.
type Plane interface {
	Instances(ctx context.Context, c sallyport.Call, q sallyport.InstanceQuery) ([]*sallyport.Instance, int, error)
	ManagedService(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, *sallyport.Service, error)

	Connections(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error)
	Decide(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, eps []sallyport.EndpointID, a sallyport.Action) ([]*sallyport.Endpoint, error)
	Permissions(ctx context.Context, c sallyport.Call, q sallyport.PermissionQuery) ([]*sallyport.Permission, int, error)
	ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error)
}

// api holds what the handlers need.
type api struct{ plane Plane }

// New returns the family: the routes of the documented operations and the shape
// of its errors. It serves until the process ends and holds nothing to close.
//
// It is mounted below /apig too: one client has no type for gateways in the
// catalogue, and makes their URL out of that of volumev2.
func New(p Plane) edge.Family {
	a := &api{plane: p}
	return edge.Family{
		Name: "apig", Prefixes: []string{"/v2/{project_id}/apigw", "/apig"}, Mounts: []string{"/apig"},
		Routes: a.routes(), Error: renderError,
	}
}

// The paths; the wildcards have the names of the reference.
const (
	pathInstances   = "/v2/{project_id}/apigw/instances"
	pathInstance    = pathInstances + "/{instance_id}"
	pathConnections = pathInstance + "/vpc-endpoint/connections"
	pathPermissions = pathInstance + "/vpc-endpoint/permissions"
)

// routes is the table of the operations. Their names are those of the
// reference: they are what an audit record shows.
func (a *api) routes() []edge.Route {
	return []edge.Route{
		{Method: http.MethodGet, Path: pathConnections, Name: "ListEndpointConnections", Handler: a.listConnections},
		{Method: http.MethodPost, Path: pathConnections + "/action", Name: "AcceptOrRejectEndpointConnections", Handler: a.decide},
		{Method: http.MethodGet, Path: pathPermissions, Name: "ListEndpointPermissions", Handler: a.listPermissions},
		{Method: http.MethodPost, Path: pathPermissions + "/batch-add", Name: "AddEndpointPermissions", Handler: a.addPermissions},
		{Method: http.MethodPost, Path: pathPermissions + "/batch-delete", Name: "DeleteEndpointPermissions", Handler: a.deletePermissions},

		{Method: http.MethodGet, Path: pathInstance, Name: "ShowDetailsOfInstanceV2", Handler: a.showInstance},
		{Method: http.MethodGet, Path: pathInstances, Name: "ListInstancesV2", Handler: a.listInstances},
	}
}

// service returns the gateway of the path and its endpoint service. What cannot
// be an id names nothing, and is answered like any id that names nothing.
func (a *api) service(ctx context.Context, q *edge.Request) (*sallyport.Instance, *sallyport.Service, error) {
	id := q.Path("instance_id")
	if !validID(id) {
		return nil, nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonInstanceNotFound, "the gateway id is none")
	}
	return a.plane.ManagedService(ctx, q.Call, sallyport.InstanceGateway, sallyport.InstanceID(id))
}

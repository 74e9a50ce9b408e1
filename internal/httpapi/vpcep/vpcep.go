package vpcep

import (
	"context"
	"net/http"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Plane is what this family asks of the product. Every method authorises the
// caller for the project of the call, and returns a *sallyport.Error for what
// may be shown and any other error for what may not.
type Plane interface {
	CreateService(ctx context.Context, c sallyport.Call, n sallyport.NewService) (sallyport.ServiceView, error)
	UpdateService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.ServiceChange) (sallyport.ServiceView, error)
	DeleteService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) error
	Service(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) (sallyport.ServiceView, error)
	Services(ctx context.Context, c sallyport.Call, q sallyport.ServiceQuery) ([]sallyport.ServiceView, int, error)
	Describe(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, fullName string) (*sallyport.Service, error)

	// AddResources leaves alone what the service has already.
	AddResources(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, rs []sallyport.ServerResource) error
	// UpgradeService moves a service to the professional edition, or back.
	UpgradeService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, professional bool) error

	Connections(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error)
	// NoteConnections returns the connections of the notes, in their order.
	NoteConnections(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, notes []sallyport.Note) ([]*sallyport.Endpoint, error)
	Decide(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, eps []sallyport.EndpointID, a sallyport.Action) ([]*sallyport.Endpoint, error)

	Permissions(ctx context.Context, c sallyport.Call, q sallyport.PermissionQuery) ([]*sallyport.Permission, int, error)
	// ChangePermissions returns the whole list after the change, newest first.
	ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error)
	DescribePermission(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, pid sallyport.PermissionID, description string) (*sallyport.Permission, error)

	CreateEndpoint(ctx context.Context, c sallyport.Call, n sallyport.NewEndpoint) (sallyport.EndpointView, error)
	Endpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.EndpointView, error)
	Endpoints(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]sallyport.EndpointView, int, error)
	UpdateEndpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID, ch sallyport.EndpointChange) (sallyport.EndpointView, error)
	DeleteEndpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) error

	// ChangeTags removes, then adds. A filter without values removes its key, one
	// with values only those pairs; adding a key that is there replaces its value.
	ChangeTags(ctx context.Context, c sallyport.Call, r sallyport.Resource, add []sallyport.Tag, remove []sallyport.TagFilter) error
	TagKeys(ctx context.Context, c sallyport.Call, kind sallyport.ObjectKind) ([]sallyport.TagKey, error)
	Tagged(ctx context.Context, c sallyport.Call, q sallyport.TagQuery) ([]sallyport.TaggedResource, int, error)

	Quotas(ctx context.Context, c sallyport.Call) (sallyport.Quotas, error)
}

// Options are what an operator may choose; the zero value serves.
type Options struct {
	// PublicURL is where clients reach the server, "http://127.0.0.1:8780"; the
	// links of the version list start with it.
	PublicURL string
	// DNSSuffix ends the DNS names of endpoints, "" for "sallyport.internal".
	DNSSuffix string
}

// api holds what the handlers need.
type api struct {
	plane     Plane
	publicURL string
	dnsSuffix string
}

// New returns the family: the routes of the documented operations and the shape
// of its errors. It serves until the process ends and holds nothing to close.
func New(p Plane, opt Options) edge.Family {
	a := &api{
		plane:     p,
		publicURL: strings.TrimSuffix(opt.PublicURL, "/"),
		dnsSuffix: orDefault(opt.DNSSuffix, sallyport.DefaultDNSSuffix),
	}
	return edge.Family{
		Name:     "vpcep",
		Prefixes: []string{"/v1", "/v2"},
		Routes:   a.routes(),
		Error:    renderError,
	}
}

// The paths of the resources; the wildcards have the names of the reference.
const (
	pathService    = "/v1/{project_id}/vpc-endpoint-services/{vpc_endpoint_service_id}"
	pathServices   = "/v1/{project_id}/vpc-endpoint-services"
	pathServiceV2  = "/v2/{project_id}/vpc-endpoint-services/{vpc_endpoint_service_id}"
	pathEndpoint   = "/v1/{project_id}/vpc-endpoints/{vpc_endpoint_id}"
	pathEndpoints  = "/v1/{project_id}/vpc-endpoints"
	pathEndpointV2 = "/v2/{project_id}/vpc-endpoints/{vpc_endpoint_id}"
)

// routes is the table of the documented operations. Their names are those of the
// reference: they are what an audit record shows. The root path is the identity
// family's too; When tells who is meant. The tags of a resource type are two
// literal paths: a wildcard would clash with the path of an endpoint called tags.
func (a *api) routes() []edge.Route {
	return []edge.Route{
		{Method: http.MethodGet, Path: "/", Name: "ListVersionDetails", Public: true, When: edge.WantsServiceVersions, Handler: a.listVersions},
		{Method: http.MethodGet, Path: "/{version}", Name: "ListSpecifiedVersionDetails", Public: true, Handler: a.showVersion},

		{Method: http.MethodPost, Path: pathServices, Name: "CreateEndpointService", Handler: a.createService},
		{Method: http.MethodGet, Path: pathServices, Name: "ListEndpointService", Handler: a.listServices},
		{Method: http.MethodGet, Path: pathServices + "/public", Name: "ListServicePublicDetails", Handler: a.listPublic},
		{Method: http.MethodGet, Path: pathServices + "/describe", Name: "ListServiceDescribeDetails", Handler: a.describe},
		{Method: http.MethodGet, Path: pathService, Name: "ListServiceDetails", Handler: a.showService},
		{Method: http.MethodPut, Path: pathService, Name: "UpdateEndpointService", Handler: a.updateService},
		{Method: http.MethodPut, Path: pathService + "/name", Name: "UpdateEndpointServiceName", Handler: a.renameService},
		{Method: http.MethodDelete, Path: pathService, Name: "DeleteEndpointService", Handler: a.deleteService},
		{Method: http.MethodPost, Path: pathServiceV2 + "/add-server-resources", Name: "AddEndpointServiceServerResource", Handler: a.addResources},
		{Method: http.MethodPost, Path: pathServiceV2 + "/upgrade", Name: "UpgradeEndpointService", Handler: a.upgradeService},

		{Method: http.MethodGet, Path: pathService + "/connections", Name: "ListServiceConnections", Handler: a.listConnections},
		{Method: http.MethodPost, Path: pathService + "/connections/action", Name: "AcceptOrRejectEndpoint", Handler: a.decide},
		{Method: http.MethodPut, Path: pathService + "/connections/description", Name: "UpdateEndpointConnectionsDesc", Handler: a.noteConnections},

		{Method: http.MethodGet, Path: pathService + "/permissions", Name: "ListServicePermissionsDetails", Handler: a.listPermissions},
		{Method: http.MethodPost, Path: pathService + "/permissions/action", Name: "AddOrRemoveServicePermissions", Handler: a.changePermissions},
		{Method: http.MethodPost, Path: pathService + "/permissions/batch-create", Name: "BatchAddEndpointServicePermissions", Handler: a.addPermissions},
		{Method: http.MethodPost, Path: pathService + "/permissions/batch-delete", Name: "BatchRemoveEndpointServicePermissions", Handler: a.removePermissions},
		{Method: http.MethodPut, Path: pathService + "/permissions/{permission_id}", Name: "UpdateEndpointServicePermissionDesc", Handler: a.describePermission},

		{Method: http.MethodPost, Path: pathEndpoints, Name: "CreateEndpoint", Handler: a.createEndpoint},
		{Method: http.MethodGet, Path: pathEndpoints, Name: "ListEndpoints", Handler: a.listEndpoints},
		{Method: http.MethodGet, Path: pathEndpoint, Name: "ListEndpointInfoDetails", Handler: a.showEndpoint},
		{Method: http.MethodPut, Path: pathEndpoint, Name: "UpdateEndpointWhite", Handler: a.updateWhitelist},
		{Method: http.MethodPut, Path: pathEndpoint + "/routetables", Name: "UpdateEndpointRoutetable", Handler: a.updateRouteTables},
		{Method: http.MethodPut, Path: pathEndpoint + "/policy", Name: "UpdateEndpointPolicy", Handler: a.updatePolicy},
		{Method: http.MethodDelete, Path: pathEndpoint + "/policy", Name: "DeleteEndpointPolicy", Handler: a.deletePolicy},
		{Method: http.MethodDelete, Path: pathEndpoint, Name: "DeleteEndpoint", Handler: a.deleteEndpoint},
		{Method: http.MethodPost, Path: pathEndpointV2 + "/upgrade", Name: "UpgradeEndpoint", Handler: a.upgradeEndpoint},

		{Method: http.MethodPost, Path: "/v1/{project_id}/{resource_type}/{resource_id}/tags/action", Name: "BatchAddOrRemoveResourceInstance", Handler: a.changeTags},
		{Method: http.MethodGet, Path: "/v1/{project_id}/endpoint/tags", Name: "ListQueryProjectResourceTags", Handler: a.listEndpointTags},
		{Method: http.MethodGet, Path: "/v1/{project_id}/endpoint_service/tags", Name: "ListQueryProjectResourceTags", Handler: a.listServiceTags},
		{Method: http.MethodPost, Path: "/v1/{project_id}/{resource_type}/resource_instances/action", Name: "ListResourceInstances", Handler: a.searchTags},

		{Method: http.MethodGet, Path: "/v1/{project_id}/quotas", Name: "ListQuotaDetails", Handler: a.listQuotas},
	}
}

// serviceID reads the service id of the path.
func serviceID(q *edge.Request) (sallyport.ServiceID, *codeError) {
	return parseID[sallyport.ServiceID]("vpc_endpoint_service_id", q.Path("vpc_endpoint_service_id"), codeServiceID, codeServiceID)
}

// endpointID reads the endpoint id of the path.
func endpointID(q *edge.Request) (sallyport.EndpointID, *codeError) {
	return parseID[sallyport.EndpointID]("vpc_endpoint_id", q.Path("vpc_endpoint_id"), codeEndpointID, codeEndpointID)
}

// ok is the answer 200 with a body.
func ok(body any) (edge.Response, error) {
	return edge.Response{Status: http.StatusOK, Body: body}, nil
}

// empty is the answer 204, without a body: to a deletion, where the prose of one
// edition says 200 and its status table and a client that accepts nothing else
// say 204; to a change of tags; and to two calls of version 2.
func empty() (edge.Response, error) { return edge.Response{Status: http.StatusNoContent}, nil }

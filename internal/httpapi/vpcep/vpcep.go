package vpcep

import (
	"context"
	"net/http"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// defaultDNSSuffix ends the DNS names of endpoints where the operator named no
// suffix; RFC 9476 and ICANN keep .internal for private use.
const defaultDNSSuffix = "sallyport.internal"

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

	Connections(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error)
	Decide(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, eps []sallyport.EndpointID, a sallyport.Action) ([]*sallyport.Endpoint, error)

	Permissions(ctx context.Context, c sallyport.Call, q sallyport.PermissionQuery) ([]*sallyport.Permission, int, error)
	// ChangePermissions returns the whole list after the change, newest first.
	ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error)

	CreateEndpoint(ctx context.Context, c sallyport.Call, n sallyport.NewEndpoint) (sallyport.EndpointView, error)
	Endpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.EndpointView, error)
	Endpoints(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]sallyport.EndpointView, int, error)
	DeleteEndpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) error

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
		dnsSuffix: orDefault(opt.DNSSuffix, defaultDNSSuffix),
	}
	return edge.Family{
		Name:     "vpcep",
		Prefixes: []string{"/v1", "/v2"},
		Routes:   append(a.served(), unserved()...),
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

// served is the table of the operations that work. Their names are those of the
// reference: they are what an audit record shows. The root path is the identity
// family's too; When tells who is meant.
func (a *api) served() []edge.Route {
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

		{Method: http.MethodGet, Path: pathService + "/connections", Name: "ListServiceConnections", Handler: a.listConnections},
		{Method: http.MethodPost, Path: pathService + "/connections/action", Name: "AcceptOrRejectEndpoint", Handler: a.decide},

		{Method: http.MethodGet, Path: pathService + "/permissions", Name: "ListServicePermissionsDetails", Handler: a.listPermissions},
		{Method: http.MethodPost, Path: pathService + "/permissions/action", Name: "AddOrRemoveServicePermissions", Handler: a.changePermissions},

		{Method: http.MethodPost, Path: pathEndpoints, Name: "CreateEndpoint", Handler: a.createEndpoint},
		{Method: http.MethodGet, Path: pathEndpoints, Name: "ListEndpoints", Handler: a.listEndpoints},
		{Method: http.MethodGet, Path: pathEndpoint, Name: "ListEndpointInfoDetails", Handler: a.showEndpoint},
		{Method: http.MethodDelete, Path: pathEndpoint, Name: "DeleteEndpoint", Handler: a.deleteEndpoint},

		{Method: http.MethodGet, Path: "/v1/{project_id}/quotas", Name: "ListQuotaDetails", Handler: a.listQuotas},
	}
}

// unserved is the table of the documented operations that this server does not
// know how to do yet. They are routed so that a caller reads 501 and the name
// of the operation, and not that its endpoint is gone (404) or its method wrong
// (405).
func unserved() []edge.Route {
	table := []struct{ method, path, name string }{
		{http.MethodPut, pathService + "/connections/description", "UpdateEndpointConnectionsDesc"},
		{http.MethodPost, pathService + "/permissions/batch-create", "BatchAddEndpointServicePermissions"},
		{http.MethodPost, pathService + "/permissions/batch-delete", "BatchRemoveEndpointServicePermissions"},
		{http.MethodPut, pathService + "/permissions/{permission_id}", "UpdateEndpointServicePermissionDesc"},
		{http.MethodPut, pathEndpoint, "UpdateEndpointWhite"},
		{http.MethodPut, pathEndpoint + "/routetables", "UpdateEndpointRoutetable"},
		{http.MethodPut, pathEndpoint + "/policy", "UpdateEndpointPolicy"},
		{http.MethodDelete, pathEndpoint + "/policy", "DeleteEndpointPolicy"},
		{http.MethodPost, "/v1/{project_id}/{resource_type}/{resource_id}/tags/action", "BatchAddOrRemoveResourceInstance"},
		// The two resource types as literals: a wildcard would clash with the path
		// of an endpoint called tags.
		{http.MethodGet, "/v1/{project_id}/endpoint/tags", "ListQueryProjectResourceTags"},
		{http.MethodGet, "/v1/{project_id}/endpoint_service/tags", "ListQueryProjectResourceTags"},
		{http.MethodPost, "/v1/{project_id}/{resource_type}/resource_instances/action", "ListResourceInstances"},
		{http.MethodPost, pathServiceV2 + "/add-server-resources", "AddEndpointServiceServerResource"},
		{http.MethodPost, pathServiceV2 + "/upgrade", "UpgradeEndpointService"},
		{http.MethodPost, pathEndpointV2 + "/upgrade", "UpgradeEndpoint"},
	}
	routes := make([]edge.Route, 0, len(table))
	for _, r := range table {
		routes = append(routes, edge.Route{Method: r.method, Path: r.path, Name: r.name, Handler: refuseUnserved(r.name)})
	}
	return routes
}

// refuseUnserved returns the handler of an operation that is not served.
func refuseUnserved(name string) edge.Handler {
	return func(context.Context, *edge.Request) (edge.Response, error) {
		return edge.Response{}, &unservedError{operation: name}
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

// gone is the answer 204 to a deletion. The prose of one edition says 200; its
// status table and a client that accepts nothing else say 204.
func gone() (edge.Response, error) { return edge.Response{Status: http.StatusNoContent}, nil }

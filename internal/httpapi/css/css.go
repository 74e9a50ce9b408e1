// Package css is the API family of search clusters, as far as it speaks of
// their VPC endpoint services: the five vpcepservice operations of CSS v1.0,
// and the two that show clusters. A cluster's endpoint service is an ordinary
// one; this package is one more door to it, and decides nothing itself.
//
// It may import the domain (internal/sallyport) and internal/httpapi/edge, and
// no other family. It starts no goroutines.
package css

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
	Instance(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, error)
	Instances(ctx context.Context, c sallyport.Call, q sallyport.InstanceQuery) ([]*sallyport.Instance, int, error)
	// ManagedService refuses with ReasonInstanceClosed where a cluster has no service.
	ManagedService(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, *sallyport.Service, error)
	OpenCluster(ctx context.Context, c sallyport.Call, id sallyport.InstanceID, opt sallyport.ClusterOptions) (*sallyport.Instance, error)
	CloseCluster(ctx context.Context, c sallyport.Call, id sallyport.InstanceID) error

	Endpoint(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.EndpointView, error)
	Connections(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error)
	Decide(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, eps []sallyport.EndpointID, a sallyport.Action) ([]*sallyport.Endpoint, error)
	Permissions(ctx context.Context, c sallyport.Call, q sallyport.PermissionQuery) ([]*sallyport.Permission, int, error)
	ChangePermissions(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error)
}

// Options are what an operator may choose; the zero value serves.
type Options struct {
	// DNSSuffix ends the DNS names of endpoints, "" for "sallyport.internal".
	DNSSuffix string
}

// api holds what the handlers need.
type api struct {
	plane     Plane
	dnsSuffix string
}

// New returns the family: the routes of the documented operations and the shape
// of its errors. It serves until the process ends and holds nothing to close.
func New(p Plane, opt Options) edge.Family {
	a := &api{plane: p, dnsSuffix: opt.DNSSuffix}
	if a.dnsSuffix == "" {
		a.dnsSuffix = sallyport.DefaultDNSSuffix
	}
	return edge.Family{Name: "css", Prefixes: []string{"/v1.0"}, Routes: a.routes(), Error: renderError}
}

// The paths; the wildcards have the names of the reference.
const (
	pathClusters = "/v1.0/{project_id}/clusters"
	pathCluster  = pathClusters + "/{cluster_id}"
	pathService  = pathCluster + "/vpcepservice"
)

// routes is the table of the operations. Their names are those of the
// reference, the misspelling of two of them included: they are what an audit
// record shows.
func (a *api) routes() []edge.Route {
	return []edge.Route{
		{Method: http.MethodPost, Path: pathService + "/open", Name: "StartVpecp", Handler: a.open},
		{Method: http.MethodPut, Path: pathService + "/close", Name: "StopVpecp", Handler: a.close},
		{Method: http.MethodGet, Path: pathService + "/connections", Name: "ShowVpcepConnection", Handler: a.listConnections},
		{Method: http.MethodPost, Path: pathService + "/connections", Name: "UpdateVpcepConnection", Handler: a.decide},
		{Method: http.MethodPost, Path: pathService + "/permissions", Name: "UpdateVpcepWhitelist", Handler: a.replaceWhitelist},

		{Method: http.MethodGet, Path: pathCluster, Name: "ShowClusterDetail", Handler: a.showCluster},
		{Method: http.MethodGet, Path: pathClusters, Name: "ListClustersDetails", Handler: a.listClusters},
	}
}

// clusterID returns the cluster id of the path. What cannot be an id names
// nothing, and is answered like any id that names nothing.
func clusterID(q *edge.Request) (sallyport.InstanceID, error) {
	id := q.Path("cluster_id")
	if !validID(id) {
		return "", sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonInstanceNotFound, "the cluster id is none")
	}
	return sallyport.InstanceID(id), nil
}

// service returns the endpoint service of the path's cluster.
func (a *api) service(ctx context.Context, q *edge.Request) (*sallyport.Service, error) {
	id, err := clusterID(q)
	if err != nil {
		return nil, err
	}
	_, s, err := a.plane.ManagedService(ctx, q.Call, sallyport.InstanceCluster, id)
	return s, err
}

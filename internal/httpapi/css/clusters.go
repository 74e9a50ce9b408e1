package css

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// showCluster is ShowClusterDetail. It has the address of the cluster's own
// endpoint, as long as that is there and accepted.
func (a *api) showCluster(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, err := clusterID(q)
	if err != nil {
		return edge.Response{}, err
	}
	i, err := a.plane.Instance(ctx, q.Call, sallyport.InstanceCluster, id)
	if err != nil {
		return edge.Response{}, err
	}
	out := clusterDetail{cluster: clusterOf(i), SupportVPCEP: true}
	if i.EndpointID == "" {
		return edge.Response{Body: out}, nil
	}
	e, err := a.plane.Endpoint(ctx, q.Call, i.EndpointID)
	switch {
	case sallyport.ReasonOf(err) == sallyport.ReasonEndpointNotFound: // its owner deleted it
	case err != nil:
		return edge.Response{}, err
	case e.ShowsAddress():
		out.VPCEPIP = e.Address.String()
		out.VPCEPIPv6 = e.IPv6Address
	}
	return edge.Response{Body: out}, nil
}

// listClusters is ListClustersDetails, the newest first.
func (a *api) listClusters(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values)
	if bad != nil {
		return edge.Response{}, bad
	}
	kind := values.Get("datastoreType")
	none := kind != "" && kind != datastoreType
	if none {
		page.Limit = 0 // the call is still authorised
	}
	list, total, err := a.plane.Instances(ctx, q.Call, sallyport.InstanceQuery{Page: page, Kind: sallyport.InstanceCluster})
	if err != nil {
		return edge.Response{}, err
	}
	out := clusterList{Clusters: make([]cluster, len(list)), Total: total}
	if none {
		out.Total = 0
	}
	for n, i := range list {
		out.Clusters[n] = clusterOf(i)
	}
	return edge.Response{Body: out}, nil
}

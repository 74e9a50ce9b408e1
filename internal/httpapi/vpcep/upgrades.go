package vpcep

import (
	"bytes"
	"context"
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The three calls of version 2: what moves services and endpoints from the basic
// to the professional edition.

// maxServerResources is the number of load balancers in one call. The reference
// has none; a service can have no more.
const maxServerResources = 100

// resourcesRequest is the body of AddEndpointServiceServerResource.
type resourcesRequest struct {
	Resources []serverResource `json:"server_resources"`
}

// serverResource is a load balancer. A client sends null for an unknown zone.
type serverResource struct {
	ID   flexString `json:"resource_id"`
	Zone flexString `json:"availability_zone_id"`
}

// upgradeRequest is the body of both upgrades. Whether several load balancers are
// to be allowed (enable_multi_server) is not looked at: they always are.
type upgradeRequest struct {
	Action string `json:"action"`
}

// addResources is AddEndpointServiceServerResource.
func (a *api) addResources(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in resourcesRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	list, bad := in.resources()
	if bad != nil {
		return edge.Response{}, bad
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.AddResources(ctx, q.Call, service, list); err != nil {
		return edge.Response{}, err
	}
	return empty()
}

func (in *resourcesRequest) resources() ([]sallyport.ServerResource, *codeError) {
	switch n := len(in.Resources); {
	case n == 0:
		return nil, refuse(codeEmpty, "server_resources is empty")
	case n > maxServerResources:
		return nil, refuse(codeBatchSize, "server_resources has %d items, at most %d are allowed", n, maxServerResources)
	}
	out := make([]sallyport.ServerResource, len(in.Resources))
	for i, r := range in.Resources {
		var bad *codeError
		if out[i].ID, bad = parseID[string]("resource_id", string(r.ID), codeEmpty, codeParameter); bad != nil {
			return nil, bad
		}
		if out[i].Zone, bad = parseOptionalID[string]("availability_zone_id", string(r.Zone), codeParameter); bad != nil {
			return nil, bad
		}
	}
	return out, nil
}

// upgradeService is UpgradeEndpointService. Clients send no body for an upgrade.
func (a *api) upgradeService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in upgradeRequest
	if len(bytes.TrimSpace(q.Body)) > 0 {
		if err := edge.Decode(q, &in); err != nil {
			return edge.Response{}, err
		}
	}
	switch in.Action {
	case "", "upgrade", "rollback":
	default:
		return edge.Response{}, refuse(codeAction, "action is %s, upgrade or rollback is needed", quote(in.Action))
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.UpgradeService(ctx, q.Call, service, in.Action != "rollback"); err != nil {
		return edge.Response{}, err
	}
	return empty()
}

// upgradeEndpoint is UpgradeEndpoint, the one call that answers 202.
func (a *api) upgradeEndpoint(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in upgradeRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if in.Action != "start" {
		return edge.Response{}, refuse(codeAction, "action is %s, start is needed", quote(in.Action))
	}
	on := true
	if _, err := a.editEndpoint(ctx, q, sallyport.EndpointChange{Professional: &on}); err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Status: http.StatusAccepted}, nil
}

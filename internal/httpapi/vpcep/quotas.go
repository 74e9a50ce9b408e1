package vpcep

import (
	"context"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The two types of resource, in quotas and in the paths of tags.
const (
	typeEndpoint = "endpoint"
	typeService  = "endpoint_service"
)

// quota is one limit of a project and how much of it is used.
type quota struct {
	Type  string `json:"type"`
	Used  int    `json:"used"`
	Quota int    `json:"quota"`
}

// quotaAnswer is the answer of ListQuotaDetails.
type quotaAnswer struct {
	Quotas quotaList `json:"quotas"`
}

type quotaList struct {
	Resources []quota `json:"resources"`
}

// listQuotas is ListQuotaDetails: both quotas, or the one of the type asked for.
func (a *api) listQuotas(ctx context.Context, q *edge.Request) (edge.Response, error) {
	want := q.HTTP.URL.Query().Get("type")
	switch want {
	case "", typeEndpoint, typeService:
	default:
		return edge.Response{}, refuse(codeParameter, "type is %s, endpoint or endpoint_service is needed", quote(want))
	}
	quotas, err := a.plane.Quotas(ctx, q.Call)
	if err != nil {
		return edge.Response{}, err
	}
	list := quotaList{Resources: []quota{}}
	for _, r := range []quota{quotaOf(typeEndpoint, quotas.Endpoints), quotaOf(typeService, quotas.Services)} {
		if want == "" || want == r.Type {
			list.Resources = append(list.Resources, r)
		}
	}
	return ok(quotaAnswer{Quotas: list})
}

func quotaOf(kind string, q sallyport.Quota) quota {
	return quota{Type: kind, Used: q.Used, Quota: q.Limit}
}

package vpcep

import (
	"context"
	"strconv"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// connectionSize is about what one connection takes on the wire; a page that is
// made room for at once is not copied while it grows.
const connectionSize = 288

// decisionRequest is the body of AcceptOrRejectEndpoint.
type decisionRequest struct {
	Action    string   `json:"action"`
	Endpoints []string `json:"endpoints"`
}

// decide is AcceptOrRejectEndpoint. What is wrong with a request wins in this
// order: the body, the action, the number of endpoints, the syntax of ids, the
// service, whether the endpoint is a connection of it, its state. A foreign and
// an unknown endpoint read the same, so that nobody learns what exists.
func (a *api) decide(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in decisionRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	action, id, bad := parseDecision(in.Action, in.Endpoints)
	if bad != nil {
		return edge.Response{}, bad
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	list, err := a.plane.Decide(ctx, q.Call, service, []sallyport.EndpointID{id}, action)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(edge.Raw(append(appendConnections(make([]byte, 0, pageSize(len(list), connectionSize)), list), '}')))
}

// listConnections is ListServiceConnections, the connections of every account
// to a service of the caller.
func (a *api) listConnections(ctx context.Context, q *edge.Request) (edge.Response, error) {
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values, sallyport.MaxPage)
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
	if none {
		page.Limit = 0 // the call is still authorised, and the service still looked for
	}
	list, total, err := a.plane.Connections(ctx, q.Call, sallyport.EndpointQuery{
		Page: page, ServiceID: service, ID: sallyport.EndpointID(values.Get("id")), Marker: marker, Status: status,
	})
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		list, total = nil, 0
	}
	b := appendConnections(make([]byte, 0, pageSize(len(list), connectionSize)), list)
	return ok(edge.Raw(appendTotal(b, total)))
}

// appendConnections appends the opening of an answer and its connections.
func appendConnections(b []byte, list []*sallyport.Endpoint) []byte {
	b = append(b, `{"connections":[`...)
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendConnection(b, e)
	}
	return append(b, ']')
}

// appendTotal appends the end of a list.
func appendTotal(b []byte, total int) []byte {
	b = append(b, `,"total_count":`...)
	b = strconv.AppendInt(b, int64(total), 10)
	return append(b, '}')
}

// pageSize is about what a page of n items takes with its envelope.
func pageSize(n, size int) int { return n*size + 64 }

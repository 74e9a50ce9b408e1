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

// maxNotes is the number of connections in one call that describes them. The
// reference has none; it bounds what one transaction writes, as with whitelist
// records.
const maxNotes = maxPermissionBatch

// decisionRequest is the body of AcceptOrRejectEndpoint.
type decisionRequest struct {
	Action    string   `json:"action"`
	Endpoints []string `json:"endpoints"`
}

// noteRequest is the body of UpdateEndpointConnectionsDesc.
type noteRequest struct {
	Connections []connectionNote `json:"connections"`
}

// connectionNote is the owner's description of one connection.
type connectionNote struct {
	ID          string          `json:"id"`
	Description opt[flexString] `json:"description"`
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
	return connectionsAnswer(list)
}

// noteConnections is UpdateEndpointConnectionsDesc: the owner's notes on
// connections, all of them or none.
func (a *api) noteConnections(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in noteRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	notes, bad := in.notes()
	if bad != nil {
		return edge.Response{}, bad
	}
	service, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	list, err := a.plane.NoteConnections(ctx, q.Call, service, notes)
	if err != nil {
		return edge.Response{}, err
	}
	return connectionsAnswer(list)
}

// notes checks what can be checked without state. A connection may occur once:
// of two notes nobody could tell which one is meant.
func (in *noteRequest) notes() ([]sallyport.Note, *codeError) {
	switch n := len(in.Connections); {
	case n == 0:
		return nil, refuse(codeEmpty, "the list connections is empty")
	case n > maxNotes:
		return nil, refuse(codeBatchSize, "the list connections has %d items, at most %d are allowed", n, maxNotes)
	}
	seen := make(map[string]bool, len(in.Connections))
	out := make([]sallyport.Note, 0, len(in.Connections))
	for _, c := range in.Connections {
		text := string(c.Description.value)
		switch {
		case c.ID == "":
			return nil, refuse(codeEmpty, "the id of a connection is empty")
		case !isUUID(c.ID):
			return nil, refuse(codeEndpointID, "%s is not a UUID", quote(c.ID))
		case seen[c.ID]:
			return nil, refuse(codeParameter, "the connection %s is there twice", c.ID)
		case !given(c.Description):
			return nil, refuse(codeEmpty, "the connection %s has no description", c.ID)
		}
		if bad := checkDescription(text); bad != nil {
			return nil, bad
		}
		seen[c.ID] = true
		out = append(out, sallyport.Note{Endpoint: sallyport.EndpointID(c.ID), Description: text})
	}
	return out, nil
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

// connectionsAnswer is the answer of what changes connections: those that were
// named, without a total.
func connectionsAnswer(list []*sallyport.Endpoint) (edge.Response, error) {
	return ok(edge.Raw(append(appendConnections(make([]byte, 0, pageSize(len(list), connectionSize)), list), '}')))
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

package vpcep

import (
	"context"
	"encoding/json"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// endpointSize is about what one endpoint takes on the wire; a page that is
	// made room for at once is not copied while it grows.
	endpointSize = 1024
	// maxRouteTables is the number of route tables of one endpoint. The reference
	// has none; it bounds what one row holds.
	maxRouteTables = 100
)

// endpointRequest is the body of CreateEndpoint.
type endpointRequest struct {
	ServiceID       flexString      `json:"endpoint_service_id"`
	VPCID           flexString      `json:"vpc_id"`
	SubnetID        flexString      `json:"subnet_id"`
	PortIP          flexString      `json:"port_ip"`
	EnableDNS       flexBool        `json:"enable_dns"`
	EnableWhitelist flexBool        `json:"enable_whitelist"`
	Whitelist       []string        `json:"whitelist"`
	RouteTables     []string        `json:"routetables"`
	Tags            []tagRequest    `json:"tags"`
	Description     flexString      `json:"description"`
	Specification   flexString      `json:"specification_name"`
	IPVersion       flexString      `json:"ip_version"`
	IPv6Address     flexString      `json:"ipv6_address"`
	PolicyStatement json.RawMessage `json:"policy_statement"`
	PolicyDocument  json.RawMessage `json:"policy_document"`
}

// whitelistRequest is the body of UpdateEndpointWhite. What is absent stays as it
// is; a null whitelist is an empty one.
type whitelistRequest struct {
	Whitelist       opt[[]string] `json:"whitelist"`
	EnableWhitelist opt[flexBool] `json:"enable_whitelist"`
}

// routeTableRequest is the body of UpdateEndpointRoutetable: the whole new set.
type routeTableRequest struct {
	RouteTables opt[[]string] `json:"routetables"`
}

// routeTableAnswer is its answer. All tables are bound or none, so there is never
// a list of those that were not.
type routeTableAnswer struct {
	RouteTables []string `json:"routetables"`
}

// createEndpoint is CreateEndpoint. The answer shows the status at that moment:
// pendingAcceptance where the owner must decide, else creating.
func (a *api) createEndpoint(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in endpointRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	n, bad := in.endpoint()
	if bad != nil {
		return edge.Response{}, bad
	}
	if n.SubnetID == "" {
		if err := a.needsNoSubnet(ctx, q.Call, n.ServiceID); err != nil {
			return edge.Response{}, err
		}
	}
	v, err := a.plane.CreateEndpoint(ctx, q.Call, n)
	if err != nil {
		return edge.Response{}, err
	}
	return a.endpointAnswer(v)
}

// endpoint checks what can be checked without state, in the order of the
// reference's table of fields.
func (in *endpointRequest) endpoint() (sallyport.NewEndpoint, *codeError) {
	n := sallyport.NewEndpoint{
		EnableDNS:       bool(in.EnableDNS),
		EnableWhitelist: bool(in.EnableWhitelist),
		Whitelist:       in.Whitelist,
		RouteTables:     in.RouteTables,
		Description:     string(in.Description),
	}
	var bad *codeError
	if n.ServiceID, bad = parseID[sallyport.ServiceID]("endpoint_service_id", string(in.ServiceID), codeServiceEmpty, codeServiceID); bad != nil {
		return n, bad
	}
	if n.VPCID, bad = parseID[sallyport.VPCID]("vpc_id", string(in.VPCID), codeVPCEmpty, codeVPCID); bad != nil {
		return n, bad
	}
	if n.SubnetID, bad = parseOptionalID[sallyport.SubnetID]("subnet_id", string(in.SubnetID), codeSubnetID); bad != nil {
		return n, bad
	}
	if n.Tags, bad = checkTags(in.Tags); bad != nil {
		return n, bad
	}
	if bad = checkRouteTables(n.RouteTables); bad != nil {
		return n, bad
	}
	if n.Address, bad = parsePortIP(string(in.PortIP)); bad != nil {
		return n, bad
	}
	if _, bad = parseWhitelist(n.Whitelist); bad != nil {
		return n, bad
	}
	if bad = checkDescription(n.Description); bad != nil {
		return n, bad
	}
	if n.Specification, bad = parseOptionalID[string]("specification_name", string(in.Specification), codeSpecification); bad != nil {
		return n, bad
	}
	if n.IPVersion, bad = parseIPVersion(string(in.IPVersion), versionIPv4, versionDual); bad != nil {
		return n, bad
	}
	if n.IPv6Address, bad = parseIPv6(string(in.IPv6Address), &n.IPVersion); bad != nil {
		return n, bad
	}
	if n.PolicyStatement, bad = parseStatements(in.PolicyStatement); bad != nil {
		return n, bad
	}
	n.PolicyDocument, bad = parseDocument(in.PolicyDocument)
	return n, bad
}

// needsNoSubnet refuses an endpoint without a subnet unless the service is a
// gateway, which has routes and no addresses.
func (a *api) needsNoSubnet(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) error {
	s, err := a.plane.Describe(ctx, c, id, "")
	if err != nil && sallyport.KindOf(err) != sallyport.KindNotFound {
		return err
	}
	if err != nil || s.Kind != sallyport.KindGateway {
		return refuse(codeSubnetEmpty, "")
	}
	return nil
}

// checkRouteTables checks the ids of route tables.
func checkRouteTables(ids []string) *codeError {
	if len(ids) > maxRouteTables {
		return refuse(codeRouteTable, "the list routetables has %d ids, at most %d are allowed", len(ids), maxRouteTables)
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if _, bad := parseID[string]("the id of a route table", id, codeRouteTable, codeRouteTable); bad != nil {
			return bad
		}
		if seen[id] {
			return refuse(codeRouteTable, "the route table %s is there twice", id)
		}
		seen[id] = true
	}
	return nil
}

// listEndpoints is ListEndpoints: the project's own endpoints.
func (a *api) listEndpoints(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	page, bad := parsePage(values, sallyport.MaxPage)
	if bad != nil {
		return edge.Response{}, bad
	}
	name := values.Get("endpoint_service_name")
	if bad := checkFilter("endpoint_service_name", name, maxNameFilter); bad != nil {
		return edge.Response{}, bad
	}
	group, bad := borderGroup(values)
	if bad != nil {
		return edge.Response{}, bad
	}
	list, total, err := a.plane.Endpoints(ctx, q.Call, sallyport.EndpointQuery{
		Page: page, ProjectID: q.Call.Project, ID: sallyport.EndpointID(values.Get("id")),
		VPCID: sallyport.VPCID(values.Get("vpc_id")), ServiceName: name, BorderGroup: group,
	})
	if err != nil {
		return edge.Response{}, err
	}
	b := append(make([]byte, 0, pageSize(len(list), endpointSize)), `{"endpoints":[`...)
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEndpoint(b, v, a.dnsSuffix)
	}
	return ok(edge.Raw(appendTotal(append(b, ']'), total)))
}

// showEndpoint is ListEndpointInfoDetails.
func (a *api) showEndpoint(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, bad := endpointID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	v, err := a.plane.Endpoint(ctx, q.Call, id)
	if err != nil {
		return edge.Response{}, err
	}
	return a.endpointAnswer(v)
}

// updateWhitelist is UpdateEndpointWhite: who may send bytes into an endpoint.
func (a *api) updateWhitelist(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in whitelistRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	var ch sallyport.EndpointChange
	if in.Whitelist.set {
		if _, bad := parseWhitelist(in.Whitelist.value); bad != nil {
			return edge.Response{}, bad
		}
		ch.Whitelist = &in.Whitelist.value
	}
	if given(in.EnableWhitelist) {
		on := bool(in.EnableWhitelist.value)
		ch.EnableWhitelist = &on
	}
	return a.changeEndpoint(ctx, q, ch)
}

// updateRouteTables is UpdateEndpointRoutetable. That at least one table stays
// bound is a matter of state, like that no other endpoint has it.
func (a *api) updateRouteTables(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in routeTableRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if !given(in.RouteTables) {
		return edge.Response{}, refuse(codeEmpty, "the list routetables is missing")
	}
	if bad := checkRouteTables(in.RouteTables.value); bad != nil {
		return edge.Response{}, bad
	}
	v, err := a.editEndpoint(ctx, q, sallyport.EndpointChange{RouteTables: &in.RouteTables.value})
	if err != nil {
		return edge.Response{}, err
	}
	return ok(routeTableAnswer{RouteTables: append([]string{}, v.RouteTables...)})
}

// changeEndpoint changes the endpoint of the path and answers with it.
func (a *api) changeEndpoint(ctx context.Context, q *edge.Request, ch sallyport.EndpointChange) (edge.Response, error) {
	v, err := a.editEndpoint(ctx, q, ch)
	if err != nil {
		return edge.Response{}, err
	}
	return a.endpointAnswer(v)
}

// editEndpoint changes the endpoint of the path.
func (a *api) editEndpoint(ctx context.Context, q *edge.Request, ch sallyport.EndpointChange) (sallyport.EndpointView, error) {
	id, bad := endpointID(q)
	if bad != nil {
		return sallyport.EndpointView{}, bad
	}
	return a.plane.UpdateEndpoint(ctx, q.Call, id, ch)
}

// deleteEndpoint is DeleteEndpoint.
func (a *api) deleteEndpoint(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, bad := endpointID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.DeleteEndpoint(ctx, q.Call, id); err != nil {
		return edge.Response{}, err
	}
	return empty()
}

func (a *api) endpointAnswer(v sallyport.EndpointView) (edge.Response, error) {
	return ok(edge.Raw(appendEndpoint(make([]byte, 0, endpointSize), v, a.dnsSuffix)))
}

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
	if n.IPVersion, bad = parseIPVersion(string(in.IPVersion), versionIPv4, "dualstack"); bad != nil {
		return n, bad
	}
	if in.IPv6Address != "" {
		return n, refuse(codeIP, "ipv6_address is given, and endpoints have IPv4 addresses only")
	}
	if hasValue(in.PolicyStatement) || hasValue(in.PolicyDocument) {
		return n, refuse(codePolicy, "endpoint policies are not enforced here, so none can be set")
	}
	return n, nil
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
		return refuse(codeRouteTable, "routetables has %d ids, at most %d are allowed", len(ids), maxRouteTables)
	}
	for _, id := range ids {
		if _, bad := parseID[string]("a route table id", id, codeRouteTable, codeRouteTable); bad != nil {
			return bad
		}
	}
	return nil
}

// hasValue reports whether a field of any JSON type was sent and says anything.
func hasValue(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "[]", "{}", `""`:
		return false
	default:
		return true
	}
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
	none := values.Get("public_border_group") != "" // endpoints are in no edge pool
	if none {
		page.Limit = 0 // the call is still authorised
	}
	list, total, err := a.plane.Endpoints(ctx, q.Call, sallyport.EndpointQuery{
		Page: page, ProjectID: q.Call.Project, ID: sallyport.EndpointID(values.Get("id")),
		VPCID: sallyport.VPCID(values.Get("vpc_id")), ServiceName: name,
	})
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		list, total = nil, 0
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

// deleteEndpoint is DeleteEndpoint.
func (a *api) deleteEndpoint(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, bad := endpointID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.DeleteEndpoint(ctx, q.Call, id); err != nil {
		return edge.Response{}, err
	}
	return gone()
}

func (a *api) endpointAnswer(v sallyport.EndpointView) (edge.Response, error) {
	return ok(edge.Raw(appendEndpoint(make([]byte, 0, endpointSize), v, a.dnsSuffix)))
}

package vpcep

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// maxHost is the length of the ip field of a service, an IPv4 address or a DNS
// name (RFC 1035: 253 characters).
const maxHost = 253

// serviceRequest is the body of CreateEndpointService. Values that examples and
// clients spell in several ways are read in all of them.
type serviceRequest struct {
	PortID        flexString    `json:"port_id"`
	VIPPortID     flexString    `json:"vip_port_id"`
	VPCID         flexString    `json:"vpc_id"`
	PoolID        flexString    `json:"pool_id"`
	ServerType    flexString    `json:"server_type"`
	ServiceType   flexString    `json:"service_type"`
	ServiceName   flexString    `json:"service_name"`
	Ports         []portRequest `json:"ports"`
	TCPProxy      flexString    `json:"tcp_proxy"`
	Approval      opt[flexBool] `json:"approval_enabled"`
	EnablePolicy  flexBool      `json:"enable_policy"`
	IP            flexString    `json:"ip"`
	IPVersion     flexString    `json:"ip_version"`
	SNATNetworkID flexString    `json:"snat_network_id"`
	Description   flexString    `json:"description"`
	Tags          []tagRequest  `json:"tags"`
}

// serviceChangeRequest is the body of UpdateEndpointService. What is absent or
// null stays as it is; a client sends {} when only the whitelist changes.
type serviceChangeRequest struct {
	ServiceName opt[flexString]    `json:"service_name"`
	PortID      opt[flexString]    `json:"port_id"`
	VIPPortID   opt[flexString]    `json:"vip_port_id"`
	IP          opt[flexString]    `json:"ip"`
	Ports       opt[[]portRequest] `json:"ports"`
	TCPProxy    opt[flexString]    `json:"tcp_proxy"`
	Approval    opt[flexBool]      `json:"approval_enabled"`
	Description opt[flexString]    `json:"description"`
}

// nameRequest is the body of UpdateEndpointServiceName.
type nameRequest struct {
	Name opt[flexString] `json:"endpoint_service_name"`
}

// nameAnswer is its answer, the one place where a name is shown without region
// and id.
type nameAnswer struct {
	Name string `json:"endpoint_service_name"`
}

// createService is CreateEndpointService.
func (a *api) createService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in serviceRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	n, bad := in.service()
	if bad != nil {
		return edge.Response{}, bad
	}
	v, err := a.plane.CreateService(ctx, q.Call, n)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(serviceOf(v.Service, v.Connections))
}

// service checks what can be checked without state: ids first, then the kinds,
// then ports, names and texts.
func (in *serviceRequest) service() (sallyport.NewService, *codeError) {
	n := sallyport.NewService{
		Name:        string(in.ServiceName),
		Approval:    bool(in.Approval.or(true)),
		Policy:      bool(in.EnablePolicy),
		Description: string(in.Description),
	}
	var bad *codeError
	if n.VPCID, bad = parseID[sallyport.VPCID]("vpc_id", string(in.VPCID), codeVPCEmpty, codeVPCID); bad != nil {
		return n, bad
	}
	if n.PortID, bad = parseID[sallyport.PortID]("port_id", string(in.PortID), codeEmpty, codePortID); bad != nil {
		return n, bad
	}
	if n.VIPPortID, bad = parseOptionalID[string]("vip_port_id", string(in.VIPPortID), codeVIPPort); bad != nil {
		return n, bad
	}
	if n.PoolID, bad = parseOptionalID[string]("pool_id", string(in.PoolID), codeParameter); bad != nil {
		return n, bad
	}
	if n.SNATNetwork, bad = parseOptionalID[string]("snat_network_id", string(in.SNATNetworkID), codeParameter); bad != nil {
		return n, bad
	}
	if n.ServerType, bad = parseServerType(string(in.ServerType)); bad != nil {
		return n, bad
	}
	if _, bad = parseServiceType(string(in.ServiceType)); bad != nil {
		return n, bad
	}
	if n.Ports, bad = checkPorts(in.Ports); bad != nil {
		return n, bad
	}
	if n.TCPProxy, bad = parseTCPProxy(string(in.TCPProxy)); bad != nil {
		return n, bad
	}
	if n.IP, bad = parseHost(string(in.IP)); bad != nil {
		return n, bad
	}
	if n.IPVersion, bad = parseIPVersion(string(in.IPVersion), versionIPv4, "ipv6"); bad != nil {
		return n, bad
	}
	if bad = checkServiceName(n.Name, codeServiceName); bad != nil {
		return n, bad
	}
	if bad = checkDescription(n.Description); bad != nil {
		return n, bad
	}
	n.Tags, bad = checkTags(in.Tags)
	return n, bad
}

// listServices is ListEndpointService: the project's own services.
func (a *api) listServices(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	query, none, bad := serviceQuery(values)
	if bad != nil {
		return edge.Response{}, bad
	}
	query.ProjectID = q.Call.Project
	if bad := labelFilters(values, &query); bad != nil {
		return edge.Response{}, bad
	}
	if none {
		query.Limit = 0 // the call is still authorised
	}
	list, total, err := a.plane.Services(ctx, q.Call, query)
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		total = 0
	}
	out := serviceList{Services: make([]service, len(list)), Total: total}
	for i, v := range list {
		out.Services[i] = serviceOf(v.Service, v.Connections)
	}
	return ok(out)
}

// serviceQuery reads what the two lists of services have in common. none says
// that the filters are valid and nothing can match them.
func serviceQuery(values url.Values) (query sallyport.ServiceQuery, none bool, bad *codeError) {
	if query.Page, bad = parsePage(values, sallyport.MaxPage); bad != nil {
		return query, false, bad
	}
	query.Name = values.Get("endpoint_service_name")
	if bad = checkFilter("endpoint_service_name", query.Name, maxNameFilter); bad != nil {
		return query, false, bad
	}
	query.ID = sallyport.ServiceID(values.Get("id"))
	query.Status, none, bad = parseServiceStatus(values.Get("status"))
	return query, none, bad
}

// labelFilters reads the filters that only some clients send: the kind of server,
// of network, and the edge pool.
func labelFilters(values url.Values, query *sallyport.ServiceQuery) (bad *codeError) {
	if text := values.Get("server_type"); text != "" {
		if query.ServerType, bad = parseServerType(text); bad != nil {
			return bad
		}
	}
	switch text := values.Get("net_type"); text {
	case "", "all":
	case "vlan", "vxlan":
		query.NetType = text
	default:
		return refuse(codeNetType, "net_type is %s, one of vlan, vxlan, all is needed", quote(text))
	}
	query.BorderGroup, bad = borderGroup(values)
	return bad
}

// borderGroup reads the filter by edge pool. Nothing is in a pool unless the
// operator put it there, and what is in none is shown as center: that is no filter.
func borderGroup(values url.Values) (string, *codeError) {
	text := values.Get("public_border_group")
	if text == centralSite {
		return "", nil
	}
	return text, checkFilter("public_border_group", text, maxNameFilter)
}

// listPublic is ListServicePublicDetails: the operator's own services.
func (a *api) listPublic(ctx context.Context, q *edge.Request) (edge.Response, error) {
	query, none, bad := serviceQuery(q.HTTP.URL.Query())
	if bad != nil {
		return edge.Response{}, bad
	}
	query.Public = true
	if none {
		query.Limit = 0
	}
	list, total, err := a.plane.Services(ctx, q.Call, query)
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		total = 0
	}
	out := publicList{Services: make([]publicService, len(list)), Total: total}
	for i, v := range list {
		out.Services[i] = publicService{
			ID: string(v.ID), Owner: string(v.DomainID), ServiceName: v.FullName(), ServiceType: string(v.Kind),
			CreatedAt: timeText(v.CreatedAt), EnablePolicy: v.Policy,
		}
	}
	return ok(out)
}

// describe is ListServiceDescribeDetails: a service by its id, by its full
// name, or by both, which must then agree.
func (a *api) describe(ctx context.Context, q *edge.Request) (edge.Response, error) {
	values := q.HTTP.URL.Query()
	name := values.Get("endpoint_service_name")
	if bad := checkFilter("endpoint_service_name", name, maxNameFilter); bad != nil {
		return edge.Response{}, bad
	}
	id, bad := parseOptionalID[sallyport.ServiceID]("id", values.Get("id"), codeServiceID)
	if bad != nil {
		return edge.Response{}, bad
	}
	if id == "" && name == "" {
		return edge.Response{}, refuse(codeEmpty, "id or endpoint_service_name is needed")
	}
	s, err := a.plane.Describe(ctx, q.Call, id, name)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(description{
		ID: string(s.ID), ServiceName: s.FullName(), ServiceType: string(s.Kind),
		CreatedAt: timeText(s.CreatedAt), EnablePolicy: s.Policy, PublicBorderGroup: orDefault(s.BorderGroup, centralSite),
	})
}

// showService is ListServiceDetails.
func (a *api) showService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	v, err := a.plane.Service(ctx, q.Call, id)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(serviceOf(v.Service, v.Connections))
}

// updateService is UpdateEndpointService.
func (a *api) updateService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in serviceChangeRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	id, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	ch, bad := in.change()
	if bad != nil {
		return edge.Response{}, bad
	}
	v, err := a.plane.UpdateService(ctx, q.Call, id, ch)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(serviceOf(v.Service, v.Connections))
}

// change checks what can be checked without state.
func (in *serviceChangeRequest) change() (sallyport.ServiceChange, *codeError) {
	var ch sallyport.ServiceChange
	switch ip := given(in.IP); {
	case ip && given(in.PortID):
		return ch, refuse(codePortAndIP, "")
	case ip && given(in.VIPPortID):
		return ch, refuse(codeVIPAndIP, "")
	}
	if given(in.ServiceName) {
		name := string(in.ServiceName.value)
		if bad := checkServiceName(name, codeNewName); bad != nil {
			return ch, bad
		}
		ch.Name = &name
	}
	if given(in.PortID) {
		id, bad := parseID[sallyport.PortID]("port_id", string(in.PortID.value), codeEmpty, codePortID)
		if bad != nil {
			return ch, bad
		}
		ch.PortID = &id
	}
	if given(in.VIPPortID) {
		id, bad := parseOptionalID[string]("vip_port_id", string(in.VIPPortID.value), codeVIPPort)
		if bad != nil {
			return ch, bad
		}
		ch.VIPPortID = &id
	}
	if given(in.IP) {
		host, bad := parseHost(string(in.IP.value))
		if bad != nil {
			return ch, bad
		}
		ch.IP = &host
	}
	if given(in.Ports) {
		ports, bad := checkPorts(in.Ports.value)
		if bad != nil {
			return ch, bad
		}
		ch.Ports = &ports
	}
	if given(in.TCPProxy) {
		mode, bad := parseTCPProxy(string(in.TCPProxy.value))
		if bad != nil {
			return ch, bad
		}
		ch.TCPProxy = &mode
	}
	if given(in.Description) {
		text := string(in.Description.value)
		if bad := checkDescription(text); bad != nil {
			return ch, bad
		}
		ch.Description = &text
	}
	if given(in.Approval) {
		on := bool(in.Approval.value)
		ch.Approval = &on
	}
	return ch, nil
}

// renameService is UpdateEndpointServiceName.
func (a *api) renameService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in nameRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	id, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	var ch sallyport.ServiceChange
	if given(in.Name) {
		name := string(in.Name.value)
		if bad := checkServiceName(name, codeNewName); bad != nil {
			return edge.Response{}, bad
		}
		ch.Name = &name
	}
	v, err := a.plane.UpdateService(ctx, q.Call, id, ch)
	if err != nil {
		return edge.Response{}, err
	}
	return ok(nameAnswer{Name: v.Name})
}

// deleteService is DeleteEndpointService.
func (a *api) deleteService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id, bad := serviceID(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.DeleteService(ctx, q.Call, id); err != nil {
		return edge.Response{}, err
	}
	return empty()
}

// given reports whether a field was sent with a value.
func given[T any](o opt[T]) bool { return o.set && !o.null }

// parseOptionalID is parseID for an id that may be left out.
func parseOptionalID[T ~string](field, text, malformed string) (T, *codeError) {
	if text == "" {
		return "", nil
	}
	return parseID[T](field, text, malformed, malformed)
}

// parseHost reads the ip of a service, an IPv4 address or a domain name, "" for
// none. It is kept and shown; what a service forwards to is its port id.
func parseHost(text string) (string, *codeError) {
	name := func(c byte) bool { return isWord(c) || c == '.' }
	if len(text) > maxHost || !onlyOf(text, name) {
		return "", refuse(codeIP, "ip is %s, an IPv4 address or a domain name is needed", quote(text))
	}
	return text, nil
}

// parseIPVersion reads ip_version, "" for none said.
func parseIPVersion(text string, allowed ...string) (string, *codeError) {
	if text == "" || slices.Contains(allowed, text) {
		return text, nil
	}
	return "", refuse(codeParameter, "ip_version is %s, one of %s is needed", quote(text), strings.Join(allowed, ", "))
}

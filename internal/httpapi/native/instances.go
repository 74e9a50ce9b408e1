package native

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits of a cluster or a gateway, those of the configuration file.
const (
	maxInstanceID   = 64
	maxInstanceName = 64
	// maxServiceName is that of the VPCEP API reference, service_name.
	maxServiceName = 16
	// maxAddresses bounds what one endpoint chooses a backend from.
	maxAddresses = 64
	// maxPorts is how many port mappings a service has (VPCEP API reference, ports).
	maxPorts = 200
	// defaultInstances and maxInstances bound one answer of a list, as everywhere
	// in the vendor's API.
	defaultInstances = 10
	maxInstances     = sallyport.MaxPage
)

// The ports of who names none: where a search cluster answers, and HTTP and
// HTTPS of a gateway.
var (
	clusterPorts = []uint16{9200}
	gatewayPorts = []uint16{80, 443}
)

// Instance is a search cluster or an API gateway.
type Instance struct {
	ID        string       `json:"id"`
	Kind      string       `json:"kind"` // cluster or gateway
	Name      string       `json:"name"`
	ProjectID string       `json:"project_id"`
	DomainID  string       `json:"domain_id"`
	VPC       string       `json:"vpc_id"`
	Subnet    string       `json:"subnet_id"`
	Addresses []netip.Addr `json:"addresses"`
	Ports     []uint16     `json:"ports"`
	// ServiceID is its endpoint service, "" while a cluster is not open.
	ServiceID string `json:"service_id"`
	// ServiceName is shown where one instance is: what endpoints are made for.
	ServiceName string `json:"service_name,omitempty"`
	// EndpointID is the endpoint in a cluster's own subnet, "" while there is none.
	EndpointID string `json:"endpoint_id"`
	// Configured says that the configuration file declares it.
	Configured bool   `json:"configured"`
	CreatedAt  string `json:"created_at"`
	UpdatedAt  string `json:"updated_at"`
}

// InstanceList is one page of clusters or gateways.
type InstanceList struct {
	Instances []Instance `json:"instances"`
	Total     int        `json:"total_count"`
}

// NewInstance is what is said of a cluster or a gateway to be made.
type NewInstance struct {
	ID        string       `json:"id"` // "": the server chooses one
	Name      string       `json:"name"`
	VPC       string       `json:"vpc_id"`
	Subnet    string       `json:"subnet_id"`
	Addresses []netip.Addr `json:"addresses"`
	Ports     []uint16     `json:"ports"` // none: 9200 of a cluster, 80 and 443 of a gateway
	// ServiceName is the user's part of the name of a gateway's service.
	ServiceName string `json:"service_name"`
}

// clusterRoutes and gatewayRoutes differ in their names only; each operation has
// a name of its own, which is what an audit record shows.
func (h handlers) clusterRoutes() []edge.Route {
	k := instanceHandlers{handlers: h, kind: sallyport.InstanceCluster}
	path := Prefix + "/{project_id}/clusters"
	return []edge.Route{
		{Method: http.MethodGet, Path: path, Name: "ListClusters", Handler: k.list},
		{Method: http.MethodPost, Path: path, Name: "CreateCluster", Handler: k.create},
		{Method: http.MethodGet, Path: path + "/{id}", Name: "ShowCluster", Handler: k.show},
		{Method: http.MethodDelete, Path: path + "/{id}", Name: "DeleteCluster", Handler: k.remove},
	}
}

func (h handlers) gatewayRoutes() []edge.Route {
	k := instanceHandlers{handlers: h, kind: sallyport.InstanceGateway}
	path := Prefix + "/{project_id}/gateways"
	return []edge.Route{
		{Method: http.MethodGet, Path: path, Name: "ListGateways", Handler: k.list},
		{Method: http.MethodPost, Path: path, Name: "CreateGateway", Handler: k.create},
		{Method: http.MethodGet, Path: path + "/{id}", Name: "ShowGateway", Handler: k.show},
		{Method: http.MethodDelete, Path: path + "/{id}", Name: "DeleteGateway", Handler: k.remove},
	}
}

type instanceHandlers struct {
	handlers
	kind sallyport.InstanceKind
}

func (h instanceHandlers) list(ctx context.Context, q *edge.Request) (edge.Response, error) {
	page, err := pageOf(q, defaultInstances, maxInstances)
	if err != nil {
		return edge.Response{}, err
	}
	list, total, err := h.plane.Instances(ctx, q.Call, sallyport.InstanceQuery{Page: page, Kind: h.kind})
	if err != nil {
		return edge.Response{}, err
	}
	out := InstanceList{Instances: make([]Instance, len(list)), Total: total}
	for n, i := range list {
		out.Instances[n] = instanceOf(i)
	}
	return edge.Response{Body: out}, nil
}

func (h instanceHandlers) create(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in NewInstance
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if err := in.check(h.kind); err != nil {
		return edge.Response{}, err
	}
	ports := in.Ports
	if len(ports) == 0 {
		ports = clusterPorts
		if h.kind == sallyport.InstanceGateway {
			ports = gatewayPorts
		}
	}
	i, err := h.plane.CreateInstance(ctx, q.Call, sallyport.NewInstance{
		ID: sallyport.InstanceID(in.ID), Kind: h.kind, Name: in.Name, VPCID: sallyport.VPCID(in.VPC),
		SubnetID: sallyport.SubnetID(in.Subnet), Addresses: in.Addresses, Ports: ports, ServiceName: in.ServiceName,
	})
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Status: http.StatusCreated, Body: instanceOf(i)}, nil
}

func (h instanceHandlers) show(ctx context.Context, q *edge.Request) (edge.Response, error) {
	i, s, err := h.plane.ManagedService(ctx, q.Call, h.kind, sallyport.InstanceID(q.Path("id")))
	if err != nil && sallyport.ReasonOf(err) != sallyport.ReasonInstanceClosed {
		return edge.Response{}, err
	}
	out := instanceOf(i)
	if s != nil {
		out.ServiceName = s.FullName()
	}
	return edge.Response{Body: out}, nil
}

func (h instanceHandlers) remove(ctx context.Context, q *edge.Request) (edge.Response, error) {
	id := q.Path("id")
	if !validInstanceID(id) { // it would be kept in the record of the attempt
		return edge.Response{}, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonInstanceNotFound, "the id is none")
	}
	if err := h.plane.DeleteInstance(ctx, q.Call, h.kind, sallyport.InstanceID(id)); err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Status: http.StatusNoContent}, nil
}

// check checks what can be checked without state.
func (in *NewInstance) check(kind sallyport.InstanceKind) error {
	bad := func(format string, args ...any) error {
		return sallyport.Refuse(sallyport.KindInvalid, "", format, args...)
	}
	switch {
	case in.ID != "" && !validInstanceID(in.ID):
		return bad("id is 1 to %d letters, digits, hyphens and underscores", maxInstanceID)
	case !validInstanceName(in.Name):
		return bad("name is 1 to %d printable characters without spaces around them", maxInstanceName)
	case !validInstanceID(in.VPC):
		return bad("vpc_id is needed: 1 to %d letters, digits, hyphens and underscores", maxInstanceID)
	case !validInstanceID(in.Subnet):
		return bad("subnet_id is needed: 1 to %d letters, digits, hyphens and underscores", maxInstanceID)
	case len(in.Addresses) == 0 || len(in.Addresses) > maxAddresses:
		return bad("addresses has %d entries, 1 to %d are allowed", len(in.Addresses), maxAddresses)
	case len(in.Ports) > maxPorts:
		return bad("ports has %d entries, at most %d are allowed", len(in.Ports), maxPorts)
	case in.ServiceName != "" && kind != sallyport.InstanceGateway:
		return bad("service_name belongs to gateways")
	case in.ServiceName != "" && (len(in.ServiceName) > maxServiceName || !validInstanceID(in.ServiceName)):
		return bad("service_name is up to %d letters, digits, hyphens and underscores", maxServiceName)
	}
	addresses, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	for _, a := range in.Addresses {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || addresses[a] {
			return bad("each of addresses is the address of one machine, and different")
		}
		addresses[a] = true
	}
	for _, p := range in.Ports {
		if p == 0 || ports[p] {
			return bad("each of ports is 1 to 65535, and different")
		}
		ports[p] = true
	}
	return nil
}

func validInstanceID(text string) bool {
	return text != "" && len(text) <= maxInstanceID && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func validInstanceName(text string) bool {
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= maxInstanceName &&
		strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func instanceOf(i *sallyport.Instance) Instance {
	return Instance{
		ID: string(i.ID), Kind: string(i.Kind), Name: i.Name, ProjectID: string(i.ProjectID), DomainID: string(i.DomainID),
		VPC: string(i.VPCID), Subnet: string(i.SubnetID), Addresses: i.Addresses, Ports: i.Ports,
		ServiceID: string(i.ServiceID), EndpointID: string(i.EndpointID), Configured: i.Configured,
		CreatedAt: i.CreatedAt.Format(time.RFC3339Nano), UpdatedAt: i.UpdatedAt.Format(time.RFC3339Nano),
	}
}

// Package native is the product's own small API beside the vendor's: what the
// data plane says of an endpoint and carries for it, the audit log, and the
// clusters and gateways that there are. It is for people, the command line and the console; the
// vendor's API has no words for these, or words that mean far more.
//
// It imports the domain and the edge and starts no goroutines.
package native

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Prefix is where the native API lives, out of the way of the vendor's paths.
const Prefix = "/sallyport/v1"

const (
	// defaultAuditPage is how many records an answer holds unless asked otherwise.
	defaultAuditPage = 100
	// maxAuditPage bounds one answer to about half a megabyte.
	maxAuditPage = 1000
)

// Enforcement is what the data plane last said about an endpoint.
type Enforcement struct {
	Endpoint string `json:"endpoint"`
	Status   string `json:"status"`
	// State is open, closed, failed, unattached or unknown.
	State       string `json:"state"`
	Agent       string `json:"agent,omitempty"`
	Revision    int64  `json:"revision,omitempty"`
	ConfirmedAt string `json:"confirmed_at,omitempty"`
	FlowsReset  int    `json:"flows_reset"` // by the last cut
	// Gated says that nothing passes any more while flows are still being reset:
	// their number is yet to come.
	Gated bool `json:"gated,omitempty"`
	// Paths says how the mappings of an open endpoint are carried.
	Paths []Path `json:"paths"`
}

// Plane is what the native API asks of the product.
type Plane interface {
	Enforcement(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.Enforcement, error)
	Activity(ctx context.Context, c sallyport.Call, id sallyport.EndpointID) (sallyport.Activity, error)
	// ConnectionActivity returns one page in the order of the service's connections.
	ConnectionActivity(ctx context.Context, c sallyport.Call, q sallyport.EndpointQuery) ([]sallyport.Activity, int, error)
	Service(ctx context.Context, c sallyport.Call, id sallyport.ServiceID) (sallyport.ServiceView, error)
	UpdateService(ctx context.Context, c sallyport.Call, id sallyport.ServiceID, ch sallyport.ServiceChange) (sallyport.ServiceView, error)
	CreateInstance(ctx context.Context, c sallyport.Call, n sallyport.NewInstance) (*sallyport.Instance, error)
	Instances(ctx context.Context, c sallyport.Call, q sallyport.InstanceQuery) ([]*sallyport.Instance, int, error)
	// ManagedService returns the instance also where it refuses with ReasonInstanceClosed.
	ManagedService(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) (*sallyport.Instance, *sallyport.Service, error)
	DeleteInstance(ctx context.Context, c sallyport.Call, kind sallyport.InstanceKind, id sallyport.InstanceID) error
	Audit(ctx context.Context, c sallyport.Call, since sallyport.Revision, limit int) ([]sallyport.Record, sallyport.Revision, error)
}

// ServiceSettings are what the owner of a service says beyond the vendor's API.
type ServiceSettings struct {
	ID string `json:"id"`
	// OnRevoke is keep, cut, or "" for the server's default.
	OnRevoke string `json:"on_revoke"`
}

// Record is one entry of the audit log as the API shows it.
type Record struct {
	Revision  int64  `json:"revision"`
	At        string `json:"at"`
	Family    string `json:"family"`
	Operation string `json:"operation,omitempty"`
	Action    string `json:"action"`
	Outcome   string `json:"outcome"`
	Reason    string `json:"reason,omitempty"`
	Object    string `json:"object"`
	ObjectID  string `json:"object_id"`
	ServiceID string `json:"service_id,omitempty"`
	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	DomainID  string `json:"domain_id,omitempty"`
	ProjectID string `json:"project_id,omitempty"`
	User      string `json:"user,omitempty"`
	Method    string `json:"method"`
	Source    string `json:"source,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Hash      string `json:"hash"`
}

type auditAnswer struct {
	Records []Record `json:"records"`
	// Next is where the following call goes on.
	Next int64 `json:"next"`
}

// New returns the family of the native API.
func New(p Plane) edge.Family {
	h := handlers{plane: p}
	return edge.Family{
		Name: "native", Prefixes: []string{Prefix + "/"}, Error: renderError,
		Routes: slices.Concat([]edge.Route{
			{Method: http.MethodGet, Path: Prefix + "/{project_id}/endpoints/{id}", Name: "ShowEnforcement", Handler: h.enforcement},
			{Method: http.MethodGet, Path: Prefix + "/{project_id}/endpoints/{id}/activity", Name: "ShowActivity", Handler: h.activity},
			{Method: http.MethodGet, Path: Prefix + "/{project_id}/services/{id}", Name: "ShowServiceSettings", Handler: h.service},
			{Method: http.MethodPut, Path: Prefix + "/{project_id}/services/{id}", Name: "UpdateServiceSettings", Handler: h.updateService},
			{Method: http.MethodGet, Path: Prefix + "/{project_id}/services/{id}/activity", Name: "ListServiceActivity", Handler: h.serviceActivity},
			{Method: http.MethodGet, Path: Prefix + "/{project_id}/audit", Name: "ListAudit", Handler: h.audit},
		},
			h.clusterRoutes(),
			h.gatewayRoutes()),
	}
}

type handlers struct{ plane Plane }

func (h handlers) enforcement(ctx context.Context, q *edge.Request) (edge.Response, error) {
	e, err := h.plane.Enforcement(ctx, q.Call, sallyport.EndpointID(q.Path("id")))
	if err != nil {
		return edge.Response{}, err
	}
	out := Enforcement{
		Endpoint: string(e.Endpoint.ID), Status: e.Endpoint.Status.String(), State: e.State, Agent: e.Agent,
		Revision: int64(e.Revision), FlowsReset: e.FlowsReset, Gated: e.Gated, Paths: pathsOf(e.Paths),
	}
	if !e.At.IsZero() {
		out.ConfirmedAt = e.At.Format(time.RFC3339Nano)
	}
	return edge.Response{Status: http.StatusOK, Body: out}, nil
}

func (h handlers) service(ctx context.Context, q *edge.Request) (edge.Response, error) {
	s, err := h.plane.Service(ctx, q.Call, sallyport.ServiceID(q.Path("id")))
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: ServiceSettings{ID: string(s.ID), OnRevoke: string(s.OnRevoke)}}, nil
}

func (h handlers) updateService(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in struct {
		OnRevoke *sallyport.RevokeMode `json:"on_revoke"`
	}
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	if in.OnRevoke != nil && *in.OnRevoke != "" && *in.OnRevoke != sallyport.RevokeKeep && *in.OnRevoke != sallyport.RevokeCut {
		return edge.Response{}, sallyport.Refuse(sallyport.KindInvalid, "", "on_revoke is keep, cut, or empty for the server's default")
	}
	s, err := h.plane.UpdateService(ctx, q.Call, sallyport.ServiceID(q.Path("id")), sallyport.ServiceChange{OnRevoke: in.OnRevoke})
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: ServiceSettings{ID: string(s.ID), OnRevoke: string(s.OnRevoke)}}, nil
}

func (h handlers) audit(ctx context.Context, q *edge.Request) (edge.Response, error) {
	since, err := number(q, "since", 0)
	if err != nil {
		return edge.Response{}, err
	}
	limit, err := number(q, "limit", defaultAuditPage)
	if err != nil {
		return edge.Response{}, err
	}
	list, next, err := h.plane.Audit(ctx, q.Call, sallyport.Revision(since), int(min(limit, maxAuditPage)))
	if err != nil {
		return edge.Response{}, err
	}
	out := auditAnswer{Records: make([]Record, len(list)), Next: int64(next)}
	for i := range list {
		out.Records[i] = record(&list[i])
	}
	return edge.Response{Status: http.StatusOK, Body: out}, nil
}

// pageOf reads which part of a list is wanted; more than most is most.
func pageOf(q *edge.Request, fallback, most int) (sallyport.Page, error) {
	offset, err := number(q, "offset", 0)
	if err != nil {
		return sallyport.Page{}, err
	}
	limit, err := number(q, "limit", int64(fallback))
	if err != nil {
		return sallyport.Page{}, err
	}
	const farthest = 1 << 30 // beyond any list
	return sallyport.Page{Offset: int(min(offset, farthest)), Limit: int(min(limit, int64(most)))}, nil
}

func number(q *edge.Request, name string, fallback int64) (int64, error) {
	text := q.HTTP.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, sallyport.Refuse(sallyport.KindInvalid, "", "%s must be a whole number, 0 or more", name)
	}
	return n, nil
}

func record(r *sallyport.Record) Record {
	return Record{
		Revision: int64(r.Rev), At: r.At.Format(time.RFC3339Nano), Family: r.Family, Operation: r.Operation,
		Action: r.Action, Outcome: string(r.Outcome), Reason: string(r.Reason), Object: string(r.Object),
		ObjectID: r.ObjectID, ServiceID: string(r.ServiceID), From: r.From, To: r.To, DomainID: string(r.DomainID),
		ProjectID: string(r.ProjectID), User: r.UserName, Method: string(r.Method), Source: r.Source,
		RequestID: r.RequestID, Detail: r.Detail, Hash: r.HashText(),
	}
}

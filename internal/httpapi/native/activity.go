package native

import (
	"context"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// defaultActivities is how many connections an answer holds unless asked otherwise.
	defaultActivities = 100
	// maxActivities bounds one answer to about a quarter of a megabyte, so that
	// many may watch a service at once.
	maxActivities = 500
)

// Path says how one mapping of an open endpoint is carried.
type Path struct {
	Protocol   string `json:"protocol"` // TCP or UDP
	ClientPort uint16 `json:"client_port"`
	Engine     string `json:"engine"` // kernel or user
	// Reason says why the engine is not the kernel's, "" where it is.
	Reason string `json:"reason"`
}

// Refused counts the connections that were not let in, by reason; every reason
// is always there.
type Refused struct {
	NotAllowed uint64 `json:"not_allowed"` // the source is not on the whitelist
	NoBackend  uint64 `json:"no_backend"`  // there was no address to go to
	OverLimit  uint64 `json:"over_limit"`  // the endpoint had as many as it may have
	DialError  uint64 `json:"dial_error"`  // no address answered
}

// Activity is what an endpoint has carried since its agent opened it. Every
// number but Flows only grows while Since stays the same. Times are RFC 3339 and
// nil where there is none: before an agent has told anything, the times are nil
// and the numbers 0.
type Activity struct {
	Endpoint   string  `json:"endpoint_id"`
	ObservedAt *string `json:"observed_at"` // when the agent told it
	Since      *string `json:"since"`       // when the counters began
	Flows      int     `json:"flows"`       // held now
	Total      uint64  `json:"total"`       // let in
	// ToBackend and ToClient count bytes, those of flows that still live included.
	ToBackend    uint64  `json:"bytes_to_backend"`
	ToClient     uint64  `json:"bytes_to_client"`
	Resets       uint64  `json:"resets"`      // flows that ended by a reset
	DialErrors   uint64  `json:"dial_errors"` // failed attempts to reach a backend address
	Refused      Refused `json:"refused"`
	LastActivity *string `json:"last_activity"` // when a flow was last seen
}

// ActivityList is what one page of the connections of a service carry.
type ActivityList struct {
	Endpoints []Activity `json:"endpoints"`
	Total     int        `json:"total_count"`
}

func (h handlers) activity(ctx context.Context, q *edge.Request) (edge.Response, error) {
	a, err := h.plane.Activity(ctx, q.Call, sallyport.EndpointID(q.Path("id")))
	if err != nil {
		return edge.Response{}, err
	}
	return edge.Response{Body: activityOf(&a)}, nil
}

func (h handlers) serviceActivity(ctx context.Context, q *edge.Request) (edge.Response, error) {
	page, err := pageOf(q, defaultActivities, maxActivities)
	if err != nil {
		return edge.Response{}, err
	}
	list, total, err := h.plane.ConnectionActivity(ctx, q.Call, sallyport.EndpointQuery{
		Page: page, ServiceID: sallyport.ServiceID(q.Path("id")),
	})
	if err != nil {
		return edge.Response{}, err
	}
	out := ActivityList{Endpoints: make([]Activity, len(list)), Total: total}
	for i := range list {
		out.Endpoints[i] = activityOf(&list[i])
	}
	return edge.Response{Body: out}, nil
}

func activityOf(a *sallyport.Activity) Activity {
	return Activity{
		Endpoint: string(a.Endpoint), ObservedAt: timeOrNil(a.ObservedAt), Since: timeOrNil(a.Since), Flows: a.Flows,
		Total: a.Total, ToBackend: a.ToBackend, ToClient: a.ToClient, Resets: a.Resets, DialErrors: a.DialErrors,
		Refused: Refused(a.Refused), LastActivity: timeOrNil(a.Last),
	}
}

func timeOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format(time.RFC3339Nano))
}

func pathsOf(list []sallyport.Path) []Path {
	out := make([]Path, len(list))
	for i, p := range list {
		out[i] = Path{Protocol: p.Protocol, ClientPort: p.Client, Engine: p.Engine, Reason: p.Reason}
	}
	return out
}

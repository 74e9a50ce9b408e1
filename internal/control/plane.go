package control

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// DefaultConfirmWait is how long an answer waits for the data plane before it
// says "not confirmed" (README, promises).
const DefaultConfirmWait = 2 * time.Second

// maxPermissions is how many whitelist records a service may have: the largest
// page of the list, so that a client can always read all of it at once.
const maxPermissions = 500

// maxResources is how many load balancers may stand behind a service: far above
// what the user guide speaks of, and small enough for one row.
const maxResources = 100

// Options tune a Plane; the zero value suits production but for the networks.
type Options struct {
	// Region is the first part of service names; it has no dot.
	Region string
	// Networks are the networks and backends known from the configuration.
	Networks Networks
	// Quotas are the limits of every project; zero means none allowed.
	Services, Endpoints int
	// OnRevoke is what removing a whitelist record does to endpoints of services
	// that do not say themselves; "" is keep.
	OnRevoke sallyport.RevokeMode
	// ConfirmWait is how long an answer waits for the data plane; 0 means
	// DefaultConfirmWait.
	ConfirmWait time.Duration
	// Agentless says that no agent carries anything: every endpoint is
	// unattached and accepted is a decision alone.
	Agentless bool
	// DNSSuffix ends the DNS names of endpoints; "" is sallyport.DefaultDNSSuffix.
	DNSSuffix string
	// Limits bound the flows of every endpoint, as agentapi.Limits says.
	Limits agentapi.Limits
	// Engine is agentapi.EngineUser where agents shall leave the kernel's alone;
	// "" leaves the choice to them.
	Engine agentapi.Engine
	// Now is the clock; nil is the real one.
	Now func() time.Time
	// Log receives what is worth an operator's attention; nil discards it.
	Log *slog.Logger
}

// Plane is the control plane. It is safe for concurrent use.
type Plane struct {
	store    sallyport.Store
	opt      Options
	networks atomic.Pointer[Networks]
	acks     *ledger
	followUp chan sallyport.EndpointID
	notes    chan *sallyport.Record

	activities *activities
	making     chan struct{} // places for those who make endpoints
}

// makersPerProcessor is how many calls that make an endpoint run at a time, per
// processor; the others wait before they take a place in a transaction. More would
// not make them faster, and a decision would find them all before it wherever work
// is queued: at the store, at the agent, at the processors.
const makersPerProcessor = 2

// New returns a Plane on the store. Run has to be running for endpoints to leave
// the status creating.
func New(store sallyport.Store, opt Options) *Plane {
	if opt.ConfirmWait == 0 {
		opt.ConfirmWait = DefaultConfirmWait
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the default is the real clock
	}
	if opt.DNSSuffix == "" {
		opt.DNSSuffix = sallyport.DefaultDNSSuffix
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{
		store: store, opt: opt, acks: newLedger(),
		followUp: make(chan sallyport.EndpointID, maxFollowUp), notes: make(chan *sallyport.Record, maxNotes),
		activities: newActivities(), making: make(chan struct{}, makersPerProcessor*runtime.NumCPU()),
	}
	p.networks.Store(&opt.Networks)
	return p
}

// now returns the time as it is stored: UTC, microseconds.
func (p *Plane) now() time.Time { return p.opt.Now().UTC().Truncate(time.Microsecond) }

// target is what an attempt is aimed at, for the audit record.
type target struct {
	kind    sallyport.ObjectKind
	id      string
	service sallyport.ServiceID
	action  string
}

func serviceTarget(id sallyport.ServiceID, action string) target {
	return target{kind: sallyport.ObjectService, id: string(id), service: id, action: action}
}

func endpointTarget(id sallyport.EndpointID, service sallyport.ServiceID, action string) target {
	return target{kind: sallyport.ObjectEndpoint, id: string(id), service: service, action: action}
}

// record starts the audit record of an attempt.
func (p *Plane) record(c sallyport.Call, t target, out sallyport.Outcome) sallyport.Record {
	return sallyport.Record{
		At: p.now(), Family: c.Family, Operation: c.Operation, Action: t.action, Outcome: out,
		Object: t.kind, ObjectID: t.id, ServiceID: t.service,
		DomainID: c.Principal.DomainID, ProjectID: c.Project, UserID: c.Principal.UserID, UserName: c.Principal.UserName,
		Method: c.Principal.Method, Source: c.Source, RequestID: c.RequestID,
	}
}

// mutate runs fn in a transaction on behalf of c. Where the role or fn refuses,
// the refusal is recorded in the same log and returned. fn checks everything
// before it puts anything, and may run more than once.
func (p *Plane) mutate(ctx context.Context, c sallyport.Call, t target, fn func(sallyport.Tx) error) error {
	var refusal error
	err := p.store.Update(ctx, func(tx sallyport.Tx) error {
		refusal = authorise(c, true)
		var err error
		if refusal == nil {
			err = fn(tx)
		}
		if e, ok := errors.AsType[*sallyport.Error](err); ok && e.Kind != sallyport.KindInternal {
			refusal, err = e, nil
		}
		if refusal != nil {
			r := p.record(c, t, sallyport.OutcomeDenied)
			r.Reason = sallyport.ReasonOf(refusal)
			tx.Record(r)
		}
		return err
	})
	if err != nil {
		return err
	}
	return refusal
}

// authorise asks whether the caller's role allows the operation. That the
// project is the caller's, the edge has checked.
func authorise(c sallyport.Call, write bool) error {
	if c.Principal.May(write) {
		return nil
	}
	return sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonForbidden,
		"the caller's roles do not allow %s", c.Operation)
}

// read returns the state for a caller who may look.
func (p *Plane) read(ctx context.Context, c sallyport.Call) (sallyport.View, error) {
	if err := authorise(c, false); err != nil {
		return nil, err
	}
	return p.store.View(ctx)
}

// owned returns the service where it is the caller's; else nobody learns
// whether it exists.
func owned(v sallyport.View, c sallyport.Call, id sallyport.ServiceID) (*sallyport.Service, error) {
	s, ok := v.Service(id)
	if !ok || s.Status == sallyport.ServiceDeleted || s.ProjectID != c.Project || s.SystemName != "" {
		return nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonServiceNotFound, "service %s does not exist", id)
	}
	return s, nil
}

// ownEndpoint returns the endpoint where it is the caller's.
func ownEndpoint(v sallyport.View, c sallyport.Call, id sallyport.EndpointID) (*sallyport.Endpoint, error) {
	e, ok := v.Endpoint(id)
	if !ok || e.ProjectID != c.Project {
		return nil, sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonEndpointNotFound, "endpoint %s does not exist", id)
	}
	return e, nil
}

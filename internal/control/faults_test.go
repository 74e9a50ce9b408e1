package control_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

var errDisk = errors.New("the disk is full")

// faulty is a store that fails when it is told to: before anything is written,
// or after, so that nobody knows.
type faulty struct {
	sallyport.Store
	before, after, views atomic.Bool
}

func (f *faulty) Update(ctx context.Context, fn func(sallyport.Tx) error) error {
	if f.before.Load() {
		return errDisk
	}
	err := f.Store.Update(ctx, fn)
	if f.after.Load() {
		return errors.Join(errDisk, err)
	}
	return err
}

func (f *faulty) View(ctx context.Context) (sallyport.View, error) {
	if f.views.Load() {
		return nil, errDisk
	}
	return f.Store.View(ctx)
}

// writes are the calls that write: a decision on other, the report sp asks for.
func writes(r *rig, plane *control.Plane, id sallyport.ServiceID, other *sallyport.Endpoint, sp agentapi.Spec) map[string]func() error {
	ctx := r.t.Context()
	return map[string]func() error{
		"create service": func() error {
			_, err := plane.CreateService(ctx, owner(), sallyport.NewService{
				VPCID: hostVPC, PortID: port, Ports: []sallyport.PortMapping{{Client: 1, Server: 1, Protocol: "TCP"}},
			})
			return err
		},
		"create endpoint": func() error {
			_, err := plane.CreateEndpoint(ctx, consumer(), sallyport.NewEndpoint{ServiceID: id, VPCID: hostVPC, SubnetID: hostSubnet})
			return err
		},
		"accept": func() error {
			_, err := plane.Decide(ctx, owner(), id, []sallyport.EndpointID{other.ID}, sallyport.ActionAccept)
			return err
		},
		"reject": func() error {
			_, err := plane.Decide(ctx, owner(), id, []sallyport.EndpointID{other.ID}, sallyport.ActionReject)
			return err
		},
		"denied attempt": func() error {
			_, err := plane.Decide(ctx, consumer(), id, []sallyport.EndpointID{other.ID}, sallyport.ActionReject)
			return err
		},
		"delete endpoint": func() error { return plane.DeleteEndpoint(ctx, consumer(), other.ID) },
		"delete service":  func() error { return plane.DeleteService(ctx, owner(), id) },
		"report": func() error {
			return plane.Agents().Report(ctx, "hand", []agentapi.Report{{Endpoint: sp.Endpoint, Rev: sp.Rev, State: agentapi.StateOpen}})
		},
		"revoke": func() error { return plane.Revoke(ctx, owner(), "token", other.CreatedAt) },
	}
}

// The store fails under every step of a connection's life. If this fails, an
// error of the machine is dressed as a success or as a refusal, or the agent is
// told that its report was taken.
func TestStoreFaultIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{ConfirmWait: impatience})
	store := &faulty{Store: r.store}
	plane := control.New(store, control.Options{
		Region: "eu-west-101", Networks: networks(), Services: 20, Endpoints: 50, ConfirmWait: impatience,
	})
	ctx := t.Context()
	h := &hand{r: r}
	id := r.service()
	e, other := r.endpoint(id), r.endpoint(id)
	r.mustDecide(id, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	sp := h.spec(e.ID)
	steps := writes(r, plane, id, other, sp)
	fault := func(name string, call func() error) {
		t.Helper()
		err := call()
		if !errors.Is(err, errDisk) || sallyport.KindOf(err) != sallyport.KindInternal {
			t.Errorf("%s: %v (%s), want an internal error", name, err, sallyport.KindOf(err))
		}
	}
	before := len(r.log())
	store.before.Store(true)
	for name, call := range steps {
		fault(name, call)
	}
	if n := len(r.log()); n != before || r.status(other.ID) != sallyport.StatusPending || r.status(e.ID) != sallyport.StatusCreating {
		t.Errorf("the failed calls left %d records, %s and %s", n-before, r.status(other.ID), r.status(e.ID))
	}
	store.before.Store(false)
	store.views.Store(true)
	fault("report without a view", steps["report"])
	fault("changes", func() error { _, err := plane.Agents().Changes(ctx, "hand", 0); return err })
	fault("read", func() error { _, err := plane.Service(ctx, owner(), id); return err })

	// The commit was sent and not answered: no success either, and what happened
	// can be asked for and repeated.
	store.views.Store(false)
	store.after.Store(true)
	fault("accept without an answer", steps["accept"])
	store.after.Store(false)
	if err := steps["accept"](); err != nil || r.status(other.ID) != sallyport.StatusCreating {
		t.Errorf("the repeated accept: %v, it is %s", err, r.status(other.ID))
	}
	if err := steps["report"](); err != nil || r.status(e.ID) != sallyport.StatusAccepted {
		t.Errorf("the repeated report: %v, it is %s", err, r.status(e.ID))
	}
}

// between is a store after whose first view something happens, once.
type between struct {
	faulty
	then func()
}

func (b *between) View(ctx context.Context) (sallyport.View, error) {
	v, err := b.faulty.View(ctx)
	if then := b.then; then != nil {
		b.then = nil
		then()
	}
	return v, err
}

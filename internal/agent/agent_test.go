package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/agent"
	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/netattach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

var errServer = errors.New("the server is not there")

// server is a control plane that says what the test wants it to say.
type server struct {
	deltas  chan agentapi.Delta
	reports chan agentapi.Report
	asked   atomic.Int64 // the since of the last call of Changes
	refuse  atomic.Int32 // how many calls of Report fail
	fail    atomic.Int32 // how many calls of Changes fail

	activity sync.Map // what was told last, by endpoint
}

func (s *server) Changes(ctx context.Context, _ string, since int64) (agentapi.Delta, error) {
	s.asked.Store(since)
	if s.fail.Add(-1) >= 0 {
		return agentapi.Delta{}, errServer
	}
	select {
	case d := <-s.deltas:
		return d, nil
	case <-ctx.Done():
		return agentapi.Delta{}, ctx.Err()
	}
}

func (s *server) Observe(_ context.Context, _ string, list []agentapi.Activity) error {
	for _, a := range list {
		s.activity.Store(a.Endpoint, a)
	}
	return nil
}

func (s *server) Report(_ context.Context, _ string, rs []agentapi.Report) error {
	if s.refuse.Add(-1) >= 0 {
		return errServer
	}
	for _, r := range rs {
		s.reports <- r
	}
	return nil
}

// rig is a running agent.
type rig struct {
	t      *testing.T
	server *server
	agent  *agent.Agent
	stop   func() // ends it and waits
	net    gated
}

// gated is the host's network with a gate that openings wait at.
type gated struct {
	netattach.Network
	gate *atomic.Pointer[chan struct{}]
}

func (g gated) Listen(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
	if gate := g.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.Network.Listen(ctx, addr)
}

// newEngines returns engines without a kernel's path, until the test ends.
func newEngines(t *testing.T) *engine.Engines {
	t.Helper()
	user, err := forward.NewEngine(forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Options{User: user, Health: health.New(health.Options{})})
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close the engines: %v", err)
		}
	})
	return e
}

// start runs an agent until the test ends.
func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, net: gated{Network: netattach.Host(), gate: &atomic.Pointer[chan struct{}]{}},
		server: &server{
			deltas: make(chan agentapi.Delta), reports: make(chan agentapi.Report, 4096),
		},
	}
	engines := newEngines(t)
	r.agent = agent.New(agent.Options{
		Name: "tested", Server: r.server, Engines: engines,
		Attach: func(a agentapi.Attach) (netattach.Network, error) {
			if a.Mode != agentapi.AttachHost {
				return nil, fmt.Errorf("network %q is not here", a.Name)
			}
			return r.net, nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.agent.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// send hands a delta to the agent.
func (r *rig) send(d agentapi.Delta) {
	r.t.Helper()
	select {
	case r.server.deltas <- d:
	case <-time.After(patience):
		r.t.Fatal("the agent does not ask for changes")
	}
}

// tell hands specs to the agent; the delta has the revision of the last.
func (r *rig) tell(specs ...agentapi.Spec) {
	r.t.Helper()
	r.send(agentapi.Delta{Rev: specs[len(specs)-1].Rev, Specs: specs})
}

// report waits for the next report.
func (r *rig) report() agentapi.Report {
	r.t.Helper()
	select {
	case got := <-r.server.reports:
		return got
	case <-time.After(patience):
		r.t.Fatal("the agent does not report")
		return agentapi.Report{}
	}
}

// want waits for the next report and compares it, but for the message.
func (r *rig) want(want agentapi.Report) agentapi.Report {
	r.t.Helper()
	got := r.report()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(agentapi.Report{}, "Message", "Paths")); diff != "" {
		r.t.Fatalf("report (%s): %s", got.Message, diff)
	}
	return got
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("this never happened: %s", what)
		}
	}
}

// last numbers the addresses of this process.
var last atomic.Uint32

// address returns a loopback address that no other test has; the process id
// keeps two test processes apart.
func address() netip.Addr {
	n := last.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(1 + os.Getpid()%60), byte(n >> 8), byte(n)})
}

const offered = 7190

// echo is a backend that answers with what it gets; it returns its port.
func echo(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

// open is a spec that leads to a port of this machine.
func open(id string, rev int64, backend uint16) agentapi.Spec {
	host := agentapi.Attach{Mode: agentapi.AttachHost}
	return agentapi.Spec{
		Endpoint: id, Rev: rev, Open: true, Admitted: rev, Attach: host, Address: address(),
		Mappings: []agentapi.Mapping{{Client: offered, Server: backend}}, Backend: host,
		Backends: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
}

// shut is the spec that closes an endpoint.
func shut(id string, rev int64) agentapi.Spec { return agentapi.Spec{Endpoint: id, Rev: rev} }

// dial connects to what a spec opened.
func dial(t *testing.T, sp agentapi.Spec, port uint16) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(sp.Address, port).String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// mustEcho wants a connection to carry.
func mustEcho(t *testing.T, c net.Conn) {
	t.Helper()
	got := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte("hello")) {
		t.Fatalf("%q came back, %v", got, err)
	}
}

// mustBeReset wants a connection to be cut.
func mustBeReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v, want a reset", err)
	}
}

// mustRefuse wants nobody to listen where a spec had opened.
func mustRefuse(t *testing.T, sp agentapi.Spec) {
	t.Helper()
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(sp.Address, offered).String(), patience)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting ends with %v, want a refusal", err)
	}
}

// If this fails, what is told is not what is carried, or the proof of a cut does
// not say how many it cut.
func TestOpensCarriesAndCuts(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 1, echo(t))
	for n := range int64(2) {
		sp.Rev, sp.Admitted = 2*n+1, 2*n+1
		r.tell(sp)
		r.want(agentapi.Report{Endpoint: "e", Rev: sp.Rev, State: agentapi.StateOpen})
		first, second := dial(t, sp, offered), dial(t, sp, offered)
		mustEcho(t, first)
		mustEcho(t, second)
		until(t, "the server is told of two flows", func() bool {
			got, _ := r.server.activity.Load("e")
			a, _ := got.(agentapi.Activity)
			return a.Flows == 2 && a.Total == 2 && a.ToBackend == a.ToClient && a.ToClient > 0
		})
		r.tell(shut("e", 2*n+2))
		r.want(agentapi.Report{Endpoint: "e", Rev: 2*n + 2, State: agentapi.StateClosed, Flows: 2})
		mustBeReset(t, first)
		mustBeReset(t, second)
		mustRefuse(t, sp)
	}
}

// Between the two specs lies a reject that the agent never saw. If this fails, a
// connection outlives the reject because an accept followed quickly.
func TestNewAdmissionResetsOldFlows(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 1, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 1, State: agentapi.StateOpen})
	old := dial(t, sp, offered)
	mustEcho(t, old)
	sp.Rev, sp.Admitted = 3, 3
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 3, State: agentapi.StateOpen, Flows: 1})
	mustBeReset(t, old)
	mustEcho(t, dial(t, sp, offered))
}

// A change of the service, not of the decision. If this fails, an owner who adds
// a port cuts every consumer off.
func TestUpdateKeepsFlows(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 1, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 1, State: agentapi.StateOpen})
	flow := dial(t, sp, offered)
	mustEcho(t, flow)
	sp.Rev = 2
	sp.Mappings = append(sp.Mappings, agentapi.Mapping{Client: offered + 1, Server: echo(t)})
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 2, State: agentapi.StateOpen})
	mustEcho(t, flow)
	mustEcho(t, dial(t, sp, offered+1))
	// At another address it is another listener.
	before := sp
	sp.Rev, sp.Address = 3, address()
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 3, State: agentapi.StateOpen, Flows: 2})
	mustBeReset(t, flow)
	mustRefuse(t, before)
	mustEcho(t, dial(t, sp, offered))
}

// If this fails, an old answer of the server undoes a newer decision.
func TestOlderSpecIsIgnored(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 5, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 5, State: agentapi.StateOpen})
	flow := dial(t, sp, offered)
	r.tell(shut("e", 4))
	r.tell(shut("e", 5))
	r.tell(shut("other", 6))
	// What is reported next is the other: nothing was done about the first.
	r.want(agentapi.Report{Endpoint: "other", Rev: 6, State: agentapi.StateClosed})
	mustEcho(t, flow)
}

// The server starts over. If this fails, what it has forgotten goes on carrying,
// or what it still wants is cut on the way.
func TestFullDeltaClosesOthers(t *testing.T) {
	t.Parallel()
	r := start(t)
	port := echo(t)
	stays, goes := open("stays", 1, port), open("goes", 2, port)
	r.tell(stays, goes)
	for range 2 {
		r.report()
	}
	kept, cut := dial(t, stays, offered), dial(t, goes, offered)
	mustEcho(t, kept)
	mustEcho(t, cut)
	r.send(agentapi.Delta{Rev: 9, Full: true, Specs: []agentapi.Spec{stays}})
	r.want(agentapi.Report{Endpoint: "goes", Rev: 9, State: agentapi.StateClosed, Flows: 1})
	mustBeReset(t, cut)
	mustRefuse(t, goes)
	mustEcho(t, kept)
}

// If this fails, a server that was away for a moment never learns that a cut is
// done, and its owner reads a timeout for ever.
func TestReportIsRepeatedUntilTaken(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.server.refuse.Store(3)
	sp := open("e", 1, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 1, State: agentapi.StateOpen})
	mustEcho(t, dial(t, sp, offered)) // it carried all the while
	if n := r.server.refuse.Load(); n != -1 {
		t.Errorf("%d refusals are left", n)
	}
}

// If this fails, an agent whose server is restarted has to be restarted too, or
// stops carrying meanwhile.
func TestServerErrorsAreOutlived(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 7, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 7, State: agentapi.StateOpen})
	flow := dial(t, sp, offered)
	r.server.fail.Store(3)
	r.tell(shut("other", 8)) // ends the call that waits now; the next ones fail
	r.want(agentapi.Report{Endpoint: "other", Rev: 8, State: agentapi.StateClosed})
	mustEcho(t, flow)
	r.tell(shut("e", 9))
	r.want(agentapi.Report{Endpoint: "e", Rev: 9, State: agentapi.StateClosed, Flows: 1})
	until(t, "the agent goes on where it was", func() bool { return r.server.asked.Load() == 9 })
	if n := r.server.fail.Load(); n >= 0 {
		t.Errorf("%d failures are left", n)
	}
}

// What cannot be opened. If this fails, the operator does not learn why, or a
// network that is not here counts as a failure.
func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	backend := echo(t)
	squat := func(t *testing.T, sp *agentapi.Spec) {
		t.Helper()
		ln, err := net.Listen("tcp", netip.AddrPortFrom(sp.Address, offered).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *agentapi.Spec)
		want   agentapi.State
	}{
		{"port in use", squat, agentapi.StateFailed},
		{"port in use, tolerant", func(t *testing.T, sp *agentapi.Spec) {
			t.Helper()
			sp.Tolerant = true
			squat(t, sp)
		}, agentapi.StateFailed},
		{"address elsewhere", func(_ *testing.T, sp *agentapi.Spec) { sp.Address = netip.MustParseAddr("192.0.2.1") }, agentapi.StateFailed},
		{"address elsewhere, tolerant", func(_ *testing.T, sp *agentapi.Spec) {
			sp.Tolerant, sp.Address = true, netip.MustParseAddr("192.0.2.1")
		}, agentapi.StateUnattached},
		{"network elsewhere", func(_ *testing.T, sp *agentapi.Spec) {
			sp.Attach = agentapi.Attach{Mode: agentapi.AttachNetNS, Name: "blue"}
		}, agentapi.StateFailed},
		{"backend's network elsewhere", func(_ *testing.T, sp *agentapi.Spec) {
			sp.Backend = agentapi.Attach{Mode: agentapi.AttachNetNS, Name: "blue"}
		}, agentapi.StateFailed},
		{"no address", func(_ *testing.T, sp *agentapi.Spec) { sp.Address = netip.Addr{} }, agentapi.StateFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			good := open("e", 3, backend)
			bad := good
			bad.Rev = 1
			tt.change(t, &bad)
			r.tell(bad)
			got := r.want(agentapi.Report{Endpoint: "e", Rev: 1, State: tt.want})
			if (got.Message == "") != (tt.want == agentapi.StateUnattached) {
				t.Errorf("the message is %q", got.Message)
			}
			r.tell(shut("e", 2))
			r.want(agentapi.Report{Endpoint: "e", Rev: 2, State: agentapi.StateClosed})
			good.Address = address()
			r.tell(good)
			r.want(agentapi.Report{Endpoint: "e", Rev: 3, State: agentapi.StateOpen})
			mustEcho(t, dial(t, good, offered))
		})
	}
}

// A new port that cannot be bound, beside flows that run. If this fails, an
// endpoint is called failed and goes on carrying under its old spec.
func TestFailedUpdateCarriesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 1, echo(t))
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "e", Rev: 1, State: agentapi.StateOpen})
	flow := dial(t, sp, offered)
	ln, err := net.Listen("tcp", netip.AddrPortFrom(sp.Address, offered+1).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	next := sp
	next.Rev = 2
	next.Mappings = append(next.Mappings[:1:1], agentapi.Mapping{Client: offered + 1, Server: 9})
	r.tell(next)
	r.want(agentapi.Report{Endpoint: "e", Rev: 2, State: agentapi.StateFailed, Flows: 1})
	mustBeReset(t, flow)
	r.tell(shut("e", 3))
	r.want(agentapi.Report{Endpoint: "e", Rev: 3, State: agentapi.StateClosed})
}

// Two thousand that were never open here. If this fails, a start with many
// rejected endpoints takes a worker and a report for each.
func TestNeverOpenIsReportedTogether(t *testing.T) {
	t.Parallel()
	r := start(t)
	const many = 2000
	var specs []agentapi.Spec
	for n := range int64(many) {
		specs = append(specs, shut(fmt.Sprintf("e%d", n), n+1))
	}
	r.send(agentapi.Delta{Rev: many, Full: true, Specs: specs})
	seen := map[string]bool{}
	for range many {
		got := r.report()
		if got.State != agentapi.StateClosed || seen[got.Endpoint] {
			t.Fatalf("report %+v", got)
		}
		seen[got.Endpoint] = true
	}
}

// A thousand new endpoints are being opened, and opening is slow. If this fails,
// a reject waits for all of them, or one that was rejected while it waited opens
// all the same.
func TestDecisionsOvertakeProvisioning(t *testing.T) {
	t.Parallel()
	r := start(t)
	port := echo(t)
	sp := open("carried", 1, port)
	r.tell(sp)
	r.want(agentapi.Report{Endpoint: "carried", Rev: 1, State: agentapi.StateOpen})
	flow := dial(t, sp, offered)
	mustEcho(t, flow)

	gate := make(chan struct{})
	r.net.gate.Store(&gate)
	const many = 100
	var queued []agentapi.Spec
	for n := range int64(many) {
		queued = append(queued, open(fmt.Sprintf("new%d", n), n+2, port))
	}
	r.tell(queued...)
	r.tell(shut("carried", many+2))
	r.want(agentapi.Report{Endpoint: "carried", Rev: many + 2, State: agentapi.StateClosed, Flows: 1})
	mustBeReset(t, flow)

	// Of those that wait most have not begun: they are closed without being opened.
	var closing []agentapi.Spec
	for n := range int64(many) {
		closing = append(closing, shut(fmt.Sprintf("new%d", n), many+3+n))
	}
	r.tell(closing...)
	const busy = 16 // those that are at the gate
	closed := map[string]bool{}
	for len(closed) < many-busy {
		if got := r.report(); got.State == agentapi.StateClosed {
			closed[got.Endpoint] = true
		}
	}
	close(gate)
	for len(closed) < many {
		if got := r.report(); got.State == agentapi.StateClosed {
			closed[got.Endpoint] = true
		}
	}
	for _, sp := range queued {
		mustRefuse(t, sp)
	}
}

// If this fails, a stopped agent leaves connections without anybody to cut them.
func TestStopCutsEverything(t *testing.T) {
	t.Parallel()
	r := start(t)
	port := echo(t)
	var specs []agentapi.Spec
	for n := range int64(20) {
		specs = append(specs, open(fmt.Sprintf("e%d", n), n+1, port))
	}
	r.tell(specs...)
	var flows []net.Conn
	for range specs {
		r.report()
	}
	for _, sp := range specs {
		flow := dial(t, sp, offered)
		mustEcho(t, flow)
		flows = append(flows, flow)
	}
	r.stop()
	for n, flow := range flows {
		mustBeReset(t, flow)
		mustRefuse(t, specs[n])
	}
}

// Changes come faster than they can be carried out. If this fails, the agent ends
// somewhere else than the last thing it was told.
func TestLastSpecWins(t *testing.T) {
	t.Parallel()
	r := start(t)
	sp := open("e", 0, echo(t))
	const steps = 200
	for rev := int64(1); rev <= steps; rev++ {
		sp.Rev, sp.Admitted = rev, rev
		if rev%2 == 0 {
			r.tell(shut("e", rev))
			continue
		}
		r.tell(sp)
	}
	sp.Rev, sp.Admitted = steps+1, steps+1
	r.tell(sp)
	for {
		if got := r.report(); got.Rev == steps+1 {
			if got.State != agentapi.StateOpen {
				t.Fatalf("report %+v", got)
			}
			break
		}
	}
	mustEcho(t, dial(t, sp, offered))
}

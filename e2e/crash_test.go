package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// desk is one endpoint with the one owner who decides on it, so that what the
// server acknowledged has an order.
type desk struct {
	endpoint string
	addr     string
	issued   string   // the last decision that was sent
	acked    string   // the last one that was answered with 200
	requests []string // the request ids of those that were
}

// certain returns the status that the endpoint must have after a crash, or ""
// where the last decision was not answered: then it may have happened or not.
func (d *desk) certain() string {
	switch {
	case d.issued != d.acked:
		return ""
	case d.acked == "":
		return "pendingAcceptance"
	case d.acked == "receive":
		return "accepted"
	default:
		return "rejected"
	}
}

// The server is killed in the middle of a thousand decisions and started again.
// If this fails, an owner was told of a decision that is then forgotten, or
// somebody who was cut off can connect after a power failure.
func TestKilledServerForgetsNothing(t *testing.T) {
	t.Parallel()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			c := w.spawn(t)
			provider, consumer := c.as(t, w.provider()), c.as(t, w.consumer())
			token, revoked := provider.login(), provider.login()
			revoke(revoked)
			id, ids := crowd(t, provider, consumer, newEcho(t), 13)
			var desks []*desk
			for n, eid := range ids {
				desks = append(desks, &desk{endpoint: eid, addr: at(w.address(byte(20 + n)))})
			}
			decideUntilKilled(t, c, id, desks[1:]) // nobody decides on the first
			for _, d := range desks {
				mustRefuse(t, d.addr) // the process is gone, and with it every listener
			}

			c = w.spawn(t)
			token.url, revoked.url = c.url, c.url
			checkRestarted(t, c, id, desks)
			token.do(http.MethodGet, "vpc-endpoint-services/"+id, nil, 200, nil)
			revoked.refused(http.MethodGet, "vpc-endpoint-services/"+id, nil, 401, "EndPoint.0003")

			final := connections(c.as(t, w.provider()), id)
			c.signal(t, syscall.SIGTERM)
			if err := c.wait(t); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
			replay(t, w, final, 1000)
			acknowledged(t, w, desks)
		})
	}
}

// revoke revokes a caller's token, by itself.
func revoke(c *caller) {
	c.t.Helper()
	if a := c.send(http.MethodDelete, "/v3/auth/tokens", nil, http.Header{"X-Subject-Token": {c.token}}); a.status != 204 {
		c.t.Fatalf("revoke: %s", a)
	}
}

// decideUntilKilled sends a thousand decisions, each owner its own in turn, and
// kills the server when half of them are answered.
func decideUntilKilled(t *testing.T, c *child, serviceID string, desks []*desk) {
	t.Helper()
	const decisions = 1000
	var sent, answered atomic.Int64
	var all sync.WaitGroup
	var once sync.Once
	for _, d := range desks {
		me := c.as(t, c.provider())
		all.Go(func() {
			for sent.Add(1) <= decisions {
				d.issued = "receive"
				if d.acked == "receive" {
					d.issued = "reject"
				}
				a, err := me.try(http.MethodPost, "/v1/"+me.project+"/vpc-endpoint-services/"+serviceID+"/connections/action",
					decision(d.issued, d.endpoint), nil)
				if err != nil {
					return // the server is gone
				}
				if a.status == http.StatusGatewayTimeout {
					continue // the machine is slow: decided and not confirmed, so not acknowledged
				}
				if a.status != 200 {
					t.Errorf("%s: %s", d.issued, a)
					return
				}
				d.acked = d.issued
				d.requests = append(d.requests, a.header.Get("X-Request-Id"))
				if answered.Add(1) == decisions/2 {
					once.Do(func() { _ = c.cmd.Process.Signal(os.Kill) })
				}
			}
		})
	}
	all.Wait()
	c.kill(t)
	if n := answered.Load(); n < decisions/2 || n == decisions {
		t.Fatalf("%d decisions were answered before the end", n)
	}
}

// checkRestarted wants every endpoint to be what was acknowledged, in the API
// and at its address, from the first answer on and without any call that would
// bring it there.
func checkRestarted(t *testing.T, c *child, serviceID string, desks []*desk) {
	t.Helper()
	provider := c.as(t, c.provider())
	check := func(d *desk, status string) {
		t.Helper()
		if status == "accepted" {
			mustEcho(t, d.addr)
		} else {
			mustRefuse(t, d.addr)
		}
	}
	first := connections(provider, serviceID)
	for _, d := range desks {
		want := d.certain()
		if want == "" {
			continue
		}
		if got := first[d.endpoint]; got != want {
			t.Errorf("endpoint %s is %s, and %s was acknowledged", d.endpoint, got, want)
		}
		check(d, want)
	}
	for _, d := range desks {
		// An accept that was on its way when the server died is confirmed now.
		until(t, d.endpoint+" is decided", func() bool { return connections(provider, serviceID)[d.endpoint] != "creating" })
		check(d, connections(provider, serviceID)[d.endpoint])
	}
}

// acknowledged wants the audit log to have every decision that was answered.
func acknowledged(t *testing.T, w *world, desks []*desk) {
	t.Helper()
	log, _ := w.records(t)
	byRequest := map[string]sallyport.Record{}
	for _, r := range log {
		if r.Action == "accept" || r.Action == "reject" {
			byRequest[r.RequestID] = r
		}
	}
	for _, d := range desks {
		for n, request := range d.requests {
			r, ok := byRequest[request]
			want := []string{"accept", "reject"}[n%2]
			if !ok || r.ObjectID != d.endpoint || r.Action != want || r.Outcome == sallyport.OutcomeDenied || r.UserName != w.provider().name {
				t.Errorf("request %s, %s of %s, is in the log as %+v", request, want, d.endpoint, r)
			}
		}
	}
}

// Requests in flight when the server is told to stop. If this fails, a restart
// for an upgrade loses somebody's answer, or a service manager sees a failure.
func TestStopAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.spawn(t)
	provider, consumer := c.as(t, w.provider()), c.as(t, w.consumer())
	id, ids := crowd(t, provider, consumer, newEcho(t), 1)
	flight := provider.hold(http.MethodPost, "vpc-endpoint-services/"+id+"/connections/action", decision("receive", ids[0]))
	c.signal(t, syscall.SIGTERM)
	until(t, "the server takes no new connections", func() bool { return refuses(c.url[len("http://"):]) == nil })
	var out struct{ Connections []endpoint }
	a := flight.finish()
	a.into(t, &out)
	if a.status != 200 || out.Connections[0].Status != "accepted" {
		t.Errorf("the request in flight was answered with %s", a)
	}
	if err := c.wait(t); err != nil {
		t.Errorf("the server ended with %v, want exit code 0\n%s", err, c.text())
	}
	_, view := w.records(t)
	if e, _ := view.Endpoint(sallyport.EndpointID(ids[0])); e.Status != sallyport.StatusAccepted {
		t.Errorf("the store has %+v, want accepted", e)
	}
}

// A second signal while a request holds the stop up. If this fails, an operator
// in a hurry has to look for the process.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.spawn(t)
	c.as(t, w.provider()).hold(http.MethodPost, "vpc-endpoint-services", forwarding(clientPort, 9))
	c.signal(t, syscall.SIGTERM)
	until(t, "the server takes no new connections", func() bool { return refuses(c.url[len("http://"):]) == nil })
	select {
	case <-c.exited:
		t.Fatalf("the server did not wait for the request: %v", c.err)
	default:
	}
	until(t, "the server ends", func() bool {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
		select {
		case <-c.exited:
			return true
		default:
			return false
		}
	})
	if got := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGTERM {
		t.Errorf("the server ended with %v, want the signal", c.err)
	}
}

// The operator changes users while the server runs. If this fails, somebody who
// left the company can still log in, or a slip in the file takes the server down.
func TestHangupReloadsUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.spawn(t)
	provider := c.as(t, w.provider())
	old := provider.login()
	fresh := w.owner(1)
	reload := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(w.file(t), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c.signal(t, syscall.SIGHUP)
	}
	knows := func(u user) bool {
		me := c.as(t, u)
		return me.send(http.MethodGet, "/v1/"+me.project+"/quotas", nil, nil).status == 200
	}
	if knows(fresh) {
		t.Fatal("the new user is known before the reload")
	}
	w.Owners = []int{1}
	reload(w.yaml(t))
	until(t, "the new user is known", func() bool { return knows(fresh) })

	reload([]byte("identity: {domains: [{id: broken"))
	until(t, "the broken file is reported", func() bool {
		return strings.Contains(c.text(), "not loaded again")
	})
	if !knows(fresh) || !knows(w.provider()) {
		t.Error("a broken file took users away")
	}

	w.Owners = nil
	reload(w.yaml(t))
	until(t, "the user is gone", func() bool { return !knows(fresh) })
	old.do(http.MethodGet, "quotas", nil, 200, nil) // whoever stayed keeps the token
	c.signal(t, syscall.SIGTERM)
	if err := c.wait(t); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// What one caller asks of one endpoint, and what it is told.
type (
	asked struct {
		endpoint string
		action   string // receive, reject or read
	}
	told struct {
		status string
	}
)

// register is the model: one endpoint is one register that decisions write and
// lists read. That an admitted endpoint is first creating and then accepted is
// the data plane's progress and nobody's decision, so the two are one value.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			id := op.Input.(asked).endpoint
			parts[id] = append(parts[id], op)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return "pendingAcceptance" },
	Step: func(state, input, output any) (bool, any) {
		saw := output.(told).status
		if saw == "creating" {
			saw = "accepted"
		}
		switch input.(asked).action {
		case "receive":
			return saw == "accepted", "accepted"
		case "reject":
			return saw == "rejected", "rejected"
		default:
			return saw == state.(string), state
		}
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%s -> %s", input.(asked).action, output.(told).status)
	},
}

// Thirty-two owners decide on the same eight endpoints as they like. If this
// fails, two of them were told things that cannot both have happened, or the
// audit log, the state and the sockets tell different stories.
func TestDecisionsAreLinearizable(t *testing.T) {
	t.Parallel()
	const owners, endpoints, steps = 32, 8, 12
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			for n := range owners {
				w.Owners = append(w.Owners, n)
			}
			p := w.start(t)
			provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
			id, ids := crowd(t, provider, consumer, newEcho(t), endpoints)

			history := decideAtRandom(t, p, id, ids, owners, steps)
			if porcupine.CheckOperationsTimeout(register, history, patience) != porcupine.Ok {
				t.Error("no order of the decisions explains what the owners were told")
			}
			final := connections(provider, id)
			for n, eid := range ids {
				addr := at(w.address(byte(20 + n)))
				if final[eid] == "accepted" {
					mustEcho(t, addr)
				} else {
					mustRefuse(t, addr)
				}
			}
			p.stop()
			replay(t, w, final, len(history))
		})
	}
}

// crowd makes a service with n endpoints of the consumer at the addresses from
// 20 on.
func crowd(t *testing.T, provider, consumer *caller, back *backend, n int) (serviceID string, ids []string) {
	t.Helper()
	serviceID = provider.createService(forwarding(clientPort, back.port))
	provider.allow(serviceID, consumerDomain)
	for i := range n {
		e := to(serviceID)
		e.PortIP = consumer.subnet(byte(20 + i))
		ids = append(ids, consumer.createEndpoint(e).ID)
	}
	return serviceID, ids
}

// connections returns the status of every connection of a service.
func connections(provider *caller, serviceID string) map[string]string {
	provider.t.Helper()
	var list struct{ Connections []endpoint }
	provider.do(http.MethodGet, "vpc-endpoint-services/"+serviceID+"/connections?limit=1000", nil, 200, &list)
	out := map[string]string{}
	for _, c := range list.Connections {
		out[c.ID] = c.Status
	}
	return out
}

// decideAtRandom lets every owner take some steps and returns what it saw.
func decideAtRandom(t *testing.T, p *product, serviceID string, ids []string, owners, steps int) []porcupine.Operation {
	t.Helper()
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		all     sync.WaitGroup
		began   = time.Now()
	)
	for n := range owners {
		me := p.as(t, p.owner(n))
		dice := rand.New(rand.NewPCG(uint64(n), 1))
		all.Go(func() {
			for range steps {
				in := asked{endpoint: ids[dice.IntN(len(ids))], action: []string{"receive", "reject", "read"}[dice.IntN(3)]}
				path, method, body := "vpc-endpoint-services/"+serviceID+"/connections/action", http.MethodPost, any(decision(in.action, in.endpoint))
				if in.action == "read" {
					path, method, body = "vpc-endpoint-services/"+serviceID+"/connections?id="+in.endpoint, http.MethodGet, nil
				}
				call := time.Since(began)
				a, err := me.try(method, "/v1/"+me.project+"/"+path, body, nil)
				back := time.Since(began)
				var status string
				switch {
				case err == nil && a.status == 200:
					var out struct{ Connections []endpoint }
					a.into(t, &out)
					status = out.Connections[0].Status
				case err == nil && a.status == http.StatusGatewayTimeout && in.action == "reject":
					status = "rejected" // the machine is slow: not confirmed, but decided
				default:
					t.Errorf("%s: %v %s", in.action, err, a)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: n, Input: in, Call: call.Nanoseconds(), Output: told{status}, Return: back.Nanoseconds(),
				})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return history
}

// replay follows every endpoint through the audit log: each step begins where
// the last one ended, and the last one ends where the API and the store are.
func replay(t *testing.T, w *world, final map[string]string, decisions int) {
	t.Helper()
	log, view := w.records(t)
	at, decided := map[string]string{}, 0
	for _, r := range log {
		if r.Object != sallyport.ObjectEndpoint || r.Outcome == sallyport.OutcomeDenied {
			continue
		}
		if r.Action == "cut" { // the proof of an earlier decision, not a step
			if r.From != "" || r.To != "" {
				t.Errorf("revision %d proves a cut and speaks of a step from %q to %q", r.Rev, r.From, r.To)
			}
			continue
		}
		if r.From != at[r.ObjectID] {
			t.Errorf("revision %d finds %s in %q, the step before it left it in %q", r.Rev, r.ObjectID, r.From, at[r.ObjectID])
		}
		if (r.Outcome == sallyport.OutcomeUnchanged) != (r.From == r.To) {
			t.Errorf("revision %d goes from %q to %q and is called %s", r.Rev, r.From, r.To, r.Outcome)
		}
		at[r.ObjectID] = r.To
		if r.Action == "accept" || r.Action == "reject" {
			decided++
		}
	}
	if decided == 0 || decided > decisions {
		t.Errorf("the log has %d decisions of at most %d", decided, decisions)
	}
	for id, status := range final {
		e, ok := view.Endpoint(sallyport.EndpointID(id))
		if !ok || wire(e.Status) != status || e.Status.String() != at[id] {
			t.Errorf("endpoint %s: the API said %s, the log ends in %s, the store has %+v", id, status, at[id], e)
		}
	}
}

package native

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	base     = Prefix + "/"
	shop     = "4189d3c2-8882-4871-a3c2-d380272eed88"
	busy     = "705290f3-0d00-41f2-aedc-71f09844e879"
	silent   = "705290f3-0d00-41f2-aedc-71f09844e87a"
	carrying = "705290f3-0d00-41f2-aedc-71f09844e87b" // rejected, with flows that are still being reset
)

// carried serves a service with three connections, and returns the agent's door.
func carried(t *testing.T) (*httptest.Server, control.Agents) {
	t.Helper()
	var agents control.Agents
	w := familytest.World{
		Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Fill: func(tx sallyport.Tx) error {
			put := func(kind sallyport.ObjectKind, id string) sallyport.Revision {
				return tx.Record(sallyport.Record{Action: "fill", Outcome: sallyport.OutcomeDone, Object: kind, ObjectID: id})
			}
			rev := put(sallyport.ObjectService, shop)
			tx.PutService(&sallyport.Service{
				ID: shop, Region: "eu-west-101", Kind: sallyport.KindInterface, ProjectID: familytest.OwnerProject,
				DomainID: familytest.OwnerDomain, Status: sallyport.ServiceAvailable, Rev: rev, SpecRev: rev,
				Ports: []sallyport.PortMapping{{Client: 80, Server: 80, Protocol: "TCP"}},
			})
			for n, id := range []sallyport.EndpointID{busy, silent, carrying} {
				status := sallyport.StatusAccepted
				if id == carrying {
					status = sallyport.StatusRejected
				}
				rev := put(sallyport.ObjectEndpoint, string(id))
				tx.PutEndpoint(&sallyport.Endpoint{
					ID: id, ServiceID: shop, ProjectID: familytest.ConsumerProject, DomainID: familytest.ConsumerDomain,
					Address: netip.AddrFrom4([4]byte{127, 64, 0, byte(n + 1)}), SubnetID: "s", Marker: sallyport.Marker(n + 1),
					Status: status, Rev: rev, SpecRev: rev, CreatedAt: time.Unix(int64(n), 0),
				})
			}
			return nil
		},
		Family: func(p *control.Plane) edge.Family {
			agents = p.Agents()
			return New(p)
		},
	}
	return w.Serve(t), agents
}

// ask wants a status and returns the answer.
func ask(t *testing.T, srv *httptest.Server, caller, path string, want int) string {
	t.Helper()
	status, text := familytest.Ask(t, srv.Client(), srv.URL, caller, http.MethodGet, path, "")
	if status != want {
		t.Fatalf("%s GET %s: %d %s, want %d", caller, path, status, text, want)
	}
	return strings.TrimSpace(string(text))
}

// What is shown of endpoints and connections. If this fails, programs that read
// it find other keys than they were promised, or another's connections.
func TestActivity(t *testing.T) {
	t.Parallel()
	srv, agents := carried(t)
	err := agents.Observe(t.Context(), "hand", []agentapi.Activity{{
		Endpoint: busy, Since: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Flows: 2, Total: 9, ToBackend: 10, ToClient: 11,
		Resets: 3, DialErrors: 4, Refused: map[string]uint64{"over_limit": 5}, Last: time.Date(2026, 1, 2, 3, 4, 0, 5e8, time.UTC),
	}})
	if err != nil {
		t.Fatal(err)
	}
	const (
		consumers = base + familytest.ConsumerProject + "/endpoints/"
		owners    = base + familytest.OwnerProject + "/endpoints/"
		list      = base + familytest.OwnerProject + "/services/" + shop + "/activity"
	)
	text := ask(t, srv, familytest.Consumer, consumers+busy+"/activity", 200)
	var got Activity
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.ObservedAt == nil || !strings.HasPrefix(*got.ObservedAt, "2026-01-02T03:04:05.") {
		t.Fatalf("observed at %v", text)
	}
	want := `{"endpoint_id":"` + busy + `","observed_at":"` + *got.ObservedAt + `","since":"2026-01-02T00:00:00Z","flows":2,"total":9,` +
		`"bytes_to_backend":10,"bytes_to_client":11,"resets":3,"dial_errors":4,` +
		`"refused":{"not_allowed":0,"no_backend":0,"over_limit":5,"dial_error":0},"last_activity":"2026-01-02T03:04:00.5Z"}`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("activity (-want +got):\n%s", diff)
	}
	nothing := func(id string) string {
		return `{"endpoint_id":"` + id + `","observed_at":null,"since":null,"flows":0,"total":0,"bytes_to_backend":0,"bytes_to_client":0,` +
			`"resets":0,"dial_errors":0,"refused":{"not_allowed":0,"no_backend":0,"over_limit":0,"dial_error":0},"last_activity":null}`
	}
	if diff := cmp.Diff(nothing(silent), ask(t, srv, familytest.Reader, owners+silent+"/activity", 200)); diff != "" {
		t.Errorf("of a silent one (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{
		list:                        fmt.Sprintf(`{"endpoints":[%s,%s,%s],"total_count":3}`, nothing(carrying), nothing(silent), text),
		list + "?limit=1&offset=1":  fmt.Sprintf(`{"endpoints":[%s],"total_count":3}`, nothing(silent)),
		list + "?limit=99&offset=9": `{"endpoints":[],"total_count":3}`,
	} {
		if diff := cmp.Diff(want, ask(t, srv, familytest.Owner, path, 200)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, c := range []struct {
		caller, path string
		want         int
	}{
		{familytest.Stranger, base + familytest.StrangerProject + "/endpoints/" + busy + "/activity", 404},
		{familytest.Sibling, base + familytest.OwnerOther + "/endpoints/" + busy + "/activity", 404},
		{familytest.Owner, owners + "none/activity", 404},
		{familytest.Consumer, base + familytest.ConsumerProject + "/services/" + shop + "/activity", 404},
		{familytest.Owner, base + familytest.OwnerProject + "/services/none/activity", 404},
		{familytest.Owner, list + "?limit=-1", 400},
		{familytest.Owner, list + "?offset=many", 400},
	} {
		ask(t, srv, c.caller, c.path, c.want)
	}
}

// If this fails, one answer may hold every connection that a service has.
func TestActivityPageIsBounded(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]sallyport.Page{
		"":                                  {Limit: 100},
		"limit=501":                         {Limit: 500},
		"limit=9223372036854775807":         {Limit: 500},
		"limit=0":                           {},
		"offset=9223372036854775807":        {Offset: 1 << 30, Limit: 100},
		"offset=7&limit=500&something=else": {Offset: 7, Limit: 500},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, nil)
		got, err := pageOf(&edge.Request{HTTP: r}, defaultActivities, maxActivities)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", query, got, err, want)
		}
	}
}

// What the data plane says of an endpoint. If this fails, nobody learns which
// engine carries a port, or reads a number of flows that is yet to come.
func TestEnforcement(t *testing.T) {
	t.Parallel()
	srv, agents := carried(t)
	say := func(r agentapi.Report) {
		t.Helper()
		r.Rev = 9
		if err := agents.Report(t.Context(), "hand", []agentapi.Report{r}); err != nil {
			t.Fatal(err)
		}
	}
	say(agentapi.Report{Endpoint: busy, State: agentapi.StateOpen, Paths: []agentapi.Path{
		{Protocol: agentapi.TCP, Client: 80, Engine: agentapi.EngineKernel},
		{Protocol: agentapi.UDP, Client: 53, Engine: agentapi.EngineUser, Reason: "no privileges"},
	}})
	say(agentapi.Report{Endpoint: carrying, State: agentapi.StateClosed, Gated: true})
	for id, want := range map[string]string{
		busy: `"revision":9,"confirmed_at":"AT","flows_reset":0,"paths":[` +
			`{"protocol":"TCP","client_port":80,"engine":"kernel","reason":""},` +
			`{"protocol":"UDP","client_port":53,"engine":"user","reason":"no privileges"}]}`,
		carrying: `"state":"closed","agent":"hand","revision":9,"confirmed_at":"AT","flows_reset":0,"gated":true,"paths":[]}`,
		silent:   `"status":"accepted","state":"unknown","flows_reset":0,"paths":[]}`,
	} {
		text := ask(t, srv, familytest.Owner, base+familytest.OwnerProject+"/endpoints/"+id, 200)
		var e Enforcement
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if e.ConfirmedAt != "" {
			text = strings.Replace(text, e.ConfirmedAt, "AT", 1)
		}
		if !strings.HasSuffix(text, want) {
			t.Errorf("%s: %s, want the end %s", id, text, want)
		}
	}
}

package app

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport-net/sallyport/internal/agentapi"
)

// told is a source that repeats what it was given.
type told []agentapi.Activity

func (s told) EachActivity(fn func(endpoint, service string, a agentapi.Activity)) {
	for _, a := range s {
		fn(a.Endpoint, "service of "+a.Endpoint, a)
	}
}

// scrape gives the value of every series, by name and labels.
func scrape(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := []string{}
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "sallyport_endpoint_") + " " + strings.Join(labels, ",")
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

// counters are the flows_total of a scrape, by endpoint.
func counters(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	got := make(map[string]float64)
	for name, v := range scrape(t, c) {
		if labels, ok := strings.CutPrefix(name, "flows_total "); ok {
			endpoint, _, _ := strings.Cut(labels, ",")
			got[endpoint] = v
		}
	}
	return got
}

// If this fails, an operator's dashboard shows another number than what the agent
// reported, or no number where there is one.
func TestActivityMetrics(t *testing.T) {
	c := newActivityCollector(told{
		{
			Endpoint: "e1", Flows: 2, Total: 30, ToBackend: 400, ToClient: 5000, Resets: 6, DialErrors: 7,
			Refused: map[string]uint64{"not_allowed": 8, "over_limit": 9, "made_up": 3, "later": 4},
			Last:    time.UnixMilli(1_700_000_000_250),
		},
		{Endpoint: "e2"},
	})
	want := `
# HELP sallyport_endpoint_bytes_total Bytes carried, by direction: to_backend or to_client.
# TYPE sallyport_endpoint_bytes_total counter
sallyport_endpoint_bytes_total{direction="to_backend",endpoint_id="e1",service_id="service of e1"} 400
sallyport_endpoint_bytes_total{direction="to_backend",endpoint_id="e2",service_id="service of e2"} 0
sallyport_endpoint_bytes_total{direction="to_client",endpoint_id="e1",service_id="service of e1"} 5000
sallyport_endpoint_bytes_total{direction="to_client",endpoint_id="e2",service_id="service of e2"} 0
# HELP sallyport_endpoint_dial_errors_total Failed attempts to reach a backend address.
# TYPE sallyport_endpoint_dial_errors_total counter
sallyport_endpoint_dial_errors_total{endpoint_id="e1",service_id="service of e1"} 7
sallyport_endpoint_dial_errors_total{endpoint_id="e2",service_id="service of e2"} 0
# HELP sallyport_endpoint_flows Flows the endpoint holds now.
# TYPE sallyport_endpoint_flows gauge
sallyport_endpoint_flows{endpoint_id="e1",service_id="service of e1"} 2
sallyport_endpoint_flows{endpoint_id="e2",service_id="service of e2"} 0
# HELP sallyport_endpoint_flows_total Flows let in.
# TYPE sallyport_endpoint_flows_total counter
sallyport_endpoint_flows_total{endpoint_id="e1",service_id="service of e1"} 30
sallyport_endpoint_flows_total{endpoint_id="e2",service_id="service of e2"} 0
# HELP sallyport_endpoint_last_activity_timestamp_seconds When a flow last came, went or was seen carrying, in Unix time; absent for never.
# TYPE sallyport_endpoint_last_activity_timestamp_seconds gauge
sallyport_endpoint_last_activity_timestamp_seconds{endpoint_id="e1",service_id="service of e1"} 1.70000000025e+09
# HELP sallyport_endpoint_refused_total Connections not let in, by reason.
# TYPE sallyport_endpoint_refused_total counter
sallyport_endpoint_refused_total{endpoint_id="e1",reason="dial_error",service_id="service of e1"} 0
sallyport_endpoint_refused_total{endpoint_id="e1",reason="no_backend",service_id="service of e1"} 0
sallyport_endpoint_refused_total{endpoint_id="e1",reason="not_allowed",service_id="service of e1"} 8
sallyport_endpoint_refused_total{endpoint_id="e1",reason="other",service_id="service of e1"} 7
sallyport_endpoint_refused_total{endpoint_id="e1",reason="over_limit",service_id="service of e1"} 9
sallyport_endpoint_refused_total{endpoint_id="e2",reason="dial_error",service_id="service of e2"} 0
sallyport_endpoint_refused_total{endpoint_id="e2",reason="no_backend",service_id="service of e2"} 0
sallyport_endpoint_refused_total{endpoint_id="e2",reason="not_allowed",service_id="service of e2"} 0
sallyport_endpoint_refused_total{endpoint_id="e2",reason="over_limit",service_id="service of e2"} 0
# HELP sallyport_endpoint_resets_total Flows that ended by a reset.
# TYPE sallyport_endpoint_resets_total counter
sallyport_endpoint_resets_total{endpoint_id="e1",service_id="service of e1"} 6
sallyport_endpoint_resets_total{endpoint_id="e2",service_id="service of e2"} 0
`
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), rec.Body.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// If this fails, two agents that carry one endpoint make /metrics an error, for
// a series must not be there twice.
func TestActivityOfOneEndpointByTwoAgents(t *testing.T) {
	older, newer := time.Unix(100, 0), time.Unix(200, 0)
	c := newActivityCollector(told{
		{Endpoint: "e1", Flows: 1, Total: 10, Last: newer},
		{Endpoint: "e1", Flows: 2, Total: 20, Last: older},
	})
	got := scrape(t, c)
	for name, want := range map[string]float64{
		"flows e1,service of e1": 3, "flows_total e1,service of e1": 30,
		"last_activity_timestamp_seconds e1,service of e1": 200,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// If this fails, the number of series grows with that of endpoints, an endpoint
// loses its series to one that came later, or the rest is not counted.
func TestActivitySeriesAreBounded(t *testing.T) {
	c := newActivityCollector(nil)
	c.most = 2
	steps := []struct {
		about string
		told  told
		want  map[string]float64
	}{
		{"room for all", told{{Endpoint: "a", Total: 1}, {Endpoint: "b", Total: 2}}, map[string]float64{"a": 1, "b": 2}},
		{
			"a third and a fourth, seen first and busier",
			told{{Endpoint: "c", Total: 100}, {Endpoint: "b", Total: 3}, {Endpoint: "d", Total: 50}, {Endpoint: "a", Total: 2}},
			map[string]float64{"a": 2, "b": 3, "other": 150},
		},
		{
			"the rest grows",
			told{{Endpoint: "a", Total: 2}, {Endpoint: "b", Total: 3}, {Endpoint: "c", Total: 110}, {Endpoint: "d", Total: 50}},
			map[string]float64{"a": 2, "b": 3, "other": 160},
		},
		{
			"one of the rest goes: a counter must not fall",
			told{{Endpoint: "a", Total: 2}, {Endpoint: "b", Total: 3}, {Endpoint: "d", Total: 51}},
			map[string]float64{"a": 2, "b": 3, "other": 160},
		},
		{
			"the rest grows from there",
			told{{Endpoint: "a", Total: 2}, {Endpoint: "b", Total: 3}, {Endpoint: "d", Total: 60}},
			map[string]float64{"a": 2, "b": 3, "other": 169},
		},
		{
			"one with series goes, its place is free at the next scrape",
			told{{Endpoint: "d", Total: 60}, {Endpoint: "b", Total: 3}},
			map[string]float64{"b": 3, "other": 169},
		},
		{
			"and taken",
			told{{Endpoint: "d", Total: 61}, {Endpoint: "b", Total: 3}},
			map[string]float64{"b": 3, "d": 61, "other": 169},
		},
	}
	for _, step := range steps {
		c.source = step.told
		if diff := cmp.Diff(step.want, counters(t, c)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.about, diff)
		}
	}
}

// If this fails, the numbers of the rest but the counters are wrong: flows held
// are those of now, and fall.
func TestActivityOfTheRest(t *testing.T) {
	c := newActivityCollector(told{
		{Endpoint: "a"}, {Endpoint: "b", Flows: 4, Last: time.Unix(100, 0)}, {Endpoint: "c", Flows: 5, Last: time.Unix(300, 0)},
	})
	c.most = 1
	_ = scrape(t, c)
	c.source = told{{Endpoint: "a"}, {Endpoint: "b", Flows: 1, Last: time.Unix(200, 0)}}
	got := scrape(t, c)
	if flows, last := got["flows other,"], got["last_activity_timestamp_seconds other,"]; flows != 1 || last != 200 {
		t.Errorf("the rest holds %v flows and was last active at %v, want 1 and 200", flows, last)
	}
}

// If this fails, two scrapes at a time break each other.
func TestActivityIsScrapedConcurrently(t *testing.T) {
	var all told
	for i := range 20 {
		all = append(all, agentapi.Activity{Endpoint: fmt.Sprint("e", i), Total: 1})
	}
	c := newActivityCollector(all)
	c.most = 10
	var scrapes sync.WaitGroup
	for range 8 {
		scrapes.Go(func() {
			if n := len(c.take()); n != 11 {
				t.Errorf("%d endpoints, want 10 and the rest", n)
			}
		})
	}
	scrapes.Wait()
	if got := counters(t, c)["other"]; got != 10 {
		t.Errorf("the rest had %v flows, want 10", got)
	}
}

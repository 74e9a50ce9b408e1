package app

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// maxSeriesEndpoints is how many endpoints have series of their own. Each has
	// eleven, so /metrics stays around 110,000 lines, some 20 MB; what is beyond
	// is for the API, which has pages.
	maxSeriesEndpoints = 10_000
	// otherLabel stands for all that has no label value of its own: endpoints
	// beyond maxSeriesEndpoints, and reasons that this server does not know.
	otherLabel = "other"
)

// refusals are the reasons that have a label value, as agentapi.Activity names
// them. They are a fixed list, because an agent may be newer than the server and
// every value is a series of each endpoint.
var refusals = [...]string{"not_allowed", "no_backend", "over_limit", "dial_error"}

// activitySource knows what the endpoints have carried. EachActivity calls fn for
// every endpoint of which an agent has told, in any order, maybe once per agent;
// fn is quick, calls nothing back, and keeps nothing of the map in it.
type activitySource interface {
	EachActivity(fn func(endpoint, service string, a agentapi.Activity))
}

// activityCollector exports the activity of endpoints at each scrape, and holds
// no numbers of its own beside the sums of what has no series.
//
// The endpoints with series are not the busiest: those change from scrape to
// scrape, and a counter that comes and goes is of no use. Whoever has series
// keeps them until it is gone, and the free ones go to whoever is seen first.
type activityCollector struct {
	source activitySource
	most   int // maxSeriesEndpoints, but in tests

	mu    sync.Mutex
	shown map[string]bool // by endpoint, those with series at the last scrape
	other otherActivity
}

func newActivityCollector(source activitySource) *activityCollector {
	return &activityCollector{source: source, most: maxSeriesEndpoints, shown: make(map[string]bool)}
}

// activityRow is what is exported under one pair of labels.
type activityRow struct {
	endpoint, service string
	flows             int
	counters          activityCounters
	last              time.Time
}

// activityCounters are the numbers that only grow, in the order of counterSeries;
// the last one is that of refusals for a reason which is none of ours.
type activityCounters [len(counterSeries)]uint64

// Places in activityCounters.
const (
	countTotal = iota
	countToBackend
	countToClient
	countResets
	countDialErrors
	countRefused
)

var (
	endpointLabels = []string{"endpoint_id", "service_id"}

	descFlows = prometheus.NewDesc("sallyport_endpoint_flows", "Flows the endpoint holds now.", endpointLabels, nil)
	descTotal = prometheus.NewDesc("sallyport_endpoint_flows_total", "Flows let in.", endpointLabels, nil)
	descBytes = prometheus.NewDesc("sallyport_endpoint_bytes_total",
		"Bytes carried, by direction: to_backend or to_client.", append(endpointLabels[:2:2], "direction"), nil)
	descResets     = prometheus.NewDesc("sallyport_endpoint_resets_total", "Flows that ended by a reset.", endpointLabels, nil)
	descDialErrors = prometheus.NewDesc("sallyport_endpoint_dial_errors_total",
		"Failed attempts to reach a backend address.", endpointLabels, nil)
	descRefused = prometheus.NewDesc("sallyport_endpoint_refused_total",
		"Connections not let in, by reason.", append(endpointLabels[:2:2], "reason"), nil)
	descLast = prometheus.NewDesc("sallyport_endpoint_last_activity_timestamp_seconds",
		"When a flow last came, went or was seen carrying, in Unix time; absent for never.", endpointLabels, nil)
)

// counterSeries says under which name and label each counter is exported.
var counterSeries = [...]struct {
	desc  *prometheus.Desc
	label string // the value of the third label, if desc has one
}{
	countTotal:       {desc: descTotal},
	countToBackend:   {descBytes, "to_backend"},
	countToClient:    {descBytes, "to_client"},
	countResets:      {desc: descResets},
	countDialErrors:  {desc: descDialErrors},
	countRefused:     {descRefused, refusals[0]},
	countRefused + 1: {descRefused, refusals[1]},
	countRefused + 2: {descRefused, refusals[2]},
	countRefused + 3: {descRefused, refusals[3]},
	countRefused + 4: {descRefused, otherLabel},
}

// Describe sends the seven metrics of an endpoint.
func (c *activityCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descFlows, descTotal, descBytes, descResets, descDialErrors, descRefused, descLast} {
		ch <- d
	}
}

// Collect sends the series of every endpoint that has some, and one of each for
// the rest, if ever there was one.
func (c *activityCollector) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.take() {
		r.send(ch)
	}
}

// take asks the source and decides who has series. Nothing is sent in there,
// because the source may hold a lock meanwhile.
func (c *activityCollector) take() []activityRow {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, at := make([]activityRow, 0, len(c.shown)+1), make(map[string]int, len(c.shown))
	shown := make(map[string]bool, len(c.shown))
	free := c.most - len(c.shown)
	rest := activityRow{endpoint: otherLabel}
	c.source.EachActivity(func(endpoint, service string, a agentapi.Activity) {
		i, there := at[endpoint]
		switch {
		case there:
		case c.shown[endpoint], free > 0:
			if !c.shown[endpoint] {
				free--
			}
			i = len(rows)
			at[endpoint], shown[endpoint] = i, true
			rows = append(rows, activityRow{endpoint: endpoint, service: service})
		default:
			c.other.seen = true
			rest.add(a)
			return
		}
		rows[i].add(a)
	})
	c.shown = shown
	if c.other.seen {
		rest.counters = c.other.grow(rest.counters)
		rows = append(rows, rest)
	}
	return rows
}

// otherActivity are the counters of the rest as they were exported.
type otherActivity struct {
	seen       bool
	sum, shown activityCounters
}

// grow takes the new sum of the rest and returns what is exported for it. An
// endpoint that goes, begins anew or gets series takes its numbers out of the
// sum; Prometheus reads a counter that falls as one that began at zero, and would
// count the whole sum as new. So what was exported stands still where the sum
// falls, and grows with it from there.
func (o *otherActivity) grow(sum activityCounters) activityCounters {
	for i := range sum {
		if sum[i] > o.sum[i] {
			o.shown[i] += sum[i] - o.sum[i]
		}
	}
	o.sum = sum
	return o.shown
}

// add counts the activity into the row.
func (r *activityRow) add(a agentapi.Activity) {
	r.flows += a.Flows
	r.counters[countTotal] += a.Total
	r.counters[countToBackend] += a.ToBackend
	r.counters[countToClient] += a.ToClient
	r.counters[countResets] += a.Resets
	r.counters[countDialErrors] += a.DialErrors
	for reason, n := range a.Refused {
		i := slices.Index(refusals[:], reason)
		if i < 0 {
			i = len(refusals)
		}
		r.counters[countRefused+i] += n
	}
	if a.Last.After(r.last) {
		r.last = a.Last
	}
}

// send exports the row. What stands at zero is exported, too, or the first
// refusal of an endpoint would be no increase; but for the reasons that are none.
func (r *activityRow) send(ch chan<- prometheus.Metric) {
	metric := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, third string) {
		labels := []string{r.endpoint, r.service, third}
		if third == "" {
			labels = labels[:2]
		}
		m, err := prometheus.NewConstMetric(d, kind, v, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		ch <- m
	}
	metric(descFlows, prometheus.GaugeValue, float64(r.flows), "")
	for i, n := range r.counters {
		if i < len(r.counters)-1 || n > 0 {
			metric(counterSeries[i].desc, prometheus.CounterValue, float64(n), counterSeries[i].label)
		}
	}
	if !r.last.IsZero() {
		metric(descLast, prometheus.GaugeValue, float64(r.last.UnixMicro())/1e6, "")
	}
}

// observed is what the use cases know of the endpoints, as the collector asks for it.
type observed struct{ plane *control.Plane }

// EachActivity calls fn for every endpoint that an agent has told of. The map of
// refusals is the same one in every call.
func (o observed) EachActivity(fn func(endpoint, service string, a agentapi.Activity)) {
	refused := make(map[string]uint64, len(refusals))
	o.plane.EachActivity(func(e sallyport.EndpointID, s sallyport.ServiceID, a sallyport.Activity) {
		refused["not_allowed"], refused["no_backend"] = a.Refused.NotAllowed, a.Refused.NoBackend
		refused["over_limit"], refused["dial_error"] = a.Refused.OverLimit, a.Refused.DialError
		fn(string(e), string(s), agentapi.Activity{
			Flows: a.Flows, Total: a.Total, ToBackend: a.ToBackend, ToClient: a.ToClient, Resets: a.Resets,
			DialErrors: a.DialErrors, Refused: refused, Last: a.Last,
		})
	})
}

package edge

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Labels come from the table of routes and the five classes of status, so the
// number of series does not depend on what clients send.
var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// durationBuckets are seconds: reads take well under a millisecond, decisions
// wait up to 2 s for the data plane, and DefaultTimeout ends what hangs.
var durationBuckets = []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 2.5, 10, 30}

// meters are the collectors of the edge.
type meters struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// meter has the handles of one operation, looked up once.
type meter struct {
	requests [len(statusClasses)]prometheus.Counter
	duration prometheus.Observer
}

func newMeters(reg prometheus.Registerer) meters {
	m := meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_http_requests_total",
			Help: "API requests by family, operation and class of status.",
		}, []string{"family", "operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sallyport_http_request_duration_seconds",
			Help:    "Time from the request's header to its encoded answer.",
			Buckets: durationBuckets,
		}, []string{"family", "operation"}),
	}
	if reg != nil {
		m.requests = register(reg, m.requests)
		m.duration = register(reg, m.duration)
	}
	return m
}

// register registers c, or returns the collector that has its name already: a
// second handler in one process counts into the same series.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if err == nil {
		return c
	}
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := there.ExistingCollector.(C); ok {
			return old
		}
	}
	panic("edge: register metrics: " + err.Error())
}

func (m meters) operation(family, name string) meter {
	var out meter
	for i, class := range statusClasses {
		out.requests[i] = m.requests.WithLabelValues(family, name, class)
	}
	out.duration = m.duration.WithLabelValues(family, name)
	return out
}

func (m *meter) count(status int, took time.Duration) {
	if i := status/100 - 1; i >= 0 && i < len(m.requests) {
		m.requests[i].Inc()
	}
	m.duration.Observe(took.Seconds())
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/native"
)

// Limits of one look.
const (
	// maxWatched is how many connections of a service are watched: four pages, twice,
	// is what a server gives in a small part of a second. Whoever has more wants the
	// metrics of the server.
	maxWatched = 2000
	// maxEngineLooks bounds the requests of one look that ask for engines, one each.
	maxEngineLooks = 8
	// engineAge is how long the engine of an endpoint is believed: it changes when the
	// owner edits ports, and hardly ever else.
	engineAge = 30 * time.Second
	// reportEvery is how often an agent tells of the endpoints that have carried
	// something since; of the others it says nothing.
	reportEvery = time.Second
	// idleAfter is how long a rate is shown without a new report: three that would
	// have come if there were anything to tell.
	idleAfter = 3 * reportEvery
)

// watched is one endpoint at one look.
type watched struct {
	id, status string
	paths      []native.Path
	activity   *native.Activity // nil while nothing is known
	fields     map[string]any   // of the activity, as the server wrote them
	rate       rate
}

// activityNoun is how the counters of all connections of a service are listed.
var activityNoun = noun{plural: "endpoints"}

// count puts the counters in.
func (w *watched) count(i item) error {
	var a native.Activity
	if err := (reply{body: i.raw}).decode(&a); err != nil {
		return err
	}
	w.activity, w.fields = &a, i.fields
	return nil
}

// service looks at all connections of a service.
func (w *watcher) service(id string) reader {
	return func(ctx context.Context) ([]watched, error) {
		own, err := w.session.under(native.Prefix)
		if err != nil {
			return nil, err
		}
		list, err := w.session.readSome(ctx, connectionNoun, connections(id))
		if err != nil {
			return nil, err
		}
		if list.total > len(list.items) && len(list.items) >= maxWatched && !w.partial {
			w.partial = true
			w.say("watching %d of %d connections", len(list.items), list.total)
		}
		counters, err := own.readSome(ctx, activityNoun, "/services/"+id+"/activity")
		if err != nil {
			return nil, err
		}
		rows := make([]watched, 0, len(list.items))
		index := make(map[string]int, len(list.items))
		for _, i := range list.items {
			if _, twice := index[i.id()]; !twice { // one that is new moves others to the next page
				index[i.id()] = len(rows)
				rows = append(rows, watched{id: i.id(), status: i.text("status")})
			}
		}
		for _, i := range counters.items {
			n, has := index[i.text("endpoint_id")]
			if !has { // made or deleted between the two requests
				continue
			}
			if err := rows[n].count(i); err != nil {
				return nil, err
			}
		}
		return rows, w.lookAtEngines(ctx, own, rows)
	}
}

// readSome reads pages until there is no more, or enough to watch.
func (s *session) readSome(ctx context.Context, n noun, path string) (page, error) {
	var all page
	for len(all.items) < maxWatched {
		p, err := s.readPage(ctx, n, path, url.Values{"limit": {strconv.Itoa(allPage)}, "offset": {strconv.Itoa(len(all.items))}})
		if err != nil {
			return page{}, err
		}
		all.items, all.total = append(all.items, p.items...), p.total
		if len(p.items) == 0 || len(all.items) >= p.total {
			break
		}
	}
	return all, nil
}

// look is what was learnt of the engines of an endpoint, and when.
type look struct {
	paths []native.Path
	since string // of the counters then: an agent that begins anew may choose anew
	at    time.Time
}

// lookAtEngines puts the paths in. It asks for a few endpoints each time, those
// first of which nothing or the oldest is known.
func (w *watcher) lookAtEngines(ctx context.Context, own *session, rows []watched) error {
	now, old := w.a.d.Now(), w.looks
	w.looks = make(map[string]look, len(rows)) // forgets who has gone
	var due []int
	for n := range rows {
		row := &rows[n]
		if row.status != "accepted" {
			continue // carried by no engine
		}
		l, known := old[row.id]
		if known {
			w.looks[row.id], row.paths = l, l.paths
		}
		if !known || now.Sub(l.at) >= engineAge || row.activity != nil && moment(row.activity.Since) != l.since {
			due = append(due, n)
		}
	}
	slices.SortStableFunc(due, func(a, b int) int { return w.looks[rows[a].id].at.Compare(w.looks[rows[b].id].at) })
	for _, n := range due[:min(len(due), maxEngineLooks)] {
		row := &rows[n]
		e, err := own.enforcement(ctx, row.id)
		if err != nil && !gone(err) { // gone is for the next look at the list
			return err
		}
		row.paths = e.Paths
		l := look{paths: e.Paths, at: now}
		if row.activity != nil {
			l.since = moment(row.activity.Since)
		}
		w.looks[row.id] = l
	}
	return nil
}

// enforcement asks the native API, behind which s stands, how an endpoint is carried.
func (s *session) enforcement(ctx context.Context, id string) (native.Enforcement, error) {
	var e native.Enforcement
	r, err := s.do(ctx, http.MethodGet, endpointPath(id), nil, nil)
	if err != nil {
		return e, err
	}
	return e, r.decode(&e)
}

// endpointPath is the path of an endpoint in the native API.
func endpointPath(id string) string { return "/endpoints/" + id }

// endpoints looks at endpoints by their ids. One that is deleted meanwhile is left
// out from then on, and the watch ends with the last.
func (w *watcher) endpoints(ids []string) reader {
	named := map[string]bool{}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		twice := named[id]
		named[id] = true
		return twice
	})
	seen := map[string]bool{}
	return func(ctx context.Context) ([]watched, error) {
		own, err := w.session.under(native.Prefix)
		if err != nil {
			return nil, err
		}
		var rows []watched
		for _, id := range slices.Clone(ids) {
			row, err := own.watchOne(ctx, id)
			switch {
			case err == nil:
				seen[id] = true
				rows = append(rows, row)
			case !gone(err) || !seen[id]:
				return nil, err
			case len(ids) == 1:
				return nil, fmt.Errorf("endpoint %s does not exist any more", id)
			default:
				w.say("endpoint %s does not exist any more", id)
				ids = slices.DeleteFunc(ids, func(other string) bool { return other == id })
			}
		}
		return rows, nil
	}
}

// watchOne reads what there is to know about one endpoint.
func (s *session) watchOne(ctx context.Context, id string) (watched, error) {
	e, err := s.enforcement(ctx, id)
	if err != nil {
		return watched{}, err
	}
	row := watched{id: id, status: wireStatus(e.Status), paths: e.Paths}
	i, err := s.readOne(ctx, http.MethodGet, endpointPath(id)+"/activity", nil, nil)
	if err != nil {
		return watched{}, err
	}
	return row, row.count(i)
}

// wireStatus returns a status of the native API as the other verbs spell it: it has
// a shorter word for one of them.
func wireStatus(status string) string {
	if status == "pending" {
		return connectionStatuses[0]
	}
	return status
}

// rate is how much an endpoint carries each way, in bytes per second.
type rate struct {
	known               bool
	toBackend, toClient float64
}

// meter makes rates out of counters.
type meter struct {
	last   native.Activity
	seen   time.Time // when last came, by our clock
	looked time.Time // by our clock
	rate   rate
}

// take returns the rate after another look. What was carried is divided by the time
// between the two reports, so a slow answer changes nothing; but where there was none
// at the look before, nothing had been carried until then, and the time begins there.
// Counters that began anew give no rate.
func (m *meter) take(a *native.Activity, now time.Time) rate {
	before := m.looked
	m.looked = now
	if moment(a.ObservedAt) == moment(m.last.ObservedAt) {
		if now.Sub(m.seen) >= idleAfter {
			m.rate = rate{known: true}
		}
		return m.rate
	}
	elapsed := min(between(moment(m.last.ObservedAt), moment(a.ObservedAt)), now.Sub(before)+reportEvery).Seconds()
	m.rate = rate{}
	if moment(a.Since) == moment(m.last.Since) && elapsed > 0 && a.ToBackend >= m.last.ToBackend && a.ToClient >= m.last.ToClient {
		m.rate = rate{
			known:     true,
			toBackend: float64(a.ToBackend-m.last.ToBackend) / elapsed,
			toClient:  float64(a.ToClient-m.last.ToClient) / elapsed,
		}
	}
	m.last, m.seen = *a, now
	return m.rate
}

// moment returns a moment of the API, "" where there is none.
func moment(at *string) string {
	if at == nil {
		return ""
	}
	return *at
}

// between returns the time from one moment of the API to another, 0 where one of
// them is none.
func between(from, to string) time.Duration {
	a, errA := time.Parse(time.RFC3339Nano, from)
	b, errB := time.Parse(time.RFC3339Nano, to)
	if errA != nil || errB != nil {
		return 0
	}
	return b.Sub(a)
}

// measure puts the rates in.
func (w *watcher) measure(rows []watched) {
	now, old := w.a.d.Now(), w.meters
	w.meters = make(map[string]*meter, len(rows)) // forgets who has gone
	for n := range rows {
		row := &rows[n]
		if row.activity == nil {
			continue
		}
		m := old[row.id]
		if m == nil {
			m = &meter{seen: now, looked: now}
		}
		w.meters[row.id] = m
		row.rate = m.take(row.activity, now)
	}
}

// line returns the row for programs: what the server said of the counters, and
// beside it what belongs to them.
func (w *watched) line() ([]byte, error) {
	fields := map[string]any{}
	maps.Copy(fields, w.fields)
	fields["endpoint_id"], fields["status"] = w.id, w.status
	if engine := engines(w.paths); engine != "" {
		fields["engine"], fields["paths"] = engine, w.paths
	}
	if w.rate.known {
		fields["bytes_to_backend_per_second"], fields["bytes_to_client_per_second"] = math.Round(w.rate.toBackend), math.Round(w.rate.toClient)
	}
	return json.Marshal(fields)
}

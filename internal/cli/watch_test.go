package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/httpapi/native"
)

// The calls of a watch.
const (
	nativeBase      = "GET " + native.Prefix + "/" + project
	watchListCall   = "GET " + oneBase + "/connections?limit=500&offset=0"
	watchActiveCall = nativeBase + "/services/" + service1 + "/activity?limit=500&offset=0"
	tcpKernel       = `{"protocol":"TCP","client_port":80,"engine":"kernel"}`
	udpUser         = `{"protocol":"UDP","client_port":53,"engine":"user","reason":"no privileges"}`
)

// noon is when watches of tests begin.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// counters is the activity of an endpoint as the API spells it. It was told of so
// many seconds after noon.
func counters(id string, seconds int, in, out uint64, more string) string {
	return fmt.Sprintf(`{"endpoint_id":%q,"observed_at":%q,"since":"2026-11-20T11:00:00Z","flows":2,"total":18446744073709551615,`+
		`"bytes_to_backend":%d,"bytes_to_client":%d,"resets":1,"dial_errors":4,"refused":{"not_allowed":2,"over_limit":3},"last_activity":"2026-11-20T11:59:50Z"%s}`,
		id, noon.Add(time.Duration(seconds)*time.Second).Format(time.RFC3339Nano), in, out, more)
}

// idle prepares what the API says of endpoints that no agent has told of.
func (v *vendor) idle(ids ...string) {
	for _, id := range ids {
		v.on(nativeBase+"/endpoints/"+id+"/activity", 200, fmt.Sprintf(`{"endpoint_id":%q,"observed_at":null,"since":null,"flows":0,"total":0,`+
			`"bytes_to_backend":0,"bytes_to_client":0,"resets":0,"dial_errors":0,"refused":{"not_allowed":0},"last_activity":null}`, id))
	}
}

func connectionsBody(pairs ...string) string {
	var list []string
	for i := 0; i+1 < len(pairs); i += 2 {
		status, _ := json.Marshal(pairs[i+1])
		list = append(list, fmt.Sprintf(`{"id":%q,"status":%s}`, pairs[i], status))
	}
	return fmt.Sprintf(`{"connections":[%s],"total_count":%d}`, strings.Join(list, ","), len(list))
}

func activityBody(list ...string) string {
	return fmt.Sprintf(`{"endpoints":[%s],"total_count":%d}`, strings.Join(list, ","), len(list))
}

func enforcementBody(id, status string, paths ...string) string {
	return fmt.Sprintf(`{"endpoint":%q,"status":%q,"state":"open","agent":"local","confirmed_at":"2026-11-20T11:00:00Z","paths":[%s]}`, id, status, strings.Join(paths, ","))
}

// watchFor runs a watch that is interrupted after so many looks. Pauses take no time
// but on the clock.
func (r *runner) watchFor(looks int, args ...string) result {
	r.t.Helper()
	return r.watchWith(looks, func(int) {}, args...)
}

// watchWith is watchFor with something that is done after each look, which gets the
// number of those that are to come.
func (r *runner) watchWith(looks int, after func(left int), args ...string) result {
	r.t.Helper()
	var out, errors bytes.Buffer
	ctx, interrupt := context.WithCancel(r.t.Context())
	defer interrupt()
	now := noon
	d := r.deps(&out, &errors)
	d.Now = func() time.Time { return now }
	d.Sleep = func(ctx context.Context, pause time.Duration) error {
		r.slept = append(r.slept, pause)
		now = now.Add(pause)
		if pause == firstPause || pause == 2*firstPause {
			return ctx.Err() // of the client, between two attempts of one look
		}
		looks--
		if after(looks); looks == 0 {
			interrupt()
		}
		return ctx.Err()
	}
	code := Run(ctx, args, d)
	return result{code: code, out: out.String(), errors: errors.String()}
}

// lines reads what was printed as one JSON object per line.
func (r result) lines(t *testing.T) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(r.out) {
		var v map[string]any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		list = append(list, v)
	}
	return list
}

// In a pipe each connection is a line of JSON at each look. If this fails, a script
// misses a connection, a counter that this program does not know, or a rate.
func TestWatchInAPipe(t *testing.T) {
	v := newVendor(t)
	v.on(watchListCall, 200, connectionsBody(ep1, "accepted", ep2, "pendingAcceptance", ep1, "accepted")) // one moved between two pages
	v.on(watchActiveCall, 200, activityBody(counters(ep1, 0, 1000, 500, `,"new":{"a":1}`)))
	v.on(watchActiveCall, 200, activityBody(counters(ep1, 2, 5000, 500, "")))
	v.on(nativeBase+"/endpoints/"+ep1, 200, enforcementBody(ep1, "accepted", udpUser, tcpKernel))
	r := with(t, v)
	got := r.watchFor(2, "connection", "watch", service1, "--interval", "2s").want(t, ExitOK)
	if got.errors != "" {
		t.Errorf("stderr = %q, want nothing: an interrupt is how a watch ends", got.errors)
	}
	lines := got.lines(t)
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4:\n%s", len(lines), got.out)
	}
	want := map[string]any{
		"endpoint_id": ep1, "status": "accepted", "observed_at": "2026-11-20T12:00:00Z", "since": "2026-11-20T11:00:00Z",
		"flows": json.Number("2"), "total": json.Number("18446744073709551615"), "bytes_to_backend": json.Number("1000"), "bytes_to_client": json.Number("500"),
		"resets": json.Number("1"), "dial_errors": json.Number("4"), "refused": map[string]any{"not_allowed": json.Number("2"), "over_limit": json.Number("3")},
		"last_activity": "2026-11-20T11:59:50Z", "new": map[string]any{"a": json.Number("1")}, "engine": "user+kernel",
		"paths": []any{
			map[string]any{"protocol": "UDP", "client_port": json.Number("53"), "engine": "user", "reason": "no privileges"},
			map[string]any{"protocol": "TCP", "client_port": json.Number("80"), "engine": "kernel", "reason": ""},
		},
	}
	if diff := cmp.Diff(want, lines[0]); diff != "" {
		t.Errorf("the first line (-want +got):\n%s", diff)
	}
	for _, n := range []int{1, 3} {
		if diff := cmp.Diff(map[string]any{"endpoint_id": ep2, "status": "pendingAcceptance"}, lines[n]); diff != "" {
			t.Errorf("one that has carried nothing (-want +got):\n%s", diff)
		}
	}
	if in, out := lines[2]["bytes_to_backend_per_second"], lines[2]["bytes_to_client_per_second"]; in != json.Number("2000") || out != json.Number("0") {
		t.Errorf("rates = %v and %v, want 2000 and 0", in, out)
	}
	if diff := cmp.Diff([]time.Duration{2 * time.Second, 2 * time.Second}, r.slept); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if got := len(v.bodies(nativeBase + "/endpoints/" + ep1)); got != 1 {
		t.Errorf("the engine was asked for %d times, want once", got)
	}
}

// If this fails, somebody watches a part and takes it for all, or one look costs a
// server as many requests as there are endpoints.
func TestWatchManyConnections(t *testing.T) {
	v := newVendor(t)
	const total = 2100
	for offset := 0; offset < maxWatched; offset += allPage {
		var list []string
		for i := range allPage {
			list = append(list, fmt.Sprintf(`{"id":"e%d","status":"accepted"}`, offset+i))
		}
		v.on(fmt.Sprintf("GET %s/connections?limit=500&offset=%d", oneBase, offset), 200, fmt.Sprintf(`{"connections":[%s],"total_count":%d}`, strings.Join(list, ","), total))
	}
	v.on(watchActiveCall, 200, activityBody())
	for i := range 3 * maxEngineLooks {
		id := fmt.Sprintf("e%d", i)
		v.on(nativeBase+"/endpoints/"+id, 200, enforcementBody(id, "accepted", tcpKernel))
	}
	r := with(t, v).watchFor(2, "connection", "watch", service1, "--interval", "30s").want(t, ExitOK) // what is known is old by then
	if r.errors != "watching 2000 of 2100 connections\n" {
		t.Errorf("stderr = %q", r.errors)
	}
	lines := r.lines(t)
	if len(lines) != 2*maxWatched {
		t.Fatalf("%d lines, want %d", len(lines), 2*maxWatched)
	}
	for look := range 2 {
		known := 0
		for _, line := range lines[look*maxWatched : (look+1)*maxWatched] {
			if line["engine"] == "kernel" {
				known++
			}
		}
		if want := (look + 1) * maxEngineLooks; known != want {
			t.Errorf("look %d: the engines of %d are known, want %d", look+1, known, want)
		}
	}
}

// A rate that is wrong by a factor is worse than none.
func TestMeter(t *testing.T) {
	type look struct {
		at       float64 // seconds, by our clock
		observed int
		in       uint64
		since    string
		want     string // rate in, "" for none
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"steady", []look{{0, 0, 0, "a", ""}, {1, 1, 500, "a", "500 B"}, {2, 2, 1500, "a", "1.0 kB"}}},
		{"more looks than reports", []look{{0, 0, 0, "a", ""}, {0.2, 0, 0, "a", ""}, {1, 1, 500, "a", "500 B"}, {1.2, 1, 500, "a", "500 B"}}},
		{"fewer looks than reports", []look{{0, 0, 0, "a", ""}, {60, 60, 60000, "a", "1.0 kB"}}},
		{"a slow answer", []look{{0, 0, 0, "a", ""}, {9, 1, 500, "a", "500 B"}}},
		{"falls idle", []look{{0, 0, 0, "a", ""}, {1, 1, 500, "a", "500 B"}, {2, 1, 500, "a", "500 B"}, {4, 1, 500, "a", "0 B"}}},
		{"wakes up", []look{{0, 0, 0, "a", ""}, {59, 0, 0, "a", "0 B"}, {60, 60, 1000, "a", "500 B"}}},
		{"idle from the start", []look{{0, 0, 7, "a", ""}, {3, 0, 7, "a", "0 B"}}},
		{"begins anew", []look{{0, 0, 0, "a", ""}, {1, 1, 500, "a", "500 B"}, {2, 2, 900, "b", ""}, {3, 3, 1000, "b", "100 B"}}},
		{"goes backwards", []look{{0, 0, 500, "a", ""}, {1, 1, 400, "a", ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{a: &app{}, meters: map[string]*meter{}}
			for n, l := range tt.looks {
				w.a.d.Now = func() time.Time { return noon.Add(time.Duration(l.at * float64(time.Second))) }
				rows := []watched{{id: ep1, activity: &native.Activity{
					Since: &l.since, ToBackend: l.in, ObservedAt: new(noon.Add(time.Duration(l.observed) * time.Second).Format(time.RFC3339Nano)),
				}}}
				w.measure(rows)
				if got := rows[0].rate.show(rows[0].rate.toBackend); got != l.want {
					t.Errorf("look %d: %q, want %q", n+1, got, l.want)
				}
			}
		})
	}
}

// A server that restarts must not end a watch that somebody left running, and
// nobody may take the standing numbers for live ones.
func TestWatchSurvives(t *testing.T) {
	v := newVendor(t)
	var left atomic.Int64
	left.Store(5)
	v.do(nativeBase+"/endpoints/"+ep1, func(w http.ResponseWriter, _ *http.Request) {
		switch left.Load() {
		case 5:
			io.WriteString(w, enforcementBody(ep1, "accepted", tcpKernel))
		case 4:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3, 2:
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, enforcementBody(ep1, "pending"))
		}
	})
	v.on(nativeBase+"/endpoints/"+ep1+"/activity", 200, counters(ep1, 0, 1, 1, ""))
	r := with(t, v).watchWith(5, func(n int) { left.Store(int64(n)) }, "endpoint", "watch", ep1).want(t, ExitOK)
	want := "HTTP 503 Service Unavailable (request id r-1); looking again every 1s\nthe server answers again\n"
	if r.errors != want {
		t.Errorf("stderr = %q, want %q", r.errors, want)
	}
	lines := r.lines(t)
	if len(lines) != 2 || lines[0]["status"] != "accepted" || lines[1]["status"] != "pendingAcceptance" {
		t.Errorf("what was printed around it:\n%s", r.out)
	}
}

// If this fails, a watch of what is not there looks like one of what is idle.
func TestWatchEnds(t *testing.T) {
	call := nativeBase + "/endpoints/"
	t.Run("never was", func(t *testing.T) {
		v := newVendor(t)
		v.refuse(call+ep1, 404, "not_found", "endpoint x does not exist")
		with(t, v).watchFor(9, "endpoint", "watch", ep1).want(t, ExitFailure).says(t, "not_found: endpoint x does not exist", "hint: ")
	})
	t.Run("not at first", func(t *testing.T) {
		v := newVendor(t)
		v.on(call+ep1, 503, "")
		with(t, v).watchFor(9, "endpoint", "watch", ep1).want(t, ExitFailure).says(t, "HTTP 503")
	})
	t.Run("not allowed any more", func(t *testing.T) {
		v := newVendor(t)
		v.on(call+ep1, 200, enforcementBody(ep1, "accepted"))
		v.idle(ep1)
		v.on(call+ep1, 403, `{"error":"forbidden","message":"no"}`)
		with(t, v).watchFor(9, "endpoint", "watch", ep1).want(t, ExitFailure).says(t, "forbidden: no")
	})
	t.Run("one after the other", func(t *testing.T) {
		v := newVendor(t)
		v.idle(ep1, ep2)
		for n, id := range []string{ep1, ep2} {
			for range n + 1 {
				v.on(call+id, 200, enforcementBody(id, "accepted"))
			}
			v.refuse(call+id, 404, "not_found", "no")
		}
		r := with(t, v).watchFor(9, "endpoint", "watch", ep1, ep2, ep1).want(t, ExitFailure)
		r.says(t, "endpoint "+ep1+" does not exist any more\nsallyport: endpoint watch: endpoint "+ep2+" does not exist any more\n")
		if got := len(r.lines(t)); got != 3 {
			t.Errorf("%d lines, want 3:\n%s", got, r.out)
		}
	})
}

// Most of the time a watch waits, but it can be interrupted while it asks, too.
func TestWatchInterruptedWhileItAsks(t *testing.T) {
	v := newVendor(t)
	ctx, interrupt := context.WithCancel(t.Context())
	v.do(nativeBase+"/endpoints/"+ep1, func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	if r := with(t, v).runContext(ctx, "endpoint", "watch", ep1).want(t, ExitOK); r.out != "" || r.errors != "" {
		t.Errorf("stdout %q, stderr %q, want nothing", r.out, r.errors)
	}
}

// A token is good for a day. If this fails, no watch lasts longer; or a password
// that was changed is tried for ever.
func TestWatchLogsInAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		v := newVendor(t)
		v.idle(ep1)
		v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "first")
		v.on(tokensCall, 201, tokenBody, "X-Subject-Token", "second")
		v.on(nativeBase+"/endpoints/"+ep1, 200, enforcementBody(ep1, "accepted"))
		v.do(nativeBase+"/endpoints/"+ep1, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
		})
		if again {
			v.do(nativeBase+"/endpoints/"+ep1, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Auth-Token") != "second" {
					t.Errorf("the token is %q", r.Header.Get("X-Auth-Token"))
				}
				fmt.Fprint(w, enforcementBody(ep1, "accepted"))
			})
		}
		r := with(t, v).and("OS_TOKEN", "", "OS_USERNAME", "paula", "OS_PASSWORD", "s3cret", "OS_DOMAIN_NAME", "provider")
		if again {
			r.watchFor(4, "endpoint", "watch", ep1).want(t, ExitOK)
		} else {
			r.watchFor(4, "endpoint", "watch", ep1).want(t, ExitFailure).says(t, "HTTP 401")
		}
	}
}

// The table is for people. If this fails, its columns do not stand under each other
// or its units deceive.
func TestWatchTable(t *testing.T) {
	v := newVendor(t)
	v.on(watchListCall, 200, connectionsBody(ep1, "accepted", ep2, "creating\x1b[2J\nx"))
	v.on(watchActiveCall, 200, activityBody(counters(ep1, 0, 1000, 500, ""), counters(ep3, 0, 0, 0, "")))
	v.on(watchActiveCall, 200, activityBody(counters(ep1, 1, 1234567, 500, "")))
	v.on(nativeBase+"/endpoints/"+ep1, 200, enforcementBody(ep1, "accepted", tcpKernel))
	got := with(t, v).watchFor(2, "connection", "watch", service1, "-o", "table").want(t, ExitOK).out
	want := "ENDPOINT                              STATUS                FLOWS  IN/S  OUT/S   TOTAL  RESETS  REFUSED  DIAL ERR  LAST  ENGINE\n" +
		ep1 + "  accepted                  2     -      -  1.5 kB       1        5         4   10s  kernel\n" +
		ep2 + "  creating\\u001b[2J\\nx      -     -      -       -       -        -         -     -  -\n\n" +
		"ENDPOINT                              STATUS                FLOWS    IN/S  OUT/S   TOTAL  RESETS  REFUSED  DIAL ERR  LAST  ENGINE\n" +
		ep1 + "  accepted                  2  1.2 MB    0 B  1.2 MB       1        5         4   11s  kernel\n" +
		ep2 + "  creating\\u001b[2J\\nx      -       -      -       -       -        -         -     -  -\n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
}

// If these fail, the units deceive.
func TestUnits(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0 B", 0.4: "0 B", 999: "999 B", 999.9: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1.5e9: "1.5 GB", 1.8e19: "18.0 EB", 1.8e22: "18000.0 EB",
	} {
		if got := quantity(n); got != want {
			t.Errorf("quantity(%v) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59 * time.Second: "59s", time.Minute: "1m", time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		w := watched{activity: &native.Activity{LastActivity: new(noon.Add(-d).Format(time.RFC3339Nano))}}
		if got := w.age(noon); got != want {
			t.Errorf("age of %v = %q, want %q", d, got, want)
		}
	}
	for _, last := range []string{"", "0001-01-01T00:00:00Z", "yesterday"} {
		w := watched{activity: &native.Activity{LastActivity: &last}}
		if got := w.age(noon); got != "" {
			t.Errorf("age of %q = %q, want none", last, got)
		}
	}
}

// The engine is not in the vendor's API. If this fails, nobody learns why an
// endpoint is slow; or a server that has no native API cannot be looked at.
func TestEndpointShowSaysHowItIsCarried(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string // lines of the table
		says   string
	}{
		{"both engines", 200, enforcementBody(ep1, "accepted", tcpKernel, udpUser), "data plane  open, says agent local of 2026-11-20T11:00:00Z\nengines     80/TCP kernel, 53/UDP user (no privileges)\n", ""},
		{"an older server", 200, `{"endpoint":"x","state":"unknown"}`, "data plane  unknown\n", ""},
		{"another server", 404, "<html>", "", ""},
		{"a broken server", 500, `{"error":"internal","message":"sorry"}`, "", "what the data plane says is not known: internal: sorry (request id r-1)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t)
			v.on("GET "+base+"/vpc-endpoints/"+ep1, 200, endpointJSON("accepted", ""))
			v.on(nativeBase+"/endpoints/"+ep1, tt.status, tt.body)
			r := with(t, v).run("endpoint", "show", ep1, "-o", "table").want(t, ExitOK)
			head, tail := "id          "+ep1+"\nstatus      accepted\n", "service     "+service1+"\n"
			if tt.want == "" {
				head, tail = "id       "+ep1+"\nstatus   accepted\n", "service  "+service1+"\n"
			}
			if diff := cmp.Diff(head+tt.want+tail, r.out); diff != "" || r.errors != tt.says {
				t.Errorf("stderr %q; stdout (-want +got):\n%s", r.errors, diff)
			}
			if diff := cmp.Diff(canonical(t, endpointJSON("accepted", "")), canonical(t, with(t, v).run("endpoint", "show", ep1).out)); diff != "" {
				t.Errorf("JSON is not what the API answers (-want +got):\n%s", diff)
			}
		})
	}
}

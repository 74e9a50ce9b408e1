package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Ids that tests use.
const (
	project  = "6204a5bd270343b5885144cf9c8c158d"
	account  = "6e9dfd51d1124e8d8498dce894923a0d"
	service1 = "2f8e6a52-7a0d-4d3b-8f0e-8a4b8c1d2e3f"
	ep1      = "5b1f0c1e-6d2a-4c55-9a53-0d9b8a1f7c21"
	ep2      = "5b1f0c1e-6d2a-4c55-9a53-0d9b8a1f7c22"
	ep3      = "5b1f0c1e-6d2a-4c55-9a53-0d9b8a1f7c23"
)

// seen is a request as the server got it.
type seen struct {
	call   string // method, path and query
	header http.Header
	body   string
}

// vendor is a server that says what the API documents, and remembers what it was
// asked.
type vendor struct {
	*httptest.Server
	mu      sync.Mutex
	log     []seen
	answers map[string][]func(http.ResponseWriter, *http.Request) // by call; the last one stays
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{answers: map[string][]func(http.ResponseWriter, *http.Request){}}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := r.Method + " " + r.URL.RequestURI()
	v.mu.Lock()
	v.log = append(v.log, seen{call: call, header: r.Header.Clone(), body: string(body)})
	queue := v.answers[call]
	if len(queue) > 1 {
		v.answers[call] = queue[1:]
	}
	v.mu.Unlock()
	w.Header().Set("X-Request-Id", "r-1")
	w.Header().Set("Content-Type", "application/json")
	if len(queue) == 0 {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error_code":"EndPoint.0005","error_msg":"no answer is prepared for %s"}`, call)
		return
	}
	queue[0](w, r)
}

// on prepares an answer; several for one call are given one after the other.
func (v *vendor) on(call string, status int, body string, header ...string) {
	v.do(call, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func (v *vendor) do(call string, answer func(http.ResponseWriter, *http.Request)) {
	v.answers[call] = append(v.answers[call], answer)
}

// refuse prepares an error in both shapes of the family.
func (v *vendor) refuse(call string, status int, code, message string) {
	v.on(call, status, fmt.Sprintf(`{"error_code":%q,"error_msg":%q,"error":{"code":%q,"message":%q}}`, code, message, code, message))
}

func (v *vendor) calls() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]string, len(v.log))
	for i, s := range v.log {
		list[i] = s.call
	}
	return list
}

// runner runs the program.
type runner struct {
	t        *testing.T
	env      map[string]string
	terminal bool
	stdin    io.Reader
	serve    func(context.Context, ServeOptions) error
	dev      func(context.Context, DevOptions) error
	doctor   func(context.Context, string) ([]Check, error)
	slept    []time.Duration
	now      func() time.Time // nil is a time that stands still
}

// result is what a run left.
type result struct {
	code        int
	out, errors string
}

// with is a runner whose settings need no login.
func with(t *testing.T, v *vendor) *runner {
	t.Helper()
	return &runner{t: t, env: map[string]string{
		"SALLYPORT_ENDPOINT": v.URL, "OS_TOKEN": "token-of-the-test", "OS_PROJECT_ID": project,
	}}
}

func (r *runner) deps(out, errors io.Writer) Deps {
	stdin := r.stdin
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	now := r.now
	if now == nil {
		now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	}
	return Deps{
		Serve: r.serve, Dev: r.dev, Doctor: r.doctor, Version: "1.2.3",
		Env:   func(name string) string { return r.env[name] },
		Now:   now,
		Stdin: stdin, Stdout: out, Stderr: errors,
		IsTerminal: func(io.Writer) bool { return r.terminal },
		Sleep: func(ctx context.Context, d time.Duration) error {
			r.slept = append(r.slept, d)
			return ctx.Err()
		},
	}
}

func (r *runner) run(args ...string) result {
	r.t.Helper()
	return r.runContext(r.t.Context(), args...)
}

func (r *runner) runContext(ctx context.Context, args ...string) result {
	r.t.Helper()
	var out, errors bytes.Buffer
	code := Run(ctx, args, r.deps(&out, &errors))
	return result{code: code, out: out.String(), errors: errors.String()}
}

// and returns a runner with other variables besides; "" takes one away.
func (r *runner) and(pairs ...string) *runner {
	c := *r
	c.env = maps.Clone(r.env)
	for i := 0; i+1 < len(pairs); i += 2 {
		c.env[pairs[i]] = pairs[i+1]
	}
	return &c
}

func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code = %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.errors)
	}
	return r
}

// says checks that stderr holds every text.
func (r result) says(t *testing.T, texts ...string) result {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.errors, text) {
			t.Errorf("stderr does not say %q:\n%s", text, r.errors)
		}
	}
	return r
}

// decoded reads what was printed as JSON.
func (r result) decoded(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("stdout is no JSON object: %v\n%s", err, r.out)
	}
	return v
}

// The exit code tells a script whether anything was tried. If it does not, a
// mistyped verb passes for a success, as it does in cobra by itself.
func TestUsage(t *testing.T) {
	v := newVendor(t)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "sallyport: a verb is missing"},
		{"unknown verb", []string{"serv"}, `sallyport: there is no verb "serv"; did you mean dev or serve or service?`},
		{"group alone", []string{"service"}, "sallyport: service: a verb is missing"},
		{"unknown verb of a group", []string{"service", "lst"}, `sallyport: service: there is no verb "lst"; did you mean list?`},
		{"unknown flag", []string{"service", "list", "--colour", "x"}, "unknown flag: --colour"},
		{"no argument", []string{"service", "show"}, "sallyport: service show: ID is missing\nusage: sallyport service show ID [flags]\nsee 'sallyport service show --help'"},
		{"one argument of two", []string{"connection", "accept", service1}, "ENDPOINT is missing"},
		{"too many", []string{"service", "show", service1, "x"}, `"x" is one argument too many`},
		{"empty id", []string{"service", "delete", ""}, "ID is empty"},
		{"id that is a path", []string{"service", "delete", ".."}, `ID ".." is no id`},
		{"id that is another call", []string{"service", "show", "public"}, "there is a verb: sallyport service public"},
		{"flag missing", []string{"service", "create", "--vpc", "v"}, `required flag(s) "port", "port-id" not set`},
		{"nothing to change", []string{"service", "update", service1}, "at least one of the flags in the group"},
		{"bad mapping", []string{"service", "create", "--port", "80:x"}, "CLIENT:SERVER is needed"},
		{"bad port", []string{"service", "create", "--port", "0"}, "CLIENT:SERVER is needed"},
		{"bad protocol", []string{"service", "create", "--port", "53:53/sctp"}, "such as 80:8080 or 53:53/udp"},
		{"empty protocol", []string{"service", "create", "--port", "53:53/"}, "CLIENT:SERVER is needed"},
		{"watch ids", []string{"connection", "watch", service1, "-o", "id"}, "only table and json show them"},
		{"watch too often", []string{"endpoint", "watch", ep1, "--interval", "199ms"}, "a duration from 200ms to 1m0s is needed"},
		{"watch too seldom", []string{"endpoint", "watch", ep1, "--interval", "61s"}, "a duration from 200ms to 1m0s is needed"},
		{"watch too many", append([]string{"endpoint", "watch"}, strings.Fields(strings.Repeat("e ", maxWatchedIDs+1))...), "at most 16 endpoints can be watched"},
		{"doctor with an empty file", []string{"doctor", "--config", ""}, "--config is empty"},
		{"bad word", []string{"service", "list", "--status", "up"}, "one of creating, available, failed, deleting is needed"},
		{"bad format", []string{"quota", "-o", "xml"}, "one of table, json, id is needed"},
		{"bad limit", []string{"service", "list", "--limit", "0"}, "a number from 1 to 1000 is needed"},
		{"bad whitelist page", []string{"permission", "list", service1, "--limit", "501"}, "a number from 1 to 500 is needed"},
		{"limit and all", []string{"service", "list", "--limit", "5", "--all"}, "none of the others can be"},
		{"bad tag", []string{"endpoint", "create", "--tag", "=x"}, "KEY=VALUE is needed"},
		{"bad source", []string{"endpoint", "create", "--whitelist", "::1"}, "an IPv4 address or network is needed"},
		{"bad timeout", []string{"quota", "--timeout", "11m"}, "a duration above 0 and up to 10m0s is needed"},
		{"bad wait", []string{"endpoint", "create", "--wait-timeout", "-1s"}, "a duration above 0"},
		{"unknown topic", []string{"help", "weather"}, `there is no help for "weather"`},
		{"unknown topic of a group", []string{"help", "service", "x"}, `there is no help for "service x"`},
		{"serve without file", []string{"serve"}, `required flag(s) "config" not set`},
		{"serve with an empty file", []string{"serve", "--config", ""}, "--config is empty"},
		{"unknown shell", []string{"completion", "dos"}, `there is no verb "dos"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := with(t, v).run(tt.args...).want(t, ExitUsage).says(t, tt.want)
			if r.out != "" {
				t.Errorf("stdout = %q, want nothing: a script would take it for a result", r.out)
			}
		})
	}
	if calls := v.calls(); len(calls) > 0 {
		t.Errorf("requests were sent although the usage is wrong: %q", calls)
	}
}

// If these fail, main gets options that the user did not give.
func TestServeAndDev(t *testing.T) {
	t.Run("serve", func(t *testing.T) {
		r := &runner{t: t, env: map[string]string{"SALLYPORT_LISTEN": "env:1", "SALLYPORT_REGION": "env-region", "OTHER": "x"}}
		r.serve = func(_ context.Context, o ServeOptions) error {
			got := strings.Join([]string{o.ConfigFile, o.Env("SALLYPORT_LISTEN"), o.Env("SALLYPORT_REGION"), o.Env("OTHER"), o.Log.Level.String(), fmt.Sprint(o.Log.JSON)}, " ")
			if want := "a.yaml flag:2 env-region x WARN true"; got != want {
				t.Errorf("options = %q, want %q", got, want)
			}
			return nil
		}
		r.run("serve", "--config", "a.yaml", "--listen", "flag:2", "--log-level", "warn", "--log-format", "json").want(t, ExitOK)
	})
	t.Run("serve fails", func(t *testing.T) {
		r := &runner{t: t, serve: func(context.Context, ServeOptions) error { return fmt.Errorf("listen: taken") }}
		r.run("serve", "-c", "a.yaml").want(t, ExitFailure).says(t, "sallyport: serve: listen: taken\n")
	})
	t.Run("dev", func(t *testing.T) {
		r := &runner{t: t}
		r.dev = func(_ context.Context, o DevOptions) error {
			if want := (DevOptions{Listen: "127.0.0.1:9", Dir: "d", PrintConfig: true}); o != want {
				t.Errorf("options = %+v, want %+v", o, want)
			}
			return nil
		}
		r.run("dev", "--listen", "127.0.0.1:9", "--dir", "d", "--print-config").want(t, ExitOK)
	})
}

// If this fails, nobody can tell which binary answered a support question.
func TestVersion(t *testing.T) {
	r := &runner{t: t}
	text := r.run("version").want(t, ExitOK).out
	if !strings.HasPrefix(text, "sallyport 1.2.3\ngo       go1.") {
		t.Errorf("version = %q", text)
	}
	if got := r.run("version", "-o", "json").want(t, ExitOK).decoded(t)["version"]; got != "1.2.3" {
		t.Errorf("version in JSON = %v", got)
	}
	if got := r.run("--version").want(t, ExitOK).out; got != "sallyport 1.2.3\n" {
		t.Errorf("--version = %q", got)
	}
}

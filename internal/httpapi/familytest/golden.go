package familytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// goldenDir is where a family keeps its conversations.
const goldenDir = "testdata/golden"

// worldFile is the source of a family's tests whose ids are not made up.
const worldFile = "world_test.go"

// Goldens are the conversations of a family by the name of their file, which
// begins with the name of the operation, with the statuses they must have.
type Goldens map[string][]int

// Play plays every conversation in a world of its own and compares the answers
// with the files. update rewrites the files, and never the statuses.
func (g Goldens) Play(t *testing.T, w World, update bool) {
	t.Helper()
	Player{Serve: func(t *testing.T, _ string) *httptest.Server { //nolint:thelper // it is no helper of a test, but a part of one
		return w.Serve(t)
	}}.Play(t, g, update)
}

// Player plays the conversations of a family that has servers of its own.
type Player struct {
	// Serve serves the family until the test ends, for the conversation of that
	// name and for no other.
	Serve func(t *testing.T, name string) *httptest.Server
	// NoNull refuses every answer that has the word null in it.
	NoNull bool
}

// Play plays every conversation on a server of its own and compares the answers
// with the files. update rewrites the files, and never the statuses.
func (p Player) Play(t *testing.T, g Goldens, update bool) {
	t.Helper()
	files, err := filepath.Glob(goldenDir + "/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); g[name] == nil {
			t.Errorf("%s is not among the goldens", file)
		}
	}
	for name, statuses := range g {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.converse(t, name, statuses, update)
		})
	}
}

// converse plays the requests of a file on one server.
func (p Player) converse(t *testing.T, name string, statuses []int, update bool) {
	t.Helper()
	file := filepath.Join(goldenDir, name+".txt")
	want, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := &txtar.Archive{Comment: want.Comment}
	srv := p.Serve(t, name)
	ids := newIDs(t, want)
	var answered []int
	for _, section := range want.Files {
		if section.Name != "request" {
			continue
		}
		q := readRequest(ids.real(string(section.Data)))
		status, body := q.send(t, srv.Client(), srv.URL)
		if p.NoNull && strings.Contains(body, "null") {
			t.Errorf("%s %s: null in %s", q.method, q.path, body)
		}
		answered = append(answered, status)
		got.Files = append(got.Files, section, txtar.File{
			Name: "response " + strconv.Itoa(status), Data: []byte(ids.stable(body) + "\n"),
		})
	}
	if !slices.Equal(answered, statuses) {
		t.Errorf("statuses are %v, want %v", answered, statuses)
	}
	if update {
		if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(got))); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
}

// EachBody calls use with every body in the goldens that is sent to one of the
// routes, and with the name of that one's operation.
func EachBody(tb testing.TB, routes []edge.Route, use func(operation, body string)) {
	tb.Helper()
	route := routeOf(routes)
	files, err := filepath.Glob(goldenDir + "/*.txt")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for _, section := range a.Files {
			if section.Name != "request" {
				continue
			}
			q := readRequest(string(section.Data))
			if name := route(q.method, q.path); name != "" && q.body != "" {
				use(name, q.body)
			}
		}
	}
}

// Ask sends one request of a caller and returns status and body.
func Ask(t *testing.T, client *http.Client, base, caller, method, path, body string) (status int, answer []byte) {
	t.Helper()
	q := request{method: method, path: path, body: body, header: [][2]string{{"X-Auth-Token", caller}}}
	return q.exchange(t, client, base)
}

// request is one request of a golden file.
type request struct {
	note, method, path, body string
	header                   [][2]string
}

// readRequest takes a request of a golden file apart, after lines that begin
// with # and say what it is about.
func readRequest(text string) (q request) {
	for strings.HasPrefix(text, "#") {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		q.note += strings.TrimPrefix(line, "# ") + "\n"
	}
	head, body, _ := strings.Cut(text, "\n\n")
	q.body = strings.TrimSpace(body)
	first, rest, _ := strings.Cut(head, "\n")
	q.method, q.path, _ = strings.Cut(strings.TrimSpace(first), " ")
	for line := range strings.Lines(rest) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			q.header = append(q.header, [2]string{key, value})
		}
	}
	return q
}

// exchange sends the request and returns status and body, after checking what
// holds for every answer.
func (q request) exchange(t *testing.T, client *http.Client, base string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, base+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range q.header {
		req.Header.Set(h[0], h[1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: no X-Request-Id", q.method, q.path)
	}
	if ct := res.Header.Get("Content-Type"); len(raw) > 0 && ct != "application/json" {
		t.Errorf("%s %s: Content-Type is %q", q.method, q.path, ct)
	}
	return res.StatusCode, raw
}

// send is exchange with an indented body.
func (q request) send(t *testing.T, client *http.Client, base string) (int, string) {
	t.Helper()
	status, raw := q.exchange(t, client, base)
	if len(raw) == 0 {
		return status, ""
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		t.Errorf("%s %s: %v in %s", q.method, q.path, err, raw)
	}
	return status, out.String()
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// newID stands in a golden file for the nth id that was made up on the way.
var newID = regexp.MustCompile(`NEW-ID-\d+`)

// ids turns ids that are made up into stable words and back. Every id that
// stands in a request, and every id of the world, is not made up.
type ids struct{ toStable, toReal map[string]string }

func newIDs(t *testing.T, a *txtar.Archive) *ids {
	t.Helper()
	m := &ids{toStable: map[string]string{}, toReal: map[string]string{}}
	source, err := os.ReadFile(worldFile)
	if err != nil {
		t.Fatal(err)
	}
	known := [][]byte{source}
	for _, f := range a.Files {
		if f.Name == "request" {
			known = append(known, f.Data)
		}
	}
	for _, text := range known {
		for _, id := range uuid.FindAllString(string(text), -1) {
			m.toStable[id] = id
		}
	}
	return m
}

func (m *ids) stable(text string) string {
	return uuid.ReplaceAllStringFunc(text, func(id string) string {
		if _, ok := m.toStable[id]; !ok {
			word := fmt.Sprintf("NEW-ID-%d", len(m.toReal)+1)
			m.toStable[id], m.toReal[word] = word, id
		}
		return m.toStable[id]
	})
}

func (m *ids) real(text string) string {
	return newID.ReplaceAllStringFunc(text, func(word string) string { return m.toReal[word] })
}

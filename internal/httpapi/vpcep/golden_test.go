package vpcep

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/golden")

// goldens are the conversations of testdata/golden by the name of their file,
// which begins with the name of the operation, and the statuses they must have:
// -update rewrites the files, and never these.
var goldens = map[string]struct {
	statuses []int
	world    world // the zero value is today
}{
	// The examples of the three editions of the reference.
	"AcceptOrRejectEndpoint-example-2018":         {statuses: []int{200}, world: day2018},
	"AcceptOrRejectEndpoint-example-2018-refused": {statuses: []int{400}, world: day2018},
	"AcceptOrRejectEndpoint-example-2022":         {statuses: []int{200}},
	"AcceptOrRejectEndpoint-example-zh":           {statuses: []int{200}, world: day2018},
	"AcceptOrRejectEndpoint-example-zh-refused":   {statuses: []int{400}, world: day2018},

	"AcceptOrRejectEndpoint-again":       {statuses: []int{200, 200, 200, 200, 200, 200}},
	"AcceptOrRejectEndpoint-refused":     {statuses: []int{400, 400, 400, 400, 400, 400, 400, 404, 400, 400}},
	"AcceptOrRejectEndpoint-precedence":  {statuses: []int{400, 400, 400, 400, 400, 404, 400, 200}},
	"AcceptOrRejectEndpoint-not-allowed": {statuses: []int{401, 403, 403, 404}},
	"AcceptOrRejectEndpoint-unconfirmed": {statuses: []int{504}},

	"ListServiceConnections":         {statuses: []int{200}},
	"ListServiceConnections-filters": {statuses: []int{200, 200, 200, 200, 200}},
	"ListServiceConnections-refused": {statuses: []int{400, 400, 400, 400, 400, 400, 404, 404, 400}},

	"CreateEndpointService":         {statuses: []int{200}},
	"CreateEndpointService-lenient": {statuses: []int{200}},
	"CreateEndpointService-refused": {statuses: []int{400, 400, 400, 400, 400, 400, 400, 400, 400, 403}},
	"CreateEndpointService-quota":   {statuses: []int{200, 400}},

	"ListEndpointService":               {statuses: []int{200, 200}},
	"ListEndpointService-filters":       {statuses: []int{200, 200, 200, 200, 200, 200, 200, 400, 400}},
	"ListServicePublicDetails":          {statuses: []int{200, 200}},
	"ListServiceDescribeDetails":        {statuses: []int{200, 200, 400, 404, 404, 400}},
	"ListServiceDetails":                {statuses: []int{200}},
	"ListServiceDetails-not-found":      {statuses: []int{404, 404, 404, 400}},
	"UpdateEndpointService":             {statuses: []int{200, 200, 200}},
	"UpdateEndpointService-refused":     {statuses: []int{400, 400, 400, 400, 404}},
	"UpdateEndpointServiceName":         {statuses: []int{200, 400, 200}},
	"DeleteEndpointService":             {statuses: []int{204, 404, 404}},
	"DeleteEndpointService-in-use":      {statuses: []int{400}},
	"ListServicePermissionsDetails":     {statuses: []int{200, 200, 400, 404}},
	"AddOrRemoveServicePermissions":     {statuses: []int{200, 200, 200, 200}},
	"AddOrRemoveServicePermissions-bad": {statuses: []int{400, 400, 400, 400, 404}},

	"CreateEndpoint":               {statuses: []int{200}},
	"CreateEndpoint-no-approval":   {statuses: []int{200}},
	"CreateEndpoint-gateway":       {statuses: []int{200}},
	"CreateEndpoint-own-account":   {statuses: []int{200}},
	"CreateEndpoint-refused":       {statuses: []int{400, 400, 400, 400, 400, 400, 400, 400, 400}},
	"ListEndpoints":                {statuses: []int{200, 200, 200, 200}},
	"ListEndpointInfoDetails":      {statuses: []int{200, 200, 200}},
	"ListEndpointInfoDetails-gone": {statuses: []int{404, 404, 400}},
	"DeleteEndpoint":               {statuses: []int{204, 404, 204, 200, 204}},
	"ListQuotaDetails":             {statuses: []int{200, 200, 400}},
	"ListVersionDetails":           {statuses: []int{200}},
	"ListSpecifiedVersionDetails":  {statuses: []int{200, 404}},
	"errors-of-the-edge":           {statuses: []int{404, 405, 400, 400, 500}},

	"BatchAddEndpointServicePermissions":            {statuses: []int{200, 200}},
	"BatchAddEndpointServicePermissions-refused":    {statuses: []int{400, 400, 400, 400, 404, 403}},
	"BatchRemoveEndpointServicePermissions":         {statuses: []int{200, 200}},
	"BatchRemoveEndpointServicePermissions-refused": {statuses: []int{400, 400, 400, 404}},
	"UpdateEndpointServicePermissionDesc":           {statuses: []int{200, 200}},
	"UpdateEndpointServicePermissionDesc-refused":   {statuses: []int{400, 400, 404, 404, 400}},
	"UpdateEndpointConnectionsDesc":                 {statuses: []int{200, 200}},
	"UpdateEndpointConnectionsDesc-refused":         {statuses: []int{400, 400, 400, 400, 400, 400, 404, 200}},
	"UpdateEndpointWhite":                           {statuses: []int{200, 200, 200, 200}},
	"UpdateEndpointWhite-refused":                   {statuses: []int{400, 400, 400, 400, 400, 400, 404}},
	"UpdateEndpointRoutetable":                      {statuses: []int{200}},
	"UpdateEndpointRoutetable-refused":              {statuses: []int{400, 400, 400, 400, 400, 200, 400, 404}},
	"UpdateEndpointPolicy":                          {statuses: []int{200, 200, 200, 200}},
	"UpdateEndpointPolicy-refused":                  {statuses: []int{400, 400, 400, 400, 400, 400, 404}},
	"DeleteEndpointPolicy":                          {statuses: []int{200, 200, 400, 400, 404}},
	"BatchAddOrRemoveResourceInstance":              {statuses: []int{204, 204, 200, 204, 200, 204}},
	"BatchAddOrRemoveResourceInstance-refused":      {statuses: []int{400, 400, 400, 400, 400, 400, 400, 404, 404}},
	"ListQueryProjectResourceTags":                  {statuses: []int{200, 200, 200, 404}},
	"ListResourceInstances":                         {statuses: []int{200, 200, 200, 200, 200, 200, 200, 200}},
	"ListResourceInstances-refused":                 {statuses: []int{400, 400, 400, 400, 400, 400, 400, 400}},
	"AddEndpointServiceServerResource":              {statuses: []int{204, 204}},
	"AddEndpointServiceServerResource-refused":      {statuses: []int{400, 400, 400, 404}},
	"UpgradeEndpointService":                        {statuses: []int{204, 200, 204, 200, 204}},
	"UpgradeEndpointService-refused":                {statuses: []int{400, 404, 404, 403}},
	"UpgradeEndpoint":                               {statuses: []int{202, 202}},
	"UpgradeEndpoint-refused":                       {statuses: []int{400, 400, 400, 404}},
	"CreateEndpointService-vip":                     {statuses: []int{200}},
	"UpdateEndpointService-approval":                {statuses: []int{200, 200, 200}},
	"AddOrRemoveServicePermissions-keeps":           {statuses: []int{200, 200, 400}},
	"CreateEndpoint-professional":                   {statuses: []int{200, 400, 400}},
	"CreateEndpoint-policy":                         {statuses: []int{200}},
}

// day2018 is the day of the older examples of the reference.
var day2018 = world{
	created: time.Date(2018, 1, 30, 7, 42, 1, 174e6, time.UTC),
	now:     time.Date(2018, 1, 30, 7, 42, 1, 174e6, time.UTC),
}

// If this failed, an answer would have changed for clients. Every file is also
// documentation: what is sent, and what comes back.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); goldens[name].statuses == nil {
			t.Errorf("%s is not among the goldens", file)
		}
	}
	for name, g := range goldens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if g.world == (world{}) {
				g.world = today
			}
			converse(t, filepath.Join("testdata/golden", name+".txt"), g.world, g.statuses)
		})
	}
}

// converse plays the requests of a file in one world and compares the answers.
func converse(t *testing.T, file string, w world, statuses []int) {
	t.Helper()
	want, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := &txtar.Archive{Comment: want.Comment}
	srv := serve(t, w)
	ids := newIDs(want)
	var answered []int
	for _, section := range want.Files {
		if section.Name != "request" {
			continue
		}
		status, body := send(t, srv.Client(), srv.URL, ids.real(string(section.Data)))
		answered = append(answered, status)
		got.Files = append(got.Files, section, txtar.File{
			Name: "response " + strconv.Itoa(status), Data: []byte(ids.stable(body) + "\n"),
		})
	}
	if !slices.Equal(answered, statuses) {
		t.Errorf("statuses are %v, want %v", answered, statuses)
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(got))); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
}

// goldenRequest is one request of a golden file.
type goldenRequest struct {
	note, method, path, body string
	header                   [][2]string
}

// readRequest takes a request of a golden file apart, after lines that begin with
// # and say what it is about.
func readRequest(text string) (q goldenRequest) {
	for strings.HasPrefix(text, "#") {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		q.note += strings.TrimPrefix(line, "# ") + "\n"
	}
	head, body, _ := strings.Cut(text, "\n\n")
	q.body = strings.TrimSpace(body)
	first, rest, _ := strings.Cut(head, "\n")
	q.method, q.path, _ = strings.Cut(first, " ")
	for line := range strings.Lines(rest) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			q.header = append(q.header, [2]string{key, value})
		}
	}
	return q
}

// send sends a request of a golden file and returns status and indented body.
func send(t *testing.T, client *http.Client, base, text string) (int, string) {
	t.Helper()
	q := readRequest(text)
	method, path := q.method, q.path
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(q.body))
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
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: no X-Request-Id", method, path)
	}
	if len(raw) == 0 {
		return res.StatusCode, ""
	}
	if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Errorf("%s %s: Content-Type is %q", method, path, ct)
	}
	if bytes.Contains(raw, []byte("null")) {
		t.Errorf("%s %s: null in %s", method, path, raw)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		t.Errorf("%s %s: %v in %s", method, path, err, raw)
	}
	return res.StatusCode, out.String()
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// newID stands in a golden file for the nth id that was made up on the way.
var newID = regexp.MustCompile(`NEW-ID-\d+`)

// ids turns ids that are made up into stable words and back. Every id that
// stands in a request, and every id of the world, is not made up.
type ids struct{ toStable, toReal map[string]string }

func newIDs(a *txtar.Archive) *ids {
	m := &ids{toStable: map[string]string{}, toReal: map[string]string{}}
	source, err := os.ReadFile("world_test.go")
	if err != nil {
		panic(err)
	}
	for _, id := range uuid.FindAllString(string(source), -1) {
		m.toStable[id] = id
	}
	for _, f := range a.Files {
		if f.Name == "request" {
			for _, id := range uuid.FindAllString(string(f.Data), -1) {
				m.toStable[id] = id
			}
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

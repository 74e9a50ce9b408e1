package vpcep

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

// If this failed, a client would read a time of another zone as UTC, or one that
// its decoder does not take.
func TestTimesAreUTCSeconds(t *testing.T) {
	t.Parallel()
	beijing := time.FixedZone("CST", 8*60*60)
	at := time.Date(2022, 4, 14, 17, 35, 47, 999_999_000, beijing)
	const want = "2022-04-14T09:35:47Z"
	if got := timeText(at); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := string(appendTime(nil, at)); got != `"`+want+`"` {
		t.Errorf("got %s, want %q", got, want)
	}
}

// If this failed, a client that names another media type, or none, could not make
// a service.
func TestContentTypeIsOptional(t *testing.T) {
	t.Parallel()
	h := stubbed()
	for _, ct := range []string{"", "application/json", "application/json;charset=UTF-8", "text/plain", "no type at all"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, ownServices+"/s/name", strings.NewReader(`{"endpoint_service_name":"a"}`))
		r.Header.Set("X-Auth-Token", "owner")
		if ct != "" {
			r.Header.Set("Content-Type", ct)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("with the Content-Type %q the answer is %d %s", ct, w.Code, w.Body)
		}
	}
}

// If this failed, a missing or malformed body would be answered with a status
// that invites clients to send the same again, or would be taken.
func TestBadBodyIsParameterError(t *testing.T) {
	t.Parallel()
	h := stubbed()
	seen := 0
	for _, r := range New(nil, Options{}).Routes {
		if r.Method != http.MethodPost && r.Method != http.MethodPut {
			continue
		}
		seen++
		for _, body := range []string{"", "null", "{", "[]", `"a"`, `{} {}`, strings.Repeat(`[`, 40)} {
			if body == "" && r.Name == "UpgradeEndpointService" {
				continue // has none
			}
			status, answer := ask(t, h, r.Method, pathOf(r.Path, testUUID), body)
			var got errorAnswer
			if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 400 || got.ErrorCode != "EndPoint.0002" {
				t.Errorf("%s with the body %q is answered with %d %s", r.Name, body, status, answer)
			}
		}
	}
	if seen < 18 {
		t.Errorf("saw %d operations with a body", seen)
	}
}

// If this failed, a client would not notice that a service or an endpoint is
// gone: it is the status 404 that says so, to owners and strangers alike.
func TestUnknownIDsAreGone(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"UpdateEndpointService": `{}`, "UpdateEndpointServiceName": `{"endpoint_service_name":"a"}`,
		"AddEndpointServiceServerResource":      `{"server_resources":[{"resource_id":"a"}]}`,
		"AcceptOrRejectEndpoint":                `{"action":"receive","endpoints":["` + pending + `"]}`,
		"UpdateEndpointConnectionsDesc":         `{"connections":[{"id":"` + pending + `","description":"a"}]}`,
		"AddOrRemoveServicePermissions":         `{"action":"add","permissions":["*"]}`,
		"BatchAddEndpointServicePermissions":    `{"permissions":[{"permission":"*"}]}`,
		"BatchRemoveEndpointServicePermissions": `{"permissions":[{"id":"a"}]}`,
		"UpdateEndpointServicePermissionDesc":   `{"permission":{"description":"a"}}`,
		"UpdateEndpointWhite":                   `{}`, "UpdateEndpointRoutetable": `{"routetables":["a"]}`,
		"UpdateEndpointPolicy": `{"policy_document":{"a":1}}`, "UpgradeEndpoint": `{"action":"start"}`,
		"BatchAddOrRemoveResourceInstance": `{"action":"delete","tags":[{"key":"a"}]}`,
	}
	srv := serve(t, today)
	seen := 0
	for _, r := range New(nil, Options{}).Routes {
		ids := map[string]string{testUUID: "EndPoint.2006", pending: "EndPoint.2006"} // the second one is the consumer's
		switch {
		case strings.Contains(r.Path, "{vpc_endpoint_service_id}"):
			ids = map[string]string{testUUID: "EndPoint.0005", resolver: "EndPoint.0005"} // the second one is the operator's
		case strings.Contains(r.Path, "{vpc_endpoint_id}"), strings.Contains(r.Path, "{resource_id}"):
		default:
			continue
		}
		seen++
		for id, want := range ids {
			status, answer := familytest.Ask(t, srv.Client(), srv.URL, "owner", r.Method, pathOf(r.Path, id), bodies[r.Name])
			if bytes.Contains(answer, []byte("null")) {
				t.Errorf("%s of %s: null in %s", r.Name, id, answer)
			}
			var got errorAnswer
			if err := json.Unmarshal(answer, &got); err != nil || status != 404 || got.ErrorCode != want {
				t.Errorf("%s of %s is answered with %d %s, want 404 %s", r.Name, id, status, answer, want)
			}
		}
	}
	if seen < 20 {
		t.Errorf("saw %d operations that address something", seen)
	}
}

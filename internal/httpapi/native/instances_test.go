package native

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

var empty = familytest.World{
	Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Services: 1,
	Fill:   func(sallyport.Tx) error { return nil },
	Family: func(p *control.Plane) edge.Family { return New(p) },
}

const instances = Prefix + "/" + familytest.OwnerProject

// The life of clusters and gateways. If this fails, they cannot be made without
// the configuration file, or not be got rid of.
func TestInstances(t *testing.T) {
	t.Parallel()
	srv := empty.Serve(t)
	ask := func(method, path, body string, want int, out any) {
		t.Helper()
		status, text := familytest.Ask(t, srv.Client(), srv.URL, familytest.Owner, method, path, body)
		if status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, status, text, want)
		}
		if out != nil {
			if err := json.Unmarshal(text, out); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	var gateway, cluster Instance
	ask(http.MethodPost, instances+"/gateways", `{"id":"shop","name":"shop","vpc_id":"v","subnet_id":"s","addresses":["10.0.0.9"],"service_name":"web"}`, 201, &gateway)
	if gateway.ID != "shop" || gateway.Kind != "gateway" || gateway.ServiceID == "" || len(gateway.Ports) != 2 || gateway.Configured {
		t.Errorf("the gateway is %+v", gateway)
	}
	ask(http.MethodPost, instances+"/clusters", `{"name":"logs","vpc_id":"v","subnet_id":"s","addresses":["10.0.0.7","10.0.0.8"]}`, 201, &cluster)
	if cluster.ID == "" || cluster.ServiceID != "" || len(cluster.Ports) != 1 || cluster.Ports[0] != 9200 {
		t.Errorf("the cluster is %+v", cluster)
	}
	var shown Instance
	ask(http.MethodGet, instances+"/gateways/shop", "", 200, &shown)
	if want := "eu-west-101.web." + gateway.ServiceID; shown.ServiceName != want {
		t.Errorf("the service is called %q, want %q", shown.ServiceName, want)
	}
	ask(http.MethodGet, instances+"/clusters/"+cluster.ID, "", 200, nil)
	ask(http.MethodGet, instances+"/clusters/shop", "", 404, nil) // it is a gateway
	var list InstanceList
	ask(http.MethodGet, instances+"/clusters?offset=0&limit=1", "", 200, &list)
	if list.Total != 1 || len(list.Instances) != 1 || list.Instances[0].ID != cluster.ID {
		t.Errorf("the clusters are %+v", list)
	}
	ask(http.MethodPost, instances+"/gateways", `{"id":"shop","name":"shop","vpc_id":"v","subnet_id":"s","addresses":["10.0.0.9"]}`, 409, nil) // the id is taken
	ask(http.MethodPost, instances+"/gateways", `{"name":"more","vpc_id":"v","subnet_id":"s","addresses":["10.0.0.9"]}`, 409, nil)             // the quota is used up
	ask(http.MethodDelete, instances+"/gateways/shop", "", 204, nil)
	ask(http.MethodDelete, instances+"/gateways/shop", "", 404, nil)
	ask(http.MethodDelete, instances+"/gateways/%00", "", 404, nil)
	ask(http.MethodDelete, instances+"/clusters/"+cluster.ID, "", 204, nil)
}

// If this fails, what cannot work is stored, or a body of any size.
func TestInstancesRefused(t *testing.T) {
	t.Parallel()
	srv := empty.Serve(t)
	whole := map[string]any{"name": "n", "vpc_id": "v", "subnet_id": "s", "addresses": []string{"10.0.0.9"}}
	many := func(n int, v any) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = v
		}
		return list
	}
	for _, c := range []struct {
		key   string
		value any
		says  string
	}{
		{"id", "a b", "id is"},
		{"id", strings.Repeat("a", 65), "id is"},
		{"name", "", "name is"},
		{"name", " n", "name is"},
		{"name", "a\x00b", "name is"},
		{"vpc_id", "", "vpc_id is needed"},
		{"subnet_id", "/", "subnet_id is needed"},
		{"addresses", []string{}, "addresses has 0 entries"},
		{"addresses", many(65, "10.0.0.9"), "addresses has 65 entries"},
		{"addresses", many(2, "10.0.0.9"), "each of addresses"},
		{"addresses", []string{"0.0.0.0"}, "each of addresses"},
		{"addresses", []string{"nowhere"}, "not valid"},
		{"ports", []int{0}, "each of ports"},
		{"ports", []int{80, 80}, "each of ports"},
		{"ports", []int{70000}, "an integer in range"},
		{"ports", many(201, 80), "ports has 201 entries"},
		{"service_name", strings.Repeat("a", 17), "service_name is"},
		{"service_name", "a.b", "service_name is"},
	} {
		body := map[string]any{c.key: c.value}
		for k, v := range whole {
			if _, own := body[k]; !own {
				body[k] = v
			}
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		status, answer := familytest.Ask(t, srv.Client(), srv.URL, familytest.Owner, http.MethodPost, instances+"/gateways", string(text))
		if status != http.StatusBadRequest || !strings.Contains(string(answer), c.says) {
			t.Errorf("%s %v: %d %s, want 400 with %q", c.key, c.value, status, answer, c.says)
		}
	}
	status, answer := familytest.Ask(t, srv.Client(), srv.URL, familytest.Owner, http.MethodPost, instances+"/clusters",
		`{"name":"n","vpc_id":"v","subnet_id":"s","addresses":["10.0.0.9"],"service_name":"x"}`)
	if status != http.StatusBadRequest {
		t.Errorf("a cluster with a service name: %d %s", status, answer)
	}
	status, answer = familytest.Ask(t, srv.Client(), srv.URL, familytest.Owner, http.MethodGet, instances+"/clusters?limit=many", "")
	if status != http.StatusBadRequest {
		t.Errorf("a limit that is no number: %d %s", status, answer)
	}
}

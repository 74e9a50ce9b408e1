package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	base       = "/v1/" + project
	oneBase    = base + "/vpc-endpoint-services/" + service1
	actionCall = "POST " + oneBase + "/connections/action"
)

func connectionBody(id, status string) string {
	return `{"connections":[{"id":"` + id + `","marker_id":16777341,"domain_id":"` + account + `","status":"` + status + `"}]}`
}

// bodies returns what was sent to a call.
func (v *vendor) bodies(call string) []string {
	var list []string
	for _, s := range v.log {
		if s.call == call {
			list = append(list, s.body)
		}
	}
	return list
}

// The API takes one endpoint in a request. If one of several fails, the others
// must be decided all the same, and the failure must not drown.
func TestDecideSeveral(t *testing.T) {
	v := newVendor(t)
	v.on(actionCall, 200, connectionBody(ep1, "accepted"))
	v.refuse(actionCall, 400, "EndPoint.2013", "The endpoint does not belong to the endpoint service.")
	v.on(actionCall, 200, connectionBody(ep3, "accepted"))
	r := with(t, v).run("connection", "accept", service1, ep1, ep2, ep3).want(t, ExitFailure)
	want := "sallyport: connection accept: " + ep2 + ": EndPoint.2013: The endpoint does not belong to the endpoint service. (request id r-1)\n" +
		"hint: what is connected or waits is shown by: sallyport connection list " + service1 + " --all\n" +
		"sallyport: connection accept: 1 of 3 failed, 2 done\n"
	if diff := cmp.Diff(want, r.errors); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	wantBodies := []string{
		`{"action":"receive","endpoints":["` + ep1 + `"]}`, `{"action":"receive","endpoints":["` + ep2 + `"]}`, `{"action":"receive","endpoints":["` + ep3 + `"]}`,
	}
	if diff := cmp.Diff(wantBodies, v.bodies(actionCall)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	var ids []string
	for _, c := range r.decoded(t)["connections"].([]any) {
		ids = append(ids, c.(map[string]any)["id"].(string))
	}
	if diff := cmp.Diff([]string{ep1, ep3}, ids); diff != "" {
		t.Errorf("what was accepted (-want +got):\n%s", diff)
	}
}

// If this fails, a cut that did not happen looks like one that did.
func TestDecisionIsJudged(t *testing.T) {
	tests := []struct {
		verb, status string
		code         int
		says         string
	}{
		{"accept", "accepted", ExitOK, ""},
		{"accept", "creating", ExitOK, "is accepted, but the network has not confirmed it yet"},
		{"accept", "failed", ExitFailure, "the server took the decision, but the connection is failed"},
		{"accept", "rejected", ExitFailure, "but the connection is rejected"},
		{"reject", "rejected", ExitOK, ""},
		{"reject", "accepted", ExitFailure, "but the connection is accepted"},
	}
	for _, tt := range tests {
		v := newVendor(t)
		v.on(actionCall, 200, connectionBody(ep1, tt.status))
		r := with(t, v).run("connection", tt.verb, service1, ep1).want(t, tt.code).says(t, tt.says)
		if got := len(r.decoded(t)["connections"].([]any)); got != 1 {
			t.Errorf("%s, %s: %d connections are printed, want 1", tt.verb, tt.status, got)
		}
	}
	v := newVendor(t)
	v.on(actionCall, 200, connectionBody(ep2, "accepted"))
	with(t, v).run("connection", "accept", service1, ep1).want(t, ExitFailure).says(t, "it says nothing about endpoint "+ep1)
}

// Once somebody breaks off, nothing more is decided, and the rest is not called done.
func TestInterrupted(t *testing.T) {
	v := newVendor(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := with(t, v).runContext(ctx, "connection", "accept", service1, ep1, ep2).want(t, ExitFailure)
	r.says(t, "interrupted: 2 not tried, 0 failed of 2")
	if len(v.calls()) > 0 {
		t.Errorf("calls = %q", v.calls())
	}
}

// If this fails, a script that runs twice fails the second time, or one that
// deletes the wrong thing does not.
func TestDelete(t *testing.T) {
	v := newVendor(t)
	v.on("DELETE "+base+"/vpc-endpoints/"+ep1, 204, "")
	v.refuse("DELETE "+base+"/vpc-endpoints/"+ep2, 404, "EndPoint.2006", "The requested endpoint does not exist.")
	v.refuse("DELETE "+base+"/vpc-endpoints/"+ep3, 403, "EndPoint.0004", "no")
	r := with(t, v).run("endpoint", "delete", "--ignore-missing", ep2, ep1).want(t, ExitOK).says(t, ep2+" does not exist")
	if diff := cmp.Diff(map[string]any{"deleted": []any{ep1}, "missing": []any{ep2}}, r.decoded(t)); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	with(t, v).run("endpoint", "delete", ep2).want(t, ExitFailure).says(t, "EndPoint.2006")
	r = with(t, v).run("endpoint", "delete", "--ignore-missing", ep3, ep1, "-o", "table").want(t, ExitFailure).says(t, "1 of 2 failed, 1 done")
	if r.out != "deleted "+ep1+"\n" {
		t.Errorf("stdout = %q", r.out)
	}
	v.on("DELETE "+oneBase, 204, "")
	if got := with(t, v).run("service", "delete", service1, "-o", "id").want(t, ExitOK).out; got != service1+"\n" {
		t.Errorf("stdout = %q", got)
	}
}

// The bodies are what the API documents; a key that is not given must not be sent,
// or an update would change what nobody asked to change.
func TestBodies(t *testing.T) {
	tests := []struct {
		name string
		args []string
		call string
		want string
	}{
		{
			"least of a service",
			[]string{"service", "create", "--vpc", "v", "--port-id", "p", "--port", "80:8080"},
			"POST " + base + "/vpc-endpoint-services",
			`{"vpc_id":"v","port_id":"p","server_type":"VM","ports":[{"client_port":80,"server_port":8080,"protocol":"TCP"}]}`,
		},
		{
			"all of a service",
			[]string{
				"service", "create", "--vpc", "v", "--port-id", "p", "--port", "80:8080,443", "--port", "22:2222/tcp", "--port", "443:53/Udp", "--name", "web", "--server-type", "lb",
				"--approval=false", "--tcp-proxy", "proxy_open", "--description", "d", "--tag", "a=b=c", "--tag", "e",
			},
			"POST " + base + "/vpc-endpoint-services",
			`{"service_name":"web","vpc_id":"v","port_id":"p","server_type":"LB","approval_enabled":false,"tcp_proxy":"proxy_open","description":"d",
			"ports":[{"client_port":80,"server_port":8080,"protocol":"TCP"},{"client_port":443,"server_port":443,"protocol":"TCP"},{"client_port":22,"server_port":2222,"protocol":"TCP"},{"client_port":443,"server_port":53,"protocol":"UDP"}],
			"tags":[{"key":"a","value":"b=c"},{"key":"e","value":""}]}`,
		},
		{"approval on", []string{"service", "update", service1, "--approval"}, "PUT " + oneBase, `{"approval_enabled":true}`},
		{"description away", []string{"service", "update", service1, "--description", ""}, "PUT " + oneBase, `{"description":""}`},
		{"name by update", []string{"service", "update", service1, "--name", "n"}, "PUT " + oneBase, `{"service_name":"n"}`},
		{"rename", []string{"service", "rename", service1, "shop"}, "PUT " + oneBase + "/name", `{"endpoint_service_name":"shop"}`},
		{
			"least of an endpoint",
			[]string{"endpoint", "create", "--service", service1, "--vpc", "v", "--subnet", "s"},
			"POST " + base + "/vpc-endpoints",
			`{"endpoint_service_id":"` + service1 + `","vpc_id":"v","subnet_id":"s","enable_dns":false,"enable_whitelist":false}`,
		},
		{
			"all of an endpoint",
			[]string{
				"endpoint", "create", "--service", service1, "--vpc", "v", "--subnet", "s", "--ip", "10.0.0.1", "--dns", "--whitelist", "10.0.0.0/24,10.1.0.1",
				"--route-table", "r", "--description", "d", "--tag", "k=v",
			},
			"POST " + base + "/vpc-endpoints",
			`{"endpoint_service_id":"` + service1 + `","vpc_id":"v","subnet_id":"s","port_ip":"10.0.0.1","enable_dns":true,"enable_whitelist":true,
			"whitelist":["10.0.0.0/24","10.1.0.1"],"routetables":["r"],"description":"d","tags":[{"key":"k","value":"v"}]}`,
		},
		{
			"permissions of one type",
			[]string{"permission", "add", service1, account, "iam:domain::x", "*"},
			"POST " + oneBase + "/permissions/action",
			`{"action":"add","permissions":["iam:domain::` + account + `","iam:domain::x","*"],"permission_type":"domainId"}`,
		},
		{
			"permission by path",
			[]string{"permission", "remove", service1, "organizations:orgPath::o/r/*"},
			"POST " + oneBase + "/permissions/action",
			`{"action":"remove","permissions":["organizations:orgPath::o/r/*"],"permission_type":"orgPath"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t)
			v.on(tt.call, 200, `{"id":"x","status":"creating","permissions":["b","a"],"permission_type":"domainId"}`)
			v.on("GET "+oneBase, 200, oneService)
			with(t, v).run(tt.args...).want(t, ExitOK)
			if diff := cmp.Diff(canonical(t, tt.want), canonical(t, v.log[0].body)); diff != "" || v.log[0].call != tt.call {
				t.Errorf("%s, want %s; body (-want +got):\n%s", v.log[0].call, tt.call, diff)
			}
			if got := v.log[0].header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q", got)
			}
		})
	}
}

// A request of permissions has one type, so two types are two requests; what is
// printed is the whitelist after both.
func TestPermissionTypes(t *testing.T) {
	v := newVendor(t)
	call := "POST " + oneBase + "/permissions/action"
	v.on(call, 200, `{"permissions":["iam:domain::a"],"permission_type":"domainId"}`)
	v.on(call, 200, `{"permissions":["organizations:orgPath::o","iam:domain::a"],"permission_type":"orgPath"}`)
	r := with(t, v).run("permission", "add", service1, "organizations:orgPath::o", "a", "-o", "table").want(t, ExitOK)
	if want := "PERMISSION\norganizations:orgPath::o\niam:domain::a\n"; r.out != want {
		t.Errorf("stdout = %q, want %q", r.out, want)
	}
	if got := len(v.bodies(call)); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

func endpointJSON(status, more string) string {
	return `{"id":"` + ep1 + `","endpoint_service_id":"` + service1 + `","status":"` + status + `"` + more + `}`
}

// If this fails, --wait ends too early, never, or with the wrong code; or the id of
// what was created is lost.
func TestWait(t *testing.T) {
	create := []string{"endpoint", "create", "--service", service1, "--vpc", "v", "--subnet", "s", "--wait"}
	postCall, getCall := "POST "+base+"/vpc-endpoints", "GET "+base+"/vpc-endpoints/"+ep1
	tests := []struct {
		name   string
		args   []string
		states []string // of the POST, then of each GET
		code   int
		slept  int
		says   []string
	}{
		{"comes up", create, []string{"creating", "creating", "accepted"}, ExitOK, 2, []string{ep1 + " is creating\n" + ep1 + " is accepted\n"}},
		{"waits for the owner", create, []string{"pendingAcceptance"}, ExitOK, 0, []string{"the owner of the service decides, by: sallyport connection accept " + service1 + " " + ep1}},
		{"fails", create, []string{"creating", "failed"}, ExitFailure, 1, []string{"was created and has failed: EndPoint.2022 no address"}},
		{"does not come up", append(create, "--wait-timeout", "2s"), []string{"creating", "creating"}, ExitFailure, 2, []string{"is still creating after 2s", "hint: it was created"}},
		{"without wait", create[:len(create)-1], []string{"creating"}, ExitOK, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t)
			for i, s := range tt.states {
				call, more := getCall, ""
				if i == 0 {
					call = postCall
				}
				if s == "failed" {
					more = `,"error":[{"error_code":"EndPoint.2022","error_message":"no address"}]`
				}
				v.on(call, 200, endpointJSON(s, more))
			}
			r := with(t, v)
			got := r.run(tt.args...).want(t, tt.code).says(t, tt.says...)
			if id := got.decoded(t)["id"]; id != ep1 {
				t.Errorf("the id is not printed: %s", got.out)
			}
			if len(r.slept) != tt.slept {
				t.Errorf("%d pauses, want %d", len(r.slept), tt.slept)
			}
			for _, d := range r.slept {
				if d != pollEvery {
					t.Errorf("a pause of %v, want %v", d, pollEvery)
				}
			}
		})
	}
	v := newVendor(t)
	v.on("POST "+base+"/vpc-endpoint-services", 200, strings.Replace(oneService, "available", "creating", 1))
	v.on("GET "+oneBase, 200, oneService)
	r := with(t, v).run("service", "create", "--vpc", "v", "--port-id", "p", "--port", "80", "--wait").want(t, ExitOK)
	if r.decoded(t)["status"] != "available" {
		t.Errorf("the service is printed as it was before the wait: %s", r.out)
	}
}

// Somebody who breaks a wait off still has the id of what was created.
func TestWaitInterrupted(t *testing.T) {
	v := newVendor(t)
	v.on("POST "+base+"/vpc-endpoints", 200, endpointJSON("creating", ""))
	r := with(t, v)
	d := r.deps(nil, nil)
	d.Sleep = func(context.Context, time.Duration) error { return context.Canceled }
	var out, errors strings.Builder
	d.Stdout, d.Stderr = &out, &errors
	code := Run(t.Context(), []string{"endpoint", "create", "--service", service1, "--vpc", "v", "--wait", "-o", "id"}, d)
	if code != ExitFailure || out.String() != ep1+"\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), errors.String())
	}
}

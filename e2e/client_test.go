package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// caller sends plain HTTP requests on behalf of a user, signed or with a token.
type caller struct {
	t       *testing.T
	url     string
	user    user
	token   string // "" signs with the access key
	now     func() time.Time
	http    *http.Client
	project string
	subnet  func(n byte) string // the n-th address of the consumer's subnet
}

// as returns a caller that signs its requests.
func (p *product) as(t *testing.T, u user) *caller {
	t.Helper()
	return p.call(t, p.url, u)
}

// call returns a caller of a server at a URL.
func (w *world) call(t *testing.T, url string, u user) *caller {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(tr.CloseIdleConnections)
	return &caller{
		t: t, url: url, user: u, now: w.clock, project: u.project, subnet: w.address,
		http: &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // as the vendor's clients
		}},
	}
}

// login returns a caller that sends a token of the user, got by password.
func (c *caller) login() *caller {
	c.t.Helper()
	a := c.send(http.MethodPost, "/v3/auth/tokens", loginBody(c.user, true), nil)
	if a.status != http.StatusCreated || a.header.Get("X-Subject-Token") == "" {
		c.t.Fatalf("login of %s: %s", c.user.name, a)
	}
	out := *c
	out.token = a.header.Get("X-Subject-Token")
	return &out
}

// loginBody asks for a token for the user's project, or for its account.
func loginBody(u user, project bool) map[string]any {
	scope := map[string]any{"domain": map[string]any{"name": u.domain}}
	if project {
		scope = map[string]any{"project": map[string]any{"name": region, "domain": map[string]any{"name": u.domain}}}
	}
	return map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": u.name, "password": u.password, "domain": map[string]any{"name": u.domain},
		}}},
		"scope": scope,
	}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
}

// code returns the error code of an answer of the VPCEP family, and fails where
// the two shapes of an error are not both there and equal.
func (a answer) code(t *testing.T) string {
	t.Helper()
	var b struct {
		Code  string `json:"error_code"`
		Msg   string `json:"error_msg"`
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if b.Code == "" || b.Msg == "" || b.Code != b.Error.Code || b.Msg != b.Error.Message {
		t.Fatalf("the error has not both shapes: %s", a)
	}
	return b.Code
}

// send sends one request to a path of the server.
func (c *caller) send(method, path string, body any, header http.Header) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, header)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is send for a server that may be gone. A body that is a []byte goes out as
// it is; anything else as JSON.
func (c *caller) try(method, path string, body any, header http.Header) (answer, error) {
	req, err := c.request(method, path, body, header)
	if err != nil {
		return answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, text}, err
}

// request makes a request with the caller's credentials.
func (c *caller) request(method, path string, body any, header http.Header) (*http.Request, error) {
	payload, raw := body.([]byte)
	if body != nil && !raw {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, header)
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
		return req, nil
	}
	return req, aksk.Sign(req, payload, c.user.access, c.user.secret, c.now())
}

// do sends a request below the caller's project, wants the status, and decodes
// the answer into out unless that is nil.
func (c *caller) do(method, path string, body any, want int, out any) answer {
	c.t.Helper()
	a := c.send(method, "/v1/"+c.project+"/"+path, body, nil)
	if a.status != want {
		c.t.Fatalf("%s %s: %s, want %d", method, path, a, want)
	}
	if a.header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s %s: no X-Request-Id", method, path)
	}
	if out != nil {
		a.into(c.t, out)
	}
	return a
}

// refused sends a request below the project and wants a refusal with this status
// and this code.
func (c *caller) refused(method, path string, body any, status int, code string) {
	c.t.Helper()
	a := c.do(method, path, body, status, nil)
	if got := a.code(c.t); got != code {
		c.t.Fatalf("%s %s: %s, want code %s", method, path, a, code)
	}
}

// service is what a test wants of a new service.
type service struct {
	Name     string `json:"service_name,omitempty"`
	PortID   string `json:"port_id"`
	VPC      string `json:"vpc_id"`
	Server   string `json:"server_type"`
	Approval bool   `json:"approval_enabled"`
	Proxy    string `json:"tcp_proxy,omitempty"`
	Ports    []port `json:"ports"`
}

type port struct {
	Client   int    `json:"client_port"`
	Server   int    `json:"server_port"`
	Protocol string `json:"protocol,omitempty"`
}

// endpoint is what a test wants of a new endpoint, and reads of one.
type endpoint struct {
	ID      string `json:"id,omitempty"`
	Service string `json:"endpoint_service_id"`
	VPC     string `json:"vpc_id"`
	Subnet  string `json:"subnet_id"`
	PortIP  string `json:"port_ip,omitempty"`

	Status string  `json:"status,omitempty"`
	IP     string  `json:"ip,omitempty"`
	Marker int32   `json:"marker_id,omitempty"`
	Error  []fault `json:"error,omitempty"`
}

// fault is an entry in the error list of a resource.
type fault struct {
	Code    string `json:"error_code"`
	Message string `json:"error_message"`
}

// to returns an endpoint in the consumer's subnet.
func to(serviceID string) endpoint {
	return endpoint{Service: serviceID, VPC: consumerVPC, Subnet: consumerSubnet}
}

// forwarding returns a service that forwards one port to a port of the backend.
func forwarding(client, server int) service {
	return service{
		PortID: backendPort, VPC: providerVPC, Server: "VM", Approval: true,
		Ports: []port{{Client: client, Server: server, Protocol: "TCP"}},
	}
}

// createService makes a service and returns its id.
func (c *caller) createService(s service) string {
	c.t.Helper()
	var out struct{ ID, Status string }
	c.do(http.MethodPost, "vpc-endpoint-services", s, 200, &out)
	if out.Status != "available" {
		c.t.Fatalf("service %s is %s, want available", out.ID, out.Status)
	}
	return out.ID
}

// allow puts an account on the whitelist of a service.
func (c *caller) allow(serviceID, domain string) {
	c.t.Helper()
	c.do(http.MethodPost, "vpc-endpoint-services/"+serviceID+"/permissions/action",
		map[string]any{"action": "add", "permissions": []string{"iam:domain::" + domain}}, 200, nil)
}

// createEndpoint makes an endpoint.
func (c *caller) createEndpoint(e endpoint) endpoint {
	c.t.Helper()
	var out endpoint
	c.do(http.MethodPost, "vpc-endpoints", e, 200, &out)
	return out
}

// endpoint reads an endpoint.
func (c *caller) endpoint(id string) endpoint {
	c.t.Helper()
	var out endpoint
	c.do(http.MethodGet, "vpc-endpoints/"+id, nil, 200, &out)
	return out
}

// gone reports whether an endpoint is gone.
func (c *caller) gone(id string) bool {
	c.t.Helper()
	return c.send(http.MethodGet, "/v1/"+c.project+"/vpc-endpoints/"+id, nil, nil).status == http.StatusNotFound
}

// decision is the body of an accept or a reject.
func decision(action string, ids ...string) map[string]any {
	return map[string]any{"action": action, "endpoints": ids}
}

// decide accepts or rejects a connection and returns it. Where the machine is too
// slow to confirm in time, it does as the API says: it repeats the call.
func (c *caller) decide(serviceID, endpointID, action string) endpoint {
	c.t.Helper()
	path := "/v1/" + c.project + "/vpc-endpoint-services/" + serviceID + "/connections/action"
	var got endpoint
	until(c.t, action+" is confirmed", func() bool {
		a := c.send(http.MethodPost, path, decision(action, endpointID), nil)
		if a.status == http.StatusGatewayTimeout && a.code(c.t) == "EndPoint.0013" {
			return false
		}
		if a.status != 200 {
			c.t.Fatalf("%s %s: %s", action, endpointID, a)
		}
		var out struct{ Connections []endpoint }
		a.into(c.t, &out)
		if len(out.Connections) != 1 || out.Connections[0].ID != endpointID {
			c.t.Fatalf("%s %s answers %+v", action, endpointID, out)
		}
		got = out.Connections[0]
		return got.Status != "creating"
	})
	return got
}

// accept accepts a connection and wants it open.
func (c *caller) accept(serviceID, endpointID string) {
	c.t.Helper()
	if got := c.decide(serviceID, endpointID, "receive"); got.Status != "accepted" {
		c.t.Fatalf("accept answers %+v, want accepted", got)
	}
}

// reject rejects a connection and wants it rejected.
func (c *caller) reject(serviceID, endpointID string) {
	c.t.Helper()
	if got := c.decide(serviceID, endpointID, "reject"); got.Status != "rejected" {
		c.t.Fatalf("reject answers %+v, want rejected", got)
	}
}

// deleteEndpoint deletes an endpoint.
func (c *caller) deleteEndpoint(id string) {
	c.t.Helper()
	c.do(http.MethodDelete, "vpc-endpoints/"+id, nil, 204, nil)
}

// deleteService deletes a service.
func (c *caller) deleteService(id string) {
	c.t.Helper()
	c.do(http.MethodDelete, "vpc-endpoint-services/"+id, nil, 204, nil)
}

// enforcement is what the native API says of the data plane.
type enforcement struct {
	State      string `json:"state"`
	FlowsReset int    `json:"flows_reset"`
}

// enforced asks the native API about an endpoint.
func (c *caller) enforced(id string) enforcement {
	c.t.Helper()
	a := c.send(http.MethodGet, "/sallyport/v1/"+c.project+"/endpoints/"+id, nil, nil)
	if a.status != 200 {
		c.t.Fatalf("enforcement of %s: %s", id, a)
	}
	var out enforcement
	a.into(c.t, &out)
	return out
}

package lab_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// caller sends requests to the server on behalf of a user.
type caller struct {
	t      *testing.T
	server *server
	user   user
	http   *http.Client
}

// as returns a caller that signs its requests.
func (c *server) as(t *testing.T, u user) *caller {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(tr.CloseIdleConnections)
	return &caller{t: t, server: c, user: u, http: &http.Client{Transport: tr, Timeout: patience}}
}

// answer is what came back, and when.
type answer struct {
	status int
	body   []byte
	at     time.Time
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// try sends one request to a path of the server, which may be gone.
func (c *caller) try(method, path string, body any) (answer, error) {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequest(method, c.server.url+path, bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := aksk.Sign(req, payload, c.user.access, c.user.secret, time.Now()); err != nil {
		return answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, text, time.Now()}, err
}

// do sends a request below the caller's project, wants the status, and decodes the
// answer into out unless that is nil. Where the machine is too slow to confirm in
// time it does as the API says: it repeats the call.
func (c *caller) do(method, path string, body any, want int, out any) answer {
	c.t.Helper()
	var a answer
	until(c.t, method+" "+path+" is confirmed", func() bool {
		var err error
		if a, err = c.try(method, "/v1/"+c.user.project+"/"+path, body); err != nil {
			c.t.Fatalf("%s %s: %v", method, path, err)
		}
		return a.status != http.StatusGatewayTimeout
	})
	if a.status != want {
		c.t.Fatalf("%s %s: %s, want %d", method, path, a, want)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			c.t.Fatalf("%s: %v", a, err)
		}
	}
	return a
}

// mapping is one port of a service.
type mapping struct {
	Client   int    `json:"client_port"`
	Server   int    `json:"server_port"`
	Protocol string `json:"protocol"`
}

// service is what a test wants of a new service.
type service struct {
	Port     string    `json:"port_id"`
	VPC      string    `json:"vpc_id"`
	Server   string    `json:"server_type"`
	Approval bool      `json:"approval_enabled"`
	Proxy    string    `json:"tcp_proxy,omitempty"`
	Ports    []mapping `json:"ports"`
}

// createService makes a service of the provider that everybody may ask for, with
// approval, and returns its id.
func (c *caller) createService(port, proxy string, ports ...mapping) string {
	c.t.Helper()
	var out struct{ ID, Status string }
	c.do(http.MethodPost, "vpc-endpoint-services",
		service{Port: port, VPC: vpcP, Server: "VM", Approval: true, Proxy: proxy, Ports: ports}, 200, &out)
	c.do(http.MethodPost, "vpc-endpoint-services/"+out.ID+"/permissions/action", map[string]any{
		"action": "add", "permissions": []string{"iam:domain::" + anna.domain, "iam:domain::" + bert.domain},
	}, 200, nil)
	return out.ID
}

// endpoint is what a test wants of a new endpoint, and reads of one.
type endpoint struct {
	ID      string `json:"id,omitempty"`
	Service string `json:"endpoint_service_id"`
	VPC     string `json:"vpc_id"`
	Subnet  string `json:"subnet_id"`
	PortIP  string `json:"port_ip,omitempty"`
	DNS     bool   `json:"enable_dns,omitempty"`

	Status string   `json:"status,omitempty"`
	IP     string   `json:"ip,omitempty"`
	Names  []string `json:"dns_names,omitempty"`
	Error  []struct {
		Message string `json:"error_message"`
	} `json:"error,omitempty"`
}

// of returns an endpoint to a service in one of a consumer's subnets.
func of(service, subnet, ip string) endpoint {
	vpc := vpcA
	if subnet == subnetB || subnet == subnetB6 {
		vpc = vpcB
	}
	return endpoint{Service: service, VPC: vpc, Subnet: subnet, PortIP: ip}
}

// create makes an endpoint. The address of one that was deleted just now may still
// be let go of.
func (c *caller) create(e endpoint) (id string) {
	c.t.Helper()
	var a answer
	until(c.t, "the endpoint is created", func() bool {
		var err error
		if a, err = c.try(http.MethodPost, "/v1/"+c.user.project+"/vpc-endpoints", e); err != nil {
			c.t.Fatal(err)
		}
		return a.status != http.StatusConflict && !bytes.Contains(a.body, []byte("EndPoint.2042"))
	})
	if a.status != 200 {
		c.t.Fatalf("create %+v: %s", e, a)
	}
	var out endpoint
	if err := json.Unmarshal(a.body, &out); err != nil {
		c.t.Fatal(err)
	}
	return out.ID
}

// read returns an endpoint.
func (c *caller) read(id string) endpoint {
	c.t.Helper()
	var out endpoint
	c.do(http.MethodGet, "vpc-endpoints/"+id, nil, 200, &out)
	return out
}

// decide accepts ("receive") or rejects an endpoint and returns when it was
// answered that it is so.
func (c *caller) decide(service, id, action string) time.Time {
	c.t.Helper()
	want := map[string]string{"receive": "accepted", "reject": "rejected"}[action]
	var got endpoint
	var a answer
	until(c.t, action+" is confirmed", func() bool {
		var out struct{ Connections []endpoint }
		a = c.do(http.MethodPost, "vpc-endpoint-services/"+service+"/connections/action",
			map[string]any{"action": action, "endpoints": []string{id}}, 200, &out)
		if len(out.Connections) != 1 || out.Connections[0].ID != id {
			c.t.Fatalf("%s %s: %s", action, id, a)
		}
		got = out.Connections[0]
		return got.Status != "creating"
	})
	if got.Status != want {
		c.t.Fatalf("%s %s: %s, want %s", action, id, a, want)
	}
	return a.at
}

// path is how one mapping is carried, by the native API.
type path struct {
	Protocol string `json:"protocol"`
	Client   int    `json:"client_port"`
	Engine   string `json:"engine"`
	Reason   string `json:"reason"`
}

// engineOf returns the engine of a mapping.
func (c *caller) engineOf(id, protocol string, port int) path {
	c.t.Helper()
	a, err := c.try(http.MethodGet, "/sallyport/v1/"+c.user.project+"/endpoints/"+id, nil)
	if err != nil || a.status != 200 {
		c.t.Fatalf("enforcement of %s: %s, %v", id, a, err)
	}
	var out struct {
		State string `json:"state"`
		Paths []path `json:"paths"`
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		c.t.Fatal(err)
	}
	i := slices.IndexFunc(out.Paths, func(p path) bool { return p.Protocol == protocol && p.Client == port })
	if i < 0 {
		c.t.Fatalf("the paths of %s are %s, without %s port %d", id, a, protocol, port)
	}
	return out.Paths[i]
}

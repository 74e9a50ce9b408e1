package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// The managed resources of the worlds that have some. Both belong to the
// provider, and lead to backends that the test plays.
const (
	clusterID = "4f3deec3-efa8-4598-bf91-560aad1377a3"
	gatewayID = "eddc4d25480b4cd6b512f270a1b8b341"
)

// managed gives a world a cluster and a gateway whose nodes answer on these
// ports. It comes after what else the file's further sections get.
func (w *world) managed(clusterPort, gatewayPort int) {
	if w.Extra == "" {
		w.further()
	}
	w.Extra += fmt.Sprintf(`
clusters:
  - {id: %s, name: search, project: %s, vpc: %s, subnet: %s, addresses: [127.0.0.1], port: %d}
gateways:
  - {id: %s, name: shop, project: %s, vpc: %s, subnet: %s, addresses: [127.0.0.1], ports: [%d]}`,
		clusterID, providerID, providerVPC, providerSubnet, clusterPort,
		gatewayID, providerID, providerVPC, providerSubnet, gatewayPort)
}

// clusterPath and gatewayPath are the paths of the two doors, for the caller's
// project.
func (c *caller) clusterPath(id, rest string) string {
	return "/v1.0/" + c.project + "/clusters/" + id + rest
}

func (c *caller) gatewayPath(rest string) string {
	return "/v2/" + c.project + "/apigw/instances/" + gatewayID + rest
}

// nativePath is a path of the product's own API, for the caller's project.
func (c *caller) nativePath(rest string) string { return "/sallyport/v1/" + c.project + rest }

// through sends a request to a path of any family, wants the status, and decodes
// the answer into out unless that is nil.
func (c *caller) through(method, path string, body any, want int, out any) {
	c.t.Helper()
	a := c.send(method, path, body, nil)
	if a.status != want {
		c.t.Fatalf("%s %s: %s, want %d", method, path, a, want)
	}
	if a.header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s %s: no X-Request-Id", method, path)
	}
	if out != nil {
		a.into(c.t, out)
	}
}

// instance is a cluster or a gateway as the native API shows it.
type instance struct {
	ID       string `json:"id"`
	Service  string `json:"service_id"`
	Name     string `json:"service_name"`
	Endpoint string `json:"endpoint_id"`
}

// instance reads a cluster ("clusters") or a gateway ("gateways").
func (c *caller) instance(plural, id string) instance {
	c.t.Helper()
	var out instance
	c.through(http.MethodGet, c.nativePath("/"+plural+"/"+id), nil, 200, &out)
	return out
}

// openCluster opens a cluster over CSS and returns it.
func (c *caller) openCluster(id string) instance {
	c.t.Helper()
	c.through(http.MethodPost, c.clusterPath(id, "/vpcepservice/open"), map[string]any{}, 200, nil)
	return c.instance("clusters", id)
}

// decideByCluster and decideByGateway send a decision through the two doors.
func (c *caller) decideByCluster(action string, endpoints ...string) answer {
	c.t.Helper()
	return c.send(http.MethodPost, c.clusterPath(clusterID, "/vpcepservice/connections"),
		map[string]any{"action": action, "endpoint_id_list": endpoints}, nil)
}

func (c *caller) decideByGateway(action string, endpoints ...string) answer {
	c.t.Helper()
	return c.send(http.MethodPost, c.gatewayPath("/vpc-endpoint/connections/action"), decision(action, endpoints...), nil)
}

// connectionAt is one connection as a list shows it.
type connectionAt struct {
	ID     string `json:"id"`
	Marker int32  `json:"marker_id"`
	Status string `json:"status"`
	Domain string `json:"domain_id"`
}

// byGateway, byCluster and byService list the connections through each door.
func (c *caller) byGateway() []connectionAt {
	c.t.Helper()
	var out struct{ Connections []connectionAt }
	c.through(http.MethodGet, c.gatewayPath("/vpc-endpoint/connections"), nil, 200, &out)
	return out.Connections
}

func (c *caller) byCluster() []connectionAt {
	c.t.Helper()
	var out struct{ Connections []connectionAt }
	c.through(http.MethodGet, c.clusterPath(clusterID, "/vpcepservice/connections"), nil, 200, &out)
	return out.Connections
}

func (c *caller) byService(id string) []connectionAt {
	c.t.Helper()
	var out struct{ Connections []connectionAt }
	c.do(http.MethodGet, "vpc-endpoint-services/"+id+"/connections", nil, 200, &out)
	return out.Connections
}

// audited is an entry of the audit log.
type audited struct {
	Family, Operation, Action, Outcome, Reason string
	ObjectID                                   string `json:"object_id"`
	From, To                                   string
}

// decisions returns the decisions about an endpoint in the audit log, in order,
// whatever became of them.
func (c *caller) decisions(endpoint string) []audited {
	c.t.Helper()
	var out []audited
	since := int64(0)
	for {
		var page struct {
			Records []audited
			Next    int64
		}
		c.through(http.MethodGet, c.nativePath("/audit?limit=1000&since="+strconv.FormatInt(since, 10)), nil, 200, &page)
		for _, r := range page.Records {
			if r.ObjectID == endpoint && (r.Action == "accept" || r.Action == "reject") {
				out = append(out, r)
			}
		}
		if page.Next == since {
			return out
		}
		since = page.Next
	}
}

// port joins an address and a port.
func atPort(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

// connected makes an endpoint of the consumer to a managed service whose
// whitelist has the consumer.
func (c *caller) connected(t *testing.T, service string) endpoint {
	t.Helper()
	e := c.createEndpoint(to(service))
	if e.Status != "pendingAcceptance" {
		t.Fatalf("a new endpoint is %s, want pendingAcceptance", e.Status)
	}
	return e
}

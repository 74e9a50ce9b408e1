package e2e_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	vpcep "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1/model"
)

// party is one side of the story, whatever it speaks through: the vendor's SDK
// or plain HTTP with a token.
type party interface {
	createService(s service) string
	allow(serviceID, domain string)
	createEndpoint(e endpoint) endpoint
	endpoint(id string) endpoint
	gone(id string) bool
	decide(serviceID, endpointID, action string) endpoint
	deleteEndpoint(id string)
	deleteService(id string)
}

var (
	_ party = (*caller)(nil)
	_ party = (*sdk)(nil)
)

// sdk is a party that uses the vendor's SDK as a program would.
type sdk struct {
	t *testing.T
	c *vpcep.VpcepClient
}

// seen notes the paths of the requests that go through it.
type seen struct {
	http.RoundTripper
	mu    sync.Mutex
	paths []string
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.paths = append(s.paths, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	return s.RoundTripper.RoundTrip(r)
}

// sdk returns the SDK with a user's access key. Without the id of the project
// the SDK asks for it itself.
func (p *product) sdk(t *testing.T, u user, project string) *sdk {
	t.Helper()
	builder := basic.NewCredentialsBuilder().WithAk(u.access).WithSk(u.secret).WithIamEndpointOverride(p.url)
	if project != "" {
		builder = builder.WithProjectId(project)
	}
	credentials, err := builder.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	log := &seen{RoundTripper: tr}
	hc, err := vpcep.VpcepClientBuilder().WithRegion(sdkregion.NewRegion(region, p.url)).WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithTimeout(patience).WithHttpRoundTripper(log)).SafeBuild()
	if err != nil {
		t.Fatalf("make the SDK's client: %v", err)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if asked := strings.Join(log.paths, "\n"); (asked == "GET /v3/projects?name="+region) != (project == "") {
		t.Errorf("for its project the SDK asked %q", asked)
	}
	return &sdk{t: t, c: vpcep.NewVpcepClient(hc)}
}

func (s *sdk) createService(want service) string {
	s.t.Helper()
	types, protocols := model.GetCreateEndpointServiceRequestBodyServerTypeEnum(), model.GetPortListProtocolEnum()
	body := &model.CreateEndpointServiceRequestBody{
		PortId: want.PortID, VpcId: want.VPC, ServiceName: &want.Name, ServerType: types.VM, ApprovalEnabled: &want.Approval,
	}
	for _, p := range want.Ports {
		client, server := int32(p.Client), int32(p.Server)
		body.Ports = append(body.Ports, model.PortList{ClientPort: &client, ServerPort: &server, Protocol: &protocols.TCP})
	}
	res, err := s.c.CreateEndpointService(&model.CreateEndpointServiceRequest{Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	if *res.Status != "available" || *res.ServiceName != region+"."+want.Name+"."+*res.Id {
		s.t.Fatalf("created %v", res)
	}
	return *res.Id
}

func (s *sdk) allow(serviceID, domain string) {
	s.t.Helper()
	res, err := s.c.AddOrRemoveServicePermissions(&model.AddOrRemoveServicePermissionsRequest{
		VpcEndpointServiceId: serviceID,
		Body: &model.AddOrRemoveServicePermissionsRequestBody{
			Permissions: []string{"iam:domain::" + domain},
			Action:      model.GetAddOrRemoveServicePermissionsRequestBodyActionEnum().ADD,
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if got := *res.Permissions; len(got) != 1 || got[0] != "iam:domain::"+domain {
		s.t.Fatalf("permissions %v", got)
	}
}

func (s *sdk) createEndpoint(want endpoint) endpoint {
	s.t.Helper()
	body := &model.CreateEndpointRequestBody{EndpointServiceId: want.Service, VpcId: want.VPC, SubnetId: &want.Subnet}
	if want.PortIP != "" {
		body.PortIp = &want.PortIP
	}
	res, err := s.c.CreateEndpoint(&model.CreateEndpointRequest{Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	return endpoint{ID: *res.Id, Service: *res.EndpointServiceId, Status: *res.Status, Marker: *res.MarkerId}
}

func (s *sdk) endpoint(id string) endpoint {
	s.t.Helper()
	res, err := s.c.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: id})
	if err != nil {
		s.t.Fatal(err)
	}
	out := endpoint{ID: *res.Id, Service: *res.EndpointServiceId, Status: *res.Status, Marker: *res.MarkerId}
	if res.Ip != nil {
		out.IP = *res.Ip
	}
	return out
}

func (s *sdk) gone(id string) bool {
	s.t.Helper()
	_, err := s.c.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: id})
	refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err)
	if err != nil && !ok {
		s.t.Fatal(err)
	}
	return ok && refused.StatusCode == http.StatusNotFound && refused.ErrorCode == "EndPoint.2006" && refused.RequestId != ""
}

func (s *sdk) decide(serviceID, endpointID, action string) endpoint {
	s.t.Helper()
	verb := model.GetAcceptOrRejectEndpointRequestBodyActionEnum().RECEIVE
	if action == "reject" {
		verb = model.GetAcceptOrRejectEndpointRequestBodyActionEnum().REJECT
	}
	var res *model.AcceptOrRejectEndpointResponse
	until(s.t, action+" is confirmed", func() bool { // see (*caller).decide
		var err error
		res, err = s.c.AcceptOrRejectEndpoint(&model.AcceptOrRejectEndpointRequest{
			VpcEndpointServiceId: serviceID,
			Body:                 &model.AcceptOrRejectEndpointRequestBody{Action: verb, Endpoints: []string{endpointID}},
		})
		if refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err); ok && refused.ErrorCode == "EndPoint.0013" {
			return false
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return res.Connections == nil || *(*res.Connections)[0].Status != "creating"
	})
	if res.Connections == nil || len(*res.Connections) != 1 {
		s.t.Fatalf("%s answers %v", action, res)
	}
	c := (*res.Connections)[0]
	if *c.Id != endpointID || *c.DomainId != consumerDomain {
		s.t.Fatalf("%s answers %v", action, res)
	}
	return endpoint{ID: *c.Id, Status: *c.Status, Marker: *c.MarkerId}
}

func (s *sdk) deleteEndpoint(id string) {
	s.t.Helper()
	res, err := s.c.DeleteEndpoint(&model.DeleteEndpointRequest{VpcEndpointId: id})
	if err != nil || res.HttpStatusCode != http.StatusNoContent {
		s.t.Fatalf("delete: %v, %v", res, err)
	}
}

func (s *sdk) deleteService(id string) {
	s.t.Helper()
	res, err := s.c.DeleteEndpointService(&model.DeleteEndpointServiceRequest{VpcEndpointServiceId: id})
	if err != nil || res.HttpStatusCode != http.StatusNoContent {
		s.t.Fatalf("delete: %v, %v", res, err)
	}
}

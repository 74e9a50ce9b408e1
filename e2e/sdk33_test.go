package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	vpcep "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1/model"
)

// Every operation that the vendor's SDK has, once with success and once with an
// error, on both databases. If this fails, a program that is written against the
// SDK meets a call that this product does not know, answers in a form that the
// SDK cannot read, or whose refusal it cannot tell apart.
func TestSDKEveryOperation(t *testing.T) {
	t.Parallel()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			w.further()
			s := newSDKStage(t, w.start(t))
			played := map[string]bool{}
			for _, c := range sdkCases {
				played[c.name] = true
				t.Run(c.name, func(t *testing.T) {
					s.t = t
					c.call(s)
					s.refused(c.fail(s), c.status, c.code)
				})
			}
			methods := sdkMethods()
			done := 0
			for _, m := range methods {
				if played[m] {
					done++
				} else {
					t.Errorf("the SDK has the operation %s, which this test does not call", m)
				}
			}
			t.Logf("%d/%d methods", done, len(methods))
			if len(sdkCases) != len(methods) {
				t.Errorf("%d cases for %d methods", len(sdkCases), len(methods))
			}
		})
	}
}

// sdkMethods returns the names of the SDK's operations. Beside each stands a
// method that only prepares the call; it is not another operation.
func sdkMethods() []string {
	var out []string
	client := reflect.TypeFor[*vpcep.VpcepClient]()
	for m := range client.Methods() {
		if !strings.HasSuffix(m.Name, "Invoker") {
			out = append(out, m.Name)
		}
	}
	return out
}

// sdkStage is what the operations play on, in the order of the table.
type sdkStage struct {
	t                  *testing.T
	provider, consumer *vpcep.VpcepClient
	foreign            *vpcep.VpcepClient // the consumer, in a project that is not its own
	nowhere            *vpcep.VpcepClient // behind a proxy that leads to no API

	service, record, endpoint, gateway string
	marker                             int32
}

func newSDKStage(t *testing.T, p *product) *sdkStage {
	t.Helper()
	return &sdkStage{
		t:        t,
		provider: p.sdk(t, p.provider(), providerID).c,
		consumer: p.sdk(t, p.consumer(), consumerID).c,
		foreign:  p.sdk(t, p.consumer(), providerID).c,
		nowhere:  sdkAstray(t, p.url, p.provider()),
	}
}

// astray leads every request to a path at which nobody serves, as a proxy does
// that is set up wrong: it is how a call without parameters can fail.
type astray struct{ http.RoundTripper }

func (a astray) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Path = "/nowhere" + r.URL.Path
	return a.RoundTripper.RoundTrip(r)
}

// sdkAstray returns the SDK behind such a proxy.
func sdkAstray(t *testing.T, url string, u user) *vpcep.VpcepClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk(u.access).WithSk(u.secret).WithProjectId(u.project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	hc, err := vpcep.VpcepClientBuilder().WithRegion(sdkregion.NewRegion(region, url)).WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithTimeout(patience).WithHttpRoundTripper(astray{tr})).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return vpcep.NewVpcepClient(hc)
}

// done wants a call to have ended without an error.
func (s *sdkStage) done(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// want compares a detail of an answer.
func (s *sdkStage) want(what string, got, want any) {
	s.t.Helper()
	if v := reflect.ValueOf(got); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			s.t.Fatalf("%s is absent, want %v", what, want)
		}
		got = v.Elem().Interface()
	}
	if !reflect.DeepEqual(got, want) {
		s.t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// refused wants a refusal that the SDK can take apart.
func (s *sdkStage) refused(err error, status int, code string) {
	s.t.Helper()
	e, ok := errors.AsType[*sdkerr.ServiceResponseError](err)
	if !ok {
		s.t.Fatalf("the error is %T %v, want a refusal by the service", err, err)
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		s.t.Errorf("refused with %d %s %q (request %q), want %d %s", e.StatusCode, e.ErrorCode, e.ErrorMessage, e.RequestId, status, code)
	}
}

// enum returns a value of one of the SDK's enumerations that its constants do
// not have.
func enum[T any](text string) *T {
	v := new(T)
	if err := json.Unmarshal(fmt.Appendf(nil, "%q", text), v); err != nil {
		panic(err)
	}
	return v
}

func sdkPorts(client, server int32) []model.PortList {
	return []model.PortList{{ClientPort: &client, ServerPort: &server, Protocol: &model.PortListProtocol{}}}
}

// sdkCase is one operation. What it makes later ones use.
type sdkCase struct {
	name   string
	call   func(*sdkStage)
	fail   func(*sdkStage) error
	status int
	code   string
}

// sdkCases is a life: a service, its whitelist, an endpoint, the decision, and
// what can be changed of all of them until they are deleted.
var sdkCases = slices.Concat(sdkVersionCases, sdkServiceCases, sdkPermissionCases, sdkEndpointCases, sdkConnectionCases, sdkTagCases, sdkEndCases)

var sdkVersionCases = []sdkCase{
	{
		name: "ListVersionDetails",
		call: func(s *sdkStage) {
			res, err := s.provider.ListVersionDetails(&model.ListVersionDetailsRequest{})
			s.done(err)
			s.want("the first version", (*res.Versions)[0].Id, "v1")
			s.want("its number", (*res.Versions)[0].Version, "1")
			s.want("the second version", (*res.Versions)[1].Id, "v2")
		},
		fail: func(s *sdkStage) error {
			_, err := s.nowhere.ListVersionDetails(&model.ListVersionDetailsRequest{})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "ListSpecifiedVersionDetails",
		call: func(s *sdkStage) {
			res, err := s.provider.ListSpecifiedVersionDetails(&model.ListSpecifiedVersionDetailsRequest{Version: "v1"})
			s.done(err)
			s.want("the version", res.Version.Id, "v1")
			s.want("its link", (*res.Version.Links)[0].Rel, "self")
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.ListSpecifiedVersionDetails(&model.ListSpecifiedVersionDetailsRequest{Version: "v9"})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
}

// sdkServiceRequest asks for the service of the stage.
func sdkServiceRequest() *model.CreateEndpointServiceRequest {
	return &model.CreateEndpointServiceRequest{Body: &model.CreateEndpointServiceRequestBody{
		PortId: backendPort, VpcId: providerVPC, ServiceName: new("sdk-33"),
		ServerType:  model.GetCreateEndpointServiceRequestBodyServerTypeEnum().VM,
		TcpProxy:    new(model.GetCreateEndpointServiceRequestBodyTcpProxyEnum().PROXY_OPEN),
		Description: new("made by the SDK"), Ports: sdkPorts(clientPort, 9),
		Tags: &[]model.TagList{{Key: new("made"), Value: new("yes")}},
	}}
}

var sdkServiceCases = []sdkCase{
	{
		name: "CreateEndpointService",
		call: func(s *sdkStage) {
			res, err := s.provider.CreateEndpointService(sdkServiceRequest())
			s.done(err)
			s.service = *res.Id
			s.want("the status code", res.HttpStatusCode, 200)
			s.want("the name", res.ServiceName, region+".sdk-33."+s.service)
			s.want("approval", res.ApprovalEnabled, true)
			s.want("the ports", *(*res.Ports)[0].ServerPort, int32(9))
			s.want("the protocol", (*res.Ports)[0].Protocol.Value(), "TCP")
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.CreateEndpointService(sdkServiceRequest())
			return err
		},
		status: 400, code: "EndPoint.3044",
	},
	{
		name: "ListServiceDetails",
		call: func(s *sdkStage) {
			res, err := s.provider.ListServiceDetails(&model.ListServiceDetailsRequest{VpcEndpointServiceId: s.service})
			s.done(err)
			s.want("the status", res.Status, "available")
			s.want("the kind of address", res.CidrType, "internal")
			s.want("the editions", res.SupportedEditions, []string{"basic"})
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListServiceDetails(&model.ListServiceDetailsRequest{VpcEndpointServiceId: s.service})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "ListEndpointService",
		call: func(s *sdkStage) {
			status, key, dir := model.GetListEndpointServiceRequestStatusEnum(), model.GetListEndpointServiceRequestSortKeyEnum(), model.GetListEndpointServiceRequestSortDirEnum()
			res, err := s.provider.ListEndpointService(&model.ListEndpointServiceRequest{
				EndpointServiceName: new("SDK-33"), Status: &status.AVAILABLE, SortKey: &key.UPDATE_AT, SortDir: &dir.ASC,
				Limit: new(int32(5)), Offset: new(int32(0)), NetType: new(model.GetListEndpointServiceRequestNetTypeEnum().ALL),
			})
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			one := (*res.EndpointServices)[0]
			s.want("the owner", one.DomainId, providerDomain)
			s.want("the connections", one.ConnectionCount, int32(0))
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.ListEndpointService(&model.ListEndpointServiceRequest{Limit: new(int32(1001))})
			return err
		},
		status: 400, code: "EndPoint.0006",
	},
	{
		name: "ListServiceDescribeDetails",
		call: func(s *sdkStage) {
			name := region + ".sdk-33." + s.service
			res, err := s.consumer.ListServiceDescribeDetails(&model.ListServiceDescribeDetailsRequest{EndpointServiceName: &name})
			s.done(err)
			s.want("the id", res.Id, s.service)
			s.want("the charge", res.IsCharge, false)
			s.want("policies", res.EnablePolicy, false)
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListServiceDescribeDetails(&model.ListServiceDescribeDetailsRequest{})
			return err
		},
		status: 400, code: "EndPoint.2002",
	},
	{
		name: "ListServicePublicDetails",
		call: func(s *sdkStage) {
			res, err := s.consumer.ListServicePublicDetails(&model.ListServicePublicDetailsRequest{EndpointServiceName: new("Obs")})
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			one := (*res.EndpointServices)[0]
			s.want("the name", one.ServiceName, gatewayName)
			s.want("the owner", one.Owner, publicOwner)
			s.want("the type", one.ServiceType, "gateway")
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListServicePublicDetails(&model.ListServicePublicDetailsRequest{Offset: new(int32(-1))})
			return err
		},
		status: 400, code: "EndPoint.0010",
	},
	{
		name: "UpdateEndpointService",
		call: func(s *sdkStage) {
			res, err := s.provider.UpdateEndpointService(&model.UpdateEndpointServiceRequest{
				VpcEndpointServiceId: s.service,
				Body: &model.UpdateEndpointServiceRequestBody{
					Description: new(""), Ports: new(sdkPorts(clientPort, 19)),
					TcpProxy: new(model.GetUpdateEndpointServiceRequestBodyTcpProxyEnum().CLOSE),
				},
			})
			s.done(err)
			s.want("the description", res.Description, "")
			s.want("the proxy", res.TcpProxy, "close")
			s.want("approval", res.ApprovalEnabled, true)
			s.want("the port", *(*res.Ports)[0].ServerPort, int32(19))
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.UpdateEndpointService(&model.UpdateEndpointServiceRequest{
				VpcEndpointServiceId: s.service, Body: &model.UpdateEndpointServiceRequestBody{Description: new("a<b")},
			})
			return err
		},
		status: 400, code: "EndPoint.0002",
	},
	{
		name: "UpdateEndpointServiceName",
		call: func(s *sdkStage) {
			res, err := s.provider.UpdateEndpointServiceName(&model.UpdateEndpointServiceNameRequest{
				VpcEndpointServiceId: s.service, Body: &model.UpdateEndpointServiceNameRequestBody{EndpointServiceName: new("renamed")},
			})
			s.done(err)
			s.want("the name", res.EndpointServiceName, "renamed")
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.UpdateEndpointServiceName(&model.UpdateEndpointServiceNameRequest{
				VpcEndpointServiceId: s.service, Body: &model.UpdateEndpointServiceNameRequestBody{EndpointServiceName: new("seventeen-letters")},
			})
			return err
		},
		status: 400, code: "EndPoint.3076",
	},
}

// sdkPermit adds a value to the whitelist of the stage's service.
func (s *sdkStage) sdkPermit(value string) (*model.AddOrRemoveServicePermissionsResponse, error) {
	return s.provider.AddOrRemoveServicePermissions(&model.AddOrRemoveServicePermissionsRequest{
		VpcEndpointServiceId: s.service,
		Body: &model.AddOrRemoveServicePermissionsRequestBody{
			Permissions:    []string{value},
			PermissionType: new(model.GetAddOrRemoveServicePermissionsRequestBodyPermissionTypeEnum().DOMAIN_ID),
			Action:         model.GetAddOrRemoveServicePermissionsRequestBodyActionEnum().ADD,
		},
	})
}

var sdkPermissionCases = []sdkCase{
	{
		name: "AddOrRemoveServicePermissions",
		call: func(s *sdkStage) {
			res, err := s.sdkPermit("iam:domain::" + consumerDomain)
			s.done(err)
			s.want("the whitelist", res.Permissions, []string{"iam:domain::" + consumerDomain})
			s.want("the type", res.PermissionType, "domainId")
		},
		fail:   func(s *sdkStage) error { _, err := s.sdkPermit("somebody"); return err },
		status: 400, code: "EndPoint.3002",
	},
	{
		name: "BatchAddEndpointServicePermissions",
		call: func(s *sdkStage) {
			res, err := s.provider.BatchAddEndpointServicePermissions(&model.BatchAddEndpointServicePermissionsRequest{
				VpcEndpointServiceId: s.service,
				Body: &model.BatchAddEndpointServicePermissionsRequestBody{
					Permissions:    []model.EpsAddPermissionRequest{{Permission: "organizations:orgPath::o/r", Description: "a guest"}},
					PermissionType: new(model.GetBatchAddEndpointServicePermissionsRequestBodyPermissionTypeEnum().ORG_PATH),
				},
			})
			s.done(err)
			one := (*res.Permissions)[0]
			s.record = *one.Id
			s.want("the record", one.Permission, "organizations:orgPath::o/r")
			s.want("its type", one.PermissionType.Value(), "orgPath")
			s.want("its description", one.Description, "a guest")
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.BatchAddEndpointServicePermissions(&model.BatchAddEndpointServicePermissionsRequest{
				VpcEndpointServiceId: s.service, Body: &model.BatchAddEndpointServicePermissionsRequestBody{Permissions: []model.EpsAddPermissionRequest{}},
			})
			return err
		},
		status: 400, code: "EndPoint.3036",
	},
	{
		name: "ListServicePermissionsDetails",
		call: func(s *sdkStage) {
			key, dir := model.GetListServicePermissionsDetailsRequestSortKeyEnum(), model.GetListServicePermissionsDetailsRequestSortDirEnum()
			res, err := s.provider.ListServicePermissionsDetails(&model.ListServicePermissionsDetailsRequest{
				VpcEndpointServiceId: s.service, Permission: new("domain"), Limit: new(int32(500)), SortKey: &key.CREATE_AT, SortDir: &dir.DESC,
			})
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			s.want("the type", (*res.Permissions)[0].PermissionType, "domainId")
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.ListServicePermissionsDetails(&model.ListServicePermissionsDetailsRequest{VpcEndpointServiceId: s.service, Limit: new(int32(501))})
			return err
		},
		status: 400, code: "EndPoint.0006",
	},
	{
		name: "UpdateEndpointServicePermissionDesc",
		call: func(s *sdkStage) {
			res, err := s.describeRecord(s.record)
			s.done(err)
			s.want("the number of records", len(*res.Permissions), 1)
			s.want("the description", (*res.Permissions)[0].Description, "a friend")
		},
		fail:   func(s *sdkStage) error { _, err := s.describeRecord(missing); return err },
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "BatchRemoveEndpointServicePermissions",
		call: func(s *sdkStage) {
			res, err := s.removeRecords(model.EpsRemovePermissionRequest{Id: s.record})
			s.done(err)
			s.want("the number of records left", len(*res.Permissions), 1)
		},
		fail:   func(s *sdkStage) error { _, err := s.removeRecords(); return err },
		status: 400, code: "EndPoint.3036",
	},
}

func (s *sdkStage) describeRecord(id string) (*model.UpdateEndpointServicePermissionDescResponse, error) {
	return s.provider.UpdateEndpointServicePermissionDesc(&model.UpdateEndpointServicePermissionDescRequest{
		VpcEndpointServiceId: s.service, PermissionId: id,
		Body: &model.UpdateEndpointServicePermissionDescRequestBody{Permission: &model.EpsUpdatePermissionDesc{Description: "a friend"}},
	})
}

func (s *sdkStage) removeRecords(records ...model.EpsRemovePermissionRequest) (*model.BatchRemoveEndpointServicePermissionsResponse, error) {
	return s.provider.BatchRemoveEndpointServicePermissions(&model.BatchRemoveEndpointServicePermissionsRequest{
		VpcEndpointServiceId: s.service, Body: &model.BatchRemoveEndpointServicePermissionsRequestBody{Permissions: records},
	})
}

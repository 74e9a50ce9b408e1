package e2e_test

import (
	"reflect"
	"strconv"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1/model"
)

// sdkEndpointRequest asks for an endpoint to a service, in the network that no
// agent carries.
func sdkEndpointRequest(service string) *model.CreateEndpointRequest {
	return &model.CreateEndpointRequest{Body: &model.CreateEndpointRequestBody{
		EndpointServiceId: service, VpcId: detachedVPC, SubnetId: new(detachedSubnet), EnableDns: new(true),
		Description: new("of the SDK"), Tags: &[]model.TagList{{Key: new("made"), Value: new("yes")}},
		IpVersion: new(model.GetCreateEndpointRequestBodyIpVersionEnum().IPV4),
	}}
}

// white changes the sources that the stage's endpoint lets in.
func (s *sdkStage) white(sources ...string) (*model.UpdateEndpointWhiteResponse, error) {
	return s.consumer.UpdateEndpointWhite(&model.UpdateEndpointWhiteRequest{
		VpcEndpointId: s.endpoint,
		Body:          &model.UpdateEndpointWhiteRequestBody{Whitelist: &sources, EnableWhitelist: new(true)},
	})
}

func (s *sdkStage) routeTables(endpoint string, tables ...string) (*model.UpdateEndpointRoutetableResponse, error) {
	return s.consumer.UpdateEndpointRoutetable(&model.UpdateEndpointRoutetableRequest{
		VpcEndpointId: endpoint, Body: &model.UpdateEndpointRoutetableRequestBody{Routetables: tables},
	})
}

func (s *sdkStage) policy(endpoint string) (*model.UpdateEndpointPolicyResponse, error) {
	return s.consumer.UpdateEndpointPolicy(&model.UpdateEndpointPolicyRequest{
		VpcEndpointId: endpoint,
		Body: &model.UpdateEndpointPolicyRequestBody{PolicyStatement: &[]model.PolicyStatement{{
			Effect: model.GetPolicyStatementEffectEnum().DENY, Action: []string{"obs:*:*"}, Resource: []string{"obs:*:*:*:*/*"},
		}}},
	})
}

// newGateway makes an endpoint to the operator's gateway service.
func (s *sdkStage) newGateway() {
	s.t.Helper()
	res, err := s.consumer.CreateEndpoint(&model.CreateEndpointRequest{Body: &model.CreateEndpointRequestBody{
		EndpointServiceId: gatewayService, VpcId: detachedVPC,
	}})
	s.done(err)
	s.gateway = *res.Id
	until(s.t, "the gateway endpoint is accepted", func() bool {
		res, err := s.consumer.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: s.gateway})
		s.done(err)
		return *res.Status == "accepted"
	})
}

var sdkEndpointCases = []sdkCase{
	{
		name: "CreateEndpoint",
		call: func(s *sdkStage) {
			res, err := s.consumer.CreateEndpoint(sdkEndpointRequest(s.service))
			s.done(err)
			s.endpoint, s.marker = *res.Id, *res.MarkerId
			s.want("the status code", res.HttpStatusCode, 200)
			s.want("the status", res.Status, "pendingAcceptance")
			s.want("DNS", res.EnableDns, true)
			s.want("the account's state", res.ActiveStatus, []string{"active"})
			s.want("the specification", res.SpecificationName, "default")
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.CreateEndpoint(sdkEndpointRequest(missing))
			return err
		},
		status: 400, code: "EndPoint.2003",
	},
	{
		name: "ListEndpoints",
		call: func(s *sdkStage) {
			key, dir := model.GetListEndpointsRequestSortKeyEnum(), model.GetListEndpointsRequestSortDirEnum()
			res, err := s.consumer.ListEndpoints(&model.ListEndpointsRequest{
				EndpointServiceName: new("RENAMED"), VpcId: new(detachedVPC), SortKey: &key.CREATE_AT, SortDir: &dir.ASC, Limit: new(int32(1)),
			})
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			s.want("the id", (*res.Endpoints)[0].Id, s.endpoint)
			s.want("the sources", (*res.Endpoints)[0].Whitelist, []string{})
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListEndpoints(&model.ListEndpointsRequest{Offset: new(int32(-1))})
			return err
		},
		status: 400, code: "EndPoint.0010",
	},
	{
		name: "ListEndpointInfoDetails",
		call: func(s *sdkStage) {
			res, err := s.consumer.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: s.endpoint})
			s.done(err)
			s.want("the name of its service", res.EndpointServiceName, region+".renamed."+s.service)
			s.want("the marker", res.MarkerId, s.marker)
			s.want("the tags", *(*res.Tags)[0].Value, "yes")
			if res.Ip != nil {
				s.t.Errorf("an endpoint that waits has the address %s", *res.Ip)
			}
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: s.endpoint})
			return err
		},
		status: 404, code: "EndPoint.2006",
	},
	{
		name: "UpdateEndpointWhite",
		call: func(s *sdkStage) {
			res, err := s.white("10.0.0.0/8", "192.0.2.7")
			s.done(err)
			s.want("the sources", res.Whitelist, []string{"10.0.0.0/8", "192.0.2.7"})
			s.want("whether they count", res.EnableWhitelist, true)
		},
		fail:   func(s *sdkStage) error { _, err := s.white("0.0.0.0/0"); return err },
		status: 400, code: "EndPoint.2044",
	},
	{
		name: "UpdateEndpointRoutetable",
		call: func(s *sdkStage) {
			s.newGateway()
			res, err := s.routeTables(s.gateway, missing)
			s.done(err)
			s.want("the tables", res.Routetables, []string{missing})
			if res.Error != nil {
				s.t.Errorf("nothing failed, and the answer says %v", *res.Error)
			}
		},
		fail:   func(s *sdkStage) error { _, err := s.routeTables(s.endpoint, missing); return err },
		status: 400, code: "EndPoint.1019",
	},
	{
		name: "UpdateEndpointPolicy",
		call: func(s *sdkStage) {
			res, err := s.policy(s.gateway)
			s.done(err)
			one := (*res.PolicyStatement)[0]
			s.want("the effect", one.Effect.Value(), "Deny")
			s.want("the action", one.Action, []string{"obs:*:*"})
		},
		fail:   func(s *sdkStage) error { _, err := s.policy(s.endpoint); return err },
		status: 400, code: "EndPoint.2048",
	},
	{
		name: "DeleteEndpointPolicy",
		call: func(s *sdkStage) {
			res, err := s.consumer.DeleteEndpointPolicy(&model.DeleteEndpointPolicyRequest{VpcEndpointId: s.gateway})
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 200)
			s.want("the id", res.Id, s.gateway)
			if res.PolicyStatement != nil && len(*res.PolicyStatement) > 0 {
				s.t.Errorf("there is still a policy: %v", *res.PolicyStatement)
			}
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.DeleteEndpointPolicy(&model.DeleteEndpointPolicyRequest{VpcEndpointId: s.gateway})
			return err
		},
		status: 400, code: "EndPoint.2049",
	},
	{
		name: "ListQuotaDetails",
		call: func(s *sdkStage) {
			res, err := s.consumer.ListQuotaDetails(&model.ListQuotaDetailsRequest{Type: new(model.GetListQuotaDetailsRequestTypeEnum().ENDPOINT)})
			s.done(err)
			s.want("the number of quotas", len(*res.Quotas.Resources), 1)
			one := (*res.Quotas.Resources)[0]
			s.want("the type", one.Type, "endpoint")
			s.want("what is used", one.Used, int32(2))
			s.want("what is allowed", one.Quota, int32(50))
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListQuotaDetails(&model.ListQuotaDetailsRequest{Type: enum[model.ListQuotaDetailsRequestType]("gateway")})
			return err
		},
		status: 400, code: "EndPoint.0002",
	},
}

func (s *sdkStage) decide(endpoint string, action model.AcceptOrRejectEndpointRequestBodyAction) (*model.AcceptOrRejectEndpointResponse, error) {
	return s.provider.AcceptOrRejectEndpoint(&model.AcceptOrRejectEndpointRequest{
		VpcEndpointServiceId: s.service, Body: &model.AcceptOrRejectEndpointRequestBody{Action: action, Endpoints: []string{endpoint}},
	})
}

func (s *sdkStage) note(endpoint string) (*model.UpdateEndpointConnectionsDescResponse, error) {
	return s.provider.UpdateEndpointConnectionsDesc(&model.UpdateEndpointConnectionsDescRequest{
		VpcEndpointServiceId: s.service,
		Body: &model.UpdateEndpointConnectionsDescRequestBody{
			Connections: []model.ConnectionsDesc{{Id: endpoint, Description: "paid until June"}},
		},
	})
}

var sdkConnectionCases = []sdkCase{
	{
		name: "ListServiceConnections",
		call: func(s *sdkStage) {
			status, key, dir := model.GetListServiceConnectionsRequestStatusEnum(), model.GetListServiceConnectionsRequestSortKeyEnum(), model.GetListServiceConnectionsRequestSortDirEnum()
			res, err := s.provider.ListServiceConnections(&model.ListServiceConnectionsRequest{
				VpcEndpointServiceId: s.service, Id: &s.endpoint, MarkerId: new(strconv.Itoa(int(s.marker))),
				Status: &status.PENDING_ACCEPTANCE, SortKey: &key.UPDATE_AT, SortDir: &dir.DESC,
			})
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			s.want("the account", (*res.Connections)[0].DomainId, consumerDomain)
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.ListServiceConnections(&model.ListServiceConnectionsRequest{VpcEndpointServiceId: s.service})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "AcceptOrRejectEndpoint",
		call: func(s *sdkStage) {
			actions := model.GetAcceptOrRejectEndpointRequestBodyActionEnum()
			res, err := s.decide(s.endpoint, actions.RECEIVE)
			s.done(err)
			s.want("the status", (*res.Connections)[0].Status, "accepted")
			res, err = s.decide(s.endpoint, actions.REJECT)
			s.done(err)
			s.want("the status", (*res.Connections)[0].Status, "rejected")
			res, err = s.decide(s.endpoint, actions.RECEIVE)
			s.done(err)
			s.want("the status", (*res.Connections)[0].Status, "accepted")
		},
		fail: func(s *sdkStage) error {
			_, err := s.decide(s.gateway, model.GetAcceptOrRejectEndpointRequestBodyActionEnum().REJECT)
			return err
		},
		status: 400, code: "EndPoint.2013",
	},
	{
		name: "UpdateEndpointConnectionsDesc",
		call: func(s *sdkStage) {
			res, err := s.note(s.endpoint)
			s.done(err)
			s.want("the note", (*res.Connections)[0].Description, "paid until June")
			own, err := s.consumer.ListEndpointInfoDetails(&model.ListEndpointInfoDetailsRequest{VpcEndpointId: s.endpoint})
			s.done(err)
			s.want("the consumer's own text", own.Description, "of the SDK")
		},
		fail:   func(s *sdkStage) error { _, err := s.note(s.gateway); return err },
		status: 400, code: "EndPoint.2013",
	},
	{
		name: "AddEndpointServiceServerResource",
		call: func(s *sdkStage) {
			res, err := s.addServer(s.service)
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 204)
		},
		fail:   func(s *sdkStage) error { _, err := s.addServer(missing); return err },
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "UpgradeEndpointService",
		call: func(s *sdkStage) {
			res, err := s.provider.UpgradeEndpointService(&model.UpgradeEndpointServiceRequest{VpcEndpointServiceId: s.service})
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 204)
			now, err := s.provider.ListServiceDetails(&model.ListServiceDetailsRequest{VpcEndpointServiceId: s.service})
			s.done(err)
			s.want("the editions", now.SupportedEditions, []string{"basic", "profession"})
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.UpgradeEndpointService(&model.UpgradeEndpointServiceRequest{VpcEndpointServiceId: missing})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
	{
		name: "UpgradeEndpoint",
		call: func(s *sdkStage) {
			res, err := s.upgrade(s.endpoint)
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 202)
		},
		fail:   func(s *sdkStage) error { _, err := s.upgrade(missing); return err },
		status: 404, code: "EndPoint.2006",
	},
}

func (s *sdkStage) addServer(service string) (*model.AddEndpointServiceServerResourceResponse, error) {
	return s.provider.AddEndpointServiceServerResource(&model.AddEndpointServiceServerResourceRequest{
		VpcEndpointServiceId: service,
		Body:                 &model.AddEndpointServiceServerResourceRequestBody{ServerResources: []model.ServerResource{{ResourceId: backendPort}}},
	})
}

func (s *sdkStage) upgrade(endpoint string) (*model.UpgradeEndpointResponse, error) {
	return s.consumer.UpgradeEndpoint(&model.UpgradeEndpointRequest{
		VpcEndpointId: endpoint, Body: &model.UpgradeEndpointRequestBody{Action: model.GetUpgradeEndpointRequestBodyActionEnum().START},
	})
}

// tagServer changes the tags of the stage's service.
func (s *sdkStage) tagService(tags ...model.ResourceTag) (*model.BatchAddOrRemoveResourceInstanceResponse, error) {
	return s.provider.BatchAddOrRemoveResourceInstance(&model.BatchAddOrRemoveResourceInstanceRequest{
		ResourceType: model.GetBatchAddOrRemoveResourceInstanceRequestResourceTypeEnum().ENDPOINT_SERVICE, ResourceId: s.service,
		Body: &model.BatchAddOrRemoveResourceInstanceRequestBody{
			Action: model.GetBatchAddOrRemoveResourceInstanceRequestBodyActionEnum().CREATE, Tags: &tags,
		},
	})
}

func (s *sdkStage) tagged(offset string) (*model.ListResourceInstancesResponse, error) {
	return s.provider.ListResourceInstances(&model.ListResourceInstancesRequest{
		ResourceType: model.GetListResourceInstancesRequestResourceTypeEnum().ENDPOINT_SERVICE,
		Body: &model.QueryResourceInstanceTagsBody{
			Action: model.GetQueryResourceInstanceTagsBodyActionEnum().FILTER, Limit: new("10"), Offset: &offset,
			Tags:    &[]model.TagValuesList{{Key: "made", Values: []string{"no", "perhaps"}}},
			Matches: &[]model.Match{{Key: "resource_name", Value: "RENAMED"}},
		},
	})
}

var sdkTagCases = []sdkCase{
	{
		name: "BatchAddOrRemoveResourceInstance",
		call: func(s *sdkStage) {
			res, err := s.tagService(model.ResourceTag{Key: "made", Value: new("perhaps")})
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 204)
		},
		fail: func(s *sdkStage) error {
			_, err := s.tagService(model.ResourceTag{Key: "_sys_made", Value: new("no")})
			return err
		},
		status: 400, code: "EndPoint.3068",
	},
	{
		name: "ListQueryProjectResourceTags",
		call: func(s *sdkStage) {
			res, err := s.provider.ListQueryProjectResourceTags(&model.ListQueryProjectResourceTagsRequest{
				ResourceType: model.GetListQueryProjectResourceTagsRequestResourceTypeEnum().ENDPOINT_SERVICE,
			})
			s.done(err)
			want := []model.TagValuesList{{Key: "made", Values: []string{"perhaps"}}}
			if !reflect.DeepEqual(*res.Tags, want) {
				s.t.Errorf("the tags are %v, want %v", *res.Tags, want)
			}
		},
		fail: func(s *sdkStage) error {
			_, err := s.foreign.ListQueryProjectResourceTags(&model.ListQueryProjectResourceTagsRequest{
				ResourceType: model.GetListQueryProjectResourceTagsRequestResourceTypeEnum().ENDPOINT,
			})
			return err
		},
		status: 403, code: "EndPoint.0004",
	},
	{
		name: "ListResourceInstances",
		call: func(s *sdkStage) {
			res, err := s.tagged("0")
			s.done(err)
			s.want("the total", res.TotalCount, int32(1))
			s.want("the id", (*res.Resources)[0].ResourceId, s.service)
			s.want("the name", (*res.Resources)[0].ResourceName, region+".renamed."+s.service)
		},
		fail:   func(s *sdkStage) error { _, err := s.tagged("-1"); return err },
		status: 400, code: "EndPoint.0010",
	},
}

// Deleting comes last. The service is refused to go as long as the endpoint is
// there, so its success is told by the endpoint's case and its refusal before.
var sdkEndCases = []sdkCase{
	{
		name: "DeleteEndpoint",
		call: func(s *sdkStage) {
			_, err := s.provider.DeleteEndpointService(&model.DeleteEndpointServiceRequest{VpcEndpointServiceId: s.service})
			s.refused(err, 400, "EndPoint.3006")
			for _, id := range []string{s.endpoint, s.gateway} {
				res, err := s.consumer.DeleteEndpoint(&model.DeleteEndpointRequest{VpcEndpointId: id})
				s.done(err)
				s.want("the status code", res.HttpStatusCode, 204)
			}
		},
		fail: func(s *sdkStage) error {
			_, err := s.consumer.DeleteEndpoint(&model.DeleteEndpointRequest{VpcEndpointId: s.endpoint})
			return err
		},
		status: 404, code: "EndPoint.2006",
	},
	{
		name: "DeleteEndpointService",
		call: func(s *sdkStage) {
			res, err := s.provider.DeleteEndpointService(&model.DeleteEndpointServiceRequest{VpcEndpointServiceId: s.service})
			s.done(err)
			s.want("the status code", res.HttpStatusCode, 204)
		},
		fail: func(s *sdkStage) error {
			_, err := s.provider.DeleteEndpointService(&model.DeleteEndpointServiceRequest{VpcEndpointServiceId: s.service})
			return err
		},
		status: 404, code: "EndPoint.0005",
	},
}

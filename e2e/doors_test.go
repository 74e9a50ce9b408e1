package e2e_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	apig "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	gates "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"
	css "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/css/v1"
	clusters "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/css/v1/model"
)

// One connection, three doors, on both databases: a consumer makes it over
// VPCEP, its owner sees and accepts it over APIG, and cuts one of a cluster over
// CSS. If this fails, two doors show two truths, a door decides what is not its
// own, or a decision cannot be traced to the door it came through.
func TestOneTruthThroughEveryDoor(t *testing.T) {
	t.Parallel()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			search, shop := newEcho(t), newEcho(t)
			w.managed(search.port, shop.port)
			p := w.start(t)
			owner, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
			gatewayDoor(t, owner, consumer, shop.port)
			clusterDoor(t, owner, consumer, search.port)
		})
	}
}

// gatewayDoor is the life of a connection to a gateway.
func gatewayDoor(t *testing.T, owner, consumer *caller, port int) {
	t.Helper()
	var shown struct {
		Services []struct {
			Name string `json:"service_name"`
		} `json:"endpoint_services"`
	}
	owner.through(http.MethodGet, owner.gatewayPath(""), nil, 200, &shown)
	parts := strings.Split(shown.Services[0].Name, ".") // as clients take it apart
	service := parts[len(parts)-1]
	if want := region + ".apig." + service; shown.Services[0].Name != want {
		t.Fatalf("the service is called %s, want %s", shown.Services[0].Name, want)
	}
	consumer.refused(http.MethodPost, "vpc-endpoints", to(service), 400, "EndPoint.2012")
	owner.through(http.MethodPost, owner.gatewayPath("/vpc-endpoint/permissions/batch-add"),
		map[string]any{"permissions": []string{"iam:domain::" + consumerDomain}}, 200, nil)
	e := consumer.connected(t, service)
	want := connectionAt{ID: e.ID, Marker: e.Marker, Status: "pendingAcceptance", Domain: consumerDomain}
	agree(t, want, owner.byGateway(), owner.byService(service))

	var decided struct{ Connections []connectionAt }
	a := owner.decideByGateway("receive", e.ID)
	a.into(t, &decided)
	want.Status = "accepted"
	agree(t, want, decided.Connections, owner.byGateway(), owner.byService(service))
	addr := atPort(consumer.endpoint(e.ID).IP, port)
	mustEcho(t, addr)

	owner.reject(service, e.ID) // by the service's own door
	want.Status = "rejected"
	agree(t, want, owner.byGateway(), owner.byService(service))
	mustRefuse(t, addr)
	if a := owner.decideByGateway("receive", e.ID); a.status != 200 {
		t.Fatalf("accept again: %s", a)
	}
	mustEcho(t, addr)
	traced(t, owner, e.ID, "apig AcceptOrRejectEndpointConnections accept done", "vpcep AcceptOrRejectEndpoint reject done",
		"apig AcceptOrRejectEndpointConnections accept done")
	owner.refused(http.MethodDelete, "vpc-endpoint-services/"+service, nil, 400, "EndPoint.3006")
}

// clusterDoor is the life of a connection to a cluster.
func clusterDoor(t *testing.T, owner, consumer *caller, port int) {
	t.Helper()
	if a := owner.send(http.MethodGet, owner.clusterPath(clusterID, "/vpcepservice/connections"), nil, nil); a.status != 400 || errCode(t, a) != "CSS.5182" {
		t.Fatalf("the connections of a closed cluster: %s, want 400 CSS.5182", a)
	}
	c := owner.openCluster(clusterID)
	var detail struct {
		IP     string `json:"vpcepIp"`
		Status string `json:"status"`
	}
	owner.through(http.MethodGet, owner.clusterPath(clusterID, ""), nil, 200, &detail)
	mustEcho(t, atPort(detail.IP, port)) // its own endpoint needs nobody's approval
	if own := owner.endpoint(c.Endpoint); own.IP != detail.IP || detail.Status != "200" || own.Status != "accepted" {
		t.Errorf("the cluster shows %+v, its endpoint is %+v", detail, own)
	}
	owner.through(http.MethodPost, owner.clusterPath(clusterID, "/vpcepservice/permissions"),
		map[string]any{"vpcPermissions": []string{consumerDomain}}, 200, nil)
	e, other := consumer.connected(t, c.Service), consumer.connected(t, c.Service)
	if first := owner.byCluster()[0]; first.ID != c.Endpoint {
		t.Errorf("the first connection is %s, want the cluster's own, %s", first.ID, c.Endpoint)
	}
	if a := owner.decideByCluster("receive", e.ID, other.ID); a.status != 200 || len(a.body) > 0 {
		t.Fatalf("accept: %s, want 200 without a body", a)
	}
	addr := atPort(consumer.endpoint(e.ID).IP, port)
	mustEcho(t, addr)
	if a := owner.decideByCluster("reject", e.ID); a.status != 200 {
		t.Fatalf("reject: %s", a)
	}
	mustRefuse(t, addr)
	mustEcho(t, atPort(consumer.endpoint(other.ID).IP, port))
	traced(t, owner, e.ID, "css UpdateVpcepConnection accept done", "css UpdateVpcepConnection reject done")

	// A door decides its own connections only, and all of those named or none.
	foreign := owner.byGateway()[0].ID
	if a := owner.decideByCluster("reject", other.ID, foreign); a.status != 400 || errCode(t, a) != "CSS.0001" {
		t.Errorf("reject with one of the gateway's: %s, want 400 CSS.0001", a)
	}
	if a := owner.decideByGateway("reject", foreign, other.ID); a.status != 400 || flatCode(t, a) != "APIC.7211" {
		t.Errorf("reject with one of the cluster's: %s, want 400 APIC.7211", a)
	}
	mustEcho(t, atPort(consumer.endpoint(other.ID).IP, port))

	owner.through(http.MethodPut, owner.clusterPath(clusterID, "/vpcepservice/close"), nil, 200, nil)
	mustRefuse(t, atPort(detail.IP, port))
	until(t, "the endpoints of the closed service are gone", func() bool { return consumer.gone(e.ID) && consumer.gone(other.ID) })
}

// agree wants every list to have the connection once, and as it is wanted.
func agree(t *testing.T, want connectionAt, lists ...[]connectionAt) {
	t.Helper()
	for _, list := range lists {
		found := slices.DeleteFunc(slices.Clone(list), func(c connectionAt) bool { return c.ID != want.ID })
		if diff := cmp.Diff([]connectionAt{want}, found); diff != "" {
			t.Fatalf("the connection (-want +got):\n%s", diff)
		}
	}
}

// traced wants the audit log to have these decisions about an endpoint, each once.
func traced(t *testing.T, owner *caller, endpoint string, want ...string) {
	t.Helper()
	var got []string
	for _, r := range owner.decisions(endpoint) {
		got = append(got, r.Family+" "+r.Operation+" "+r.Action+" "+r.Outcome)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions in the audit log (-want +got):\n%s", diff)
	}
}

// errCode returns the code of an answer of CSS, and fails where the two pairs of
// its keys are not both there and equal.
func errCode(t *testing.T, a answer) string {
	t.Helper()
	var b struct {
		ErrCode         string `json:"errCode"`
		ExternalMessage string `json:"externalMessage"`
		Code            string `json:"error_code"`
		Msg             string `json:"error_msg"`
	}
	a.into(t, &b)
	if b.Code == "" || b.Msg == "" || b.Code != b.ErrCode || b.Msg != b.ExternalMessage {
		t.Fatalf("the error has not all four keys: %s", a)
	}
	return b.Code
}

// flatCode returns the code of an answer of APIG.
func flatCode(t *testing.T, a answer) string {
	t.Helper()
	var b map[string]string
	a.into(t, &b)
	if len(b) != 2 || b["error_msg"] == "" {
		t.Fatalf("the error is not the flat pair: %s", a)
	}
	return b["error_code"]
}

// The same caller gets the same yes or no through all three doors. If this
// fails, somebody who is shut out at one door walks in at another.
func TestOneGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	search, shop := newEcho(t), newEcho(t)
	w.managed(search.port, shop.port)
	p := w.start(t)
	owner, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	cluster, gateway := owner.openCluster(clusterID), owner.instance("gateways", gatewayID)
	byCluster, byGateway := map[string]string{}, map[string]string{} // callers have connections of their own
	elsewhere := p.as(t, w.provider())
	elsewhere.project = providerOther
	callers := map[string]*caller{
		"owner": owner, "owner by token": owner.login(), "reader": p.as(t, w.reader()), "consumer": consumer,
		"owner in another project": elsewhere, "nobody": {t: t, url: p.url, token: "nobody", http: owner.http, project: providerID},
	}
	for name := range callers {
		owner.allow(cluster.Service, consumerDomain)
		owner.allow(gateway.Service, consumerDomain)
		byCluster[name], byGateway[name] = consumer.connected(t, cluster.Service).ID, consumer.connected(t, gateway.Service).ID
	}
	for name, c := range callers {
		for _, action := range []string{"receive", "reject"} {
			may := strings.HasPrefix(name, "owner") && c != elsewhere
			path := func(service string) string {
				return "/v1/" + c.project + "/vpc-endpoint-services/" + service + "/connections/action"
			}
			for door, a := range map[string]answer{
				"vpcep for the cluster": c.send(http.MethodPost, path(cluster.Service), decision(action, byCluster[name]), nil),
				"css":                   c.decideByCluster(action, byCluster[name]),
				"vpcep for the gateway": c.send(http.MethodPost, path(gateway.Service), decision(action, byGateway[name]), nil),
				"apig":                  c.decideByGateway(action, byGateway[name]),
			} {
				if yes := a.status == 200; yes != may || !yes && (a.status < 400 || a.status > 404) {
					t.Errorf("%s, %s, %s: %s, want yes to be %t", name, action, door, a, may)
				}
			}
		}
		want := "rejected"
		if name == "reader" || name == "consumer" || name == "nobody" || c == elsewhere {
			want = "pendingAcceptance"
		}
		for _, id := range []string{byCluster[name], byGateway[name]} {
			if got := consumer.endpoint(id).Status; got != want {
				t.Errorf("%s: the endpoint is %s, want %s", name, got, want)
			}
		}
	}
}

// doorSDK is the vendor's SDK for both families.
type doorSDK struct {
	css  *css.CssClient
	apig *apig.ApigClient
}

// doorSDK returns the SDK with a user's access key.
func (p *product) doorSDK(t *testing.T, u user) doorSDK {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk(u.access).WithSk(u.secret).WithProjectId(u.project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	build := func(b *core.HcHttpClientBuilder) *core.HcHttpClient {
		hc, err := b.WithRegion(sdkregion.NewRegion(region, p.url)).WithCredential(credentials).
			WithHttpConfig(config.DefaultHttpConfig().WithTimeout(patience).WithHttpRoundTripper(tr)).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		return hc
	}
	return doorSDK{css.NewCssClient(build(css.CssClientBuilder())), apig.NewApigClient(build(apig.ApigClientBuilder()))}
}

// Every operation of the two families, through the vendor's own packages, once
// with success and once with an error. If this fails, a program written against
// them meets a call it cannot make or an answer it cannot read.
func TestSDKOfClustersAndGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	search, shop := newEcho(t), newEcho(t)
	w.managed(search.port, shop.port)
	p := w.start(t)
	stage := sdkDoors{p.doorSDK(t, p.provider()), p.as(t, p.provider()), p.as(t, p.consumer())}
	t.Run("css", func(t *testing.T) {
		stage.closedCluster(t)
		own := stage.openCluster(t, search.port)
		stage.clusterConnections(t, own, search.port)
	})
	t.Run("apig", func(t *testing.T) {
		service := stage.gateway(t)
		stage.gatewayWhitelist(t)
		stage.gatewayConnections(t, service, shop.port)
	})
}

// sdkRefusal wants a refusal that the SDK can take apart.
func sdkRefusal(t *testing.T, err error, status int, code string) {
	t.Helper()
	e, ok := errors.AsType[*sdkerr.ServiceResponseError](err)
	if !ok {
		t.Fatalf("the error is %T %v, want a refusal by the service", err, err)
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		t.Errorf("refused with %d %s %q (request %q), want %d %s", e.StatusCode, e.ErrorCode, e.ErrorMessage, e.RequestId, status, code)
	}
}

// sdkDoors is who plays in the test of the SDK.
type sdkDoors struct {
	owner            doorSDK
	provider, client *caller
}

// must wants a call to have ended without an error.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (s sdkDoors) decide(action string, ids ...string) (*clusters.UpdateVpcepConnectionResponse, error) {
	return s.owner.css.UpdateVpcepConnection(&clusters.UpdateVpcepConnectionRequest{
		ClusterId: clusterID, Body: &clusters.UpdateVpcepConnectionReq{Action: action, EndpointIdList: ids},
	})
}

func (s sdkDoors) admit(accounts ...string) (*clusters.UpdateVpcepWhitelistResponse, error) {
	return s.owner.css.UpdateVpcepWhitelist(&clusters.UpdateVpcepWhitelistRequest{
		ClusterId: clusterID, Body: &clusters.UpdateVpcepWhitelistReq{VpcPermissions: accounts},
	})
}

func (s sdkDoors) show() (*clusters.ShowVpcepConnectionResponse, error) {
	return s.owner.css.ShowVpcepConnection(&clusters.ShowVpcepConnectionRequest{ClusterId: clusterID, Limit: new(int32(100)), Offset: new(int32(0))})
}

// closedCluster asks everything of a cluster that is not open.
func (s sdkDoors) closedCluster(t *testing.T) {
	t.Helper()
	_, err := s.show()
	sdkRefusal(t, err, 400, "CSS.5182")
	_, err = s.owner.css.StopVpcep(&clusters.StopVpcepRequest{ClusterId: clusterID})
	sdkRefusal(t, err, 400, "CSS.5182")
	_, err = s.admit("*")
	sdkRefusal(t, err, 400, "CSS.5182")
	_, err = s.owner.css.ShowClusterDetail(&clusters.ShowClusterDetailRequest{ClusterId: "4f3deec3-efa8-4598-bf91-000000000000"})
	sdkRefusal(t, err, 403, "CSS.0015")
	list := must[*clusters.ListClustersDetailsResponse](t)(s.owner.css.ListClustersDetails(&clusters.ListClustersDetailsRequest{}))
	if *list.TotalSize != 1 || *(*list.Clusters)[0].Id != clusterID {
		t.Errorf("the list is %v", list)
	}
	_, err = s.owner.css.ListClustersDetails(&clusters.ListClustersDetailsRequest{Limit: new(int32(1001))})
	sdkRefusal(t, err, 400, "CSS.0001")
}

// openCluster opens it and returns its own endpoint.
func (s sdkDoors) openCluster(t *testing.T, port int) (own string) {
	t.Helper()
	open := &clusters.StartVpcepRequest{ClusterId: clusterID, Body: &clusters.StartVpecpReq{EndpointWithDnsName: new(true)}}
	started := must[*clusters.StartVpcepResponse](t)(s.owner.css.StartVpcep(open))
	if *started.Action != "createVpcepservice" {
		t.Errorf("open answers %s", *started.Action)
	}
	_, err := s.owner.css.StartVpcep(open)
	sdkRefusal(t, err, 409, "CSS.0031")
	detail := must[*clusters.ShowClusterDetailResponse](t)(s.owner.css.ShowClusterDetail(&clusters.ShowClusterDetailRequest{ClusterId: clusterID}))
	first := (*must[*clusters.ShowVpcepConnectionResponse](t)(s.show()).Connections)[0]
	if *detail.VpcepIp != *first.VpcepIp || *first.MaxSession != "3000" || *first.Status != "accepted" || *first.UpdateAt == "" || *detail.Status != "200" {
		t.Errorf("the cluster is at %s, its own endpoint is %v", *detail.VpcepIp, first)
	}
	mustEcho(t, atPort(*detail.VpcepIp, port))
	var dns struct {
		Names []string `json:"dns_names"`
	}
	s.provider.do(http.MethodGet, "vpc-endpoints/"+*first.Id, nil, 200, &dns)
	if len(dns.Names) != 1 || dns.Names[0] != *first.VpcepDnsName {
		t.Errorf("the endpoint is called %v over VPCEP and %s over CSS", dns.Names, *first.VpcepDnsName)
	}
	return *first.Id
}

// clusterConnections lets the consumer in, decides, and closes the cluster.
func (s sdkDoors) clusterConnections(t *testing.T, own string, port int) {
	t.Helper()
	must[*clusters.UpdateVpcepWhitelistResponse](t)(s.admit([]string{}...)) // an empty list is everyone
	show := must[*clusters.ShowVpcepConnectionResponse](t)
	parts := strings.Split(*show(s.show()).VpcServiceName, ".")
	e := s.client.connected(t, parts[len(parts)-1])
	must[*clusters.UpdateVpcepWhitelistResponse](t)(s.admit(consumerDomain))
	if all := show(s.show()); *all.TotalCount != 2 || len(*all.Permissions) != 1 ||
		*(*all.Permissions)[0].Permission != "iam:domain::"+consumerDomain || !*all.VpcepUpdateSwitch {
		t.Errorf("the connections are %v", all)
	}
	_, err := s.decide("accept", e.ID)
	sdkRefusal(t, err, 400, "CSS.0001")
	_, err = s.decide("receive", e.ID, "f132bb14-e1d5-4f25-9f7c-000000000000")
	sdkRefusal(t, err, 400, "CSS.0001")
	decided := must[*clusters.UpdateVpcepConnectionResponse](t)
	decided(s.decide("receive", e.ID))
	addr := atPort(s.client.endpoint(e.ID).IP, port)
	mustEcho(t, addr)
	decided(s.decide("reject", e.ID, own))
	mustRefuse(t, addr)
	stopped := must[*clusters.StopVpcepResponse](t)(s.owner.css.StopVpcep(&clusters.StopVpcepRequest{ClusterId: clusterID}))
	if *stopped.Action != "deleteVpcepservice" {
		t.Errorf("close answers %s", *stopped.Action)
	}
}

// missingGateway is a gateway that is not there.
const missingGateway = "eddc4d25480b4cd6b512f270a1b8b34f"

// gateway looks at the gateway and returns the id of its service.
func (s sdkDoors) gateway(t *testing.T) (service string) {
	t.Helper()
	detail := must[*gates.ShowDetailsOfInstanceV2Response](t)(s.owner.apig.ShowDetailsOfInstanceV2(&gates.ShowDetailsOfInstanceV2Request{InstanceId: gatewayID}))
	named := (*detail.EndpointServices)[0]
	parts := strings.Split(*named.ServiceName, ".")
	if len(parts) != 3 || parts[0] != region || parts[1] != "apig" || named.CreatedAt == nil || detail.InstanceStatus.Value() != 6 {
		t.Errorf("the gateway is %v", detail)
	}
	_, err := s.owner.apig.ShowDetailsOfInstanceV2(&gates.ShowDetailsOfInstanceV2Request{InstanceId: missingGateway})
	sdkRefusal(t, err, 404, "APIC.7302")
	list := must[*gates.ListInstancesV2Response](t)(s.owner.apig.ListInstancesV2(&gates.ListInstancesV2Request{}))
	if list.Total != 1 || *(*list.Instances)[0].Id != gatewayID {
		t.Errorf("the list is %v", list)
	}
	return parts[len(parts)-1]
}

// gatewayWhitelist lets the consumer in.
func (s sdkDoors) gatewayWhitelist(t *testing.T) {
	t.Helper()
	record := "iam:domain::" + consumerDomain
	add := func(records ...string) (*gates.AddEndpointPermissionsResponse, error) {
		return s.owner.apig.AddEndpointPermissions(&gates.AddEndpointPermissionsRequest{
			InstanceId: gatewayID, Body: &gates.EndpointPermissionList{Permissions: records},
		})
	}
	remove := func(gateway string) (*gates.DeleteEndpointPermissionsResponse, error) {
		return s.owner.apig.DeleteEndpointPermissions(&gates.DeleteEndpointPermissionsRequest{
			InstanceId: gateway, Body: &gates.EndpointPermissionList{Permissions: []string{"iam:domain::*"}},
		})
	}
	added := must[*gates.AddEndpointPermissionsResponse](t)(add(record, "iam:domain::*"))
	if diff := cmp.Diff([]string{record, "iam:domain::*"}, *added.Permissions); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	_, err := add(consumerDomain)
	sdkRefusal(t, err, 400, "APIC.7211")
	removed := must[*gates.DeleteEndpointPermissionsResponse](t)(remove(gatewayID))
	if removed.HttpStatusCode != 200 || len(*removed.Permissions) != 1 {
		t.Errorf("removed %v", removed)
	}
	_, err = remove(missingGateway)
	sdkRefusal(t, err, 404, "APIC.7302")
	listed := must[*gates.ListEndpointPermissionsResponse](t)
	all := listed(s.owner.apig.ListEndpointPermissions(&gates.ListEndpointPermissionsRequest{InstanceId: gatewayID}))
	some := listed(s.owner.apig.ListEndpointPermissions(&gates.ListEndpointPermissionsRequest{
		InstanceId: gatewayID, Permission: new("domain::" + consumerDomain[:8]),
	}))
	if all.Total != 2 || (*all.Permissions)[1].Permission != "iam:domain::"+providerDomain || some.Total != 1 || (*some.Permissions)[0].Permission != record {
		t.Errorf("the whitelist is %v, filtered %v", all, some)
	}
	_, err = s.owner.apig.ListEndpointPermissions(&gates.ListEndpointPermissionsRequest{InstanceId: missingGateway})
	sdkRefusal(t, err, 404, "APIC.7302")
}

// gatewayConnections lists and decides.
func (s sdkDoors) gatewayConnections(t *testing.T, service string, port int) {
	t.Helper()
	e := s.client.connected(t, service)
	status, verb := gates.GetListEndpointConnectionsRequestStatusEnum(), gates.GetConnectionActionReqActionEnum()
	waiting := must[*gates.ListEndpointConnectionsResponse](t)(s.owner.apig.ListEndpointConnections(&gates.ListEndpointConnectionsRequest{
		InstanceId: gatewayID, Id: &e.ID, MarkerId: &e.Marker, Status: &status.PENDING_ACCEPTANCE, Limit: new(int32(0)), Offset: new(int64(-1)),
	}))
	if waiting.Total != 1 || waiting.Size != 1 || (*waiting.Connections)[0].MarkerId != e.Marker {
		t.Fatalf("what waits is %v", waiting)
	}
	_, err := s.owner.apig.ListEndpointConnections(&gates.ListEndpointConnectionsRequest{InstanceId: missingGateway})
	sdkRefusal(t, err, 404, "APIC.7302")
	decide := func(action gates.ConnectionActionReqAction, id string) (*gates.AcceptOrRejectEndpointConnectionsResponse, error) {
		return s.owner.apig.AcceptOrRejectEndpointConnections(&gates.AcceptOrRejectEndpointConnectionsRequest{
			InstanceId: gatewayID, Body: &gates.ConnectionActionReq{Action: action, Endpoints: []string{id}},
		})
	}
	decided := must[*gates.AcceptOrRejectEndpointConnectionsResponse](t)
	if a := decided(decide(verb.RECEIVE, e.ID)); a.Total != 1 || a.Size != 1 || (*a.Connections)[0].Status.Value() != "accepted" {
		t.Errorf("accept answers %v", a)
	}
	addr := atPort(s.client.endpoint(e.ID).IP, port)
	mustEcho(t, addr)
	decided(decide(verb.REJECT, e.ID))
	mustRefuse(t, addr)
	_, err = decide(verb.REJECT, gatewayID)
	sdkRefusal(t, err, 400, "APIC.7211")
}

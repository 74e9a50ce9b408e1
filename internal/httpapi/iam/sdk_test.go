package iam

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	vpcep "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpcep/v1/model"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// If this failed, the vendor's SDK could not find its project by the name of its
// region, or its method for the versions of the service would be answered with
// those of identity, which it cannot decode.
func TestSDKFindsItsProjectAndVersions(t *testing.T) {
	in := install(t, time.Now(), serviceFamily())
	credentials, err := basic.NewCredentialsBuilder().WithAk(access).WithSk(secret).WithIamEndpointOverride(in.url).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	hc, err := vpcep.VpcepClientBuilder().WithRegion(sdkregion.NewRegion("eu-de", in.url)).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatalf("the SDK did not find its project: %v", err)
	}
	if credentials.ProjectId != euDe {
		t.Errorf("project %s, want %s", credentials.ProjectId, euDe)
	}
	res, err := vpcep.NewVpcepClient(hc).ListVersionDetails(&model.ListVersionDetailsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if res.HttpStatusCode != 200 || res.Versions == nil || len(*res.Versions) != 1 || *(*res.Versions)[0].Id != "v1" {
		t.Errorf("versions %v", res)
	}
}

// If this failed, the SDK's clients of global services could not find their
// account, and its identity client would be shown the versions of a service.
func TestSDKFindsItsAccount(t *testing.T) {
	roots := make(chan string, 1)
	seen := serviceFamily()
	seen.Routes[0].When = func(r *http.Request) bool {
		roots <- r.Header.Get("X-Domain-Id") + " " + r.Header.Get("User-Agent")
		return edge.WantsServiceVersions(r)
	}
	seen.Routes[0].Handler = func(context.Context, *edge.Request) (edge.Response, error) {
		return edge.Response{Status: http.StatusTeapot}, nil
	}
	in := install(t, time.Now(), seen)
	credentials, err := global.NewCredentialsBuilder().WithAk(access).WithSk(secret).WithIamEndpointOverride(in.url).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	// What the SDK's identity client is, without its two hundred operations.
	hc, err := core.NewHcHttpClientBuilder().WithCredentialsType("global.Credentials").
		WithRegion(sdkregion.NewRegion("eu-de", in.url)).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatalf("the SDK did not find its account: %v", err)
	}
	if credentials.DomainId != acme {
		t.Errorf("account %s, want %s", credentials.DomainId, acme)
	}
	// The request is the one of KeystoneListVersions: GET / with an empty body.
	if _, err := hc.Sync(&model.ListVersionDetailsRequest{}, vpcep.GenReqDefForListVersionDetails()); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("the SDK did not get the versions of identity: %v", err)
	}
	select {
	case got := <-roots:
		if !strings.HasPrefix(got, acme+" huaweicloud-usdk-go/") {
			t.Errorf("the SDK sent %q", got)
		}
	default:
		t.Error("nobody was asked whose root it is")
	}
}

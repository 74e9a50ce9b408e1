package iam

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer/algorithm"
	sdkconfig "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	sdkrequest "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	sdk "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// derived asks sdkClient for the derived credentials, which are no algorithm to the SDK.
const derived = "derived"

// labels are what Authorization begins with.
var labels = map[string]string{
	algorithm.HmacSHA256: aksk.Algorithm, algorithm.HmacSM3: aksk.AlgorithmSM3, algorithm.EcdsaP256SHA256: aksk.AlgorithmECDSA,
	algorithm.SM2SM3: aksk.AlgorithmSM2, derived: aksk.AlgorithmDerived,
}

// labelled fails the test if a request is not signed with the algorithm.
type labelled struct {
	t     *testing.T
	label string
}

func (l labelled) RoundTrip(r *http.Request) (*http.Response, error) {
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, l.label+" ") {
		l.t.Errorf("%s %s: signed as %q, want %s", r.Method, r.URL.Path, got, l.label)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// sdkClient is the vendor's identity client with a key, and with a security token if
// it is a temporary one. The SDK looks its account up by itself.
func sdkClient(t *testing.T, url, ak, sk, securityToken, signing string) (*sdk.IamClient, error) {
	t.Helper()
	builder := global.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithSecurityToken(securityToken).WithIamEndpointOverride(url)
	config := sdkconfig.DefaultHttpConfig().WithTimeout(10 * time.Second).WithHttpRoundTripper(labelled{t, labels[signing]})
	if signing == derived {
		builder.WithDerivedPredicate(func(*sdkrequest.DefaultHttpRequest) bool { return true })
	} else {
		config.WithSigningAlgorithm(algorithm.SigningAlgorithm(signing))
	}
	credentials, err := builder.SafeBuild()
	if err != nil {
		return nil, err
	}
	hc, err := sdk.IamClientBuilder().WithRegion(sdkregion.NewRegion("eu-de", url)).WithCredential(credentials).
		WithHttpConfig(config).WithDerivedAuthServiceName("iam").SafeBuild()
	if err != nil {
		return nil, err
	}
	return sdk.NewIamClient(hc), nil
}

func sdkLogin(pw string) *model.KeystoneCreateUserTokenByPasswordRequest {
	project := "eu-de"
	return &model.KeystoneCreateUserTokenByPasswordRequest{Body: &model.KeystoneCreateUserTokenByPasswordRequestBody{Auth: &model.PwdAuth{
		Identity: &model.PwdIdentity{
			Methods: []model.PwdIdentityMethods{model.GetPwdIdentityMethodsEnum().PASSWORD},
			Password: &model.PwdPassword{User: &model.PwdPasswordUser{
				Domain: &model.PwdPasswordUserDomain{Name: "acme"}, Name: "paula", Password: pw,
			}},
		},
		Scope: &model.AuthScope{Project: &model.AuthScopeProject{Name: &project}},
	}}}
}

// If this failed, a program that logs in with the vendor's SDK, looks around and makes
// itself a temporary key would break on an answer.
func TestSDKIdentityClient(t *testing.T) {
	in := install(t, time.Now())
	client, err := sdkClient(t, in.url, access, secret, "", algorithm.HmacSHA256)
	if err != nil {
		t.Fatal(err)
	}
	login, err := client.KeystoneCreateUserTokenByPassword(sdkLogin(password))
	if err != nil {
		t.Fatal(err)
	}
	if login.HttpStatusCode != http.StatusCreated || login.XSubjectToken == nil || login.Token.Project.Id != euDe || len(login.Token.Catalog) != len(services) {
		t.Fatalf("login: %v", login)
	}
	valid, err := client.KeystoneValidateToken(&model.KeystoneValidateTokenRequest{XSubjectToken: *login.XSubjectToken})
	if err != nil || *valid.XSubjectToken != *login.XSubjectToken || valid.Token.User.Name != "paula" {
		t.Errorf("validate: %v %v", valid, err)
	}
	_, err = client.KeystoneCreateUserTokenByPassword(sdkLogin("wrong"))
	if e, ok := errors.AsType[*sdkerr.ServiceResponseError](err); !ok || e.StatusCode != http.StatusUnauthorized || !strings.Contains(e.ErrorMessage, textBadPassword.en) {
		t.Errorf("a wrong password: %v", err)
	}

	k, err := client.CreateTemporaryAccessKeyByToken(&model.CreateTemporaryAccessKeyByTokenRequest{
		Body: &model.CreateTemporaryAccessKeyByTokenRequestBody{Auth: &model.TokenAuth{Identity: &model.TokenAuthIdentity{
			Methods: []model.TokenAuthIdentityMethods{model.GetTokenAuthIdentityMethodsEnum().TOKEN},
			Token:   &model.IdentityToken{Id: login.XSubjectToken, DurationSeconds: new(int32(21600))},
		}}},
	})
	if err != nil || k.HttpStatusCode != http.StatusCreated {
		t.Fatalf("temporary key: %v %v", k, err)
	}
	// What the SDK itself does with keys it gets from an identity provider.
	if end, err := time.Parse("2006-01-02T15:04:05Z", k.Credential.ExpiresAt); err != nil || time.Until(end) < 5*time.Hour {
		t.Errorf("expires at %q: %v", k.Credential.ExpiresAt, err)
	}
	temporary, err := sdkClient(t, in.url, k.Credential.Access, k.Credential.Secret, k.Credential.Securitytoken, algorithm.HmacSHA256)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*sdk.IamClient{"key": client, "temporary key": temporary} {
		t.Run(name, func(t *testing.T) { lookAround(t, c) })
	}
}

// lookAround makes every call that only reads.
func lookAround(t *testing.T, c *sdk.IamClient) {
	t.Helper()
	name := "eu-de"
	projects, err := c.KeystoneListProjects(&model.KeystoneListProjectsRequest{Name: &name})
	if err != nil || len(*projects.Projects) != 1 || (*projects.Projects)[0].Id != euDe {
		t.Errorf("projects: %v %v", projects, err)
	}
	own, err := c.KeystoneListAuthProjects(&model.KeystoneListAuthProjectsRequest{})
	if err != nil || len(*own.Projects) != 2 {
		t.Errorf("own projects: %v %v", own, err)
	}
	domains, err := c.KeystoneListAuthDomains(&model.KeystoneListAuthDomainsRequest{})
	if err != nil || len(*domains.Domains) != 1 || (*domains.Domains)[0].Id != acme {
		t.Errorf("domains: %v %v", domains, err)
	}
	catalog, err := c.KeystoneShowCatalog(&model.KeystoneShowCatalogRequest{})
	if err != nil || len(*catalog.Catalog) != len(services) {
		t.Errorf("catalogue: %v %v", catalog, err)
	}
	users, err := c.KeystoneListUsers(&model.KeystoneListUsersRequest{})
	if err != nil || len(*users.Users) != 3 {
		t.Errorf("users: %v %v", users, err)
	}
	versions, err := c.KeystoneListVersions(&model.KeystoneListVersionsRequest{})
	if err != nil || versions.HttpStatusCode != http.StatusMultipleChoices || versions.Versions.Values[0].Id != "v3.6" {
		t.Errorf("versions: %v %v", versions, err)
	}
	version, err := c.KeystoneShowVersion(&model.KeystoneShowVersionRequest{})
	if err != nil || version.Version.Links[0].Href != publicURL+"/v3/" {
		t.Errorf("version: %v %v", version, err)
	}
}

// If this failed, programs that were told to sign with another algorithm could not log
// in, or would be let in whatever they signed with.
func TestSDKSigningAlgorithms(t *testing.T) {
	in := install(t, time.Now())
	for signing := range labels {
		t.Run(signing, func(t *testing.T) {
			client, err := sdkClient(t, in.url, access, secret, "", signing)
			if err != nil {
				t.Fatal(err)
			}
			lookAround(t, client)
			login, err := client.KeystoneCreateUserTokenByPassword(sdkLogin(password))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.KeystoneValidateToken(&model.KeystoneValidateTokenRequest{XSubjectToken: *login.XSubjectToken}); err != nil {
				t.Error(err)
			}
			credentials := client.HcClient.GetCredential().(*global.Credentials)
			credentials.SK += "x"
			_, err = client.KeystoneListProjects(&model.KeystoneListProjectsRequest{})
			if e, ok := errors.AsType[*sdkerr.ServiceResponseError](err); !ok || e.StatusCode != http.StatusUnauthorized {
				t.Errorf("another secret: %v", err)
			}
		})
	}
}

// If this failed, a temporary key would work on after its end, without its security
// token or from a token that was revoked, or would be refused when it is used as the
// clients use it: the token in the header signed or not, or in the body of a login.
func TestTemporaryKeyOverTheWire(t *testing.T) {
	in := install(t, goldenTime)
	token := in.token(t, "acme", "paula", "")
	res := in.do(t, request(t, "POST", in.url+"/v3.0/OS-CREDENTIAL/securitytokens",
		`{"auth":{"identity":{"methods":["token"],"token":{"id":"`+token+`"}}}}`))
	var body struct{ Credential credential }
	res.into(t, &body)
	k := body.Credential
	if res.status != http.StatusCreated || k.ExpiresAt != "2026-01-02T03:19:05.000000Z" {
		t.Fatalf("%d %s", res.status, res.body)
	}
	login := func(with string) answer {
		return in.do(t, request(t, "POST", in.url+"/v3/auth/tokens", fmt.Sprintf(
			`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}%s}}}}`, k.Access, k.Secret, with)))
	}
	if res := login(`,"security_token":{"key":"` + k.SecurityToken + `"}`); res.status != http.StatusCreated || !strings.Contains(res.body, `"expires_at":"2026-01-02T03:19:05`) {
		t.Errorf("login: %d %s", res.status, res.body)
	}
	if res := login(""); res.status != http.StatusUnauthorized {
		t.Errorf("login without the security token: %d", res.status)
	}
	call := func(before, after string) answer {
		req := request(t, "GET", in.url+"/v3/auth/domains", "")
		if before != "" {
			req.Header.Set("X-Security-Token", before)
		}
		if err := aksk.Sign(req, nil, k.Access, k.Secret, in.now); err != nil {
			t.Fatal(err)
		}
		if after != "" {
			req.Header.Set("X-Security-Token", after)
		}
		return in.do(t, req)
	}
	for name, tt := range map[string]struct {
		before, after string
		want          int
	}{
		"signed": {k.SecurityToken, "", 200}, "unsigned": {"", k.SecurityToken, 200}, "absent": {"", "", 401}, "broken": {"", "x", 401},
	} {
		if res := call(tt.before, tt.after); res.status != tt.want {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	in.now = goldenTime.Add(15 * time.Minute)
	if res := call("", k.SecurityToken); res.status != http.StatusUnauthorized || !strings.Contains(res.body, "the securitytoken has expired") {
		t.Errorf("after its end: %d %s", res.status, res.body)
	}
	in.now = goldenTime
	if res := in.do(t, request(t, "DELETE", in.url+"/v3/auth/tokens", "", "X-Auth-Token", token, headerSubject, token)); res.status != http.StatusNoContent {
		t.Fatalf("revoke: %d", res.status)
	}
	if res := call("", k.SecurityToken); res.status != http.StatusUnauthorized {
		t.Errorf("after the end of its token: %d %s", res.status, res.body)
	}
}

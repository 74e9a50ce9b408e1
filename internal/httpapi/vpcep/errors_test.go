package vpcep

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this failed, a refusal of the domain would reach clients under a code that
// says nothing, or under a status they do not expect.
func TestEveryReasonHasACode(t *testing.T) {
	t.Parallel()
	list := familytest.Reasons(t)
	for _, r := range list {
		if _, ok := reasonAnswers[r]; !ok {
			t.Errorf("the reason %s has no code", r)
		}
	}
	if len(reasonAnswers) != len(list) {
		t.Errorf("%d reasons have codes, the domain has %d", len(reasonAnswers), len(list))
	}
	want := map[sallyport.Reason]string{
		sallyport.ReasonForbidden: "403 EndPoint.0004", sallyport.ReasonProjectForeign: "403 EndPoint.0004",
		sallyport.ReasonServiceNotFound: "404 EndPoint.0005", sallyport.ReasonServiceUnknown: "400 EndPoint.2003",
		sallyport.ReasonServiceUnavailable: "400 EndPoint.2004", sallyport.ReasonServiceInUse: "400 EndPoint.3006",
		sallyport.ReasonServiceSystem: "403 EndPoint.0004", sallyport.ReasonServiceAmbiguous: "400 EndPoint.0002",
		sallyport.ReasonEndpointNotFound: "404 EndPoint.2006", sallyport.ReasonNotConnection: "400 EndPoint.2013",
		sallyport.ReasonNotWhitelisted: "400 EndPoint.2012", sallyport.ReasonDeleting: "400 EndPoint.2018",
		sallyport.ReasonRefused: "400 EndPoint.2019", sallyport.ReasonQuota: "400 Endpoint.1018",
		sallyport.ReasonVPCUnknown: "400 EndPoint.2001", sallyport.ReasonSubnetUnknown: "404 EndPoint.4004",
		sallyport.ReasonSubnetForeign: "400 EndPoint.2037", sallyport.ReasonAddressTaken: "400 EndPoint.2042",
		sallyport.ReasonAddressOutside: "400 EndPoint.2043", sallyport.ReasonAddressesExhausted: "400 EndPoint.2016",
		sallyport.ReasonPortUnknown: "404 EndPoint.4012", sallyport.ReasonPortForeign: "400 EndPoint.3042",
		sallyport.ReasonPortsConflict: "400 EndPoint.3044", sallyport.ReasonPermissionsFull: "400 EndPoint.3049",
		sallyport.ReasonMarkersExhausted: "400 EndPoint.2022", sallyport.ReasonUnconfirmed: "504 EndPoint.0013",
		sallyport.ReasonTokensFull:         "400 EndPoint.0022",
		sallyport.ReasonPermissionNotFound: "404 EndPoint.0005", sallyport.ReasonWhitelistKind: "400 EndPoint.2044",
		sallyport.ReasonFailed: "400 EndPoint.2047", sallyport.ReasonRouteTableKind: "400 EndPoint.1019",
		sallyport.ReasonRouteTableUsed: "400 EndPoint.2039", sallyport.ReasonRouteTableNone: "400 EndPoint.2040",
		sallyport.ReasonPolicyDisabled: "400 EndPoint.2048", sallyport.ReasonNoPolicy: "400 EndPoint.2049",
		sallyport.ReasonServiceManaged: "400 EndPoint.3006", sallyport.ReasonInstanceNotFound: "404 EndPoint.0005",
		sallyport.ReasonInstanceClosed: "400 EndPoint.0002", sallyport.ReasonInstanceOpen: "400 EndPoint.0002",
		sallyport.ReasonInstanceConfigured: "400 EndPoint.0002", sallyport.ReasonInstanceExists: "400 EndPoint.0002",
		sallyport.ReasonTagsFull: "400 EndPoint.3069", sallyport.ReasonResourcesFull: "400 EndPoint.0016",
	}
	got := map[sallyport.Reason]string{}
	for _, r := range list {
		res := renderError(&edge.Request{}, fmt.Errorf("decide: %w", sallyport.Refuse(sallyport.KindConflict, r, "why")))
		got[r] = fmt.Sprintf("%d %s", res.Status, res.Body.(errorAnswer).ErrorCode)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

// If this failed, a kind of error without a reason would be shown as a fault of
// ours, or a fault of ours with its text.
func TestKinds(t *testing.T) {
	t.Parallel()
	for kind, want := range map[sallyport.Kind]string{
		sallyport.KindInvalid:     "400 EndPoint.0002 Parameter error. Why.",
		sallyport.KindForbidden:   "403 EndPoint.0004 Authentication information is incorrect or you have no permissions.",
		sallyport.KindNotFound:    "404 EndPoint.0005 The requested resource does not exist.",
		sallyport.KindConflict:    "400 EndPoint.0002 Parameter error. Why.",
		sallyport.KindQuota:       "400 Endpoint.1018 Quota exceeded. Why.",
		sallyport.KindUnconfirmed: "504 EndPoint.0013 The request was not completed in time. Please retry. Why.",
		sallyport.KindInternal:    "500 EndPoint.0001 System error. Please retry.",
	} {
		res := renderError(&edge.Request{}, sallyport.Refuse(kind, "", "why"))
		if got := answerText(res); got != want {
			t.Errorf("%s is %q, want %q", kind, got, want)
		}
	}
	res := renderError(&edge.Request{}, errors.New("dial tcp 10.0.0.5:5432: refused"))
	if got, want := answerText(res), "500 EndPoint.0001 System error. Please retry."; got != want {
		t.Errorf("a plain error is %q, want %q", got, want)
	}
}

// If this failed, an error of the edge would reach clients as a fault of ours
// or with another status than the edge gave it.
func TestEveryClassHasACode(t *testing.T) {
	t.Parallel()
	for _, c := range edge.Classes {
		if _, ok := classAnswers[c]; !ok {
			t.Errorf("class %d has no code", c)
		}
		res := renderError(&edge.Request{}, edge.NewProblem(c, "why"))
		if res.Status != c.Status() {
			t.Errorf("class %d has status %d, want %d", c, res.Status, c.Status())
		}
		if body := res.Body.(errorAnswer); body.ErrorMsg == "" || body.Error.Message != body.ErrorMsg || body.Error.Code != body.ErrorCode {
			t.Errorf("class %d: the two shapes differ: %+v", c, body)
		}
	}
	if len(classAnswers) != len(edge.Classes) {
		t.Errorf("%d classes have codes, the edge has %d", len(classAnswers), len(edge.Classes))
	}
}

// If this failed, a value that a field of ours refuses while it is decoded would
// lose its code to the general one for bad JSON.
func TestCodeBelowAProblemWins(t *testing.T) {
	t.Parallel()
	p := edge.NewProblem(edge.ClassBadJSON, "the request body has a value that is not valid")
	p.Err = refuse(codePort, "port 0")
	if got, want := answerText(renderError(&edge.Request{}, p)), "400 EndPoint.3004 Invalid port. Port 0."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// If this failed, a caller who reads Chinese would be answered in English.
func TestErrorsInChinese(t *testing.T) {
	t.Parallel()
	q := &edge.Request{Language: edge.Chinese}
	for _, c := range []struct {
		err  error
		want string
	}{
		{sallyport.Refuse(sallyport.KindInvalid, sallyport.ReasonNotConnection, "why"), "400 EndPoint.2013 终端节点不属于该终端节点服务。"},
		{edge.NewProblem(edge.ClassMethod, "why"), "405 EndPoint.0002 该资源不支持此请求方法。"},
		{errors.New("why"), "500 EndPoint.0001 系统错误，请重试。"},
	} {
		if got := answerText(renderError(q, c.err)); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
}

func answerText(res edge.Response) string {
	status := res.Status
	if status == 0 {
		status = http.StatusOK
	}
	body := res.Body.(errorAnswer)
	return fmt.Sprintf("%d %s %s", status, body.ErrorCode, body.ErrorMsg)
}

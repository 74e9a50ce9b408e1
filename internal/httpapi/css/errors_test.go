package css

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this failed, a refusal of the domain would reach clients under a code that
// says nothing, or a success.
func TestEveryReasonHasACode(t *testing.T) {
	t.Parallel()
	list := familytest.Reasons(t)
	for _, r := range list {
		if _, ok := reasonAnswers[r]; !ok {
			t.Errorf("the reason %s has no code", r)
		}
		res := renderError(&edge.Request{}, fmt.Errorf("decide: %w", sallyport.Refuse(sallyport.KindConflict, r, "why")))
		if _, ok := catalogue[res.Body.(errorAnswer).ErrCode]; !ok || res.Status < http.StatusBadRequest {
			t.Errorf("the reason %s is %d %+v", r, res.Status, res.Body)
		}
	}
	if len(reasonAnswers) != len(list) {
		t.Errorf("%d reasons have codes, the domain has %d", len(reasonAnswers), len(list))
	}
}

// If this failed, clients that match status and code would not recognise what
// they wait for: a cluster that is gone, a service that is not open.
func TestErrorsThatClientsMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{sallyport.Refuse(sallyport.KindNotFound, sallyport.ReasonInstanceNotFound, "secret"), "403 CSS.0015 The cluster was not found, or you may not access it."},
		{sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceClosed, "secret"), "400 CSS.5182 The VPC endpoint service of the cluster is not enabled."},
		{sallyport.Refuse(sallyport.KindConflict, sallyport.ReasonInstanceOpen, "why"), "409 CSS.0031 It exists already. (why)"},
		{sallyport.Refuse(sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed, "why"), "504 CSS.9999 The request was not completed in time. Repeat it. (why)"},
		{sallyport.Refuse(sallyport.KindForbidden, "new", "secret"), "403 CSS.0010 You are not authorized to do this."},
		{sallyport.Refuse(sallyport.KindInternal, "", "secret"), "500 CSS.0005 A fault of the server. Try again."},
		{errors.New("secret"), "500 CSS.0005 A fault of the server. Try again."},
		{edge.NewProblem(edge.ClassCredentials, "why"), "401 APIGW.0301 Incorrect IAM authentication information: why"},
	} {
		res := renderError(&edge.Request{}, c.err)
		body := res.Body.(errorAnswer)
		if got := fmt.Sprintf("%d %s %s", res.Status, body.ErrCode, body.ExternalMessage); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
		if body.ErrCode != body.ErrorCode || body.ExternalMessage != body.ErrorMsg {
			t.Errorf("the two pairs differ: %+v", body)
		}
	}
}

// If this failed, an error of the edge would reach clients as a fault of ours or
// with another status than the edge gave it.
func TestEveryClassHasACode(t *testing.T) {
	t.Parallel()
	for _, c := range edge.Classes {
		if _, ok := classAnswers[c]; !ok {
			t.Errorf("class %d has no code", c)
		}
		if res := renderError(&edge.Request{}, edge.NewProblem(c, "why")); res.Status != c.Status() {
			t.Errorf("class %d has status %d, want %d", c, res.Status, c.Status())
		}
	}
	if len(classAnswers) != len(edge.Classes) {
		t.Errorf("%d classes have codes, the edge has %d", len(classAnswers), len(edge.Classes))
	}
}

// If this failed, a kind of error would have no answer, or a code no text in one
// of the languages.
func TestKindsAndTexts(t *testing.T) {
	t.Parallel()
	for k := sallyport.KindInternal; k <= sallyport.KindUnconfirmed; k++ {
		if _, ok := kindAnswers[k]; !ok {
			t.Errorf("the kind %s has no code", k)
		}
	}
	for code, e := range catalogue {
		if e.status < http.StatusBadRequest || e.english == "" || e.chinese == "" || e.chinese == e.english {
			t.Errorf("%s: %+v", code, e)
		}
		if got := message(code, "why", true); !strings.HasPrefix(got, e.chinese) {
			t.Errorf("%s in Chinese is %q", code, got)
		}
	}
}

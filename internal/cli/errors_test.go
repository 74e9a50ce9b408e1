package cli

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	endpointCreate = []string{"endpoint", "create", "--service", service1, "--vpc", "v", "--subnet", "s"}
	accept         = []string{"connection", "accept", service1, ep1}

	errorTests = []struct {
		name   string
		args   []string
		call   string
		status int
		body   string
		want   string
	}{
		{
			"not a connection", accept, actionCall, 400,
			`{"error_code":"EndPoint.2013","error_msg":"The endpoint does not belong to the endpoint service."}`,
			"sallyport: connection accept: EndPoint.2013: The endpoint does not belong to the endpoint service. (request id r-1)\n" +
				"hint: what is connected or waits is shown by: sallyport connection list " + service1 + " --all\n",
		},
		{
			"the older spelling", accept, actionCall, 400, `{"error":{"code":"Endpoint.2013","message":"m"}}`,
			"sallyport: connection accept: Endpoint.2013: m (request id r-1)\n" +
				"hint: what is connected or waits is shown by: sallyport connection list " + service1 + " --all\n",
		},
		{
			"not whitelisted", endpointCreate, "POST " + base + "/vpc-endpoints", 400,
			`{"error_code":"EndPoint.2012","error_msg":"You have no permission to connect to the VPC endpoint service."}`,
			"sallyport: endpoint create: EndPoint.2012: You have no permission to connect to the VPC endpoint service. (request id r-1)\n" +
				"hint: the owner of the service must let your account in: sallyport permission add " + service1 + " iam:domain::" + account + "\n",
		},
		{
			"unconfirmed decision", accept, actionCall, 504, `{"error_code":"EndPoint.0013","error_msg":"late"}`,
			"sallyport: connection accept: EndPoint.0013: late (request id r-1)\n" +
				"hint: the decision is kept; only its confirmation by the data plane is missing. Repeat the command: that is safe\n",
		},
		{
			"unconfirmed creation", endpointCreate, "POST " + base + "/vpc-endpoints", 504, `{"error_code":"EndPoint.0013","error_msg":"late"}`,
			"sallyport: endpoint create: EndPoint.0013: late (request id r-1)\n" +
				"hint: it may have been done; look with the list verb before you repeat\n",
		},
		{
			"credentials",
			[]string{"quota"},
			quotasCall, 401, `{"error":{"code":401,"message":"The X-Auth-Token is invalid!","title":"Unauthorized"}}`,
			"sallyport: quota: HTTP 401 Unauthorized: The X-Auth-Token is invalid! (request id r-1)\n" +
				"hint: the token (OS_TOKEN) is wrong or older than a day; sallyport token prints a new one, with user and password\n",
		},
		{
			"in use",
			[]string{"service", "delete", service1},
			"DELETE " + oneBase, 400, `{"error_code":"EndPoint.3006","error_msg":"m"}`,
			"sallyport: service delete: EndPoint.3006: m (request id r-1)\n" +
				"hint: reject its connections first; they are shown by: sallyport connection list " + service1 + " --all\n",
		},
		{
			"quota", endpointCreate, "POST " + base + "/vpc-endpoints", 400, `{"error_code":"Endpoint.1018","error_msg":"Quota exceeded."}`,
			"sallyport: endpoint create: Endpoint.1018: Quota exceeded. (request id r-1)\nhint: what is used and allowed is shown by: sallyport quota\n",
		},
		{
			"something in between",
			[]string{"quota"},
			quotasCall, 502, "<html>bad gateway</html>",
			"sallyport: quota: HTTP 502 Bad Gateway (request id r-1)\n",
		},
		{
			"not JSON",
			[]string{"quota"},
			quotasCall, 200, "<html>console</html>",
			"sallyport: quota: the answer is not what this API answers: invalid character '<' looking for beginning of value\n" +
				"hint: is there a sallyport server or a VPCEP API at this URL? See --endpoint\n",
		},
		{
			"other JSON",
			[]string{"service", "list"},
			servicesCall, 200, `{"total_count":1}`,
			"sallyport: service list: the answer is not what this API answers: unexpected end of JSON input\n" +
				"hint: is there a sallyport server or a VPCEP API at this URL? See --endpoint\n",
		},
		{
			"long",
			[]string{"quota"},
			quotasCall, 500, `{"error_code":"EndPoint.0001","error_msg":"` + strings.Repeat("x", 600) + `"}`,
			"sallyport: quota: EndPoint.0001: " + strings.Repeat("x", maxShown) + "… (request id r-1)\n",
		},
	}
)

// An error must say what happened, where, and what to do. If these texts are
// wrong, people look in the wrong place.
func TestErrorTexts(t *testing.T) {
	for _, tt := range errorTests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t)
			v.on(tt.call, tt.status, tt.body)
			v.on("GET /v3/auth/domains", 200, `{"domains":[{"id":"`+account+`","name":"consumer"}]}`)
			if diff := cmp.Diff(tt.want, with(t, v).run(tt.args...).want(t, ExitFailure).errors); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

// A login that is refused must say which of the settings was used, and no secret.
func TestLoginRefused(t *testing.T) {
	v := newVendor(t)
	refused := `{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`
	v.on(tokensCall, 401, refused)
	paula := bare(t, v, "OS_USERNAME", "paula", "OS_PASSWORD", "s3cret", "OS_DOMAIN_NAME", "provider", "OS_PROJECT_ID", project)
	r := paula.run("quota").want(t, ExitFailure)
	want := "sallyport: quota: log in: HTTP 401 Unauthorized: The username or password is wrong. (request id r-1)\n" +
		"hint: check user (OS_USERNAME), password (OS_PASSWORD) and domain (OS_DOMAIN_NAME)\n"
	if diff := cmp.Diff(want, r.errors); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	v.on(quotasCall, 401, refused)
	key := bare(t, v, "OS_ACCESS_KEY", "ak", "OS_SECRET_KEY", "s3cret", "OS_PROJECT_ID", project)
	key.run("quota").want(t, ExitFailure).says(t, "hint: check the access key (OS_ACCESS_KEY), its secret (OS_SECRET_KEY) and the clock")
	v2 := newVendor(t)
	v2.on(tokensCall, 403, `{"error":{"code":403,"message":"no","title":"Forbidden"}}`)
	paula.and("SALLYPORT_ENDPOINT", v2.URL).run("quota").want(t, ExitFailure).says(t, "the account has no such project: choose one with --project-name")
	v3 := newVendor(t) // something that knows no identity API
	paula.and("SALLYPORT_ENDPOINT", v3.URL).run("quota").want(t, ExitFailure).says(t, "there is no identity API at "+v3.URL+"/v3")
}

// closedPort returns an address that nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

// If this fails, a server that is not started looks like a fault of the program, or
// a command that writes is sent twice.
func TestNoServer(t *testing.T) {
	v := newVendor(t)
	url := closedPort(t)
	r := with(t, v).and("SALLYPORT_ENDPOINT", url)
	r.run("quota").want(t, ExitFailure).says(t, "connection refused\nhint: is `sallyport serve` running at "+url+"?")
	if want := []time.Duration{firstPause, 2 * firstPause}; !cmp.Equal(r.slept, want) {
		t.Errorf("pauses between attempts = %v, want %v", r.slept, want)
	}
	r.slept = nil
	r.run("endpoint", "delete", ep1).want(t, ExitFailure).says(t, "is `sallyport serve` running")
	if len(r.slept) > 0 {
		t.Error("a DELETE was sent again")
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// A GET may be sent again, anything else may not: it may have been done. Nothing is
// sent again because of an answer.
func TestRetries(t *testing.T) {
	v := newVendor(t)
	v.do(quotasCall, hangUp)
	v.do(quotasCall, hangUp)
	v.on(quotasCall, 200, noQuotas)
	with(t, v).run("quota").want(t, ExitOK)
	if got := len(v.calls()); got != attempts {
		t.Errorf("%d attempts, want %d", got, attempts)
	}
	dead := newVendor(t)
	dead.do(quotasCall, hangUp)
	with(t, dead).run("quota").want(t, ExitFailure).says(t, "EOF")
	if got := len(dead.calls()); got != attempts {
		t.Errorf("%d attempts, want %d", got, attempts)
	}
	for _, args := range [][]string{
		{"service", "create", "--vpc", "v", "--port-id", "p", "--port", "80"},
		{"service", "update", service1, "--approval"},
		{"service", "delete", service1},
		{"permission", "add", service1, "*"},
	} {
		cut := newVendor(t)
		cut.do("POST "+base+"/vpc-endpoint-services", hangUp)
		cut.do("POST "+oneBase+"/permissions/action", hangUp)
		cut.do("PUT "+oneBase, hangUp)
		cut.do("DELETE "+oneBase, hangUp)
		r := with(t, cut).run(args...).want(t, ExitFailure)
		if got := len(cut.calls()); got != 1 {
			t.Errorf("%q: %d requests, want 1", args, got)
		}
		if strings.HasPrefix(cut.calls()[0], "POST") {
			r.says(t, "hint: it is not known whether it was done")
		}
	}
	cut := newVendor(t)
	cut.do(actionCall, hangUp)
	with(t, cut).run("connection", "reject", service1, ep1).want(t, ExitFailure).says(t, "repeat the command: that is safe")
	busy := newVendor(t)
	busy.on(quotasCall, 503, "")
	with(t, busy).run("quota").want(t, ExitFailure)
	if got := len(busy.calls()); got != 1 {
		t.Errorf("an answer was asked for %d times", got)
	}
}

// Credentials go where the settings say. If this fails, whoever can make a server
// redirect gets them.
func TestNoRedirects(t *testing.T) {
	thief, v := newVendor(t), newVendor(t)
	v.on(quotasCall, 307, "", "Location", thief.URL+"/x")
	with(t, v).run("quota").want(t, ExitFailure).says(t, "HTTP 307 Temporary Redirect: redirects to "+thief.URL+"/x, which is not followed")
	if len(thief.calls()) > 0 {
		t.Error("the redirect was followed")
	}
}

// If this fails, a server that never stops fills the memory, or a broken one hangs.
func TestBounds(t *testing.T) {
	v := newVendor(t)
	v.on(quotasCall, 200, strings.Repeat(" ", maxAnswer+1))
	with(t, v).run("quota").want(t, ExitFailure).says(t, "the answer is longer than 16 MiB")

	slow := newVendor(t)
	release := make(chan struct{})
	defer close(release)
	slow.do(quotasCall, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	r := with(t, slow)
	r.run("quota", "--timeout", "50ms").want(t, ExitFailure).says(t, "hint: is the server overloaded or the network slow? --timeout")
	if len(r.slept) > 0 {
		t.Error("a server that is too slow was asked again")
	}
}

// FuzzReadError: whatever a server answers, the error is one line of a bounded length.
func FuzzReadError(f *testing.F) {
	f.Add(400, `{"error_code":"EndPoint.0002","error_msg":"m"}`, "r")
	f.Add(401, `{"error":{"code":401,"message":"m","title":"t"}}`, "")
	f.Add(500, `{"error":"x","error_code":[1]}`, "")
	f.Add(302, `null`, "\x1b[2J")
	f.Fuzz(func(t *testing.T, status int, body, id string) {
		answer := &http.Response{StatusCode: status, Header: http.Header{"X-Request-Id": {id}}}
		text := clean(readError(http.MethodGet, answer, []byte(body)).Error())
		if len([]rune(text)) > 6*3*(maxShown+100) { // an unsafe character is six
			t.Errorf("%d characters", len(text))
		}
		if strings.ContainsFunc(text, unsafeRune) {
			t.Errorf("unsafe: %q", text)
		}
	})
}

// FuzzItem: an object of a server can be shown in every way, and JSON is what it was.
func FuzzItem(f *testing.F) {
	f.Add(oneService)
	f.Add(`{"ports":[{"client_port":null}],"tags":[[]],"error":[{"message":1}],"id":5}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		var i item
		if i.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		for _, c := range append(append(serviceNoun.long, endpointNoun.long...), connectionNoun.short...) {
			if cell := i.cell(c.key); strings.ContainsFunc(cell, unsafeRune) || strings.Contains(cell, "\n") || cell == "" {
				t.Errorf("%s is shown as %q", c.key, cell)
			}
		}
		if got := string(i.raw); got != text {
			t.Errorf("the text is not kept: %q", got)
		}
	})
}

package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
)

// terraform is one of the two Terraform providers as it speaks on the wire:
// terraform-provider-huaweicloud, or terraform-provider-opentelekomcloud where
// otc is set. It sends plain HTTP, so that what is asserted is what the provider
// does and not what some version of its code happens to tolerate.
type terraform struct {
	t    *testing.T
	url  string // of the service, with a slash at its end
	iam  string // of identity, the same way
	user user
	otc  bool
	// token is sent where it is set; else requests are signed.
	token string
	// project and domain are those the provider has found out.
	project, domain string
	now             func() time.Time
	http            *http.Client
	calls           []string // method and path of every request
}

// terraform returns a provider that has been given its account and its project.
func (p *product) terraform(t *testing.T, u user, otc bool) *terraform {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(tr.CloseIdleConnections)
	return &terraform{
		t: t, url: p.url + "/", iam: p.url + "/", user: u, otc: otc, project: u.project, domain: u.domainID, now: p.clock,
		http: &http.Client{Transport: tr, Timeout: patience},
	}
}

// tfAgent is the User-Agent of both providers' libraries.
const tfAgent = "golangsdk/2.0.0"

// request makes a request with the headers and the credentials of the provider.
func (c *terraform) request(method, target string, body any) *http.Request {
	c.t.Helper()
	var payload []byte
	if body != nil {
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(body); err != nil { // with a line end, as both send it
			c.t.Fatal(err)
		}
		payload = b.Bytes()
	}
	req, err := http.NewRequest(method, target, bytes.NewReader(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", tfAgent)
	if !c.otc || body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.token != "":
		req.Header.Set("X-Auth-Token", c.token)
	case c.otc:
		if err := aksk.SignCredential(req, payload, c.user.access, c.user.secret, c.now()); err != nil {
			c.t.Fatal(err)
		}
	default:
		signAll(req, payload, c.user.access, c.user.secret, c.now())
	}
	if c.otc {
		req.Close = true
	}
	// Both add these after signing, so no signature covers them.
	if c.domain != "" {
		req.Header.Set("X-Domain-Id", c.domain)
	}
	if c.project != "" && (!c.otc || c.domain == "") {
		req.Header.Set("X-Project-Id", c.project)
	}
	return req
}

// signAll signs in the Access layout as the Huawei provider's library does: all
// headers that are there, the content type included and the host not. The
// product's own signer leaves the content type out, as the SDK does; this one
// shares nothing with it.
func signAll(r *http.Request, body []byte, access, secret string, now time.Time) {
	date := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Sdk-Date", date)
	var names []string
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s/\n%s\n", r.Method, strings.TrimSuffix(r.URL.EscapedPath(), "/"),
		strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"))
	for _, name := range names {
		fmt.Fprintf(&b, "%s:%s\n", name, strings.TrimSpace(r.Header.Get(name)))
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&b, "\n%s\n%x", signed, sha256.Sum256(body))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%x", aksk.Algorithm, date, sha256.Sum256([]byte(b.String())))
	r.Header.Set("Authorization", fmt.Sprintf("%s Access=%s, SignedHeaders=%s, Signature=%s",
		aksk.Algorithm, access, signed, hex.EncodeToString(mac.Sum(nil))))
}

// deliver sends a request and returns what came back.
func (c *terraform) deliver(req *http.Request) answer {
	c.t.Helper()
	c.calls = append(c.calls, req.Method+" "+req.URL.RequestURI())
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, text}
}

// call sends one request and wants one of the status codes that the provider
// takes, an id to report, and JSON where there is a body.
func (c *terraform) call(method, target string, body any, accepted ...int) answer {
	c.t.Helper()
	a := c.deliver(c.request(method, target, body))
	if !slices.Contains(accepted, a.status) {
		c.t.Fatalf("%s %s: %s, the provider takes %v", method, target, a, accepted)
	}
	if a.header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s %s: no X-Request-Id", method, target)
	}
	kind := a.header.Get("Content-Type")
	if len(a.body) > 0 && !strings.HasPrefix(kind, "application/json") {
		c.t.Errorf("%s %s: the Content-Type is %q", method, target, kind)
	}
	return a
}

// at returns the URL of a path below the project, of version 1.
func (c *terraform) at(path string) string {
	if c.otc {
		return c.url + path // what the catalogue says has version and project in it
	}
	return c.url + "v1/" + c.project + "/" + path
}

// atV2 returns the URL of a path below the project, of version 2.
func (c *terraform) atV2(path string) string { return c.url + "v2/" + c.project + "/" + path }

// into decodes an answer as strictly as the providers do, and more so: every
// field has its JSON type and is there.
func (c *terraform) into(a answer, out any) {
	c.t.Helper()
	tfStrict(c.t, a.body, out)
}

// tfStrict decodes JSON and wants every field of the struct to be there with its
// type, and no null, unless it is tagged omitempty.
func tfStrict(t *testing.T, text []byte, out any) {
	t.Helper()
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var raw any
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	for _, w := range tfLacks(reflect.TypeOf(out).Elem(), raw, "") {
		t.Errorf("%s in %s", w, text)
	}
}

// tfLacks returns what a JSON value does not have that the type wants.
func tfLacks(want reflect.Type, got any, path string) []string {
	var out []string
	switch want.Kind() {
	case reflect.Pointer:
		return tfLacks(want.Elem(), got, path)
	case reflect.Slice:
		list, _ := got.([]any)
		for i, v := range list {
			out = append(out, tfLacks(want.Elem(), v, path+"["+strconv.Itoa(i)+"]")...)
		}
	case reflect.Struct:
		object, ok := got.(map[string]any)
		if !ok {
			return []string{path + " is no object"}
		}
		for f := range want.Fields() {
			name, more, _ := strings.Cut(f.Tag.Get("json"), ",")
			v, there := object[name]
			switch {
			case f.Anonymous:
				out = append(out, tfLacks(f.Type, got, path)...)
			case there && v != nil:
				out = append(out, tfLacks(f.Type, v, path+"."+name)...)
			case !there && more == "omitempty":
			case there:
				out = append(out, path+"."+name+" is null")
			default:
				out = append(out, path+"."+name+" is absent")
			}
		}
	default: // json.Unmarshal has looked at the type
	}
	return out
}

// maxPages is far above the pages of any list here; the provider itself gives up
// after a thousand.
const maxPages = 50

// tfPages reads a list as the Huawei provider's pager does: without a limit, and
// from the number of items it has until a page is empty. It returns the pages'
// items; of each page it wants one list, never null, and the total of all.
func tfPages[T any](c *terraform, path, key string, query url.Values) []T {
	c.t.Helper()
	query = url.Values(http.Header(query).Clone())
	var all []T
	for range maxPages {
		target := c.at(path)
		if len(query) > 0 {
			target += "?" + query.Encode()
		}
		a := c.call(http.MethodGet, target, nil, 200)
		page, total := tfList[T](c.t, a, key)
		if len(page) == 0 {
			if total != len(all) {
				c.t.Errorf("%s: total_count is %d, and there are %d", target, total, len(all))
			}
			return all
		}
		all = append(all, page...)
		if query == nil {
			query = url.Values{}
		}
		query.Set("offset", strconv.Itoa(len(all)))
	}
	c.t.Fatalf("%s never comes to an empty page", path)
	return nil
}

// tfList reads one page of a list.
func tfList[T any](t *testing.T, a answer, key string) (page []T, total int) {
	t.Helper()
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		t.Errorf("a list has the Content-Type %q, which the pager does not read", kind)
	}
	var body map[string]json.RawMessage
	a.into(t, &body)
	arrays := 0
	for _, v := range body {
		if len(v) > 0 && v[0] == '[' {
			arrays++ // a pager merges every list that it finds
		}
	}
	if arrays != 1 || len(body[key]) == 0 || body[key][0] != '[' {
		t.Fatalf("%s is not one list called %s", a, key)
	}
	tfStrict(t, body[key], &page)
	if err := json.Unmarshal(body["total_count"], &total); err != nil {
		t.Fatalf("total_count in %s: %v", a, err)
	}
	return page, total
}

// tfGone is the state that the providers make of a 404.
const tfGone = "gone"

// await looks at a state until it is one of the targets. Any state that is
// neither a target nor one to wait through is the error that ends an apply.
func (c *terraform) await(what string, pending, targets []string, state func() string) string {
	c.t.Helper()
	var now string
	until(c.t, what+" is one of "+strings.Join(targets, ", "), func() bool {
		now = state()
		if slices.Contains(targets, now) {
			return true
		}
		if !slices.Contains(pending, now) {
			c.t.Fatalf("unexpected state %q of %s, wanted one of %v", now, what, targets)
		}
		return false
	})
	return now
}

// status reads the status of a resource, gone where there is none.
func (c *terraform) status(path string) string {
	c.t.Helper()
	a := c.call(http.MethodGet, c.at(path), nil, 200, 404)
	if a.status == 404 {
		return tfGone
	}
	var out struct {
		Status string `json:"status"`
	}
	c.into(a, &out)
	return out.Status
}

package vpcep

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// stub is a plane that agrees to everything, for tests of what comes before it.
// What would be stored must be text that every database takes: where it is not,
// the stub panics, which a caller sees as 500.
type stub struct{}

var _ Plane = stub{}

// storable panics unless every string in the values is UTF-8 without NUL.
func storable(values ...any) {
	for _, v := range values {
		check(reflect.ValueOf(v))
	}
}

func check(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			panic(fmt.Sprintf("%q reaches the store", s))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			check(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			check(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			return
		}
		for _, f := range v.Fields() {
			check(f)
		}
	default: // holds no text
	}
}

func (stub) service() sallyport.ServiceView {
	return sallyport.ServiceView{Service: today.services()[0]}
}

func (stub) endpoint() sallyport.EndpointView {
	return sallyport.EndpointView{Endpoint: today.endpoints()[1], Service: today.services()[0]}
}

func (s stub) CreateService(_ context.Context, _ sallyport.Call, n sallyport.NewService) (sallyport.ServiceView, error) {
	storable(n)
	return s.service(), nil
}

func (s stub) UpdateService(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, ch sallyport.ServiceChange) (sallyport.ServiceView, error) {
	storable(id, ch)
	return s.service(), nil
}

func (stub) DeleteService(_ context.Context, _ sallyport.Call, id sallyport.ServiceID) error {
	storable(id)
	return nil
}

func (s stub) Service(context.Context, sallyport.Call, sallyport.ServiceID) (sallyport.ServiceView, error) {
	return s.service(), nil
}

func (s stub) Services(context.Context, sallyport.Call, sallyport.ServiceQuery) ([]sallyport.ServiceView, int, error) {
	return []sallyport.ServiceView{s.service()}, 1, nil
}

func (s stub) Describe(context.Context, sallyport.Call, sallyport.ServiceID, string) (*sallyport.Service, error) {
	return s.service().Service, nil
}

func (stub) AddResources(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, rs []sallyport.ServerResource) error {
	storable(id, rs)
	return nil
}

func (stub) UpgradeService(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, _ bool) error {
	storable(id)
	return nil
}

func (s stub) Connections(context.Context, sallyport.Call, sallyport.EndpointQuery) ([]*sallyport.Endpoint, int, error) {
	return []*sallyport.Endpoint{s.endpoint().Endpoint}, 1, nil
}

func (s stub) NoteConnections(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, notes []sallyport.Note) ([]*sallyport.Endpoint, error) {
	storable(id, notes)
	return []*sallyport.Endpoint{s.endpoint().Endpoint}, nil
}

func (s stub) Decide(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, eps []sallyport.EndpointID, _ sallyport.Action) ([]*sallyport.Endpoint, error) {
	storable(id, eps)
	return []*sallyport.Endpoint{s.endpoint().Endpoint}, nil
}

func (stub) Permissions(context.Context, sallyport.Call, sallyport.PermissionQuery) ([]*sallyport.Permission, int, error) {
	return []*sallyport.Permission{{Value: "*"}}, 1, nil
}

func (stub) ChangePermissions(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, ch sallyport.PermissionChange) ([]*sallyport.Permission, error) {
	storable(id, ch)
	return []*sallyport.Permission{{Value: "*"}}, nil
}

func (stub) DescribePermission(_ context.Context, _ sallyport.Call, id sallyport.ServiceID, pid sallyport.PermissionID, text string) (*sallyport.Permission, error) {
	storable(id, pid, text)
	return &sallyport.Permission{Value: "*"}, nil
}

func (s stub) CreateEndpoint(_ context.Context, _ sallyport.Call, n sallyport.NewEndpoint) (sallyport.EndpointView, error) {
	storable(n)
	v := s.endpoint()
	v.IPv6Address, v.PolicyStatement, v.PolicyDocument = n.IPv6Address, n.PolicyStatement, n.PolicyDocument
	return v, nil
}

func (s stub) Endpoint(context.Context, sallyport.Call, sallyport.EndpointID) (sallyport.EndpointView, error) {
	return s.endpoint(), nil
}

func (s stub) Endpoints(context.Context, sallyport.Call, sallyport.EndpointQuery) ([]sallyport.EndpointView, int, error) {
	return []sallyport.EndpointView{s.endpoint()}, 1, nil
}

func (s stub) UpdateEndpoint(_ context.Context, _ sallyport.Call, id sallyport.EndpointID, ch sallyport.EndpointChange) (sallyport.EndpointView, error) {
	storable(id, ch)
	v := s.endpoint()
	if ch.PolicyStatement != nil {
		v.PolicyStatement = *ch.PolicyStatement
	}
	if ch.PolicyDocument != nil {
		v.PolicyDocument = *ch.PolicyDocument
	}
	return v, nil
}

func (stub) DeleteEndpoint(_ context.Context, _ sallyport.Call, id sallyport.EndpointID) error {
	storable(id)
	return nil
}

func (stub) ChangeTags(_ context.Context, _ sallyport.Call, r sallyport.Resource, add []sallyport.Tag, _ []sallyport.TagFilter) error {
	storable(r, add)
	return nil
}

func (stub) TagKeys(context.Context, sallyport.Call, sallyport.ObjectKind) ([]sallyport.TagKey, error) {
	return []sallyport.TagKey{{Key: "env", Values: []string{"prod"}}}, nil
}

func (stub) Tagged(context.Context, sallyport.Call, sallyport.TagQuery) ([]sallyport.TaggedResource, int, error) {
	return []sallyport.TaggedResource{{ID: orders, Name: "orders"}}, 1, nil
}

func (stub) Quotas(context.Context, sallyport.Call) (sallyport.Quotas, error) {
	return sallyport.Quotas{}, nil
}

// stubbed returns the family on the stub.
func stubbed() http.Handler {
	return edge.New(edge.Options{
		Gate: gate{}, Projects: projects{}, Families: []edge.Family{New(stub{}, Options{})},
	})
}

// ask sends a request of the owner to a handler and returns status and body.
func ask(tb testing.TB, h http.Handler, method, path, body string) (int, string) {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, path, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", "owner")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

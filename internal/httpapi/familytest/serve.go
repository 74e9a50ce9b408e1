package familytest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

// The accounts that may call. The owner's project is that of the documents'
// examples; its account has a second project.
const (
	OwnerProject    = "6204a5bd270343b5885144cf9c8c158d"
	OwnerOther      = "7204a5bd270343b5885144cf9c8c158e"
	OwnerDomain     = "d0a1b2c3d4e5f60718293a4b5c6d7e8f"
	ConsumerProject = "aabbccddeeff00112233445566778899"
	ConsumerDomain  = "b70fde8e849b4e76a61dd8aa0ec05c81"
	StrangerProject = "11223344556677889900aabbccddeeff"
	StrangerDomain  = "0123456789abcdef0123456789abcdef"
)

// The names of callers, which are their tokens.
const (
	Owner    = "owner"
	Reader   = "owner-who-may-only-look"
	Sibling  = "owner-in-another-project"
	Consumer = "consumer"
	Stranger = "stranger"
	// Broken is who the directory fails for.
	Broken = "broken"
)

// World is what a conversation begins with.
type World struct {
	// Now is the time of the server; what happens later is milliseconds later.
	Now time.Time
	// Fill stores what there is.
	Fill func(sallyport.Tx) error
	// Family returns the family that is served.
	Family func(*control.Plane) edge.Family
	// Services is the quota of services, 0 for 20.
	Services int
}

// Serve serves a family in a world of its own until the test ends. No agent is
// there: endpoints that are stored as carried by one are never confirmed.
func (w World) Serve(t *testing.T) *httptest.Server {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Dir: t.TempDir(), Now: func() time.Time { return w.Now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Update(t.Context(), w.Fill); err != nil {
		t.Fatal(err)
	}
	services := w.Services
	if services == 0 {
		services = 20
	}
	var ticks atomic.Int64
	plane := control.New(store, control.Options{
		Region: "eu-west-101", Networks: control.Networks{AllowUnknown: true}, Services: services, Endpoints: 20,
		ConfirmWait: time.Millisecond, Agentless: true,
		Now: func() time.Time { return w.Now.Add(time.Duration(ticks.Add(1)) * time.Millisecond) },
	})
	srv := httptest.NewServer(edge.New(edge.Options{
		Gate: Gate{}, Projects: projects{}, Families: []edge.Family{w.Family(plane)},
	}))
	t.Cleanup(srv.Close)
	return srv
}

// Gate knows callers by tokens that say who they are.
type Gate struct{}

// UnknownCaller is the error of a caller that nobody knows.
type UnknownCaller struct{}

// Error returns the text of the log.
func (UnknownCaller) Error() string { return "no such token" }

// Unauthenticated returns the sentence for the caller.
func (UnknownCaller) Unauthenticated() string { return "the token is not valid" }

// Authenticate returns who the token names.
func (Gate) Authenticate(_ context.Context, r *http.Request, _ []byte) (sallyport.Principal, error) {
	p := sallyport.Principal{
		UserName: r.Header.Get("X-Auth-Token"), Method: sallyport.MethodToken, Roles: []sallyport.Role{sallyport.RoleAdmin},
		DomainID: OwnerDomain, ProjectID: OwnerProject,
	}
	switch p.UserName {
	case Owner:
	case Reader:
		p.Roles = []sallyport.Role{sallyport.RoleReader}
	case Sibling:
		p.ProjectID = OwnerOther
	case Consumer:
		p.DomainID, p.ProjectID = ConsumerDomain, ConsumerProject
	case Stranger:
		p.DomainID, p.ProjectID = StrangerDomain, StrangerProject
	case Broken:
		return p, errors.New("the directory at 10.0.0.5 does not answer")
	default:
		return p, UnknownCaller{}
	}
	return p, nil
}

type projects struct{}

func (projects) Owns(d sallyport.DomainID, p sallyport.ProjectID) bool {
	return d == OwnerDomain && slices.Contains([]sallyport.ProjectID{OwnerProject, OwnerOther}, p)
}

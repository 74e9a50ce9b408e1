package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// useCase is one method of the plane, called for what the owner and the consumer
// have.
type useCase struct {
	name  string
	write bool
	// of is who may: the owner of the service or the consumer with the endpoint.
	of   func() sallyport.Call
	call func(r *rig, c sallyport.Call, s sallyport.ServiceID, e sallyport.EndpointID) error
	// foreign is how the things of others look; "" where there is nothing of
	// others to look at.
	foreign sallyport.Reason
}

var useCases = []useCase{
	{"create service", true, owner, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.CreateService(r.t.Context(), c, sallyport.NewService{
			VPCID: hostVPC, PortID: port, Ports: []sallyport.PortMapping{{Client: 1, Server: uint16(len(r.log())), Protocol: "TCP"}},
		})
		return err
	}, ""},
	{"update service", true, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		text := c.RequestID
		_, err := r.plane.UpdateService(r.t.Context(), c, s, sallyport.ServiceChange{Description: &text})
		return err
	}, sallyport.ReasonServiceNotFound},
	{"delete service", true, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		return r.plane.DeleteService(r.t.Context(), c, s)
	}, sallyport.ReasonServiceNotFound},
	{"show service", false, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.Service(r.t.Context(), c, s)
		return err
	}, sallyport.ReasonServiceNotFound},
	{"list services", false, owner, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, _, err := r.plane.Services(r.t.Context(), c, sallyport.ServiceQuery{Page: sallyport.Page{Limit: 10}})
		return err
	}, ""},
	{"describe", false, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.Describe(r.t.Context(), c, s, "")
		return err
	}, ""},
	{"permit", true, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.ChangePermissions(r.t.Context(), c, s, sallyport.PermissionChange{
			Add: []sallyport.NewPermission{{Value: "iam:domain::" + c.RequestID, Type: sallyport.PermissionDomain}},
		})
		return err
	}, sallyport.ReasonServiceNotFound},
	{"list permissions", false, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, _, err := r.plane.Permissions(r.t.Context(), c, sallyport.PermissionQuery{ServiceID: s, Page: sallyport.Page{Limit: 10}})
		return err
	}, sallyport.ReasonServiceNotFound},
	{"list connections", false, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, _, err := r.plane.Connections(r.t.Context(), c, sallyport.EndpointQuery{ServiceID: s, Page: sallyport.Page{Limit: 10}})
		return err
	}, sallyport.ReasonServiceNotFound},
	{"accept", true, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, e sallyport.EndpointID) error {
		_, err := r.plane.Decide(r.t.Context(), c, s, []sallyport.EndpointID{e}, sallyport.ActionAccept)
		return err
	}, sallyport.ReasonServiceNotFound},
	{"reject", true, owner, func(r *rig, c sallyport.Call, s sallyport.ServiceID, e sallyport.EndpointID) error {
		_, err := r.plane.Decide(r.t.Context(), c, s, []sallyport.EndpointID{e}, sallyport.ActionReject)
		return err
	}, sallyport.ReasonServiceNotFound},
	{"create endpoint", true, consumer, func(r *rig, c sallyport.Call, s sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.CreateEndpoint(r.t.Context(), c, sallyport.NewEndpoint{ServiceID: s, VPCID: hostVPC, SubnetID: hostSubnet})
		return err
	}, sallyport.ReasonNotWhitelisted},
	{"show endpoint", false, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, e sallyport.EndpointID) error {
		_, err := r.plane.Endpoint(r.t.Context(), c, e)
		return err
	}, sallyport.ReasonEndpointNotFound},
	{"list endpoints", false, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, _, err := r.plane.Endpoints(r.t.Context(), c, sallyport.EndpointQuery{Page: sallyport.Page{Limit: 10}})
		return err
	}, ""},
	{"delete endpoint", true, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, e sallyport.EndpointID) error {
		return r.plane.DeleteEndpoint(r.t.Context(), c, e)
	}, sallyport.ReasonEndpointNotFound},
	{"enforcement", false, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, e sallyport.EndpointID) error {
		_, err := r.plane.Enforcement(r.t.Context(), c, e)
		return err
	}, sallyport.ReasonEndpointNotFound},
	{"quotas", false, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, err := r.plane.Quotas(r.t.Context(), c)
		return err
	}, ""},
	{"audit", false, consumer, func(r *rig, c sallyport.Call, _ sallyport.ServiceID, _ sallyport.EndpointID) error {
		_, _, err := r.plane.Audit(r.t.Context(), c, 0, 10)
		return err
	}, ""},
}

// Every use case, for every role and for a stranger. If this fails, somebody may
// do what their role does not allow, learns what another account has, or a
// denied attempt leaves no trace.
func TestAuthorisation(t *testing.T) {
	t.Parallel()
	for _, u := range useCases {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, control.Options{})
			r.obey()
			s := r.service()
			e := r.endpoint(s)
			as := func(c sallyport.Call, allowed bool, kind sallyport.Kind, reason sallyport.Reason) {
				t.Helper()
				before := len(r.log())
				err := u.call(r, c, s, e.ID)
				if allowed {
					if err != nil {
						t.Errorf("%v: %v", c.Principal.Roles, err)
					}
					return
				}
				mustRefuse(t, err, kind, reason)
				log := r.log()
				if !u.write {
					if len(log) != before {
						t.Errorf("a refused read left %+v in the log", log[before:])
					}
					return
				}
				if len(log) != before+1 {
					t.Fatalf("a denied attempt left %d records, want 1", len(log)-before)
				}
				rec := log[before]
				if rec.Outcome != sallyport.OutcomeDenied || rec.Reason != reason || rec.UserID != c.Principal.UserID ||
					rec.DomainID != c.Principal.DomainID || rec.Source != c.Source || rec.RequestID != c.RequestID || rec.Action == "" {
					t.Errorf("a denied attempt is in the log as %+v", rec)
				}
			}
			mine := u.of()
			as(call(mine.Principal.DomainID, mine.Project), false, sallyport.KindForbidden, sallyport.ReasonForbidden)
			as(call(mine.Principal.DomainID, mine.Project, sallyport.RoleReader), !u.write, sallyport.KindForbidden, sallyport.ReasonForbidden)
			if u.foreign != "" {
				kind := sallyport.KindNotFound
				if u.foreign == sallyport.ReasonNotWhitelisted {
					kind = sallyport.KindInvalid
				}
				as(call("stranger", "stranger-project", sallyport.RoleAdmin), false, kind, u.foreign)
			}
			if u.foreign == sallyport.ReasonServiceNotFound {
				// Another project of the same account owns it as little.
				as(call(ownerDomain, "another-project", sallyport.RoleAdmin), false, sallyport.KindNotFound, u.foreign)
			}
			as(mine, true, 0, "")
		})
	}
}

// What each side sees of the log. If this fails, an account reads of another's
// doings, or an owner cannot prove what happened to a service.
func TestAuditIsSeenByThoseConcerned(t *testing.T) {
	t.Parallel()
	r := newRig(t, control.Options{})
	r.obey()
	s := r.service()
	e := r.endpoint(s)
	r.mustDecide(s, e.ID, sallyport.ActionAccept, sallyport.StatusAccepted)
	_, err := r.plane.Decide(t.Context(), consumer(), s, []sallyport.EndpointID{e.ID}, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindNotFound, sallyport.ReasonServiceNotFound)
	other, err := r.plane.CreateService(t.Context(), call("stranger", "stranger-project", sallyport.RoleAdmin),
		sallyport.NewService{VPCID: hostVPC, PortID: port, Ports: []sallyport.PortMapping{{Client: 1, Server: 1, Protocol: "TCP"}}})
	if err != nil {
		t.Fatal(err)
	}
	actions := func(c sallyport.Call) (out []string) {
		t.Helper()
		var since sallyport.Revision
		for {
			// Page by page, one record each.
			list, next, err := r.plane.Audit(t.Context(), c, since, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				return out
			}
			if next <= since {
				t.Fatalf("the log goes on at %d after %d", next, since)
			}
			since = next
			out = append(out, string(list[0].Outcome)+" "+list[0].Action)
			if list[0].ObjectID == string(other.ID) && c.Project != "stranger-project" {
				t.Errorf("%s reads %+v", c.Project, list[0])
			}
		}
	}
	want := map[sallyport.ProjectID][]string{
		ownerProject:       {"done create", "done permit", "done create", "done accept", "done confirm"},
		consumerOwn:        {"done create", "done accept", "done confirm", "denied reject"},
		"stranger-project": {"done create"},
	}
	for project, list := range want {
		c := call("d", project, sallyport.RoleReader)
		if got := actions(c); !equal(got, list) {
			t.Errorf("%s reads %q, want %q", project, got, list)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// What the data plane says of an endpoint. If this fails, "accepted" cannot be
// told from "really open".
func TestEnforcement(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := newRig(t, control.Options{ConfirmWait: impatience, Now: func() time.Time { return now }})
	h := &hand{r: r}
	s := r.service()
	e := r.endpoint(s)
	state := func(want string, at time.Time) {
		t.Helper()
		for _, c := range []sallyport.Call{owner(), consumer()} {
			got, err := r.plane.Enforcement(t.Context(), c, e.ID)
			if err != nil || got.State != want || !got.At.Equal(at) {
				t.Errorf("%s: %+v, %v, want %s at %s", c.Project, got, err, want, at)
			}
		}
	}
	state("unknown", time.Time{})
	r.mustDecide(s, e.ID, sallyport.ActionAccept, sallyport.StatusCreating)
	h.report(h.spec(e.ID), "open", "")
	state("open", now)
	_, err := r.decide(s, e.ID, sallyport.ActionReject)
	mustRefuse(t, err, sallyport.KindUnconfirmed, sallyport.ReasonUnconfirmed)
	state("open", now) // nobody has said anything else
	h.report(h.spec(e.ID), "closed", "")
	state("closed", now)
}

// If this fails, a revoked token works again, or revoking fills the memory.
func TestRevocations(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := newRig(t, control.Options{Now: func() time.Time { return now }})
	ctx := context.Background()
	for range 2 {
		if err := r.plane.Revoke(ctx, owner(), "token-1", now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]bool{"token-1": true, "token-2": false} {
		if got, err := r.plane.Revoked(ctx, id); err != nil || got != want {
			t.Errorf("%s revoked: %v, %v, want %v", id, got, err, want)
		}
	}
	if got := r.log(); len(got) != 1 || got[0].Action != "revoke" || got[0].ObjectID != "token-1" {
		t.Errorf("the log has %+v", got)
	}
}

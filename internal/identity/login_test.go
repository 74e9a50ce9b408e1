package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, one of the forms in which real clients log in is refused.
func TestLoginForms(t *testing.T) {
	paula := deriveUserID(acme, "paula")
	byName := func(d DomainRef) UserRef { return UserRef{Name: "paula", Domain: d} }
	tests := []struct {
		name  string
		user  UserRef
		scope Scope
		want  sallyport.ProjectID
	}{
		{"user id, project id", UserRef{ID: paula}, Scope{Project: &ProjectRef{ID: acmeProject}}, acmeProject},
		{"domain name, project name", byName(DomainRef{Name: "acme"}), Scope{Project: &ProjectRef{Name: "eu-west-101"}}, acmeProject},
		{"domain id, project name and domain", byName(DomainRef{ID: acme}), Scope{Project: &ProjectRef{Name: "eu-west-101_second", Domain: DomainRef{Name: "acme"}}}, acmeSecond},
		{"project name and domain id", UserRef{ID: paula}, Scope{Project: &ProjectRef{Name: "eu-west-101", Domain: DomainRef{ID: acme}}}, acmeProject},
		{"domain scope by name", UserRef{ID: paula}, Scope{Domain: &DomainRef{Name: "acme"}}, ""},
		{"domain scope by id", UserRef{ID: paula}, Scope{Domain: &DomainRef{ID: acme}}, ""},
		{"no scope", UserRef{ID: paula}, Scope{}, ""},
		{"project wins over domain", UserRef{ID: paula}, Scope{Project: &ProjectRef{ID: acmeProject}, Domain: &DomainRef{ID: acme}}, acmeProject},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			token := h.login(t, LoginRequest{Methods: []string{" password"}, User: tt.user, Password: paulaPassword, Scope: tt.scope})
			if got := token.Principal().ProjectID; got != tt.want || token.UserID != paula {
				t.Errorf("got project %q of user %q, want %q of %q", got, token.UserID, tt.want, paula)
			}
		})
	}
}

// If this fails, a login that proves nothing makes a token, or its refusal is not
// what its family answers with 400, 401 or 403.
func TestLoginRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*LoginRequest)
		auth   AuthKind
		kind   sallyport.Kind
	}{
		{"wrong password", func(r *LoginRequest) { r.Password = "gue55" }, AuthBadPassword, 0},
		{"empty password", func(r *LoginRequest) { r.Password = "" }, AuthBadPassword, 0},
		{"endless password", func(r *LoginRequest) { r.Password = strings.Repeat("a", maxPassword+1) }, AuthBadPassword, 0},
		{"unknown name", func(r *LoginRequest) { r.User.Name = "nobody" }, AuthBadPassword, 0},
		{"unknown domain", func(r *LoginRequest) { r.User.Domain.Name = "nowhere" }, AuthBadPassword, 0},
		{"domain id and name disagree", func(r *LoginRequest) { r.User.Domain.ID = umbrella }, AuthBadPassword, 0},
		{"unknown id", func(r *LoginRequest) { r.User.ID = "x" }, AuthBadPassword, 0},
		{"another account's user of that name", func(r *LoginRequest) { r.User.Domain.Name = "umbrella" }, AuthBadPassword, 0},
		{"user without password", func(r *LoginRequest) { r.User.Name, r.Password = "robot", "" }, AuthBadPassword, 0},
		{"the password's hash as password", func(r *LoginRequest) { r.Password = cheapHash(paulaPassword) }, AuthBadPassword, 0},
		{"unknown method", func(r *LoginRequest) { r.Methods = []string{"totp"} }, AuthUnsupported, 0},
		{"second factor", func(r *LoginRequest) { r.Methods = []string{"password", "totp"} }, AuthUnsupported, 0},
		{"bad token", func(r *LoginRequest) { r.Methods, r.Token = []string{"token"}, "x" }, AuthBadToken, 0},
		{"no method", func(r *LoginRequest) { r.Methods = nil }, 0, sallyport.KindInvalid},
		{"too many methods", func(r *LoginRequest) { r.Methods = make([]string, maxMethods+1) }, 0, sallyport.KindInvalid},
		{"nobody named", func(r *LoginRequest) { r.User = UserRef{} }, 0, sallyport.KindInvalid},
		{"name without domain", func(r *LoginRequest) { r.User.Domain = DomainRef{} }, 0, sallyport.KindInvalid},
		{"no token", func(r *LoginRequest) { r.Methods = []string{"token"} }, 0, sallyport.KindInvalid},
		{"empty project", func(r *LoginRequest) { r.Scope.Project = &ProjectRef{} }, 0, sallyport.KindInvalid},
		{"empty domain", func(r *LoginRequest) { r.Scope = Scope{Domain: &DomainRef{}} }, 0, sallyport.KindInvalid},
		{"foreign project", func(r *LoginRequest) { r.Scope.Project = &ProjectRef{ID: foreign} }, 0, sallyport.KindForbidden},
		{"unknown project", func(r *LoginRequest) { r.Scope.Project = &ProjectRef{ID: "x"} }, 0, sallyport.KindForbidden},
		{"unknown project name", func(r *LoginRequest) { r.Scope.Project = &ProjectRef{Name: "x"} }, 0, sallyport.KindForbidden},
		{"project name in foreign domain", func(r *LoginRequest) {
			r.Scope.Project = &ProjectRef{Name: "eu-west-101", Domain: DomainRef{Name: "umbrella"}}
		}, 0, sallyport.KindForbidden},
		{"foreign domain", func(r *LoginRequest) { r.Scope = Scope{Domain: &DomainRef{Name: "umbrella"}} }, 0, sallyport.KindForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			req := passwordRequest()
			tt.change(&req)
			token, err := h.Login(t.Context(), req, "192.0.2.1:5")
			if diff := cmp.Diff(Token{}, token, cmp.AllowUnexported(Token{})); diff != "" {
				t.Errorf("got a token beside the error: %s", diff)
			}
			if tt.auth != 0 {
				e := wantAuth(t, err, tt.auth)
				if tt.auth == AuthBadPassword && e.Error() != detailPassword {
					t.Errorf("got %q, want one sentence for every bad login", e)
				}
				if log := h.log.String(); !strings.Contains(log, "kind="+tt.auth.String()) || !strings.Contains(log, "source=192.0.2.1:5") {
					t.Errorf("got log %q, want the refusal", log)
				}
			} else {
				wantKind(t, err, tt.kind)
			}
			wantSilent(t, "log", h.log.String()+err.Error(), "gue55")
		})
	}
}

// If this fails, the time of an answer tells which users exist: an unknown one must
// run the same check as a known one.
func TestUnknownUserRunsAPasswordCheck(t *testing.T) {
	h := newHouse(t)
	var checked []*password
	h.matches = func(p *password, text string) bool {
		checked = append(checked, p)
		return p.matches(text)
	}
	try := func(user UserRef, pw string) *password {
		t.Helper()
		checked = nil
		_, err := h.Login(t.Context(), LoginRequest{Methods: []string{LoginPassword}, User: user, Password: pw}, "")
		wantAuth(t, err, AuthBadPassword)
		if len(checked) != 1 {
			t.Fatalf("%v: got %d checks, want 1", user, len(checked))
		}
		return checked[0]
	}
	try(UserRef{ID: deriveUserID(acme, "paula")}, "wrong")
	kinds := map[bool]int{}
	for name := range strings.FieldsSeq("a b c d e f g h i j k l m n o p q r s t u v w x y z") {
		user := UserRef{Name: name, Domain: DomainRef{Name: "acme"}}
		p := try(user, "guess")
		if p != try(user, "other guess") {
			t.Errorf("%s is checked against different hashes in turn", name)
		}
		kinds[p.slow()]++
	}
	if kinds[true] == 0 || kinds[false] == 0 {
		t.Errorf("got %v, want unknown names spread over all kinds of hash", kinds)
	}
	// Even the right password of whoever lends the hash opens nothing.
	for _, pw := range []string{paulaPassword, rickPassword, "other-paula"} {
		try(UserRef{Name: "robot", Domain: DomainRef{Name: "acme"}}, pw)
		try(UserRef{ID: "nobody"}, pw)
	}
	h.SetDirectory(directory(t, nil))
	checked = nil
	_, err := h.Login(t.Context(), passwordRequest(), "")
	wantAuth(t, err, AuthBadPassword)
	if len(checked) != 0 {
		t.Error("checked a hash where nobody has one")
	}
}

// If this fails, a stolen token can be prolonged for ever, carried to another account,
// or its history is lost.
func TestRescoping(t *testing.T) {
	h := newHouse(t)
	first := h.login(t, passwordRequest())
	h.clock.advance(23 * time.Hour)
	second := h.login(t, LoginRequest{Methods: []string{LoginToken}, Token: first.Text, Scope: Scope{Domain: &DomainRef{Name: "acme"}}})
	if !second.ExpiresAt.Equal(first.ExpiresAt) || second.Project != nil || second.ID == first.ID {
		t.Errorf("got %+v, want the first one's expiry and the account's scope", second)
	}
	if !second.IssuedAt.After(first.IssuedAt) {
		t.Error("the second token claims to be as old as the first")
	}
	third := h.login(t, LoginRequest{Methods: []string{LoginToken}, Token: second.Text, Scope: Scope{Project: &ProjectRef{ID: acmeSecond}}})
	if diff := cmp.Diff([]string{"password", "token"}, third.Methods); diff != "" || third.Project.ID != acmeSecond {
		t.Errorf("got %v in %v", third.Methods, third.Project)
	}
	for _, scope := range []Scope{{Project: &ProjectRef{ID: foreign}}, {Domain: &DomainRef{ID: umbrella}}} {
		_, err := h.Login(t.Context(), LoginRequest{Methods: []string{LoginToken}, Token: first.Text, Scope: scope}, "")
		wantKind(t, err, sallyport.KindForbidden)
	}
	h.clock.advance(time.Hour)
	_, err := h.withToken(t.Context(), third.Text)
	wantAuth(t, err, AuthExpiredToken)
}

// If this fails, a caller that has gone away keeps its place in the queue for hashing,
// or a full machine answers that the password is wrong.
func TestLoginWaitsForASlot(t *testing.T) {
	h := newHouse(t)
	for range maxHashing {
		leave, err := h.hashing.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Login(ctx, passwordRequest(), "")
	if !errors.Is(err, context.Canceled) || AuthKindOf(err) != 0 {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	// A plain password needs no slot.
	if _, err := h.Login(t.Context(), LoginRequest{
		Methods: []string{LoginPassword}, User: UserRef{ID: "0000000000000000000000000000rick"}, Password: rickPassword,
	}, ""); err != nil {
		t.Error(err)
	}
}

package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, a token does not say what IAM's token body needs, or speaks for
// somebody else.
func TestTokenStandsForItsUser(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	issued := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	want := Token{
		Text: token.Text, ID: token.ID, Methods: []string{"password"},
		UserID: deriveUserID(acme, "paula"), UserName: "paula", DomainID: acme, DomainName: "acme",
		Project: &Project{ID: acmeProject, Name: "eu-west-101"}, Roles: []sallyport.Role{sallyport.RoleAdmin},
		IssuedAt: issued, ExpiresAt: issued.Add(TokenLife),
	}
	if diff := cmp.Diff(want, token, cmpopts.IgnoreUnexported(Token{})); diff != "" {
		t.Errorf("login (-want +got):\n%s", diff)
	}
	for range 2 { // the second answer comes from the cache
		got, err := h.Validate(t.Context(), token.Text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Token{})); diff != "" {
			t.Errorf("validate (-want +got):\n%s", diff)
		}
		p, err := h.withToken(t.Context(), token.Text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sallyport.Principal{
			DomainID: acme, DomainName: "acme", UserID: want.UserID, UserName: "paula",
			ProjectID: acmeProject, ProjectName: "eu-west-101", Roles: want.Roles, Method: sallyport.MethodToken,
		}, p); diff != "" {
			t.Error(diff)
		}
	}
	if len(token.ID) < 32 || h.login(t, passwordRequest()).ID == token.ID {
		t.Error("token ids are not unique")
	}
}

// If this fails, tokens die with a restart or with a change of replica, or they are
// valid where another key is in use.
func TestTokenSurvivesRestart(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	replica := New(directory(t, accounts()), testKey, h.rev, Options{Now: h.clock.now})
	if _, err := replica.Validate(t.Context(), token.Text); err != nil {
		t.Errorf("another replica: %v", err)
	}
	stranger := New(directory(t, accounts()), bytes.Repeat([]byte{1}, KeySize), h.rev, Options{Now: h.clock.now})
	_, err := stranger.Validate(t.Context(), token.Text)
	wantAuth(t, err, AuthBadToken)
}

// ending is one way in which a token ends before its time.
type ending struct {
	name string
	end  func(*testing.T, *house, Token)
	want AuthKind
}

// reload is the ending by a new directory.
func reload(f func(as []Account) []Account) func(*testing.T, *house, Token) {
	return func(t *testing.T, h *house, _ Token) {
		t.Helper()
		h.SetDirectory(directory(t, f(accounts())))
	}
}

var endings = []ending{
	{"expired", func(_ *testing.T, h *house, _ Token) { h.clock.advance(TokenLife) }, AuthExpiredToken},
	{"expired, not in the cache", func(t *testing.T, h *house, _ Token) {
		t.Helper()
		h.clock.advance(TokenLife)
		h.SetDirectory(directory(t, accounts()))
	}, AuthExpiredToken},
	{"revoked", func(t *testing.T, h *house, token Token) {
		t.Helper()
		if err := h.Revoke(t.Context(), sallyport.Call{Principal: token.Principal()}, token.Text); err != nil {
			t.Fatal(err)
		}
	}, AuthRevoked},
	{"revoked by another replica", func(_ *testing.T, h *house, token Token) {
		h.rev.mu.Lock()
		defer h.rev.mu.Unlock()
		h.rev.revoked = map[string]time.Time{token.ID: token.ExpiresAt}
	}, AuthRevoked},
	{"password changed", reload(func(as []Account) []Account {
		as[0].Users[0].Password = cheapHash("another")
		return as
	}), AuthRevoked},
	{"password removed", reload(func(as []Account) []Account {
		as[0].Users[0].Password = ""
		return as
	}), AuthRevoked},
	{"user removed", reload(func(as []Account) []Account {
		as[0].Users = as[0].Users[1:]
		return as
	}), AuthRevoked},
	{"user moved to another account", reload(func(as []Account) []Account {
		moved := as[0].Users[0]
		moved.ID, moved.Name, moved.Keys = deriveUserID(acme, "paula"), "paula-of-acme", nil
		as[0].Users = as[0].Users[1:]
		as[1].Users = append(as[1].Users, moved)
		return as
	}), AuthRevoked},
	{"account removed", reload(func(as []Account) []Account { return as[1:] }), AuthRevoked},
	{"project removed", reload(func(as []Account) []Account {
		as[0].Projects = as[0].Projects[1:]
		return as
	}), AuthRevoked},
	{"project moved to another account", reload(func(as []Account) []Account {
		as[1].Projects = append(as[1].Projects, Project{ID: acmeProject, Name: "moved"})
		as[0].Projects = as[0].Projects[1:]
		return as
	}), AuthRevoked},
}

// If this fails, a token outlives what made it valid. Each change comes after the
// token has been used, so that it is in the cache.
func TestTokenEnds(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			token := h.login(t, passwordRequest())
			h.clock.advance(TokenLife - time.Minute)
			if _, err := h.withToken(t.Context(), token.Text); err != nil {
				t.Fatalf("before: %v", err)
			}
			h.clock.advance(time.Minute - TokenLife)
			tt.end(t, h, token)
			_, err := h.withToken(t.Context(), token.Text)
			e := wantAuth(t, err, tt.want)
			wantSilent(t, "error", e.Error(), token.Text)
			_, err = h.Login(t.Context(), LoginRequest{Methods: []string{LoginToken}, Token: token.Text}, "")
			wantAuth(t, err, tt.want)
		})
	}
}

// If this fails, a changed role works only after the next login, or a harmless
// change of the configuration ends everybody's session.
func TestRolesAndNamesAreTheDirectorys(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	as := accounts()
	as[0].Name = "acme-renamed"
	as[0].Users[0].Roles = []sallyport.Role{sallyport.RoleReader}
	as[0].Users[0].Keys = nil
	as[0].Projects[0].Name = "renamed"
	h.SetDirectory(directory(t, as))
	p, err := h.withToken(t.Context(), token.Text)
	if err != nil {
		t.Fatal(err)
	}
	if p.May(true) || !p.May(false) || p.DomainName != "acme-renamed" || p.ProjectName != "renamed" {
		t.Errorf("got %+v, want the present directory", p)
	}
}

// If this fails, a text that we did not issue is a token.
func TestForgedTokens(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	parts := strings.Split(token.Text, ".")
	enc := base64.RawURLEncoding.EncodeToString
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: string(token.UserID), ID: "x", ExpiresAt: jwt.NewNumericDate(token.ExpiresAt)},
		Domain:           acme,
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hs512, err := jwt.NewWithClaims(jwt.SigningMethodHS512, c).SignedString(h.tokenKey)
	if err != nil {
		t.Fatal(err)
	}
	master, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"x", "..", token.Text[:len(token.Text)-1], token.Text + "A", " " + token.Text, token.Text + ".x",
		parts[0] + "." + enc([]byte(`{"sub":"x"}`)) + "." + parts[2],
		enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", none, hs512, master,
		strings.Repeat("a", MaxToken+1), strings.Repeat(".", MaxToken),
	} {
		_, err := h.Validate(t.Context(), text)
		wantAuth(t, err, AuthBadToken)
	}
}

// If this fails, any text in X-Auth-Token can crash the server.
func FuzzValidate(f *testing.F) {
	h := newHouse(f)
	u := h.Directory().users[deriveUserID(acme, "paula")]
	issued, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{ // fixed: every worker must know the same text
		RegisteredClaims: jwt.RegisteredClaims{
			ID: "fixed", Subject: string(u.ID),
			IssuedAt: jwt.NewNumericDate(h.clock.now()), ExpiresAt: jwt.NewNumericDate(h.clock.now().Add(time.Hour)),
		},
		Domain: acme, Project: acmeProject, Cred: h.cred(u, ""),
	}).SignedString(h.tokenKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(issued)
	f.Add(issued[:40])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := h.Validate(t.Context(), text)
		if (err == nil) != (text == issued) {
			t.Errorf("%q: got %v", text, err)
		}
		if err != nil && AuthKindOf(err) == 0 {
			t.Errorf("got %v, want an *AuthError", err)
		}
		if _, err := h.verifyTemporary(t.Context(), h.state.Load(), text); AuthKindOf(err) != AuthBadSecurityToken {
			t.Errorf("%q as a security token: got %v", text, err)
		}
	})
}

// If this fails, long names make tokens that clients and proxies refuse.
func TestTokenIsShort(t *testing.T) {
	long := strings.Repeat("x", MaxID)
	name := strings.Repeat("é", MaxName/2)
	h := newHouse(t)
	h.SetDirectory(directory(t, []Account{{
		ID: sallyport.DomainID(long), Name: name,
		Projects: []Project{{ID: sallyport.ProjectID(long), Name: name}},
		Users:    []User{{ID: sallyport.UserID(long), Name: name, Password: "p"}},
	}}))
	token := h.login(t, LoginRequest{
		Methods: []string{LoginPassword}, User: UserRef{ID: sallyport.UserID(long)}, Password: "p",
		Scope: Scope{Project: &ProjectRef{Name: name}},
	})
	token = h.login(t, LoginRequest{Methods: []string{LoginToken}, Token: token.Text, Scope: Scope{Project: &ProjectRef{Name: name}}})
	if len(token.Text) > 800 {
		t.Errorf("got %d characters, want at most 800", len(token.Text))
	}
}

// If this fails, a token's text lets its reader guess the password offline.
func TestTokenHoldsNoPlainHash(t *testing.T) {
	h := newHouse(t)
	req := LoginRequest{Methods: []string{LoginPassword}, User: UserRef{ID: "0000000000000000000000000000rick"}, Password: rickPassword}
	token := h.login(t, req)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Text, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(rickPassword))
	wantSilent(t, "claims", string(payload), base64.RawURLEncoding.EncodeToString(sum[:credBytes]))
	other := New(directory(t, accounts()), bytes.Repeat([]byte{1}, KeySize), h.rev, Options{})
	rick := h.Directory().users[token.UserID]
	if h.cred(rick, "") == other.cred(rick, "") {
		t.Error("the fingerprint does not depend on the key")
	}
}

// If this fails, somebody can end another's session, or an administrator cannot.
func TestRevokeNeedsTheRight(t *testing.T) {
	h := newHouse(t)
	paula := h.login(t, passwordRequest())
	rick := h.login(t, LoginRequest{Methods: []string{LoginPassword}, User: UserRef{ID: "0000000000000000000000000000rick"}, Password: rickPassword})
	alien := h.login(t, LoginRequest{
		Methods: []string{LoginPassword}, User: UserRef{Name: "paula", Domain: DomainRef{ID: umbrella}}, Password: "other-paula",
	})
	revoke := func(by Token, text string) error {
		return h.Revoke(t.Context(), sallyport.Call{Principal: by.Principal(), RequestID: "r1"}, text)
	}
	wantKind(t, revoke(rick, paula.Text), sallyport.KindForbidden)
	wantAuth(t, revoke(alien, paula.Text), AuthBadToken)
	wantAuth(t, revoke(paula, "x"), AuthBadToken)
	if len(h.rev.calls) != 0 {
		t.Fatal("a refused revocation was kept")
	}
	if err := revoke(paula, rick.Text); err != nil {
		t.Errorf("administrator: %v", err)
	}
	wantAuth(t, revoke(paula, rick.Text), AuthRevoked)
	if err := revoke(alien, alien.Text); err != nil {
		t.Errorf("own token: %v", err)
	}
	if got := h.rev.revoked[alien.ID]; !got.Equal(alien.ExpiresAt) || h.rev.calls[1].RequestID != "r1" {
		t.Errorf("got %v, want the expiry of the token and the call", got)
	}
	if _, err := h.withToken(t.Context(), paula.Text); err != nil {
		t.Errorf("another token ended too: %v", err)
	}
}

// If this fails, a token passes while nobody can say whether it was revoked, or the
// fault is taken for the caller's.
func TestRevocationFaultIsNoSuccess(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	h.rev.fault = errors.New("log unreachable")
	_, err := h.withToken(t.Context(), token.Text)
	if err == nil || AuthKindOf(err) != 0 || !errors.Is(err, h.rev.fault) {
		t.Errorf("got %v, want the fault", err)
	}
	h.rev.fault = nil
	if _, err := h.withToken(t.Context(), token.Text); err != nil {
		t.Errorf("after the fault: %v", err)
	}
}

// If this fails, the memory of verified tokens grows without bound, or forgets what
// is in use.
func TestCacheIsBounded(t *testing.T) {
	c := newTextCache[Token]()
	hot := sha256.Sum256([]byte("hot"))
	c.put(hot, &Token{ID: "hot"})
	for i := range 3 * maxCachedTokens {
		c.put(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), &Token{})
		if c.get(hot) == nil {
			t.Fatalf("the token in use is gone after %d others", i+1)
		}
		if n := len(c.g.young) + len(c.g.old); n > maxCachedTokens {
			t.Fatalf("got %d tokens, want at most %d", n, maxCachedTokens)
		}
	}
}

// If this fails (under -race), concurrent requests, reloads and revocations corrupt
// one another, or a request sees something between two directories.
func TestConcurrentUse(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	with, without := directory(t, accounts()), directory(t, accounts()[1:])
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				switch i {
				case 0:
					h.SetDirectory(without)
					h.SetDirectory(with)
				case 1:
					if _, err := h.Login(context.Background(), passwordRequest(), ""); err != nil && AuthKindOf(err) != AuthBadPassword {
						t.Errorf("login %d: %v", j, err)
					}
				default:
					if p, err := h.withToken(context.Background(), token.Text); err != nil && AuthKindOf(err) != AuthRevoked {
						t.Errorf("use %d: %v", j, err)
					} else if err == nil && p.UserName != "paula" {
						t.Errorf("got %+v", p)
					}
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAuthenticateToken is a repeated use of one token: the way of nearly every request.
func BenchmarkAuthenticateToken(b *testing.B) {
	h := newHouse(b)
	token := h.login(b, passwordRequest())
	s := h.state.Load()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.verify(b.Context(), s, token.Text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseToken is the first use of a token.
func BenchmarkParseToken(b *testing.B) {
	h := newHouse(b)
	token := h.login(b, passwordRequest())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.parse(h.Directory(), token.Text); err != nil {
			b.Fatal(err)
		}
	}
}

package identity

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func keyRequest() LoginRequest {
	return LoginRequest{
		Methods: []string{LoginKey}, Key: KeyProof{Access: paulaAccess, Secret: paulaSecret},
		Scope: Scope{Project: &ProjectRef{Name: "eu-west-101"}},
	}
}

// temporary makes a key for life, 0 for the default.
func (h *house) temporary(tb testing.TB, token Token, life time.Duration) TemporaryKey {
	tb.Helper()
	k, err := h.CreateTemporaryKey(tb.Context(), token.Text, life, "192.0.2.1")
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func (h *house) with(tb testing.TB, k TemporaryKey, headers ...string) (sallyport.Principal, error) {
	tb.Helper()
	r := h.signed(tb, k.Access, k.Secret, append([]string{"X-Security-Token", k.SecurityToken}, headers...)...)
	return h.Authenticate(tb.Context(), r, nil)
}

// If this fails, programs that hold an access key and want a token do not get one, or it
// outlives its key.
func TestLoginWithAKey(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, keyRequest())
	if diff := cmp.Diff([]string{"hw_ak_sk"}, token.Methods); diff != "" || token.UserName != "paula" || token.Project.ID != acmeProject {
		t.Errorf("got %v for %s in %v", token.Methods, token.UserName, token.Project)
	}
	if got := token.ExpiresAt.Sub(token.IssuedAt); got != TokenLife {
		t.Errorf("lives %v, want %v", got, TokenLife)
	}
	again := h.login(t, LoginRequest{Methods: []string{LoginToken}, Token: token.Text})
	if diff := cmp.Diff([]string{"hw_ak_sk", "token"}, again.Methods); diff != "" {
		t.Error(diff)
	}
	unbound := h.login(t, passwordRequest())
	for name, change := range map[string]func(as []Account){
		"secret changed": func(as []Account) { as[0].Users[0].Keys[0].Secret = "another" },
		"key removed":    func(as []Account) { as[0].Users[0].Keys = nil },
		"key moved":      func(as []Account) { as[0].Users[1].Keys, as[0].Users[0].Keys = as[0].Users[0].Keys, nil },
		"password too":   func(as []Account) { as[0].Users[0].Password = "another" },
	} {
		as := accounts()
		change(as)
		h.SetDirectory(directory(t, as))
		for _, bound := range []Token{token, again} {
			_, err := h.withToken(t.Context(), bound.Text)
			wantAuth(t, err, AuthRevoked)
		}
		if _, err := h.withToken(t.Context(), unbound.Text); (err == nil) == (name == "password too") {
			t.Errorf("%s: the token of the password: %v", name, err)
		}
	}
}

// If this fails, an access key without its secret opens, or the answer tells which
// access keys exist.
func TestLoginWithAKeyRefuses(t *testing.T) {
	h := newHouse(t)
	temp := h.temporary(t, h.login(t, passwordRequest()), 0)
	var texts []string
	for _, tt := range []struct {
		name  string
		proof KeyProof
		want  AuthKind
	}{
		{"wrong secret", KeyProof{Access: paulaAccess, Secret: "gue55"}, AuthMismatch},
		{"unknown key", KeyProof{Access: "NOBODY", Secret: "gue55"}, AuthUnknownKey},
		{"decoy", KeyProof{Access: "NOBODY", Secret: h.decoySecret}, AuthUnknownKey},
		{"temporary without its token", KeyProof{Access: temp.Access, Secret: temp.Secret}, AuthUnknownKey},
		{"another's security token", KeyProof{paulaAccess, paulaSecret, temp.SecurityToken}, AuthUnknownKey},
		{"temporary with a wrong secret", KeyProof{temp.Access, "gue55", temp.SecurityToken}, AuthMismatch},
	} {
		_, err := h.Login(t.Context(), LoginRequest{Methods: []string{LoginKey}, Key: tt.proof}, "")
		texts = append(texts, wantAuth(t, err, tt.want).Detail)
	}
	for _, text := range texts {
		if text != detailKey {
			t.Errorf("got %q, want one sentence for all", text)
		}
	}
	_, err := h.Login(t.Context(), LoginRequest{Methods: []string{LoginKey}, Key: KeyProof{paulaAccess, paulaSecret, "x"}}, "")
	wantAuth(t, err, AuthBadSecurityToken)
	for _, proof := range []KeyProof{{}, {Access: paulaAccess}, {Secret: paulaSecret}} {
		_, err := h.Login(t.Context(), LoginRequest{Methods: []string{LoginKey}, Key: proof}, "")
		wantKind(t, err, sallyport.KindInvalid)
	}
	req := keyRequest()
	req.Scope = Scope{Project: &ProjectRef{ID: foreign}}
	_, err = h.Login(t.Context(), req, "")
	wantKind(t, err, sallyport.KindForbidden)
	wantSilent(t, "log", h.log.String(), "gue55", temp.Secret, temp.SecurityToken)
}

// If this fails, a temporary key speaks for the wrong user, on one replica only, or
// after it has been told to end.
func TestTemporaryKey(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	k := h.temporary(t, token, 0)
	if len(k.Access) != 20 || len(k.Secret) != 40 || len(k.SecurityToken) > MaxToken || h.temporary(t, token, 0).Access == k.Access {
		t.Errorf("got key %s, a secret of %d and a token of %d characters", k, len(k.Secret), len(k.SecurityToken))
	}
	if want := token.IssuedAt.Add(15 * time.Minute); !k.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", k.ExpiresAt, want)
	}
	want := sallyport.Principal{
		DomainID: acme, DomainName: "acme", UserID: token.UserID, UserName: "paula",
		Roles: token.Roles, Method: sallyport.MethodKey, AccessKey: k.Access,
	}
	replica := newHouse(t)
	for _, house := range []*house{h, h, replica} { // the second answer comes from the cache
		got, err := house.with(t, k)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if p, err := h.with(t, k, "X-Project-Id", string(acmeSecond)); err != nil || p.ProjectID != acmeSecond {
		t.Errorf("got %+v, %v", p, err)
	}
	_, err := h.with(t, k, "X-Project-Id", string(foreign))
	wantKind(t, err, sallyport.KindForbidden)
	wantSilent(t, "log", h.log.String(), k.Secret, k.SecurityToken, token.Text)

	// The SDK signs the security token too.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/v1/p/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Security-Token", k.SecurityToken)
	if err := aksk.Sign(r, nil, k.Access, k.Secret, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Authenticate(t.Context(), r, nil); err != nil {
		t.Errorf("signed security token: %v", err)
	}

	h.clock.advance(15*time.Minute - time.Second)
	if _, err := h.with(t, k); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	h.clock.advance(time.Second)
	_, err = h.with(t, k)
	if e := wantAuth(t, err, AuthExpiredSecurityToken); e.Detail != "the securitytoken has expired" {
		t.Errorf("got %q", e.Detail)
	}
	replica.clock.advance(time.Hour)
	_, err = newHouseAt(t, replica.clock.now()).with(t, k) // nothing cached
	wantAuth(t, err, AuthExpiredSecurityToken)
}

func newHouseAt(tb testing.TB, at time.Time) *house {
	tb.Helper()
	h := newHouse(tb)
	h.clock.advance(at.Sub(h.clock.now()))
	return h
}

// If this fails, a key can be made to live longer than is documented, or a stolen token
// can be turned into something that outlives it.
func TestTemporaryKeyLife(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	for _, life := range []time.Duration{-1, time.Second, MinTemporaryLife - 1, MaxTemporaryLife + 1} {
		_, err := h.CreateTemporaryKey(t.Context(), token.Text, life, "")
		wantKind(t, err, sallyport.KindInvalid)
	}
	if k := h.temporary(t, token, MaxTemporaryLife); !k.ExpiresAt.Equal(token.ExpiresAt) {
		t.Errorf("ends %v, want %v", k.ExpiresAt, token.ExpiresAt)
	}
	h.clock.advance(TokenLife - time.Minute)
	k := h.temporary(t, token, MaxTemporaryLife)
	if !k.ExpiresAt.Equal(token.ExpiresAt) {
		t.Errorf("ends %v, want with the token at %v", k.ExpiresAt, token.ExpiresAt)
	}
	next := h.login(t, LoginRequest{Methods: []string{LoginKey}, Key: KeyProof{k.Access, k.Secret, k.SecurityToken}})
	if !next.ExpiresAt.Equal(token.ExpiresAt) {
		t.Errorf("a token made with it ends %v, want %v", next.ExpiresAt, token.ExpiresAt)
	}
	h.clock.advance(time.Minute)
	_, err := h.CreateTemporaryKey(t.Context(), token.Text, 0, "")
	wantAuth(t, err, AuthExpiredToken)
	_, err = h.CreateTemporaryKey(t.Context(), "x", 0, "")
	wantAuth(t, err, AuthBadToken)
}

// If this fails, a temporary key outlives what ends the token that it was made from.
// Each change comes after the key has been used, so that it is in the cache.
func TestTemporaryKeyEndsAsTokensDo(t *testing.T) {
	for _, tt := range endings {
		if strings.HasPrefix(tt.name, "expired") || strings.HasPrefix(tt.name, "project") {
			continue // it has its own end, and is of no project
		}
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			token := h.login(t, passwordRequest())
			k := h.temporary(t, token, 0)
			if _, err := h.with(t, k); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.end(t, h, token)
			_, err := h.with(t, k)
			wantAuth(t, err, tt.want)
		})
	}
	h := newHouse(t)
	k := h.temporary(t, h.login(t, keyRequest()), 0)
	as := accounts()
	as[0].Users[0].Keys[0].Secret = "another"
	h.SetDirectory(directory(t, as))
	_, err := h.with(t, k)
	wantAuth(t, err, AuthRevoked)
}

// If this fails, a security token that we did not issue makes a key, a token passes for
// a security token, or the secret can be read off what everybody sees.
func TestForgedSecurityTokens(t *testing.T) {
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	k := h.temporary(t, token, 0)
	signature := k.SecurityToken[strings.LastIndexByte(k.SecurityToken, '.')+1:]
	if strings.Contains(k.SecurityToken, k.Secret) || strings.Contains(signature, k.Secret) || strings.HasPrefix(k.Secret, signature[:8]) {
		t.Error("the security token shows the secret")
	}
	_, err := h.withToken(t.Context(), k.SecurityToken)
	wantAuth(t, err, AuthBadToken)
	own, err := jwt.NewWithClaims(jwt.SigningMethodHS256, temporaryClaims{
		RegisteredClaims: jwt.RegisteredClaims{ID: "A", Subject: string(token.UserID), ExpiresAt: jwt.NewNumericDate(token.ExpiresAt)},
		Domain:           acme, Cred: h.cred(h.Directory().users[token.UserID], ""),
	}).SignedString(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"x", token.Text, own, k.SecurityToken + "A", strings.Repeat("a", MaxToken+1)} {
		forged := k
		forged.SecurityToken = text
		_, err := h.with(t, forged)
		wantAuth(t, err, AuthBadSecurityToken)
	}
	other := h.temporary(t, token, 0)
	mixed := k
	mixed.SecurityToken = other.SecurityToken
	_, err = h.with(t, mixed)
	wantAuth(t, err, AuthUnknownKey)
	mixed.Secret = other.Secret // the access key is another one still
	_, err = h.with(t, mixed)
	wantAuth(t, err, AuthUnknownKey)
	_, err = h.Authenticate(t.Context(), h.signed(t, k.Access, k.Secret), nil)
	wantAuth(t, err, AuthUnknownKey)
	_, err = h.Authenticate(t.Context(), h.signed(t, paulaAccess, paulaSecret, "X-Security-Token", "stale"), nil)
	wantAuth(t, err, AuthBadSecurityToken)
	_, err = h.with(t, k, "X-Security-Token", k.SecurityToken)
	wantAuth(t, err, AuthMalformed)
}

// If this fails, long names or keys make tokens that clients and proxies refuse.
func TestKeyTokensAreShort(t *testing.T) {
	long := strings.Repeat("x", MaxID)
	access := strings.Repeat("A", aksk.MaxAccess)
	h := newHouse(t)
	h.SetDirectory(directory(t, []Account{{
		ID: sallyport.DomainID(long), Name: "n", Projects: []Project{{ID: sallyport.ProjectID(long), Name: "p"}},
		Users: []User{{ID: sallyport.UserID(long), Name: "u", Keys: []Key{{Access: access, Secret: strings.Repeat("s", MaxSecret)}}}},
	}}))
	req := LoginRequest{Methods: []string{LoginKey}, Key: KeyProof{Access: access, Secret: strings.Repeat("s", MaxSecret)}}
	req.Scope.Project = &ProjectRef{Name: "p"}
	token := h.login(t, req)
	k := h.temporary(t, token, 0)
	if max(len(token.Text), len(k.SecurityToken)) > 1000 {
		t.Errorf("got %d and %d characters, want at most 1000", len(token.Text), len(k.SecurityToken))
	}
}

// BenchmarkAuthenticateTemporaryKey is a repeated use of one temporary key.
func BenchmarkAuthenticateTemporaryKey(b *testing.B) {
	h := newHouse(b)
	k := h.temporary(b, h.login(b, passwordRequest()), 0)
	r := h.signed(b, k.Access, k.Secret, "X-Security-Token", k.SecurityToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Authenticate(b.Context(), r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

package identity

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// If this fails, a signed request speaks for the wrong user or project.
func TestAuthenticateKey(t *testing.T) {
	h := newHouse(t)
	want := sallyport.Principal{
		DomainID: acme, DomainName: "acme", UserID: deriveUserID(acme, "paula"), UserName: "paula",
		Roles: []sallyport.Role{sallyport.RoleAdmin}, Method: sallyport.MethodKey, AccessKey: paulaAccess,
	}
	inProject := want
	inProject.ProjectID, inProject.ProjectName = acmeProject, "eu-west-101"
	tests := []struct {
		name    string
		headers []string
		want    sallyport.Principal
	}{
		{"no project", nil, want},
		{"empty project", []string{"X-Project-Id", ""}, want},
		{"project", []string{"X-Project-Id", string(acmeProject)}, inProject},
		{"project and account", []string{"X-Project-Id", string(acmeProject), "X-Domain-Id", string(acme)}, inProject},
		{"empty token beside it", []string{"X-Auth-Token", ""}, want},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := h.signed(t, paulaAccess, paulaSecret, tt.headers...)
			for range 2 { // a byte-identical request is not a replay
				got, err := h.Authenticate(t.Context(), r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	for _, headers := range [][]string{
		{"X-Project-Id", string(foreign)}, {"X-Project-Id", "unknown"}, {"X-Domain-Id", string(umbrella)},
	} {
		_, err := h.Authenticate(t.Context(), h.signed(t, paulaAccess, paulaSecret, headers...), nil)
		wantKind(t, err, sallyport.KindForbidden)
	}
}

// If this fails, a bad signature is accepted, classed wrongly, or its answer tells
// which access keys exist.
func TestAuthenticateKeyRefuses(t *testing.T) {
	h := newHouse(t)
	_, err := h.Authenticate(t.Context(), h.signed(t, paulaAccess, "wrong"), nil)
	mismatch := wantAuth(t, err, AuthMismatch)
	_, err = h.Authenticate(t.Context(), h.signed(t, "NOBODY", paulaSecret), nil)
	unknown := wantAuth(t, err, AuthUnknownKey)
	if mismatch.Detail != unknown.Detail || mismatch.Unauthenticated() != unknown.Unauthenticated() || mismatch.Error() != unknown.Error() {
		t.Errorf("an unknown key reads %q, a wrong signature %q", unknown, mismatch)
	}
	_, err = h.Authenticate(t.Context(), h.signed(t, paulaAccess, paulaSecret), []byte("a body nobody signed"))
	wantAuth(t, err, AuthMismatch)

	r := h.signed(t, paulaAccess, paulaSecret)
	other := h.signed(t, "NOBODY", paulaSecret)
	h.clock.advance(aksk.Window + time.Second)
	for _, late := range []*http.Request{r, other} {
		_, err = h.Authenticate(t.Context(), late, nil)
		if e := wantAuth(t, err, AuthExpiredSignature); !strings.Contains(e.Detail, "signature time:20260304T050607Z,server time:20260304T052108Z") {
			t.Errorf("got detail %q, want both times", e.Detail)
		}
	}

	r = h.signed(t, paulaAccess, paulaSecret)
	r.Header.Set("Authorization", "V99-HMAC-SHA256 Credential=A/20240506/r/s, SignedHeaders=x-sdk-date, Signature=00")
	_, err = h.Authenticate(t.Context(), r, nil)
	wantAuth(t, err, AuthUnsupported)
	r.Header.Set("Authorization", "SDK-HMAC-SHA256 what")
	_, err = h.Authenticate(t.Context(), r, nil)
	wantAuth(t, err, AuthMalformed)
	r.Header.Add("Authorization", "twice")
	_, err = h.Authenticate(t.Context(), r, nil)
	wantAuth(t, err, AuthMalformed)
	r.Header.Del("Authorization")
	_, err = h.Authenticate(t.Context(), r, nil)
	wantAuth(t, err, AuthMissing)
	if AuthKindOf(errors.New("x")) != 0 {
		t.Error("an ordinary error has an authentication kind")
	}
}

// If this fails, a key that was taken out of the configuration still opens, or a new
// one does not.
func TestSetDirectoryChangesKeysAtOnce(t *testing.T) {
	h := newHouse(t)
	as := accounts()
	as[0].Users[0].Keys = []Key{{Access: "FRESH", Secret: "fresh-secret"}}
	h.SetDirectory(directory(t, as))
	_, err := h.Authenticate(t.Context(), h.signed(t, paulaAccess, paulaSecret), nil)
	wantAuth(t, err, AuthUnknownKey)
	if _, err := h.Authenticate(t.Context(), h.signed(t, "FRESH", "fresh-secret"), nil); err != nil {
		t.Error(err)
	}
	if !h.Owns(acme, acmeProject) {
		t.Error("the account's project is not its own")
	}
	h.SetDirectory(directory(t, nil))
	if h.Owns(acme, acmeProject) {
		t.Error("a project that is gone still belongs to somebody")
	}
}

// If this fails, a program with a key of the wrong length runs with a weak one.
func TestNewWantsAWholeKey(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New took a short key")
		}
	}()
	New(directory(t, nil), []byte("short"), &memory{}, Options{})
}

package identity

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

func b64(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) }

// If this fails, a thing of the configuration is not found, or one of another
// account is, or a lookup gives away a secret.
func TestDirectoryLookups(t *testing.T) {
	d := directory(t, accounts())
	if got := len(d.Accounts()); got != 2 {
		t.Errorf("got %d accounts, want 2", got)
	}
	a, ok := d.Account(acme)
	byName, ok2 := d.AccountByName("acme")
	if !ok || !ok2 || a.Name != "acme" || byName.ID != acme || len(a.Projects) != 2 || len(a.Users) != 3 {
		t.Errorf("account: got %v %v", a, byName)
	}
	if _, ok := d.AccountByName("ACME"); ok {
		t.Error("account names are exact")
	}
	p, owner, ok := d.Project(foreign)
	if !ok || owner != umbrella || p.Name != "eu-west-101" {
		t.Errorf("project: got %v of %v", p, owner)
	}
	if p, ok := d.ProjectByName(acme, "eu-west-101"); !ok || p.ID != acmeProject {
		t.Errorf("project by name: got %v", p)
	}
	u, ok := d.UserByName(acme, "paula")
	if !ok || len(u.ID) != 32 || u.ID != deriveUserID(acme, "paula") {
		t.Errorf("user: got %v", u)
	}
	if other, _ := d.UserByName(umbrella, "paula"); other.ID == u.ID {
		t.Error("two users of one name in two accounts have one id")
	}
	same, owner, ok := d.User(u.ID)
	if diff := cmp.Diff(u, same); !ok || owner != acme || diff != "" {
		t.Errorf("user by id: %s", diff)
	}
	if want := []Key{{Access: paulaAccess}}; u.Password != "" || !cmp.Equal(u.Keys, want) {
		t.Error("a lookup gives away secrets")
	}
	if _, ok := d.Account("x"); ok {
		t.Error("found an unknown account")
	}
	if _, _, ok := d.User("x"); ok {
		t.Error("found an unknown user")
	}
	if _, ok := d.UserByName(acme, "x"); ok {
		t.Error("found an unknown user by name")
	}
	if n := d.PlainPasswords(); n != 2 {
		t.Errorf("got %d plain passwords, want 2", n)
	}
	for p, want := range map[sallyport.ProjectID]bool{acmeProject: true, acmeSecond: true, foreign: false, "": false} {
		if got := d.Owns(acme, p); got != want {
			t.Errorf("Owns(%q): got %v, want %v", p, got, want)
		}
	}
	if d.Owns("", "") {
		t.Error("nobody owns nothing")
	}
}

// If this fails, a user id changes with a release, and with it every audit record's
// meaning and every token.
func TestDerivedUserIDIsFixed(t *testing.T) {
	if got, want := deriveUserID(acme, "paula"), sallyport.UserID("32b0b7d4ac590cdb9448bf184cf8b527"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// If this fails, a mistake in the configuration is accepted, or its message leaks a secret.
func TestNewDirectoryRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(as []Account)
		want   string
	}{
		{"account id empty", func(as []Account) { as[0].ID = "" }, "id"},
		{"account id long", func(as []Account) { as[0].ID = sallyport.DomainID(strings.Repeat("a", MaxID+1)) }, "id"},
		{"account id odd", func(as []Account) { as[0].ID = "a/b" }, "characters other than"},
		{"account id twice", func(as []Account) { as[1].ID = acme }, "another account has the id"},
		{"account name twice", func(as []Account) { as[1].Name = "acme" }, "another account has the name"},
		{"account name empty", func(as []Account) { as[0].Name = "" }, "name is not"},
		{"account name control", func(as []Account) { as[0].Name = "a\nb" }, "control"},
		{"account name not UTF-8", func(as []Account) { as[0].Name = "\xff" }, "UTF-8"},
		{"project id twice", func(as []Account) { as[1].Projects[0].ID = acmeProject }, "another project has the id"},
		{"project name twice", func(as []Account) { as[0].Projects[1].Name = "eu-west-101" }, "another project of the account"},
		{"user id twice", func(as []Account) { as[0].Users[1].ID = deriveUserID(acme, "paula") }, "another user has the id"},
		{"user name twice", func(as []Account) { as[0].Users[1].Name = "paula" }, "another user of the account"},
		{"unknown role", func(as []Account) { as[0].Users[0].Roles = []sallyport.Role{"root"} }, "unknown role"},
		{"access twice", func(as []Account) { as[0].Users[2].Keys[0].Access = paulaAccess }, "used twice"},
		{"access odd", func(as []Account) { as[0].Users[0].Keys[0].Access = paulaSecret + "/" }, "access is not"},
		{"secret empty", func(as []Account) { as[0].Users[0].Keys[0].Secret = "" }, "secret is not"},
		{"secret long", func(as []Account) { as[0].Users[0].Keys[0].Secret = strings.Repeat(paulaSecret, 9) }, "secret is not"},
		{"password broken", func(as []Account) { as[0].Users[0].Password = "$argon2id$" + paulaPassword }, "argon2id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as := accounts()
			tt.change(as)
			_, err := NewDirectory(as)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want one about %q", err, tt.want)
			}
			wantSilent(t, "error", err.Error())
		})
	}
}

// If this fails, printing or logging an account shows its passwords and secrets.
func TestSecretsAreNotPrinted(t *testing.T) {
	as := accounts()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "user", as[0].Users[0], "key", as[0].Users[0].Keys[0])
	for _, text := range []string{fmt.Sprint(as), fmt.Sprintf("%+v", as), fmt.Sprintf("%#v", as), fmt.Sprint(as[0].Users[0].Keys), log.String()} {
		wantSilent(t, "text", text)
	}
	h := newHouse(t)
	token := h.login(t, passwordRequest())
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token)
	for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v", token, token), log.String()} {
		wantSilent(t, "token", text, token.Text)
	}
}

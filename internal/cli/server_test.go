package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/sallyport-net/sallyport/internal/config"
)

// If this fails, a file that serve refuses passes for right, or mistakes are told
// one at a time.
func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r := &runner{t: t}
	good := write("good.yaml", string(config.Development("")))
	got := r.run("config", "check", good).want(t, ExitOK).says(t, good+": warning: identity.domains[0].users[0].password: ")
	if got.out != good+": ok\n" {
		t.Errorf("stdout = %q", got.out)
	}
	if strings.Contains(got.errors, "paula-development") {
		t.Error("a warning shows a password")
	}
	bad := write("bad.yaml", "listen: here\nlanguage: klingon\n")
	got = r.run("config", "check", bad).want(t, ExitFailure).says(t, bad+":1: listen: ", bad+":2: language: ", "sallyport: config check: "+bad+": 2 mistakes\n")
	if got.out != "" {
		t.Errorf("stdout = %q", got.out)
	}
	r.run("config", "check", filepath.Join(dir, "absent")).want(t, ExitFailure).says(t, "no such file")
	(&runner{t: t, env: map[string]string{"SALLYPORT_LANGUAGE": "klingon"}}).run("config", "check", good).
		want(t, ExitFailure).says(t, "environment: SALLYPORT_LANGUAGE: ", "1 mistake\n")
}

// config show ends in tickets. If this fails, secrets end there too.
func TestConfigShow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, config.Development(""), 0o600); err != nil {
		t.Fatal(err)
	}
	r := (&runner{t: t, env: map[string]string{"SALLYPORT_REGION": "elsewhere"}}).run("config", "show", file).want(t, ExitOK)
	for _, secret := range []string{"paula-development", "sallyport-development-provider-secret-01"} {
		if strings.Contains(r.out, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	if !strings.Contains(r.out, "region: elsewhere") || !strings.Contains(r.out, "[secret]") {
		t.Errorf("stdout = %s", r.out)
	}
}

// A flag of serve must reach the configuration under the name that it reads.
func TestOverridesAreRead(t *testing.T) {
	values := map[string]string{
		"listen": "127.0.0.1:1", "public-url": "http://x.example", "data-dir": "/d", "region": "r", "language": config.LanguageChinese,
	}
	set := map[string]*string{}
	for _, o := range overrides {
		v := values[o.flag]
		set[o.env] = &v
	}
	c, err := config.Load("", overlay(set, func(string) string { return "" }))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"listen": c.Listen, "public-url": c.PublicURL, "data-dir": c.DataDir, "region": c.Region, "language": c.Language}
	for flag, want := range values {
		if got[flag] != want {
			t.Errorf("--%s %s gives %q", flag, want, got[flag])
		}
	}
}

var phc = regexp.MustCompile(`^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+\n$`)

// If this fails, the hash is not that of the password, or the server cannot read it.
func TestHashPassword(t *testing.T) {
	if argon2.Version != 19 {
		t.Fatal("the library makes another version")
	}
	for _, input := range []string{"s3cret", "s3cret\n", "s3cret\r\nsecond line\n"} {
		r := (&runner{t: t, stdin: strings.NewReader(input)}).run("hash-password").want(t, ExitOK)
		if !phc.MatchString(r.out) || r.errors != "" {
			t.Errorf("%q: stdout %q, stderr %q", input, r.out, r.errors)
		}
	}
	tests := []struct{ input, want string }{
		{"", "the password is empty"},
		{"\n", "the password is empty"},
		{strings.Repeat("x", maxPasswordInput+1), "the password is longer than 1024 bytes"},
		{strings.Repeat("x", 10*maxPasswordInput), "the password is longer than 1024 bytes"},
	}
	for _, tt := range tests {
		r := (&runner{t: t, stdin: strings.NewReader(tt.input)}).run("hash-password").want(t, ExitFailure).says(t, tt.want)
		if r.out != "" {
			t.Errorf("stdout = %q", r.out)
		}
	}
	(&runner{t: t, stdin: strings.NewReader(strings.Repeat("x", maxPasswordInput) + "\r\n")}).run("hash-password").want(t, ExitOK)
}

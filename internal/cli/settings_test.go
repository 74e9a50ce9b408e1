package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type kv = map[string]string

var precedenceTests = []struct {
	name           string
	flags, env     kv
	profile        kv
	kind           credential
	want, wantFrom kv // of the keys named
}{
	{
		name: "nothing", kind: credentialNone,
		want: kv{setEndpoint: "", setToken: ""},
	},
	{
		name:  "flag, variable, profile",
		flags: kv{setRegion: "f"}, env: kv{"OS_REGION_NAME": "e", "OS_PROJECT_NAME": "e"},
		profile:  kv{setRegion: "p", setProjectName: "p", setDomain: "p"},
		want:     kv{setRegion: "f", setProjectName: "e", setDomain: "p"},
		wantFrom: kv{setRegion: "--region", setProjectName: "OS_PROJECT_NAME", setDomain: "domain of profile x"},
	},
	{
		name: "first variable of several",
		env:  kv{"OS_PROJECT_ID": "os", "HW_PROJECT_ID": "hw", "HW_REGION_NAME": "hw", "OS_DOMAIN_NAME": "second"},
		want: kv{setProjectID: "os", setRegion: "hw", setDomain: "second"},
	},
	{
		name: "user domain before domain",
		env:  kv{"OS_USER_DOMAIN_NAME": "user", "OS_DOMAIN_NAME": "other"},
		want: kv{setDomain: "user"},
	},
	{
		name: "token before key before user in one place",
		env:  kv{"OS_TOKEN": "t", "OS_ACCESS_KEY": "ak", "OS_SECRET_KEY": "sk", "OS_USERNAME": "u", "OS_PASSWORD": "p"},
		kind: credentialToken, want: kv{setToken: "t", setAccessKey: "", setPassword: ""},
	},
	{
		name: "key before user", kind: credentialKey,
		env:  kv{"HW_ACCESS_KEY": "ak", "HW_SECRET_KEY": "sk", "OS_USERNAME": "u", "OS_PASSWORD": "p"},
		want: kv{setAccessKey: "ak", setSecretKey: "sk", setUsername: ""},
	},
	{
		name: "the first place decides the kind", kind: credentialPassword,
		flags: kv{setUsername: "u"}, env: kv{"OS_TOKEN": "t", "OS_PASSWORD": "p"},
		want: kv{setUsername: "u", setPassword: "p", setToken: ""},
	},
	{
		name: "second token variable", kind: credentialToken,
		env:  kv{"OS_AUTH_TOKEN": "t"},
		want: kv{setToken: "t"}, wantFrom: kv{setToken: "OS_AUTH_TOKEN"},
	},
	{
		name: "keys of one family", kind: credentialKey,
		env:  kv{"OS_SECRET_KEY": "of-another-key", "OS_ACCESS_KEY": "another", "HW_ACCESS_KEY": "hw", "HW_SECRET_KEY": "hw-secret"},
		want: kv{setAccessKey: "another", setSecretKey: "of-another-key"},
	},
	{
		name: "half a family is not completed from the next", kind: credentialKey,
		env:  kv{"OS_ACCESS_KEY": "os", "HW_ACCESS_KEY": "hw", "HW_SECRET_KEY": "hw-secret"},
		want: kv{setAccessKey: "os", setSecretKey: ""},
	},
	{
		name: "the SDK's variables", kind: credentialKey,
		env:      kv{"HUAWEICLOUD_SDK_AK": "ak", "HUAWEICLOUD_SDK_SK": "sk"},
		want:     kv{setAccessKey: "ak", setSecretKey: "sk"},
		wantFrom: kv{setSecretKey: "HUAWEICLOUD_SDK_SK"},
	},
	{
		name: "key by flag, secret by variable beside the same key", kind: credentialKey,
		flags: kv{setAccessKey: "hw"}, env: kv{"OS_ACCESS_KEY": "os", "OS_SECRET_KEY": "os-secret", "HW_ACCESS_KEY": "hw", "HW_SECRET_KEY": "hw-secret"},
		want: kv{setAccessKey: "hw", setSecretKey: "hw-secret"},
	},
	{
		name: "key by flag, secret alone in a variable", kind: credentialKey,
		flags: kv{setAccessKey: "ak"}, env: kv{"OS_SECRET_KEY": "sk"},
		want: kv{setAccessKey: "ak", setSecretKey: "sk"},
	},
	{
		name: "no secret of another key of the profile", kind: credentialKey,
		flags: kv{setAccessKey: "mine"}, profile: kv{setAccessKey: "other", setSecretKey: "other-secret"},
		want: kv{setAccessKey: "mine", setSecretKey: ""},
	},
	{
		name: "no password of another user", kind: credentialPassword,
		env: kv{"OS_USERNAME": "carl"}, profile: kv{setUsername: "paula", setPassword: "of-paula"},
		want: kv{setUsername: "carl", setPassword: ""},
	},
	{
		name: "password over the profile's user", kind: credentialPassword,
		env: kv{"OS_PASSWORD": "new"}, profile: kv{setUsername: "paula", setPassword: "old"},
		want: kv{setUsername: "paula", setPassword: "new"},
	},
	{
		name: "endpoint and auth_url of one place",
		env:  kv{"OS_AUTH_URL": "http://cloud/v3"}, profile: kv{setEndpoint: "http://local"},
		want: kv{setAuthURL: "http://cloud/v3", setEndpoint: ""},
	},
	{
		name:  "an endpoint by flag is not logged in to elsewhere",
		flags: kv{setEndpoint: "http://a"}, env: kv{"OS_AUTH_URL": "http://cloud/v3", "HW_ENDPOINT": "http://b"},
		want: kv{setEndpoint: "http://a", setAuthURL: ""},
	},
	{
		name: "our variable before the vendor's",
		env:  kv{"SALLYPORT_ENDPOINT": "http://a", "HW_ENDPOINT": "http://b", "OS_AUTH_URL": "http://c"},
		want: kv{setEndpoint: "http://a", setAuthURL: "http://c"},
	},
}

// Which credentials go where is what this table fixes. If it is wrong, a command
// runs as somebody else, or sends a secret to a server it is not for.
func TestPrecedence(t *testing.T) {
	for _, tt := range precedenceTests {
		t.Run(tt.name, func(t *testing.T) {
			flags := map[string]*string{}
			for k, v := range tt.flags {
				flags[k] = &v
			}
			profile := source{values: tt.profile, from: func(key string) string { return key + " of profile x" }}
			g := resolve(flagSource(flags), func(name string) string { return tt.env[name] }, profile)
			if g.kind != tt.kind {
				t.Errorf("kind = %v, want %v", g.kind, tt.kind)
			}
			for k, want := range tt.want {
				if got := g.get(k); got != want {
					t.Errorf("%s = %q, want %q", k, got, want)
				}
			}
			for k, want := range tt.wantFrom {
				if got := g.from[k]; got != want {
					t.Errorf("%s comes from %q, want %q", k, got, want)
				}
			}
		})
	}
}

// writeProfiles writes the file of profiles and returns the variable of its home.
func writeProfiles(t *testing.T, mode os.FileMode, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "sallyport", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return dir
}

const noQuotas = `{"quotas":{"resources":[]}}`

// A profile is where secrets should be. If this fails, the wrong one is used, a
// file that others can read goes unnoticed, or an error shows what is in it.
func TestProfiles(t *testing.T) {
	v := newVendor(t)
	v.on("GET /v1/"+project+"/quotas", 200, noQuotas)
	text := "profiles:\n" +
		"  default: {endpoint: '" + v.URL + "', token: token-of-default, project_id: " + project + "}\n" +
		"  other: {endpoint: '" + v.URL + "', token: token-of-other, project_id: " + project + "}\n"
	dir := writeProfiles(t, 0o600, text)
	token := func(r result) string {
		t.Helper()
		r.want(t, ExitOK)
		return v.log[len(v.log)-1].header.Get("X-Auth-Token")
	}
	base := &runner{t: t, env: map[string]string{"XDG_CONFIG_HOME": dir}}
	if got := token(base.run("quota")); got != "token-of-default" {
		t.Errorf("without a name the token is %q", got)
	}
	if got := token(base.run("quota", "--profile", "other")); got != "token-of-other" {
		t.Errorf("--profile other: the token is %q", got)
	}
	if got := token(base.and("SALLYPORT_PROFILE", "other").run("quota")); got != "token-of-other" {
		t.Errorf("SALLYPORT_PROFILE=other: the token is %q", got)
	}
	r := base.and("OS_TOKEN", "token-of-env").run("quota", "--profile", "other")
	if got := token(r); got != "token-of-env" {
		t.Errorf("the variable comes before the profile, but the token is %q", got)
	}
	r.says(t, "warning: OS_TOKEN of the environment comes before token of profile other")

	base.run("quota", "--profile", "absent").want(t, ExitUsage).says(t, "there is no profile absent, only: default, other")
	if r := base.run("quota"); r.errors != "" {
		t.Errorf("a private file is warned about: %s", r.errors)
	}
	open := &runner{t: t, env: map[string]string{"XDG_CONFIG_HOME": writeProfiles(t, 0o644, text)}}
	open.run("quota").want(t, ExitOK).says(t, "may be read by others (mode 0644)", "chmod 600")
	home := &runner{t: t, env: map[string]string{"HOME": filepath.Join(dir, "..")}}
	home.run("quota", "--profile", "x").want(t, ExitUsage).says(t, filepath.Join(".config", "sallyport", "config.yaml"))
}

// An error about the file of profiles ends in logs and tickets. If this fails, a
// secret ends there too.
func TestProfileErrorsHideValues(t *testing.T) {
	for _, text := range []string{
		"profiles: s3cret",
		"profiles: [s3cret]",
		"profiles: {default: s3cret}",
		"profiles: {default: {password: [s3cret]}}",
		"profiles: {default: {pasword: s3cret}}",
		"profile: {default: {password: s3cret}}",
		"profiles: {default: {password: {s3cret: s3cret}}}",
		"profiles: {default: {password: *s3cret}}",
		"profiles: {default: {password: \"s3cret}}",
		strings.Repeat("# s3cret\n", maxProfileFile/8),
	} {
		r := (&runner{t: t, env: map[string]string{"XDG_CONFIG_HOME": writeProfiles(t, 0o600, text)}}).run("quota")
		r.want(t, ExitUsage)
		if strings.Contains(r.errors, "s3cret") {
			t.Errorf("the error of %.40q shows a value: %s", text, r.errors)
		}
	}
}

// The table of settings is the only list. If this fails, a key that the code uses
// is in neither flags nor documentation.
func TestSettingsAreWhole(t *testing.T) {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
		if len(s.env) == 0 || strings.Count(s.usage, "`") != 2 {
			t.Errorf("%s is not whole: %+v", s.key, s)
		}
		text := environmentText()
		for _, name := range append(s.env, "--"+s.flag(), s.key) {
			if !strings.Contains(text, name) {
				t.Errorf("help environment does not name %s", name)
			}
		}
	}
	want := []string{
		setEndpoint, setAuthURL, setRegion, setProjectID, setProjectName, setUsername, setPassword, setDomain, setToken,
		setAccessKey, setSecretKey, setCAFile,
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// FuzzProfiles: whatever stands in the file, reading it ends, and its error does not
// repeat what stands between quotes there.
func FuzzProfiles(f *testing.F) {
	f.Add("profiles: {default: {password: abc}}")
	f.Add("profiles: [a]")
	f.Add("profiles: {a: &x {token: t}, b: *x}")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, text string) {
		profiles, err := parseProfiles([]byte(text))
		if err != nil && (profiles != nil || err.Error() == "") {
			t.Errorf("parseProfiles(%q) = %v, %v", text, profiles, err)
		}
	})
}

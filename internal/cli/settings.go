package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// The settings of the verbs of the API, by the key that the profile file uses.
const (
	setEndpoint    = "endpoint"
	setAuthURL     = "auth_url"
	setRegion      = "region"
	setProjectID   = "project_id"
	setProjectName = "project_name"
	setUsername    = "username"
	setPassword    = "password"
	setDomain      = "domain"
	setToken       = "token"
	setAccessKey   = "access_key"
	setSecretKey   = "secret_key"
	setCAFile      = "ca_file"
)

// setting is one of them. The table below is the only list: flags, variables,
// profile keys and the documentation come from it.
type setting struct {
	key    string
	env    []string // the first that is set counts
	usage  string   // with the word for the value in backquotes, as flags have it
	secret bool
}

// flag returns the name of the setting's flag.
func (s setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }

// discouraged stands in the help of every flag that takes a secret.
const discouraged = "; discouraged: other users see command lines, use the variable or a profile"

var settings = []setting{
	{key: setEndpoint, env: []string{"SALLYPORT_ENDPOINT", "HW_ENDPOINT"}, usage: "base `URL` of the API"},
	{key: setAuthURL, env: []string{"OS_AUTH_URL"}, usage: "`URL` of the identity API, ending in /v3"},
	{key: setRegion, env: []string{"OS_REGION_NAME", "HW_REGION_NAME"}, usage: "`NAME` of the region; also of the project where none is given"},
	{key: setProjectID, env: []string{"OS_PROJECT_ID", "HW_PROJECT_ID"}, usage: "`ID` of the project"},
	{key: setProjectName, env: []string{"OS_PROJECT_NAME"}, usage: "`NAME` of the project"},
	{key: setUsername, env: []string{"OS_USERNAME"}, usage: "`NAME` of the user who logs in"},
	{key: setPassword, env: []string{"OS_PASSWORD"}, usage: "`PASSWORD` of the user", secret: true},
	{key: setDomain, env: []string{"OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME"}, usage: "`NAME` of the account (domain) of the user"},
	{key: setToken, env: []string{"OS_TOKEN", "OS_AUTH_TOKEN"}, usage: "`TOKEN` to use instead of a login", secret: true},
	{key: setAccessKey, env: []string{"OS_ACCESS_KEY", "HW_ACCESS_KEY", "HUAWEICLOUD_SDK_AK"}, usage: "access `KEY` that signs requests"},
	{key: setSecretKey, env: []string{"OS_SECRET_KEY", "HW_SECRET_KEY", "HUAWEICLOUD_SDK_SK"}, usage: "`SECRET` of the access key", secret: true},
	{key: setCAFile, env: []string{"OS_CACERT"}, usage: "PEM `FILE` of authorities to trust beside the system's"},
}

// credential is the way a session proves who it is.
type credential int

// The ways; within one source the first that is there wins.
const (
	credentialNone credential = iota
	credentialToken
	credentialKey
	credentialPassword
)

// given is what was found: values by key, and where each comes from.
type given struct {
	kind   credential
	values map[string]string
	from   map[string]string
}

func (g given) get(key string) string { return g.values[key] }

func (g given) take(key string, s source) {
	if v := s.values[key]; v != "" {
		g.values[key], g.from[key] = v, s.from(key)
	}
}

// source is one place where settings come from.
type source struct {
	values map[string]string
	from   func(key string) string // how to name the place of a value
}

func (s source) has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return s.values[k] != "" })
}

// flagSource is what the command line says.
func flagSource(set map[string]*string) source {
	s := source{values: map[string]string{}, from: func(key string) string { return "--" + strings.ReplaceAll(key, "_", "-") }}
	for key, value := range set {
		s.values[key] = *value
	}
	return s
}

// environmentSources returns the environment as one source, and once more as one
// per family of variables, so that an access key keeps the secret of its own family.
func environmentSources(env func(string) string) (all source, families []source) {
	used := map[string]string{}
	all = source{values: map[string]string{}, from: func(key string) string { return used[key] }}
	families = make([]source, 3)
	for i := range families {
		names := map[string]string{}
		families[i] = source{values: map[string]string{}, from: func(key string) string { return names[key] }}
		for _, s := range settings {
			if (s.key == setAccessKey || s.key == setSecretKey) && env(s.env[i]) != "" {
				families[i].values[s.key], names[s.key] = env(s.env[i]), s.env[i]
			}
		}
	}
	for _, s := range settings {
		for _, name := range s.env {
			if v := env(name); v != "" {
				all.values[s.key], used[s.key] = v, name
				break
			}
		}
	}
	return all, families
}

// resolve puts the sources over each other: flags, environment, profile. Single
// settings are taken from the first source that has them, with three exceptions
// that keep together what belongs together:
//
//   - the first source that has any credential decides their kind;
//   - a secret is taken only from a source that names the same key or user, or none;
//   - endpoint and auth_url come from one source, so that a token made at one
//     server is not sent to another.
func resolve(flags source, env func(string) string, profile source) given {
	environment, families := environmentSources(env)
	layers := []source{flags, environment, profile}
	g := given{values: map[string]string{}, from: map[string]string{}}
	for _, key := range []string{setRegion, setProjectID, setProjectName, setDomain, setCAFile} {
		g.first(layers, key)
	}
	for _, s := range layers {
		if s.has(setEndpoint, setAuthURL) {
			g.take(setEndpoint, s)
			g.take(setAuthURL, s)
			break
		}
	}
	for _, s := range layers {
		if g.kind = kindOf(s); g.kind != credentialNone {
			break
		}
	}
	switch g.kind {
	case credentialToken:
		g.first(layers, setToken)
	case credentialKey:
		g.pair(append(append([]source{flags}, families...), profile), setAccessKey, setSecretKey)
	case credentialPassword:
		g.pair(layers, setUsername, setPassword)
	case credentialNone:
	}
	return g
}

func kindOf(s source) credential {
	switch {
	case s.has(setToken):
		return credentialToken
	case s.has(setAccessKey, setSecretKey):
		return credentialKey
	case s.has(setUsername, setPassword):
		return credentialPassword
	default:
		return credentialNone
	}
}

// first takes the value of the first source that has one.
func (g given) first(sources []source, key string) {
	for _, s := range sources {
		if s.has(key) {
			g.take(key, s)
			return
		}
	}
}

// pair takes a name from the first source that has one, and the secret from the
// first that has one and speaks of no other name.
func (g given) pair(sources []source, name, secret string) {
	g.first(sources, name)
	for _, s := range sources {
		if s.has(secret) && cmp.Or(s.values[name], g.values[name]) == g.values[name] {
			g.take(secret, s)
			return
		}
	}
}

// flags are the flags that every verb of the API takes.
type flags struct {
	settings map[string]*string
	profile  string
	timeout  timeoutValue
	output   enumValue
}

// add registers them. It is called for every group of verbs, and all of them set
// the same values: one verb runs.
func (f *flags) add(set *pflag.FlagSet) {
	if f.settings == nil {
		f.settings = map[string]*string{}
		for _, s := range settings {
			f.settings[s.key] = new(string)
		}
		f.timeout = timeoutValue(defaultTimeout)
		f.output.allowed = outputs
	}
	for _, s := range settings {
		usage := s.usage
		if s.secret {
			usage += discouraged
		}
		set.StringVar(f.settings[s.key], s.flag(), "", usage)
	}
	set.StringVar(&f.profile, "profile", "", "`NAME` of the profile in ~/.config/sallyport/config.yaml (default \"default\")")
	set.Var(&f.timeout, "timeout", "`DURATION` one request may take, at most 10m")
	set.VarP(&f.output, "output", "o", "`FORMAT` of the result: table, json or id (default table on a terminal, json elsewhere)")
}

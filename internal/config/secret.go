package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shown stands wherever a secret would.
const shown = "[secret]"

// masked stands for a password inside a URL, where brackets would be escaped.
const masked = "xxxxx"

// Secret is a text that never shows itself: every way of printing, logging or
// encoding it gives "[secret]". string(s) is the text; whoever converts it is
// responsible for where it goes.
type Secret string

// String returns "[secret]".
func (Secret) String() string { return shown }

// GoString returns "[secret]".
func (Secret) GoString() string { return shown }

// Format writes "[secret]" for every verb. String alone would not do: a verb
// that does not fit, such as %d, makes fmt print the value itself.
func (Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, shown) }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalText returns "[secret]"; JSON uses it.
func (Secret) MarshalText() ([]byte, error) { return []byte(shown), nil }

// MarshalYAML returns "[secret]".
func (Secret) MarshalYAML() (any, error) { return shown, nil }

// ShownDatabase returns Database with every password in it replaced, for logs
// and for showing the configuration.
func (c Config) ShownDatabase() string {
	if c.Database == "" {
		return ""
	}
	u, err := url.Parse(c.Database)
	if err != nil || u.Opaque != "" || !slices.Contains(databaseSchemes, u.Scheme) {
		return shown // whatever it is, a password may be anywhere in it
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), masked)
	}
	q := u.Query()
	for key := range q { // password, sslpassword and whatever comes after them
		if strings.Contains(strings.ToLower(key), "password") {
			q.Set(key, masked)
		}
	}
	u.RawQuery = q.Encode()
	if u.Host == "" && u.User == nil && u.Path == "" {
		u.Path = "/" // or String would leave out the slashes after the scheme
	}
	return u.String()
}

// MarshalYAML encodes the configuration without its secrets.
func (c Config) MarshalYAML() (any, error) {
	type plain Config // without methods, or this one would be called again
	p := plain(c)
	p.Database = c.ShownDatabase()
	return p, nil
}

// String returns the configuration as YAML without its secrets.
func (c Config) String() string {
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Sprintf("configuration that cannot be shown: %v", err)
	}
	return string(text)
}

// Format writes String for every verb, since the database URL may hold a password.
func (c Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue returns String, for the same reason.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds ids and names: 64 characters is what the APIs document for
// ids, and names are shown beside them.
const maxName = 64

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

// databaseSchemes are the ways to begin the URL of a PostgreSQL database.
var databaseSchemes = []string{"postgres", "postgresql"}

// validate judges the complete configuration.
func validate(c *Config, f *findings) {
	validateListen(c.Listen, f)
	validatePublicURL(c.PublicURL, f)
	if c.DataDir == "" || strings.ContainsRune(c.DataDir, 0) {
		f.at("data_dir", "must name a directory, for example %s", DefaultDataDir)
	}
	validateDatabase(c.Database, f)
	validateRegion(c.Region, f)
	if c.OnRevoke != RevokeKeep && c.OnRevoke != RevokeCut {
		f.at("on_revoke", "%s is not offered; write %s or %s", quote(c.OnRevoke), RevokeKeep, RevokeCut)
	}
	if c.Language != LanguageEnglish && c.Language != LanguageChinese {
		f.at("language", "%s is not offered; write %s or %s", quote(c.Language), LanguageEnglish, LanguageChinese)
	}
	projects := validateIdentity(&c.Identity, f)
	nets := validateNetworks(&c.Networks, f)
	ports := validateBackends(c, nets, f)
	validatePublicServices(c, ports, f)
	validateInstances(c, projects, nets, f)
	validateForwarding(c, f)
	validateDNS(c, f)
	if c.Quotas.EndpointService < 0 {
		f.at("quotas.endpoint_service", "must be 0 or more")
	}
	if c.Quotas.Endpoint < 0 {
		f.at("quotas.endpoint", "must be 0 or more")
	}
}

func validateListen(listen string, f *findings) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		f.at("listen", "%s is not host:port; write for example %s, or 0.0.0.0:8780 for every IPv4 address", quote(listen), DefaultListen)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		f.at("listen", "the port %s is not a number from 0 to 65535; write for example %s", quote(port), DefaultListen)
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostForm.MatchString(host) {
		f.at("listen", "the host %s is neither an IP address nor a host name; write for example %s", quote(host), DefaultListen)
	}
}

// validatePublicURL accepts scheme and host only. A path would have to be
// stripped by a proxy, and signed requests cover the path.
func validatePublicURL(text string, f *findings) {
	if !f.has("public_url") {
		return // it follows from listen, which is judged on its own
	}
	const example = "write for example https://sallyport.example.net"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		f.at("public_url", "must be an http:// or https:// URL with a host; %s", example)
	case u.User != nil:
		f.at("public_url", "must hold no user name and no password, since every client sees it; %s", example)
	case u.Path != "":
		f.at("public_url", "must have no path, since signed requests cover the path; %s", example)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		f.at("public_url", "must end after host and port; %s", example)
	case u.Port() != "" && !validPortText(u.Port()):
		f.at("public_url", "the port must be a number from 1 to 65535; %s", example)
	}
}

// validateDatabase never shows the value, nor the error of net/url: both may
// hold the password.
func validateDatabase(text string, f *findings) {
	if text == "" && !f.has("database") {
		return
	}
	scheme, _, found := strings.Cut(text, "://")
	if !found || !slices.Contains(databaseSchemes, scheme) {
		f.at("database", "must be a postgres:// or postgresql:// URL, for example postgres://user@127.0.0.1:5432/sallyport; remove the key for the embedded database (the value is not shown, it may hold a password)")
		return
	}
	if _, err := url.Parse(text); err != nil {
		f.at("database", "is not a URL that can be read; percent-encode special characters in user name and password (the value is not shown, it may hold a password)")
	}
}

func validateRegion(region string, f *findings) {
	switch {
	case strings.Contains(region, "."):
		f.at("region", "%s contains a dot, and clients take service names (region.name.id) apart at the dots; write for example %s", quote(region), DefaultRegion)
	case !idForm.MatchString(region):
		f.at("region", "%s must be 1–64 letters, digits, - and _; write for example %s", quote(region), DefaultRegion)
	}
}

// names checks ids and names of one kind and remembers where each one stands.
type names map[string]string // value → path of its first use

// id checks an identifier and that it is unique; it reports whether it is usable.
func (n names) id(f *findings, path, value string) bool {
	switch {
	case value == "" && !f.has(path):
		f.missing(path, "give 1–64 letters, digits, - and _")
	case !idForm.MatchString(value):
		f.at(path, "%s must be 1–64 letters, digits, - and _", quote(value))
	default:
		return n.unique(f, path, value)
	}
	return false
}

// text checks a name for people and that it is unique.
func (n names) text(f *findings, path, value string) {
	switch {
	case value == "" && !f.has(path):
		f.missing(path, "give a name of 1–64 characters")
	case !validName(value):
		f.at(path, "%s must be 1–64 printable characters without spaces around them", quote(value))
	default:
		n.unique(f, path, value)
	}
}

func (n names) unique(f *findings, path, value string) bool {
	if first, taken := n[value]; taken {
		f.at(path, "%s is used on line %d too (%s); each must be different", quote(value), f.line(first), first)
		return false
	}
	n[value] = path
	return true
}

// reference checks the id of something declared elsewhere, without asking
// whether it is declared; it reports whether it is usable.
func reference(f *findings, path, value, what string) bool {
	switch {
	case value == "" && !f.has(path):
		f.missing(path, "give the id of "+what)
	case !idForm.MatchString(value):
		f.at(path, "%s must be the id of %s: 1–64 letters, digits, - and _", quote(value), what)
	default:
		return true
	}
	return false
}

func validName(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxName && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func validPort(n int) bool { return n >= 1 && n <= 65535 }

func validPortText(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && validPort(n)
}

func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

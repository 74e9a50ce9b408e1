package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
)

// Warnings returns what is allowed but probably not meant, one sentence each,
// beginning with the path of the key, in the order of the file. None holds a
// secret.
func (c *Config) Warnings() []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if exposed(c.Listen) {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Scheme != "https" {
			warn("listen: %s can be reached from other machines, and passwords and tokens travel in the clear; put TLS in front and set public_url to its https:// URL", c.Listen)
		} else if loopback(u.Hostname()) {
			warn("public_url: other machines cannot follow links to %s; set the URL they use", c.PublicURL)
		}
	}
	if len(c.Identity.Domains) == 0 {
		warn("identity.domains: is empty, so nobody can log in")
	}
	for i, d := range c.Identity.Domains {
		path := item("identity.domains", i)
		if !slices.ContainsFunc(d.Projects, func(p Project) bool { return p.Name == c.Region }) {
			warn("%s.projects: none is named %s like the region, and clients look their project up by the name of the region", path, c.Region)
		}
		for j, u := range d.Users {
			if u.Password != "" && !isHash(u.Password) {
				warn("%s.password: the password of %s is plain text in the file; outside development put its argon2id or bcrypt hash there", item(path+".users", j), quote(u.Name))
			}
		}
	}
	for i, b := range c.Backends {
		if len(b.ProxyTLVs) == 0 {
			warn("%s.proxy_tlvs: is empty, which stands for [%s]; there is no PROXY header without fields", item("backends", i), TLVSallyport)
		}
	}
	for i, s := range c.PublicServices {
		owner := func(d Domain) bool { return d.ID == s.Owner || d.Name == s.Owner }
		if s.Approval && !slices.ContainsFunc(c.Identity.Domains, owner) {
			warn("%s.approval: no domain of this file is called %s, so nobody can accept a connection", item("public_services", i), quote(s.Owner))
		}
	}
	return list
}

// exposed reports whether host:port may be reached from other machines. A host
// name other than localhost counts as exposed: only a resolver could tell.
func exposed(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && !loopback(host)
}

func loopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost"
}

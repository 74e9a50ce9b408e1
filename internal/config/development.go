package config

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:embed development.yaml
var development string

// Development returns the configuration file of sallyport dev, as YAML text: two
// accounts with keys, a network for each, one backend. It listens on addr, or on
// DefaultListen where addr is "". Its secrets are published with the source, so
// it must never serve anything but development.
func Development(addr string) []byte {
	if addr == "" {
		return []byte(development)
	}
	// Quoted, because an IPv6 address begins with a bracket, which is a list in YAML.
	line := "listen: " + strconv.Quote(addr)
	return []byte(strings.Replace(development, "listen: "+DefaultListen, line, 1))
}

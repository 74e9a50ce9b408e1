package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Limits on what the command line takes. They are those of the VPCEP API
// reference, so that a mistake is told before anything is sent.
const (
	maxIDLength  = 64
	maxMappings  = 200
	maxTags      = 20
	maxWhitelist = 60
	maxPage      = 1000
)

// maxTimeout bounds --timeout: no call of this API takes minutes.
const maxTimeout = 10 * time.Minute

// enumValue is a flag that takes one of a few words.
type enumValue struct {
	allowed []string
	value   string
}

// String returns the word, "" where none was given.
func (e *enumValue) String() string { return e.value }

// Type names the value in help.
func (e *enumValue) Type() string { return "word" }

// Set takes a word, in the spelling of the list whatever the case.
func (e *enumValue) Set(text string) error {
	i := slices.IndexFunc(e.allowed, func(a string) bool { return strings.EqualFold(a, text) })
	if i < 0 {
		return fmt.Errorf("one of %s is needed", strings.Join(e.allowed, ", "))
	}
	e.value = e.allowed[i]
	return nil
}

// timeoutValue is a flag that takes a duration above zero.
type timeoutValue time.Duration

// String returns the duration.
func (t *timeoutValue) String() string { return time.Duration(*t).String() }

// Type names the value in help.
func (t *timeoutValue) Type() string { return "duration" }

// Set takes a duration such as 90s.
func (t *timeoutValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxTimeout {
		return fmt.Errorf("a duration above 0 and up to %v is needed, such as 90s", maxTimeout)
	}
	*t = timeoutValue(d)
	return nil
}

// countValue is a flag that takes a whole number within bounds.
type countValue struct{ value, least, most int }

// String returns the number, "" where none was given.
func (c *countValue) String() string {
	if c.value == 0 {
		return ""
	}
	return strconv.Itoa(c.value)
}

// Type names the value in help.
func (c *countValue) Type() string { return "number" }

// Set takes a number.
func (c *countValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < c.least || n > c.most {
		return fmt.Errorf("a number from %d to %d is needed", c.least, c.most)
	}
	c.value = n
	return nil
}

// mapping is a port mapping on the wire.
type mapping struct {
	ClientPort int    `json:"client_port"`
	ServerPort int    `json:"server_port"`
	Protocol   string `json:"protocol"`
}

// protocols are the words of a port mapping on the wire.
var protocols = []string{"TCP", "UDP"}

// mappingsValue is a flag that takes CLIENT:SERVER/PROTOCOL, and may be repeated.
type mappingsValue struct{ list []mapping }

// String returns the mappings as they are written.
func (m *mappingsValue) String() string {
	parts := make([]string, len(m.list))
	for i, p := range m.list {
		parts[i] = fmt.Sprintf("%d:%d/%s", p.ClientPort, p.ServerPort, strings.ToLower(p.Protocol))
	}
	return strings.Join(parts, ",")
}

// Type names the value in help.
func (m *mappingsValue) Type() string { return "mapping" }

// Set takes one mapping or several with commas between; a single port stands for
// itself on both sides, and TCP is meant where no protocol is named.
func (m *mappingsValue) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		ports, name, named := strings.Cut(part, "/")
		protocol := enumValue{allowed: protocols, value: protocols[0]}
		var errProtocol error
		if named {
			errProtocol = protocol.Set(name)
		}
		client, server, two := strings.Cut(ports, ":")
		if !two {
			server = client
		}
		c, errClient := strconv.ParseUint(client, 10, 16)
		s, errServer := strconv.ParseUint(server, 10, 16)
		if errClient != nil || errServer != nil || c == 0 || s == 0 || errProtocol != nil {
			return fmt.Errorf("CLIENT:SERVER is needed, two ports from 1 to 65535, such as 80:8080 or 53:53/udp")
		}
		m.list = append(m.list, mapping{ClientPort: int(c), ServerPort: int(s), Protocol: protocol.value})
	}
	if len(m.list) > maxMappings {
		return fmt.Errorf("at most %d mappings are possible", maxMappings)
	}
	return nil
}

// tag is a tag on the wire.
type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// tagsValue is a flag that takes KEY=VALUE, and may be repeated.
type tagsValue struct{ list []tag }

// String returns the tags as they are written.
func (t *tagsValue) String() string {
	parts := make([]string, len(t.list))
	for i, p := range t.list {
		parts[i] = p.Key + "=" + p.Value
	}
	return strings.Join(parts, " ")
}

// Type names the value in help.
func (t *tagsValue) Type() string { return "tag" }

// Set takes one tag; its value may be empty and may hold further equals signs.
func (t *tagsValue) Set(text string) error {
	key, value, _ := strings.Cut(text, "=")
	if key == "" {
		return fmt.Errorf("KEY=VALUE is needed")
	}
	if len(t.list) == maxTags {
		return fmt.Errorf("at most %d tags are possible", maxTags)
	}
	t.list = append(t.list, tag{Key: key, Value: value})
	return nil
}

// sourcesValue is a flag that takes an address or a network, and may be repeated.
type sourcesValue struct{ list []string }

// String returns what was given.
func (s *sourcesValue) String() string { return strings.Join(s.list, ",") }

// Type names the value in help.
func (s *sourcesValue) Type() string { return "source" }

// Set takes one IPv4 address or network, or several with commas between.
func (s *sourcesValue) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		address, errAddress := netip.ParseAddr(part)
		prefix, errPrefix := netip.ParsePrefix(part)
		if (errAddress != nil || !address.Is4()) && (errPrefix != nil || !prefix.Addr().Is4()) {
			return fmt.Errorf("an IPv4 address or network is needed, such as 10.0.0.0/24")
		}
		s.list = append(s.list, part)
	}
	if len(s.list) > maxWhitelist {
		return fmt.Errorf("at most %d sources are possible", maxWhitelist)
	}
	return nil
}

// The kinds of argument, as usage lines call them.
const (
	argService  = "SERVICE"
	argEndpoint = "ENDPOINT"
	argID       = "ID"
	argName     = "NAME"
	argValue    = "VALUE"
	argFile     = "FILE"
	argIDOrName = "ID|NAME"
	repeated    = "..." // behind the last one: one or more
)

// use returns the usage line of a verb.
func use(verb string, args ...string) string {
	return strings.Join(append([]string{verb}, args...), " ")
}

// takes returns the check that the arguments are those of the usage line, none of
// them empty, and that ids can be ids: an empty one would make another call of it.
func takes(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], repeated)
		if len(args) < len(names) {
			return usagef("%s is missing", strings.TrimSuffix(names[len(args)], repeated))
		}
		if len(args) > len(names) && !many {
			return usagef("%q is one argument too many", args[len(names)])
		}
		for i, arg := range args {
			name := strings.TrimSuffix(names[min(i, len(names)-1)], repeated)
			if arg == "" {
				return usagef("%s is empty", name)
			}
			isID := name == argService || name == argEndpoint || name == argID
			if isID && !validID(arg) {
				return usagef("%s %q is no id, which is 1 to %d letters, digits, hyphens and underscores", name, arg, maxIDLength)
			}
			if isID && (arg == "public" || arg == "describe") { // paths of their own beside those of the ids
				return usagef("%s %q is no id; there is a verb: %s service %s", name, arg, program, arg)
			}
		}
		return nil
	}
}

func validID(text string) bool {
	return text != "" && len(text) <= maxIDLength && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

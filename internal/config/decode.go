package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The types that are read as a text of their own.
var (
	prefixType   = reflect.TypeFor[netip.Prefix]()
	addrType     = reflect.TypeFor[netip.Addr]()
	addrPortType = reflect.TypeFor[netip.AddrPort]()
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

// decode fills c from the document. It walks the tree along the types itself,
// because the library's own decoder stops telling paths and lines at the first
// level and cannot say which keys were set. The types bound the depth.
func (f *findings) decode(root *yaml.Node, c *Config) {
	f.value(root, reflect.ValueOf(c).Elem(), "")
}

// value reads one node into v. A value that is wrong is reported and left as it was.
func (f *findings) value(n *yaml.Node, v reflect.Value, path string) {
	if !f.literal(n, path) {
		return
	}
	switch t := v.Type(); {
	case t == prefixType || t == addrType:
		f.network(n, v, path)
	case t == addrPortType:
		f.addrPort(n, v, path)
	case t == durationType:
		f.duration(n, v, path)
	case t.Kind() == reflect.Pointer: // a mapping whose presence says something
		v.Set(reflect.New(t.Elem()))
		f.value(n, v.Elem(), path)
	case t.Kind() == reflect.Struct:
		f.mapping(n, v, path)
	case t.Kind() == reflect.Slice:
		f.sequence(n, v, path)
	case n.Kind != yaml.ScalarNode:
		f.wrong(n, path, wanted(t))
	case t.Kind() == reflect.String:
		v.SetString(n.Value) // 0123 and 12e4 are ids too: the text counts, not what YAML makes of it
	case t.Kind() == reflect.Int:
		if n.Tag != "!!int" {
			f.wrong(n, path, wanted(t))
			return
		}
		i, err := strconv.Atoi(n.Value)
		if err != nil || strconv.Itoa(i) != n.Value { // YAML reads 010 as 8 and 0x10 as 16; neither is meant
			f.at(path, "must be a whole number in plain decimal digits, for example 443")
			return
		}
		v.SetInt(int64(i))
	case t.Kind() == reflect.Bool:
		if n.Tag != "!!bool" {
			f.wrong(n, path, wanted(t))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	}
}

// literal refuses what makes a YAML file say more than it shows. Aliases could
// also make a small file grow without bound. What is refused is not repeated: a
// password that begins with & or ! ends up here.
func (f *findings) literal(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		f.at(path, "an alias (*name) is not supported; write the value out, and put text that begins with * in quotes")
	case n.Anchor != "":
		f.at(path, "an anchor (&name) is not supported; write the value out, and put text that begins with & in quotes")
	case n.Style&yaml.TaggedStyle != 0:
		f.at(path, "a tag (!name) is not supported; remove it, and put text that begins with ! in quotes")
	default:
		return true
	}
	return false
}

// mapping reads the keys of a struct.
func (f *findings) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		f.wrong(n, path, wanted(v.Type()))
		return
	}
	fields := fieldsOf(v.Type())
	seen := make(map[string]int, len(fields))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		index, known := fields[key.Value]
		switch first := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			f.atLine(key.Line, path, "a key must be one plain word")
		case !known:
			f.atLine(key.Line, path, "%s", unknownKey{key.Value, v.Type()})
		case first > 0:
			f.atLine(key.Line, join(path, key.Value), "is set twice, on line %d too; keep one of them", first)
		default:
			seen[key.Value] = key.Line
			if isNull(val) {
				continue // "key:" with nothing behind it is a key that is not set
			}
			child := join(path, key.Value)
			f.lines[child] = key.Line
			f.value(val, v.Field(index), child)
		}
	}
}

// sequence reads a list.
func (f *findings) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		f.wrong(n, path, wanted(v.Type()))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		child := fmt.Sprintf("%s[%d]", path, i)
		f.lines[child] = item.Line
		if isNull(item) {
			f.at(child, "the list item is empty; write %s or remove it", wanted(v.Type().Elem()))
			continue
		}
		f.value(item, list.Index(i), child)
	}
	v.Set(list)
}

// network reads an address or a network.
func (f *findings) network(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		f.wrong(n, path, wanted(v.Type()))
		return
	}
	if v.Type() == addrType {
		a, err := netip.ParseAddr(n.Value)
		if err != nil {
			f.at(path, "%s is not an IP address; write for example 127.0.0.1", quote(n.Value))
		}
		v.Set(reflect.ValueOf(a))
		return
	}
	p, err := netip.ParsePrefix(n.Value)
	if err != nil {
		f.at(path, "%s is not a network; write address/bits, for example 127.64.1.0/24", quote(n.Value))
	}
	v.Set(reflect.ValueOf(p))
}

// addrPort reads where a DNS server listens: an address, or one with a port, or ""
// for nowhere, as a configuration without one is shown.
func (f *findings) addrPort(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		f.wrong(n, path, wanted(v.Type()))
		return
	}
	if n.Value == "" {
		return
	}
	if a, err := netip.ParseAddr(n.Value); err == nil {
		v.Set(reflect.ValueOf(netip.AddrPortFrom(a, DefaultDNSPort)))
		return
	}
	ap, err := netip.ParseAddrPort(n.Value)
	if err != nil {
		f.at(path, `%s is not an IP address with or without a port; write for example 10.0.0.2, 10.0.0.2:5353 or "[fd00::2]:5353"`, quote(n.Value))
		return
	}
	v.Set(reflect.ValueOf(ap))
}

// wrong reports a value of the wrong type. It does not repeat the value, which
// may be a secret in the wrong place.
func (f *findings) wrong(n *yaml.Node, path, want string) {
	f.at(path, "must be %s, not %s", want, found(n))
}

// wanted names what the file must have for a type.
func wanted(t reflect.Type) string {
	switch {
	case t == addrType:
		return "an IP address"
	case t == prefixType:
		return "a network in CIDR form"
	case t == addrPortType:
		return "an IP address with or without a port"
	case t == durationType:
		return "a time span"
	case t.Kind() == reflect.Struct:
		return "a mapping of keys (" + strings.Join(keysOf(t), ", ") + ")"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	default:
		return "text"
	}
}

// found names what the file has.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!int":
		return "a number"
	case n.Tag == "!!float":
		return "a fraction or a number too large"
	case n.Tag == "!!bool":
		return "true or false"
	default:
		return "text"
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// quote shows a value from the file, shortened: a message is one line.
func quote(s string) string {
	const most = 64 // characters; ids and addresses fit
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(s)
}

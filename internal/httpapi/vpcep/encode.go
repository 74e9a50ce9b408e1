package vpcep

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The lists of connections and of endpoints are what clients ask for most and
// what grows, so they are written by hand into one buffer instead of by
// reflection. The test has their fields as structs, and a fuzz test holds every
// encoder to what encoding/json makes of those.

// faultCode is the code in the error array of a failed endpoint: the reference
// has one for an endpoint that could not be made, and none for each cause.
var faultCode = lookup("2022").Code

// Constants of the wire that say the same of every endpoint.
const (
	stateActive  = "active"  // active_status: accounts are never frozen here
	stateEnabled = "enable"  // enable_status: endpoints are never disabled here
	specDefault  = "default" // specification_name where none was asked for
)

// hexDigits are the digits of an escape.
const hexDigits = "0123456789abcdef"

// appendConnection appends an endpoint as the owner of the service sees it. The
// description is the owner's note, not the consumer's text.
func appendConnection(b []byte, e *sallyport.Endpoint) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, string(e.ID))
	b = append(b, `,"marker_id":`...)
	b = strconv.AppendInt(b, int64(e.Marker), 10)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, e.CreatedAt)
	b = append(b, `,"updated_at":`...)
	b = appendTime(b, e.UpdatedAt)
	b = append(b, `,"domain_id":`...)
	b = appendString(b, string(e.DomainID))
	b = append(b, `,"status":`...)
	b = appendString(b, statusText(e.Status))
	b = appendFault(b, e)
	b = append(b, `,"description":`...)
	b = appendString(b, e.Note)
	return append(b, '}')
}

// appendEndpoint appends an endpoint as its owner sees it: the union of the
// fields of every edition, lists never null. suffix ends its DNS name.
func appendEndpoint(b []byte, v sallyport.EndpointView, suffix string) []byte {
	e, s := v.Endpoint, v.Service
	gateway := s.Kind == sallyport.KindGateway
	b = append(b, `{"id":`...)
	b = appendString(b, string(e.ID))
	b = append(b, `,"service_type":`...)
	b = appendString(b, string(s.Kind))
	b = append(b, `,"status":`...)
	b = appendString(b, statusText(e.Status))
	if showsAddress(e, gateway) {
		b = append(b, `,"ip":"`...)
		b = e.Address.AppendTo(b)
		b = append(b, '"')
	}
	if e.IPv6Address != "" {
		b = append(b, `,"ipv6_address":`...)
		b = appendString(b, e.IPv6Address)
	}
	b = append(b, `,"ip_version":`...)
	b = appendString(b, orDefault(e.IPVersion, versionIPv4))
	b = append(b, `,"active_status":["`+stateActive+`"],"enable_status":"`+stateEnabled+`","specification_name":`...)
	b = appendString(b, orDefault(e.Specification, specDefault))
	b = append(b, `,"endpoint_service_name":"`...)
	b = appendFullName(b, s)
	b = append(b, `","endpoint_service_id":`...)
	b = appendString(b, string(e.ServiceID))
	b = append(b, `,"marker_id":`...)
	b = strconv.AppendInt(b, int64(e.Marker), 10)
	b = append(b, `,"enable_dns":`...)
	b = strconv.AppendBool(b, e.EnableDNS && !gateway)
	if e.EnableDNS && showsAddress(e, gateway) {
		b = append(b, `,"dns_names":["`...)
		for _, part := range sallyport.DNSNameParts(e.ID, s.Region, suffix) {
			b = appendText(b, part)
		}
		b = append(b, '"', ']')
	}
	b = append(b, `,"vpc_id":`...)
	b = appendString(b, string(e.VPCID))
	if e.SubnetID != "" {
		b = append(b, `,"subnet_id":`...)
		b = appendString(b, string(e.SubnetID))
	}
	b = append(b, `,"created_at":`...)
	b = appendTime(b, e.CreatedAt)
	b = append(b, `,"updated_at":`...)
	b = appendTime(b, e.UpdatedAt)
	b = append(b, `,"project_id":`...)
	b = appendString(b, string(e.ProjectID))
	b = append(b, `,"tags":`...)
	b = appendTags(b, e.Tags)
	b = appendFault(b, e)
	b = append(b, `,"whitelist":`...)
	b = appendStrings(b, e.Whitelist)
	b = append(b, `,"enable_whitelist":`...)
	b = strconv.AppendBool(b, e.EnableWhitelist)
	b = append(b, `,"routetables":`...)
	b = appendStrings(b, e.RouteTables)
	b = append(b, `,"description":`...)
	b = appendString(b, e.Description)
	b = appendPolicies(b, e)
	if s.BorderGroup != "" {
		b = append(b, `,"public_border_group":`...)
		b = appendString(b, s.BorderGroup)
	}
	return append(b, '}')
}

// appendPolicies appends the policies of an endpoint, which are JSON: it was
// compacted when it was read.
func appendPolicies(b []byte, e *sallyport.Endpoint) []byte {
	if e.PolicyStatement != "" {
		b = append(b, `,"policy_statement":`...)
		b = append(b, e.PolicyStatement...)
	}
	if e.PolicyDocument != "" {
		b = append(b, `,"policy_document":`...)
		b = append(b, e.PolicyDocument...)
	}
	return b
}

// showsAddress reports whether the ip field is there: on interface endpoints
// once accepted, and still after a later reject.
func showsAddress(e *sallyport.Endpoint, gateway bool) bool {
	return !gateway && e.ShowsAddress() && e.Address.IsValid()
}

// appendFullName appends what s.FullName returns, without making the string.
func appendFullName(b []byte, s *sallyport.Service) []byte {
	if s.SystemName != "" {
		return appendText(b, s.SystemName)
	}
	b = append(appendText(b, s.Region), '.')
	if s.Name != "" {
		b = append(appendText(b, s.Name), '.')
	}
	return appendText(b, string(s.ID))
}

// appendFault appends the error array of a failed endpoint, else nothing.
func appendFault(b []byte, e *sallyport.Endpoint) []byte {
	if e.Status != sallyport.StatusFailed || e.Fault == nil {
		return b
	}
	b = append(b, `,"error":[{"error_code":`...)
	b = appendString(b, faultCode)
	b = append(b, `,"error_message":`...)
	b = appendString(b, e.Fault.Message)
	b = append(b, `,"code":`...)
	b = appendString(b, faultCode)
	b = append(b, `,"message":`...)
	b = appendString(b, e.Fault.Message)
	return append(b, '}', ']')
}

func appendTags(b []byte, tags []sallyport.Tag) []byte {
	b = append(b, '[')
	for i, t := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"key":`...)
		b = appendString(b, t.Key)
		b = append(b, `,"value":`...)
		b = appendString(b, t.Value)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"')
}

// appendString appends s as a JSON string, byte for byte as encoding/json does:
// what could be markup is escaped, and a byte that is no UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	b = appendText(b, s)
	return append(b, '"')
}

// appendText is appendString without the quotes.
func appendText(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(b, s[start:]...)
}

// appendEscape appends the escape of an ASCII character that needs one.
func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}

package vpcep

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits of the policies of an endpoint.
const (
	// maxStatements is the number of statements of a policy (VPCEP API reference,
	// policy_statement).
	maxStatements = 10
	// maxPolicy is the size of a list of statements, and of a document, in bytes
	// without spaces. The reference has none; this is what endpoint policies of
	// another cloud may have, and it bounds a row and a page of endpoints.
	maxPolicy = 20_480
)

// policyRequest is the body of UpdateEndpointPolicy. What is absent stays as it
// is; null and what is empty removes.
type policyRequest struct {
	Statements opt[json.RawMessage] `json:"policy_statement"`
	Document   opt[json.RawMessage] `json:"policy_document"`
}

// updatePolicy is UpdateEndpointPolicy.
func (a *api) updatePolicy(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in policyRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	ch, bad := in.change()
	if bad != nil {
		return edge.Response{}, bad
	}
	return a.changeEndpoint(ctx, q, ch)
}

// change checks what can be checked without state. One of the two policies has to
// be there: which of them a service takes differs from edition to edition.
func (in *policyRequest) change() (ch sallyport.EndpointChange, bad *codeError) {
	if !in.Statements.set && !in.Document.set {
		return ch, refuse(codePolicy, "the body has neither policy_statement nor policy_document")
	}
	if in.Statements.set {
		text, bad := parseStatements(in.Statements.value)
		if bad != nil {
			return ch, bad
		}
		ch.PolicyStatement = &text
	}
	if in.Document.set {
		text, bad := parseDocument(in.Document.value)
		if bad != nil {
			return ch, bad
		}
		ch.PolicyDocument = &text
	}
	return ch, nil
}

// deletePolicy is DeleteEndpointPolicy. It removes both policies, and answers with
// the endpoint without them.
func (a *api) deletePolicy(ctx context.Context, q *edge.Request) (edge.Response, error) {
	none := ""
	return a.changeEndpoint(ctx, q, sallyport.EndpointChange{PolicyStatement: &none, PolicyDocument: &none})
}

// parseDocument reads a policy document, any JSON value, and returns it without
// spaces; "" where it says nothing. Order and spelling stay, so that a client
// finds what it sent.
func parseDocument(raw json.RawMessage) (string, *codeError) {
	return compact("policy_document", raw)
}

// parseStatements reads a list of 0–10 statements and returns it as JSON without
// spaces; "" where it says nothing. Effect, Action and Resource are checked, and
// the latter two always lists, since a client decodes nothing else; whatever else
// a statement has stays as it is.
func parseStatements(raw json.RawMessage) (string, *codeError) {
	text, bad := compact("policy_statement", raw)
	if bad != nil || text == "" {
		return "", bad
	}
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) != nil {
		return "", refuse(codePolicy, "policy_statement is no array of statements")
	}
	if len(list) > maxStatements {
		return "", refuse(codePolicy, "policy_statement has %d statements, at most %d are allowed", len(list), maxStatements)
	}
	b := append(make([]byte, 0, len(text)+2*len(list)), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, bad = appendStatement(b, s); bad != nil {
			return "", bad
		}
	}
	return string(append(b, ']')), nil
}

// compact takes the spaces out of a policy and bounds its size. What it returns is
// valid UTF-8, which is all that the store keeps.
func compact(field string, raw json.RawMessage) (string, *codeError) {
	if len(raw) == 0 {
		return "", nil
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil || !utf8.Valid(b.Bytes()) {
		return "", refuse(codePolicy, "%s is not valid JSON", field)
	}
	switch text := b.String(); {
	case text == "null", text == "[]", text == "{}", text == `""`:
		return "", nil
	case len(text) > maxPolicy:
		return "", refuse(codePolicy, "%s has %d bytes, at most %d are allowed", field, len(text), maxPolicy)
	default:
		return text, nil
	}
}

// appendStatement checks one statement, which is valid JSON, and appends it.
func appendStatement(b []byte, raw json.RawMessage) ([]byte, *codeError) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, refuse(codePolicy, "a statement is no object")
	}
	seen := map[string]bool{}
	b = append(b, '{')
	for dec.More() {
		token, err := dec.Token()
		key, _ := token.(string)
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return nil, refuse(codePolicy, "a statement is not valid JSON")
		}
		if seen[key] {
			return nil, refuse(codePolicy, "a statement has %s twice", quote(key))
		}
		if len(seen) > 0 {
			b = append(b, ',')
		}
		seen[key] = true
		b = append(appendString(b, key), ':')
		var bad *codeError
		if b, bad = appendMember(b, key, value); bad != nil {
			return nil, bad
		}
	}
	for _, key := range []string{"Effect", "Action", "Resource"} {
		if !seen[key] {
			return nil, refuse(codePolicy, "a statement has no %s", key)
		}
	}
	return append(b, '}'), nil
}

// appendMember checks and appends the value of one member of a statement.
func appendMember(b []byte, key string, value json.RawMessage) ([]byte, *codeError) {
	switch key {
	case "Effect":
		if text := string(value); text != `"Allow"` && text != `"Deny"` {
			return nil, refuse(codePolicy, "the Effect of a statement is %s, Allow or Deny is needed", quoteJSON(value))
		}
	case "Action", "Resource":
		return appendNames(b, key, value)
	case "Sid":
		if text := string(value); !strings.HasPrefix(text, `"`) && text != "null" {
			return nil, refuse(codePolicy, "the Sid of a statement is no string")
		}
	}
	return append(b, value...), nil
}

// appendNames appends what a statement speaks of, a name or a list of names, as a
// list.
func appendNames(b []byte, key string, value json.RawMessage) ([]byte, *codeError) {
	var one *string // null stays nil
	if json.Unmarshal(value, &one) == nil && one != nil && *one != "" {
		return append(append(append(b, '['), value...), ']'), nil
	}
	var many []*string
	if json.Unmarshal(value, &many) != nil || len(many) == 0 {
		return nil, refuse(codePolicy, "the %s of a statement is neither a name nor a list of names", key)
	}
	for _, name := range many {
		if name == nil || *name == "" {
			return nil, refuse(codePolicy, "the %s of a statement has an empty name", key)
		}
	}
	return append(b, value...), nil
}

package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Limits of a JSON body, checked before anything is decoded, so that a small
// body cannot make the decoder build something large.
const (
	// MaxDepth is the deepest nesting. The deepest documented body has five
	// levels; policy documents are free-form.
	MaxDepth = 32
	// MaxItems is the largest number of array elements and object members in the
	// whole body. A thousand records of five members are half of it.
	MaxItems = 10_000
)

// Decode reads the JSON body of q into v, a pointer. The media type does not
// matter, as clients send several and some none; unknown members are ignored;
// anything after the value is refused, and so is null.
//
// Every error is a *Problem: ClassMediaType, ClassEmptyBody or ClassBadJSON. An
// error of a custom UnmarshalJSON lies under it, so a family that gives such
// errors codes of their own looks for them with errors.As first. No error
// repeats a value of the body, except where a custom one does.
func Decode(q *Request, v any) error {
	if enc := q.HTTP.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return NewProblem(ClassMediaType, "the content encoding of the request body is not supported")
	}
	body := bytes.TrimSpace(q.Body)
	if len(body) == 0 {
		return NewProblem(ClassEmptyBody, "the request body is empty")
	}
	if p := scan(body); p != nil {
		return p
	}
	if bytes.Equal(body, []byte("null")) {
		return NewProblem(ClassBadJSON, "the request body is null")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return badJSON(err)
	}
	return nil
}

// badJSON turns an error of the decoder into a problem. The decoder's own text
// is not used: for a number of a wrong type it repeats the number.
func badJSON(err error) *Problem {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return NewProblem(ClassBadJSON, fmt.Sprintf("the request body is not valid JSON (byte %d)", e.Offset))
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		p := NewProblem(ClassBadJSON, "the request body must be "+jsonKind(e.Type))
		if e.Field != "" {
			p.Field = e.Field
			p.Detail = "the value of " + e.Field + " must be " + jsonKind(e.Type)
		}
		return p
	}
	return NewProblem(ClassBadJSON, "the request body has a value that is not valid").because(err)
}

// jsonKind names the JSON type that fits a Go type.
func jsonKind(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer in range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "of another type"
	}
}

// scan checks depth and number of items without decoding and without
// allocating; whether the body is JSON at all is the decoder's to say.
func scan(body []byte) *Problem {
	depth, items, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++ // the escaped character ends nothing
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return NewProblem(ClassBadJSON, "the request body is nested too deeply")
			}
			items++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			items++
		}
		if items > MaxItems {
			return NewProblem(ClassBadJSON, "the request body has too many items")
		}
	}
	return nil
}

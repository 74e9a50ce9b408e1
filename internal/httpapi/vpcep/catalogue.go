// Package vpcep is the VPC Endpoint API family: version 1 and the three calls
// of version 2, as the VPCEP API reference documents them and as its clients
// use them. It turns wire requests into calls of the use cases and their
// results into wire answers; rules that depend on state live behind it.
//
// It may import the domain (internal/sallyport) and internal/httpapi/edge, and
// no other family. It starts no goroutines.
package vpcep

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
)

// Language is the language of an error text, as edge.Request names it.
type Language = string

// The two languages of the vendor's documents; any other value reads English.
const (
	// English is the default.
	English Language = edge.English
	// Chinese is simplified Chinese.
	Chinese Language = edge.Chinese
)

// entry is one error code of the catalogue.
type entry struct {
	Code    string // the full spelling, "EndPoint.2013" or "Endpoint.1018"
	Status  int    // the HTTP status the reference gives it
	English string
	Chinese string
}

// numberDigits is the length of the numeric part of every code.
const numberDigits = 4

// byNumber finds entries by the numeric part of their code, which is unique
// although the prefix has two spellings.
var byNumber = indexCatalogue(catalogue)

func indexCatalogue(entries []entry) map[string]entry {
	index := make(map[string]entry, len(entries))
	for _, e := range entries {
		if _, dup := index[e.number()]; dup {
			panic("vpcep: error code " + e.Code + " is in the catalogue twice")
		}
		index[e.number()] = e
	}
	return index
}

// lookup returns the entry of a code by its numeric part, for example "2013",
// and panics where there is none. It is for package variables, so that a wrong
// number stops the program at its start and never in a request; what carries a
// number into a request is a codeError, which cannot panic.
func lookup(number string) entry {
	e, ok := byNumber[number]
	if !ok {
		panic("vpcep: no error code " + number + " in the catalogue")
	}
	return e
}

// number returns the numeric part of the code, for example "2013".
func (e entry) number() string { return e.Code[len(e.Code)-numberDigits:] }

// text returns the catalogue's sentence in a language.
func (e entry) text(lang Language) string {
	if lang == Chinese {
		return e.Chinese
	}
	return e.English
}

// message returns the catalogue's sentence and, where detail is not empty, what
// the handler knows beyond it. The reference says that a code does not imply
// one fixed text, so a detail is allowed; the catalogue's sentence comes first
// because that is what people search for, and the detail is a sentence after it.
// Details exist in English only: a Chinese message carries them in brackets.
func (e entry) message(lang Language, detail string) string {
	detail = strings.TrimSuffix(detail, ".")
	switch {
	case detail == "":
		return e.text(lang)
	case lang == Chinese:
		return e.Chinese + "（" + detail + "）"
	default:
		return e.English + " " + capital(detail) + "."
	}
}

// capital returns a detail with the capital letter of a sentence. The name of a
// field has none, because clients send it as it is written: it gets a noun.
func capital(detail string) string {
	word, _, _ := strings.Cut(detail, " ")
	first, size := utf8.DecodeRuneInString(detail)
	if unicode.IsLower(first) && strings.ContainsRune(word, '_') {
		return "Parameter " + detail
	}
	return string(unicode.ToUpper(first)) + detail[size:]
}

// errorAnswer is the body of every answer from 400 on. The editions of the
// reference document two shapes, a flat pair and a nested object; this is both
// at once, which the vendor's SDK reads (the flat pair first) and every client
// prints.
type errorAnswer struct {
	ErrorCode string      `json:"error_code"`
	ErrorMsg  string      `json:"error_msg"`
	Error     errorNested `json:"error"`
}

type errorNested struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// errorBody returns the body of an error answer, to be encoded as JSON; msg is
// in the caller's language and safe to show.
func errorBody(code entry, msg string) errorAnswer {
	return errorAnswer{
		ErrorCode: code.Code,
		ErrorMsg:  msg,
		Error:     errorNested{Code: code.Code, Message: msg},
	}
}

// codeError is a refusal with its place in the catalogue: the numeric part of
// the code, and what is wrong with this very request in a few English words
// ("" where the catalogue's sentence says it all). It is safe to show.
//
// Functions of this package return *codeError rather than error, so that a
// caller can see that nothing else comes out of them. Assign it to an error
// only after comparing it with nil.
type codeError struct {
	number string
	detail string
}

// Error returns code and detail, for the log.
func (e *codeError) Error() string {
	code := e.entry().Code
	if e.detail == "" {
		return code
	}
	return code + ": " + e.detail
}

// entry returns the catalogue entry of the error. A number that is not in the
// catalogue is a fault of ours and reads as the system error; a test looks at
// every number this package uses.
func (e *codeError) entry() entry {
	if found, ok := byNumber[e.number]; ok {
		return found
	}
	return systemError
}

// systemError is what everything unforeseen is shown as.
var systemError = lookup("0001")

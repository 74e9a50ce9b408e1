package vpcep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// catalogueDigest pins every code with its status. It changes only together
// with a new edition of the reference: whoever changes it says which.
const catalogueDigest = "d47951ad0273679c142179b1a638000283df3ed6a7b14e664d94c380d33b0fb2"

// If this failed, a documented code would be missing or twice, or would go out
// with another status than documented, which is all that clients look at.
func TestCatalogueStatuses(t *testing.T) {
	const want = 157 // 156 of the two editions and EndPoint.1005
	if got := len(catalogue); got != want {
		t.Errorf("the catalogue has %d codes, want %d", got, want)
	}
	t.Logf("%d codes", len(catalogue))

	sum := sha256.New()
	spelling := regexp.MustCompile(`^EndPoint\.\d{4}$`)
	last := ""
	for _, e := range catalogue {
		fmt.Fprintf(sum, "%s %d\n", e.Code, e.Status)
		if !spelling.MatchString(e.Code) && e.Code != "Endpoint.1018" {
			t.Errorf("%s is not how the reference spells codes", e.Code)
		}
		if e.number() <= last {
			t.Errorf("%s stands after %s: out of order or twice", e.Code, last)
		}
		last = e.number()
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != catalogueDigest {
		t.Errorf("digest of codes and statuses is %s, want %s", got, catalogueDigest)
	}
}

// If this failed, a status that surprises (and was checked by hand against the
// reference) would have been tidied up.
func TestCatalogueOddStatuses(t *testing.T) {
	want := map[string]int{
		"0001": 500, "0003": 401, "0004": 403, "0005": 404,
		"0011": 504, "0012": 504, "0013": 504,
		"2006": 404, "2007": 404, "2008": 404, "2030": 404,
		"4004": 404, "4008": 404, "4012": 404, "4021": 404, "4030": 404,
	}
	got := map[string]int{}
	for _, e := range catalogue {
		if e.Status != 400 {
			got[e.number()] = e.Status
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes that are not 400 (-want +got):\n%s", diff)
	}
}

// If this failed, a caller would get an empty message, or one in the wrong
// language.
func TestCatalogueTexts(t *testing.T) {
	for _, e := range catalogue {
		en, zh := e.text(English), e.text(Chinese)
		if !strings.HasSuffix(en, ".") || strings.ContainsFunc(en, func(r rune) bool { return r > unicode.MaxASCII }) {
			t.Errorf("%s: English text is %q", e.Code, en)
		}
		if !strings.HasSuffix(zh, "。") || !strings.ContainsFunc(zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s: Chinese text is %q", e.Code, zh)
		}
		if got := e.text("fr-fr"); got != en {
			t.Errorf("%s: an unknown language reads %q, want English", e.Code, got)
		}
	}
}

// If this failed, a number that the package refuses with would not be in the
// catalogue, and its error would reach the caller as a system error.
func TestEveryNumberInTheCatalogue(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	number := regexp.MustCompile(`^\d{4}$`)
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !number.MatchString(text) {
				return true
			}
			seen++
			if _, ok := byNumber[text]; !ok {
				t.Errorf("%s: no code %s in the catalogue", fset.Position(lit.Pos()), text)
			}
			return true
		})
	}
	if seen < 30 {
		t.Errorf("saw %d numbers, want the constants of validation at least", seen)
	}
}

// If this failed, a program with a wrong number would start.
func TestLookup(t *testing.T) {
	if got := lookup("1018").Code; got != "Endpoint.1018" {
		t.Errorf("lookup(1018) is %s", got)
	}
	mustPanic(t, "lookup of an unknown number", func() { lookup("9999") })
	mustPanic(t, "a code twice", func() { indexCatalogue([]entry{{Code: "EndPoint.0001"}, {Code: "Endpoint.0001"}}) })
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

// If this failed, one of the two documented error shapes would be gone, or the
// nested one would be an array, which clients decode inside resources only.
func TestErrorBodyBothShapes(t *testing.T) {
	e := lookup("2013")
	got, err := json.Marshal(errorBody(e, e.text(English)))
	if err != nil {
		t.Fatal(err)
	}
	const text = "The endpoint does not belong to the endpoint service."
	want := `{"error_code":"EndPoint.2013","error_msg":"` + text + `","error":{"code":"EndPoint.2013","message":"` + text + `"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// If this failed, what a handler knows beyond the catalogue would be lost, or
// would replace the documented sentence.
func TestMessage(t *testing.T) {
	tests := []struct {
		name   string
		lang   Language
		detail string
		want   string
	}{
		{"English", English, "", "Invalid limit."},
		{"English with detail", English, "limit is -1", "Invalid limit. limit is -1."},
		{"full stop once", English, "limit is -1.", "Invalid limit. limit is -1."},
		{"Chinese", Chinese, "", "limit参数无效。"},
		{"Chinese with detail", Chinese, "limit is -1", "limit参数无效。（limit is -1）"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lookup("0006").message(tt.lang, tt.detail); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// If this failed, a fault of ours in a number would panic inside a request or
// would be shown as the caller's mistake.
func TestCodeError(t *testing.T) {
	if got, want := refuse("1018", "used %d", 20).Error(), "Endpoint.1018: used 20"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&codeError{number: "0005"}).Error(), "EndPoint.0005"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&codeError{number: "none"}).entry(); got.Status != 500 {
		t.Errorf("an unknown number has status %d, want 500", got.Status)
	}
}

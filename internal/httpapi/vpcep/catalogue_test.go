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
	"golang.org/x/tools/txtar"
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

// statusesOfTheEdge are the statuses of answers that are not those of their code:
// the edge refuses these requests before an operation sees them.
var statusesOfTheEdge = map[int]bool{405: true, 408: true, 413: true, 415: true, 503: true}

// If this failed, an operation would refuse with a code that is not in the
// catalogue, under another status, or in words that do not begin as documented.
func TestEveryGoldenCodeIsInTheCatalogue(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			status, _ := strconv.Atoi(strings.TrimPrefix(f.Name, "response "))
			if status < 400 {
				continue
			}
			var body errorAnswer
			if err := json.Unmarshal(f.Data, &body); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			e, ok := byNumber[body.ErrorCode[max(0, len(body.ErrorCode)-numberDigits):]]
			switch {
			case !ok || e.Code != body.ErrorCode:
				t.Errorf("%s: %s is not in the catalogue", name, body.ErrorCode)
			case statusesOfTheEdge[status]:
			case e.Status != status:
				t.Errorf("%s: %s is answered with %d, want %d", name, e.Code, status, e.Status)
			case !strings.HasPrefix(body.ErrorMsg, e.English) && !strings.HasPrefix(body.ErrorMsg, e.Chinese):
				t.Errorf("%s: %s says %q", name, e.Code, body.ErrorMsg)
			}
			if body.Error != (errorNested{Code: body.ErrorCode, Message: body.ErrorMsg}) {
				t.Errorf("%s: the two shapes differ: %+v", name, body)
			}
			seen[body.ErrorCode] = true
		}
	}
	if len(seen) < 50 {
		t.Errorf("the goldens show %d codes", len(seen))
	}
	t.Logf("%d codes in the goldens", len(seen))
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
		{"English with detail", English, "limit is -1", "Invalid limit. Limit is -1."},
		{"full stop once", English, "limit is -1.", "Invalid limit. Limit is -1."},
		{"a field keeps its name", English, "port_ip is empty", "Invalid limit. Parameter port_ip is empty."},
		{"a capital already", English, "VPC a_b is unknown", "Invalid limit. VPC a_b is unknown."},
		{"a value is repeated as it is", English, `"a_b" is no number`, `Invalid limit. "a_b" is no number.`},
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

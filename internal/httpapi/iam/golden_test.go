package iam

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenTime is the time of the golden files.
var goldenTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// statuses says what every golden file must answer, whatever -update writes.
var statuses = map[string]int{
	"versions":             http.StatusMultipleChoices,
	"version":              http.StatusOK,
	"token_project_name":   http.StatusCreated,
	"token_project_id":     http.StatusCreated,
	"token_domain":         http.StatusCreated,
	"token_unscoped":       http.StatusCreated,
	"token_both_scopes":    http.StatusCreated,
	"token_rescoped":       http.StatusCreated,
	"token_nocatalog":      http.StatusCreated,
	"token_no_project":     http.StatusCreated,
	"token_wrong_password": http.StatusUnauthorized,
	"token_unknown_user":   http.StatusUnauthorized,
	"token_unknown_method": http.StatusUnauthorized,
	"token_no_methods":     http.StatusBadRequest,
	"token_bad_body":       http.StatusBadRequest,
	"token_wrong_type":     http.StatusBadRequest,
	"token_foreign_scope":  http.StatusForbidden,
	"token_domain_id":      201, "token_key": 201, "token_key_unscoped": 201, "token_rescoped_header": 201,
	"token_key_wrong": 401, "token_key_unknown": 401, "token_key_incomplete": 400, "token_no_token": 400,

	"securitytoken": 201, "securitytoken_header": 201,
	"securitytoken_duration": 400, "securitytoken_wrong_type": 400, "securitytoken_scope": 400,
	"securitytoken_no_methods": 400, "securitytoken_no_identity": 400,
	"securitytoken_no_token": 401, "securitytoken_bad_token": 401, "securitytoken_agency": 401,

	"zh_wrong_password": 401, "zh_no_credentials": 401, "zh_foreign_scope": 403, "zh_bad_body": 400,

	"validate":            http.StatusOK,
	"validate_unknown":    http.StatusNotFound,
	"validate_foreign":    http.StatusNotFound,
	"validate_bad_caller": http.StatusUnauthorized,
	"check":               http.StatusOK,
	"revoke":              http.StatusNoContent,
	"projects":            http.StatusOK,
	"projects_name":       http.StatusOK,
	"projects_none":       http.StatusOK,
	"projects_bad_page":   http.StatusBadRequest,
	"auth_projects":       http.StatusOK,
	"auth_domains":        http.StatusOK,
	"catalog":             http.StatusOK,
	"catalog_domain":      http.StatusOK,
	"users":               http.StatusOK,
	"no_credentials":      http.StatusUnauthorized,
	"unknown_path":        http.StatusNotFound,
	"unknown_method":      http.StatusMethodNotAllowed,
}

// If this failed, a client would be answered with another status, header or body
// than the one people have reviewed.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(statuses) {
		t.Errorf("%d golden files, %d statuses", len(files), len(statuses))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			in := install(t, goldenTime)
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tokens := map[string]string{}
			for name, who := range map[string][3]string{
				"paula":  {"acme", "paula", `,"scope":{"project":{"name":"eu-de"}}`},
				"domain": {"acme", "paula", ""},
				"rita":   {"acme", "rita", `,"scope":{"project":{"name":"eu-de_team"}}`},
				"otto":   {"other", "otto", ""},
			} {
				tokens[name] = in.token(t, who[0], who[1], who[2])
			}
			res := in.do(t, goldenRequest(t, in.url, string(arc.Files[0].Data), tokens))
			if want := statuses[name]; res.status != want {
				t.Errorf("status %d, want %d: %s", res.status, want, res.body)
			}
			got := txtar.File{Name: fmt.Sprintf("response %d", res.status), Data: goldenResponse(t, res, tokens)}
			if *update {
				arc.Files = []txtar.File{arc.Files[0], got}
				if err := os.WriteFile(file, txtar.Format(arc), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(arc.Files) != 2 {
				t.Fatal("the file has no response: run with -update")
			}
			if diff := cmp.Diff(arc.Files[1].Name+"\n"+string(arc.Files[1].Data), got.Name+"\n"+string(got.Data)); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

// goldenRequest reads "METHOD path", headers, an empty line and a body;
// {{name}} stands for a token.
func goldenRequest(t *testing.T, url, text string, tokens map[string]string) *http.Request {
	t.Helper()
	for name, token := range tokens {
		text = strings.ReplaceAll(text, "{{"+name+"}}", token)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	req := request(t, method, url+path, body)
	for _, line := range lines[1:] {
		k, v, _ := strings.Cut(line, ": ")
		req.Header.Set(k, v)
	}
	return req
}

// jwt is how tokens look; what is not known to the test is a new one.
var jwt = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

// keyed is a new access key or its secret.
var keyed = regexp.MustCompile(`"(access|secret)": "[\w-]+"`)

// goldenResponse shows the headers a client reads and the body, indented.
func goldenResponse(t *testing.T, res answer, tokens map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, k := range []string{"Content-Type", "Allow", "Www-Authenticate", headerSubject} {
		if v := res.header.Get(k); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", k, v)
		}
	}
	out.WriteByte('\n')
	if res.body != "" {
		if err := json.Indent(&out, []byte(res.body), "", "  "); err != nil {
			t.Fatalf("body %q: %v", res.body, err)
		}
		out.WriteByte('\n')
	}
	text := out.String()
	for name, token := range tokens {
		text = strings.ReplaceAll(text, token, "{{"+name+"}}")
	}
	text = keyed.ReplaceAllString(text, `"$1": "{{$1}}"`)
	return []byte(jwt.ReplaceAllString(text, "{{new}}"))
}

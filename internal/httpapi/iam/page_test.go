package iam

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// pageFile is the page about the family, made of the routes and the golden files.
const pageFile = "../../../docs/api/iam.md"

const pageHead = `# The identity API

What this server answers of IAM, which is Keystone version 3, operation by operation. The page is made of the table of routes and the
conversations in ` + "`internal/httpapi/iam/testdata`" + `, which are played against the real server by a test; ` + "`make golden`" + ` writes it anew.
Where the vendor's documents say otherwise, or nothing, [the divergences](../divergences/iam.md) say why this is what it is.

* **Credentials**: ` + "`X-Auth-Token`" + `, or a signature with an access key, and ` + "`X-Security-Token`" + ` beside it if the key is a temporary one.
* **Errors**: ` + "`{\"error\": {\"code\": 401, \"message\": …, \"title\": \"Unauthorized\"}}`" + `; the code is the status. ` + "`X-Language: zh-cn`" + ` asks for
  Chinese. Every answer has an ` + "`X-Request-Id`" + `.
* In the examples ` + "`{{paula}}`" + ` and the like are tokens, and ` + "`{{new}}`" + ` is one that was made in the answer.

| Operation | Request | Credentials |
| --- | --- | --- |
`

// conversation is one golden file.
type conversation struct{ name, about, request, status, response string }

// conversations returns the golden files by "METHOD /path".
func conversations(t *testing.T) map[string][]conversation {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	byRoute := map[string][]conversation{}
	for _, file := range files {
		arc, err := txtar.ParseFile(file)
		if err != nil || len(arc.Files) != 2 {
			t.Fatalf("%s: %d parts, %v", file, len(arc.Files), err)
		}
		c := conversation{
			name:     strings.TrimSuffix(filepath.Base(file), ".txtar"),
			about:    strings.TrimSpace(strings.ReplaceAll(string(arc.Comment), "# ", "")),
			request:  strings.TrimSpace(string(arc.Files[0].Data)),
			status:   strings.TrimPrefix(arc.Files[1].Name, "response "),
			response: strings.TrimSpace(string(arc.Files[1].Data)),
		}
		c.about = strings.ReplaceAll(c.about, "\n", " ")
		line, _, _ := strings.Cut(c.request, "\n")
		target, _, _ := strings.Cut(line, "?")
		if !strings.HasSuffix(target, " /") { // a slash at the end is the same
			target = strings.TrimSuffix(target, "/")
		}
		byRoute[target] = append(byRoute[target], c)
	}
	return byRoute
}

// If this failed, the page would tell of another server. -update writes it.
func TestPage(t *testing.T) {
	known := conversations(t)
	var table, body strings.Builder
	for _, r := range New(Options{PublicURL: publicURL}).Routes {
		credentials := "yes"
		switch {
		case r.Public && r.Method == http.MethodPost:
			credentials = "in the body"
		case r.Public:
			credentials = "none"
		}
		fmt.Fprintf(&table, "| [%s](#%s) | `%s %s` | %s |\n", r.Name, strings.ToLower(r.Name), r.Method, r.Path, credentials)
		fmt.Fprintf(&body, "\n## %s\n\n`%s %s`\n", r.Name, r.Method, r.Path)
		list := known[r.Method+" "+r.Path]
		shown := false
		for _, c := range list {
			if c.status < "400" {
				shown = true
				fmt.Fprintf(&body, "\n%s\n\n```\n%s\n```\n\nAnswer %s:\n\n```\n%s\n```\n", c.about, c.request, c.status, c.response)
				break
			}
		}
		if !shown {
			t.Errorf("%s has no golden file with a success", r.Name)
		}
		body.WriteString("\n| conversation | status | what it shows |\n| --- | --- | --- |\n")
		for _, c := range list {
			fmt.Fprintf(&body, "| [%s](../../internal/httpapi/iam/testdata/%s.txtar) | %s | %s |\n", c.name, c.name, c.status, c.about)
		}
	}
	want := pageHead + table.String() + body.String()
	if *update {
		if err := os.MkdirAll(filepath.Dir(pageFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("run make golden (-want +got):\n%s", diff)
	}
}

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/sallyport-net/sallyport/internal/config"
)

// If this fails, some file makes the parser crash, return half an answer, point
// to no line, or take what it would not take again once it is printed.
func FuzzParse(f *testing.F) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(data).Files {
			f.Add(file.Data)
		}
	}
	f.Add(config.Development(""))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte(strings.Repeat("[", 20_000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse(data, "fuzz.yaml")
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v and error %v", c, err)
		}
		if c != nil {
			_ = c.Warnings()
			if _, err := config.Parse([]byte(c.String()), "again.yaml"); err != nil {
				t.Fatalf("the configuration is refused once printed: %v\n%s", err, c)
			}
			return
		}
		var list config.Errors
		if !errors.As(err, &list) || len(list) == 0 || len(list) > 101 {
			t.Fatalf("error is %T with %d parts", err, len(list))
		}
		for _, e := range list {
			if e.Text == "" || strings.Contains(e.Error(), "\n") || e.Line < 1 && !strings.Contains(e.Text, "more; put") {
				t.Fatalf("error %+v names no line or is not one line", e)
			}
		}
	})
}

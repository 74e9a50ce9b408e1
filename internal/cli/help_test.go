package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md")

// tree returns the commands, the root first, as the help shows them.
func tree(t *testing.T) []*cobra.Command {
	t.Helper()
	a := &app{d: (&runner{t: t}).deps(nil, nil)}
	var list []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		list = append(list, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
	return list
}

// The help teaches. If this fails, a verb has none, or no example.
func TestHelpIsWhole(t *testing.T) {
	for _, c := range tree(t) {
		path := strings.Fields(c.CommandPath())[1:]
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: short, long or example is missing", c.CommandPath())
			continue
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short text ends in a full stop", c.CommandPath())
		}
		for i, line := range strings.Split(c.Long, "\n") {
			if len(line) > 110 && c.Name() != "environment" && !strings.Contains(c.CommandPath(), "completion") {
				t.Errorf("%s: line %d of the long text is %d wide", c.CommandPath(), i+1, len(line))
			}
		}
		r := (&runner{t: t}).run(append(path, "--help")...).want(t, ExitOK)
		if !strings.Contains(r.out, c.Example) || r.errors != "" {
			t.Errorf("%s --help does not show its example: %s%s", c.CommandPath(), r.out, r.errors)
		}
		if help := (&runner{t: t}).run(append([]string{"help"}, path...)...).want(t, ExitOK); help.out != r.out {
			t.Errorf("help %q and --help differ", path)
		}
	}
}

// In examples ids are variables of the shell.
var (
	shellVariable = regexp.MustCompile(`\$[A-Z]+`)
	callInExample = regexp.MustCompile(`sallyport( [^|)>&\n]*)?`)
)

// examples returns the calls of the program in a text of examples, as words.
func examples(text string) [][]string {
	var list [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, call := range callInExample.FindAllString(line, -1) {
			call = shellVariable.ReplaceAllString(call, service1)
			call = strings.ReplaceAll(call, `""`, "EMPTY")
			words := strings.Fields(strings.NewReplacer(`"`, " ", "'", "").Replace(call))[1:]
			for i, w := range words {
				if w == "EMPTY" {
					words[i] = ""
				}
			}
			list = append(list, words)
		}
	}
	return list
}

// An example that does not work is worse than none. Every one is parsed as the
// shell would hand it over.
func TestExamplesParse(t *testing.T) {
	calls := 0
	for _, c := range tree(t) {
		for _, words := range examples(c.Example) {
			if len(words) == 0 || strings.HasPrefix(words[0], "paula") || words[0] == "/sallyport" {
				continue
			}
			calls++
			found, rest, err := tree(t)[0].Find(words)
			if err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), words, err)
				continue
			}
			if strings.Contains(c.Example, "xargs -r sallyport "+strings.Join(words[:min(2, len(words))], " ")) {
				rest = append(rest, ep1) // xargs puts ids there
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), words, err)
				continue
			}
			if found.HasSubCommands() {
				t.Errorf("%s: %q is no verb", c.CommandPath(), words)
			}
			for _, err := range []error{found.ValidateArgs(found.Flags().Args()), found.ValidateRequiredFlags(), found.ValidateFlagGroups()} {
				if err != nil {
					t.Errorf("%s: %q: %v", c.CommandPath(), words, err)
				}
			}
		}
	}
	if calls < 50 {
		t.Errorf("only %d examples were found: the test does not see them", calls)
	}
}

// Secrets belong into variables and profiles: the help of each flag that takes one
// must say so.
func TestSecretFlagsAreDiscouraged(t *testing.T) {
	found := 0
	for _, c := range tree(t) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "password" || f.Name == "token" || f.Name == "secret-key" {
				found++
				if !strings.Contains(f.Usage, "discouraged") {
					t.Errorf("%s --%s does not discourage its use", c.CommandPath(), f.Name)
				}
			}
		})
	}
	if found == 0 {
		t.Error("no such flag was found")
	}
}

// Completion is written by cobra; that ours is complete is what is tested.
func TestCompletion(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"connection", ""}, "accept\t"},
		{[]string{"connection", "list", "s", "--status", "pend"}, "pendingAcceptance\n"},
		{[]string{"help", "con"}, "connection\t"},
		{[]string{"service", "create", "--tcp-proxy", ""}, "proxy_open\n"},
	}
	for _, tt := range tests {
		r := (&runner{t: t}).run(append([]string{"__complete"}, tt.args...)...).want(t, ExitOK)
		if !strings.Contains(r.out, tt.want) {
			t.Errorf("completion of %q has no %q: %s", tt.args, tt.want, r.out)
		}
	}
	if r := (&runner{t: t}).run("completion", "bash").want(t, ExitOK); !strings.Contains(r.out, "sallyport") {
		t.Error("the script for bash does not speak of the program")
	}
}

// docs/cli.md is what people read on the web. If this fails, it is not what the
// program does: run the test with -update.
func TestDocs(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	want := document(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/cli.md is not current; run: go test ./internal/cli -run TestDocs -update")
	}
}

// document renders the help of all commands.
func document(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# The command line\n\nThis page is the help of `sallyport`, made from the program by `go test ./internal/cli -run TestDocs -update`.\n\n")
	commands := tree(t)
	for _, c := range commands[1:] {
		if strings.HasPrefix(c.CommandPath(), "sallyport completion ") {
			continue // the texts are cobra's, and say how a shell reads its script
		}
		depth := strings.Count(c.CommandPath(), " ") - 1
		anchor := strings.ReplaceAll(c.CommandPath(), " ", "-")
		fmt.Fprintf(&b, "%s- [%s](#%s): %s\n", strings.Repeat("  ", depth), c.CommandPath(), anchor, c.Short)
	}
	for _, c := range commands {
		if strings.HasPrefix(c.CommandPath(), "sallyport completion ") {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.CommandPath(), fenced(strings.TrimSpace(c.Long)))
		if c.Runnable() && !c.HasSubCommands() {
			fmt.Fprintf(&b, "\nUsage:\n\n%s\n", fenced(c.UseLine()))
		}
		fmt.Fprintf(&b, "\nExamples:\n\n%s\n", fenced(outdent(c.Example)))
		own := c.LocalFlags()
		c.InitDefaultHelpFlag()
		if shared := c.InheritedFlags(); shared.HasAvailableFlags() {
			fmt.Fprintf(&b, "\nBesides those of [%s](#%s):\n", c.Parent().CommandPath(), strings.ReplaceAll(c.Parent().CommandPath(), " ", "-"))
		}
		if own.HasAvailableFlags() {
			fmt.Fprintf(&b, "\nFlags:\n\n%s\n", fenced(strings.TrimRight(own.FlagUsages(), "\n ")))
		}
	}
	return b.String()
}

func fenced(text string) string { return "```text\n" + text + "\n```" }

func outdent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The states of a check.
const (
	// CheckOK says that a thing works.
	CheckOK = "ok"
	// CheckWarn says that a thing does not work and that nothing needs it, or that it
	// works less well than it could.
	CheckWarn = "warn"
	// CheckFail says that a thing does not work that the configuration needs.
	CheckFail = "fail"
)

// Check is one thing that was looked at on this machine.
type Check struct {
	// Name is what was looked at, in a few words.
	Name string `json:"name"`
	// State is CheckOK, CheckWarn or CheckFail.
	State string `json:"state"`
	// Detail is what was found.
	Detail string `json:"detail"`
	// Advice is what to do about it, "" where there is nothing to do.
	Advice string `json:"advice,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	var file string
	output := enumValue{allowed: []string{outputTable, outputJSON}}
	cmd := &cobra.Command{
		Use: use("doctor"), Args: takes(), GroupID: groupServer, Short: "Say what works on this machine and what does not", Long: helpDoctor, Example: exampleDoctor,
	}
	cmd.RunE = a.run(func(ctx context.Context, _ []string) error {
		if file == "" && cmd.Flags().Changed("config") { // given, but empty: $CONFIG was not set
			return usagef("--config is empty")
		}
		checks, err := a.d.Doctor(ctx, file)
		if err != nil {
			return err
		}
		a.flags.output = output // as format understands it
		if err := a.printChecks(checks); err != nil {
			return err
		}
		return verdict(checks)
	})
	cmd.Flags().StringVarP(&file, "config", "c", "", "`FILE` of the configuration: what it needs is a failure where it is missing")
	cmd.Flags().VarP(&output, "output", "o", "`FORMAT` of the result: table or json (default table on a terminal, json elsewhere)")
	return cmd
}

// verdict returns an error that names the checks that failed, nil where none did.
func verdict(checks []Check) error {
	var failed []string
	for _, c := range checks {
		if c.State == CheckFail {
			failed = append(failed, c.Name)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return errors.New("this machine lacks what is needed: " + strings.Join(failed, ", "))
}

// printChecks prints checks: for people one on a line, with what to do below.
func (a *app) printChecks(checks []Check) error {
	if a.format() == outputJSON {
		if checks == nil {
			checks = []Check{}
		}
		text, err := json.MarshalIndent(map[string]any{"checks": checks}, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		return a.print(clean(string(text)) + "\n")
	}
	state, name := 0, 0
	for _, c := range checks {
		state, name = max(state, utf8.RuneCountInString(c.State)), max(name, utf8.RuneCountInString(c.Name))
	}
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%s  %s  %s\n", padded(c.State, state), padded(c.Name, name), c.Detail)
		if c.Advice != "" {
			fmt.Fprintf(&b, "%s  to do: %s\n", padded("", state), c.Advice)
		}
	}
	return a.print(clean(b.String()))
}

// padded returns a text with blanks behind it up to a width.
func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

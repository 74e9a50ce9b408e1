package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes of the binary.
const (
	// ExitOK says that everything that was asked for was done.
	ExitOK = 0
	// ExitFailure says that something was tried and failed, if only in part.
	ExitFailure = 1
	// ExitUsage says that nothing was tried: the command line or the settings
	// around it are not right.
	ExitUsage = 2
)

// program is how the binary is called in every text.
const program = "sallyport"

// Deps are what the commands need from the process around them. Sleep may be
// nil; everything else is required.
type Deps struct {
	// Serve runs the server until ctx ends.
	Serve func(ctx context.Context, opt ServeOptions) error
	// Dev runs the server with the development configuration until ctx ends, or
	// prints that configuration.
	Dev func(ctx context.Context, opt DevOptions) error
	// Doctor looks at this machine and says what works. configFile is the path of the
	// configuration whose needs count, "" for none. An error means that it could not
	// look, or that the configuration cannot be read.
	Doctor func(ctx context.Context, configFile string) ([]Check, error)
	// Version is the version of the binary, shown by version and in User-Agent;
	// "" takes the one the Go toolchain wrote into the binary.
	Version string
	// Env returns the value of a variable, "" for one that is not set.
	Env func(string) string
	// Now is the clock: signatures carry the time.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, whose error it returns then. Nil waits
	// in real time.
	Sleep func(ctx context.Context, d time.Duration) error
	// Stdin is read by hash-password, and for a password that is not given
	// otherwise if it is a terminal.
	Stdin io.Reader
	// Stdout takes results, Stderr errors, hints, notes and progress.
	Stdout, Stderr io.Writer
	// IsTerminal reports whether w is a terminal: results are a table there, and
	// JSON elsewhere.
	IsTerminal func(w io.Writer) bool
}

// LogOptions say how a server logs.
type LogOptions struct {
	Level slog.Level
	JSON  bool // text otherwise
}

// ServeOptions are the command line of serve.
type ServeOptions struct {
	// ConfigFile is the path of the configuration; it is never "".
	ConfigFile string
	// Env is the environment with the flags over it, which is what config.Load
	// wants: a flag answers for the variable of the same setting.
	Env func(string) string
	// Log is what --log-level and --log-format ask for.
	Log LogOptions
}

// DevOptions are the command line of dev.
type DevOptions struct {
	Listen      string // host:port, "" for the default of the configuration
	Dir         string // where data is kept, "" for a temporary directory
	PrintConfig bool   // print the configuration and do nothing else
	Log         LogOptions
}

// Run does what args say, the command line without the name of the program, and
// returns the exit code: ExitOK, ExitFailure or ExitUsage. When it returns, all
// that it started has ended.
func Run(ctx context.Context, args []string, d Deps) int {
	a := &app{d: d}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // never nil, which would mean os.Args
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	where := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), program), " ")
	if f, ok := errors.AsType[*failure](err); ok {
		a.report(ctx, where, f.err)
		return ExitFailure
	}
	a.complain(where, err)
	if _, ok := errors.AsType[*settingError](err); !ok {
		usage := cmd.UseLine()
		if cmd.HasAvailableSubCommands() {
			usage = cmd.CommandPath() + " VERB"
		}
		fmt.Fprintf(d.Stderr, "usage: %s\nsee '%s --help'\n", usage, cmd.CommandPath())
	}
	return ExitUsage
}

// app is one run of the program.
type app struct {
	d       Deps
	flags   flags    // of the verbs of the API
	session *session // once it is open; hints speak about it
	place   place    // what the verb is about; hints name it
}

// place is what a hint needs to know about the call that failed.
type place struct {
	service  string // id of the service spoken of, or ""
	decision bool   // an owner's accept or reject, which may be repeated
}

// failure is an error of something that was tried. Every other error that a
// command returns is one of usage.
type failure struct{ err error }

// Error returns the text of what failed.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns what failed.
func (f *failure) Unwrap() error { return f.err }

// usageError is an error of usage that only the command itself can see.
type usageError struct{ text string }

// Error returns what is wrong with the command line.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// settingError is an error in the settings around the command line, so the usage
// of the verb would not help.
type settingError struct{ text string }

// Error returns which setting is wrong and what to do.
func (e *settingError) Error() string { return e.text }

func settingf(format string, args ...any) error {
	return &settingError{fmt.Sprintf(format, args...)}
}

// run makes a function of a verb what cobra calls, and marks what it returns as
// a failure unless it says that the usage is wrong.
func (a *app) run(fn func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := fn(cmd.Context(), args)
		_, usage := errors.AsType[*usageError](err)
		_, setting := errors.AsType[*settingError](err)
		if err == nil || usage || setting {
			return err
		}
		return &failure{err}
	}
}

// call is run for a verb of the API: it logs in first, and closes connections at
// the end.
func (a *app) call(fn func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		a.session = s
		defer s.client.close()
		if err := a.loginSecret(ctx, s.given); err != nil {
			return err
		}
		if err := s.login(ctx); err != nil {
			return err
		}
		return fn(ctx, s, args)
	})
}

// sleep waits for d or until ctx ends.
func (a *app) sleep(ctx context.Context, d time.Duration) error {
	if a.d.Sleep != nil {
		return a.d.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note writes a line for people beside the result.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.d.Stderr, clean(fmt.Sprintf(format, args...)))
}

// complain writes an error. where is the verb, "" for the program itself.
func (a *app) complain(where string, err error) {
	if where != "" {
		where += ": "
	}
	fmt.Fprintf(a.d.Stderr, "%s: %s%s\n", program, where, clean(err.Error()))
}

// report writes an error and what to do about it, if that is known.
func (a *app) report(ctx context.Context, where string, err error) {
	a.complain(where, err)
	if hint := a.hint(ctx, err); hint != "" {
		a.note("hint: %s", hint)
	}
}

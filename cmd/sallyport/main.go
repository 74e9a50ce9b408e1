// Command sallyport is a self-hosted PrivateLink: the server, its agent and the
// command line in one binary. "sallyport --help" says what it can do.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sallyport-net/sallyport/internal/app"
	"github.com/sallyport-net/sallyport/internal/cli"
	"github.com/sallyport-net/sallyport/internal/config"
)

// version is set by the linker for releases.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default action is back: a second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return cli.Run(ctx, args, cli.Deps{
		Serve: func(ctx context.Context, o cli.ServeOptions) error {
			return app.Serve(ctx, app.ServeOptions{
				File: o.ConfigFile, Env: o.Env, Hangup: hangup, Log: app.NewLog(stderr, o.Log.Level, o.Log.JSON),
			})
		},
		Dev: func(ctx context.Context, o cli.DevOptions) error {
			if o.PrintConfig {
				_, err := stdout.Write(config.Development(o.Listen))
				return err
			}
			return app.Dev(ctx, app.DevOptions{
				Listen: o.Listen, Dir: o.Dir, Out: stdout, Log: app.NewLog(stderr, o.Log.Level, o.Log.JSON),
			})
		},
		Doctor: func(ctx context.Context, file string) ([]cli.Check, error) {
			found, err := app.Doctor(ctx, file, os.Getenv)
			checks := make([]cli.Check, len(found))
			for i, c := range found {
				checks[i] = cli.Check(c)
			}
			return checks, err
		},
		Now:     time.Now, //nolint:forbidigo // here the real clock comes in
		Version: version, Env: os.Getenv, Stdin: os.Stdin, Stdout: stdout, Stderr: stderr,
		IsTerminal: func(w io.Writer) bool {
			f, ok := w.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
	})
}

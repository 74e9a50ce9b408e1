package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/identity"
)

// overrides are the flags of serve that stand for a variable of the server's
// configuration. The database has none: its URL may hold a password.
var overrides = []struct{ flag, env, usage string }{
	{"listen", "SALLYPORT_LISTEN", "`HOST:PORT` to listen on, over the file's"},
	{"public-url", "SALLYPORT_PUBLIC_URL", "`URL` that clients are told, over the file's"},
	{"data-dir", "SALLYPORT_DATA_DIR", "`DIR` of database and keys, over the file's"},
	{"region", "SALLYPORT_REGION", "`NAME` of the region, over the file's"},
	{"language", "SALLYPORT_LANGUAGE", "`LANGUAGE` of error texts, en-us or zh-cn, over the file's"},
}

// overlay returns the environment with what was set by flags over it.
func overlay(set map[string]*string, env func(string) string) func(string) string {
	return func(name string) string {
		if v := set[name]; v != nil && *v != "" {
			return *v
		}
		return env(name)
	}
}

// logFlags are the flags of everything that logs.
type logFlags struct {
	level  enumValue
	format enumValue
}

func (l *logFlags) add(cmd *cobra.Command) {
	l.level = enumValue{allowed: []string{"debug", "info", "warn", "error"}, value: "info"}
	l.format = enumValue{allowed: []string{"text", "json"}, value: "text"}
	cmd.Flags().Var(&l.level, "log-level", "log this `LEVEL` and above: debug, info, warn, error")
	cmd.Flags().Var(&l.format, "log-format", "`FORMAT` of the log: text or json")
}

func (l *logFlags) options() LogOptions {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return LogOptions{Level: levels[l.level.value], JSON: l.format.value == "json"}
}

func (a *app) serveCommand() *cobra.Command {
	var (
		file string
		log  logFlags
		set  = map[string]*string{}
	)
	cmd := &cobra.Command{
		Use: use("serve"), Args: takes(), GroupID: groupServer, Short: "Run the server", Long: helpServe, Example: exampleServe,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if file == "" { // given, but empty: $CONFIG was not set
				return usagef("--config is empty")
			}
			return a.d.Serve(ctx, ServeOptions{ConfigFile: file, Log: log.options(), Env: overlay(set, a.d.Env)})
		}),
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "`FILE` of the configuration")
	for _, o := range overrides {
		set[o.env] = cmd.Flags().String(o.flag, "", o.usage)
	}
	log.add(cmd)
	need(cmd, "config")
	return cmd
}

func (a *app) devCommand() *cobra.Command {
	var (
		opt DevOptions
		log logFlags
	)
	cmd := &cobra.Command{
		Use: use("dev"), Args: takes(), GroupID: groupServer, Short: "Run a server to try things out", Long: helpDev, Example: exampleDev,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			opt.Log = log.options()
			return a.d.Dev(ctx, opt)
		}),
	}
	cmd.Flags().StringVar(&opt.Listen, "listen", "", "`HOST:PORT` to listen on (default "+config.DefaultListen+")")
	cmd.Flags().StringVar(&opt.Dir, "dir", "", "`DIR` that keeps the data (default one that is removed at the end)")
	cmd.Flags().BoolVar(&opt.PrintConfig, "print-config", false, "print the configuration that it would run, and end")
	log.add(cmd)
	return cmd
}

func (a *app) configGroup() *cobra.Command {
	cmd := a.group("config", "Check and show a server's configuration", helpConfig, exampleConfig, a.configCheck(), a.configShow())
	cmd.GroupID = groupServer
	return cmd
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: use("check", argFile), Args: takes(argFile), Short: "Say whether a configuration is right", Long: helpConfigCheck, Example: exampleConfigCheck,
		RunE: a.run(func(_ context.Context, args []string) error {
			c, err := a.loadConfig(args[0])
			if err != nil {
				return err
			}
			for _, w := range c.Warnings() {
				a.note("%s: warning: %s", args[0], w)
			}
			return a.print(args[0] + ": ok\n")
		}),
	}
}

func (a *app) configShow() *cobra.Command {
	return &cobra.Command{
		Use: use("show", argFile), Args: takes(argFile), Short: "Print a configuration as the server understands it", Long: helpConfigShow, Example: exampleConfigShow,
		RunE: a.run(func(_ context.Context, args []string) error {
			c, err := a.loadConfig(args[0])
			if err != nil {
				return err
			}
			return a.print(c.String())
		}),
	}
}

// loadConfig reads a configuration as serve would, and writes every mistake in it
// on a line of its own, which editors can jump to.
func (a *app) loadConfig(file string) (*config.Config, error) {
	c, err := config.Load(file, a.d.Env)
	if mistakes, ok := errors.AsType[config.Errors](err); ok {
		for _, m := range mistakes {
			a.note("%s", m.Error())
		}
		if len(mistakes) == 1 {
			return nil, fmt.Errorf("%s: 1 mistake", file)
		}
		return nil, fmt.Errorf("%s: %d mistakes", file, len(mistakes))
	}
	return c, err
}

func (a *app) hashPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use: use("hash-password"), Args: takes(), GroupID: groupServer, Short: "Make the hash of a password for the configuration", Long: helpHashPassword, Example: exampleHashPassword,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			password, err := a.newPassword(ctx)
			if err != nil {
				return err
			}
			return a.print(identity.HashPassword(password) + "\n")
		}),
	}
}

// newPassword reads a password: twice from a terminal, where nobody sees what was
// typed, else the first line of the input.
func (a *app) newPassword(ctx context.Context) (string, error) {
	password, terminal, err := a.askPassword(ctx, "password: ")
	if err != nil {
		return "", err
	}
	if terminal {
		again, _, err := a.askPassword(ctx, "again: ")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", errors.New("the two are not the same")
		}
	} else {
		line, err := bufio.NewReader(io.LimitReader(a.d.Stdin, maxPasswordInput+3)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		password = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	}
	if password == "" {
		return "", errors.New("the password is empty")
	}
	if len(password) > maxPasswordInput {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPasswordInput)
	}
	return password, nil
}

// build is what version says.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commit_time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from files that differ from the commit
}

// version returns what is known about the binary.
func (a *app) version() build {
	b := build{Version: a.d.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" && ok {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel" // no brackets: it stands in User-Agent
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	output := enumValue{allowed: []string{"text", outputJSON}, value: "text"}
	cmd := &cobra.Command{
		Use: use("version"), Args: takes(), GroupID: groupMore, Short: "Print the version", Long: helpVersion, Example: exampleVersion,
		RunE: a.run(func(_ context.Context, _ []string) error {
			b := a.version()
			if output.value == outputJSON {
				text, err := json.Marshal(b)
				if err != nil {
					return fmt.Errorf("encode the result: %w", err)
				}
				return a.print(string(text) + "\n")
			}
			commit := b.Commit
			if commit == "" {
				commit = "unknown"
			} else if b.Modified {
				commit += " (modified)"
			}
			return a.print(fmt.Sprintf("%s %s\ngo       %s %s\ncommit   %s\n", program, b.Version, b.Go, b.Platform, commit))
		}),
	}
	cmd.Flags().VarP(&output, "output", "o", "`FORMAT`: text or json")
	return cmd
}

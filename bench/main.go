// Command bench measures Sallyport: decisions, reads, cuts and memory. It runs
// the product as a process of its own, fills its table through the API, drives
// it over real connections, and says of every goal whether it is met.
//
//	go run ./bench           the whole, about seven minutes
//	go run ./bench -quick    the same in about one, with fewer and shorter rounds
//
// bench/README.md says what is measured and how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/internal/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	p := &program{ctx: ctx, args: os.Args[1:], out: os.Stdout, errs: os.Stderr}
	if len(p.args) > 0 && p.args[0] == "serve" {
		os.Exit(p.exit(serveSelf(ctx, p.args[1:]))) //nolint:forbidigo // the end of main
	}
	// pgtest stops the PostgreSQL that was started, however the run ends.
	os.Exit(pgtest.Main{M: p}.Run()) //nolint:forbidigo // the end of main
}

// program is one call of the command.
type program struct {
	ctx       context.Context //nolint:containedctx // pgtest.Main calls Run without one
	args      []string
	out, errs io.Writer
}

// Run measures and returns the exit code.
func (p *program) Run() int { return p.exit(p.run(p.ctx)) }

func (p *program) exit(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(p.errs, "bench:", err)
	return 1
}

// options are the flags and what follows from them.
type options struct {
	binary, dir, results, label, profile string
	note, command                        string // the command is the one that does the same elsewhere
	quick, size                          bool
	named                                bool // -label was given
	only                                 *regexp.Regexp

	rounds             int
	round, warm        time.Duration
	settle             time.Duration // rest before the memory of a server is read
	services           int           // of the large table, endpointsEach endpoints each
	hotSmall, hotLarge int           // connections of the service whose lists are read
	cuts               int           // per round
	profileFor         time.Duration
}

// defaultLabel names the results of a run without -label.
const defaultLabel = "gate"

// endpointsEach is the number of endpoints of each service.
const endpointsEach = 20

func parse(args []string, errs io.Writer) (options, error) {
	o := options{
		rounds: 5, round: 1200 * time.Millisecond, warm: time.Second, settle: settleTime, services: 5000, hotSmall: 1000, hotLarge: 10_000, cuts: 100,
		profileFor: 5 * time.Second,
	}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(errs)
	set.BoolVar(&o.quick, "quick", false, "a tenth of the table, three short rounds, nothing kept")
	set.BoolVar(&o.size, "size", false, "measure only lists, filters and searches against the size of the table, up to a million endpoints")
	set.IntVar(&o.rounds, "rounds", o.rounds, "rounds of every measure")
	set.StringVar(&o.binary, "bin", "", "the product's binary; built from ./cmd/sallyport where it is not given")
	set.StringVar(&o.dir, "dir", filepath.Join("bin", "bench"), "directory of the data, on the disk that is to be measured; it is emptied")
	set.StringVar(&o.results, "results", filepath.Join("bench", "results"), "directory that keeps the results")
	set.StringVar(&o.label, "label", defaultLabel, "second part of the results' name, after the date")
	set.StringVar(&o.note, "note", "", "why goals are missed, for the page")
	set.StringVar(&o.profile, "profile", "", "directory for profiles of the server, which then is this program; nothing is kept")
	only := set.String("only", "", "regular expression: measure only these parts (small, large, memory, postgres-small, postgres-large); kept only with -label")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("arguments %q are not understood", set.Args())
	}
	if o.quick {
		o.rounds, o.round, o.warm, o.settle = 3, 200*time.Millisecond, 100*time.Millisecond, time.Second
		o.services, o.hotLarge, o.cuts = 500, 2000, 40
	}
	o.named = o.label != defaultLabel
	if o.size && !o.named {
		o.label = "size"
	}
	o.command = "go run ./bench"
	set.Visit(func(f *flag.Flag) {
		// Where things lie is this machine's business.
		if !slices.Contains([]string{"bin", "dir", "results", "profile", "note"}, f.Name) {
			o.command += strings.TrimSuffix(fmt.Sprintf(" -%s=%s", f.Name, f.Value), "=true")
		}
	})
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	return o, nil
}

// keeps reports whether the results are to be kept: those of a whole run are, and
// those of a part only under a name of their own.
func (o *options) keeps() bool {
	return !o.quick && o.profile == "" && (o.only.String() == "" || o.named)
}

// bench is one run.
type bench struct {
	opt     options
	out     io.Writer
	errs    io.Writer
	command []string // runs the product
	report  report
	disk    *row
}

func (p *program) run(ctx context.Context) error {
	opt, err := parse(p.args, p.errs)
	if err != nil {
		return err
	}
	b := &bench{opt: opt, out: p.out, errs: p.errs}
	b.report.Facts = gather(ctx, opt.command)
	b.report.Note = opt.note
	b.disk = &row{Section: "baselines", Name: "append 4 KiB and fdatasync, no database", Conns: 1, Unit: perSecond}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	printLine(b.out, columns)
	for _, part := range b.parts() {
		if !opt.only.MatchString(part.name) {
			continue
		}
		b.say("%s", part.name)
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.compare()
	b.report.Facts.finish(b.disk)
	for _, f := range b.report.Facts.list() {
		fmt.Fprintf(b.out, "%s: %s\n", f[0], f[1])
	}
	fmt.Fprintln(b.out, b.report.balance())
	if !opt.keeps() {
		return os.RemoveAll(opt.dir)
	}
	base, err := b.report.write(opt.results, opt.label)
	if err != nil {
		return err
	}
	b.say("kept as %s.md and .json", base)
	return os.RemoveAll(opt.dir)
}

// prepare empties the directory and sees to a binary.
func (b *bench) prepare(ctx context.Context) error {
	if err := os.RemoveAll(b.opt.dir); err != nil {
		return fmt.Errorf("empty the directory: %w", err)
	}
	if err := os.MkdirAll(b.opt.dir, 0o700); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	switch {
	case b.opt.profile != "":
		if err := os.MkdirAll(b.opt.profile, 0o755); err != nil {
			return fmt.Errorf("directory of profiles: %w", err)
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		b.command = []string{self, "serve"}
		return nil
	case b.opt.binary != "":
		b.command = []string{b.opt.binary, "serve"}
		return nil
	}
	name, err := filepath.Abs(filepath.Join(b.opt.dir, "sallyport"))
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", name, "./cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the product: %w\n%s", err, out)
	}
	b.command = []string{name, "serve"}
	return nil
}

// say tells the progress; the table is on the other stream.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.errs, format+"\n", args...)
}

// add makes a row part of the report, in its place.
func (b *bench) add(r *row) { b.report.Rows = append(b.report.Rows, r) }

// show prints a row that is complete.
func (b *bench) show(r *row) { printLine(b.out, r.cells()) }

// number adds a row that was computed.
func (b *bench) number(section, name, unit string, v float64) {
	r := &row{Section: section, Name: name, Unit: unit, Rounds: []sample{{Value: v}}}
	b.add(r)
	b.show(r)
}

func (b *bench) storeName(s *server) string {
	if s.database != "" {
		return "PostgreSQL"
	}
	return "SQLite"
}

func (b *bench) world(s *server) *world { return &world{server: s, say: b.say} }

// fresh starts a server on an empty directory.
func (b *bench) fresh(ctx context.Context, name, database string) (*server, error) {
	dir, err := filepath.Abs(filepath.Join(b.opt.dir, name))
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	s := &server{command: b.command, dir: dir, database: database}
	if b.opt.profile != "" {
		if s.profiles, err = profileHost(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.start(ctx)
}

// drop ends a server and removes its data, so that the disk is free for the next.
func (b *bench) drop(s *server) {
	if err := s.stop(); err != nil {
		b.say("%v", err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		b.say("remove the data: %v", err)
	}
}

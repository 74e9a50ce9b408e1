package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/bench/lab"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == lab.StationArgument {
		os.Exit(exit(lab.Station())) //nolint:forbidigo // the end of main
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)                                      // a second signal kills
	os.Exit(exit(measureAll(ctx, os.Args[1:], os.Stdout, os.Stderr))) //nolint:forbidigo // the end of main
}

func exit(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "bench/cut:", err)
	return 1
}

// options are the flags and what follows from them.
type options struct {
	binary, results, label, note, command string

	quick, named bool
	only         *regexp.Regexp
	rounds       int
	most         int // flows
	changes      int // that are queued
}

// defaultLabel names the results of a run without -label.
const defaultLabel = "cut"

func parse(args []string, errs io.Writer) (options, error) {
	o := options{rounds: 20, most: 10_000, changes: 1000}
	set := flag.NewFlagSet("bench/cut", flag.ContinueOnError)
	set.SetOutput(errs)
	set.BoolVar(&o.quick, "quick", false, "three rounds with at most 1,000 flows, nothing kept")
	set.IntVar(&o.rounds, "rounds", o.rounds, "rejects of every measure")
	set.StringVar(&o.binary, "bin", "", "the product's binary; built from ./cmd/sallyport where it is not given")
	set.StringVar(&o.results, "results", filepath.Join("bench", "results"), "directory that keeps the results")
	set.StringVar(&o.label, "label", defaultLabel, "second part of the results' name, after the date")
	set.StringVar(&o.note, "note", "", "why goals are missed, for the page")
	only := set.String("only", "", `regular expression: measure only what it matches of "measure, engine"; kept only with -label`)
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("arguments %q are not understood", set.Args())
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.command = lab.Repeat("./bench/cut", set)
	if o.quick {
		o.most, o.changes = 1000, 200
		if !given["rounds"] {
			o.rounds = 3
		}
	}
	o.named = o.label != defaultLabel
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	return o, nil
}

// keeps reports whether the results are to be kept: those of a whole run are, and
// those of a part only under a name of their own.
func (o *options) keeps() bool { return !o.quick && (o.only.String() == "" || o.named) }

// bench is one run.
type bench struct {
	opt       options
	out, errs io.Writer
	dir       string
	lab       *lab.Lab
	setups    []*setup
	rows      []*row
	report    lab.Report
}

func measureAll(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	opt, err := parse(args, errs)
	if err != nil {
		return err
	}
	b := &bench{opt: opt, out: out, errs: errs}
	b.report = lab.Report{Facts: lab.Gather(ctx, opt.command), Note: opt.note}
	if b.lab, err = lab.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	if b.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	// The program and its data belong to another user in one of the setups.
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for round := range b.opt.rounds {
		b.say("round %d of %d", round+1, b.opt.rounds)
		for _, m := range measures {
			for _, s := range b.setups {
				if m.flows > b.opt.most || !b.opt.only.MatchString(m.name+", "+s.name) {
					continue
				}
				if err := b.once(ctx, m, s); err != nil {
					return err
				}
			}
		}
	}
	if err := b.stop(); err != nil {
		b.say("%v", err)
	}
	return b.finish()
}

// prepare starts the product in every setup; all stand at once, and idle but for
// the one that is being measured.
func (b *bench) prepare(ctx context.Context) error {
	binary, err := lab.Build(ctx, b.opt.binary, b.dir, b.errs)
	if err != nil {
		return err
	}
	for _, s := range everyone() {
		wanted := slices.ContainsFunc(measures, func(m *measure) bool { return b.opt.only.MatchString(m.name + ", " + s.name) })
		if !wanted {
			continue
		}
		if err := b.stand(ctx, s, binary); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			text := fmt.Sprintf("Not measured: %s: %v", s.name, err)
			b.say("%s", text)
			line, _, _ := strings.Cut(text, "\n")
			b.report.Remarks = append(b.report.Remarks, line)
			continue
		}
		b.setups = append(b.setups, s)
	}
	if b.setups == nil {
		return errors.New("nothing could be measured")
	}
	return nil
}

// stop ends every process, so that its processor time is known.
func (b *bench) stop() error {
	var errs []error
	for _, s := range b.setups {
		errs = append(errs, s.stop())
	}
	b.setups = nil
	return errors.Join(errs...)
}

func (b *bench) close(ctx context.Context) error {
	err := b.stop()
	err = errors.Join(err, b.lab.Close(ctx))
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// finish shows and keeps what was measured.
func (b *bench) finish() error {
	b.report.Facts.Finish()
	b.tables()
	for _, f := range b.report.Facts.List() {
		fmt.Fprintf(b.out, "%s: %s\n", f[0], f[1])
	}
	for _, text := range b.report.Remarks {
		fmt.Fprintln(b.out, text)
	}
	for _, t := range b.report.Tables {
		fmt.Fprintln(b.out, t.Text())
	}
	fmt.Fprintln(b.out, "\n"+b.report.Balance())
	if !b.opt.keeps() {
		return nil
	}
	base, err := b.report.Write(b.opt.results, b.opt.label)
	if err != nil {
		return err
	}
	b.say("kept as %s.md and .json", base)
	return nil
}

// say tells the progress; the tables are on the other stream.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.errs, format+"\n", args...) }

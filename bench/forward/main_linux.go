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
	"time"

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
	fmt.Fprintln(os.Stderr, "bench/forward:", err)
	return 1
}

// options are the flags and what follows from them.
type options struct {
	binary, results, label, note, command string

	quick, named bool
	only         *regexp.Regexp
	rounds       int
	round, warm  time.Duration
	settle       time.Duration // rest before memory is read
	idle         int           // connections whose memory is measured
}

// defaultLabel names the results of a run without -label.
const defaultLabel = "forward"

func parse(args []string, errs io.Writer) (options, error) {
	o := options{rounds: 5, round: time.Second, warm: 200 * time.Millisecond, settle: 2 * time.Second, idle: 5000}
	set := flag.NewFlagSet("bench/forward", flag.ContinueOnError)
	set.SetOutput(errs)
	set.BoolVar(&o.quick, "quick", false, "two short rounds, nothing kept")
	set.IntVar(&o.rounds, "rounds", o.rounds, "rounds of every measure")
	set.DurationVar(&o.round, "round", o.round, "length of one round of one measure")
	set.StringVar(&o.binary, "bin", "", "the product's binary; built from ./cmd/sallyport where it is not given")
	set.StringVar(&o.results, "results", filepath.Join("bench", "results"), "directory that keeps the results")
	set.StringVar(&o.label, "label", defaultLabel, "second part of the results' name, after the date")
	set.StringVar(&o.note, "note", "", "why goals are missed, for the page")
	only := set.String("only", "", `regular expression: measure only what it matches of "measure, contender"; kept only with -label`)
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("arguments %q are not understood", set.Args())
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.command = lab.Repeat("./bench/forward", set)
	if o.quick {
		o.warm, o.settle, o.idle = 50*time.Millisecond, time.Second, 1000
		if !given["rounds"] {
			o.rounds = 2
		}
		if !given["round"] {
			o.round = 250 * time.Millisecond
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
	opt            options
	out, errs      io.Writer
	dir            string
	lab            *lab.Lab
	contenders     []*contender
	client, server *lab.Peer
	rows           []*row
	report         lab.Report
}

func measureAll(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	opt, err := parse(args, errs)
	if err != nil {
		return err
	}
	b := &bench{opt: opt, out: out, errs: errs}
	b.report = lab.Report{Facts: lab.Gather(ctx, opt.command, programs(ctx)...), Note: opt.note}
	if b.lab, err = lab.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	if b.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.memory(ctx); err != nil {
		return err
	}
	if err := b.loads(ctx); err != nil {
		return err
	}
	if err := b.stop(); err != nil {
		b.say("%v", err)
	}
	return b.finish()
}

// programs are the versions of what is compared.
func programs(ctx context.Context) []string {
	var out []string
	if text := lab.Output(ctx, "haproxy", "-v"); text != "" {
		out = append(out, strings.Join(strings.Fields(text)[:3], " "))
	}
	if text := lab.Output(ctx, "nginx", "-v"); text != "" {
		out = append(out, strings.TrimPrefix(text, "nginx version: "))
	}
	if text := lab.Output(ctx, "iperf3", "--version"); text != "" {
		out = append(out, strings.Join(strings.Fields(text)[:2], " "))
	}
	return out
}

// prepare makes networks and starts everything; all contenders stand at once.
func (b *bench) prepare(ctx context.Context) error {
	var err error
	if b.client, err = lab.Dial(); err != nil {
		return err
	}
	if b.server, err = lab.Dial(); err != nil {
		return err
	}
	binary := ""
	for _, c := range everyone() {
		if !b.wanted(c) {
			continue
		}
		if c.engine != "" && binary == "" {
			if binary, err = lab.Build(ctx, b.opt.binary, b.dir, b.errs); err != nil {
				return err
			}
		}
		c.binary = binary
		if err := b.stand(ctx, c); err != nil {
			if ctx.Err() != nil || c.engine == "" && c.name == direct {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			text := fmt.Sprintf("Not measured: %s: %v", c.name, err)
			b.say("%s", text)
			b.report.Remarks = append(b.report.Remarks, firstLine(text))
			continue
		}
		b.contenders = append(b.contenders, c)
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// wanted reports whether anything is to be measured with a contender.
func (b *bench) wanted(c *contender) bool {
	if b.opt.only.MatchString(idleMeasure + ", " + c.name) {
		return true
	}
	return slices.ContainsFunc(measures, func(m *measure) bool { return b.opt.only.MatchString(m.name + ", " + c.name) })
}

// stop ends every process, so that its processor time is known.
func (b *bench) stop() error {
	var errs []error
	for _, c := range b.contenders {
		errs = append(errs, c.stop())
	}
	b.contenders = nil
	for _, p := range []*lab.Peer{b.client, b.server} {
		if p != nil {
			p.Close()
		}
	}
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

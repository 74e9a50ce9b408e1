package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// Limits of watching.
const (
	// defaultInterval is the pause between two looks. Agents tell the server as often,
	// so a shorter one shows changes sooner and no more of them.
	defaultInterval = time.Second
	// minInterval keeps one reader from asking a server without a pause.
	minInterval = 200 * time.Millisecond
	// maxInterval is the longest pause for which "live" is still the word.
	maxInterval = time.Minute
	// maxWatchedIDs is how many endpoints may be named, each of which costs two
	// requests at each look.
	maxWatchedIDs = 16
)

// intervalValue is a flag that takes the pause between two looks.
type intervalValue time.Duration

// String returns the duration.
func (v *intervalValue) String() string { return time.Duration(*v).String() }

// Type names the value in help.
func (v *intervalValue) Type() string { return "duration" }

// Set takes a duration such as 500ms.
func (v *intervalValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < minInterval || d > maxInterval {
		return fmt.Errorf("a duration from %v to %v is needed, such as 500ms", minInterval, maxInterval)
	}
	*v = intervalValue(d)
	return nil
}

func (a *app) connectionWatch() *cobra.Command {
	return a.watchVerb(&cobra.Command{
		Use: use("watch", argService), Args: takes(argService), Short: "Show live what the connections of a service carry", Long: helpConnectionWatch, Example: exampleConnectionWatch,
	}, func(w *watcher, args []string) reader {
		a.place.service = args[0]
		return w.service(args[0])
	})
}

func (a *app) endpointWatch() *cobra.Command {
	return a.watchVerb(&cobra.Command{
		Use: use("watch", argID+repeated), Args: takes(argID + repeated), Short: "Show live what endpoints carry", Long: helpEndpointWatch, Example: exampleEndpointWatch,
	}, func(w *watcher, args []string) reader { return w.endpoints(args) })
}

// reader looks once. Its rows are in an order that stays.
type reader func(ctx context.Context) ([]watched, error)

// watchVerb gives a command what both verbs have in common.
func (a *app) watchVerb(cmd *cobra.Command, of func(w *watcher, args []string) reader) *cobra.Command {
	interval := intervalValue(defaultInterval)
	cmd.Flags().Var(&interval, "interval", "`DURATION` between two looks, 200ms to 1m")
	watch := a.call(func(ctx context.Context, s *session, args []string) error {
		w := &watcher{a: a, session: s, interval: time.Duration(interval), meters: map[string]*meter{}, looks: map[string]look{}}
		return w.run(ctx, of(w, args))
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.flags.output.value == outputID {
			return usagef("what changes here are numbers: of the formats only %s and %s show them", outputTable, outputJSON)
		}
		if len(args) > maxWatchedIDs {
			return usagef("at most %d endpoints can be watched by their ids; the owner of a service can watch all of its connections", maxWatchedIDs)
		}
		return watch(cmd, args)
	}
	return cmd
}

// watcher is one run of a verb that watches.
type watcher struct {
	a        *app
	session  *session
	interval time.Duration
	meters   map[string]*meter // by endpoint, of those in the last look
	looks    map[string]look   // by endpoint, likewise
	screen   screen
	partial  bool // it was said that not everything is watched
	broken   bool // no answer came the last time, and that was said
	again    bool // a login was repeated since the last answer
}

// run looks until ctx ends, which is how a watch is meant to end and no error. What
// goes wrong at first ends it; once there was an answer, it survives a server that
// is gone for a while.
func (w *watcher) run(ctx context.Context, read reader) error {
	for answered := false; ; {
		rows, err := read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			answered = true
			if err := w.show(rows); err != nil {
				return err
			}
		case !answered:
			return err
		default:
			if err := w.survive(ctx, err); err != nil {
				return err
			}
		}
		if w.a.sleep(ctx, w.interval) != nil {
			return nil
		}
	}
}

// show measures and prints what was read.
func (w *watcher) show(rows []watched) error {
	if w.broken {
		w.say("the server answers again")
	}
	w.broken, w.again = false, false
	w.measure(rows)
	if w.a.format() == outputJSON {
		return w.printLines(rows)
	}
	return w.draw(rows)
}

// survive returns nil where it makes sense to look again after an error.
func (w *watcher) survive(ctx context.Context, err error) error {
	e, _ := errors.AsType[*apiError](err)
	if e != nil && e.status == http.StatusUnauthorized && w.session.given.kind == credentialPassword && !w.again {
		w.again = true // tokens last a day, a watch may last longer
		if err = w.session.login(ctx); err == nil {
			return nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil // the loop sees it too
	case !passing(err):
		return err
	case !w.broken:
		w.broken = true
		w.say("%v; looking again every %v", err, w.interval)
	}
	return nil
}

// passing reports whether an error may be gone at the next look: no answer came, or
// the server or what is in front of it says that it cannot just now.
func passing(err error) bool {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.status >= http.StatusInternalServerError || e.status == http.StatusTooManyRequests
	}
	_, ok := errors.AsType[*sendError](err)
	return ok
}

// say writes a line for people; on a terminal it stands where the table would be
// drawn next, which therefore begins anew below.
func (w *watcher) say(format string, args ...any) {
	w.screen.leave()
	w.a.note(format, args...)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// now is the clock of all measures.
func now() time.Time {
	return time.Now() //nolint:forbidigo // a benchmark measures real time
}

// job is one request and what its answer must hold: a wrong answer is no
// measurement. Every answer but 200 is wrong.
type job struct {
	request []byte
	want    []byte
}

// worker sends its jobs over its own connection, one after the other, each as
// soon as the last is answered. It goes on with the next job in the next round,
// and with the first after the last.
type worker struct {
	conn *conn
	jobs []job
	next int
	took []time.Duration // of the round
}

// step does the next job.
func (w *worker) step() error {
	j := &w.jobs[w.next]
	w.next = (w.next + 1) % len(w.jobs)
	status, body, err := w.conn.do(j.request)
	if err != nil {
		return err
	}
	if status != 200 || !bytes.Contains(body, j.want) {
		return fmt.Errorf("answer %d %.300s, want 200 with %s, to\n%s", status, body, j.want, j.request)
	}
	return nil
}

// round works until the time is over.
func (w *worker) round(ctx context.Context, d time.Duration) error {
	w.took = w.took[:0]
	start := now()
	last := start
	for last.Sub(start) < d && ctx.Err() == nil {
		if err := w.step(); err != nil {
			return err
		}
		t := now()
		w.took = append(w.took, t.Sub(last))
		last = t
	}
	return ctx.Err()
}

// sample is one round of a measure. Times are in milliseconds.
type sample struct {
	Value float64 `json:"value"` // what the measure is about, in its unit
	P50   float64 `json:"p50_ms,omitempty"`
	P99   float64 `json:"p99_ms,omitempty"`
	Max   float64 `json:"max_ms,omitempty"`
	CPU   float64 `json:"server_cpu_us_per_request,omitempty"`
	N     int     `json:"n,omitempty"`
}

// drive lets the workers work for d and returns requests per second.
func drive(ctx context.Context, s *server, workers []*worker, d time.Duration) (sample, error) {
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	errs := make([]error, len(workers))
	var all sync.WaitGroup
	start := now()
	for i, w := range workers {
		all.Go(func() { errs[i] = w.round(ctx, d) })
	}
	all.Wait()
	took := now().Sub(start)
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	var times []time.Duration
	for _, w := range workers {
		times = append(times, w.took...)
	}
	out := summary(times)
	out.Value = float64(len(times)) / took.Seconds()
	out.CPU = float64((after - before).Microseconds()) / float64(max(1, len(times)))
	return out, nil
}

// summary fills in a sample what follows from its times.
func summary(times []time.Duration) sample {
	slices.Sort(times)
	return sample{N: len(times), P50: ms(quantile(times, .5)), P99: ms(quantile(times, .99)), Max: ms(quantile(times, 1))}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile returns the smallest value that the share q of the sorted values is
// not above.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted))+.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// connect gives each list of jobs a worker with a connection of its own.
func connect(ctx context.Context, s *server, lists [][]job) ([]*worker, error) {
	var out []*worker
	for _, jobs := range lists {
		c, err := dial(ctx, s.host)
		if err != nil {
			hangUp(out)
			return nil, fmt.Errorf("connect: %w", err)
		}
		out = append(out, &worker{conn: c, jobs: jobs})
	}
	return out, nil
}

func hangUp(workers []*worker) {
	for _, w := range workers {
		w.conn.close()
	}
}

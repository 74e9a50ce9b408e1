package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// pingSize is one message of the flow.
	pingSize = 64
	// pingsBefore is how many messages have gone to and fro before the reject.
	pingsBefore = 10
	// endWait bounds the wait for the reset, which a broken product would never send.
	endWait = 5 * time.Second
)

var (
	errEnd     = errors.New("the flow ended without a reset")
	errNoStamp = errors.New("the kernel gave no time stamp")
)

// echo is the backend: it sends back what it gets.
type echo struct {
	ln    net.Listener
	flows sync.WaitGroup
}

func startEcho(ctx context.Context) (*echo, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	e := &echo{ln: ln}
	e.flows.Go(e.serve)
	return e, nil
}

func (e *echo) serve() {
	for {
		c, err := e.ln.Accept()
		if err != nil {
			return
		}
		e.flows.Go(func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // until the flow is cut
		})
	}
}

func (e *echo) port() int { return e.ln.Addr().(*net.TCPAddr).Port }

// close ends the backend; its flows have been cut.
func (e *echo) close() {
	_ = e.ln.Close()
	e.flows.Wait()
}

// cuts are the rows of what a reject does to a flow.
type cuts struct{ answer, last, reset, late *row }

// cut measures rejects of an endpoint with one busy flow: the answer, the last
// byte that came through, and the reset, all from the moment before the request
// was sent. Arrivals are those that the kernel noted, so that a late reader makes
// neither a good product bad nor a bad one good.
func (b *bench) cut(ctx context.Context, s *server) error {
	w := b.world(s)
	backend, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer backend.close()
	g, err := w.make(ctx, plan{name: "cut", services: 1, endpoints: 1, vpc: vpcHost, subnet: subnetHost, port: backendPort, serverPort: backend.port()})
	if err != nil {
		return err
	}
	api, err := dial(ctx, s.host)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer api.close()
	if err := stampArrivals(api.tcp); err != nil {
		return err
	}
	target, err := firstAccept(w, api, g.endpoints[0])
	if err != nil {
		return err
	}
	named := func(name, unit string, goals ...goal) *row {
		r := &row{Section: "cut", Name: name, Store: b.storeName(s), Conns: 1, Unit: unit, Goals: goals}
		b.add(r)
		return r
	}
	rows := cuts{
		answer: named("reject → answer, one flow", millis),
		last:   named("reject → last byte, one flow", millis, onSQLite(s, goal{Metric: metricP50, Limit: 1, Most: true}, goal{Metric: metricP99, Limit: 8, Most: true})...),
		reset:  named("reject → reset seen, one flow", millis),
		late:   named("bytes received after the answer", "", goal{Metric: metricMax, Limit: 0, Most: true}),
	}
	commits := named("append 4 KiB and fdatasync, between the cuts", perSecond)
	commits.Store = ""
	disk, err := newBareDisk(s.dir, commits)
	if err != nil {
		return err
	}
	defer disk.close()
	for range b.opt.rounds {
		if err := b.cutRound(ctx, target, rows); err != nil {
			return fmt.Errorf("cut: %w", err)
		}
		// A reject waits for a commit: a disk that stalls shows here as well.
		if err := disk.round(ctx, b.opt.round/4); err != nil {
			return err
		}
	}
	for _, r := range []*row{rows.answer, rows.last, rows.reset, rows.late, commits} {
		b.show(r)
	}
	return nil
}

// target is the endpoint whose flows are cut, with its two decisions.
type target struct {
	api            *conn
	address        string
	accept, reject job
}

// firstAccept accepts the endpoint, since only then its address is shown.
func firstAccept(w *world, api *conn, e endpoint) (*target, error) {
	t := &target{api: api}
	var err error
	if t.accept, err = decision(w.server.host, e, true); err != nil {
		return nil, err
	}
	if t.reject, err = decision(w.server.host, e, false); err != nil {
		return nil, err
	}
	if err := do(api, t.accept); err != nil {
		return nil, err
	}
	t.address, err = w.address(api, e)
	return t, err
}

// do does one job.
func do(c *conn, j job) error { return (&worker{conn: c, jobs: []job{j}}).step() }

func (b *bench) cutRound(ctx context.Context, t *target, rows cuts) error {
	var answers, lasts, resets []time.Duration
	late := 0
	for range b.opt.cuts {
		one, err := cutOnce(ctx, t)
		if err != nil {
			return err
		}
		answers = append(answers, one.answer)
		lasts = append(lasts, one.last)
		resets = append(resets, one.reset)
		late += one.late
	}
	for r, times := range map[*row][]time.Duration{rows.answer: answers, rows.last: lasts, rows.reset: resets} {
		smp := summary(times)
		smp.Value = smp.P50
		r.Rounds = append(r.Rounds, smp)
	}
	rows.late.Rounds = append(rows.late.Rounds, sample{Value: float64(late), N: len(answers)})
	return nil
}

// oneCut is what one reject did, from the moment before it was sent.
type oneCut struct {
	answer, last, reset time.Duration
	late                int // bytes that came after the answer
}

func cutOnce(ctx context.Context, t *target) (oneCut, error) {
	if err := do(t.api, t.accept); err != nil {
		return oneCut{}, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return oneCut{}, fmt.Errorf("connect through the endpoint: %w", err)
	}
	defer c.Close()
	f := &flow{tcp: c.(*net.TCPConn), warm: make(chan struct{}), ended: make(chan struct{})}
	if err := stampArrivals(f.tcp); err != nil {
		return oneCut{}, err
	}
	go f.run()
	select {
	case <-f.warm:
	case <-f.ended:
		return oneCut{}, fmt.Errorf("the flow did not begin: %w", f.err)
	}
	begin := now()
	arrived, err := rejectStamped(t.api, t.reject)
	if err != nil {
		return oneCut{}, err
	}
	timer := time.NewTimer(endWait)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-timer.C:
		return oneCut{}, fmt.Errorf("the flow was not cut within %s of the answer", endWait)
	}
	if !errors.Is(f.err, syscall.ECONNRESET) && !errors.Is(f.err, syscall.EPIPE) {
		return oneCut{}, fmt.Errorf("the flow ended otherwise than by a reset: %w", f.err)
	}
	out := oneCut{answer: arrived.Sub(begin), last: f.last.Sub(begin), reset: f.end.Sub(begin)}
	if f.last.After(arrived) {
		out.late = f.lastSize
	}
	out.last = max(out.last, 0) // the last byte may have come before the request left
	return out, nil
}

// rejectStamped sends a decision and returns when its answer arrived.
func rejectStamped(api *conn, j job) (time.Time, error) {
	if _, err := api.tcp.Write(j.request); err != nil {
		return time.Time{}, fmt.Errorf("send: %w", err)
	}
	// An answer this small comes in one piece.
	n, at, err := readStamped(api.tcp, api.buf)
	if err != nil {
		return at, fmt.Errorf("read the answer: %w", err)
	}
	if status, _, err := parseHead(api.buf[:n]); err != nil || status != 200 {
		return at, fmt.Errorf("answer %.300s: %w", api.buf[:n], err)
	}
	return at, nil
}

// flow sends a message, waits for its echo, and so on, until it is cut.
type flow struct {
	tcp      *net.TCPConn
	warm     chan struct{} // closed after pingsBefore messages
	ended    chan struct{}
	last     time.Time // when the last byte came
	lastSize int
	end      time.Time // when the end was seen
	err      error
}

func (f *flow) run() {
	defer close(f.ended)
	buf := make([]byte, pingSize)
	for i := 0; ; i++ {
		if i == pingsBefore {
			close(f.warm)
		}
		if f.err = f.ping(buf); f.err != nil {
			f.end = now()
			return
		}
	}
}

func (f *flow) ping(buf []byte) error {
	if _, err := f.tcp.Write(buf); err != nil {
		return err
	}
	for got := 0; got < pingSize; {
		n, at, err := readStamped(f.tcp, buf[got:])
		if err != nil {
			return err
		}
		got += n
		f.last, f.lastSize = at, n
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/bench/lab"
)

const (
	// pingSize is one message of a flow.
	pingSize = 64
	// pace is how many messages all flows together send in a second where there
	// are many: several are under way at any moment, and two processors are not
	// so busy with them that a decision waits for one.
	pace = 5000
	// activeShare is the share of the flows that send; the others are idle.
	activeShare = 10
	// warm is how long they have sent when the reject comes.
	warm = 200 * time.Millisecond
	// endWait bounds the wait for resets, which a broken product would never send.
	endWait = 10 * time.Second
	// removeWait bounds the wait for the end of endpoints that were removed.
	removeWait = time.Minute
)

// measure is one situation in which a reject comes.
type measure struct {
	name    string
	flows   int
	changes bool // others are being made
	// gateGoal and plainGoal are how many milliseconds the answer may take, with
	// the gate and without privileges, 0 for no goal.
	gateGoal, plainGoal float64
}

// The goals are those of the issue that asked for these measures.
const gateAnswer = 8

var measures = []*measure{
	{name: "no flow"},
	{name: "1 flow", flows: 1, gateGoal: gateAnswer, plainGoal: 2},
	{name: "1,000 flows", flows: 1000, gateGoal: gateAnswer, plainGoal: 50},
	{name: "10,000 flows", flows: 10_000, gateGoal: gateAnswer, plainGoal: 500},
	{name: "1,000 flows while endpoints are being made", flows: 1000, changes: true, gateGoal: gateAnswer, plainGoal: 50},
}

// sample is one reject. Times are in milliseconds since the moment before the
// request was written.
type sample struct {
	Answer float64 `json:"answer_ms"`
	// Last is when the last byte came to either peer, negative before the reject.
	Last float64 `json:"last_byte_ms"`
	// Late is how many bytes came to a peer after the answer.
	Late int64 `json:"bytes_after_answer"`
	// Reset is when the last peer saw its reset.
	Reset float64 `json:"last_reset_ms"`
	// ClientResets and BackendResets are how many peers saw one, Ends how many
	// flows ended otherwise and Open how many did not end.
	ClientResets  int `json:"client_resets"`
	BackendResets int `json:"backend_resets"`
	Ends          int `json:"ended_otherwise"`
	Open          int `json:"not_ended"`
	// Queued is how many changes had not been answered when the reject was.
	Queued int `json:"queued_changes,omitempty"`
}

// row is one measure of one setup.
type row struct {
	Measure string   `json:"measure"`
	Setup   string   `json:"setup"`
	Flows   int      `json:"flows"`
	Rounds  []sample `json:"rounds"`
	// Failed says why rounds are missing.
	Failed  string `json:"failed,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

func (b *bench) row(m *measure, s *setup) *row {
	for _, r := range b.rows {
		if r.Measure == m.name && r.Setup == s.name {
			return r
		}
	}
	r := &row{Measure: m.name, Setup: s.name, Flows: min(m.flows, s.most)}
	b.rows = append(b.rows, r)
	return r
}

// once takes one measure once. One that fails is written down and the run goes
// on, since the others are worth having.
func (b *bench) once(ctx context.Context, m *measure, s *setup) error {
	r := b.row(m, s)
	smp, err := b.cut(ctx, m, s, r.Flows)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		r.Rounds = append(r.Rounds, smp)
		return nil
	}
	b.say("%s, %s: %v", m.name, s.name, err)
	r.Failed, _, _ = strings.Cut(err.Error(), "\n")
	return s.drop()
}

// drop ends what is left of flows on both sides.
func (s *setup) drop() error {
	for _, p := range []*lab.Peer{s.client, s.server} {
		if _, err := p.Do(lab.Command{Do: lab.Drop}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) cut(ctx context.Context, m *measure, s *setup, flows int) (sample, error) {
	if err := s.begin(ctx, flows); err != nil {
		return sample{}, err
	}
	reject, err := lab.Decision(s.service, s.endpoint, false)
	if err != nil {
		return sample{}, err
	}
	var queue *changes
	if m.changes {
		if queue, err = s.queue(ctx, b.opt.changes); err != nil {
			return sample{}, err
		}
	}
	begin := lab.Now().UnixNano()
	status, answer, at, err := s.api.Send(reject)
	if err != nil || status != http.StatusOK {
		return sample{}, fmt.Errorf("reject: %d %.300s: %w", status, answer, err)
	}
	smp := sample{Answer: since(begin, at)}
	if queue != nil {
		smp.Queued = b.opt.changes - int(queue.answered.Load())
	}
	err = s.ends(&smp, begin, at)
	if queue != nil {
		err = errors.Join(err, queue.remove(ctx, s))
	}
	return smp, err
}

// begin opens the endpoint and its flows.
func (s *setup) begin(ctx context.Context, flows int) error {
	accept, err := lab.Decision(s.service, s.endpoint, true)
	if err != nil {
		return err
	}
	// A server ends connections that are idle for long, as they are between two
	// measures of one setup.
	if s.api != nil {
		s.api.Close()
	}
	if s.api, err = s.product.Dial(ctx); err != nil {
		return err
	}
	status, answer, _, err := s.api.Send(accept)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("accept: %d %.300s: %w", status, answer, err)
	}
	var decided struct{ Connections []struct{ Status string } }
	if err := json.Unmarshal(answer, &decided); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if len(decided.Connections) != 1 || decided.Connections[0].Status != "accepted" {
		return fmt.Errorf("accept: %.300s", answer)
	}
	if flows == 0 {
		return lab.Wait(ctx, warm)
	}
	command := lab.Command{
		Do: lab.Flows, Namespace: s.product.Consumer, Target: s.target, Conns: flows, Size: pingSize, Active: max(1, flows/activeShare), Stamped: true,
	}
	if command.Namespace == "" {
		command.Namespace = s.product.Namespace
	}
	if flows > 1 {
		command.Rate = pace
	}
	if _, err := s.client.Do(command); err != nil {
		return err
	}
	return lab.Wait(ctx, warm)
}

// ends waits for the end of all flows and tells what both peers saw.
func (s *setup) ends(smp *sample, begin, answer int64) error {
	await := lab.Command{Do: lab.Await, For: endWait, After: answer}
	if err := s.client.Tell(await); err != nil {
		return err
	}
	backend, err := s.server.Do(await)
	if err != nil {
		return err
	}
	client, err := s.client.Hear(lab.Await)
	if err != nil {
		return err
	}
	smp.Last = since(begin, max(client.Last, backend.Last))
	smp.Late = client.Late + backend.Late
	smp.Reset = since(begin, max(client.LastReset, backend.LastReset))
	smp.ClientResets, smp.BackendResets = client.Resets, backend.Resets
	smp.Ends, smp.Open = client.Ends+backend.Ends, client.Open+backend.Open
	if client.Last == 0 && backend.Last == 0 {
		smp.Last, smp.Reset = 0, 0 // without flows there is neither
	}
	if smp.Open == 0 {
		return nil
	}
	return s.drop()
}

func since(begin, at int64) float64 { return float64(at-begin) / float64(time.Millisecond) }

// changes are endpoints that are being made while a reject comes.
type changes struct {
	makers   []*lab.API
	answered atomic.Int64
	all      sync.WaitGroup
	mu       sync.Mutex
	made     []string
	errs     []error
}

// queue begins to make n endpoints of a service that approves by itself, over all
// connections at once, and returns when the first of each are answered. The data
// plane has to open every one of them.
func (s *setup) queue(ctx context.Context, n int) (*changes, error) {
	requests := make([][]byte, n)
	for i := range requests {
		var err error
		if requests[i], err = lab.NewEndpoint(s.open); err != nil {
			return nil, err
		}
	}
	q := &changes{}
	for range creators {
		c, err := s.product.Dial(ctx)
		if err != nil {
			q.close()
			return nil, err
		}
		q.makers = append(q.makers, c)
	}
	var next atomic.Int64
	var enough sync.WaitGroup
	enough.Add(len(q.makers))
	for _, c := range q.makers {
		q.all.Go(func() {
			first := sync.OnceFunc(enough.Done)
			defer first()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if !q.make(c, requests[i]) {
					return
				}
				first()
			}
		})
	}
	enough.Wait()
	return q, nil
}

// make makes one endpoint and reports whether it is worth going on.
func (q *changes) make(c *lab.API, request []byte) bool {
	status, answer, _, err := c.Send(request)
	var made struct{ ID string }
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %.300s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, &made)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.errs = append(q.errs, fmt.Errorf("make an endpoint: %w", err))
		return false
	}
	q.made = append(q.made, made.ID)
	q.answered.Add(1)
	return true
}

// remove waits for the end of the making and removes what was made, so that the
// next measure finds the product at rest.
func (q *changes) remove(ctx context.Context, s *setup) error {
	q.all.Wait()
	defer q.close()
	errs := make([]error, len(q.makers))
	var all sync.WaitGroup
	for k, c := range q.makers {
		all.Go(func() {
			for i := k; i < len(q.made); i += len(q.makers) {
				if err := s.product.Remove(c, q.made[i]); err != nil {
					errs[k] = err
					return
				}
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	return errors.Join(append(append(q.errs, errs...), s.product.Settled(ctx, q.makers[0], 1))...)
}

func (q *changes) close() {
	for _, c := range q.makers {
		c.Close()
	}
}

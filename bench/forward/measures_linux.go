package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"time"

	"github.com/sallyport-net/sallyport/bench/lab"
)

// measure is one kind of load.
type measure struct {
	name  string
	unit  string
	do    string // what the client is told
	port  uint16
	conns int
	size  int
	scale float64 // what one unit is
	udp   bool
	// kernelGoal is the share of the direct path that the kernel engine has to
	// reach, userGoal the share of the better of HAProxy and nginx that the user
	// engine has to; 0 for none.
	kernelGoal, userGoal float64
}

// The goals are those of the issue that asked for these measures.
const (
	kernelBulk, kernelSmall = .8, .65
	userBulk, userSmall     = 1.2, 1
	idleBytes               = 12 << 10
)

// payload is the size of a request, of its answer and of a datagram.
const payload = 64

var measures = []*measure{
	{name: "bulk, 1 flow", unit: "GB/s", do: lab.Bulk, port: lab.PortSink, conns: 1, scale: 1e9, kernelGoal: kernelBulk, userGoal: userBulk},
	{name: "bulk, 8 flows", unit: "GB/s", do: lab.Bulk, port: lab.PortSink, conns: 8, scale: 1e9, kernelGoal: kernelBulk, userGoal: userBulk},
	{name: "requests of 64 bytes, 1 connection", unit: "/s", do: lab.Request, port: lab.PortEcho, conns: 1, size: payload, kernelGoal: kernelSmall, userGoal: userSmall},
	{name: "requests of 64 bytes, 32 connections", unit: "/s", do: lab.Request, port: lab.PortEcho, conns: 32, size: payload, kernelGoal: kernelSmall, userGoal: userSmall},
	{name: "requests of 64 bytes, 256 connections", unit: "/s", do: lab.Request, port: lab.PortEcho, conns: 256, size: payload, kernelGoal: kernelSmall, userGoal: userSmall},
	{name: "new connections, 32 at a time", unit: "/s", do: lab.Connect, port: lab.PortEcho, conns: 32, kernelGoal: kernelSmall, userGoal: userSmall},
	{name: "datagrams there and back, 32 sockets", unit: "/s", do: lab.EchoUDP, port: lab.PortEchoUDP, conns: 32, size: payload, udp: true},
	{name: "datagrams one way, 8 sockets", unit: "/s", do: lab.SendUDP, port: lab.PortSinkUDP, conns: 8, size: payload, udp: true},
}

// idleMeasure is the name of the measure of memory.
const idleMeasure = "memory per idle connection"

// sample is one round of a measure. Times are in milliseconds.
type sample struct {
	Round int     `json:"round"`
	Value float64 `json:"value"`
	P50   float64 `json:"p50_ms,omitempty"`
	P99   float64 `json:"p99_ms,omitempty"`
	// CPU is the processors that the contender's process used.
	CPU float64 `json:"cpus,omitempty"`
	// Lost is the share of datagrams that did not arrive, or the number of
	// connections that failed.
	Lost float64 `json:"lost,omitempty"`
	Base float64 `json:"base_bytes,omitempty"` // memory without connections
}

// row is one measure of one contender.
type row struct {
	Measure   string   `json:"measure"`
	Contender string   `json:"contender"`
	Unit      string   `json:"unit"`
	Rounds    []sample `json:"rounds"`
	// Failed says why rounds are missing.
	Failed string `json:"failed,omitempty"`
	// Direct and Best are the ratios to the direct path and to the better of
	// HAProxy and nginx, each of the same round.
	Direct  []float64 `json:"ratio_to_direct,omitempty"`
	Best    []float64 `json:"ratio_to_best_proxy,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
}

func (b *bench) row(measure, contender, unit string) *row {
	for _, r := range b.rows {
		if r.Measure == measure && r.Contender == contender {
			return r
		}
	}
	r := &row{Measure: measure, Contender: contender, Unit: unit}
	b.rows = append(b.rows, r)
	return r
}

// loads takes every measure of every contender in rounds. The order of the
// contenders turns, so that none is always behind the same one.
func (b *bench) loads(ctx context.Context) error {
	for round := range b.opt.rounds {
		b.say("round %d of %d", round+1, b.opt.rounds)
		for _, m := range measures {
			for i := range b.contenders {
				c := b.contenders[(i+round)%len(b.contenders)]
				if m.udp && !c.udp || !c.tcp && m.do != lab.Bulk || !b.opt.only.MatchString(m.name+", "+c.name) {
					continue
				}
				r := b.row(m.name, c.name, m.unit)
				s, err := b.load(ctx, m, c)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					b.say("%s, %s: %v", m.name, c.name, err)
					r.Failed = firstLine(err.Error())
					continue
				}
				s.Round = round
				r.Rounds = append(r.Rounds, s)
			}
		}
	}
	return nil
}

// load takes one measure of one contender once.
func (b *bench) load(ctx context.Context, m *measure, c *contender) (sample, error) {
	if c.name == iperf {
		return b.iperf(ctx, m, c)
	}
	cpu, err := c.process.CPU()
	if err != nil {
		return sample{}, err
	}
	begin := lab.Now()
	command := lab.Command{
		Do: m.do, Namespace: c.consumer, Target: netip.AddrPortFrom(c.target, m.port), Conns: m.conns, Size: m.size, Warm: b.opt.warm, For: b.opt.round,
	}
	if m.do == lab.Connect || m.udp {
		command.Sources = sources
	}
	var s sample
	if m.do == lab.Bulk || m.do == lab.SendUDP {
		s, err = b.oneWay(ctx, m, command)
	} else {
		s, err = b.thereAndBack(command)
	}
	if err != nil {
		return s, err
	}
	after, err := c.process.CPU()
	s.CPU = (after - cpu).Seconds() / lab.Now().Sub(begin).Seconds()
	return s, err
}

// thereAndBack is counted where it comes back.
func (b *bench) thereAndBack(command lab.Command) (sample, error) {
	a, err := b.client.Do(command)
	if err != nil {
		return sample{}, err
	}
	s := sample{Value: float64(a.N) / a.Took.Seconds(), P50: ms(a.P50), P99: ms(a.P99), Lost: float64(a.Lost)}
	if command.Do == lab.EchoUDP {
		s.Lost = float64(a.Lost) / float64(max(1, a.N+a.Lost))
	}
	if a.N == 0 {
		return s, fmt.Errorf("nothing came back; %d were lost", a.Lost)
	}
	return s, nil
}

// oneWay is counted where it arrives, between two moments while it flows.
func (b *bench) oneWay(ctx context.Context, m *measure, command lab.Command) (sample, error) {
	const margin = 50 * time.Millisecond // for the second count
	command.For = b.opt.warm + b.opt.round + margin
	if err := b.client.Tell(command); err != nil {
		return sample{}, err
	}
	first, last, err := b.counts(ctx)
	sent, heard := b.client.Hear(command.Do)
	if err != nil {
		return sample{}, err
	}
	if heard != nil {
		return sample{}, heard
	}
	took := time.Duration(last.At - first.At).Seconds()
	if m.do == lab.Bulk {
		return sample{Value: float64(last.Bytes-first.Bytes) / took / m.scale}, nil
	}
	s := sample{Value: float64(last.Packets-first.Packets) / took}
	s.Lost = max(0, 1-s.Value/(float64(sent.N)/sent.Took.Seconds()))
	return s, nil
}

func (b *bench) counts(ctx context.Context) (first, last lab.Answer, err error) {
	if err = lab.Wait(ctx, b.opt.warm); err != nil {
		return first, last, err
	}
	if first, err = b.server.Do(lab.Command{Do: lab.Count}); err != nil {
		return first, last, err
	}
	if err = lab.Wait(ctx, b.opt.round); err != nil {
		return first, last, err
	}
	last, err = b.server.Do(lab.Command{Do: lab.Count})
	return first, last, err
}

// iperf measures the direct path with a generator that everybody knows: if it gets
// more through than ours, ours is what is measured.
func (b *bench) iperf(ctx context.Context, m *measure, c *contender) (sample, error) {
	seconds := max(1, int(b.opt.round/time.Second))
	var out []byte
	err := lab.Inside(c.consumer, func() (err error) {
		out, err = exec.CommandContext(ctx, "iperf3", "-c", backendIP, "-p", "5201", "-J", "-t", strconv.Itoa(seconds), "-P", strconv.Itoa(m.conns)).Output()
		return err
	})
	if err != nil {
		return sample{}, fmt.Errorf("iperf3: %w", err)
	}
	var got struct {
		End struct {
			Sum struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return sample{}, fmt.Errorf("iperf3: %w", err)
	}
	const bits = 8
	return sample{Value: got.End.Sum.Bits / bits / m.scale}, nil
}

// memoryRounds is how often memory is measured at most: it varies little, and
// each round starts the contender anew.
const memoryRounds = 3

// memory measures what a connection costs the process on which nothing moves. It
// comes first and on processes that carried nothing yet, because allocators keep
// what they once had.
func (b *bench) memory(ctx context.Context) error {
	for round := range min(b.opt.rounds, memoryRounds) {
		for _, c := range b.contenders {
			if c.process == nil || !c.tcp || !b.opt.only.MatchString(idleMeasure+", "+c.name) {
				continue
			}
			if round == 0 {
				b.say("%s, %s", idleMeasure, c.name)
			}
			r := b.row(idleMeasure, c.name, "bytes")
			s, err := b.idle(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.say("%s, %s: %v", idleMeasure, c.name, err)
				r.Failed = firstLine(err.Error())
				continue
			}
			s.Round = round
			r.Rounds = append(r.Rounds, s)
		}
	}
	return nil
}

func (b *bench) idle(ctx context.Context, c *contender) (s sample, err error) {
	if err := c.restart(ctx); err != nil {
		return s, err
	}
	// One connection first, so that what the first one needs is not counted.
	target := netip.AddrPortFrom(c.target, lab.PortEcho)
	if _, err := b.client.Do(lab.Command{Do: lab.Flows, Namespace: c.consumer, Target: target, Conns: 1, Sources: sources}); err != nil {
		return s, err
	}
	if s.Base, err = b.rest(ctx, c); err != nil {
		return s, err
	}
	if _, err := b.client.Do(lab.Command{Do: lab.Drop}); err != nil {
		return s, err
	}
	if _, err := b.client.Do(lab.Command{Do: lab.Flows, Namespace: c.consumer, Target: target, Conns: b.opt.idle, Sources: sources}); err != nil {
		return s, err
	}
	with, err := b.rest(ctx, c)
	s.Value = (with - s.Base) / float64(b.opt.idle)
	_, dropped := b.client.Do(lab.Command{Do: lab.Drop})
	if err == nil {
		err = dropped
	}
	return s, err
}

func (b *bench) rest(ctx context.Context, c *contender) (float64, error) {
	if err := lab.Wait(ctx, b.opt.settle); err != nil {
		return 0, err
	}
	return c.process.Memory()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

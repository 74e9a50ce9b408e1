package forward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// FlowRecord is one line of the flow log: a flow that has ended or a connection that
// was refused.
type FlowRecord struct {
	// Start is when the client came, End when the flow was over.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Endpoint is the endpoint's id, Protocol "TCP" or "UDP".
	Endpoint string `json:"endpoint_id"`
	Protocol string `json:"protocol"`
	// Client is who came, Address what it connected to. Backend is where it was
	// carried or tried last; it is not valid where it was refused before.
	Client  netip.AddrPort `json:"client"`
	Address netip.AddrPort `json:"address"`
	Backend netip.AddrPort `json:"backend,omitzero"`
	// ToBackend and ToClient are the bytes carried each way.
	ToBackend uint64 `json:"to_backend"`
	ToClient  uint64 `json:"to_client"`
	// Ending is how it ended.
	Ending Ending `json:"ending"`
}

// flowLogQueue is how many records wait for the writer: a second of a busy machine,
// and some megabytes at most. What comes beyond it is dropped and counted, since the
// alternative is that a slow disk holds up the bytes.
const flowLogQueue = 16384

// FlowLog writes flow records as JSON, one object on a line. Its methods are safe for
// concurrent use.
type FlowLog struct {
	log     *slog.Logger
	queue   chan FlowRecord
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
	dropped atomic.Uint64
	err     error // of the writer; read after done
}

// NewFlowLog starts a writer to w. log receives, at warning level, that records were
// dropped or could not be written; nil discards it. Close ends the writer.
func NewFlowLog(w io.Writer, log *slog.Logger) *FlowLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &FlowLog{
		log: log, queue: make(chan FlowRecord, flowLogQueue),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go l.run(w)
	return l
}

// Record queues a record, or drops it when the queue is full. It never blocks.
func (l *FlowLog) Record(r FlowRecord) {
	select {
	case l.queue <- r:
	default:
		l.dropped.Add(1)
	}
}

// Dropped returns how many records were not written so far.
func (l *FlowLog) Dropped() uint64 { return l.dropped.Load() }

// Close writes what is queued and returns when that is done, with the error that the
// writer met first. What is recorded after it is lost.
func (l *FlowLog) Close() error {
	l.once.Do(func() { close(l.quit) })
	<-l.done
	return l.err
}

// run writes until Close.
func (l *FlowLog) run(w io.Writer) {
	defer close(l.done)
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	var told uint64
	for {
		select {
		case r := <-l.queue:
			l.write(enc, r)
			if len(l.queue) > 0 {
				continue // one write of the file for as many as there are
			}
		case <-l.quit:
			for len(l.queue) > 0 {
				l.write(enc, <-l.queue)
			}
			l.note(b.Flush())
			return
		}
		l.note(b.Flush())
		if n := l.dropped.Load(); n != told {
			told = n
			l.log.WarnContext(context.Background(), "flow records dropped", "dropped", n)
		}
	}
}

func (l *FlowLog) write(enc *json.Encoder, r FlowRecord) {
	if err := enc.Encode(r); err != nil {
		l.dropped.Add(1)
		l.note(err)
	}
}

// note keeps and tells the first error. A buffered writer repeats it for ever, so the
// log stays as it is after it: the operator has to start anew.
func (l *FlowLog) note(err error) {
	if err == nil || l.err != nil && errors.Is(err, errors.Unwrap(l.err)) {
		return
	}
	l.err = fmt.Errorf("write the flow log: %w", err)
	l.log.WarnContext(context.Background(), "flow log stopped", "err", l.err)
}

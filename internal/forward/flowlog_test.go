//go:build linux

package forward_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// warnings is a log handler that a test can wait on.
type warnings struct {
	mu   sync.Mutex
	msgs []string
}

func (w *warnings) logger() *slog.Logger { return slog.New(warningHandler{w}) }

type warningHandler struct{ w *warnings }

func (h warningHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h warningHandler) Handle(_ context.Context, r slog.Record) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.msgs = append(h.w.msgs, r.Message)
	return nil
}

func (h warningHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h warningHandler) WithGroup(string) slog.Handler      { return h }

// wait waits for a message.
func (w *warnings) wait(tb testing.TB, msg string) {
	tb.Helper()
	eventually(tb, "log: "+msg, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.msgs, msg)
	})
}

// An operator who asks later what happened has only the flow log: every end must be
// there, once, with who, where, how much and why.
func TestFlowRecords(t *testing.T) {
	var log records
	b := newBackend(t)
	spec := baseSpec(b)
	spec.MaxConns = 2
	f, spec := openWith(t, forward.Options{Loops: 2, FlowLog: log.add}, spec)
	client, server := pair(t, spec, b)
	client.Write([]byte("hello"))
	client.CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	client2, server2 := pair(t, spec, b)
	wantRefused(t, "a third", spec)
	who, who2 := client.LocalAddr().String(), client2.LocalAddr().String()
	client2.SetLinger(0)
	client2.Close()
	wantReset(t, "backend", server2)
	log.endings(t, 2)
	server.Close()
	log.endings(t, 3)
	client3, _ := pair(t, spec, b)
	who3 := client3.LocalAddr().String()
	_, server4 := pair(t, spec, b)
	server4.SetLinger(0)
	server4.Close()
	log.endings(t, 4)
	f.Cut()
	log.endings(t, 5)

	at := b.addr
	rec := func(from string, up uint64, how forward.Ending) forward.FlowRecord {
		r := forward.FlowRecord{
			Endpoint: endpointID, Protocol: "TCP", Address: endpointOf(spec), Backend: at,
			ToBackend: up, ToClient: 1, Ending: how,
		}
		if from != "" {
			r.Client = netip.MustParseAddrPort(from)
		}
		return r
	}
	refused := rec("", 0, forward.RefusedOverLimit)
	refused.Backend, refused.ToClient = netip.AddrPort{}, 0
	want := []forward.FlowRecord{
		refused, rec(who2, 1, forward.ResetByClient), rec(who, 6, forward.Closed), rec("", 1, forward.ResetByBackend), rec(who3, 1, forward.ByCut),
	}
	got := slices.Clone(log.all)
	for i, r := range got {
		if r.Start.After(r.End) || r.End.Sub(r.Start) > patience || time.Since(r.End) > patience {
			t.Errorf("%s: from %v to %v", r.Ending, r.Start, r.End)
		}
		if r.Ending == forward.RefusedOverLimit || r.Ending == forward.ResetByBackend {
			got[i].Client = netip.AddrPort{}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.IgnoreFields(forward.FlowRecord{}, "Start", "End")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// The writer must write what was recorded, one JSON object on a line, and Close must
// not lose the last of them.
func TestFlowLogWrites(t *testing.T) {
	var out bytes.Buffer
	l := forward.NewFlowLog(&out, nil)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l.Record(forward.FlowRecord{
		Start: at, End: at.Add(time.Second), Endpoint: endpointID, Protocol: "TCP",
		Client: netip.MustParseAddrPort("127.0.0.77:51234"), Address: netip.MustParseAddrPort("127.64.1.5:80"),
		Backend: netip.MustParseAddrPort("[fd00::1]:8080"), ToBackend: 1, ToClient: 2, Ending: forward.Closed,
	})
	l.Record(forward.FlowRecord{Start: at, End: at, Protocol: "UDP", Ending: forward.RefusedNoBackend})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := `{"start":"2026-11-20T12:00:00Z","end":"2026-11-20T12:00:01Z","endpoint_id":"` + endpointID + `",` +
		`"protocol":"TCP","client":"127.0.0.77:51234","address":"127.64.1.5:80","backend":"[fd00::1]:8080",` +
		`"to_backend":1,"to_client":2,"ending":"closed"}`
	if len(lines) != 2 || lines[0] != want {
		t.Errorf("got %s\nwant %s and another", lines, want)
	}
	var second map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &second); err != nil || second["backend"] != nil {
		t.Errorf("got %v, %v, want no backend", second, err)
	}
}

// stuck is a disk that takes nothing until it is let go, and then fails.
type stuck struct{ free chan struct{} }

var errDisk = errors.New("disk is full")

func (s stuck) Write([]byte) (int, error) {
	<-s.free
	return 0, errDisk
}

// A slow disk must never hold up the bytes: what does not fit is dropped and counted,
// and a broken disk is an error of Close.
func TestFlowLogNeverBlocks(t *testing.T) {
	var warned warnings
	s := stuck{make(chan struct{})}
	l := forward.NewFlowLog(s, warned.logger())
	for range 100_000 {
		l.Record(forward.FlowRecord{Ending: forward.Closed})
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	close(s.free)
	warned.wait(t, "flow log stopped")
	if err := l.Close(); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
}

package lab_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/bench/lab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == lab.StationArgument {
		if err := lab.Station(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// stations starts a client and a server that serves at an address of its own.
func stations(t *testing.T, addr string) (client, server *lab.Peer, at netip.Addr) {
	t.Helper()
	at = netip.MustParseAddr(addr)
	list := []*lab.Peer{nil, nil}
	for i := range list {
		p, err := lab.Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		list[i] = p
	}
	tell(t, list[1], lab.Command{Do: lab.Listen, Target: netip.AddrPortFrom(at, 1), Stamped: true})
	return list[0], list[1], at
}

func tell(t *testing.T, p *lab.Peer, c lab.Command) lab.Answer {
	t.Helper()
	a, err := p.Do(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A generator that counts what did not happen makes every number of a benchmark
// wrong: each kind of load must tell of work, and both ends of the same.
func TestLoads(t *testing.T) {
	client, server, at := stations(t, "127.94.0.1")
	tests := []struct {
		do   string
		port uint16
	}{
		{lab.Bulk, lab.PortSink},
		{lab.Request, lab.PortEcho},
		{lab.Connect, lab.PortEcho},
		{lab.EchoUDP, lab.PortEchoUDP},
		{lab.SendUDP, lab.PortSinkUDP},
	}
	for _, tt := range tests {
		t.Run(tt.do, func(t *testing.T) {
			before := tell(t, server, lab.Command{Do: lab.Count})
			a := tell(t, client, lab.Command{
				Do: tt.do, Target: netip.AddrPortFrom(at, tt.port), Conns: 2, Size: 64, For: 50 * time.Millisecond,
			})
			after := tell(t, server, lab.Command{Do: lab.Count})
			if a.N == 0 || a.Took < 50*time.Millisecond {
				t.Errorf("the client did %d in %v", a.N, a.Took)
			}
			got := after.Bytes - before.Bytes
			if tt.port == lab.PortEchoUDP || tt.port == lab.PortSinkUDP {
				got = after.Packets - before.Packets
			}
			if got == 0 {
				t.Error("nothing came to the server")
			}
			if want := 64 * a.N; tt.do == lab.Request && got < want {
				t.Errorf("%d requests of 64 bytes, but %d bytes came", a.N, got)
			}
			if tt.do == lab.Connect && (a.Lost > 0 || got < a.N) {
				t.Errorf("%d connections of a byte each and %d failed, but %d bytes came", a.N, a.Lost, got)
			}
		})
	}
}

// What a cut is judged by: resets must not be taken for other ends, nor bytes
// before a moment for bytes after it.
func TestFlowsAreTold(t *testing.T) {
	client, server, at := stations(t, "127.94.0.2")
	open := func() {
		t.Helper()
		tell(t, client, lab.Command{Do: lab.Flows, Target: netip.AddrPortFrom(at, lab.PortEcho), Conns: 10, Active: 2, Size: 64, Stamped: true})
	}
	await := func(p *lab.Peer, after int64) lab.Answer {
		t.Helper()
		return tell(t, p, lab.Command{Do: lab.Await, For: 10 * time.Second, After: after})
	}

	open()
	tell(t, client, lab.Command{Do: lab.Drop}) // by resets
	a := await(server, lab.Now().UnixNano())
	if a.Resets != 10 || a.Ends != 0 || a.Open != 0 {
		t.Errorf("the server saw %d resets and %d other ends, %d are open; want 10 resets", a.Resets, a.Ends, a.Open)
	}
	if a.Late != 0 || a.Last == 0 || a.Last > a.At || a.LastReset < a.Last {
		t.Errorf("late %d, last byte at %d, last reset at %d, asked at %d", a.Late, a.Last, a.LastReset, a.At)
	}

	begin := lab.Now().UnixNano()
	open()
	tell(t, client, lab.Command{Do: lab.Drop})
	if a := await(server, begin); a.Late == 0 {
		t.Error("bytes came after the moment, and none is told of")
	}

	a = tell(t, client, lab.Command{Do: lab.Await})
	if a.Open != 0 {
		t.Errorf("%d connections are open after they were dropped", a.Open)
	}
	open()
	if a := tell(t, client, lab.Command{Do: lab.Await}); a.Open != 10 {
		t.Errorf("%d connections are open, want 10", a.Open)
	}
}

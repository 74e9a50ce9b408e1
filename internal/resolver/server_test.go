package resolver_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// room is a network of its own on the machine's sockets, which counts what is
// held and can refuse UDP.
type room struct {
	netattach.Network
	held   atomic.Int32
	noUDP  bool
	noHold bool
}

func newRoom() *room { return &room{Network: netattach.Host()} }

func (r *room) Hold(context.Context, netip.Addr) (release func(), err error) {
	if r.noHold {
		return nil, errors.New("no interface")
	}
	r.held.Add(1)
	return func() { r.held.Add(-1) }, nil
}

func (r *room) ListenPacket(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	if r.noUDP {
		return nil, &netattach.BindError{Addr: addr, Err: syscall.EADDRINUSE}
	}
	return r.Network.ListenPacket(ctx, addr)
}

// loopback is an address that no other test has: a server needs the same port
// free for TCP and UDP.
func loopback() netip.AddrPort {
	b := func() byte { return byte(1 + rand.IntN(250)) }
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, b(), b(), b()}), 0)
}

func start(t *testing.T, r *resolver.Resolver, network netattach.Network) *resolver.Server {
	t.Helper()
	s, err := r.Start(t.Context(), network, loopback())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func exchange(t *testing.T, protocol string, s *resolver.Server, query *dns.Msg) *dns.Msg {
	t.Helper()
	got, _, err := (&dns.Client{Net: protocol, Timeout: 10 * time.Second}).ExchangeContext(t.Context(), query, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// If this fails, a client of one network learns that a name exists in another, or
// where, or the names of one network overwrite those of another.
func TestNetworksAreIsolated(t *testing.T) {
	r := resolver.New(resolver.Options{})
	red, blue := newRoom(), newRoom()
	set(t, r, red, four, "10.0.0.7")
	set(t, r, blue, four, "10.0.0.9")
	set(t, r, red, "vpcep-red.eu-west-102.sallyport.internal", "10.0.0.8")
	servers := map[string]*resolver.Server{"red": start(t, r, red), "blue": start(t, r, blue)}
	for _, test := range []struct {
		network, name string
		want          []string
	}{
		{"red", four, []string{"NOERROR aa", "answer " + four + ". 30 IN A 10.0.0.7"}},
		{"blue", four, []string{"NOERROR aa", "answer " + four + ". 30 IN A 10.0.0.9"}},
		{"red", "vpcep-red.eu-west-102.sallyport.internal", []string{"NOERROR aa", "answer vpcep-red.eu-west-102.sallyport.internal. 30 IN A 10.0.0.8"}},
		{"blue", "vpcep-red.eu-west-102.sallyport.internal", []string{"NXDOMAIN aa", denial}},
		{"blue", "eu-west-102.sallyport.internal", []string{"NXDOMAIN aa", denial}},
		{"blue", "vpcep-none.eu-west-102.sallyport.internal", []string{"NXDOMAIN aa", denial}},
	} {
		for _, protocol := range []string{"udp", "tcp"} {
			got := exchange(t, protocol, servers[test.network], question(test.name, dns.TypeA))
			if diff := cmp.Diff(test.want, summary(got)); diff != "" {
				t.Errorf("%s asked in %s over %s (-want +got):\n%s", test.name, test.network, protocol, diff)
			}
		}
	}
	r.Remove(red, four)
	for network, want := range map[string]string{"red": "NXDOMAIN aa", "blue": "NOERROR aa"} {
		if got := summary(exchange(t, "udp", servers[network], question(four, dns.TypeA)))[0]; got != want {
			t.Errorf("%s asked in %s after red removed it: %s, want %s", four, network, got, want)
		}
	}
}

// If this fails, an address stays in the network after its server has gone, or an
// agent cannot start a server again where one was.
func TestStartAndClose(t *testing.T) {
	r, network := resolver.New(resolver.Options{}), newRoom()
	first := start(t, r, network)
	if got := network.held.Load(); got != 1 {
		t.Errorf("%d addresses held while serving, want 1", got)
	}
	_, err := r.Start(t.Context(), network, first.Addr())
	if bind, ok := errors.AsType[*netattach.BindError](err); !ok || bind.Addr != first.Addr() {
		t.Errorf("a second server on one address: %v, want a bind error", err)
	}
	first.Close()
	first.Close()
	if got := network.held.Load(); got != 0 {
		t.Errorf("%d addresses held after the close, want 0", got)
	}
	again, err := r.Start(t.Context(), network, first.Addr())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// If this fails, a server that cannot serve stands half, or keeps what it took.
func TestStartRefuses(t *testing.T) {
	for _, test := range []struct {
		about, suffix string
		addr          netip.AddrPort
		network       *room
	}{
		{"no address", "", netip.AddrPort{}, newRoom()},
		{"every address", "", netip.MustParseAddrPort("0.0.0.0:0"), newRoom()},
		{"every IPv6 address", "", netip.MustParseAddrPort("[::]:0"), newRoom()},
		{"the root as suffix", ".", loopback(), newRoom()},
		{"an empty label in the suffix", "a..b", loopback(), newRoom()},
		{"UDP in use", "", loopback(), &room{Network: netattach.Host(), noUDP: true}},
		{"an address that cannot be held", "", loopback(), &room{Network: netattach.Host(), noHold: true}},
	} {
		t.Run(test.about, func(t *testing.T) {
			s, err := resolver.New(resolver.Options{Suffix: test.suffix}).Start(t.Context(), test.network, test.addr)
			if err == nil {
				s.Close()
				t.Fatal("the server started")
			}
			if got := test.network.held.Load(); got != 0 {
				t.Errorf("%d addresses stay held", got)
			}
		})
	}
}

// If this fails, the end of the context of a start ends the server with it: an
// agent's start has a deadline, its server has none.
func TestServesAfterStartsContext(t *testing.T) {
	r := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := r.Start(ctx, netattach.Host(), loopback())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	if got := exchange(t, "udp", s, question(four, dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("answer %v", got)
	}
}

// dial opens a TCP connection on which everything has a generous deadline.
func dial(t *testing.T, s *resolver.Server) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// frame is a message as it goes over TCP.
func frame(t *testing.T, query *dns.Msg) []byte {
	t.Helper()
	raw, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
}

// If this fails, a client that sends several questions in one go, or one byte by
// byte, loses answers.
func TestPipelinedAndSplitQueries(t *testing.T) {
	s := start(t, sample(t), netattach.Host())
	conn := &dns.Conn{Conn: dial(t, s)}
	var sent []byte
	for id := range uint16(300) {
		query := question(four, dns.TypeA)
		query.Id = id
		sent = append(sent, frame(t, query)...)
	}
	for _, b := range sent[:60] {
		if _, err := conn.Conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Conn.Write(sent[60:]); err != nil {
		t.Fatal(err)
	}
	for id := range uint16(300) {
		got, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if got.Id != id || len(got.Answer) != 1 {
			t.Fatalf("answer %d is %v", id, got)
		}
	}
}

// If this fails, a client holds a connection for longer than it has a use for it,
// or makes the server read as much as it likes.
func TestTCPEnds(t *testing.T) {
	r := sample(t)
	r.SetIdle(50 * time.Millisecond)
	s := start(t, r, netattach.Host())
	for _, test := range []struct {
		about string
		sends []byte
	}{
		{"silence", nil},
		{"half a length", []byte{0}},
		{"half a query", frame(t, question(four, dns.TypeA))[:20]},
		{"a message without a header", []byte{0, 3, 1, 2, 3}},
		{"an announced 64 KiB", []byte{0xff, 0xff, 1, 2, 3}},
	} {
		t.Run(test.about, func(t *testing.T) {
			conn := dial(t, s)
			if _, err := conn.Write(test.sends); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if errors.Is(err, syscall.ECONNRESET) {
				err = nil // bytes were left unread
			}
			if err != nil || len(got) != 0 {
				t.Errorf("read %x and %v, want the end", got, err)
			}
		})
	}
}

// If this fails, clients can take every descriptor of the process, and with them
// the flows of endpoints.
func TestTCPConnectionsAreBounded(t *testing.T) {
	r := sample(t)
	r.SetIdle(time.Hour)
	s := start(t, r, netattach.Host())
	held := make([]*dns.Conn, resolver.MaxConns)
	query := question(four, dns.TypeA)
	for i := range held {
		held[i] = &dns.Conn{Conn: dial(t, s)}
		if err := held[i].WriteMsg(query); err != nil { // its answer says that it was let in
			t.Fatal(err)
		}
		if _, err := held[i].ReadMsg(); err != nil {
			t.Fatalf("connection %d of %d: %v", i, len(held), err)
		}
	}
	if _, err := dial(t, s).Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection more: %v, want its end", err)
	}
	if got := exchange(t, "udp", s, query); len(got.Answer) != 1 {
		t.Errorf("over UDP meanwhile: %v", got)
	}
	_ = held[0].Close()
	for t.Context().Err() == nil { // until the server has noticed
		conn := &dns.Conn{Conn: dial(t, s)}
		if conn.WriteMsg(query) == nil {
			if _, err := conn.ReadMsg(); err == nil {
				return
			}
		}
	}
}

// If this fails, a client that is silent or never reads holds up the stop of the
// agent, or one that asks while it stops crashes it.
func TestCloseUnderLoad(t *testing.T) {
	r := sample(t)
	r.SetIdle(time.Hour) // only the close ends a silent connection
	s := start(t, r, netattach.Host())
	var clients sync.WaitGroup
	stop, asked := make(chan struct{}), make(chan struct{}, 1)
	query := question(four, dns.TypeA)
	for i := range 8 {
		protocol := []string{"udp", "tcp"}[i%2]
		clients.Go(func() {
			client := &dns.Client{Net: protocol, Timeout: 100 * time.Millisecond}
			for {
				if _, _, err := client.Exchange(query, s.Addr().String()); err == nil {
					select {
					case asked <- struct{}{}:
					default:
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	clients.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("n%d.sallyport.internal", i%10)
			_ = r.Set(netattach.Host(), name, netip.MustParseAddr("10.0.0.1"))
			r.Remove(netattach.Host(), name)
		}
	})
	silent := &dns.Conn{Conn: dial(t, s)}
	if err := silent.WriteMsg(query); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	deaf := dial(t, s)
	sent := frame(t, query)
	clients.Go(func() { // writes until the server's answers find no room any more
		for {
			if _, err := deaf.Write(sent); err != nil {
				return
			}
		}
	})
	for range 200 {
		<-asked
	}
	s.Close()
	close(stop)
	clients.Wait()
	if _, err := net.DialTimeout("tcp", s.Addr().String(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the close: %v, want a refusal", err)
	}
}

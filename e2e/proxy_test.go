package e2e_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// A backend that reads the PROXY protocol learns who connects. If this fails, it
// takes one consumer for another, or reads the header as data.
func TestProxyProtocolTellsWhoConnects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	back := newBackend(t)
	s := forwarding(clientPort, back.port)
	s.Proxy = "proxy_open"
	id := provider.createService(s)
	provider.allow(id, consumerDomain)
	for n := range byte(3) {
		e := to(id)
		e.PortIP = w.address(20 + n)
		e = consumer.createEndpoint(e)
		provider.accept(id, e.ID)
		client, server := back.connect(t, at(w.address(20+n)))
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = server.SetDeadline(time.Now().Add(patience))
		r := bufio.NewReader(server)
		h, err := proxyproto.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := h.SourceAddr.String(), client.LocalAddr().String(); got != want {
			t.Errorf("source %s, want %s", got, want)
		}
		if got, want := h.DestinationAddr.String(), at(w.address(20+n)); got != want {
			t.Errorf("destination %s, want %s", got, want)
		}
		tlvs, err := h.TLVs()
		if err != nil {
			t.Fatal(err)
		}
		told := map[proxyproto.PP2Type][]byte{}
		for _, v := range tlvs {
			told[v.Type] = v.Value
		}
		if got := string(told[forward.TLVEndpointID]); got != e.ID {
			t.Errorf("endpoint %q, want %q", got, e.ID)
		}
		if got := told[forward.TLVMarker]; len(got) != 4 || int32(binary.BigEndian.Uint32(got)) != e.Marker {
			t.Errorf("marker % x, want %d", got, e.Marker)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "hello" {
			t.Errorf("after the header %q, %v", got, err)
		}
	}
}

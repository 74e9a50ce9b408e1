//go:build linux

package forward_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxyproto "github.com/pires/go-proxyproto"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// A backend that asks for identity must get it before the first byte, and even from
// a client that says nothing; the client's bytes follow untouched.
func TestProxyHeaderOnTheWire(t *testing.T) {
	b := newBackend(t)
	spec := baseSpec(b)
	spec.Proxy = forward.ProxyV2
	f, spec := open(t, spec)
	client := connect(t, spec)
	server := b.next(t)
	r := bufio.NewReader(server)
	h, err := proxyproto.Read(r)
	if err != nil {
		t.Fatal(err)
	}

	client.Write([]byte("hello"))
	client.CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("after the header: got %q, %v", got, err)
	}
	server.Close()

	if got, want := h.SourceAddr.String(), client.LocalAddr().String(); got != want {
		t.Errorf("source: got %s, want the client %s", got, want)
	}
	if got, want := h.DestinationAddr.String(), net.TCPAddrFromAddrPort(endpointOf(spec)).String(); got != want {
		t.Errorf("destination: got %s, want the endpoint %s", got, want)
	}
	got, err := h.TLVs()
	want := []proxyproto.TLV{
		{Type: forward.TLVEndpointID, Value: []byte(spec.EndpointID)},
		{Type: forward.TLVMarker, Value: binary.BigEndian.AppendUint32(nil, uint32(spec.Marker))},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("TLVs: got %v, %v, want %v", got, err, want)
	}
	eventually(t, "the flow leaves the table", func() bool { return f.Stats().Flows == 0 })
	if got := f.Stats().BytesToBackend; got != 5 {
		t.Errorf("counted %d bytes, want the client's 5", got)
	}
}

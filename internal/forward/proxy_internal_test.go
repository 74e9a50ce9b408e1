package forward

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxyproto "github.com/pires/go-proxyproto"
)

// published returns the bytes of a fenced block of the document.
func published(t *testing.T, fence string) []byte {
	t.Helper()
	doc, err := os.ReadFile("../../docs/proxy-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```" + fence + "\n(.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("the document has no example")
	}
	var b []byte
	for line := range strings.Lines(string(block[1])) {
		digits, _, _ := strings.Cut(line, "#")
		more, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		b = append(b, more...)
	}
	return b
}

// The published format is a promise to programs we do not know: the bytes of the
// worked examples in the document must be the bytes that we send.
func TestProxyHeaderIsAsPublished(t *testing.T) {
	spec := &Spec{
		EndpointID: "5b1f0c1e-6d2a-4c55-9a53-0d9b8a1f7c20",
		Marker:     16777341,
		Address:    netip.MustParseAddr("127.64.1.5"),
		Proxy:      ProxyV2,
	}
	got := appendProxyHeader(nil, netip.MustParseAddrPort("127.0.0.77:51234"), netip.AddrPortFrom(spec.Address, 80), proxyTail(spec))
	if want := published(t, "hex"); !bytes.Equal(got, want) {
		t.Errorf("got:\n%swant:\n%s", hex.Dump(got), hex.Dump(want))
	}
	spec.TLVs = []string{"aws", "azure", "gcp"}
	if got, want := proxyTail(spec), published(t, "tlvs"); !bytes.Equal(got, want) {
		t.Errorf("got:\n%swant:\n%s", hex.Dump(got), hex.Dump(want))
	}
}

// What we write must be what a reader of the standard makes of it, whatever the
// family and however large the id and the marker.
func TestProxyHeaderIsReadable(t *testing.T) {
	tests := []struct {
		source, dest string
		id           string
		marker       int32
		wantMarker   []byte
	}{
		{"127.0.0.77:51234", "127.64.1.5:80", "a", 0, []byte{0, 0, 0, 0}},
		{"[fd00::7]:1", "[fd00::1]:65535", strings.Repeat("x", maxEndpointID), 1<<31 - 1, []byte{0x7f, 0xff, 0xff, 0xff}},
		{"[fe80::7%lo]:1", "[fd00::1]:443", "b", -1, []byte{0xff, 0xff, 0xff, 0xff}},
	}
	for _, tt := range tests {
		source, dest := netip.MustParseAddrPort(tt.source), netip.MustParseAddrPort(tt.dest)
		spec := &Spec{EndpointID: tt.id, Marker: tt.marker, Address: dest.Addr(), Proxy: ProxyV2}
		header := appendProxyHeader(nil, source, dest, proxyTail(spec))
		h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := h.TCPAddrs()
		if !ok {
			t.Fatalf("%s: header of %v", tt.source, h.TransportProtocol)
		}
		wantSource := netip.AddrPortFrom(source.Addr().WithZone(""), source.Port())
		if got := from.AddrPort(); netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != wantSource {
			t.Errorf("source: got %v, want %v", got, wantSource)
		}
		if got := to.AddrPort(); netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != dest {
			t.Errorf("destination: got %v, want %v", got, dest)
		}
		got, err := h.TLVs()
		want := []proxyproto.TLV{{Type: TLVEndpointID, Value: []byte(tt.id)}, {Type: TLVMarker, Value: tt.wantMarker}}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

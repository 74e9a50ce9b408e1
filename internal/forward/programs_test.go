//go:build linux

package forward_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxyproto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"github.com/sallyport-net/sallyport/internal/forward"
)

// Programs that were written for the clouds look for their fields. Each name must give
// what such a program expects, and one name must not bring another's fields along.
func TestVendorTLVs(t *testing.T) {
	const network = "5b2c1d00-0000-4000-8000-000000000001"
	b := newBackend(t)
	read := func(t *testing.T, names []string, network string) []proxyproto.TLV {
		t.Helper()
		spec := baseSpec(b)
		spec.Proxy, spec.TLVs, spec.NetworkID = forward.ProxyV2, names, network
		_, spec = open(t, spec)
		connect(t, spec)
		h, err := proxyproto.Read(bufio.NewReader(b.next(t)))
		if err != nil {
			t.Fatal(err)
		}
		all, err := h.TLVs()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := tlvparse.FindAWSVPCEndpointID(read(t, []string{"aws"}, "")); got != endpointID {
		t.Errorf("aws: got %q, want %q", got, endpointID)
	}
	if got, ok := tlvparse.FindAzurePrivateEndpointLinkID(read(t, []string{"azure"}, "")); !ok || got != 16777341 {
		t.Errorf("azure: got %d, %v, want the marker", got, ok)
	}
	if got, ok := tlvparse.ExtractPSCConnectionID(read(t, []string{"gcp"}, "")); !ok || got != 16777341 {
		t.Errorf("gcp: got %d, %v, want the marker", got, ok)
	}
	got := read(t, []string{"unique_id", "authority"}, network)
	want := []proxyproto.TLV{
		{Type: proxyproto.PP2_TYPE_UNIQUE_ID, Value: []byte(endpointID)},
		{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("vpcep-" + endpointID)},
		{Type: forward.TLVNetworkID, Value: []byte(network)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// program starts an installed program with a configuration and stops it when the test
// ends. It returns once the program takes connections at addr.
func program(t *testing.T, addr netip.AddrPort, name, config string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name, " is not installed")
	}
	file := filepath.Join(t.TempDir(), name+".cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), path, append(args, file)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	eventually(t, name+" takes connections", func() bool {
		c, err := net.Dial("tcp", addr.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// freePort is a port of the address where nobody listens.
func freePort(tb testing.TB, addr netip.Addr) netip.AddrPort {
	tb.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// fetch asks the endpoint with HTTP and returns the header and the body of the answer,
// and the client's own address.
func fetch(t *testing.T, spec forward.Spec) (head http.Header, body, from string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := dialFrom(netip.MustParseAddr("127.0.0.77"), endpointOf(spec))
		if err == nil {
			from = c.LocalAddr().String()
		}
		return c, err
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://endpoint.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header, string(b), from
}

// HAProxy is what many put in front of their service. It must take our header and find
// the endpoint in it.
func TestHAProxyReadsTheHeader(t *testing.T) {
	at := freePort(t, randomAddr())
	program(t, at, "haproxy", fmt.Sprintf(`
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend behind_endpoint
  bind %s accept-proxy
  http-request return status 200 hdr X-Endpoint-Id %%[fc_pp_unique_id] hdr X-Authority %%[fc_pp_authority] hdr X-From %%[src]:%%[src_port] hdr X-To %%[dst]:%%[dst_port]
`, at), "-db", "-f")
	spec := baseSpec(&backend{addr: at})
	spec.Proxy, spec.TLVs = forward.ProxyV2, []string{"unique_id", "authority", "sallyport", "aws", "azure", "gcp"}
	_, spec = open(t, spec)
	head, _, from := fetch(t, spec)
	for name, want := range map[string]string{
		"X-Endpoint-Id": endpointID, "X-Authority": "vpcep-" + endpointID, "X-From": from, "X-To": endpointOf(spec).String(),
	} {
		if got := head.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// nginx must take our header too, and where it is new enough find the fields.
func TestNginxReadsTheHeader(t *testing.T) {
	const fieldsSince = "1.23.2"
	at := freePort(t, randomAddr())
	dir := t.TempDir()
	version, err := exec.Command("nginx", "-v").CombinedOutput()
	if err != nil {
		t.Skip("nginx is not installed")
	}
	fields, want := "", ""
	if _, v, _ := strings.Cut(string(version), "nginx/"); newer(strings.TrimSpace(v), fieldsSince) {
		fields, want = " $proxy_protocol_tlv_0xe5", " "+endpointID
	}
	program(t, at, "nginx", fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server {
    listen %[2]s proxy_protocol;
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port%[3]s"; }
  }
}
`, dir, at, fields), "-e", filepath.Join(dir, "early.log"), "-c")
	spec := baseSpec(&backend{addr: at})
	spec.Proxy = forward.ProxyV2
	_, spec = open(t, spec)
	_, body, from := fetch(t, spec)
	if want := from + " " + endpointOf(spec).String() + want; body != want {
		t.Errorf("got %q, want %q", body, want)
	}
}

// newer reports whether a version is at least another, both of three numbers.
func newer(v, than string) bool {
	var a, b [3]int
	fmt.Sscanf(v, "%d.%d.%d", &a[0], &a[1], &a[2])
	fmt.Sscanf(than, "%d.%d.%d", &b[0], &b[1], &b[2])
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return true
}

package nft_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/internal/nft"
)

func setMark(t *testing.T, c syscall.Conn, mark uint32) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}), err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The user-space engine's sockets are silenced at once, and may still reset: a byte
// that the process had handed to the kernel before the cut would arrive after it.
func TestGuard(t *testing.T) {
	for name, marked := range map[string]bool{"by port": false, "by mark": true} {
		t.Run(name, func(t *testing.T) {
			c, p := newNetwork(t), newNetwork(t)
			hold(t, c, endpoint4)
			k := kernel(t)
			gs := nft.GuardSpec{Listen: c.NetNS, Dial: p.NetNS, Address: endpoint4}
			if !marked {
				gs.Ports = []nft.PortProto{{Port: 80}}
			}
			guard := func() *nft.Guard {
				g, err := k.Guard(t.Context(), gs)
				if err != nil {
					t.Fatal(err)
				}
				return g
			}
			g, neighbour := guard(), guard()
			if g.Mark() == 0 || g.Mark() == neighbour.Mark() {
				t.Fatalf("marks are %#x and %#x", g.Mark(), neighbour.Mark())
			}
			in, other, back := serve(t, c.NetNS, endpoint4, 80), serve(t, c.NetNS, endpoint4, 81), serve(t, p.behind, second4, 8080)
			if marked { // what a listener accepts inherits its mark
				setMark(t, in, g.Mark())
				setMark(t, other, neighbour.Mark())
			}
			front := connect(t, c.behind, at(endpoint4, 80), in)
			beside := connect(t, c.behind, at(endpoint4, 81), other)
			var out, outBeside conn
			for _, f := range []*conn{&out, &outBeside} {
				*f = connect(t, p.NetNS, at(second4, 8080), back)
			}
			setMark(t, out.client, g.Mark())
			setMark(t, outBeside.client, neighbour.Mark())
			front.talk(t)
			out.talk(t)

			if err := g.Shut(t.Context()); err != nil {
				t.Fatal(err)
			}
			for what, ends := range map[string][2]*net.TCPConn{
				"to the client": {front.backend, front.client}, "to the backend": {out.client, out.backend},
			} {
				if _, err := ends[0].Write([]byte("late")); err != nil {
					t.Fatal(err)
				}
				_ = ends[1].SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				if n, err := ends[1].Read(make([]byte, 9)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: got %d bytes, %v after the guard was shut", what, n, err)
				}
			}
			beside.talk(t)
			outBeside.talk(t)
			for _, c := range []*net.TCPConn{front.backend, out.client} {
				_ = c.SetLinger(0)
				c.Close()
			}
			for what, c := range map[string]*net.TCPConn{"client": front.client, "backend": out.backend} {
				_ = c.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s: got %v, want a reset", what, err)
				}
			}
			if err := g.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			connect(t, c.behind, at(endpoint4, 80), in)
		})
	}
}

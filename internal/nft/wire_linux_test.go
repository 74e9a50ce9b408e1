package nft

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What is written must be what is read: a process that adopts compares the two, and
// would cut flows over a difference that is none.
func TestElementsRoundTrip(t *testing.T) {
	want := []counted{
		{element: element{set: "open4", key: "abcd", comment: "7 ep-1"}},
		{element: element{set: "open4", key: "abce", limited: true, cap: 3000}},
		{element: element{set: "open4", key: "abcf", end: "abcg", value: "x234"}},
		{element: element{set: "open4", key: "abch", jump: "turns4_3"}},
	}
	var list []element
	for _, el := range want {
		list = append(list, el.element)
	}
	e := encoder{seq: 1}
	writeElements(&e, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_ACK, list)
	got, err := parseElements(e.b[unix.NLMSG_HDRLEN:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(counted{}, element{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTupleRoundTrip(t *testing.T) {
	for _, want := range []flow{
		{proto: 6, orig: tuple{netip.MustParseAddrPort("10.0.0.1:2"), netip.MustParseAddrPort("10.0.0.3:4")}},
		{proto: 17, orig: tuple{netip.MustParseAddrPort("[fd00::1]:2"), netip.MustParseAddrPort("[fd00::3]:4")}},
	} {
		var e encoder
		e.message(0, 0, 0, 0)
		writeTuple(&e, want.proto, want.orig)
		var got flow
		if err := got.parse(e.b[unix.NLMSG_HDRLEN:]); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// The answers come from the kernel, but its versions differ: what is odd must be an
// error or nothing, never a crash of the process that holds every gate.
func FuzzAnswers(f *testing.F) {
	var e encoder
	writeElements(&e, unix.NFT_MSG_NEWSETELEM, 0, []element{{set: "s", key: "k", end: "e", comment: "c", limited: true}})
	f.Add(e.b)
	e = encoder{}
	e.message(ctMsgGet, 0, 0, 0)
	writeTuple(&e, 6, tuple{netip.MustParseAddrPort("[fd00::1]:2"), netip.MustParseAddrPort("[fd00::3]:4")})
	e.done()
	f.Add(e.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := parseElements(b)
		for _, el := range got {
			if el.set != "" {
				_, _, _ = keyAddr(el.element), keyPort(el.element), valueTarget(el.element)
			}
		}
		var fl flow
		_ = fl.parse(b)
		_ = fl.of(providerSide, netip.Addr{})
		s := &socket{}
		_, _ = s.read(b, 1, 2, func(_ uint16, body []byte) error {
			_, err := parseElements(body)
			return err
		})
	})
}

// A failed transaction that were taken for a done one would be a cut that is none.
func TestReadTellsErrors(t *testing.T) {
	answer := func(seq uint32, code int32) []byte {
		e := encoder{seq: seq}
		e.message(unix.NLMSG_ERROR, 0, 0, 0)
		e.b = append(e.b[:unix.NLMSG_HDRLEN], native(uint32(-code))...)
		e.done()
		return e.b
	}
	for _, tt := range []struct {
		name    string
		answers [][]byte
		end     bool
		err     error
	}{
		{"all well", [][]byte{answer(6, 0), answer(7, 0)}, true, nil},
		{"not yet", [][]byte{answer(6, 0)}, false, nil},
		{"one fails", [][]byte{answer(6, int32(unix.ENOENT)), answer(7, 0)}, true, unix.ENOENT},
		{"the last fails", [][]byte{answer(6, 0), answer(7, int32(unix.EEXIST))}, true, unix.EEXIST},
		{"the batch fails", [][]byte{answer(5, int32(unix.EPERM))}, true, unix.EPERM},
		{"an earlier one's", [][]byte{answer(4, int32(unix.EPERM)), answer(7, 0)}, true, nil},
	} {
		s := &socket{}
		end, err := s.read(bytes.Join(tt.answers, nil), 5, 7, nil)
		if end != tt.end || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, end, err, tt.end, tt.err)
		}
	}
}

// A set of ranges refuses ranges that overlap, so a whitelist as users write it must
// come down to ranges that do not.
func TestDisjoint(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	got := disjoint(prefixes("10.1.0.0/16", "10.0.0.0/8", "fd00::1/128", "10.9.9.9/32", "0.0.0.0/32", "fd00::/64", "10.0.0.0/8",
		"::ffff:192.0.2.0/120", "11.0.0.5/24"))
	want := prefixes("0.0.0.0/32", "10.0.0.0/8", "11.0.0.0/24", "192.0.2.0/24", "fd00::/64")
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for p, want := range map[string]string{"10.0.0.0/8": "10.255.255.255", "10.0.0.4/31": "10.0.0.5", "fd00::/126": "fd00::3", "0.0.0.0/0": "255.255.255.255"} {
		if got := lastOf(netip.MustParsePrefix(p)); got.String() != want {
			t.Errorf("last of %s: got %s, want %s", p, got, want)
		}
	}
}

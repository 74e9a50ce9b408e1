package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The netlink messages of set elements and of connection tracking are written
// here by hand: the library cannot give an element a connection limit or ask for
// it back with its counters, and the cut shall be one prepared write.

const (
	// answerTimeout bounds the wait for the kernel. Transactions take microseconds
	// to milliseconds; one that waits behind a batch of many elements still answers
	// well within a second.
	answerTimeout = 5 * time.Second
	// receiveBuffer holds one datagram; the kernel fills at most 32 KiB of one when
	// it dumps.
	receiveBuffer = 64 << 10
	// socketBuffer holds the largest transaction, 4,096 elements of backends with
	// 130 bytes each, several times over.
	socketBuffer = 2 << 20
)

// errShort says that the kernel's answer ends within an attribute.
var errShort = errors.New("netlink message is cut short")

// encoder builds messages and nested attributes in one buffer.
type encoder struct {
	b    []byte
	seq  uint32 // of the next message
	last uint32 // of the last message that the kernel answers to
	at   int    // where the message begun last starts
}

// message begins one of a netfilter subsystem: its type, flags, address family and
// resource id (for batches). done must follow.
func (e *encoder) message(typ, flags uint16, family uint8, resource uint16) {
	e.at = len(e.b)
	if flags&(unix.NLM_F_ACK|unix.NLM_F_DUMP) != 0 {
		e.last = e.seq
	}
	e.b = binary.NativeEndian.AppendUint32(e.b, 0)
	e.b = binary.NativeEndian.AppendUint16(e.b, typ)
	e.b = binary.NativeEndian.AppendUint16(e.b, flags|unix.NLM_F_REQUEST)
	e.b = binary.NativeEndian.AppendUint32(e.b, e.seq)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0)
	e.b = append(e.b, family, 0 /* NFNETLINK_V0 */)
	e.b = binary.BigEndian.AppendUint16(e.b, resource)
	e.seq++
}

func (e *encoder) done() {
	binary.NativeEndian.PutUint32(e.b[e.at:], uint32(len(e.b)-e.at))
}

// nest begins a nested attribute, which end closes.
func (e *encoder) nest(typ uint16) (start int) {
	start = len(e.b)
	e.b = binary.NativeEndian.AppendUint16(e.b, 0)
	e.b = binary.NativeEndian.AppendUint16(e.b, typ|unix.NLA_F_NESTED)
	return start
}

func (e *encoder) end(start int) {
	binary.NativeEndian.PutUint16(e.b[start:], uint16(len(e.b)-start))
}

func (e *encoder) attr(typ uint16, data []byte) {
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(unix.NLA_HDRLEN+len(data)))
	e.b = binary.NativeEndian.AppendUint16(e.b, typ)
	e.b = append(e.b, data...)
	for len(e.b)%unix.NLA_ALIGNTO != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) text(typ uint16, s string) { e.attr(typ, append([]byte(s), 0)) }

func (e *encoder) uint32(typ uint16, v uint32) {
	e.attr(typ, binary.BigEndian.AppendUint32(nil, v))
}

// attributes calls fn for each attribute, with the type's flags taken off.
func attributes(b []byte, fn func(typ uint16, data []byte) error) error {
	for len(b) > 0 {
		if len(b) < unix.NLA_HDRLEN {
			return errShort
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.NLA_HDRLEN || n > len(b) {
			return errShort
		}
		typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := fn(typ, b[unix.NLA_HDRLEN:n]); err != nil {
			return err
		}
		b = b[min((n+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	return nil
}

// socket is a netlink socket of NETLINK_NETFILTER inside one namespace. One
// exchange is made at a time.
type socket struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// openSocket must be called inside the namespace.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
	)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("prepare netfilter netlink socket: %w", err)
	}
	return &socket{fd: fd, seq: 1, buf: make([]byte, receiveBuffer)}, nil
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// exchange sends what build writes, where a message must ask for an
// acknowledgement or be a dump, and calls each for the messages in answer. It
// returns the first error that the kernel gave for any of the messages.
func (s *socket) exchange(build func(*encoder), each func(typ uint16, body []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return ErrClosed
	}
	e := encoder{seq: s.seq}
	build(&e)
	first, last := s.seq, e.last
	s.seq = e.seq
	if err := unix.Sendto(s.fd, e.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to netfilter: %w", err)
	}
	var result error
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for netfilter: %w", err)
		}
		end, err := s.read(s.buf[:n], first, last, each)
		if result == nil {
			result = err
		}
		if end {
			return result
		}
	}
}

// read takes one datagram apart; end says that nothing more is to come.
func (s *socket) read(b []byte, first, last uint32, each func(uint16, []byte) error) (end bool, err error) {
	fail := func(e error) {
		if err == nil {
			err = e
		}
	}
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return true, errShort
		}
		typ, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		seq, body := binary.NativeEndian.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:n]
		b = b[min((n+3)&^3, len(b)):]
		if seq-first > last-first && (seq != 0 || typ < unix.NLMSG_MIN_TYPE) {
			// A late answer to an earlier exchange. Number 0 have the elements that a
			// transaction echoes.
			continue
		}
		if flags&unix.NLM_F_DUMP_INTR != 0 {
			fail(unix.EINTR)
		}
		switch typ {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			if code := errno(body); code != 0 {
				fail(code)
				// An error of the batch as a whole carries the number of its first
				// message, and nothing need follow.
				end = end || (seq == first && typ == unix.NLMSG_ERROR)
			}
			end = end || seq == last
		case unix.NLMSG_NOOP:
		default:
			if each != nil {
				if e := each(typ, body); e != nil {
					fail(e)
				}
			}
		}
	}
	return end, err
}

// errno reads the error of an answer, which the kernel writes negated.
func errno(body []byte) unix.Errno {
	if len(body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
}

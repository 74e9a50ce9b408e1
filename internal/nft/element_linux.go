package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// element is one element of one of our sets or maps: all that an endpoint has in
// a table.
type element struct {
	set      string
	key, end string // bytes as the kernel compares them; end of a range or ""
	value    string // what a map gives, or ""
	jump     string // the chain that a verdict map goes to, or ""
	cap      uint32 // with limited: how many flows may be counted
	limited  bool
	comment  string
}

// id tells elements of a namespace apart.
func (e element) id() string { return e.set + "\x00" + e.key }

// counted is an element with what its counter says.
type counted struct {
	element
	packets, bytes uint64
}

// maxPerMessage keeps a list of elements, at most 300 bytes each, within the 64
// KiB that the length of a netlink attribute can say.
const maxPerMessage = 150

// maxRetries bounds how often a dump that a transaction disturbed is begun again.
const maxRetries = 10

// The attributes of nf_tables.h that golang.org/x/sys/unix does not name.
const (
	attrElemKeyEnd = 10
	verdictGoto    = 0xffff_fffc // NFT_GOTO, -4
	sizeofNfgenmsg = 4           // the header that precedes the attributes
	nftMsgOffset   = unix.NFNL_SUBSYS_NFTABLES << 8
)

// writeElements writes a message per set that adds or deletes elements of it. The
// elements must be sorted by set.
func writeElements(e *encoder, typ, flags uint16, elems []element) {
	for len(elems) > 0 {
		n := 1
		for n < len(elems) && n < maxPerMessage && elems[n].set == elems[0].set {
			n++
		}
		e.message(nftMsgOffset|typ, flags, unix.NFPROTO_INET, 0)
		e.text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		e.text(unix.NFTA_SET_ELEM_LIST_SET, elems[0].set)
		list := e.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for i := range elems[:n] {
			writeElement(e, &elems[i], typ == unix.NFT_MSG_NEWSETELEM)
		}
		e.end(list)
		e.done()
		elems = elems[n:]
	}
}

func writeElement(e *encoder, el *element, whole bool) {
	item := e.nest(unix.NFTA_LIST_ELEM)
	defer func() { e.end(item) }()
	data := func(typ uint16, v string) {
		at := e.nest(typ)
		e.attr(unix.NFTA_DATA_VALUE, []byte(v))
		e.end(at)
	}
	data(unix.NFTA_SET_ELEM_KEY, el.key)
	if el.end != "" {
		data(attrElemKeyEnd, el.end)
	}
	if !whole {
		return
	}
	switch {
	case el.jump != "":
		at := e.nest(unix.NFTA_SET_ELEM_DATA)
		verdict := e.nest(unix.NFTA_DATA_VERDICT)
		e.uint32(unix.NFTA_VERDICT_CODE, verdictGoto)
		e.text(unix.NFTA_VERDICT_CHAIN, el.jump)
		e.end(verdict)
		e.end(at)
	case el.value != "":
		data(unix.NFTA_SET_ELEM_DATA, el.value)
	}
	if el.comment != "" {
		// libnftnl's user data: type 0, length with the final zero, text.
		e.attr(unix.NFTA_SET_ELEM_USERDATA,
			append(append([]byte{0, byte(len(el.comment) + 1)}, el.comment...), 0))
	}
	if el.limited {
		at := e.nest(unix.NFTA_SET_ELEM_EXPR)
		e.text(unix.NFTA_EXPR_NAME, "connlimit")
		body := e.nest(unix.NFTA_EXPR_DATA)
		e.uint32(expr.NFTA_CONNLIMIT_COUNT, el.cap)
		e.uint32(expr.NFTA_CONNLIMIT_FLAGS, expr.NFT_CONNLIMIT_F_INV) // matches over the limit
		e.end(body)
		e.end(at)
	}
}

// batch writes a transaction around what body writes; the last message of body
// must ask for an acknowledgement.
func batch(e *encoder, body func()) {
	e.message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	e.done()
	body()
	e.message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	e.done()
}

// change deletes and adds elements in one transaction.
func (s *socket) change(del, add []element) error {
	if len(del)+len(add) == 0 {
		return nil
	}
	sortElements(del)
	sortElements(add)
	err := s.exchange(func(e *encoder) {
		batch(e, func() {
			writeElements(e, unix.NFT_MSG_DELSETELEM, unix.NLM_F_ACK, del)
			writeElements(e, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_ACK, add)
		})
	}, nil)
	if err != nil {
		return fmt.Errorf("change elements of table %s: %w", tableName, err)
	}
	return nil
}

func sortElements(elems []element) {
	slices.SortStableFunc(elems, func(a, b element) int { return bytes.Compare([]byte(a.set), []byte(b.set)) })
}

// remove deletes elements, those that are gone already included: somebody may
// have flushed the table by hand.
func (s *socket) remove(elems []element) error {
	err := s.change(elems, nil)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	for _, el := range elems {
		if err := s.change([]element{el}, nil); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// list returns the elements of one set.
func (s *socket) list(set string) ([]counted, error) {
	var elems []counted
	var err error
	for range maxRetries {
		elems = nil
		err = s.exchange(func(e *encoder) {
			e.message(nftMsgOffset|unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, unix.NFPROTO_INET, 0)
			e.text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
			e.text(unix.NFTA_SET_ELEM_LIST_SET, set)
			e.done()
		}, func(_ uint16, body []byte) error {
			more, err := parseElements(body)
			elems = append(elems, more...)
			return err
		})
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list set %s: %w", set, err)
	}
	return elems, nil
}

// parseElements reads one message of elements.
func parseElements(body []byte) ([]counted, error) {
	if len(body) < sizeofNfgenmsg {
		return nil, errShort
	}
	var elems []counted
	var set string
	err := attributes(body[sizeofNfgenmsg:], func(typ uint16, list []byte) error {
		switch typ {
		case unix.NFTA_SET_ELEM_LIST_SET:
			set = string(bytes.TrimRight(list, "\x00"))
			return nil
		case unix.NFTA_SET_ELEM_LIST_ELEMENTS:
		default:
			return nil
		}
		return attributes(list, func(_ uint16, item []byte) error {
			el := counted{element: element{set: set}}
			if err := attributes(item, el.attribute); err != nil {
				return err
			}
			elems = append(elems, el)
			return nil
		})
	})
	return elems, err
}

func (c *counted) attribute(typ uint16, b []byte) error {
	var err error
	switch typ {
	case unix.NFTA_SET_ELEM_KEY:
		err = readData(b, &c.key, nil)
	case attrElemKeyEnd:
		err = readData(b, &c.end, nil)
	case unix.NFTA_SET_ELEM_DATA:
		err = readData(b, &c.value, &c.jump)
	case unix.NFTA_SET_ELEM_USERDATA:
		if len(b) > 2 && b[0] == 0 && int(b[1]) == len(b)-2 {
			c.comment = string(bytes.TrimRight(b[2:], "\x00"))
		}
	case unix.NFTA_SET_ELEM_EXPR:
		err = c.expression(b)
	}
	return err
}

func readData(b []byte, value, jump *string) error {
	return attributes(b, func(typ uint16, v []byte) error {
		switch {
		case typ == unix.NFTA_DATA_VALUE:
			*value = string(v)
		case typ == unix.NFTA_DATA_VERDICT && jump != nil:
			return attributes(v, func(typ uint16, v []byte) error {
				if typ == unix.NFTA_VERDICT_CHAIN {
					*jump = string(bytes.TrimRight(v, "\x00"))
				}
				return nil
			})
		}
		return nil
	})
}

// expression reads what an element counts with: a counter or a connection limit.
func (c *counted) expression(b []byte) error {
	var name string
	return attributes(b, func(typ uint16, v []byte) error {
		switch typ {
		case unix.NFTA_EXPR_NAME:
			name = string(bytes.TrimRight(v, "\x00"))
			return nil
		case unix.NFTA_EXPR_DATA:
			return attributes(v, func(typ uint16, v []byte) error {
				switch {
				case name == "counter" && typ == unix.NFTA_COUNTER_BYTES && len(v) == 8:
					c.bytes = binary.BigEndian.Uint64(v)
				case name == "counter" && typ == unix.NFTA_COUNTER_PACKETS && len(v) == 8:
					c.packets = binary.BigEndian.Uint64(v)
				case name == "connlimit" && typ == expr.NFTA_CONNLIMIT_COUNT && len(v) == 4:
					c.limited, c.cap = true, binary.BigEndian.Uint32(v)
				}
				return nil
			})
		}
		return nil
	})
}

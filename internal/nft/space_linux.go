package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	rtnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// spaceID tells namespaces apart, whatever name or descriptor they come by.
type spaceID struct{ dev, ino uint64 }

// space is a namespace with the sockets that work in it. They are opened once, so
// that a cut waits for none.
type space struct {
	ns Namespace
	id spaceID

	table *socket // changes of elements, one at a time
	gate  *socket // the same for cuts, which wait for no queue of changes
	track *socket // connection tracking
	links *rtnl.Handle
	in    injector
	dumps map[bool]*dumps // of admissions' flows, by whether they are IPv6
	early map[bool]*dumps // of flows without translation, likewise
	// transit says whether an address can be an admission's.
	transit func(netip.Addr) bool
	// claimed gives back the addresses of what was left; Kernel.mu guards it.
	claimed []func()

	// mu guards what follows.
	mu           sync.Mutex
	paths, guard bool // which rules stand
	drafted      bool // those of paths, but for the first gate's
	users        int  // Paths and Guards
	// left is what an earlier process left and nobody has claimed, by id.
	left map[string]counted
	view view
	// closed are the elements of what this process made forward, in case that
	// somebody flushes the table that remembers it.
	closed map[string]element
}

func identify(ns Namespace) (spaceID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(ns.FD(), &st); err != nil {
		return spaceID{}, fmt.Errorf("look at %s: %w", ns, err)
	}
	return spaceID{uint64(st.Dev), st.Ino}, nil //nolint:unconvert // the width differs between architectures
}

// openSpace opens the sockets and reads what the table holds.
func openSpace(ns Namespace, id spaceID) (s *space, err error) {
	s = &space{
		ns: ns, id: id, left: map[string]counted{}, closed: map[string]element{},
		dumps: map[bool]*dumps{false: {}, true: {}}, early: map[bool]*dumps{false: {}, true: {}}, in: injector{-1, -1},
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	err = ns.Do(func() error {
		for _, p := range []**socket{&s.table, &s.gate, &s.track} {
			sock, err := openSocket()
			if err != nil {
				return err
			}
			*p = sock
		}
		handle, err := rtnl.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open route netlink socket: %w", err)
		}
		s.links = handle
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", ns, err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("read table %s of %s: %w", tableName, ns, err)
	}
	return s, nil
}

func (s *space) close() {
	for _, sock := range []*socket{s.table, s.gate, s.track} {
		if sock != nil {
			sock.close()
		}
	}
	if s.links != nil {
		s.links.Close()
	}
	s.in.close()
}

// rulesBuffer holds the acknowledgements of all rules at once.
const rulesBuffer = 4 << 20

func (s *space) conn() (*nftables.Conn, error) {
	return nftables.New(nftables.WithNetNSFd(s.ns.FD()), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(rulesBuffer), c.SetWriteBuffer(rulesBuffer))
	}))
}

// load finds out which rules stand and reads the elements that an earlier process
// left. A table with the rules of another version is deleted: its flows end.
func (s *space) load() error {
	c, err := s.conn()
	if err != nil {
		return err
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return err
	}
	stale := false
	for _, chain := range chains {
		switch name := chain.Name; {
		case chain.Table.Name != tableName:
		case name == pathsVersion:
			s.paths = true
		case name == guardVersion:
			s.guard = true
		case name == firstGate:
			s.drafted = true
		case strings.HasPrefix(name, "paths_"), strings.HasPrefix(name, "guard_"):
			stale = true
		}
	}
	if stale || s.drafted != s.paths { // or the process died while it made them
		s.paths, s.guard, s.drafted = false, false, false
		return s.dropTable()
	}
	if s.guard {
		// Its sockets died with the process that held them.
		for _, set := range []string{setMarks, setGuarded + "4", setGuarded + "6"} {
			if err := s.empty(set); err != nil {
				return err
			}
		}
	}
	if !s.paths {
		return nil
	}
	for _, f := range []family{ipv4, ipv6} {
		for _, set := range elementSets {
			elems, err := s.table.list(set + f.suffix)
			if err != nil {
				return err
			}
			for _, el := range elems {
				s.left[el.id()] = el
			}
		}
	}
	return nil
}

// elementSets are the sets that hold what belongs to endpoints.
var elementSets = []string{
	setPorts, setOpen, setBack, setFresh, setFiltered, setAllowed, setCapped, setEmpty,
	setNotAllowed, setOverLimit, setNoBackend, setWays, setBackends,
}

// empty deletes every element of a set.
func (s *space) empty(set string) error {
	elems, err := s.table.list(set)
	if err != nil {
		return err
	}
	del := make([]element, len(elems))
	for i, el := range elems {
		del[i] = el.element
	}
	return s.table.remove(del)
}

// ensure makes the rules that add writes, unless *have says that they stand.
func (s *space) ensure(have *bool, add func(*ruleset)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *have {
		return nil
	}
	c, err := s.conn()
	if err != nil {
		return err
	}
	r := &ruleset{conn: c, table: c.AddTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyINet})}
	add(r)
	if err := r.flush(); err != nil {
		return fmt.Errorf("make table %s in %s: %w", tableName, s.ns, err)
	}
	*have = true
	return nil
}

// dropTable deletes our table, if there is one.
func (s *space) dropTable() error {
	c, err := s.conn()
	if err != nil {
		return err
	}
	// Adding first makes the deletion of a missing table no error.
	c.DelTable(c.AddTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}))
	if err := c.Flush(); err != nil {
		return fmt.Errorf("delete table %s of %s: %w", tableName, s.ns, err)
	}
	return nil
}

// claim takes the elements that match out of what an earlier process left.
func (s *space) claim(match func(*counted) bool) []element {
	s.mu.Lock()
	defer s.mu.Unlock()
	var elems []element
	for id, el := range s.left {
		if match(&el) {
			elems = append(elems, el.element)
			delete(s.left, id)
		}
	}
	return elems
}

// hold counts a user of the namespace; it returns how many there are.
func (s *space) hold(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users += n
	return s.users
}

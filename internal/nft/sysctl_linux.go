package nft

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Clients and backends behind an interface of a namespace need it to forward. It is
// switched on by interface, and where it was off before, the interface's name is put
// into the set of closed ones first: what is not ours is not forwarded, then as
// before. The set also remembers what to switch off again, whoever comes to do it.

// forceForwarding is the setting that makes one interface forward IPv6 (Linux 6.17
// and newer). It is a variable so that tests can do without it.
var forceForwarding = "force_forwarding"

const (
	sysNet = "/proc/sys/net/"
	// acceptRA is the comment of an interface whose accept_ra we raised from 1 to 2,
	// as it takes no router advertisements otherwise once it forwards.
	acceptRA = "accept_ra"
)

// sysctl reads a setting of the namespace that the thread is in; "" where there is
// none of that name.
func sysctl(name string) (string, error) {
	b, err := os.ReadFile(sysNet + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// setSysctl writes a setting, if it is there and not so already.
func setSysctl(name, value string) error {
	have, err := sysctl(name)
	if err != nil || have == "" || have == value {
		return err
	}
	return os.WriteFile(sysNet+name, []byte(value), 0o644)
}

// prepareLink sets what our own interface needs, before it is up.
func prepareLink(name string) error {
	var err error
	for _, set := range [][2]string{
		{"ipv4/conf/" + name + "/forwarding", "1"},
		{"ipv4/conf/" + name + "/rp_filter", "0"},
		{"ipv6/conf/" + name + "/disable_ipv6", "0"},
		{"ipv6/conf/" + name + "/addr_gen_mode", "1"}, // no link-local address
		{"ipv6/conf/" + name + "/accept_ra", "0"},
		{"ipv6/conf/" + name + "/" + forceForwarding, "1"},
	} {
		if e := setSysctl(set[0], set[1]); e != nil && err == nil {
			err = fmt.Errorf("prepare link %s: %w", name, e)
		}
	}
	return err
}

// closedName is the key of an interface in the set of closed ones.
func closedName(name string) string {
	var b [unix.IFNAMSIZ]byte
	copy(b[:], name)
	return string(b[:])
}

// forward makes the namespace's own interfaces forward for us, those that are there
// now. One that comes later is seen to when the next endpoint is opened or changed. It
// returns the smallest MTU of those that are up.
func (s *space) forward(f family) (mtu int, err error) {
	links, err := s.links.LinkList()
	if err != nil {
		return 0, fmt.Errorf("list the links of %s: %w", s.ns, err)
	}
	mtu = linkMTU
	var names []string
	for _, l := range links {
		a := l.Attrs()
		if a.Group == linkGroup || a.Flags&net.FlagLoopback != 0 {
			continue
		}
		names = append(names, a.Name)
		if a.Flags&net.FlagUp != 0 {
			mtu = min(mtu, a.MTU)
		}
	}
	err = s.ns.Do(func() error {
		if f.suffix == ipv4.suffix {
			return s.forwardEach(f, names, "ipv4/conf/", "/forwarding")
		}
		all, err := sysctl("ipv6/conf/all/forwarding")
		if err != nil || all == "1" {
			return err
		}
		// Linux 6.17 and newer can do it by interface.
		if have, err := sysctl("ipv6/conf/lo/" + forceForwarding); err != nil || have != "" {
			return errors.Join(err, s.forwardEach(f, names, "ipv6/conf/", "/"+forceForwarding))
		}
		return s.forwardAll(f, names)
	})
	if err != nil {
		return 0, fmt.Errorf("switch on forwarding in %s: %w", s.ns, err)
	}
	return mtu, nil
}

func (s *space) forwardEach(f family, names []string, before, after string) error {
	for _, name := range names {
		have, err := sysctl(before + name + after)
		if err != nil {
			return err
		}
		if have != "0" {
			continue
		}
		closed := element{set: setClosed + f.suffix, key: closedName(name)}
		if err := s.shield(closed); err != nil {
			return err
		}
		if err := setSysctl(before+name+after, "1"); err != nil {
			return err
		}
	}
	return nil
}

// forwardAll switches on IPv6 forwarding as a whole, which older kernels know alone.
func (s *space) forwardAll(f family, names []string) error {
	closed := []element{{set: setFamilies, key: string(f.proto)}}
	for _, name := range names {
		ra := "ipv6/conf/" + name + "/accept_ra"
		if have, err := sysctl(ra); err != nil {
			return err
		} else if have == "1" {
			closed = append(closed, element{set: setClosed + f.suffix, key: closedName(name), comment: acceptRA})
			if err := setSysctl(ra, "2"); err != nil {
				return err
			}
		}
	}
	if err := s.shield(closed...); err != nil {
		return err
	}
	return setSysctl("ipv6/conf/all/forwarding", "1")
}

// shield closes what we are about to make forward.
func (s *space) shield(closed ...element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, el := range closed {
		s.closed[el.id()] = el
	}
	return s.table.change(nil, closed)
}

// unforward switches off what forward switched on, in whichever process. An
// interface that is gone needs nothing.
func (s *space) unforward() error {
	s.mu.Lock()
	closed := maps.Clone(s.closed)
	s.mu.Unlock()
	for _, set := range []string{setClosed + "4", setClosed + "6", setFamilies} {
		elems, err := s.table.list(set)
		if err != nil && !errors.Is(err, unix.ENOENT) { // somebody has flushed the rules
			return err
		}
		for _, el := range elems {
			closed[el.id()] = el.element
		}
	}
	err := s.ns.Do(func() error {
		var err error
		for _, el := range closed {
			name := strings.TrimRight(el.key, "\x00")
			switch {
			case el.set == setFamilies:
				err = errors.Join(err, setSysctl("ipv6/conf/all/forwarding", "0"))
			case el.set == setClosed+"4":
				err = errors.Join(err, setSysctl("ipv4/conf/"+name+"/forwarding", "0"))
			case el.comment == acceptRA:
				err = errors.Join(err, setSysctl("ipv6/conf/"+name+"/accept_ra", "1"))
			default:
				err = errors.Join(err, setSysctl("ipv6/conf/"+name+"/"+forceForwarding, "0"))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("switch off forwarding in %s: %w", s.ns, err)
	}
	return nil
}

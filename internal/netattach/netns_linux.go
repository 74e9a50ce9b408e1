package netattach

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// namespaceDirs are where ip-netns(8) keeps the files of named namespaces; the
// second is the older path and on most systems a link to the first.
var namespaceDirs = []string{"/run/netns", "/var/run/netns"}

// lockName is the abstract Unix socket (unix(7)) whose owner has a namespace to
// itself. Abstract names belong to a network namespace, so the same name can be
// taken once in each, and it is free again as soon as its process is gone.
const lockName = "@sallyport"

// NetNS is a network namespace as a Network. Its sockets are made inside and used
// from anywhere, so no thread ever waits inside.
//
// The namespace outlives its name: after "ip netns del" the NetNS and every
// socket made by it go on working, and the namespace is gone when the last of
// them is closed. A namespace made again under the same name is another one;
// Replaced tells.
//
// Entering needs CAP_SYS_ADMIN and Hold needs CAP_NET_ADMIN. The methods are safe
// for concurrent use, but Close comes after everything else.
type NetNS struct {
	name, path string
	fd         int
	option     NetNSOptions

	mu     sync.Mutex
	lock   int // descriptor of the socket of Lock, -1 without
	closed bool
	addrs  addresses
}

var (
	_ Network = (*NetNS)(nil)
	_ entered = (*NetNS)(nil)
)

// OpenNetNS attaches the namespace of that name: one of "ip netns" or the
// absolute path of a namespace file. The error says what is missing, be it the
// namespace or the privilege to enter it. Close lets go of it.
func OpenNetNS(name string) (*NetNS, error) { return OpenNetNSWith(name, NetNSOptions{}) }

// OpenNetNSWith is OpenNetNS with options.
func OpenNetNSWith(name string, option NetNSOptions) (*NetNS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, path, err := openNamespace(name)
	if err != nil {
		return nil, err
	}
	n := &NetNS{name: name, path: path, fd: fd, option: option, lock: -1}
	// Entering once here turns a missing privilege into one clear error, not into
	// one for each endpoint.
	if err := n.Do(func() error { return nil }); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return n, nil
}

// openNamespace finds and opens the file of a namespace.
func openNamespace(name string) (fd int, path string, err error) {
	paths := []string{name}
	if !filepath.IsAbs(name) {
		paths = nil
		for _, dir := range namespaceDirs {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	for _, path := range paths {
		// O_NONBLOCK keeps a wrong path from waiting, which a pipe would do.
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return -1, "", fmt.Errorf("open namespace %s: %w", name, &os.PathError{Op: "open", Path: path, Err: err})
		}
		// A file that nothing is mounted on is what remains when its namespace was
		// made in another mount namespace, or was deleted halfway.
		if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
			_ = unix.Close(fd)
			return -1, "", fmt.Errorf("%s is a file but not a network namespace", path)
		}
		return fd, path, nil
	}
	if filepath.IsAbs(name) {
		return -1, "", fmt.Errorf("there is no namespace file %s: %w", name, unix.ENOENT)
	}
	return -1, "", fmt.Errorf("there is no namespace %s in %s (ip netns add %s makes one): %w",
		name, strings.Join(namespaceDirs, " or "), name, unix.ENOENT)
}

// String names the namespace for people.
func (n *NetNS) String() string { return "namespace " + n.name }

// Name returns the name or path that the namespace was opened by.
func (n *NetNS) Name() string { return n.name }

// FD returns the descriptor of the namespace, for libraries that enter it
// themselves. It stays the NetNS's own and is valid until Close.
func (n *NetNS) FD() int { return n.fd }

func (n *NetNS) handle() int { return n.fd }

// home opens the namespace that the process is in. A goroutine of its own reads
// it, as the caller's may be locked to a thread in a foreign one (Thread).
var home = sync.OnceValues(func() (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}()
	<-done
	if err != nil {
		return -1, fmt.Errorf("open the process's own network namespace: %w", err)
	}
	return fd, nil
})

// Do runs fn inside the namespace and returns its error, so that sockets, netlink
// handles and the like are made there; they keep the namespace, so use them
// outside. It runs on a goroutine of its own, locked to a thread that is given
// back only once it is home again; where that fails, the thread ends with the
// goroutine. What fn itself starts with go runs outside.
func (n *NetNS) Do(fn func() error) error {
	own, err := home()
	if err != nil {
		return err
	}
	result := errors.New("the function did not return")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result = n.explain("enter "+n.String(), "CAP_SYS_ADMIN", err)
			return
		}
		defer func() {
			if unix.Setns(own, unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		result = fn()
	}()
	<-done
	return result
}

// explain wraps an error of the kernel, naming the capability that it is about
// where it is about one.
func (n *NetNS) explain(doing, capability string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s: the capability %s is missing: %w", doing, capability, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Lock takes the namespace for this NetNS until Close or the end of the process,
// so that two Sallyports never hold and sweep one another's addresses. The error
// says when another has it. Locking twice is fine.
func (n *NetNS) Lock() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lock >= 0 {
		return nil
	}
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("lock %s: %w", n, err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: lockName})
	if err == nil {
		n.lock = fd
		return nil
	}
	_ = unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%s is attached by another Sallyport already", n)
	}
	return fmt.Errorf("lock %s: %w", n, err)
}

// Replaced reports whether the name stands for another namespace by now, as after
// a deletion and a new beginning. Endpoints of the old one are then reached by
// nobody until the namespace is opened again.
func (n *NetNS) Replaced() bool {
	var ours, theirs unix.Stat_t
	if unix.Fstat(n.fd, &ours) != nil || unix.Stat(n.path, &theirs) != nil {
		return false
	}
	return ours.Dev != theirs.Dev || ours.Ino != theirs.Ino
}

// Close lets go of the namespace and of its Lock. It removes no address: what is
// still held stays, as after a crash, and a release that comes later does
// nothing. The sockets made before go on.
func (n *NetNS) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.addrs.close()
	if n.lock >= 0 {
		_ = unix.Close(n.lock)
	}
	if err := unix.Close(n.fd); err != nil {
		return fmt.Errorf("close %s: %w", n, err)
	}
	return nil
}

// privileges are the capabilities that Sallyport uses; without any of them it
// still serves the host's own network in user space.
var privileges = []struct {
	bit       uint
	name, use string
}{
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "enter network namespaces"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "add endpoint addresses in namespaces and use nftables"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "reset idle flows of the kernel engine, and announce endpoint addresses"},
	{unix.CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", fmt.Sprintf("listen on ports below %d", firstUnprivilegedPort)},
}

// Privileges returns the capabilities that Sallyport uses and which of them the
// process has. Have is false where the kernel does not tell.
func Privileges() []Privilege {
	// A capability set is two words of 32 bits since version 3.
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	known := unix.Capget(&header, &data[0]) == nil
	list := make([]Privilege, len(privileges))
	for i, p := range privileges {
		have := known && data[p.bit/32].Effective&(1<<(p.bit%32)) != 0
		list[i] = Privilege{Name: p.name, Have: have, For: p.use}
	}
	return list
}

// held is an address that Hold was asked for.
type held struct {
	holders int
	// index is the interface that we put the address on, 0 where it was an address
	// of the namespace without us.
	index int
}

// addresses is what a NetNS knows about its held addresses. The NetNS's mutex
// guards it.
type addresses struct {
	kernel *kernel // nil until the first use
	held   map[netip.Addr]*held
	// left are the addresses with our mark that nobody holds, by interface: an
	// earlier process left them. They are read once, as reading all addresses for
	// each change would make its price grow with their number.
	left map[netip.Addr]int
}

func (a *addresses) close() {
	if a.kernel != nil {
		a.kernel.close()
	}
}

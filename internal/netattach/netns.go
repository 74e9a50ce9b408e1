package netattach

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// NetNSOptions are the choices of an attached namespace; the zero value suits
// most.
type NetNSOptions struct {
	// Interface names the interface that Hold puts addresses on. With "" it is the
	// one that the namespace's routes lead to directly, else lo.
	Interface string
}

// Privilege is one capability of the operating system and whether this process
// has it.
type Privilege struct {
	// Name is as in capabilities(7): "CAP_NET_ADMIN".
	Name string
	// Have says that the capability is effective.
	Have bool
	// For says what Sallyport needs it for, to be put after "needed to".
	For string
}

// maxName is the length of the longest file name (NAME_MAX of Linux), and maxPath
// that of the longest path without its final zero byte (PATH_MAX of Linux).
const (
	maxName = 255
	maxPath = 4095
)

// errNoAddress is the cause where a socket is asked for without an address.
var errNoAddress = errors.New("no address is given")

// checkName says why a name can be neither that of a namespace under /run/netns
// nor a path. It keeps a name from the configuration inside that directory.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a namespace needs a name")
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("namespace name %q contains a zero byte", name)
	case strings.HasPrefix(name, "/"):
		if len(name) > maxPath {
			return fmt.Errorf("the path of a namespace has %d bytes, more than %d", len(name), maxPath)
		}
		if filepath.Clean(name) != name {
			return fmt.Errorf("the path %q of a namespace is not in its shortest form, which is %q", name, filepath.Clean(name))
		}
	case len(name) > maxName:
		return fmt.Errorf("a namespace name has %d bytes, more than %d", len(name), maxName)
	case strings.Contains(name, "/"), name == ".", name == "..":
		return fmt.Errorf("namespace name %q is neither a name of ip netns nor an absolute path", name)
	}
	return nil
}

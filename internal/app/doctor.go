package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/netattach"
	"github.com/sallyport-net/sallyport/internal/nft"
)

// Check is one thing that Doctor looked at.
type Check struct {
	Name string
	// State is ok, warn or fail.
	State string
	// Detail is what was found, Advice what to do about it.
	Detail, Advice string
}

// The states of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// wantedFiles is the number of open files below which Doctor warns: an endpoint at
// its default cap holds 3,000 flows of up to two sockets and pipes each.
const wantedFiles = 16384

// Doctor looks at what the machine can do for the configuration of the file, or
// without one for any. It changes nothing. The error is that of a file that cannot
// be read; what does not work is a check.
func Doctor(ctx context.Context, file string, env func(string) string) ([]Check, error) {
	cfg := &config.Config{}
	if file != "" {
		var err error
		if cfg, err = config.Load(file, env); err != nil {
			return nil, err
		}
	}
	d := doctor{cfg: cfg}
	d.system()
	d.privileges()
	d.files()
	d.namespaces()
	d.hostAddresses(ctx)
	if file != "" {
		d.data(ctx)
	}
	return d.checks, nil
}

type doctor struct {
	cfg    *config.Config
	checks []Check
}

func (d *doctor) add(name, state, detail, advice string) {
	d.checks = append(d.checks, Check{Name: name, State: state, Detail: detail, Advice: advice})
}

// netns returns the namespaces that the configuration attaches.
func (d *doctor) netns() []config.Attach {
	var out []config.Attach
	for _, v := range d.cfg.Networks.VPCs {
		if v.Attach.Mode == config.AttachNetns && !slices.Contains(out, v.Attach) {
			out = append(out, v.Attach)
		}
	}
	return out
}

func (d *doctor) system() {
	detail := runtime.GOOS + "/" + runtime.GOARCH
	switch {
	case runtime.GOOS == "linux":
		d.add("operating system", checkOK, detail, "")
	case len(d.netns()) > 0:
		d.add("operating system", checkFail, detail, "network namespaces and the kernel's path need Linux; attach the networks by host")
	default:
		d.add("operating system", checkWarn, detail, "only Linux has network namespaces, the kernel's path and the fast engine")
	}
}

func (d *doctor) privileges() {
	needed := len(d.netns()) > 0
	for _, p := range netattach.Privileges() {
		switch {
		case p.Have:
			d.add(p.Name, checkOK, "to "+p.For, "")
		case needed && p.Name != "CAP_NET_RAW" && p.Name != "CAP_NET_BIND_SERVICE":
			d.add(p.Name, checkFail, "missing; needed to "+p.For, "run as root, or give the binary's unit AmbientCapabilities="+p.Name)
		default:
			d.add(p.Name, checkWarn, "missing; it would allow to "+p.For, "run as root or give the capability where that is wanted")
		}
	}
	if err := nft.Available(); err != nil {
		state := checkWarn
		d.add("kernel engine", state, err.Error(), "without it every mapping is carried in user space, and the cut closes sockets one by one")
	} else {
		d.add("kernel engine", checkOK, "nftables answers", "")
	}
}

func (d *doctor) files() {
	limit, ok := openFiles()
	if !ok {
		return
	}
	detail := fmt.Sprintf("%d open files", limit)
	if limit < wantedFiles {
		d.add("limit on open files", checkWarn, detail, fmt.Sprintf("a busy endpoint needs more: raise it to %d or above (ulimit -n, LimitNOFILE=)", wantedFiles))
		return
	}
	d.add("limit on open files", checkOK, detail, "")
}

func (d *doctor) namespaces() {
	for _, at := range d.netns() {
		name := "namespace " + at.Name
		ns, err := netattach.OpenNetNSWith(at.Name, netattach.NetNSOptions{Interface: at.Interface})
		if err != nil {
			d.add(name, checkFail, err.Error(), "every endpoint and backend in it fails until it is there")
			continue
		}
		err = ns.Do(func() error { return nil })
		if err == nil {
			err = ns.Lock()
		}
		if cerr := ns.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			// A running server has it locked, which is no fault of the machine.
			d.add(name, checkWarn, err.Error(), "stop the other one where this is not the server that runs")
			continue
		}
		d.add(name, checkOK, "can be entered", "")
	}
}

// hostAddresses looks whether the first address of each subnet on the host can be
// bound there.
func (d *doctor) hostAddresses(ctx context.Context) {
	for _, v := range d.cfg.Networks.VPCs {
		if v.Attach.Mode != config.AttachHost {
			continue
		}
		for _, s := range v.Subnets {
			addr := s.CIDR.Addr().Next()
			name := "subnet " + s.CIDR.String()
			ln, err := netattach.Host().Listen(ctx, netip.AddrPortFrom(addr, 0))
			if err != nil {
				d.add(name, checkWarn, err.Error(), "endpoints there are unattached until the host has the address (ip address add)")
				continue
			}
			_ = ln.Close()
			d.add(name, checkOK, "addresses can be bound", "")
		}
	}
}

// data looks at what the server itself needs: its directory and its address.
func (d *doctor) data(ctx context.Context) {
	switch info, err := os.Stat(d.cfg.DataDir); {
	case d.cfg.Database != "":
	case errors.Is(err, os.ErrNotExist):
		d.add("data directory", checkOK, d.cfg.DataDir+" will be made", "")
	case err != nil:
		d.add("data directory", checkFail, err.Error(), "name another data_dir, or give access to it")
	case !info.IsDir():
		d.add("data directory", checkFail, d.cfg.DataDir+" is not a directory", "name another data_dir")
	default:
		d.add("data directory", checkOK, d.cfg.DataDir, "")
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.cfg.Listen)
	if err != nil {
		advice := "name another address with listen"
		if strings.Contains(err.Error(), "in use") {
			advice = "another program has it, perhaps the server that runs; else name another address with listen"
		}
		d.add("API address", checkWarn, err.Error(), advice)
		return
	}
	_ = ln.Close()
	d.add("API address", checkOK, d.cfg.Listen, "")
}

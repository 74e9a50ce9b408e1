package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/sallyport-net/sallyport/bench/lab"
)

// The names of the contenders, as tables show them.
const (
	direct  = "direct"
	iperf   = "direct, by iperf3"
	kernel  = "sallyport, kernel engine"
	user    = "sallyport, user engine"
	haproxy = "HAProxy"
	nginx   = "nginx"
)

// The addresses are the same for every contender: each has a consumer's and a
// provider's namespace of its own.
const (
	backendIP   = "10.92.0.2"   // of the server, in the provider's
	proxyIP     = "10.91.0.100" // of HAProxy and nginx, in the consumer's
	endpointNet = "10.91.0.0/16"
	// readyWait bounds the start of HAProxy and nginx.
	readyWait = 10 * time.Second
)

// sources are the client's addresses: one has too few ports for the connections
// of one round.
var sources = []netip.Addr{
	netip.MustParseAddr("10.90.0.11"), netip.MustParseAddr("10.90.0.12"), netip.MustParseAddr("10.90.0.13"), netip.MustParseAddr("10.90.0.14"),
	netip.MustParseAddr("10.90.0.15"), netip.MustParseAddr("10.90.0.16"), netip.MustParseAddr("10.90.0.17"), netip.MustParseAddr("10.90.0.18"),
}

//go:embed haproxy.cfg.tmpl
var haproxyText string

//go:embed nginx.conf.tmpl
var nginxText string

// contender is one way for bytes to get from the client to the server.
type contender struct {
	name   string
	engine string // of the product
	veth   bool   // whether a pair of interfaces joins the two namespaces
	tcp    bool   // whether it is asked by the station, and by TCP
	udp    bool
	binary string

	consumer, provider string     // namespaces
	target             netip.Addr // what the client connects to
	process            *lab.Process
	product            *lab.Product
	dir                string
}

func everyone() []*contender {
	return []*contender{
		{name: direct, veth: true, tcp: true, udp: true},
		{name: iperf, veth: true},
		{name: haproxy, tcp: true},
		{name: nginx, veth: true, tcp: true, udp: true},
		{name: kernel, engine: "auto", tcp: true, udp: true},
		{name: user, engine: "user", tcp: true, udp: true},
	}
}

// stand makes a contender's networks, starts it and shows it the server.
func (b *bench) stand(ctx context.Context, c *contender) error {
	short := strings.NewReplacer(" ", "", ",", "-").Replace(strings.ToLower(c.name))
	c.dir = filepath.Join(b.dir, short)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := b.networks(ctx, c, short); err != nil {
		return err
	}
	c.target = netip.MustParseAddr(proxyIP)
	if c.name == direct || c.name == iperf {
		c.target = netip.MustParseAddr(backendIP)
	}
	if c.engine != "" {
		host, err := b.lab.Namespace(ctx, short+"-s")
		if err != nil {
			return err
		}
		c.product = &lab.Product{
			Namespace: host, Consumer: c.consumer, Provider: c.provider, Subnet: endpointNet, Backend: backendIP,
			Engine: c.engine, Binary: c.binary, Dir: c.dir,
		}
	}
	if c.tcp {
		_, err := b.server.Do(lab.Command{Do: lab.Listen, Namespace: c.provider, Target: netip.AddrPortFrom(netip.MustParseAddr(backendIP), 1)})
		if err != nil {
			return err
		}
	}
	if err := c.start(ctx); err != nil {
		return errors.Join(err, c.stop())
	}
	if c.product != nil {
		if err := c.endpoint(ctx); err != nil {
			return errors.Join(err, c.stop())
		}
	}
	return nil
}

// networks makes the two namespaces. Their addresses are on the loopback
// interfaces; where a contender cannot reach into both, a pair of interfaces
// joins them.
func (b *bench) networks(ctx context.Context, c *contender, short string) (err error) {
	var lines []string
	for _, s := range sources {
		lines = append(lines, "address add "+s.String()+"/32 dev lo")
	}
	if c.engine == "" { // the endpoint's address is the product's to add
		lines = append(lines, "address add "+proxyIP+"/32 dev lo")
	}
	if c.consumer, err = b.lab.Namespace(ctx, short+"-c", lines...); err != nil {
		return err
	}
	if c.provider, err = b.lab.Namespace(ctx, short+"-p", "address add "+backendIP+"/32 dev lo"); err != nil {
		return err
	}
	for _, ns := range []string{c.consumer, c.provider} {
		// Many short connections from few addresses: ports must come back soon.
		if err := lab.Set(ns, "ipv4/ip_local_port_range=10000 65535", "ipv4/tcp_tw_reuse=1"); err != nil {
			return err
		}
	}
	if !c.veth {
		return nil
	}
	err = lab.Configure(ctx, c.consumer, "link add name join type veth peer name join netns "+c.provider, "link set join up", "address add 10.99.0.1/30 dev join")
	if err == nil {
		err = lab.Configure(ctx, c.provider, "link set join up", "address add 10.99.0.2/30 dev join", "route add 10.90.0.0/24 via 10.99.0.1")
	}
	if err == nil {
		err = lab.Configure(ctx, c.consumer, "route add 10.92.0.0/24 via 10.99.0.2")
	}
	return err
}

// start starts the contender's process, if it has one.
func (c *contender) start(ctx context.Context) error {
	log := filepath.Join(c.dir, "log")
	var err error
	switch c.name {
	case direct:
		return nil
	case iperf:
		c.process, err = lab.Start(c.provider, log, 0, "iperf3", "-s", "-B", backendIP, "-p", "5201")
		if err != nil {
			return err
		}
		return c.listens(ctx, c.consumer, backendIP+":5201")
	case haproxy:
		file, err := c.configuration("haproxy.cfg", haproxyText)
		if err != nil {
			return err
		}
		// It reaches into both namespaces from this process's own, where it binds nothing.
		if c.process, err = lab.Start("", log, 0, "haproxy", "-db", "-f", file); err != nil {
			return err
		}
	case nginx:
		file, err := c.configuration("nginx.conf", nginxText)
		if err != nil {
			return err
		}
		if c.process, err = lab.Start(c.consumer, log, 0, "nginx", "-c", file, "-p", c.dir, "-e", log); err != nil {
			return err
		}
	default:
		err := c.product.Start(ctx)
		c.process = c.product.Process
		return err
	}
	return c.listens(ctx, c.consumer, net.JoinHostPort(proxyIP, "5002"))
}

// listens waits until something listens at an address.
func (c *contender) listens(ctx context.Context, namespace, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	return c.process.Ready(ctx, func(ctx context.Context) error {
		return lab.Inside(namespace, func() error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", address)
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	})
}

// modules are where distributions keep nginx's stream module, where it is not
// built in.
var modules = []string{"/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"}

func (c *contender) configuration(name, text string) (string, error) {
	data := map[string]any{
		"Dir": c.dir, "Proxy": proxyIP, "Backend": backendIP, "Consumer": c.consumer, "Provider": c.provider, "Module": "",
		"Ports": []int{lab.PortSink, lab.PortEcho}, "Datagrams": []int{lab.PortEchoUDP, lab.PortSinkUDP},
	}
	for _, m := range modules {
		if _, err := os.Stat(m); err == nil {
			data["Module"] = m
			break
		}
	}
	t, err := template.New(name).Parse(text)
	if err != nil {
		return "", fmt.Errorf("configuration of %s: %w", c.name, err)
	}
	file := filepath.Join(c.dir, name)
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("configuration of %s: %w", c.name, err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("configuration of %s: %w", c.name, err)
	}
	if _, err := exec.LookPath(filepath.Base(strings.TrimSuffix(strings.TrimSuffix(name, ".cfg"), ".conf"))); err != nil {
		return "", fmt.Errorf("it is not installed: %w", err)
	}
	return file, nil
}

// endpoint makes the product's service and endpoint. Without UDP it is measured
// by TCP alone.
func (c *contender) endpoint(ctx context.Context) error {
	tcp := []lab.Port{{Number: lab.PortSink, Protocol: "TCP"}, {Number: lab.PortEcho, Protocol: "TCP"}}
	all := append(slices.Clone(tcp), lab.Port{Number: lab.PortEchoUDP, Protocol: "UDP"}, lab.Port{Number: lab.PortSinkUDP, Protocol: "UDP"})
	service, err := c.product.Service("bench", true, all...)
	if err != nil {
		c.udp = false
		if service, err = c.product.Service("bench", true, tcp...); err != nil {
			return err
		}
	}
	_, address, err := c.product.Endpoint(ctx, service)
	if err != nil {
		return err
	}
	if c.target, err = netip.ParseAddr(address); err != nil {
		return fmt.Errorf("address of the endpoint: %w", err)
	}
	return nil
}

func (c *contender) stop() error {
	p := c.process
	c.process = nil
	if c.product != nil {
		return c.product.Stop()
	}
	return p.Stop()
}

// restart is for memory: a process that has carried nothing yet.
func (c *contender) restart(ctx context.Context) error {
	if err := c.stop(); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	return c.listens(ctx, c.consumer, netip.AddrPortFrom(c.target, lab.PortEcho).String())
}

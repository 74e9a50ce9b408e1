package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/sallyport-net/sallyport/bench/lab"
)

// The names of the setups, as tables show them.
const (
	kernel = "kernel engine"
	gated  = "user engine, with the gate"
	plain  = "user engine, without privileges"
)

const (
	// nobody is a user without any capability.
	nobody = 65534
	// spare is how many files the product may have open beside its flows: its
	// database, its API, and the listeners of the changes that are queued.
	spare = 3000
	// perFlow is how many sockets one flow is in user space.
	perFlow = 2
	// creators is over how many connections changes are made: enough that many
	// are under way, few enough that the API itself is not the queue.
	creators = 32
)

// setup is the product in one way of running.
type setup struct {
	name   string
	short  string
	engine string
	user   bool // without privileges, on the loopback addresses of a namespace
	// gate says that a decision closes a gate in the kernel first.
	gate bool

	product           *lab.Product
	client, server    *lab.Peer
	api               *lab.API
	service, endpoint string // the one that is cut
	open              string // a service that approves by itself
	target            netip.AddrPort
	most              int // flows
}

func everyone() []*setup {
	return []*setup{
		{name: kernel, short: "kernel", engine: "auto", gate: true},
		{name: gated, short: "gate", engine: "user", gate: true},
		{name: plain, short: "plain", engine: "user", user: true},
	}
}

// stand makes the networks of a setup and starts everything in them.
func (b *bench) stand(ctx context.Context, s *setup, binary string) error {
	host, err := b.lab.Namespace(ctx, s.short+"-s")
	if err != nil {
		return err
	}
	s.product = &lab.Product{Namespace: host, Engine: s.engine, Binary: binary, Dir: filepath.Join(b.dir, s.short)}
	client, server := host, host
	backend := netip.MustParseAddr("127.0.0.1")
	s.product.Subnet = "127.80.0.0/12"
	if s.user {
		s.product.UID = nobody
	} else {
		backend = netip.MustParseAddr("10.92.0.2")
		s.product.Subnet = "10.91.0.0/16"
		if client, err = b.lab.Namespace(ctx, s.short+"-c", "address add 10.90.0.1/32 dev lo"); err != nil {
			return err
		}
		if server, err = b.lab.Namespace(ctx, s.short+"-p", "address add "+backend.String()+"/32 dev lo"); err != nil {
			return err
		}
		s.product.Consumer, s.product.Provider = client, server
	}
	s.product.Backend = backend.String()
	for _, ns := range []string{host, client, server} {
		if err := lab.Set(ns, "ipv4/ip_local_port_range=10000 65535"); err != nil {
			return err
		}
	}
	if s.most = b.opt.most; s.engine == "user" {
		s.most = min(s.most, (b.lab.Files-spare)/perFlow)
	}
	if s.client, err = lab.Dial(); err != nil {
		return err
	}
	if s.server, err = lab.Dial(); err == nil {
		_, err = s.server.Do(lab.Command{Do: lab.Listen, Namespace: server, Target: netip.AddrPortFrom(backend, 1), Stamped: true})
	}
	if err == nil {
		err = s.product.Start(ctx)
	}
	if err == nil {
		err = s.endpoints(ctx)
	}
	if err != nil {
		return errors.Join(err, s.stop())
	}
	return nil
}

// endpoints makes what is cut and what is made meanwhile.
func (s *setup) endpoints(ctx context.Context) (err error) {
	if s.service, err = s.product.Service("cut", true, lab.Port{Number: lab.PortEcho, Protocol: "TCP"}); err != nil {
		return err
	}
	if s.open, err = s.product.Service("open", false, lab.Port{Number: lab.PortSink, Protocol: "TCP"}); err != nil {
		return err
	}
	var address string
	if s.endpoint, address, err = s.product.Endpoint(ctx, s.service); err != nil {
		return err
	}
	if s.target, err = netip.ParseAddrPort(fmt.Sprintf("%s:%d", address, lab.PortEcho)); err != nil {
		return fmt.Errorf("address of the endpoint: %w", err)
	}
	return nil
}

func (s *setup) stop() error {
	if s.api != nil {
		s.api.Close()
	}
	for _, p := range []*lab.Peer{s.client, s.server} {
		if p != nil {
			p.Close()
		}
	}
	s.api, s.client, s.server = nil, nil, nil
	return s.product.Stop()
}

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport-net/sallyport/internal/agent"
	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
)

const (
	// stopWait is how long requests under way may take to end when the server stops.
	stopWait = 10 * time.Second
	// settleWait is how long the start waits for the listeners of accepted
	// endpoints: ten thousand take about a second.
	settleWait = 30 * time.Second
	// readHeaderTimeout is how long a client may take for its header; slower ones
	// hold a connection for nothing.
	readHeaderTimeout = 10 * time.Second
	// writeTimeout bounds a request from its header to the last byte of its
	// answer; the longest wait of a handler is that for the data plane.
	writeTimeout = 90 * time.Second
	// idleTimeout is how long a kept connection may be silent.
	idleTimeout = 2 * time.Minute
	// agentName is the name of the agent inside the server.
	agentName = "local"
)

// Options are what Run needs beside the configuration.
type Options struct {
	// Log receives what happens; nil discards it.
	Log *slog.Logger
	// Ready is called once the API serves, with the address it listens on and the
	// URL that clients use.
	Ready func(addr net.Addr, publicURL string)
	// Reload delivers new configurations; identity, networks, public services,
	// clusters and gateways are taken from them. Nil never does.
	Reload <-chan *config.Config
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Run runs the product until ctx ends, and then stops it in order: no new
// requests, those under way answered, flows drained and cut, proofs stored, store
// closed. It returns nil after such a stop.
func Run(ctx context.Context, cfg *config.Config, opt Options) (err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the default is the real clock
	}
	store, err := sqlstore.Open(ctx, sqlstore.Options{Dir: cfg.DataDir, URL: cfg.Database, Log: opt.Log, Now: opt.Now})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	defer func() { _ = ln.Close() }()
	s := &server{
		cfg: cfg, opt: opt, store: store, listener: ln, metrics: prometheus.NewRegistry(),
		publicURL: cmp.Or(cfg.PublicURL, config.PublicURLFor(ln.Addr().String())),
	}
	if s.data, err = newDataPlane(ctx, cfg, opt); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.data.close(ctx)) }()
	if err := s.wire(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// server is the product between wiring and stop.
type server struct {
	cfg       *config.Config
	opt       Options
	store     *sqlstore.Store
	listener  net.Listener
	publicURL string
	metrics   *prometheus.Registry

	authority *identity.Authority
	plane     *control.Plane
	data      *dataPlane
	agent     *agent.Agent
	http      *http.Server
}

// wire makes the parts and connects them; nothing runs yet.
func (s *server) wire(ctx context.Context) error {
	dir, err := directory(s.cfg)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	s.plane = control.New(s.store, control.Options{
		Region: s.cfg.Region, Networks: networks(s.cfg), Services: s.cfg.Quotas.EndpointService,
		Endpoints: s.cfg.Quotas.Endpoint, OnRevoke: sallyport.RevokeMode(s.cfg.OnRevoke), Now: s.opt.Now, Log: s.opt.Log,
		DNSSuffix: s.cfg.DNS.Suffix, Limits: limits(s.cfg), Engine: engineOf(s.cfg),
	})
	key, err := s.store.Secret(ctx, "token-signing-key")
	if err != nil {
		return fmt.Errorf("token key: %w", err)
	}
	s.authority = identity.New(dir, key, s.plane, identity.Options{Now: s.opt.Now, Log: s.opt.Log})
	if err := s.plane.SyncPublicServices(ctx, publicServices(s.cfg)); err != nil {
		return fmt.Errorf("public services: %w", err)
	}
	if err := s.syncInstances(ctx, s.cfg); err != nil {
		return err
	}
	// Before any agent asks: what the configuration has taken from the agents is
	// theirs no more.
	if err := s.plane.Sweep(ctx); err != nil {
		return fmt.Errorf("settle what an earlier run left: %w", err)
	}
	s.agent = agent.New(agent.Options{
		Name: agentName, Server: s.plane.Agents(), Attach: s.data.networks.attach, Engines: s.data.engines,
		Names: s.data.names, Drain: s.cfg.Forwarding.Drain, Now: s.opt.Now, Log: s.opt.Log,
	})
	s.http = s.newHTTP()
	return nil
}

// syncInstances makes the declared clusters and gateways those of a configuration.
func (s *server) syncInstances(ctx context.Context, cfg *config.Config) error {
	list, err := instances(cfg)
	if err != nil {
		return fmt.Errorf("clusters and gateways: %w", err)
	}
	if err := s.plane.SyncInstances(ctx, list); err != nil {
		return fmt.Errorf("clusters and gateways: %w", err)
	}
	return nil
}

// run serves until ctx ends. The parts stop in the reverse order of who needs
// whom: HTTP first, then the agent, then the plane, each with its own context.
func (s *server) run(ctx context.Context) error {
	planeCtx, stopPlane := context.WithCancel(context.WithoutCancel(ctx))
	agentCtx, stopAgent := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPlane()
	defer stopAgent()

	// Any part that fails ends the whole: a server without its agent would accept
	// what nobody carries.
	g, gctx := errgroup.WithContext(ctx)
	planeDone, agentDone := make(chan struct{}), make(chan struct{})
	g.Go(func() error {
		defer close(planeDone)
		return s.plane.Run(planeCtx)
	})
	g.Go(func() error {
		defer close(agentDone)
		return s.agent.Run(agentCtx)
	})
	g.Go(func() error {
		s.data.startNames(gctx, s.cfg)
		s.awaitListeners(gctx)
		if s.opt.Ready != nil && gctx.Err() == nil {
			s.opt.Ready(s.listener.Addr(), s.publicURL)
		}
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the API: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		s.reload(gctx)
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		s.stopHTTP(ctx)
		stopAgent()
		<-agentDone
		stopPlane()
		<-planeDone
		return nil
	})
	s.opt.Log.InfoContext(ctx, "serving", "listen", s.listener.Addr().String(), "public_url", s.publicURL)
	return g.Wait()
}

// awaitListeners waits until what the store calls accepted stands again: before
// that, no answer may say so.
func (s *server) awaitListeners(ctx context.Context) {
	t := time.NewTimer(settleWait)
	defer t.Stop()
	select {
	case <-s.agent.Settled():
		s.data.settle(ctx)
	case <-ctx.Done():
	case <-t.C:
		s.opt.Log.WarnContext(ctx, "serving before every listener stands", "waited", settleWait.String())
	}
}

func (s *server) stopHTTP(ctx context.Context) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		s.opt.Log.WarnContext(ctx, "requests were still under way when the wait ran out", "wait", stopWait.String(), "err", err)
		_ = s.http.Close()
	}
}

// reload takes what may change while it runs from new configurations. One that cannot
// be taken is reported, and what runs goes on as it is.
func (s *server) reload(ctx context.Context) {
	for {
		select {
		case cfg := <-s.opt.Reload:
			dir, err := directory(cfg)
			if err != nil {
				s.opt.Log.ErrorContext(ctx, "the new configuration was not taken", "err", err)
				continue
			}
			s.authority.SetDirectory(dir)
			if err := s.plane.SetNetworks(ctx, networks(cfg)); err != nil {
				s.opt.Log.ErrorContext(ctx, "networks of the new configuration", "err", err)
				continue
			}
			if err := s.plane.SyncPublicServices(ctx, publicServices(cfg)); err != nil {
				s.opt.Log.ErrorContext(ctx, "public services of the new configuration", "err", err)
				continue
			}
			if err := s.syncInstances(ctx, cfg); err != nil {
				s.opt.Log.ErrorContext(ctx, "clusters and gateways of the new configuration", "err", err)
				continue
			}
			s.opt.Log.InfoContext(ctx, "identity, networks, clusters and gateways were loaded again")
		case <-ctx.Done():
			return
		}
	}
}

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/engine"
	"github.com/sallyport-net/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/internal/health"
	"github.com/sallyport-net/sallyport/internal/nft"
	"github.com/sallyport-net/sallyport/internal/resolver"
)

// dataPlane is what the agent inside the server stands on.
type dataPlane struct {
	log      *slog.Logger
	networks *attachments
	engines  *engine.Engines
	names    *resolver.Resolver
	servers  []*resolver.Server
	flows    *forward.FlowLog // nil where it is off
	flowFile io.Closer
}

// flowLogMode keeps the log of who talks to whom from other users.
const flowLogMode = 0o600

// newDataPlane opens the networks that the configuration attaches and the engines
// on them. A network that cannot be opened is reported and tried again when an
// endpoint needs it: the others are not held up by it.
func newDataPlane(ctx context.Context, cfg *config.Config, opt Options) (_ *dataPlane, err error) {
	d := &dataPlane{log: opt.Log, networks: newAttachments(opt.Log), names: resolver.New(resolver.Options{Suffix: cfg.DNS.Suffix, Log: opt.Log})}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(ctx))
		}
	}()
	uses := false
	for _, v := range cfg.Networks.VPCs {
		if v.Attach.Mode != config.AttachNetns {
			continue
		}
		uses = true
		if _, err := d.networks.attach(attachment(v.Attach)); err != nil {
			opt.Log.ErrorContext(ctx, "attaching a network", "vpc", v.ID, "err", err)
		}
	}
	user := forward.Options{Log: opt.Log, Now: opt.Now}
	if user.FlowLog, err = d.openFlowLog(cfg.Forwarding.FlowLog); err != nil {
		return nil, err
	}
	e := engine.Options{
		Health: health.New(health.Options{Log: opt.Log, Now: opt.Now}), Namespaces: d.networks.namespaces,
		FlowLog: d.flows != nil, Log: opt.Log,
	}
	if e.User, err = forward.NewEngine(user); err != nil {
		return nil, fmt.Errorf("start the data plane: %w", err)
	}
	if uses {
		if err := nft.Available(); err != nil {
			opt.Log.WarnContext(ctx, "the kernel's path is not available; bytes are carried in user space", "err", err)
		} else {
			e.Kernel = nft.New(nft.Options{
				Log: opt.Log, Transit4: cfg.Forwarding.Transit.IPv4, Transit6: cfg.Forwarding.Transit.IPv6, Now: opt.Now,
			})
		}
	}
	d.engines = engine.New(e)
	return d, nil
}

// startNames starts the DNS servers of the networks that have one. One that cannot
// start is reported; its network is served without.
func (d *dataPlane) startNames(ctx context.Context, cfg *config.Config) {
	for _, v := range cfg.Networks.VPCs {
		if !v.DNS.IsValid() {
			continue
		}
		n, err := d.networks.attach(attachment(v.Attach))
		if err == nil {
			var s *resolver.Server
			if s, err = d.names.Start(ctx, n, v.DNS); err == nil {
				d.servers = append(d.servers, s)
				continue
			}
		}
		d.log.ErrorContext(ctx, "starting the DNS server of a network", "vpc", v.ID, "address", v.DNS.String(), "err", err)
	}
}

// settle removes what a crashed process left, once what shall stand stands.
func (d *dataPlane) settle(ctx context.Context) {
	if err := d.engines.Sweep(ctx); err != nil {
		d.log.WarnContext(ctx, "removing what an earlier run left", "err", err)
	}
	d.networks.sweep(ctx)
}

// openFlowLog opens the flow log and returns what takes its records, nil where the
// path is "".
func (d *dataPlane) openFlowLog(path string) (func(forward.FlowRecord), error) {
	var w io.Writer
	switch path {
	case "":
		return nil, nil
	case config.FlowLogStdout:
		w = os.Stdout
	default:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, flowLogMode)
		if err != nil {
			return nil, fmt.Errorf("open the flow log: %w", err)
		}
		w, d.flowFile = f, f
	}
	d.flows = forward.NewFlowLog(w, d.log)
	return d.flows.Record, nil
}

// close ends everything after the agent has ended.
func (d *dataPlane) close(ctx context.Context) error {
	var errs []error
	for _, s := range d.servers {
		s.Close()
	}
	if d.engines != nil {
		errs = append(errs, d.engines.Close(context.WithoutCancel(ctx)))
	}
	errs = append(errs, d.networks.close())
	if d.flows != nil {
		errs = append(errs, d.flows.Close())
	}
	if d.flowFile != nil {
		errs = append(errs, d.flowFile.Close())
	}
	return errors.Join(errs...)
}

// attachment makes what the agent protocol calls a network out of what the
// configuration calls it.
func attachment(a config.Attach) agentapi.Attach {
	return agentapi.Attach{Mode: agentapi.AttachMode(a.Mode), Name: a.Name, Interface: a.Interface}
}

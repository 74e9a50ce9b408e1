package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/sallyport-net/sallyport/internal/config"
)

// NewLog returns the log of a server: text for people, JSON for machines.
func NewLog(w io.Writer, level slog.Level, json bool) *slog.Logger {
	opt := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// ServeOptions are what Serve needs beside the file.
type ServeOptions struct {
	// File is the configuration file.
	File string
	// Env is the environment, with flags over it where there are any.
	Env func(string) string
	// Hangup delivers a value whenever the file shall be read again.
	Hangup <-chan os.Signal
	// Log receives what happens.
	Log *slog.Logger
}

// Serve runs the product with a configuration file until ctx ends.
func Serve(ctx context.Context, opt ServeOptions) error {
	cfg, err := config.Load(opt.File, opt.Env)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		opt.Log.WarnContext(ctx, "configuration", "file", opt.File, "warning", w)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reload, watching := make(chan *config.Config), make(chan struct{})
	go func() {
		defer close(watching)
		watch(ctx, opt, reload)
	}()
	err = Run(ctx, cfg, Options{Log: opt.Log, Reload: reload})
	cancel()
	<-watching
	return err
}

// watch reads the file again on every hangup. A file with an error is reported
// and what runs goes on.
func watch(ctx context.Context, opt ServeOptions, reload chan<- *config.Config) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-opt.Hangup:
		}
		cfg, err := config.Load(opt.File, opt.Env)
		if err != nil {
			opt.Log.ErrorContext(ctx, "the configuration was not loaded again", "err", err)
			continue
		}
		select {
		case reload <- cfg:
		case <-ctx.Done():
			return
		}
	}
}

// DevOptions describe a development run.
type DevOptions struct {
	Listen string // host:port, "" for the default
	Dir    string // data directory, "" for a temporary one that is removed at the end
	Out    io.Writer
	Log    *slog.Logger
}

// Dev runs the product with the built-in development configuration and a sample
// backend until ctx ends, and prints what to paste next.
func Dev(ctx context.Context, opt DevOptions) error {
	cfg, err := config.Parse(config.Development(opt.Listen), "development.yaml")
	if err != nil {
		return err
	}
	cfg.DataDir = opt.Dir
	if opt.Dir == "" {
		dir, err := os.MkdirTemp("", "sallyport-dev-")
		if err != nil {
			return fmt.Errorf("temporary data directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		cfg.DataDir = dir
	}
	backend, err := startSample(ctx)
	if err != nil {
		return err
	}
	defer backend.stop()
	return Run(ctx, cfg, Options{Log: opt.Log, Ready: readyGuide(cfg, backend.port, opt)})
}

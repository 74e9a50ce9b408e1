package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/app"
)

// profileEnv names the environment variable that tells a server that is this
// program where to offer its profiles.
const profileEnv = "SALLYPORT_BENCH_PPROF"

// serveSelf is the product inside this program, with profiles. The product's own
// binary offers none.
func serveSelf(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	file := set.String("config", "", "configuration file")
	if err := set.Parse(args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	profiles := &http.Server{Addr: os.Getenv(profileEnv), Handler: mux, ReadHeaderTimeout: time.Second}
	failed := make(chan error, 1)
	go func() { failed <- profiles.ListenAndServe() }()
	err := app.Serve(ctx, app.ServeOptions{File: *file, Env: os.Getenv, Log: app.NewLog(os.Stderr, slog.LevelWarn, false)})
	err = errors.Join(err, profiles.Close())
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// profiled does the work once more while the server's processor time is
// profiled. Without a directory for profiles it does nothing.
func (b *bench) profiled(ctx context.Context, s *server, name string, work func(context.Context) error) error {
	if b.opt.profile == "" {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		done <- b.fetch(ctx, s, fmt.Sprintf("profile?seconds=%d", int(b.opt.profileFor.Seconds())), b.storeName(s)+"-"+name+".cpu")
	}()
	return errors.Join(work(ctx), <-done)
}

// heap keeps what lives in the server's memory.
func (b *bench) heap(ctx context.Context, s *server, name string) error {
	if b.opt.profile == "" {
		return nil
	}
	return errors.Join(b.fetch(ctx, s, "heap?debug=1", name+".txt"), b.fetch(ctx, s, "heap?gc=1", name+".heap"))
}

func (b *bench) fetch(ctx context.Context, s *server, what, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.profiles+"/debug/pprof/"+what, nil)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,/", r) {
			return '-'
		}
		return r
	}, name)
	f, err := os.Create(filepath.Join(b.opt.profile, name))
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = io.Copy(f, res.Body)
	return errors.Join(err, f.Close())
}

// profileHost returns an address for a server's profiles.
func profileHost(ctx context.Context) (string, error) {
	port, err := freePort(ctx)
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(port)), err
}

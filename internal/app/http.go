package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport-net/sallyport/internal/httpapi/apig"
	"github.com/sallyport-net/sallyport/internal/httpapi/css"
	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/httpapi/iam"
	"github.com/sallyport-net/sallyport/internal/httpapi/native"
	"github.com/sallyport-net/sallyport/internal/httpapi/vpcep"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// projects asks the directory of the moment, so that a reload takes effect.
type projects struct{ s *server }

// Owns reports whether the project is one of the account's.
func (p projects) Owns(d sallyport.DomainID, id sallyport.ProjectID) bool {
	return p.s.authority.Directory().Owns(d, id)
}

func (s *server) newHTTP() *http.Server {
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newActivityCollector(observed{s.plane}))
	api := edge.New(edge.Options{
		Gate: s.authority, Projects: projects{s}, Log: s.opt.Log, Metrics: s.metrics, Language: s.cfg.Language,
		Now: s.opt.Now,
		Families: []edge.Family{
			vpcep.New(s.plane, vpcep.Options{PublicURL: s.publicURL, DNSSuffix: s.cfg.DNS.Suffix}),
			css.New(s.plane, css.Options{DNSSuffix: s.cfg.DNS.Suffix}),
			apig.New(s.plane),
			iam.New(iam.Options{Authority: s.authority, PublicURL: s.publicURL, Region: s.cfg.Region}),
			native.New(s.plane),
		},
	})
	return &http.Server{
		Handler: s.front(api), MaxHeaderBytes: edge.MaxHeader, ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog:    slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.Background() },
	}
}

// front answers what is no API and hands everything else to the edge. It
// compares paths: http.ServeMux would redirect those with empty segments, in
// HTML, and clients of the API follow no redirects.
func (s *server) front(api http.Handler) http.Handler {
	metrics := promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			path = "" // all of ours are read only
		}
		switch path {
		case "/metrics":
			metrics.ServeHTTP(w, r)
		case "/healthz":
			_, _ = io.WriteString(w, "ok\n")
		case "/readyz":
			s.ready(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// ready answers 200 as long as the store can tell its state.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if _, err := s.store.View(r.Context()); err != nil {
		s.opt.Log.ErrorContext(r.Context(), "not ready", "err", err)
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

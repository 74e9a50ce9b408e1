package app

import (
	"context"
	_ "embed" // the guide
	"fmt"
	"io"
	"net"
	"net/http"
	"text/template"
	"time"

	"github.com/sallyport-net/sallyport/internal/config"
)

// samplePort is where the sample backend listens, unless somebody else does.
const samplePort = "8781"

// sample is the HTTP server that the development service leads to.
type sample struct {
	port   int
	server *http.Server
	done   chan struct{}
}

// startSample starts the sample backend; stop ends it.
func startSample(ctx context.Context) (*sample, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:"+samplePort)
	if err != nil {
		if ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("sample backend: %w", err)
		}
	}
	s := &sample{port: ln.Addr().(*net.TCPAddr).Port, done: make(chan struct{})}
	s.server = &http.Server{
		ReadHeaderTimeout: readHeaderTimeout, WriteTimeout: writeTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "Hello from the provider's backend. You reached it as %s.\n", r.Host)
		}),
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(ln) // ends with stop
	}()
	return s, nil
}

func (s *sample) stop() {
	_ = s.server.Close()
	<-s.done
}

//go:embed guide.sh.tmpl
var guideText string

var guideTemplate = template.Must(template.New("guide").Parse(guideText))

// guide is what the template speaks of.
type guide struct {
	URL                string
	Provider, Consumer account
	VPC, Port          string // of the backend
	EndpointVPC        string
	EndpointSubnet     string
	BackendPort        int
	EndpointPort       int
}

// account is one of the two parties.
type account struct{ Domain, DomainID, User, Password, Project string }

// endpointPort is the port that the development service offers: unprivileged,
// and free on addresses that nobody else uses.
const endpointPort = 8080

// writeGuide prints the story as commands for a shell.
func writeGuide(w io.Writer, cfg *config.Config, url string, backendPort int) error {
	party := func(d config.Domain) account {
		return account{
			Domain: d.Name, DomainID: d.ID, User: d.Users[0].Name, Password: string(d.Users[0].Password),
			Project: d.Projects[0].ID,
		}
	}
	return guideTemplate.Execute(w, guide{
		URL: url, Provider: party(cfg.Identity.Domains[0]), Consumer: party(cfg.Identity.Domains[1]),
		VPC: cfg.Backends[0].VPC, Port: cfg.Backends[0].PortID,
		EndpointVPC: cfg.Networks.VPCs[1].ID, EndpointSubnet: cfg.Networks.VPCs[1].Subnets[0].ID,
		BackendPort: backendPort, EndpointPort: endpointPort,
	})
}

func readyGuide(cfg *config.Config, backendPort int, opt DevOptions) func(net.Addr, string) {
	return func(addr net.Addr, url string) {
		_, _ = fmt.Fprintf(opt.Out, "sallyport dev is ready at %s (data in %s, %s)\n"+
			"Paste the following into another terminal, piece by piece. Ctrl-C here ends it.\n\n",
			addr, cfg.DataDir, time.Now().Format(time.TimeOnly)) //nolint:forbidigo // shown to a person, never stored
		if err := writeGuide(opt.Out, cfg, url, backendPort); err != nil {
			opt.Log.Error("printing the guide", "err", err)
		}
	}
}

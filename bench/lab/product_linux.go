package lab

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

const (
	// Host is where the product's API listens, in a namespace of its own.
	Host = "127.0.0.1:8780"
	// productStart bounds the start of the product and its stop's start anew.
	productStart = 30 * time.Second
	// openWaitFor bounds the opening of an endpoint.
	openWaitFor = 10 * time.Second
)

// The ids of the generated configuration.
const (
	vpcProvider = "be000000-0000-4000-8000-000000000001"
	vpcConsumer = "be000000-0000-4000-8000-000000000003"
	subnet      = "be000000-0000-4000-8000-000000000013"
	backendPort = "be000000-0000-4000-8000-000000000020"
)

//go:embed product.yaml.tmpl
var productText string

var productTemplate = template.Must(template.New("configuration").Parse(productText))

// Product is the real binary with a network of consumers and one of a provider.
type Product struct {
	// Namespace is where the process runs; its API listens there.
	Namespace string
	// Consumer and Provider are the namespaces that it attaches, or "" for the
	// addresses of its own.
	Consumer, Provider string
	// Subnet is where endpoints get their addresses, Backend what they lead to.
	Subnet, Backend string
	// Engine is "auto" or "user".
	Engine string
	// Binary, Dir and UID are the program, where its data lies, and who runs it.
	Binary, Dir string
	UID         int

	*Process
	api *API
}

// Start starts the product and waits until it serves.
func (p *Product) Start(ctx context.Context) error {
	var text bytes.Buffer
	err := productTemplate.Execute(&text, map[string]any{
		"P": p, "Host": Host, "Accounts": []Account{Provider, Consumer}, "VPCProvider": vpcProvider, "VPCConsumer": vpcConsumer,
		"SubnetID": subnet, "PortID": backendPort,
	})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	file := filepath.Join(p.Dir, "config.yaml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if p.UID > 0 {
		for _, name := range []string{p.Dir, file} {
			if err := os.Chown(name, p.UID, p.UID); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
		}
	}
	if p.Process, err = Start(p.Namespace, filepath.Join(p.Dir, "log"), p.UID, p.Binary, "serve", "--config", file); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, productStart)
	defer cancel()
	err = p.Ready(ctx, p.ask)
	if err == nil {
		p.api, err = p.Dial(ctx)
	}
	if err != nil {
		_ = p.Stop() // the error that counts is the first
		return err
	}
	return nil
}

// Dial opens another connection to the API.
func (p *Product) Dial(ctx context.Context) (*API, error) { return DialAPI(ctx, p.Namespace, Host) }

func (p *Product) ask(ctx context.Context) error {
	c, err := p.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	status, _, _, err := c.Send([]byte("GET /readyz HTTP/1.1\r\nHost: " + Host + "\r\n\r\n"))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/readyz answers %d", status)
	}
	return err
}

// Stop ends the product.
func (p *Product) Stop() error {
	if p.api != nil {
		p.api.Close()
		p.api = nil
	}
	return p.Process.Stop()
}

// Port is a port mapping of a service, the same number on both sides.
type Port struct {
	Number   int
	Protocol string // TCP or UDP
}

// Service makes a service and lets the consumer in.
func (p *Product) Service(name string, approval bool, ports ...Port) (string, error) {
	var list []any
	for _, m := range ports {
		list = append(list, map[string]any{"client_port": m.Number, "server_port": m.Number, "protocol": m.Protocol})
	}
	var made struct{ ID string }
	err := p.api.Call(Host, &Provider, http.MethodPost, "vpc-endpoint-services", map[string]any{
		"vpc_id": vpcProvider, "port_id": backendPort, "server_type": "VM", "service_name": name, "approval_enabled": approval, "ports": list,
	}, &made)
	if err != nil {
		return "", fmt.Errorf("make a service: %w", err)
	}
	err = p.api.Call(Host, &Provider, http.MethodPost, "vpc-endpoint-services/"+made.ID+"/permissions/action",
		map[string]any{"action": "add", "permissions": []string{"iam:domain::" + Consumer.Domain}}, nil)
	if err != nil {
		return "", fmt.Errorf("admit the consumer: %w", err)
	}
	return made.ID, nil
}

// NewEndpoint is the request that makes an endpoint of the service.
func NewEndpoint(service string) ([]byte, error) {
	return Consumer.Signed(Host, http.MethodPost, "vpc-endpoints",
		map[string]any{"endpoint_service_id": service, "vpc_id": vpcConsumer, "subnet_id": subnet})
}

// Decision is the request that accepts an endpoint of the service, or rejects it.
func Decision(service, endpoint string, accept bool) ([]byte, error) {
	action := "reject"
	if accept {
		action = "receive"
	}
	return Provider.Signed(Host, http.MethodPost, "vpc-endpoint-services/"+service+"/connections/action",
		map[string]any{"action": action, "endpoints": []string{endpoint}})
}

// Endpoint makes an endpoint of the service, accepts it and returns its id and
// address.
func (p *Product) Endpoint(ctx context.Context, service string) (id, address string, err error) {
	var made struct{ ID string }
	err = p.api.Call(Host, &Consumer, http.MethodPost, "vpc-endpoints",
		map[string]any{"endpoint_service_id": service, "vpc_id": vpcConsumer, "subnet_id": subnet}, &made)
	if err != nil {
		return "", "", fmt.Errorf("make an endpoint: %w", err)
	}
	accept, err := Decision(service, made.ID, true)
	if err != nil {
		return "", "", err
	}
	if status, answer, _, err := p.api.Send(accept); err != nil || status != http.StatusOK {
		return "", "", fmt.Errorf("accept an endpoint: %d %.300s: %w", status, answer, err)
	}
	ctx, cancel := context.WithTimeout(ctx, openWaitFor)
	defer cancel()
	err = p.Ready(ctx, func(context.Context) error {
		var shown struct{ IP, Status string }
		if err := p.api.Call(Host, &Consumer, http.MethodGet, "vpc-endpoints/"+made.ID, nil, &shown); err != nil {
			return fmt.Errorf("show an endpoint: %w", err)
		}
		if address = shown.IP; shown.Status != "accepted" {
			return fmt.Errorf("the endpoint is %s", shown.Status)
		}
		return nil
	})
	return made.ID, address, err
}

// Remove deletes an endpoint.
func (p *Product) Remove(c *API, endpoint string) error {
	return c.Call(Host, &Consumer, http.MethodDelete, "vpc-endpoints/"+endpoint, nil, nil)
}

// Settled waits until the consumer has no more than n endpoints: until the data
// plane has confirmed the end of those that were removed.
func (p *Product) Settled(ctx context.Context, c *API, n int) error {
	return p.Ready(ctx, func(context.Context) error {
		var list struct {
			Total int `json:"total_count"`
		}
		if err := c.Call(Host, &Consumer, http.MethodGet, "vpc-endpoints?limit=1", nil, &list); err != nil {
			return fmt.Errorf("count the endpoints: %w", err)
		}
		if list.Total > n {
			return fmt.Errorf("%d endpoints are there, of %d", list.Total, n)
		}
		return nil
	})
}

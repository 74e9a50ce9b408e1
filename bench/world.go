package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// seedConns is how many connections fill the table; more gain nothing on two
// processors.
const seedConns = 32

// endpointPort is the port that every endpoint offers.
const endpointPort = 9000

// world is what a measure has to work with: services of the provider with
// endpoints of the consumer.
type world struct {
	server *server
	say    func(format string, args ...any)
}

// group is a number of services with the same number of endpoints each, all of
// them waiting for approval.
type group struct {
	services  []string
	endpoints []endpoint // those of one service stand together
}

type endpoint struct{ service, id string }

// plan says what a group shall be.
type plan struct {
	name                string
	services, endpoints int // endpoints per service
	vpc, subnet         string
	port                string // the backend's, "" for one of its own per service
	serverPort          int
}

// make makes a group through the API, as clients do.
func (w *world) make(ctx context.Context, p plan) (*group, error) {
	g := &group{services: make([]string, p.services), endpoints: make([]endpoint, p.services*p.endpoints)}
	var made atomic.Int64
	total := int64(len(g.endpoints))
	begin := now()
	err := w.each(ctx, p.services, func(c *conn, i int) error {
		id, err := w.makeService(c, p, i)
		if err != nil {
			return err
		}
		g.services[i] = id
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = w.each(ctx, len(g.endpoints), func(c *conn, i int) error {
		service := g.services[i/p.endpoints]
		e, err := w.makeEndpoint(c, p, service)
		if err != nil {
			return err
		}
		g.endpoints[i] = e
		const step = 20_000
		if n := made.Add(1); n%step == 0 {
			w.say("  %d of %d endpoints", n, total)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if took := now().Sub(begin); total >= 1000 {
		w.say("  %s: %d services, %d endpoints in %.1f s", p.name, p.services, total, took.Seconds())
	}
	return g, nil
}

func (w *world) makeService(c *conn, p plan, i int) (string, error) {
	port := p.port
	if port == "" {
		port = newID()
	}
	var made struct{ ID string }
	err := w.call(c, &provider, http.MethodPost, "vpc-endpoint-services", map[string]any{
		"vpc_id": vpcProvider, "port_id": port, "server_type": "VM", "service_name": fmt.Sprintf("%s%d", p.name, i),
		"ports": []any{map[string]any{"client_port": endpointPort, "server_port": max(1, p.serverPort), "protocol": "TCP"}},
	}, &made)
	if err != nil {
		return "", fmt.Errorf("make service %d: %w", i, err)
	}
	err = w.call(c, &provider, http.MethodPost, "vpc-endpoint-services/"+made.ID+"/permissions/action",
		map[string]any{"action": "add", "permissions": []string{"iam:domain::" + consumer.Domain}}, nil)
	if err != nil {
		return "", fmt.Errorf("admit the consumer to service %d: %w", i, err)
	}
	return made.ID, nil
}

func (w *world) makeEndpoint(c *conn, p plan, service string) (endpoint, error) {
	var made struct{ ID, Status string }
	err := w.call(c, &consumer, http.MethodPost, "vpc-endpoints",
		map[string]any{"endpoint_service_id": service, "vpc_id": p.vpc, "subnet_id": p.subnet}, &made)
	if err == nil && made.Status != "pendingAcceptance" {
		err = fmt.Errorf("its status is %q", made.Status)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("make an endpoint of service %s: %w", service, err)
	}
	return endpoint{service: service, id: made.ID}, nil
}

// address returns where an accepted endpoint is reached.
func (w *world) address(c *conn, e endpoint) (string, error) {
	var shown struct{ IP string }
	if err := w.call(c, &consumer, http.MethodGet, "vpc-endpoints/"+e.id, nil, &shown); err != nil {
		return "", fmt.Errorf("address of an endpoint: %w", err)
	}
	return net.JoinHostPort(shown.IP, strconv.Itoa(endpointPort)), nil
}

// each calls do for 0 … n-1 over seedConns connections.
func (w *world) each(ctx context.Context, n int, do func(c *conn, i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, seedConns)
	for k := range seedConns {
		all.Go(func() {
			c, err := dial(ctx, w.server.host)
			if err != nil {
				errs[k] = err
				return
			}
			defer c.close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(c, i); err != nil {
					errs[k] = err
					next.Store(int64(n))
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// call sends one signed request below the account's project.
func (w *world) call(c *conn, a *account, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	req, err := a.request(w.server.host, method, "/v1/"+a.Project+"/"+path, text)
	if err != nil {
		return err
	}
	status, answer, err := c.do(req)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s %s: %d %.300s", method, path, status, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// login gets the account a token for its project.
func (w *world) login(ctx context.Context, a *account) error {
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": a.User, "password": a.Password, "domain": map[string]any{"name": a.DomainName},
		}}},
		"scope": map[string]any{"project": map[string]any{"id": a.Project}},
	}})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	c, err := dial(ctx, w.server.host)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	defer c.close()
	req, err := build(w.server.host, http.MethodPost, "/v3/auth/tokens", body, func(*http.Request) error { return nil })
	if err != nil {
		return err
	}
	status, answer, err := c.do(req)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if a.token = header(c.head, "X-Subject-Token"); status != http.StatusCreated || a.token == "" {
		return fmt.Errorf("log in: %d %.300s", status, answer)
	}
	return nil
}

// newID returns what looks like the id of a port.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := fmt.Sprintf("%x", b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

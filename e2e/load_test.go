package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// loadVariable names the environment variable that makes the load test long.
	loadVariable = "SALLYPORT_TEST_LOAD"
	// shortLoad is long enough for every reader to meet every decider many times.
	shortLoad = 5 * time.Second
	longLoad  = 60 * time.Second
	// readers list and deciders decide, all at the same time and through every door.
	readers  = 256
	deciders = 8
)

// loadDoor is one door in the load: how it lists, and how it decides.
type loadDoor struct {
	name   string
	list   string
	decide func(action, endpoint string) (path string, body any)
}

// Many clients list while a few decide, through all three doors at once. If this
// fails, the product stands still under load, or answers with errors. How long a
// decision takes is printed (the aim is 50 ms at the 99th percentile, with a
// machine of its own), and judged nowhere: machines differ.
func TestLoad(t *testing.T) {
	w := newWorld(t)
	search, shop, own := newEcho(t), newEcho(t), newEcho(t)
	w.managed(search.port, shop.port)
	p := w.start(t)
	owner, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	service := owner.createService(forwarding(clientPort, own.port))
	cluster, gateway := owner.openCluster(clusterID), owner.instance("gateways", gatewayID)
	var ids [3][]string
	for i, s := range []string{service, cluster.Service, gateway.Service} {
		owner.allow(s, consumerDomain)
		for range deciders {
			ids[i] = append(ids[i], consumer.createEndpoint(to(s)).ID)
		}
	}
	doors := [3]loadDoor{
		{"vpcep", "/v1/" + providerID + "/vpc-endpoint-services/" + service + "/connections", func(action, e string) (string, any) {
			return "/v1/" + providerID + "/vpc-endpoint-services/" + service + "/connections/action", decision(action, e)
		}},
		{"css", owner.clusterPath(clusterID, "/vpcepservice/connections"), func(action, e string) (string, any) {
			return owner.clusterPath(clusterID, "/vpcepservice/connections"), map[string]any{"action": action, "endpoint_id_list": []string{e}}
		}},
		{"apig", owner.gatewayPath("/vpc-endpoint/connections"), func(action, e string) (string, any) {
			return owner.gatewayPath("/vpc-endpoint/connections/action"), decision(action, e)
		}},
	}

	length := shortLoad
	if os.Getenv(loadVariable) != "" {
		length = longLoad
	}
	l := newLoad(t, owner)
	l.run(length, doors, ids)
	l.report(length)
	if l.listed.Load() == 0 || len(l.took) < 3*2 {
		t.Errorf("%d lists and %d decisions: something stands still", l.listed.Load(), len(l.took))
	}
}

// load is what the clients of the load share.
type load struct {
	t      *testing.T
	c      *caller
	listed atomic.Int64
	mu     sync.Mutex
	took   []time.Duration // of every decision
	errs   []error
}

func newLoad(t *testing.T, owner *caller) *load {
	t.Helper()
	c := *owner.login()
	tr := &http.Transport{MaxIdleConnsPerHost: readers + 3*deciders}
	t.Cleanup(tr.CloseIdleConnections)
	c.http = &http.Client{Transport: tr, Timeout: patience}
	return &load{t: t, c: &c}
}

// run lets every client work until the time is over.
func (l *load) run(length time.Duration, doors [3]loadDoor, ids [3][]string) {
	ctx, stop := context.WithTimeout(l.t.Context(), length)
	defer stop()
	var all sync.WaitGroup
	for n := range readers {
		all.Go(func() {
			for ctx.Err() == nil {
				if l.ask(http.MethodGet, doors[n%len(doors)].list, nil) {
					l.listed.Add(1)
				}
			}
		})
	}
	for n := range deciders {
		all.Go(func() {
			for round := n; ctx.Err() == nil; round++ {
				door := doors[round%len(doors)]
				endpoint := ids[round%len(doors)][n] // nobody else decides this one
				for _, action := range []string{"receive", "reject"} {
					path, body := door.decide(action, endpoint)
					began := time.Now()
					if l.ask(http.MethodPost, path, body) {
						l.mu.Lock()
						l.took = append(l.took, time.Since(began))
						l.mu.Unlock()
					}
				}
			}
		})
	}
	all.Wait()
}

// ask sends one request, and reports whether it was answered with 200.
func (l *load) ask(method, path string, body any) bool {
	a, err := l.c.try(method, path, body, nil)
	if err == nil && a.status == http.StatusOK {
		return true
	}
	if err == nil {
		err = fmt.Errorf("%s %s: %s", method, path, a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 10 { // the first few tell it all
		l.errs = append(l.errs, err)
	}
	return false
}

// report prints what was done, and fails where anything went wrong.
func (l *load) report(length time.Duration) {
	l.t.Helper()
	if err := errors.Join(l.errs...); err != nil {
		l.t.Errorf("under load: %v", err)
	}
	slices.Sort(l.took)
	if n := len(l.took); n > 0 {
		l.t.Logf("%d lists and %d decisions in %s; a decision took %s in the middle, %s at the 99th percentile, %s at most",
			l.listed.Load(), n, length, l.took[n/2], l.took[n*99/100], l.took[n-1])
	}
}

package lab_test

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Idle connections and such as carry all the time, from both machines of a VPC, are
// cut by every decision that cuts. If this fails, a program waits for an answer that
// never comes, until its user gives up.
func TestBothSidesAreTold(t *testing.T) {
	for _, engine := range []string{"kernel", "user"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := newServer(t, w, settings{Engine: map[string]string{"kernel": "auto", "user": "user"}[engine]})
			for _, six := range []bool{false, true} {
				port, ip, subnets, place := portFirst, firstIP, []string{subnetA, subnetB}, "10.0.0.50"
				if six {
					port, ip, subnets, place = portFirst6, firstIP6, []string{subnetA6, subnetB6}, ""
				}
				c := &cutter{t: t, provider: server.as(t, paula), engine: engine}
				c.held = (&backend{hold: true}).listen(t, w.p.first, ip, 8100)
				(&backend{}).listen(t, w.p.first, ip, 8101)
				c.service = c.provider.createService(port, "", cutPorts...)
				for n, v := range []*vpc{w.a, w.b} {
					c.consumer, c.v = server.as(t, []user{anna, bert}[n]), v
					c.id = c.consumer.create(of(c.service, subnets[n], place))
					c.cut("port edit", func() {
						c.ports(mapping{7102, 8101, "TCP"})
						c.ports(cutPorts...)
					})
					c.cut("reject", func() { c.provider.decide(c.service, c.id, "reject") })
					c.cut("delete", func() { c.consumer.do(http.MethodDelete, "vpc-endpoints/"+c.id, nil, 204, nil) })
				}
			}
			server.stop(t)
			w.mustBeAsBefore(t)
		})
	}
}

// cutPorts are those of a service that is cut: of idle connections, and of busy ones.
var cutPorts = []mapping{{7100, 8100, "TCP"}, {7101, 8101, "TCP"}}

// cutter cuts the connections of one endpoint.
type cutter struct {
	t                  *testing.T
	provider, consumer *caller
	v                  *vpc
	engine             string
	service, id        string
	held               *backend
}

// ports gives the service other ports.
func (c *cutter) ports(list ...mapping) {
	c.t.Helper()
	c.provider.do(http.MethodPut, "vpc-endpoint-services/"+c.service, map[string]any{"ports": list}, 200, nil)
}

// cut makes connections, cuts them, and wants every end to see a reset.
func (c *cutter) cut(how string, do func()) {
	c.t.Helper()
	c.provider.decide(c.service, c.id, "receive")
	ip := c.consumer.read(c.id).IP
	if got := c.consumer.engineOf(c.id, "TCP", 7100).Engine; got != c.engine {
		c.t.Fatalf("the mapping is carried by %s", got)
	}
	var ends []*ending
	for _, m := range []*machine{c.v.router, c.v.first} {
		for range 3 {
			ends = append(
				ends,
				&ending{what: "an idle client in " + m.name, conn: connect(c.t, m, "", at(ip, 7100))},
				&ending{what: "the backend of an idle client in " + m.name, conn: c.held.take(c.t)},
				&ending{what: "a busy client in " + m.name, conn: connect(c.t, m, "", at(ip, 7101)), busy: true},
			)
		}
	}
	var all sync.WaitGroup
	for _, e := range ends {
		all.Go(e.wait)
	}
	for _, e := range ends {
		until(c.t, "it is begun", func() bool { return !e.busy || e.begun() })
	}
	do()
	all.Wait()
	for _, e := range ends {
		if !wasReset(e.err) {
			c.t.Errorf("%s: %s ends with %v, want a reset", how, e.what, e.err)
		}
		e.conn.Close()
	}
}

// ending is one end of a connection that waits to be told that it is cut.
type ending struct {
	what string
	conn *net.TCPConn
	busy bool

	mu     sync.Mutex
	rounds int
	err    error
}

// wait reads until the end, and sends and reads all the time where it is busy.
func (e *ending) wait() {
	for {
		var err error
		if e.busy {
			err = echoOn(e.conn, newFrame(tag{}), laneTimeout)
		} else {
			_ = e.conn.SetReadDeadline(time.Now().Add(laneTimeout))
			_, err = e.conn.Read(make([]byte, 1))
		}
		e.mu.Lock()
		e.rounds++
		e.err = err
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// begun reports whether there was a round.
func (e *ending) begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rounds > 0
}

package lab_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stage is a world with Sallyport, three services and six endpoints, traffic on
// every way into them, and what the decisions so far promise of each.
type stage struct {
	t      *testing.T
	world  *world
	server *server
	book   *book
	paula  *caller

	backends  []*backend
	services  []*stageService
	endpoints []*stageEndpoint
}

// door is one port of a service as clients see it.
type door struct {
	protocol string // TCP or UDP
	port     int
}

// The doors that a service may have.
var (
	mainDoor     = door{"TCP", 7100}
	extraDoor    = door{"TCP", 7101}
	datagramDoor = door{"UDP", 7100}
	doors        = []door{mainDoor, extraDoor, datagramDoor}
)

// stageService is a service and its ports.
type stageService struct {
	name string
	id   string
	base int          // the first of its ports at the backend
	to   map[door]int // the backend's port of those that it has
}

// Whitelists of an endpoint.
const (
	everybody = iota
	bothClients
	routerOnly
	machineOnly
	whitelists
)

// stageEndpoint is an endpoint as it should be.
type stageEndpoint struct {
	name      string
	consumer  *caller
	service   *stageService
	place     endpoint
	id        string
	accepted  bool
	whitelist int
	lanes     []stageLane
}

// stageLane is one way into an endpoint.
type stageLane struct {
	*lane
	door   door
	router bool // it comes from the VPC's router, not from its machine
}

// newStage makes the stage, with every endpoint accepted and traffic on it.
func newStage(t *testing.T, s settings) *stage {
	t.Helper()
	w := newWorld(t)
	st := &stage{t: t, world: w, book: &book{}}
	st.server = newServer(t, w, s)
	st.paula = st.server.as(t, paula)
	plain := st.service("plain", portFirst, firstIP, "close", 8100)
	proxied := st.service("proxied", portFirst, firstIP, "proxy_open", 8200)
	six := st.service("six", portFirst6, firstIP6, "close", 8300)
	for _, c := range []struct {
		who     user
		v       *vpc
		name    string
		subnet  string
		subnet6 string
	}{{anna, w.a, "A", subnetA, subnetA6}, {bert, w.b, "B", subnetB, subnetB6}} {
		me := st.server.as(t, c.who)
		st.endpoint(c.name+"'s endpoint of plain", me, c.v, plain, of(plain.id, c.subnet, "10.0.0.50"))
		st.endpoint(c.name+"'s endpoint of proxied", me, c.v, proxied, of(proxied.id, c.subnet, "10.0.0.51"))
		if c.name == "A" {
			st.endpoint("A's IPv6 endpoint of six", me, c.v, six, of(six.id, c.subnet6, ""))
		} else {
			st.endpoint("B's IPv4 endpoint of six", me, c.v, six, of(six.id, c.subnet, "10.0.0.52"))
		}
	}
	t.Cleanup(st.book.drive())
	return st
}

// service makes a service, with an echo behind every port that it may come to have.
func (st *stage) service(name, portID, ip, proxy string, base int) *stageService {
	st.t.Helper()
	for n := range 3 {
		b := (&backend{book: st.book, proxy: proxy != "close"}).listen(st.t, st.world.p.first, ip, base+n)
		st.backends = append(st.backends, b)
	}
	s := &stageService{name: name, base: base, to: map[door]int{mainDoor: base, datagramDoor: base}}
	s.id = st.paula.createService(portID, proxy, s.ports()...)
	st.services = append(st.services, s)
	return s
}

// ports are the mappings that the service should have.
func (s *stageService) ports() []mapping {
	var out []mapping
	for _, d := range doors {
		if to, ok := s.to[d]; ok {
			out = append(out, mapping{d.port, to, d.protocol})
		}
	}
	return out
}

// endpoint makes an endpoint with its lanes and accepts it.
func (st *stage) endpoint(name string, consumer *caller, v *vpc, s *stageService, place endpoint) {
	st.t.Helper()
	e := &stageEndpoint{name: name, consumer: consumer, service: s, place: place}
	router, first := routerIP, firstIP
	if place.PortIP == "" {
		router, first = routerIP6, firstIP6
	}
	for _, d := range doors {
		for _, fromRouter := range []bool{true, false} {
			m, source, from := v.first, first, "its machine"
			if fromRouter {
				m, source, from = v.router, router, "its router"
			}
			l := st.book.add(fmt.Sprintf("%s, %s %d from %s", name, d.protocol, d.port, from), m, source, strings.ToLower(d.protocol), at(place.PortIP, d.port))
			e.lanes = append(e.lanes, stageLane{l, d, fromRouter})
		}
	}
	e.id = consumer.create(place)
	st.endpoints = append(st.endpoints, e)
	st.decide(e, true)
}

// right is what a lane has a right to.
type right struct {
	carry bool // flows may live
	admit bool // and new ones begin
	to    int  // the backend's port
}

func (e *stageEndpoint) right(l stageLane) right {
	to, ok := e.service.to[l.door]
	carry := e.accepted && ok
	admit := carry
	switch e.whitelist {
	case routerOnly:
		admit = carry && l.router
	case machineOnly:
		admit = carry && !l.router
	}
	return right{carry, admit, to}
}

// step changes what is promised, asks for it, and says from the answer on what
// holds. It then wants every way that was opened to carry at once.
func (st *stage) step(change func(), ask func() time.Time) {
	st.t.Helper()
	type item struct {
		l          stageLane
		e          *stageEndpoint
		was        right
		is         right
		ends, cuts bool
	}
	var list []item
	for _, e := range st.endpoints {
		for _, l := range e.lanes {
			list = append(list, item{l: l, e: e, was: e.right(l)})
		}
	}
	change()
	list = slices.DeleteFunc(list, func(i item) bool { return i.e.right(i.l) == i.was })
	for n := range list {
		i := &list[n]
		i.is = i.e.right(i.l)
		i.cuts = i.was.carry && (!i.is.carry || i.is.to != i.was.to)
		i.ends = i.cuts || i.is.carry && !i.was.carry
		i.l.change(i.ends, i.is.carry)
	}
	answered := ask()
	for _, i := range list {
		now := shut
		if i.is.admit {
			now = open
		}
		i.l.settle(now, i.cuts, answered)
	}
	var all sync.WaitGroup
	for _, i := range list {
		if i.is.admit {
			all.Go(func() {
				if f := i.l.begin(st.t.Context()); f != nil { // it notes what is wrong
					f.conn.Close()
				}
			})
		}
	}
	all.Wait()
}

// decide accepts or rejects an endpoint.
func (st *stage) decide(e *stageEndpoint, accept bool) {
	st.t.Helper()
	action := "reject"
	if accept {
		action = "receive"
	}
	st.step(func() { e.accepted = accept }, func() time.Time {
		answered := st.paula.decide(e.service.id, e.id, action)
		if accept && e.place.PortIP == "" {
			ip := e.consumer.read(e.id).IP // it shows once it is accepted
			for _, l := range e.lanes {
				l.move(at(ip, l.door.port))
			}
		}
		return answered
	})
}

// edit gives a service other ports.
func (st *stage) edit(s *stageService, to map[door]int) {
	st.t.Helper()
	st.step(func() { s.to = maps.Clone(to) }, func() time.Time {
		return st.paula.do(http.MethodPut, "vpc-endpoint-services/"+s.id, map[string]any{"ports": s.ports()}, 200, nil).at
	})
}

// allow gives an endpoint another whitelist.
func (st *stage) allow(e *stageEndpoint, whitelist int) {
	st.t.Helper()
	sources := map[int][]string{
		everybody: {}, bothClients: {routerIP, firstIP}, routerOnly: {routerIP + "/32"}, machineOnly: {firstIP},
	}
	st.step(func() { e.whitelist = whitelist }, func() time.Time {
		return e.consumer.do(http.MethodPut, "vpc-endpoints/"+e.id,
			map[string]any{"enable_whitelist": whitelist != everybody, "whitelist": sources[whitelist]}, 200, nil).at
	})
}

// remove deletes an endpoint.
func (st *stage) remove(e *stageEndpoint) {
	st.t.Helper()
	st.step(func() { e.accepted, e.whitelist = false, everybody }, func() time.Time {
		return e.consumer.do(http.MethodDelete, "vpc-endpoints/"+e.id, nil, 204, nil).at
	})
}

// lanes returns those that a condition holds for.
func (st *stage) lanes(holds func(e *stageEndpoint, l stageLane) bool) []*lane {
	var out []*lane
	for _, e := range st.endpoints {
		for _, l := range e.lanes {
			if holds(e, l) {
				out = append(out, l.lane)
			}
		}
	}
	return out
}

// open returns every lane that lets connections in.
func (st *stage) open() []*lane {
	return st.lanes(func(e *stageEndpoint, l stageLane) bool { return e.right(l).admit })
}

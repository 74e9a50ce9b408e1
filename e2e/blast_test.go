package e2e_test

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// One of eight endpoints in one subnet, to one service, is rejected and accepted
// again while all of them carry. If this fails, a decision about one consumer
// hurts another.
func TestRejectTouchesNoNeighbour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	first, second := newEcho(t), newBackend(t)
	// Two ports, to two backends, and beside it a second service.
	id := provider.createService(service{
		PortID: backendPort, VPC: providerVPC, Server: "VM", Approval: true,
		Ports: []port{{Client: clientPort, Server: first.port}, {Client: clientPort + 1, Server: second.port}},
	})
	provider.allow(id, consumerDomain)
	third := newEcho(t)
	other := provider.createService(forwarding(clientPort, third.port))
	provider.allow(other, consumerDomain)

	const victim = 3
	var ids []string
	var pulses []*pulse
	for n := range 8 {
		e := to(id)
		e.PortIP = w.address(byte(20 + n))
		e = consumer.createEndpoint(e)
		provider.accept(id, e.ID)
		ids = append(ids, e.ID)
		pulses = append(pulses, beat(t, at(w.address(byte(20+n)))))
	}
	beside := consumer.createEndpoint(endpoint{Service: other, VPC: consumerVPC, Subnet: consumerSubnet, PortIP: w.address(40)})
	provider.accept(other, beside.ID)
	pulses = append(pulses, beat(t, at(w.address(40))))

	secondPort := net.JoinHostPort(w.address(20+victim), strconv.Itoa(clientPort+1))
	client, server := second.connect(t, secondPort)
	flow := pour(client, server)
	flow.wait(t)
	for range 5 {
		provider.reject(id, ids[victim])
		flow.mustEnd(t, [2]int64{arrived(t, client), arrived(t, server)})
		mustRefuse(t, at(w.address(20+victim)))
		mustRefuse(t, secondPort)
		for n, p := range pulses {
			if n != victim {
				p.goOn(t)
			}
		}
		provider.accept(id, ids[victim])
		client, server = second.connect(t, secondPort)
		flow = pour(client, server)
		flow.wait(t)
	}
	consumer.deleteEndpoint(ids[victim])
	flow.mustEnd(t, [2]int64{arrived(t, client), arrived(t, server)})
	for n, p := range pulses {
		if n != victim {
			p.goOn(t)
		}
	}
	select {
	case <-pulses[victim].done:
		if err := pulses[victim].err; !wasReset(err) {
			t.Errorf("the rejected endpoint's flow ended with %v, want a reset", err)
		}
	case <-time.After(patience):
		t.Error("the rejected endpoint's flow never ended")
	}
}

// The addresses that consumers ask for. If this fails, an endpoint is not where
// its owner's programs look for it, or two endpoints fight for one address.
func TestPortIPIsHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	back := newEcho(t)
	id, _ := crowd(t, provider, consumer, back, 0)
	e := to(id)
	e.PortIP = w.address(77)
	made := consumer.createEndpoint(e)
	provider.accept(id, made.ID)
	if got := consumer.endpoint(made.ID); got.IP != w.address(77) {
		t.Errorf("the endpoint is at %s, want %s", got.IP, w.address(77))
	}
	mustEcho(t, at(w.address(77)))

	for ip, code := range map[string]string{
		w.address(77): "EndPoint.2042", // taken
		"10.1.2.3":    "EndPoint.2043", // not of the subnet
		"127.0.0.x":   "EndPoint.2041",
		"0.0.0.0":     "EndPoint.2041",
		"::1":         "EndPoint.2041",
	} {
		e.PortIP = ip
		consumer.refused(http.MethodPost, "vpc-endpoints", e, 400, code)
	}
	// Without a wish, each gets an address of its own.
	seen := map[string]bool{w.address(77): true}
	for range 5 {
		made := consumer.createEndpoint(to(id))
		provider.accept(id, made.ID)
		ip := consumer.endpoint(made.ID).IP
		if seen[ip] {
			t.Errorf("%s was given twice", ip)
		}
		seen[ip] = true
		mustEcho(t, at(ip))
	}
	// A deleted endpoint's address can be had again.
	consumer.deleteEndpoint(made.ID)
	e.PortIP = w.address(77)
	consumer.createEndpoint(e)
}

// Somebody else has the port at the endpoint's address. If this fails, an owner
// reads "accepted" for what does not stand, cannot learn why, or has to make the
// endpoint anew when the reason is gone.
func TestBindFailureIsFailedUntilRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	id, ids := crowd(t, provider, consumer, newEcho(t), 1)
	squatter, err := net.Listen("tcp", at(w.address(20)))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()

	got := provider.decide(id, ids[0], "receive")
	if got.Status != "failed" || len(got.Error) != 1 {
		t.Fatalf("accept answers %+v, want failed and why", got)
	}
	seen := consumer.endpoint(ids[0])
	if seen.Status != "failed" || len(seen.Error) != 1 || seen.IP != "" ||
		!strings.Contains(seen.Error[0].Message, "in use") || seen.Error[0].Code == "" {
		t.Errorf("the consumer sees %+v, want failed because the address is in use", seen)
	}
	squatter.Close()
	provider.accept(id, ids[0])
	mustEcho(t, at(w.address(20)))
	if seen := consumer.endpoint(ids[0]); len(seen.Error) != 0 {
		t.Errorf("the error stays: %+v", seen)
	}
	// An owner can cut a failed one too.
	provider.reject(id, ids[0])
	squatter, err = net.Listen("tcp", at(w.address(20)))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	provider.decide(id, ids[0], "receive")
	provider.reject(id, ids[0])
}

package e2e_test

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// Without approval nobody decides: the endpoint opens by itself. If this fails,
// stock clients that wait for it give up, or an owner cannot cut a consumer off.
func TestApprovalOffOpensByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	s := forwarding(clientPort, newEcho(t).port)
	s.Approval = false
	id := provider.createService(s)
	provider.allow(id, consumerDomain)
	e := to(id)
	e.PortIP = w.address(20)
	made := consumer.createEndpoint(e)
	if made.Status != "creating" {
		t.Errorf("the answer to create says %s, want creating", made.Status)
	}
	until(t, "the endpoint is accepted", func() bool { return consumer.endpoint(made.ID).Status == "accepted" })
	mustEcho(t, at(w.address(20)))
	provider.refused(http.MethodDelete, "vpc-endpoint-services/"+id, nil, 400, "EndPoint.3006")
	provider.reject(id, made.ID)
	mustRefuse(t, at(w.address(20)))
	provider.accept(id, made.ID)
	mustEcho(t, at(w.address(20)))

	// Where no agent carries a network, the decision is all there is, and said so.
	detached := consumer.createEndpoint(endpoint{Service: id, VPC: detachedVPC, Subnet: detachedSubnet})
	until(t, "the detached endpoint is accepted", func() bool { return consumer.endpoint(detached.ID).Status == "accepted" })
	if got := consumer.enforced(detached.ID); got.State != "unattached" {
		t.Errorf("the data plane says %+v, want unattached", got)
	}
	provider.reject(id, detached.ID)
	consumer.deleteEndpoint(detached.ID)
	if !consumer.gone(detached.ID) {
		t.Error("the detached endpoint is still there")
	}
}

// A stock request names networks that nobody told the server of. If this fails,
// a Terraform file that works in the cloud does not work here, or a connection
// to a backend that does not exist hangs.
func TestUnknownNetworksAreTakenAsTheyCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	// These endpoints share the pool of unknown subnets with other processes.
	offered := 20000 + os.Getpid()%10000
	id := provider.createService(service{
		PortID: "77e0a1b2-1111-4222-8333-444455556666", VPC: "0f0e0d0c-1111-4222-8333-444455556666", Server: "LB",
		Approval: false, Ports: []port{{Client: offered, Server: 8080}},
	})
	provider.allow(id, consumerDomain)
	stock := endpoint{Service: id, VPC: "9c1d7a34-1111-4222-8333-444455556666", Subnet: "1a2b3c4d-1111-4222-8333-444455556666"}
	open := func(e endpoint) endpoint {
		t.Helper()
		made := consumer.createEndpoint(e)
		until(t, "the endpoint is accepted", func() bool { return consumer.endpoint(made.ID).Status == "accepted" })
		return consumer.endpoint(made.ID)
	}
	made := open(stock)
	// The status is stored a moment before the report is noted.
	until(t, "the data plane says open", func() bool { return consumer.enforced(made.ID).State == "open" })
	// The reset may come before the client has noticed that it is connected.
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(made.IP, strconv.Itoa(offered)), patience)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1))
	}
	if !wasReset(err) {
		t.Errorf("a connection to no backend ends with %v, want a reset", err)
	}

	// The address that every example asks for is not one of this machine.
	elsewhere := stock
	elsewhere.Subnet, elsewhere.PortIP = "2a2b3c4d-1111-4222-8333-444455556666", "192.168.0.12"
	if conn, err := net.Listen("tcp", "192.168.0.12:0"); err == nil {
		conn.Close()
		t.Skip("this machine has the address 192.168.0.12")
	}
	made = open(elsewhere)
	if made.IP != "192.168.0.12" {
		t.Errorf("the endpoint is at %s", made.IP)
	}
	if got := consumer.enforced(made.ID); got.State != "unattached" {
		t.Errorf("the data plane says %+v, want unattached", got)
	}
	provider.reject(id, made.ID)
	provider.accept(id, made.ID)
	consumer.deleteEndpoint(made.ID)
	if !consumer.gone(made.ID) {
		t.Error("the endpoint is still there")
	}
}

// The same ids where the operator wants to be asked first. If this fails, a
// mistyped id is taken for a network.
func TestUnknownNetworksAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Unknown = "refuse"
	p := w.start(t)
	provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
	const unknown = "99999999-1111-4222-8333-444455556666"
	id, _ := crowd(t, provider, consumer, newEcho(t), 0)
	for _, tt := range []struct {
		name   string
		change func(*service)
		status int
		code   string
	}{
		{"vpc", func(s *service) { s.VPC = unknown }, 400, "EndPoint.2001"},
		{"port", func(s *service) { s.PortID = unknown }, 404, "EndPoint.4012"},
		{"port of another vpc", func(s *service) { s.VPC = consumerVPC }, 400, "EndPoint.3042"},
	} {
		t.Run("service/"+tt.name, func(t *testing.T) {
			s := forwarding(clientPort, 9)
			tt.change(&s)
			provider.refused(http.MethodPost, "vpc-endpoint-services", s, tt.status, tt.code)
		})
	}
	for _, tt := range []struct {
		name   string
		change func(*endpoint)
		status int
		code   string
	}{
		{"vpc", func(e *endpoint) { e.VPC = unknown }, 400, "EndPoint.2001"},
		{"subnet", func(e *endpoint) { e.Subnet = unknown }, 404, "EndPoint.4004"},
		{"subnet of another vpc", func(e *endpoint) { e.Subnet = providerSubnet }, 400, "EndPoint.2037"},
	} {
		t.Run("endpoint/"+tt.name, func(t *testing.T) {
			e := to(id)
			tt.change(&e)
			consumer.refused(http.MethodPost, "vpc-endpoints", e, tt.status, tt.code)
		})
	}
}

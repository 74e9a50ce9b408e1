package lab_test

import (
	"net"
	"testing"
	"time"
)

// Of two backend machines the server of one dies, then the machine itself. If this
// fails, clients see the failure of one machine though another was there for it.
func TestBackendDeath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := newServer(t, w, settings{Dial: time.Second})
	provider, annas := server.as(t, paula), server.as(t, anna)
	for _, k := range []struct {
		name, port, engine, ip string
		base                   int
	}{
		{"user", portBoth, "user", "10.0.0.50", 8100},
		{"kernel with a check", portChecked, "kernel", "10.0.0.51", 8200},
	} {
		t.Run(k.name, func(t *testing.T) {
			p := &pair{client: w.a.first, to: at(k.ip, 7100), retries: k.engine == "user"}
			p.first = (&backend{}).listen(t, w.p.first, firstIP, k.base)
			p.second = (&backend{}).listen(t, w.p.second, secondIP, k.base)
			service := provider.createService(k.port, "", mapping{7100, k.base, "TCP"})
			id := annas.create(of(service, subnetA, k.ip))
			provider.decide(service, id, "receive")
			if got := annas.engineOf(id, "TCP", 7100); got.Engine != k.engine {
				t.Fatalf("the mapping is carried by %q because of %q, want %s", got.Engine, got.Reason, k.engine)
			}
			p.mustServe(t, p.first)
			held := p.mustServe(t, p.second)

			p.first.die()
			p.mustCarry(t, "the first server is dead")
			w.p.first.ip(t, "link set eth0 down")
			p.mustCarry(t, "the first machine is gone")
			w.p.first.ip(t, "link set eth0 up", "route replace default via "+routerIP)
			p.first.start(t)
			p.mustServe(t, p.first)
			p.mustCarry(t, "both are there again")
			_ = held.SetDeadline(time.Now().Add(patience))
			if err := echoOn(held, newFrame(tag{}), patience); err != nil {
				t.Errorf("a flow to the second machine: %v", err)
			}
		})
	}
}

// pair is an endpoint with two backends.
type pair struct {
	client        *machine
	to            string
	first, second *backend
	// retries says that another backend is tried while a connection waits; without
	// that, it takes until a check has told.
	retries bool
}

// mustServe connects until a backend was the one that answered, and returns that
// connection.
func (p *pair) mustServe(t *testing.T, b *backend) (conn *net.TCPConn) {
	t.Helper()
	until(t, b.machine.name+" serves", func() bool {
		before := b.served.Load()
		c, err := p.client.dial(t.Context(), "tcp", firstIP, p.to, time.Second)
		if err != nil {
			return false
		}
		if echoOn(c, newFrame(tag{}), time.Second) != nil || b.served.Load() == before {
			c.Close()
			return false
		}
		conn = c.(*net.TCPConn)
		return true
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// mustCarry wants many connections in a row to be carried: from now on, or from
// when a check has told.
func (p *pair) mustCarry(t *testing.T, when string) {
	t.Helper()
	const row = 12
	if p.retries {
		for range row {
			if err := echoes(t, p.client, "tcp", firstIP, p.to, patience); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		return
	}
	until(t, when+", and connections are carried", func() bool {
		for range row {
			if echoes(t, p.client, "tcp", firstIP, p.to, time.Second) != nil {
				return false
			}
		}
		return true
	})
}

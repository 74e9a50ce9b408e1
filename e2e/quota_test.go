package e2e_test

import (
	"net/http"
	"sync"
	"testing"
)

// Sixty-four ask at once for the twenty services, and then the twenty endpoints,
// that the project may have. If this fails, a quota can be overrun by asking
// quickly, or a refused request takes a place.
func TestQuotaHoldsInARace(t *testing.T) {
	t.Parallel()
	const quota, asking = 20, 64
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Database = db.url(t)
			w.Services, w.Endpoint = quota, quota
			p := w.start(t)
			provider, consumer := p.as(t, w.provider()), p.as(t, w.consumer())
			target := provider.createService(forwarding(clientPort, 9))
			provider.allow(target, consumerDomain)

			services := race(t, provider, "vpc-endpoint-services", asking, func(n int) any { return forwarding(clientPort, 10+n) })
			if services != quota-1 { // the target has a place already
				t.Errorf("%d services were made, want %d", services, quota-1)
			}
			endpoints := race(t, consumer, "vpc-endpoints", asking, func(int) any { return to(target) })
			if endpoints != quota {
				t.Errorf("%d endpoints were made, want %d", endpoints, quota)
			}
			for c, path := range map[*caller]string{provider: "vpc-endpoint-services", consumer: "vpc-endpoints"} {
				var list struct {
					Total int `json:"total_count"`
				}
				c.do(http.MethodGet, path, nil, 200, &list)
				if list.Total != quota {
					t.Errorf("%s has %d entries, want %d", path, list.Total, quota)
				}
			}
			used := quotas(consumer)
			if used["endpoint"] != quota || used["endpoint_service"] != 0 {
				t.Errorf("the consumer uses %v", used)
			}

			var list struct{ Endpoints []endpoint }
			consumer.do(http.MethodGet, "vpc-endpoints?limit=1", nil, 200, &list)
			consumer.deleteEndpoint(list.Endpoints[0].ID)
			consumer.createEndpoint(to(target))
			consumer.refused(http.MethodPost, "vpc-endpoints", to(target), 400, "Endpoint.1018")
		})
	}
}

// race posts n bodies at once and returns how many were taken; the others have
// to be refused because of the quota.
func race(t *testing.T, c *caller, path string, n int, body func(int) any) int {
	t.Helper()
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = c.try(http.MethodPost, "/v1/"+c.project+"/"+path, body(i), nil); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	all.Wait()
	made := 0
	for _, a := range answers {
		switch {
		case a.status == 200:
			made++
		case a.status != 400 || a.code(t) != "Endpoint.1018":
			t.Errorf("%s: %s, want 400 Endpoint.1018", path, a)
		}
	}
	return made
}

// quotas returns what a project uses by type.
func quotas(c *caller) map[string]int {
	c.t.Helper()
	var out struct {
		Quotas struct {
			Resources []struct {
				Type string
				Used int
			}
		}
	}
	c.do(http.MethodGet, "quotas", nil, 200, &out)
	used := map[string]int{}
	for _, r := range out.Quotas.Resources {
		used[r.Type] = r.Used
	}
	return used
}

package sqlstore_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/sallyport-net/sallyport/internal/pgtest"
	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

// two opens two stores on one fresh database.
func two(t *testing.T) (stores [2]*sqlstore.Store, opt sqlstore.Options) {
	t.Helper()
	opt = sqlstore.Options{URL: pgtest.URL(t)}
	for i := range stores {
		stores[i] = open(t, opt)
	}
	return stores, opt
}

// A client that was answered by one server asks the other one at once. If this
// fails, it is told what was true before.
func TestReadOnTheOtherServerIsNeverStale(t *testing.T) {
	const callers, each = 4, 250
	stores, _ := two(t)
	svc := storetest.Service("project-a")
	update(t, stores[0], func(tx sallyport.Tx) { storetest.CreateService(tx, svc) })
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			e := storetest.Endpoint(svc, c+2)
			for i := range each {
				e := *e
				e.Description = fmt.Sprint(i)
				var rev sallyport.Revision
				err := stores[i%2].Update(t.Context(), func(tx sallyport.Tx) error {
					storetest.CreateEndpoint(tx, &e)
					rev = tx.Revision()
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				v, err := stores[1-i%2].View(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				got, ok := v.Endpoint(e.ID)
				if !ok || got.Description != e.Description || v.Revision() < rev {
					t.Errorf("revision %d was acknowledged, the other server is at %d and shows %+v", rev, v.Revision(), got)
					return
				}
			}
		})
	}
	wg.Wait()
}

// If this fails, one server does not learn of some kind of change that another
// one made, until it is started anew.
func TestServersShowTheSame(t *testing.T) {
	stores, opt := two(t)
	_ = opt
	storetest.FewerChecks(t)
	want := storetest.NewNaive()
	rapid.Check(t, func(rt *rapid.T) {
		w := storetest.NewWorldFrom(want)
		clear := w.Clear()
		if err := stores[0].Update(t.Context(), func(tx sallyport.Tx) error { clear(tx); return nil }); err != nil {
			rt.Fatal(err)
		}
		want = w.State()
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				// Several updates on one server make one stretch of the log for the other.
				s := stores[rapid.IntRange(0, 1).Draw(rt, "server")]
				for range rapid.IntRange(1, 3).Draw(rt, "updates") {
					ops, after := w.Draw(rt)
					err := s.Update(t.Context(), func(tx sallyport.Tx) error {
						for _, op := range ops {
							op(tx)
						}
						return nil
					})
					if err != nil {
						rt.Fatal(err)
					}
					w.Took(after, true)
					want = w.State()
				}
			},
			"look": func(rt *rapid.T) {
				v, err := stores[rapid.IntRange(0, 1).Draw(rt, "server")].View(t.Context())
				if err != nil {
					rt.Fatal(err)
				}
				w.Check(rt, v)
			},
		})
	})
	for i, s := range stores {
		if diff := storetest.Diff(view(t, s), want); diff != "" {
			t.Errorf("server %d:\n%s", i, diff)
		}
	}
	if diff := storetest.Diff(view(t, open(t, opt)), want); diff != "" {
		t.Errorf("on disk:\n%s", diff)
	}
}

// If this fails, a server does not survive that PostgreSQL is restarted, or
// loses what it has acknowledged before.
func TestConnectionsAreLost(t *testing.T) {
	const writers, each = 4, 60
	stores, opt := two(t)
	svc := storetest.Service("project-a")
	update(t, stores[0], func(tx sallyport.Tx) { storetest.CreateService(tx, svc) })
	admin, err := pgx.Connect(t.Context(), opt.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())

	var mu sync.Mutex
	var acked []sallyport.EndpointID
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				e := storetest.Endpoint(svc, 2+w*each+i)
				err := stores[w%2].Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateEndpoint(tx, e); return nil })
				if err == nil {
					mu.Lock()
					acked = append(acked, e.ID)
					mu.Unlock()
				}
				if w == 0 && i%20 == 10 {
					_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid()`)
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		retry(t, func() error {
			return s.Update(t.Context(), func(tx sallyport.Tx) error { storetest.CreateService(tx, storetest.Service("project-b")); return nil })
		})
	}
	if len(acked) < each {
		t.Errorf("only %d of %d updates were acknowledged", len(acked), writers*each)
	}
	for _, s := range append(stores[:], open(t, opt)) {
		v := view(t, s)
		for _, id := range acked {
			if _, ok := v.Endpoint(id); !ok {
				t.Errorf("endpoint %s was acknowledged and is gone", id)
			}
		}
		log, err := storetest.ReadLog(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := storetest.VerifyChain(log); err != nil {
			t.Error(err)
		}
		if int(v.Revision()) != len(log) {
			t.Errorf("revision %d with %d records", v.Revision(), len(log))
		}
	}
}

// retry calls f until it succeeds: after the connections were lost each one of
// the pool may fail once.
func retry(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for range 20 {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

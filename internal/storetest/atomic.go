//nolint:thelper // these are tests, not helpers: a failure is reported where it is
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// putAll puts one of every noun with every field set.
func putAll(t *testing.T) func(sallyport.Tx) {
	t.Helper()
	return putAllAt(t, 2)
}

// putAllAt is putAll with other addresses and markers: n and the next.
func putAllAt(t *testing.T, n int) func(sallyport.Tx) {
	t.Helper()
	s := Service("project-a")
	public := Service("project-a")
	public.SystemName = "com.example.object-storage"
	e, f := Endpoint(s, n), Endpoint(public, n+1)
	f.Address, f.Fault, f.Tags = netip.Addr{}, nil, nil // as a gateway's: no address
	p, l, r, i := Permission(s.ID, "domain-b"), Subnet(1), Revocation("token-1"), Instance("project-a")
	for _, noun := range []any{*e, *p, *l, *r, *i, *public} {
		allSet(t, noun)
	}
	return func(tx sallyport.Tx) {
		CreateService(tx, s)
		CreateService(tx, public)
		CreateEndpoint(tx, e)
		CreateEndpoint(tx, f)
		CreatePermission(tx, p)
		CreateSubnet(tx, l)
		CreateRevocation(tx, r)
		CreateInstance(tx, i)
	}
}

// allSet fails where a field has its zero value: a new field would go untested.
func allSet(t *testing.T, noun any) {
	t.Helper()
	v := reflect.ValueOf(noun)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch name {
		case "Rev", "SpecRev", "AdmitRev", "Hash": // set as it is put
			continue
		}
		if v.Field(i).IsZero() {
			t.Errorf("%T.%s is not set by this test, so nothing shows that it is kept", noun, name)
		}
	}
}

// If this fails, something that was acknowledged is gone after a restart.
func everyFieldIsDurable(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	put := putAll(t)
	put(want)
	update(t, s, put)
	same(t, s, want)
	before := readLog(t, s)
	r := record(sallyport.ObjectService, "x")
	allSet(t, r)
	s = db.reopen(t, s)
	same(t, s, want)
	after := readLog(t, s)
	d := &differ{}
	d.compare(after, before, "log")
	for i := range after {
		want := r
		want.Rev, want.Hash = after[i].Rev, after[i].Hash
		want.Object, want.ObjectID = after[i].Object, after[i].ObjectID
		d.compare(after[i], want, "record")
	}
	if d.out.Len() > 0 {
		t.Error(d.out.String())
	}
}

// If this fails, a change of one of the fields is shown until the next restart
// and not after it, or a removed object comes back.
func changesAreDurable(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	do := func(fn func(sallyport.Tx)) {
		t.Helper()
		fn(want)
		update(t, s, fn)
	}
	a, b := Service("project-a"), Service("project-a")
	e, f := Endpoint(a, 2), Endpoint(a, 3)
	p, q := Permission(a.ID, "domain-b"), Permission(a.ID, "domain-c")
	do(func(tx sallyport.Tx) {
		for _, s := range []*sallyport.Service{a, b} {
			CreateService(tx, s)
		}
		for _, e := range []*sallyport.Endpoint{e, f} {
			CreateEndpoint(tx, e)
		}
		for _, p := range []*sallyport.Permission{p, q} {
			CreatePermission(tx, p)
		}
		CreateSubnet(tx, Subnet(1))
		CreateRevocation(tx, Revocation("token-1"))
	})
	full := want.Clone()
	oneFieldEach(t, do)
	do(func(tx sallyport.Tx) {
		again := *Subnet(1)
		again.VPCID = "vpc-b"
		CreateSubnet(tx, &again)
		later := *Revocation("token-1")
		later.ExpiresAt = later.ExpiresAt.Add(expiry)
		CreateRevocation(tx, &later)
		RemoveEndpoint(tx, f.ID)
		RemovePermission(tx, a.ID, q.ID)
		RemoveService(tx, b.ID)
	})
	same(t, s, want, full)
	s = db.reopen(t, s)
	same(t, s, want, full)
	readLog(t, s)
}

// oneFieldEach makes an object for every field and changes that field of it: a
// change must not get onto the disk only in the company of others.
func oneFieldEach(t *testing.T, do func(func(sallyport.Tx))) {
	t.Helper()
	for i := range reflect.TypeFor[sallyport.Service]().NumField() {
		old := Service("project-a")
		if c := changed(t, old, i); c != nil {
			do(func(tx sallyport.Tx) { CreateService(tx, old) })
			do(func(tx sallyport.Tx) { CreateService(tx, c) })
		}
	}
	svc := Service("project-a")
	do(func(tx sallyport.Tx) { CreateService(tx, svc) })
	for i := range reflect.TypeFor[sallyport.Endpoint]().NumField() {
		old := Endpoint(svc, 100+2*i)
		if c := changed(t, old, i); c != nil {
			do(func(tx sallyport.Tx) { CreateEndpoint(tx, old) })
			do(func(tx sallyport.Tx) { CreateEndpoint(tx, c) })
		}
	}
	for i := range reflect.TypeFor[sallyport.Permission]().NumField() {
		old := Permission(svc.ID, "domain-b")
		if c := changed(t, old, i); c != nil {
			do(func(tx sallyport.Tx) { CreatePermission(tx, old) })
			do(func(tx sallyport.Tx) { CreatePermission(tx, c) })
		}
	}
}

// changed returns a copy of a noun with another value in the i-th field, or nil
// where that field is what the noun is known by.
func changed[T any](t *testing.T, noun *T, i int) *T {
	t.Helper()
	out := *noun
	f := reflect.ValueOf(&out).Elem().Field(i)
	name := f.Addr().Elem().Type()
	switch field := reflect.TypeFor[T]().Field(i).Name; field {
	case "ID", "Rev", "SpecRev", "AdmitRev":
		return nil
	case "ServiceID":
		if reflect.TypeFor[T]() == reflect.TypeFor[sallyport.Permission]() {
			return nil
		}
	case "Status":
		f.SetUint(2) // a state that both machines know
		return &out
	}
	switch v := f.Addr().Interface().(type) {
	case *time.Time:
		*v = v.Add(time.Minute)
	case *netip.Addr:
		*v = v.Next()
	case **sallyport.Fault:
		*v = nil
	case *[]string:
		*v = []string{"another"}
	case *[]sallyport.Tag:
		*v = []sallyport.Tag{{Key: "another"}}
	case *[]sallyport.ServerResource:
		*v = []sallyport.ServerResource{{ID: "another"}}
	case *[]sallyport.PortMapping:
		*v = []sallyport.PortMapping{{Client: 1, Server: 2, Protocol: "TCP"}}
	default:
		switch f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Bool:
			f.SetBool(!f.Bool())
		case reflect.Int32:
			f.SetInt(f.Int() + 1000)
		default:
			t.Fatalf("teach this test to change a field of type %s", name)
		}
	}
	return &out
}

// If this fails, an object changes when the server is restarted: another server
// on the same database shows another time, or lists in another order.
func timesAreTheSameAfterReopen(t *testing.T, db Database) {
	s := db.open(t)
	fine := epoch.Add(789).In(time.FixedZone("elsewhere", 3600))
	a := Service("project-a")
	e, p, r := Endpoint(a, 2), Permission(a.ID, "domain-b"), Revocation("token-1")
	a.CreatedAt, a.UpdatedAt, e.CreatedAt, e.UpdatedAt, p.CreatedAt, r.ExpiresAt = fine, fine, fine, fine, fine, fine
	update(t, s, func(tx sallyport.Tx) {
		CreateService(tx, a)
		CreateEndpoint(tx, e)
		CreatePermission(tx, p)
		CreateRevocation(tx, r)
	})
	want := NewNaive()
	exact := epoch
	a.CreatedAt, a.UpdatedAt, e.CreatedAt, e.UpdatedAt, p.CreatedAt, r.ExpiresAt = exact, exact, exact, exact, exact, exact
	CreateService(want, a)
	CreateEndpoint(want, e)
	CreatePermission(want, p)
	CreateRevocation(want, r)
	same(t, s, want)
	s = db.reopen(t, s)
	same(t, s, want)
}

// If this fails, a refused request leaves traces: at once, or after a restart.
func refusedUpdateLeavesNothing(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	first := putAll(t)
	first(want)
	update(t, s, first)
	log := readLog(t, s)

	tried := want.Clone()
	refuse := func(fn func(sallyport.Tx)) {
		t.Helper()
		fn(tried)
		err := s.Update(t.Context(), func(tx sallyport.Tx) error { fn(tx); return errRefused })
		if err != errRefused { //nolint:errorlint // the contract is "as it is"
			t.Errorf("got error %v, want the function's own", err)
		}
		same(t, s, want, tried)
	}
	refuse(putAllAt(t, 4))
	refuse(func(tx sallyport.Tx) { removeAll(tx, want) })
	refuse(func(tx sallyport.Tx) { // removed and made anew, changed, and removed again
		for id, e := range want.endpoints {
			RemoveEndpoint(tx, id)
			CreateEndpoint(tx, e)
			c := *e
			c.Status = sallyport.StatusRejected
			CreateEndpoint(tx, &c)
			RemoveEndpoint(tx, id)
		}
		CreateSubnet(tx, Subnet(1)) // there already
		CreateRevocation(tx, Revocation("token-1"))
	})
	s = db.reopen(t, s)
	same(t, s, want, tried)
	if got := readLog(t, s); len(got) != len(log) {
		t.Errorf("the log has %d records, want %d", len(got), len(log))
	}
}

// removeAll removes what can be removed.
func removeAll(tx sallyport.Tx, of *Naive) {
	for id := range of.endpoints {
		RemoveEndpoint(tx, id)
	}
	for k := range of.permissions {
		RemovePermission(tx, k.service, k.id)
	}
	for id := range of.services {
		RemoveService(tx, id)
	}
}

// If this fails, a change is shown that is not on disk, or one is on disk that
// another server never hears of: it asks the log what to read again.
func putNeedsRecord(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	a := Service("project-a")
	e := Endpoint(a, 2)
	first := func(tx sallyport.Tx) { CreateService(tx, a); CreateEndpoint(tx, e) }
	first(want)
	update(t, s, first)
	other := record(sallyport.ObjectEndpoint, "other")
	denied := record(sallyport.ObjectService, string(a.ID))
	denied.Outcome = sallyport.OutcomeDenied
	for name, fn := range map[string]func(sallyport.Tx){
		"no record":         func(tx sallyport.Tx) { tx.PutService(Service("project-b")) },
		"of another":        func(tx sallyport.Tx) { tx.Record(other); tx.PutEndpoint(Endpoint(a, 3)) },
		"removal":           func(tx sallyport.Tx) { tx.Record(other); tx.RemoveEndpoint(e.ID) },
		"removed service":   func(tx sallyport.Tx) { tx.RemoveService(a.ID) },
		"of a denial":       func(tx sallyport.Tx) { tx.Record(denied); tx.PutService(a) },
		"permission":        func(tx sallyport.Tx) { tx.Record(other); tx.PutPermission(Permission(a.ID, "domain-a")) },
		"lost permission":   func(tx sallyport.Tx) { tx.RemovePermission(a.ID, "none") },
		"subnet":            func(tx sallyport.Tx) { tx.Record(other); tx.PutSubnet(Subnet(1)) },
		"revocation":        func(tx sallyport.Tx) { tx.Record(other); tx.PutRevocation(Revocation("token-1")) },
		"second of several": func(tx sallyport.Tx) { CreateSubnet(tx, Subnet(2)); tx.PutSubnet(Subnet(3)) },
	} {
		err := s.Update(t.Context(), func(tx sallyport.Tx) error { fn(tx); return nil })
		if err == nil {
			t.Errorf("%s: acknowledged", name)
		}
	}
	same(t, s, want)
	// The end of a service's last endpoint is a record of the service as well.
	stores := []sallyport.Store{s}
	if db.Shared {
		stores = append(stores, db.open(t))
	}
	update(t, s, func(tx sallyport.Tx) {
		r := record(sallyport.ObjectEndpoint, string(e.ID))
		r.ServiceID = a.ID
		tx.Record(r)
		tx.RemoveEndpoint(e.ID)
		tx.RemoveService(a.ID)
	})
	for i, s := range append(stores, db.reopen(t, s)) {
		if i == 0 {
			continue // closed for the last one
		}
		if _, ok := view(t, s).Service(a.ID); ok {
			t.Errorf("store %d still has the service", i)
		}
	}
}

// If this fails, one caller's refusal or fault costs another caller its change,
// or lets a function see what was taken back.
func refusedUpdateSparesItsNeighbours(t *testing.T, db Database) {
	s := db.open(t)
	svc := Service("project-a")
	update(t, s, func(tx sallyport.Tx) { CreateService(tx, svc) })
	const n = 96
	eps := make([]*sallyport.Endpoint, n)
	for i := range eps {
		eps[i] = Endpoint(svc, i+2)
	}
	var seen atomic.Int64 // puts of refused functions that others saw
	release := blocked(t, s)
	done := make(chan struct{})
	errs := make([]error, n)
	go func() {
		defer close(done)
		parallel(n, func(i int) {
			errs[i] = s.Update(context.Background(), func(tx sallyport.Tx) error {
				for j := range eps {
					if _, ok := tx.Endpoint(eps[j].ID); ok && j%3 != 0 {
						seen.Add(1)
					}
				}
				CreateEndpoint(tx, eps[i])
				switch i % 3 {
				case 1:
					return errRefused
				case 2:
					panic("a fault of the test")
				}
				return nil
			})
		})
	}()
	release()
	<-done
	check := func() {
		t.Helper()
		v := view(t, s)
		for i, e := range eps {
			if _, ok := v.Endpoint(e.ID); ok != (i%3 == 0) {
				t.Errorf("endpoint %d is there: %t, want %t", i, ok, i%3 == 0)
			}
		}
		if got, want := v.Revision(), sallyport.Revision(1+n/3); got != want {
			t.Errorf("revision %d, want %d", got, want)
		}
	}
	check()
	for i, err := range errs {
		if (err == nil) != (i%3 == 0) || i%3 == 1 && !errors.Is(err, errRefused) {
			t.Errorf("update %d: %v", i, err)
		}
	}
	if got := seen.Load(); got != 0 {
		t.Errorf("functions saw %d times what another one put and took back", got)
	}
	s = db.reopen(t, s)
	check()
	readLog(t, s)
}

// If this fails, a fault in one use case stops the server, or leaves its half
// in memory.
func panicIsAnError(t *testing.T, db Database) {
	s, want := db.open(t), NewNaive()
	first := putAll(t)
	first(want)
	update(t, s, first)
	tried := want.Clone()
	second := putAllAt(t, 4)
	second(tried)
	err := s.Update(t.Context(), func(tx sallyport.Tx) error {
		second(tx)
		panic(fmt.Sprintf("a fault at %s", "home"))
	})
	if err == nil {
		t.Fatal("a panic is a success")
	}
	same(t, s, want, tried)
	third := putAll3(t)
	third(want)
	update(t, s, third)
	s = db.reopen(t, s)
	same(t, s, want, tried)
}

// putAll3 is what can be put after putAll.
func putAll3(t *testing.T) func(sallyport.Tx) {
	t.Helper()
	svc := Service("project-b")
	e := Endpoint(svc, 77)
	return func(tx sallyport.Tx) {
		CreateService(tx, svc)
		CreateEndpoint(tx, e)
	}
}

// If this fails, a request that nobody waits for any more is carried out, or
// one that was cancelled takes others along.
func cancelledWhileQueued(t *testing.T, db Database) {
	s := db.open(t)
	svc := Service("project-a")
	release := blocked(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ran, cancelled, kept := false, make(chan error, 1), make(chan error, 1)
	go func() {
		cancelled <- s.Update(ctx, func(sallyport.Tx) error { ran = true; return nil })
	}()
	go func() {
		kept <- s.Update(context.WithoutCancel(ctx), func(tx sallyport.Tx) error { CreateService(tx, svc); return nil })
	}()
	cancel()
	release()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := <-kept; err != nil {
		t.Error(err)
	}
	if ran {
		t.Error("the function of a cancelled update ran")
	}
	if _, ok := view(t, s).Service(svc.ID); !ok {
		t.Error("its neighbour is lost")
	}
}

// If this fails, a use case decides without what it has changed itself a moment
// ago.
func txSeesWhatItPut(t *testing.T, db Database) {
	s := db.open(t)
	first, second := putAll(t), putAll3(t)
	var diffs []string
	update(t, s, func(tx sallyport.Tx) {
		want := NewNaive()
		diffs = nil
		for _, fn := range []func(sallyport.Tx, *Naive){
			func(tx sallyport.Tx, _ *Naive) { first(tx) },
			func(tx sallyport.Tx, _ *Naive) { second(tx) },
			removeAll,
		} {
			before := want.Clone()
			fn(tx, before)
			fn(want, before)
			diffs = append(diffs, Diff(tx, want, before))
		}
	})
	for i, diff := range diffs {
		if diff != "" {
			t.Errorf("step %d: the transaction does not see what it put:\n%s", i, diff)
		}
	}
}

package sqlstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
	"github.com/sallyport-net/sallyport/internal/sqlstore"
	"github.com/sallyport-net/sallyport/internal/storetest"
)

// childEnv makes this binary a server without an edge: it updates the store in
// the directory that the variable names, and says what was acknowledged, until
// it is killed.
const childEnv = "SQLSTORE_CHILD"

// child is what the killed process does. It returns where it fails.
func child(dir string) {
	s, err := sqlstore.Open(context.Background(), sqlstore.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	svc := storetest.Service("project-a")
	var mu sync.Mutex // one line at a time
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var mine *sallyport.Endpoint
			for i := 0; ; i++ {
				var rev sallyport.Revision
				err := s.Update(context.Background(), func(tx sallyport.Tx) error {
					if i%4 != 0 {
						e, _ := tx.Endpoint(mine.ID)
						next := sallyport.ActionReject
						if e.Status == sallyport.StatusRejected {
							next = sallyport.ActionAccept
						}
						err := storetest.Decide(tx, mine.ID, next, svc.CreatedAt)
						rev = tx.Revision()
						return err
					}
					marker, _ := tx.NextMarker()
					mine = storetest.Endpoint(svc, int(marker)%50000+2)
					mine.Marker, mine.Status = marker, sallyport.StatusCreating // as its record says
					storetest.CreateEndpoint(tx, mine)
					rev = tx.Revision()
					return nil
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				fmt.Fprintln(os.Stdout, rev, mine.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// The server is killed in the midst of its work, several times. If this fails,
// a decision that a client was told of is gone, or a half of one is there.
func TestKill(t *testing.T) {
	const rounds = 4
	dir := t.TempDir()
	acked := map[sallyport.Revision]sallyport.EndpointID{}
	for round := range rounds {
		before := len(acked)
		killChild(t, dir, 100+rand.IntN(400), acked)
		t.Logf("round %d: killed after %d answers", round, len(acked)-before)
		s := open(t, sqlstore.Options{Dir: dir})
		log, err := storetest.ReadLog(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := storetest.VerifyChain(log); err != nil {
			t.Error(err)
		}
		v := view(t, s)
		if int(v.Revision()) != len(log) {
			t.Errorf("revision %d with %d records", v.Revision(), len(log))
		}
		for rev, id := range acked {
			if int(rev) > len(log) || log[rev-1].ObjectID != string(id) {
				t.Errorf("revision %d of endpoint %s was acknowledged and is gone", rev, id)
			}
		}
		rowsFitLog(t, v, log)
		shut(t, s)
	}
}

// rowsFitLog checks that every endpoint is as its last record says.
func rowsFitLog(t *testing.T, v sallyport.View, log []sallyport.Record) {
	t.Helper()
	last := map[sallyport.EndpointID]*sallyport.Record{}
	for i := range log {
		last[sallyport.EndpointID(log[i].ObjectID)] = &log[i]
	}
	rows := 0
	v.ChangesSince(0, func(c sallyport.Change) bool {
		rows++
		r := last[c.Endpoint.ID]
		if r == nil || r.Rev != c.Rev || r.To != c.Endpoint.Status.String() {
			t.Errorf("endpoint %s is %s at revision %d, its last record is %+v", c.Endpoint.ID, c.Endpoint.Status, c.Rev, r)
		}
		return true
	})
	if rows != len(last) {
		t.Errorf("%d endpoints, and records of %d", rows, len(last))
	}
}

// killChild runs a child, kills it after n answers, and adds to acked all that it
// had said by then.
func killChild(t *testing.T, dir string, n int, acked map[sallyport.Revision]sallyport.EndpointID) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for in := bufio.NewReader(out); ; answers++ {
		line, err := in.ReadString('\n')
		if err != nil {
			break // what stands before it is a torn line at most
		}
		rev, id, ok := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.Atoi(rev)
		if !ok || err != nil {
			t.Fatalf("the child says %q", line)
		}
		acked[sallyport.Revision(number)] = sallyport.EndpointID(id)
		if answers == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if answers < n {
		t.Fatalf("the child ended by itself after %d answers", answers)
	}
}

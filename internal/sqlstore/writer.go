package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// maxBatch is how many updates share one durable transaction at most: beyond
	// 256 nothing is gained, and one failure would be felt by more callers.
	maxBatch = 256
	// maxQueue is how many updates may wait; a caller beyond it waits for a place
	// with its own deadline, so memory stays bounded.
	maxQueue = 4096
	// batchTimeout bounds one transaction with a database that does not answer.
	batchTimeout = 10 * time.Second
)

// ErrClosed says that the store is closed.
var ErrClosed = errors.New("the store is closed")

// update is one caller's function on its way through the writer.
type update struct {
	ctx  context.Context //nolint:containedctx // it is the caller's and lives as long as the call
	fn   func(sallyport.Tx) error
	err  error
	done chan struct{}
	// sync marks a step without a function: bring memory to the database's revision.
	sync bool
}

// Update hands fn to the writer and waits for its verdict.
func (s *Store) Update(ctx context.Context, fn func(sallyport.Tx) error) error {
	return s.submit(ctx, &update{ctx: ctx, fn: fn, done: make(chan struct{})})
}

func (s *Store) submit(ctx context.Context, u *update) error {
	select {
	case s.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return ErrClosed
	}
	select {
	case <-u.done:
		return u.err
	case <-s.finished:
		// The writer has ended; what it took before, it has answered.
		select {
		case <-u.done:
			return u.err
		default:
			return ErrClosed
		}
	}
}

// write is the writer: it takes what waits, commits it as one transaction, and
// answers. There is no timer: a batch is what queued while the last one was
// being made durable.
func (s *Store) write() {
	defer close(s.finished)
	batch := make([]*update, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case u := <-s.queue:
			batch = append(batch, u)
		case <-s.closing:
			s.refuseQueued()
			return
		}
		for len(batch) < maxBatch {
			select {
			case u := <-s.queue:
				batch = append(batch, u)
				continue
			default:
			}
			break
		}
		s.commitBatch(batch)
		for _, u := range batch {
			close(u.done)
		}
	}
}

func (s *Store) refuseQueued() {
	for {
		select {
		case u := <-s.queue:
			u.err = ErrClosed
			close(u.done)
		default:
			return
		}
	}
}

// commitBatch runs a batch. When a transaction of several fails as a whole, each
// is tried alone, so that one update cannot take others down with it.
func (s *Store) commitBatch(batch []*update) {
	err := s.attempt(batch)
	if err == nil {
		return
	}
	s.log.Error("transaction failed", "updates", len(batch), "err", err)
	if len(batch) == 1 || errors.Is(err, errUncertain) {
		for _, u := range batch {
			if u.err == nil {
				u.err = err
			}
		}
		return
	}
	for _, u := range batch {
		u.err = nil
		if err := s.attempt([]*update{u}); err != nil {
			u.err = err
		}
	}
}

// attempt runs a batch. Where nobody knows whether the commit happened, it asks
// the database what there is now: readers must not wait for the next update to
// see what may be on disk.
func (s *Store) attempt(batch []*update) error {
	err := s.transact(batch)
	if !errors.Is(err, errUncertain) {
		return err
	}
	if err := s.transact(nil); err != nil {
		s.log.Error("reading the state after an uncertain commit", "err", err)
	}
	return err
}

// errUncertain says that a commit was sent and not answered: it may have
// happened. It is never reported as a success, and never tried again.
var errUncertain = errors.New("the outcome of the commit is unknown")

// transact runs the functions of a batch in one transaction. An error means
// that nothing of the batch is stored, or with errUncertain that nobody knows;
// either way memory shows nothing of it until the database does.
func (s *Store) transact(batch []*update) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	dbtx, err := s.db.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer dbtx.rollback(ctx)
	head, err := s.lockCounter(ctx, dbtx)
	if err != nil {
		return err
	}
	mark := s.draft.Mark()
	tx := &tx{Draft: s.draft, head: head, first: s.draft.Revision(), told: map[touch]bool{}}
	// A panic in a caller's function must not leave its work in memory.
	defer func() {
		if err != nil {
			s.draft.Undo(mark)
		}
	}()
	for _, u := range batch {
		if u.err = u.ctx.Err(); u.err == nil && !u.sync {
			u.err = tx.run(u.fn)
		}
	}
	if tx.Revision() != tx.first {
		if err := s.finish(ctx, dbtx, tx); err != nil {
			return err
		}
	}
	// Where nothing happened, nobody is woken and no picture is made.
	if s.draft.Revision() != s.view.Load().Revision() {
		s.publish()
	}
	return nil
}

// lockCounter takes the counter row, which orders this transaction after all
// others, and brings memory to the revision it finds.
func (s *Store) lockCounter(ctx context.Context, dbtx txn) (head [32]byte, err error) {
	rev, head, err := readCounter(ctx, dbtx, `UPDATE meta SET batches = batches + 1 WHERE one = 1 RETURNING rev, head`)
	if err != nil {
		return head, fmt.Errorf("lock the counter: %w", err)
	}
	if rev == s.draft.Revision() {
		return head, nil
	}
	mark := s.draft.Mark()
	if err := catchUp(ctx, dbtx, s.draft); err != nil {
		s.draft.Undo(mark)
		return head, fmt.Errorf("catch up to revision %d: %w", rev, err)
	}
	s.draft.SetRevision(rev)
	return head, nil
}

// finish writes what the functions put and commits.
func (s *Store) finish(ctx context.Context, dbtx txn, tx *tx) error {
	tx.add(`UPDATE meta SET rev = $1, head = $2 WHERE one = 1`, int64(tx.Revision()), tx.head[:])
	if s.db.shared() {
		tx.add("NOTIFY " + channel)
	}
	if err := dbtx.exec(ctx, tx.out); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := dbtx.commit(ctx); err != nil {
		return fmt.Errorf("commit: %w: %w", errUncertain, err)
	}
	return nil
}

// readCounter runs a query that returns the counter row's revision and hash.
func readCounter(ctx context.Context, r reader, q string) (rev sallyport.Revision, head [32]byte, err error) {
	rs, err := r.query(ctx, q)
	if err != nil {
		return 0, head, err
	}
	defer rs.Close()
	var text []byte
	found := 0
	for ; rs.Next(); found++ {
		if err := rs.Scan(&rev, &text); err != nil {
			return 0, head, err
		}
	}
	if err := rs.Err(); err != nil {
		return 0, head, err
	}
	if found != 1 || len(text) != len(head) {
		return 0, head, fmt.Errorf("the table meta has %d rows and a hash of %d bytes, want one and %d", found, len(text), len(head))
	}
	copy(head[:], text)
	return rev, head, nil
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", the one that the product uses
)

// rival is measured in the rounds of another measure, so that both see the same
// machine and their ratio holds on any.
type rival interface {
	round(ctx context.Context, d time.Duration) error
}

// block is what one bare commit appends: a page of a database.
const block = 4 << 10

// bareDisk appends blocks to a file and syncs each: what a disk can do at most
// for one who waits for every commit.
type bareDisk struct {
	file *os.File
	row  *row
}

func newBareDisk(dir string, r *row) (*bareDisk, error) {
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return nil, fmt.Errorf("bare disk: %w", err)
	}
	return &bareDisk{file: f, row: r}, nil
}

func (b *bareDisk) round(ctx context.Context, d time.Duration) error {
	var times []time.Duration
	page := make([]byte, block)
	start := now()
	last := start
	for last.Sub(start) < d && ctx.Err() == nil {
		if _, err := b.file.Write(page); err != nil {
			return fmt.Errorf("bare disk: %w", err)
		}
		if err := syncData(b.file); err != nil {
			return fmt.Errorf("bare disk: %w", err)
		}
		t := now()
		times = append(times, t.Sub(last))
		last = t
	}
	smp := summary(times)
	smp.Value = float64(len(times)) / last.Sub(start).Seconds()
	b.row.Rounds = append(b.row.Rounds, smp)
	return ctx.Err()
}

func (b *bareDisk) close() { _ = b.file.Close() }

// naive is the program that one writes first: a transaction per decision on the
// same SQLite with the same durability, in this process, without HTTP, without
// credentials and without a data plane.
type naive struct {
	db   *sql.DB
	rows map[int]*row // by number of callers
	ids  []string
}

func newNaive(ctx context.Context, dir string, endpoints int, rows map[int]*row) (*naive, error) {
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	name := filepath.Join(dir, "naive.db")
	db, err := sql.Open("sqlite", "file:"+name+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("naive program: %w", err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; more connections only fight over it
	n := &naive{db: db, rows: rows, ids: make([]string, endpoints)}
	if err := n.fill(ctx); err != nil {
		n.close()
		return nil, fmt.Errorf("naive program: %w", err)
	}
	return n, nil
}

func (n *naive) fill(ctx context.Context) error {
	for _, q := range []string{
		`CREATE TABLE endpoints (id TEXT PRIMARY KEY, service_id TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL)`,
		`CREATE INDEX endpoints_of_service ON endpoints (service_id, created)`,
		`CREATE TABLE audit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, endpoint TEXT NOT NULL, was TEXT NOT NULL, is_now TEXT NOT NULL)`,
	} {
		if _, err := n.db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st, err := tx.PrepareContext(ctx, `INSERT INTO endpoints VALUES ($1, $2, 'pendingAcceptance', $3, $3)`)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	service := ""
	for i := range n.ids {
		if i%20 == 0 {
			service = newID()
		}
		n.ids[i] = newID()
		if _, err := st.ExecContext(ctx, n.ids[i], service, i); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (n *naive) round(ctx context.Context, d time.Duration) error {
	for _, c := range conns {
		lists, errs := make([][]time.Duration, c), make([]error, c)
		var all sync.WaitGroup
		start := now()
		for w := range c {
			all.Go(func() { lists[w], errs[w] = n.work(ctx, w, d) })
		}
		all.Wait()
		took := now().Sub(start)
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("naive program: %w", err)
		}
		var times []time.Duration
		for _, l := range lists {
			times = append(times, l...)
		}
		smp := summary(times)
		smp.Value = float64(len(times)) / took.Seconds()
		n.rows[c].Rounds = append(n.rows[c].Rounds, smp)
	}
	return nil
}

// work decides about the endpoints of one caller until the time is over.
func (n *naive) work(ctx context.Context, w int, d time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	start := now()
	last := start
	for i := w; last.Sub(start) < d && ctx.Err() == nil; i += most {
		if err := n.decide(ctx, n.ids[i%len(n.ids)], last); err != nil {
			return nil, err
		}
		t := now()
		times = append(times, t.Sub(last))
		last = t
	}
	return times, ctx.Err()
}

func (n *naive) decide(ctx context.Context, id string, at time.Time) error {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var was string
	if err := tx.QueryRowContext(ctx, `SELECT status FROM endpoints WHERE id = $1`, id).Scan(&was); err != nil {
		return err
	}
	next := "accepted"
	if was == next {
		next = "rejected"
	}
	if _, err := tx.ExecContext(ctx, `UPDATE endpoints SET status = $1, updated = $2 WHERE id = $3`, next, at.UnixMicro(), id); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO audit (at, who, endpoint, was, is_now) VALUES ($1, 'paula', $2, $3, $4)`, at.UnixMicro(), id, was, next); err != nil {
		return err
	}
	return tx.Commit()
}

func (n *naive) close() { _ = n.db.Close() }

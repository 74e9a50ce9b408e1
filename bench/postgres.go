package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-net/sallyport/internal/pgtest"
)

// stand is the testing.TB that pgtest asks for: it keeps what is to be cleaned
// up, and turns the end of a test into a panic that postgres recovers from.
type stand struct {
	testing.TB // never called: what pgtest uses is below
	ctx        context.Context
	cleanups   []func()
	failed     []string
}

// givenUp is what Fatal and Skip panic with.
type givenUp struct{ why string }

func (s *stand) Helper()                      {}
func (s *stand) Context() context.Context     { return s.ctx }
func (s *stand) Cleanup(f func())             { s.cleanups = append(s.cleanups, f) }
func (s *stand) Skip(args ...any)             { panic(givenUp{fmt.Sprint(args...)}) }
func (s *stand) Fatal(args ...any)            { panic(givenUp{fmt.Sprint(args...)}) }
func (s *stand) Fatalf(f string, args ...any) { panic(givenUp{fmt.Sprintf(f, args...)}) }
func (s *stand) Errorf(f string, args ...any) { s.failed = append(s.failed, fmt.Sprintf(f, args...)) }

// postgres returns an empty database on a PostgreSQL that lives as long as this
// process, and what drops it. why is not empty where there is none.
func postgres(ctx context.Context) (url string, drop func(), why string) {
	s := &stand{ctx: ctx}
	defer func() {
		if v := recover(); v != nil {
			g, ok := v.(givenUp)
			if !ok {
				panic(v)
			}
			why = g.why
		}
	}()
	url = pgtest.URL(s)
	return url, func() {
		for _, f := range slices.Backward(s.cleanups) {
			f()
		}
	}, ""
}

// postgresVersion asks a server who it is.
func postgresVersion(ctx context.Context, url string) (string, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL: %w", err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	var version string
	if err := c.QueryRow(ctx, `SHOW server_version`).Scan(&version); err != nil {
		return "", fmt.Errorf("PostgreSQL: %w", err)
	}
	return version, nil
}

package sqlstore

import (
	"context"
	"errors"
)

// ExecSQLite runs one statement on the file of a store, which may be open.
func ExecSQLite(ctx context.Context, dir, q string) error {
	pool, err := openPool(dir)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, q)
	return errors.Join(err, pool.Close())
}

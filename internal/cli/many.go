package cli

import (
	"context"
	"fmt"
	"net/http"
)

// each does something for every one of ids, in order, whatever happens to the
// others; errors are reported as they come. The number of ids is bounded by what
// the system takes as a command line.
//
// The error says how many failed. When ctx ends, the rest is not tried and counted
// as failed, for it was not done.
func (a *app) each(ctx context.Context, verb string, ids []string, do func(id string) error) error {
	failed, hints := 0, map[string]bool{}
	for n, id := range ids {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted: %d not tried, %d failed of %d: %w", len(ids)-n, failed, len(ids), err)
		}
		err := do(id)
		if err == nil {
			continue
		}
		if len(ids) == 1 {
			return err
		}
		failed++
		a.complain(verb+": "+id, err)
		if hint := a.hint(ctx, err); hint != "" && !hints[hint] {
			hints[hint] = true // what holds for many is said once
			a.note("hint: %s", hint)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed, %d done", failed, len(ids), len(ids)-failed)
	}
	return nil
}

// deleted is the result of a deletion in JSON.
type deleted struct {
	Deleted []string `json:"deleted"`
	Missing []string `json:"missing"`
}

// deleteEach deletes objects by id. path ends in a slash.
func (a *app) deleteEach(ctx context.Context, s *session, verb, path string, ids []string, ignoreMissing bool) error {
	result := deleted{Deleted: []string{}, Missing: []string{}}
	failed := a.each(ctx, verb, ids, func(id string) error {
		_, err := s.do(ctx, http.MethodDelete, path+id, nil, nil)
		switch {
		case err == nil:
			result.Deleted = append(result.Deleted, id)
		case ignoreMissing && gone(err):
			result.Missing = append(result.Missing, id)
			a.note("%s does not exist", id)
		default:
			return err
		}
		return nil
	})
	if err := a.printDeleted(result); err != nil {
		return err
	}
	return failed
}

func (a *app) printDeleted(result deleted) error {
	switch a.format() {
	case outputJSON:
		return a.printJSON(result)
	case outputID:
		for _, id := range result.Deleted {
			if err := a.print(id + "\n"); err != nil {
				return err
			}
		}
	default:
		for _, id := range result.Deleted {
			if err := a.print("deleted " + id + "\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

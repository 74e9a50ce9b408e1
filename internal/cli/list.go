package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// Limits of reading lists.
const (
	// allPage is the page that --all asks for: the most that every list of the API
	// gives, whitelists included.
	allPage = 500
	// maxPages bounds --all: 200,000 objects, some 400 MB. Whoever has more wants a
	// filter, and a server that never comes to an end is stopped.
	maxPages = 400
)

// pageFlags are the flags of every list.
type pageFlags struct {
	limit  countValue
	offset countValue
	all    bool
}

func (p *pageFlags) add(cmd *cobra.Command, most int) {
	p.limit = countValue{least: 1, most: most}
	p.offset = countValue{least: 0, most: 1<<31 - 1}
	cmd.Flags().Var(&p.limit, "limit", fmt.Sprintf("show at most `N`, 1 to %d (default is the server's: 10)", most))
	cmd.Flags().Var(&p.offset, "offset", "leave out the first `N`")
	cmd.Flags().BoolVar(&p.all, "all", false, "read page after page until there is no more")
	cmd.MarkFlagsMutuallyExclusive("all", "limit")
}

// sortFlags are the flags of every list that has an order.
type sortFlags struct {
	key enumValue
	dir enumValue
}

// The words of the flags for order. The API has two spellings of the keys; every
// server that this package knows of takes both.
var (
	sortKeys = []string{"created_at", "updated_at"}
	sortDirs = []string{"asc", "desc"}
)

func (o *sortFlags) add(cmd *cobra.Command) {
	o.key.allowed, o.dir.allowed = sortKeys, sortDirs
	cmd.Flags().Var(&o.key, "sort-key", "sort by `KEY`: created_at or updated_at (default created_at)")
	cmd.Flags().Var(&o.dir, "sort-dir", "`DIR` of the order: asc or desc (default desc)")
}

func (o *sortFlags) put(query url.Values) {
	put(query, "sort_key", o.key.value)
	put(query, "sort_dir", o.dir.value)
}

// put sets a parameter that was given.
func put(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}

// page is a part of a list.
type page struct {
	items []item
	total int
}

// readPage reads one page of the list that stands under n.plural in the answer.
func (s *session) readPage(ctx context.Context, n noun, path string, query url.Values) (page, error) {
	r, err := s.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return page{}, err
	}
	var envelope map[string]json.RawMessage
	if err := r.decode(&envelope); err != nil {
		return page{}, err
	}
	var p page
	if err := (reply{body: envelope[n.plural]}).decode(&p.items); err != nil {
		return page{}, err
	}
	p.total = len(p.items)
	if text, ok := envelope["total_count"]; ok {
		if err := (reply{body: text}).decode(&p.total); err != nil {
			return page{}, err
		}
	}
	return p, nil
}

// readAll reads pages until an empty one, beginning at the offset. What moved
// between two pages because of a change meanwhile is not listed twice.
func (s *session) readAll(ctx context.Context, n noun, path string, query url.Values, offset int) (page, error) {
	var all page
	seen := map[string]bool{}
	query.Set("limit", strconv.Itoa(allPage))
	for range maxPages {
		query.Set("offset", strconv.Itoa(offset))
		p, err := s.readPage(ctx, n, path, query)
		if err != nil {
			return page{}, err
		}
		if len(p.items) == 0 {
			return all, nil
		}
		before := len(all.items)
		for _, i := range p.items {
			if key := i.id(); !seen[key] {
				seen[key] = true
				all.items = append(all.items, i)
			}
		}
		if len(all.items) == before {
			return page{}, fmt.Errorf("the server answers offset %d with what it has answered before, so --all has no end", offset)
		}
		all.total = p.total
		offset += len(p.items)
	}
	return page{}, fmt.Errorf("the list is longer than %d: narrow it by a filter, or use --offset", maxPages*allPage)
}

// list reads and prints a list, and says so where it is not all of it.
func (a *app) list(ctx context.Context, s *session, n noun, path string, query url.Values, flags pageFlags) error {
	offset := flags.offset.value
	if flags.all {
		p, err := s.readAll(ctx, n, path, query, offset)
		if err != nil {
			return err
		}
		return a.printList(n, p.items, p.total)
	}
	put(query, "limit", flags.limit.String())
	put(query, "offset", flags.offset.String())
	p, err := s.readPage(ctx, n, path, query)
	if err != nil {
		return err
	}
	if err := a.printList(n, p.items, p.total); err != nil {
		return err
	}
	switch shown := len(p.items); {
	case shown >= p.total:
	case offset == 0:
		a.note("showing %d of %d, use --limit/--all", shown, p.total)
	case shown == 0:
		a.note("showing none of %d: the offset is behind the last", p.total)
	default:
		a.note("showing %d to %d of %d, use --offset/--limit/--all", offset+1, offset+shown, p.total)
	}
	return nil
}

// readOne sends a request that is answered by one object.
func (s *session) readOne(ctx context.Context, method, path string, query url.Values, body any) (item, error) {
	r, err := s.do(ctx, method, path, query, body)
	if err != nil {
		return item{}, err
	}
	var i item
	return i, r.decode(&i)
}

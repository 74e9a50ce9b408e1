package vpcep

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits of a search by tags. Keys and values are as long as those of a tag.
const (
	// maxTagFilters is the number of keys in one list of a search (10 in the other
	// editions).
	maxTagFilters = 20
	// maxTagFilterValues is the number of values of one key, in every edition.
	maxTagFilterValues = 10
	// maxSearchPage is the largest page and the default one: who searches by tags
	// mostly wants all.
	maxSearchPage = sallyport.MaxPage
)

// searchRequest is the body of ListResourceInstances. A client sends its limit as
// text and its offset as a number.
type searchRequest struct {
	Action        string             `json:"action"`
	Tags          []tagFilterRequest `json:"tags"`
	TagsAny       []tagFilterRequest `json:"tags_any"`
	NotTags       []tagFilterRequest `json:"not_tags"`
	NotTagsAny    []tagFilterRequest `json:"not_tags_any"`
	SysTags       []tagFilterRequest `json:"sys_tags"`
	Matches       []matchRequest     `json:"matches"`
	WithoutAnyTag flexBool           `json:"without_any_tag"`
	Limit         flexString         `json:"limit"`
	Offset        flexString         `json:"offset"`
}

// tagFilterRequest is a key and the values it may have; none is any value.
type tagFilterRequest struct {
	Key    flexString   `json:"key"`
	Values []flexString `json:"values"`
}

// matchRequest is a condition on the resource itself.
type matchRequest struct {
	Key   string     `json:"key"`
	Value flexString `json:"value"`
}

// searchAnswer is the answer of ListResourceInstances to filter.
type searchAnswer struct {
	Resources []taggedResource `json:"resources"`
	Total     int              `json:"total_count"`
}

// countAnswer is its answer to count.
type countAnswer struct {
	Total int `json:"total_count"`
}

// taggedResource is one hit. Endpoints have no name; theirs is their id.
type taggedResource struct {
	ID   string `json:"resource_id"`
	Name string `json:"resource_name"`
	Tags []tag  `json:"tags"`
}

// searchTags is ListResourceInstances.
func (a *api) searchTags(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in searchRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	kind, bad := resourceType(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	query, none, bad := in.query()
	if bad != nil {
		return edge.Response{}, bad
	}
	query.ProjectID, query.Kind = q.Call.Project, kind
	if none {
		query.Limit = 0 // the call is still authorised
	}
	list, total, err := a.plane.Tagged(ctx, q.Call, query)
	if err != nil {
		return edge.Response{}, err
	}
	if none {
		list, total = nil, 0
	}
	if in.Action == "count" {
		return ok(countAnswer{Total: total})
	}
	out := searchAnswer{Resources: make([]taggedResource, len(list)), Total: total}
	for i, r := range list {
		out.Resources[i] = taggedResource{ID: r.ID, Name: r.Name, Tags: tagsOf(r.Tags)}
	}
	return ok(out)
}

// query checks a search. none says that it is valid and nothing can match it:
// resources here have no system tags, and none has an empty name or id.
func (in *searchRequest) query() (query sallyport.TagQuery, none bool, bad *codeError) {
	switch in.Action {
	case "count": // limit and offset mean nothing then
	case "filter":
		if query.Page, bad = in.page(); bad != nil {
			return query, false, bad
		}
	default:
		return query, false, refuse(codeAction, "action is %s, filter or count is needed", quote(in.Action))
	}
	system, bad := parseTagFilters("sys_tags", in.SysTags)
	if bad != nil {
		return query, false, bad
	}
	if query.Untagged = bool(in.WithoutAnyTag); !query.Untagged { // else the four lists are not looked at
		if bad = in.filters(&query); bad != nil {
			return query, false, bad
		}
	}
	empty, bad := in.matches(&query)
	return query, empty || len(system) > 0, bad
}

// filters reads the four lists of tags.
func (in *searchRequest) filters(query *sallyport.TagQuery) *codeError {
	for _, l := range []struct {
		name string
		in   []tagFilterRequest
		out  *[]sallyport.TagFilter
	}{
		{"tags", in.Tags, &query.All},
		{"tags_any", in.TagsAny, &query.Any},
		{"not_tags", in.NotTags, &query.NotAll},
		{"not_tags_any", in.NotTagsAny, &query.NotAny},
	} {
		list, bad := parseTagFilters(l.name, l.in)
		if bad != nil {
			return bad
		}
		*l.out = list
	}
	return nil
}

// page reads limit and offset, which are text in the reference.
func (in *searchRequest) page() (sallyport.Page, *codeError) {
	page := sallyport.Page{Limit: maxSearchPage}
	if text := string(in.Limit); text != "" {
		n, ok := parseCount(text, maxSearchPage)
		if !ok || n == 0 {
			return page, refuse(codeLimit, "limit is %s, 1 to %d is allowed", quote(text), maxSearchPage)
		}
		page.Limit = n
	}
	if text := string(in.Offset); text != "" {
		n, ok := parseCount(text, maxOffset)
		if !ok {
			return page, refuse(codeOffset, "offset is %s, 0 to %d is allowed", quote(text), maxOffset)
		}
		page.Offset = n
	}
	return page, nil
}

// matches reads the conditions on the resource itself. A part of the name and the
// whole id can be asked for; an empty one is documented to match nothing.
func (in *searchRequest) matches(query *sallyport.TagQuery) (none bool, bad *codeError) {
	seen := map[string]bool{}
	for _, m := range in.Matches {
		text := string(m.Value)
		if seen[m.Key] {
			return false, refuse(codeParameter, "the list matches has %s twice", quote(m.Key))
		}
		seen[m.Key] = true
		if n := utf8.RuneCountInString(text); n > maxTagValue {
			return false, refuse(codeParameter, "the value of a match has %d characters, at most %d are allowed", n, maxTagValue)
		}
		switch m.Key {
		case "resource_name":
			query.Name = text
		case "resource_id":
			query.ID = text
		default:
			return false, refuse(codeParameter, "the list matches has the key %s, resource_name or resource_id is needed", quote(m.Key))
		}
		none = none || text == ""
	}
	return none, nil
}

// parseTagFilters reads one list of a search: 0–20 different keys with 0–10
// different values each. Spaces around them are taken off; which characters they
// have does not matter, since what no tag can have is never found.
func parseTagFilters(field string, in []tagFilterRequest) ([]sallyport.TagFilter, *codeError) {
	if len(in) > maxTagFilters {
		return nil, refuse(codeTagsFull, "the list %s has %d keys, at most %d are allowed", field, len(in), maxTagFilters)
	}
	keys := make(map[string]bool, len(in))
	out := make([]sallyport.TagFilter, 0, len(in))
	for _, t := range in {
		key := strings.TrimSpace(string(t.Key))
		if bad := checkTagKey(key); bad != nil {
			return nil, bad
		}
		if keys[key] {
			return nil, refuse(codeTagKeyTwice, "the key %s is in %s twice", quote(key), field)
		}
		keys[key] = true
		values, bad := parseTagValues(key, t.Values)
		if bad != nil {
			return nil, bad
		}
		out = append(out, sallyport.TagFilter{Key: key, Values: values})
	}
	return out, nil
}

func parseTagValues(key string, in []flexString) ([]string, *codeError) {
	if len(in) > maxTagFilterValues {
		return nil, refuse(codeTagsFull, "the key %s has %d values, at most %d are allowed", quote(key), len(in), maxTagFilterValues)
	}
	seen := make(map[string]bool, len(in))
	var out []string
	for _, v := range in {
		value := strings.TrimSpace(string(v))
		if bad := checkTagValue(key, value); bad != nil {
			return nil, bad
		}
		if seen[value] {
			return nil, refuse(codeTagValueTwice, "the key %s has the value %s twice", quote(key), quote(value))
		}
		seen[value] = true
		out = append(out, value)
	}
	return out, nil
}

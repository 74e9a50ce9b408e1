package vpcep

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// tagChangeRequest is the body of BatchAddOrRemoveResourceInstance.
type tagChangeRequest struct {
	Action string       `json:"action"`
	Tags   []tagRequest `json:"tags"`
}

// tagRequest is a tag as clients send it. An absent value is an empty one where
// tags are set, and any value where they are removed.
type tagRequest struct {
	Key   flexString      `json:"key"`
	Value opt[flexString] `json:"value"`
}

// tagKeys is the answer of ListQueryProjectResourceTags.
type tagKeys struct {
	Tags []tagKey `json:"tags"`
}

// tagKey is a key with all the values it has in the project.
type tagKey struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// changeTags is BatchAddOrRemoveResourceInstance. Setting a key that is there
// replaces its value; removing what is not there changes nothing.
func (a *api) changeTags(ctx context.Context, q *edge.Request) (edge.Response, error) {
	var in tagChangeRequest
	if err := edge.Decode(q, &in); err != nil {
		return edge.Response{}, err
	}
	r, bad := resource(q)
	if bad != nil {
		return edge.Response{}, bad
	}
	add, remove, bad := in.change()
	if bad != nil {
		return edge.Response{}, bad
	}
	if err := a.plane.ChangeTags(ctx, q.Call, r, add, remove); err != nil {
		return edge.Response{}, err
	}
	return empty()
}

// change reads what is set and what is removed, one of the two. A tag to be
// removed is not held to the alphabet of tags: what nothing can have is not there.
func (in *tagChangeRequest) change() (add []sallyport.Tag, remove []sallyport.TagFilter, bad *codeError) {
	switch in.Action {
	case "create", "delete":
	default:
		return nil, nil, refuse(codeAction, "action is %s, create or delete is needed", quote(in.Action))
	}
	if len(in.Tags) == 0 {
		return nil, nil, refuse(codeTagEmpty, "the list tags is empty")
	}
	if in.Action == "create" {
		add, bad = checkTags(in.Tags)
		return add, nil, bad
	}
	if bad := distinctKeys(in.Tags); bad != nil {
		return nil, nil, bad
	}
	for _, t := range in.Tags {
		f := sallyport.TagFilter{Key: string(t.Key)}
		if given(t.Value) {
			f.Values = []string{string(t.Value.value)}
		}
		remove = append(remove, f)
	}
	return nil, remove, nil
}

// listEndpointTags is ListQueryProjectResourceTags of endpoints.
func (a *api) listEndpointTags(ctx context.Context, q *edge.Request) (edge.Response, error) {
	return a.listTags(ctx, q, sallyport.ObjectEndpoint)
}

// listServiceTags is ListQueryProjectResourceTags of services.
func (a *api) listServiceTags(ctx context.Context, q *edge.Request) (edge.Response, error) {
	return a.listTags(ctx, q, sallyport.ObjectService)
}

func (a *api) listTags(ctx context.Context, q *edge.Request, kind sallyport.ObjectKind) (edge.Response, error) {
	keys, err := a.plane.TagKeys(ctx, q.Call, kind)
	if err != nil {
		return edge.Response{}, err
	}
	out := tagKeys{Tags: make([]tagKey, len(keys))}
	for i, k := range keys {
		out.Tags[i] = tagKey(k)
	}
	return ok(out)
}

// resource reads the resource of the path.
func resource(q *edge.Request) (r sallyport.Resource, bad *codeError) {
	if r.Kind, bad = resourceType(q); bad != nil {
		return r, bad
	}
	malformed := codeEndpointID
	if r.Kind == sallyport.ObjectService {
		malformed = codeServiceID
	}
	r.ID, bad = parseID[string]("resource_id", q.Path("resource_id"), malformed, malformed)
	return r, bad
}

// resourceType reads the type of resource of the path.
func resourceType(q *edge.Request) (sallyport.ObjectKind, *codeError) {
	switch text := q.Path("resource_type"); text {
	case typeEndpoint:
		return sallyport.ObjectEndpoint, nil
	case typeService:
		return sallyport.ObjectService, nil
	default:
		return "", refuse(codeResourceType, "resource_type is %s, endpoint or endpoint_service is needed", quote(text))
	}
}

// checkTags reads the tags of a resource, 0–20 of them with different keys. The
// rules are the union of what the editions of the reference allow.
func checkTags(in []tagRequest) ([]sallyport.Tag, *codeError) {
	if bad := distinctKeys(in); bad != nil {
		return nil, bad
	}
	out := make([]sallyport.Tag, 0, len(in))
	for _, t := range in {
		tag := sallyport.Tag{Key: string(t.Key), Value: string(t.Value.or(""))}
		if bad := checkTagText(tag); bad != nil {
			return nil, bad
		}
		out = append(out, tag)
	}
	return out, nil
}

// distinctKeys checks the number of tags, the lengths of their keys and values,
// and that no key is there twice.
func distinctKeys(in []tagRequest) *codeError {
	if len(in) > sallyport.MaxTags {
		return refuse(codeTagsFull, "there are %d tags, at most %d are allowed", len(in), sallyport.MaxTags)
	}
	seen := make(map[string]bool, len(in))
	for _, t := range in {
		key := string(t.Key)
		if bad := checkTagKey(key); bad != nil {
			return bad
		}
		if bad := checkTagValue(key, string(t.Value.value)); bad != nil {
			return bad
		}
		if seen[key] {
			return refuse(codeTagKeyTwice, "the key %s is there twice", quote(key))
		}
		seen[key] = true
	}
	return nil
}

// checkTagKey checks the length of a key, 1–128 characters.
func checkTagKey(key string) *codeError {
	if key == "" {
		return refuse(codeTagEmpty, "a tag has no key")
	}
	if n := utf8.RuneCountInString(key); n > maxTagKey {
		return refuse(codeTagKeySize, "a key has %d characters, at most %d are allowed", n, maxTagKey)
	}
	return nil
}

// checkTagValue checks the length of a value, 0–255 characters.
func checkTagValue(key, value string) *codeError {
	if n := utf8.RuneCountInString(value); n > maxTagValue {
		return refuse(codeTagValueSize, "a value of %s has %d characters, at most %d are allowed", quote(key), n, maxTagValue)
	}
	return nil
}

// checkTagText checks the characters of a tag that is to be set.
func checkTagText(t sallyport.Tag) *codeError {
	if strings.HasPrefix(t.Key, "_sys_") {
		return refuse(codeTagCharacters, "the key %s begins with _sys_, which is reserved", quote(t.Key))
	}
	if !tagText(t.Key) || strings.ContainsRune(t.Key, '/') {
		return refuse(codeTagCharacters, "the key %s has a character that is not allowed, or a space at an end", quote(t.Key))
	}
	if !tagText(t.Value) {
		return refuse(codeTagCharacters, "the value %s has a character that is not allowed, or a space at an end", quote(t.Value))
	}
	return nil
}

// tagText reports whether s has none of the characters that no edition allows.
func tagText(s string) bool {
	return utf8.ValidString(s) &&
		strings.TrimFunc(s, unicode.IsSpace) == s &&
		!strings.ContainsAny(s, `*<>\,|`) &&
		!strings.ContainsFunc(s, unicode.IsControl)
}

package vpcep

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this failed, a search would be understood otherwise than it is documented.
func TestSearchQuery(t *testing.T) {
	t.Parallel()
	all := sallyport.Page{Limit: 1000}
	for _, tt := range []struct {
		name, in string
		want     sallyport.TagQuery
		none     bool
		code     string
	}{
		{"nothing asked", `{"action":"filter"}`, sallyport.TagQuery{Page: all}, false, ""},
		{"limit and offset as text", `{"action":"filter","limit":"5","offset":"7"}`, sallyport.TagQuery{Page: sallyport.Page{Limit: 5, Offset: 7}}, false, ""},
		{"limit and offset as numbers", `{"action":"filter","limit":5,"offset":7}`, sallyport.TagQuery{Page: sallyport.Page{Limit: 5, Offset: 7}}, false, ""},
		{"limit and offset empty", `{"action":"filter","limit":"","offset":null}`, sallyport.TagQuery{Page: all}, false, ""},
		{"count has no page", `{"action":"count","limit":"-1","offset":"x"}`, sallyport.TagQuery{}, false, ""},
		{
			"the four lists", `{"action":"count","tags":[{"key":" a ","values":[" b "]}],"tags_any":[{"key":"c","values":[]}],"not_tags":[{"key":"d"}],"not_tags_any":[{"key":"e","values":null}]}`,
			sallyport.TagQuery{
				All: []sallyport.TagFilter{{Key: "a", Values: []string{"b"}}}, Any: []sallyport.TagFilter{{Key: "c"}},
				NotAll: []sallyport.TagFilter{{Key: "d"}}, NotAny: []sallyport.TagFilter{{Key: "e"}},
			},
			false, "",
		},
		{"untagged looks at none of them", `{"action":"count","without_any_tag":true,"tags":[{"key":""}]}`, sallyport.TagQuery{Untagged: true}, false, ""},
		{"a flag as text", `{"action":"count","without_any_tag":"true"}`, sallyport.TagQuery{Untagged: true}, false, ""},
		{"name and id", `{"action":"count","matches":[{"key":"resource_name","value":"x"},{"key":"resource_id","value":"y"}]}`, sallyport.TagQuery{Name: "x", ID: "y"}, false, ""},
		{"an empty name", `{"action":"count","matches":[{"key":"resource_name","value":""}]}`, sallyport.TagQuery{}, true, ""},
		{"system tags", `{"action":"count","sys_tags":[{"key":"_sys_a","values":["b"]}]}`, sallyport.TagQuery{}, true, ""},

		{"no action", `{}`, sallyport.TagQuery{}, false, "0007"},
		{"limit 0", `{"action":"filter","limit":0}`, sallyport.TagQuery{}, false, "0006"},
		{"limit as a word", `{"action":"filter","limit":"all"}`, sallyport.TagQuery{}, false, "0006"},
		{"a negative offset", `{"action":"filter","offset":-1}`, sallyport.TagQuery{}, false, "0010"},
		{"a key of spaces", `{"action":"count","not_tags":[{"key":"  ","values":[]}]}`, sallyport.TagQuery{}, false, "3066"},
		{"a value twice but for spaces", `{"action":"count","tags":[{"key":"a","values":["b"," b"]}]}`, sallyport.TagQuery{}, false, "3071"},
		{"a match twice", `{"action":"count","matches":[{"key":"resource_id","value":"a"},{"key":"resource_id","value":"b"}]}`, sallyport.TagQuery{}, false, "0002"},
		{"an unknown match", `{"action":"count","matches":[{"key":"name","value":"a"}]}`, sallyport.TagQuery{}, false, "0002"},
	} {
		in, bad := decodeAs[searchRequest](t, tt.in)
		if bad != nil {
			t.Fatal(bad)
		}
		got, none, bad := in.query()
		wantCode(t, tt.name, bad, tt.code)
		if bad != nil {
			continue
		}
		if none != tt.none {
			t.Errorf("%s: none is %t", tt.name, none)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); !none && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

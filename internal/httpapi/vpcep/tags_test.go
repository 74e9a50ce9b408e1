package vpcep

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this failed, a tag would be removed that was not meant, or one that was set
// would be another.
func TestTagChange(t *testing.T) {
	t.Parallel()
	type change struct {
		Add    []sallyport.Tag
		Remove []sallyport.TagFilter
	}
	for _, tt := range []struct {
		name, in string
		want     change
		code     string
	}{
		{"set", `{"action":"create","tags":[{"key":"a","value":"b"},{"key":"c"}]}`, change{Add: []sallyport.Tag{{Key: "a", Value: "b"}, {Key: "c"}}}, ""},
		{"remove a pair", `{"action":"delete","tags":[{"key":"a","value":"b"}]}`, change{Remove: []sallyport.TagFilter{{Key: "a", Values: []string{"b"}}}}, ""},
		{"remove an empty value", `{"action":"delete","tags":[{"key":"a","value":""}]}`, change{Remove: []sallyport.TagFilter{{Key: "a", Values: []string{""}}}}, ""},
		{"remove a key", `{"action":"delete","tags":[{"key":"a"},{"key":"b","value":null}]}`, change{Remove: []sallyport.TagFilter{{Key: "a"}, {Key: "b"}}}, ""},
		{"remove what cannot be", `{"action":"delete","tags":[{"key":"_sys_*"}]}`, change{Remove: []sallyport.TagFilter{{Key: "_sys_*"}}}, ""},
		{"another action", `{"action":"Create","tags":[{"key":"a"}]}`, change{}, "0007"},
		{"no action", `{"tags":[{"key":"a"}]}`, change{}, "0007"},
		{"nothing to set", `{"action":"create"}`, change{}, "3066"},
		{"nothing to remove", `{"action":"delete","tags":null}`, change{}, "3066"},
		{"a key twice", `{"action":"delete","tags":[{"key":"a","value":"b"},{"key":"a","value":"c"}]}`, change{}, "3067"},
		{"no key", `{"action":"delete","tags":[null]}`, change{}, "3066"},
	} {
		in, bad := decodeAs[tagChangeRequest](t, tt.in)
		if bad != nil {
			t.Fatal(bad)
		}
		var got change
		got.Add, got.Remove, bad = in.change()
		wantCode(t, tt.name, bad, tt.code)
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

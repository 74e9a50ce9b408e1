package cli

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The doctor is asked before a server is started. If this fails, a script starts one
// that cannot work, or nobody is told what to do.
func TestDoctor(t *testing.T) {
	ok := Check{Name: "system", State: CheckOK, Detail: "linux 6.1"}
	warn := Check{Name: "kernel engine", State: CheckWarn, Detail: "CAP_NET_ADMIN is missing", Advice: "grant it"}
	fail := Check{Name: "network blue", State: CheckFail, Detail: "there is no such namespace\x1b[2J", Advice: "create it"}
	tests := []struct {
		name   string
		checks []Check
		code   int
		table  string
		says   string
	}{
		{"all is well", []Check{ok}, ExitOK, "ok  system  linux 6.1\n", ""},
		{
			"a warning",
			[]Check{ok, warn},
			ExitOK,
			"ok    system         linux 6.1\nwarn  kernel engine  CAP_NET_ADMIN is missing\n      to do: grant it\n", "",
		},
		{
			"a failure",
			[]Check{fail, ok},
			ExitFailure,
			"fail  network blue  there is no such namespace\\u001b[2J\n      to do: create it\nok    system        linux 6.1\n",
			"sallyport: doctor: this machine lacks what is needed: network blue\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &runner{t: t, terminal: true, doctor: func(_ context.Context, file string) ([]Check, error) {
				if file != "a.yaml" {
					t.Errorf("the file is %q", file)
				}
				return tt.checks, nil
			}}
			got := r.run("doctor", "--config", "a.yaml").want(t, tt.code)
			if diff := cmp.Diff(tt.table, got.out); diff != "" || got.errors != tt.says {
				t.Errorf("stderr %q; stdout (-want +got):\n%s", got.errors, diff)
			}
			r.terminal = false
			list := r.run("doctor", "-c", "a.yaml").want(t, tt.code).decoded(t)["checks"].([]any)
			first := map[string]any{"name": tt.checks[0].Name, "state": tt.checks[0].State, "detail": tt.checks[0].Detail}
			if tt.checks[0].Advice != "" {
				first["advice"] = tt.checks[0].Advice
			}
			if diff := cmp.Diff(first, list[0]); diff != "" || len(list) != len(tt.checks) {
				t.Errorf("%d checks in JSON; the first (-want +got):\n%s", len(list), diff)
			}
		})
	}
	blind := &runner{t: t, doctor: func(context.Context, string) ([]Check, error) { return nil, fmt.Errorf("a.yaml: 2 mistakes") }}
	if r := blind.run("doctor", "-o", "json").want(t, ExitFailure).says(t, "sallyport: doctor: a.yaml: 2 mistakes"); r.out != "" {
		t.Errorf("stdout = %q, want nothing", r.out)
	}
}

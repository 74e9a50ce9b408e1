package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

var quotaColumns = []column{{"TYPE", "type"}, {"USED", "used"}, {"QUOTA", "quota"}}

var quotaTypes = []string{"endpoint", "endpoint_service"}

func (a *app) quotaCommand() *cobra.Command {
	kind := enumValue{allowed: quotaTypes}
	cmd := &cobra.Command{
		Use: use("quota"), Args: takes(), GroupID: groupAPI, Short: "Show how much the project uses and may use", Long: helpQuota, Example: exampleQuota,
		RunE: a.call(func(ctx context.Context, s *session, _ []string) error {
			query := url.Values{}
			put(query, "type", kind.value)
			r, err := s.do(ctx, http.MethodGet, "/quotas", query, nil)
			if err != nil {
				return err
			}
			var answer struct {
				Quotas struct {
					Resources []item `json:"resources"`
				} `json:"quotas"`
			}
			if err := r.decode(&answer); err != nil {
				return err
			}
			switch a.format() {
			case outputJSON:
				return a.printJSON(json.RawMessage(r.body))
			case outputID:
				return a.printIDs(answer.Quotas.Resources)
			default:
				return a.printTable(quotaColumns, answer.Quotas.Resources)
			}
		}),
	}
	a.flags.add(cmd.Flags())
	cmd.Flags().Var(&kind, "type", "only this `TYPE`: endpoint or endpoint_service")
	return cmd
}

// tokenView is the result of token in JSON.
type tokenView struct {
	Token   string `json:"token"`
	Expires string `json:"expires_at,omitempty"`
	Project string `json:"project_id"`
	Account string `json:"domain_id,omitempty"`
}

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: use("token"), Args: takes(), GroupID: groupAPI, Short: "Log in and print a token", Long: helpToken, Example: exampleToken,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			a.session = s
			defer s.client.close()
			if s.given.kind == credentialKey {
				return settingf("an access key (%s) signs requests and has no token; set user and password, and unset it", s.given.from[setAccessKey])
			}
			if err := a.loginSecret(ctx, s.given); err != nil {
				return err
			}
			if _, err := s.authenticate(ctx); err != nil {
				return err
			}
			if a.flags.output.value == outputJSON { // in a pipe too a token is a line: $(sallyport token)
				return a.printJSON(tokenView{s.token, s.expires, s.project, s.accountID})
			}
			return a.print(s.token + "\n")
		}),
	}
	a.flags.add(cmd.Flags())
	return cmd
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// connectionStatuses are the states of a connection on the wire.
var connectionStatuses = []string{"pendingAcceptance", "creating", "accepted", "rejected", "failed", "deleting"}

var connectionNoun = noun{
	plural: "connections",
	short: []column{
		{"ENDPOINT", "id"}, {"STATUS", "status"}, {"MARKER", "marker_id"}, {"ACCOUNT", "domain_id"}, {"UPDATED", "updated_at"}, {"DESCRIPTION", "description"},
	},
}

// connections is the path of the connections of a service.
func connections(service string) string { return services + "/" + service + "/connections" }

func (a *app) connectionGroup() *cobra.Command {
	return a.apiGroup("connection", "Decide who is connected to your services", helpConnection, exampleConnection,
		a.connectionList(), a.connectionWatch(),
		a.connectionDecide("accept", "receive", []string{"accepted", "creating"}, helpConnectionAccept, exampleConnectionAccept, "Accept connections"),
		a.connectionDecide("reject", "reject", []string{"rejected"}, helpConnectionReject, exampleConnectionReject, "Reject connections, or cut accepted ones"))
}

func (a *app) connectionList() *cobra.Command {
	var (
		page       pageFlags
		order      sortFlags
		id, marker string
		status     = enumValue{allowed: connectionStatuses}
	)
	cmd := &cobra.Command{
		Use: use("list", argService), Args: takes(argService), Short: "List the connections of a service", Long: helpConnectionList, Example: exampleConnectionList,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place.service = args[0]
			query := url.Values{}
			put(query, "id", id)
			put(query, "marker_id", marker)
			put(query, "status", status.value)
			order.put(query)
			return a.list(ctx, s, connectionNoun, connections(args[0]), query, page)
		}),
	}
	cmd.Flags().StringVar(&id, "id", "", "only that of the endpoint with this `ID`")
	cmd.Flags().StringVar(&marker, "marker", "", "only that with this `NUMBER`, which backends see in the PROXY protocol")
	cmd.Flags().Var(&status, "status", "only those in `STATUS`: "+strings.Join(connectionStatuses, ", "))
	order.add(cmd)
	page.add(cmd, maxPage)
	return cmd
}

// connectionDecide is accept or reject. action is its word on the wire, and
// outcomes are the states that are what was asked for.
func (a *app) connectionDecide(verb, action string, outcomes []string, long, example, short string) *cobra.Command {
	return &cobra.Command{
		Use: use(verb, argService, argEndpoint+repeated), Args: takes(argService, argEndpoint+repeated), Short: short, Long: long, Example: example,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place = place{service: args[0], decision: true}
			done := []item{}
			failed := a.each(ctx, "connection "+verb, args[1:], func(id string) error {
				i, err := s.decide(ctx, args[0], id, action)
				if err != nil {
					return err
				}
				done = append(done, i)
				return judge(i, outcomes)
			})
			if err := a.printDecisions(done); err != nil {
				return err
			}
			for _, i := range done {
				if i.text("status") == "creating" {
					a.note("%s is accepted, but the network has not confirmed it yet; look with: %s connection list %s --id %s", i.id(), program, args[0], i.id())
				}
			}
			return failed
		}),
	}
}

// decide sends a decision about one endpoint: the API takes one in a request
// (VPCEP API reference, Accepting or Rejecting a VPC Endpoint).
func (s *session) decide(ctx context.Context, service, endpoint, action string) (item, error) {
	body := map[string]any{"action": action, "endpoints": []string{endpoint}}
	r, err := s.do(ctx, http.MethodPost, connections(service)+"/action", nil, body)
	if err != nil {
		return item{}, err
	}
	var answer struct {
		Connections []item `json:"connections"`
	}
	if err := r.decode(&answer); err != nil {
		return item{}, err
	}
	for _, i := range answer.Connections {
		if i.id() == endpoint {
			return i, nil
		}
	}
	return item{}, &answerError{errors.New("it says nothing about endpoint " + endpoint)}
}

// judge returns an error where a connection is not in a state that was asked for,
// whatever the HTTP status said.
func judge(i item, outcomes []string) error {
	status := i.text("status")
	if slices.Contains(outcomes, status) {
		return nil
	}
	text := fmt.Sprintf("the server took the decision, but the connection is %s", shorten(status))
	if reason := show(i.fields["error"]); reason != "" {
		text += ": " + shorten(reason)
	}
	return errors.New(text)
}

// printDecisions prints the connections as they are now; in JSON as one answer of
// the API would be for all of them.
func (a *app) printDecisions(done []item) error {
	if a.format() == outputJSON {
		return a.printJSON(map[string]any{connectionNoun.plural: done})
	}
	if len(done) == 0 {
		return nil // every one failed, and was reported
	}
	return a.printList(connectionNoun, done, len(done))
}

var permissionNoun = noun{
	plural: "permissions",
	short:  []column{{"PERMISSION", "permission"}, {"TYPE", "permission_type"}, {"CREATED", "created_at"}, {"DESCRIPTION", "description"}},
}

// The types of whitelist records.
const (
	typeDomain  = "domainId"
	typeOrgPath = "orgPath"
)

// The spellings of whitelist records.
const (
	prefixDomain  = "iam:domain::"
	prefixOrgPath = "organizations:orgPath::"
)

// maxPermissionPage is the most that one page of a whitelist has.
const maxPermissionPage = 500

// permissions is the path of the whitelist of a service.
func permissions(service string) string { return services + "/" + service + "/permissions" }

func (a *app) permissionGroup() *cobra.Command {
	return a.apiGroup("permission", "Say which accounts may connect to a service", helpPermission, examplePermission,
		a.permissionList(),
		a.permissionChange("add", helpPermissionAdd, examplePermissionAdd, "Let accounts create endpoints to a service"),
		a.permissionChange("remove", helpPermissionRemove, examplePermissionRemove, "Let accounts create no more endpoints to a service"))
}

func (a *app) permissionList() *cobra.Command {
	var (
		page       pageFlags
		order      sortFlags
		permission string
	)
	cmd := &cobra.Command{
		Use: use("list", argService), Args: takes(argService), Short: "List the whitelist of a service", Long: helpPermissionList, Example: examplePermissionList,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place.service = args[0]
			query := url.Values{}
			put(query, "permission", permission)
			order.put(query)
			return a.list(ctx, s, permissionNoun, permissions(args[0]), query, page)
		}),
	}
	cmd.Flags().StringVar(&permission, "contains", "", "only those that contain `TEXT`")
	order.add(cmd)
	page.add(cmd, maxPermissionPage)
	return cmd
}

func (a *app) permissionChange(verb, long, example, short string) *cobra.Command {
	return &cobra.Command{
		Use: use(verb, argService, argValue+repeated), Args: takes(argService, argValue+repeated), Short: short, Long: long, Example: example,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place.service = args[0]
			byType := map[string][]string{}
			for _, v := range args[1:] {
				value, kind := spell(v)
				byType[kind] = append(byType[kind], value)
			}
			var list []string
			for _, kind := range []string{typeDomain, typeOrgPath} { // a request has one type
				if len(byType[kind]) == 0 {
					continue
				}
				body := map[string]any{"action": verb, "permissions": byType[kind], "permission_type": kind}
				r, err := s.do(ctx, http.MethodPost, permissions(args[0])+"/action", nil, body)
				if err != nil {
					return err
				}
				var answer struct {
					Permissions []string `json:"permissions"`
				}
				if err := r.decode(&answer); err != nil {
					return err
				}
				list = answer.Permissions // the whole whitelist, after the last request
			}
			return a.printPermissions(list)
		}),
	}
}

// spell returns a whitelist value as the wire has it, and its type. An account id
// alone stands for the record that names it.
func spell(value string) (text, kind string) {
	switch {
	case strings.HasPrefix(value, prefixOrgPath):
		return value, typeOrgPath
	case value == "*" || strings.Contains(value, ":"):
		return value, typeDomain
	default:
		return prefixDomain + value, typeDomain
	}
}

// printPermissions prints the values of a whitelist.
func (a *app) printPermissions(list []string) error {
	items := make([]item, len(list))
	for i, v := range list {
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		items[i] = item{raw: raw, fields: map[string]any{"permission": v}}
	}
	if a.format() == outputTable {
		return a.printTable(permissionNoun.short[:1], items)
	}
	return a.printList(permissionNoun, items, len(items))
}

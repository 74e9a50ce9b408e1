package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/internal/httpapi/native"
)

// endpoints is the path of endpoints behind the project.
const endpoints = "/vpc-endpoints"

// endpointPending are the statuses that pass by themselves; pendingAcceptance is
// none, for it takes the owner.
var endpointPending = map[string]bool{"creating": true}

var endpointNoun = noun{
	plural: "endpoints",
	short: []column{
		{"ID", "id"}, {"STATUS", "status"}, {"IP", "ip"}, {"MARKER", "marker_id"}, {"VPC", "vpc_id"}, {"SERVICE", "endpoint_service_name"},
	},
	long: []column{
		{"id", "id"},
		{"status", "status"},
		{"error", "error"},
		{"data plane", "data_plane"},
		{"engines", "engines"},
		{"ip", "ip"},
		{"dns names", "dns_names"},
		{"marker", "marker_id"},
		{"service", "endpoint_service_id"},
		{"service name", "endpoint_service_name"},
		{"type", "service_type"},
		{"vpc", "vpc_id"},
		{"subnet", "subnet_id"},
		{"route tables", "routetables"},
		{"whitelist on", "enable_whitelist"},
		{"whitelist", "whitelist"},
		{"project", "project_id"},
		{"description", "description"},
		{"tags", "tags"},
		{"created", "created_at"},
		{"updated", "updated_at"},
	},
}

func (a *app) endpointGroup() *cobra.Command {
	return a.apiGroup("endpoint", "Connect to services from your networks", helpEndpoint, exampleEndpoint,
		a.endpointList(), a.endpointShow(), a.endpointCreate(), a.endpointDelete(), a.endpointWatch())
}

func (a *app) endpointList() *cobra.Command {
	var (
		page          pageFlags
		order         sortFlags
		name, vpc, id string
	)
	cmd := &cobra.Command{
		Use: use("list"), Args: takes(), Short: "List the endpoints of the project", Long: helpEndpointList, Example: exampleEndpointList,
		RunE: a.call(func(ctx context.Context, s *session, _ []string) error {
			query := url.Values{}
			put(query, "endpoint_service_name", name)
			put(query, "vpc_id", vpc)
			put(query, "id", id)
			order.put(query)
			return a.list(ctx, s, endpointNoun, endpoints, query, page)
		}),
	}
	cmd.Flags().StringVar(&name, "service-name", "", "only those to services whose full name contains `TEXT`")
	cmd.Flags().StringVar(&vpc, "vpc", "", "only those in the VPC with this `ID`")
	cmd.Flags().StringVar(&id, "id", "", "only the one with this `ID`")
	order.add(cmd)
	page.add(cmd, maxPage)
	return cmd
}

func (a *app) endpointShow() *cobra.Command {
	return &cobra.Command{
		Use: use("show", argID), Args: takes(argID), Short: "Show one endpoint of the project", Long: helpEndpointShow, Example: exampleEndpointShow,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			i, err := s.readOne(ctx, http.MethodGet, endpoints+"/"+args[0], nil, nil)
			if err != nil {
				return err
			}
			if a.format() == outputTable {
				a.addEnforcement(ctx, s, i)
			}
			return a.printOne(endpointNoun, i)
		}),
	}
}

// addEnforcement puts beside an endpoint what the data plane says of it, which the
// native API knows. A server that has none of that is no failure: the endpoint is
// shown as the vendor's API has it.
func (a *app) addEnforcement(ctx context.Context, s *session, i item) {
	own, err := s.under(native.Prefix)
	if err != nil {
		return
	}
	e, err := own.enforcement(ctx, i.id())
	if gone(err) {
		return
	}
	if err != nil {
		a.note("what the data plane says is not known: %v", err)
		return
	}
	said := e.State
	if e.Agent != "" {
		said += ", says agent " + e.Agent
	}
	if e.ConfirmedAt != "" {
		said += " of " + e.ConfirmedAt
	}
	i.fields["data_plane"] = said
	if len(e.Paths) > 0 {
		list := make([]any, len(e.Paths))
		for n, p := range e.Paths {
			text := fmt.Sprintf("%d/%s %s", p.ClientPort, p.Protocol, p.Engine)
			if p.Reason != "" {
				text += " (" + p.Reason + ")"
			}
			list[n] = text
		}
		i.fields["engines"] = list
	}
}

// endpointBody is the body of create; what is empty is not sent.
type endpointBody struct {
	Service         string   `json:"endpoint_service_id"`
	VPC             string   `json:"vpc_id"`
	Subnet          string   `json:"subnet_id,omitempty"`
	IP              string   `json:"port_ip,omitempty"`
	EnableDNS       bool     `json:"enable_dns"`
	EnableWhitelist bool     `json:"enable_whitelist"`
	Whitelist       []string `json:"whitelist,omitempty"`
	RouteTables     []string `json:"routetables,omitempty"`
	Description     string   `json:"description,omitempty"`
	Tags            []tag    `json:"tags,omitempty"`
}

func (a *app) endpointCreate() *cobra.Command {
	var (
		body      endpointBody
		whitelist sourcesValue
		tags      tagsValue
		wait      waitFlags
	)
	cmd := &cobra.Command{
		Use: use("create"), Args: takes(), Short: "Connect to a service", Long: helpEndpointCreate, Example: exampleEndpointCreate,
		RunE: a.call(func(ctx context.Context, s *session, _ []string) error {
			a.place.service = body.Service
			body.Whitelist, body.Tags = whitelist.list, tags.list
			body.EnableWhitelist = len(whitelist.list) > 0
			i, err := s.readOne(ctx, http.MethodPost, endpoints, nil, body)
			if err != nil {
				return err
			}
			if err := a.created(ctx, s, endpointNoun, i, endpoints+"/", endpointPending, wait); err != nil {
				return err
			}
			if i.text("status") == "pendingAcceptance" {
				a.note("the owner of the service decides, by: %s connection accept %s %s", program, body.Service, i.id())
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&body.Service, "service", "", "`ID` of the service")
	flags.StringVar(&body.VPC, "vpc", "", "`ID` of the VPC that gets the endpoint")
	flags.StringVar(&body.Subnet, "subnet", "", "`ID` of the subnet; every service but those of type gateway needs it")
	flags.StringVar(&body.IP, "ip", "", "IPv4 `ADDRESS` of the endpoint (default one of the subnet that is free)")
	flags.BoolVar(&body.EnableDNS, "dns", false, "give the endpoint a name too")
	flags.Var(&whitelist, "whitelist", "let only these `SOURCES` in, IPv4 addresses or networks; may be repeated")
	flags.StringArrayVar(&body.RouteTables, "route-table", nil, "`ID` of a route table, for services of type gateway; may be repeated")
	flags.StringVar(&body.Description, "description", "", "`TEXT` for people")
	flags.Var(&tags, "tag", "`KEY=VALUE`; may be repeated, up to 20 times")
	wait.add(cmd, "accepted, waits for its owner or has failed")
	need(cmd, "service", "vpc")
	return cmd
}

func (a *app) endpointDelete() *cobra.Command {
	var ignoreMissing bool
	cmd := &cobra.Command{
		Use: use("delete", argID+repeated), Args: takes(argID + repeated), Short: "Delete endpoints", Long: helpEndpointDelete, Example: exampleEndpointDelete,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			return a.deleteEach(ctx, s, "endpoint delete", endpoints+"/", args, ignoreMissing)
		}),
	}
	cmd.Flags().BoolVar(&ignoreMissing, "ignore-missing", false, "one that does not exist is no failure")
	return cmd
}

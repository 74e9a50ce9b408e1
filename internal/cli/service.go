package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// services is the path of endpoint services behind the project.
const services = "/vpc-endpoint-services"

// The words of the flags of services (VPCEP API reference, Creating a VPC
// Endpoint Service).
var (
	serverTypes     = []string{"VM", "LB", "VIP", "BMS"}
	tcpProxies      = []string{"close", "toa_open", "proxy_open", "open", "proxy_vni"}
	serviceStatuses = []string{"creating", "available", "failed", "deleting"}
)

// servicePending are the statuses that pass by themselves.
var servicePending = map[string]bool{"creating": true}

var serviceNoun = noun{
	plural: "endpoint_services",
	short: []column{
		{"ID", "id"},
		{"STATUS", "status"},
		{"APPROVAL", "approval_enabled"},
		{"CONNECTIONS", "connection_count"},
		{"PORTS", "ports"},
		{"NAME", "service_name"},
	},
	long: []column{
		{"id", "id"},
		{"name", "service_name"},
		{"status", "status"},
		{"error", "error"},
		{"type", "service_type"},
		{"approval", "approval_enabled"},
		{"connections", "connection_count"},
		{"ports", "ports"},
		{"tcp proxy", "tcp_proxy"},
		{"vpc", "vpc_id"},
		{"port id", "port_id"},
		{"server type", "server_type"},
		{"project", "project_id"},
		{"description", "description"},
		{"tags", "tags"},
		{"created", "created_at"},
		{"updated", "updated_at"},
		{"charged", "is_charge"},
	},
}

var publicNoun = noun{
	plural: "endpoint_services",
	short:  []column{{"ID", "id"}, {"TYPE", "service_type"}, {"OWNER", "owner"}, {"NAME", "service_name"}},
}

func (a *app) serviceGroup() *cobra.Command {
	return a.apiGroup("service", "Publish endpoint services and look at them", helpService, exampleService,
		a.serviceList(), a.serviceShow(), a.serviceCreate(), a.serviceUpdate(), a.serviceRename(),
		a.serviceDelete(), a.serviceDescribe(), a.servicePublic())
}

func (a *app) serviceList() *cobra.Command {
	var (
		page     pageFlags
		order    sortFlags
		name, id string
		status   = enumValue{allowed: serviceStatuses}
	)
	cmd := &cobra.Command{
		Use: use("list"), Args: takes(), Short: "List the services of the project", Long: helpServiceList, Example: exampleServiceList,
		RunE: a.call(func(ctx context.Context, s *session, _ []string) error {
			query := url.Values{}
			put(query, "endpoint_service_name", name)
			put(query, "id", id)
			put(query, "status", status.value)
			order.put(query)
			return a.list(ctx, s, serviceNoun, services, query, page)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "only those whose full name contains `TEXT`, whatever the case")
	cmd.Flags().StringVar(&id, "id", "", "only the one with this `ID`")
	cmd.Flags().Var(&status, "status", "only those in `STATUS`: "+strings.Join(serviceStatuses, ", "))
	order.add(cmd)
	page.add(cmd, maxPage)
	return cmd
}

func (a *app) serviceShow() *cobra.Command {
	return &cobra.Command{
		Use: use("show", argID), Args: takes(argID), Short: "Show one service of the project", Long: helpServiceShow, Example: exampleServiceShow,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place.service = args[0]
			i, err := s.readOne(ctx, http.MethodGet, services+"/"+args[0], nil, nil)
			if err != nil {
				return err
			}
			return a.printOne(serviceNoun, i)
		}),
	}
}

// serviceBody is the body of create and update; what is nil or empty is not sent.
type serviceBody struct {
	Name        string    `json:"service_name,omitempty"`
	VPC         string    `json:"vpc_id,omitempty"`
	PortID      string    `json:"port_id,omitempty"`
	ServerType  string    `json:"server_type,omitempty"`
	Ports       []mapping `json:"ports,omitempty"`
	Approval    *bool     `json:"approval_enabled,omitempty"`
	TCPProxy    string    `json:"tcp_proxy,omitempty"`
	Description *string   `json:"description,omitempty"` // "" clears it in an update
	Tags        []tag     `json:"tags,omitempty"`
}

// serviceFlags are the flags that create and update share.
type serviceFlags struct {
	portID      string
	ports       mappingsValue
	approval    bool
	tcpProxy    enumValue
	description string
}

func (f *serviceFlags) add(cmd *cobra.Command) {
	f.tcpProxy.allowed = tcpProxies
	cmd.Flags().StringVar(&f.portID, "port-id", "", "`ID` of the backend: its port, as the server's configuration names it")
	cmd.Flags().Var(&f.ports, "port", "`CLIENT:SERVER[/PROTOCOL]`, the port offered and the backend's, tcp or udp (default tcp); may be repeated")
	cmd.Flags().BoolVar(&f.approval, "approval", true, "whether the owner decides on each connection")
	cmd.Flags().Var(&f.tcpProxy, "tcp-proxy", "how the backend learns who connects, `MODE` of "+strings.Join(tcpProxies, ", "))
	cmd.Flags().StringVar(&f.description, "description", "", "`TEXT` for people")
}

// body returns what was given of the shared flags.
func (f *serviceFlags) body(cmd *cobra.Command) serviceBody {
	b := serviceBody{PortID: f.portID, Ports: f.ports.list, TCPProxy: f.tcpProxy.value}
	if cmd.Flags().Changed("approval") {
		b.Approval = &f.approval
	}
	if cmd.Flags().Changed("description") {
		b.Description = &f.description
	}
	return b
}

func (a *app) serviceCreate() *cobra.Command {
	var (
		shared     serviceFlags
		wait       waitFlags
		tags       tagsValue
		name, vpc  string
		serverType = enumValue{allowed: serverTypes, value: serverTypes[0]}
	)
	cmd := &cobra.Command{
		Use: use("create"), Args: takes(), Short: "Publish a service", Long: helpServiceCreate, Example: exampleServiceCreate,
	}
	cmd.RunE = a.call(func(ctx context.Context, s *session, _ []string) error {
		body := shared.body(cmd)
		body.Name, body.VPC, body.ServerType, body.Tags = name, vpc, serverType.value, tags.list
		i, err := s.readOne(ctx, http.MethodPost, services, nil, body)
		if err != nil {
			return err
		}
		return a.created(ctx, s, serviceNoun, i, services+"/", servicePending, wait)
	})
	shared.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "`NAME`, up to 16 letters, digits, hyphens and underscores")
	cmd.Flags().StringVar(&vpc, "vpc", "", "`ID` of the VPC of the backend")
	cmd.Flags().Var(&serverType, "server-type", "`TYPE` of the backend: "+strings.Join(serverTypes, ", "))
	cmd.Flags().Var(&tags, "tag", "`KEY=VALUE`; may be repeated, up to 20 times")
	wait.add(cmd, "available or has failed")
	need(cmd, "vpc", "port-id", "port")
	return cmd
}

func (a *app) serviceUpdate() *cobra.Command {
	var (
		shared serviceFlags
		name   string
	)
	cmd := &cobra.Command{
		Use: use("update", argID), Args: takes(argID), Short: "Change a service", Long: helpServiceUpdate, Example: exampleServiceUpdate,
	}
	shared.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "new `NAME`")
	changes := []string{"port-id", "port", "approval", "tcp-proxy", "description", "name"}
	cmd.MarkFlagsOneRequired(changes...)
	cmd.RunE = a.call(func(ctx context.Context, s *session, args []string) error {
		a.place.service = args[0]
		body := shared.body(cmd)
		body.Name = name
		i, err := s.readOne(ctx, http.MethodPut, services+"/"+args[0], nil, body)
		if err != nil {
			return err
		}
		return a.printOne(serviceNoun, i)
	})
	return cmd
}

func (a *app) serviceRename() *cobra.Command {
	return &cobra.Command{
		Use: use("rename", argID, argName), Args: takes(argID, argName), Short: "Give a service another name", Long: helpServiceRename, Example: exampleServiceRename,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			a.place.service = args[0]
			_, err := s.do(ctx, http.MethodPut, services+"/"+args[0]+"/name", nil, map[string]string{"endpoint_service_name": args[1]})
			if err != nil {
				return err
			}
			// The answer to a new name is the name alone; the full one is in the service.
			i, err := s.readOne(ctx, http.MethodGet, services+"/"+args[0], nil, nil)
			if err != nil {
				return err
			}
			return a.printOne(serviceNoun, i)
		}),
	}
}

func (a *app) serviceDelete() *cobra.Command {
	var ignoreMissing bool
	cmd := &cobra.Command{
		Use: use("delete", argID+repeated), Args: takes(argID + repeated), Short: "Delete services", Long: helpServiceDelete, Example: exampleServiceDelete,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				a.place.service = args[0]
			}
			return a.deleteEach(ctx, s, "service delete", services+"/", args, ignoreMissing)
		}),
	}
	cmd.Flags().BoolVar(&ignoreMissing, "ignore-missing", false, "one that does not exist is no failure")
	return cmd
}

func (a *app) serviceDescribe() *cobra.Command {
	return &cobra.Command{
		Use: use("describe", argIDOrName), Args: takes(argIDOrName), Short: "Show what a consumer may know of a service", Long: helpServiceDescribe, Example: exampleServiceDescribe,
		RunE: a.call(func(ctx context.Context, s *session, args []string) error {
			query := url.Values{}
			if strings.Contains(args[0], ".") { // full names have dots, ids have none
				query.Set("endpoint_service_name", args[0])
			} else {
				query.Set("id", args[0])
			}
			i, err := s.readOne(ctx, http.MethodGet, services+"/describe", query, nil)
			if err != nil {
				return err
			}
			return a.printOne(serviceNoun, i)
		}),
	}
}

func (a *app) servicePublic() *cobra.Command {
	var (
		page     pageFlags
		order    sortFlags
		name, id string
	)
	cmd := &cobra.Command{
		Use: use("public"), Args: takes(), Short: "List the services of the operator", Long: helpServicePublic, Example: exampleServicePublic,
		RunE: a.call(func(ctx context.Context, s *session, _ []string) error {
			query := url.Values{}
			put(query, "endpoint_service_name", name)
			put(query, "id", id)
			order.put(query)
			return a.list(ctx, s, publicNoun, services+"/public", query, page)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "only those whose full name contains `TEXT`, whatever the case")
	cmd.Flags().StringVar(&id, "id", "", "only the one with this `ID`")
	order.add(cmd)
	page.add(cmd, maxPage)
	return cmd
}

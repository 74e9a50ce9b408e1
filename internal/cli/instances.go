package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/internal/httpapi/native"
)

// instanceKind is a kind of managed resource, as its verbs are called.
type instanceKind struct {
	name, plural           string // of the group, and the last part of the path
	short                  string
	long, list, show       string // help
	create, remove         string
	example                string
	exampleList            string
	exampleShow            string
	exampleCreate          string
	exampleRemove          string
	listShort, createShort string
	showShort, removeShort string
}

var clusterKind = instanceKind{
	name: "cluster", plural: "clusters", short: "Manage search clusters that have an endpoint service (CSS)",
	long: helpCluster, list: helpClusterList, show: helpClusterShow, create: helpClusterCreate, remove: helpClusterDelete,
	example: exampleCluster, exampleList: exampleClusterList, exampleShow: exampleClusterShow,
	exampleCreate: exampleClusterCreate, exampleRemove: exampleClusterDelete,
	listShort: "List the clusters of the project", createShort: "Declare a cluster",
	showShort: "Show one cluster of the project", removeShort: "Delete clusters",
}

var gatewayKind = instanceKind{
	name: "gateway", plural: "gateways", short: "Manage API gateways that have an endpoint service (APIG)",
	long: helpGateway, list: helpGatewayList, show: helpGatewayShow, create: helpGatewayCreate, remove: helpGatewayDelete,
	example: exampleGateway, exampleList: exampleGatewayList, exampleShow: exampleGatewayShow,
	exampleCreate: exampleGatewayCreate, exampleRemove: exampleGatewayDelete,
	listShort: "List the gateways of the project", createShort: "Declare a gateway",
	showShort: "Show one gateway of the project", removeShort: "Delete gateways",
}

var instanceNoun = noun{
	plural: "instances",
	short: []column{
		{"ID", "id"}, {"NAME", "name"}, {"SERVICE", "service_id"}, {"ADDRESSES", "addresses"}, {"PORTS", "ports"}, {"IN FILE", "configured"},
	},
	long: []column{
		{"id", "id"},
		{"name", "name"},
		{"service", "service_id"},
		{"service name", "service_name"},
		{"endpoint", "endpoint_id"},
		{"addresses", "addresses"},
		{"ports", "ports"},
		{"vpc", "vpc_id"},
		{"subnet", "subnet_id"},
		{"project", "project_id"},
		{"in the file", "configured"},
		{"created", "created_at"},
		{"updated", "updated_at"},
	},
}

// vpcepPath stands between the host and the project in the URL of VPCEP v1.
const vpcepPath = "/v1/"

// under returns a session whose paths stand behind another API of the same
// server. A URL of VPCEP that does not end as the API reference has it belongs to
// a server that has no other API beside it.
func (s *session) under(prefix string) (*session, error) {
	project := url.PathEscape(s.project)
	base, ok := strings.CutSuffix(s.resources, vpcepPath+project)
	if !ok {
		return nil, &hinted{fmt.Errorf("where the API of clusters and gateways is does not follow from %s", s.resources), "set --endpoint or SALLYPORT_ENDPOINT to the URL of the server"}
	}
	out := *s
	out.resources = base + prefix + "/" + project
	return &out, nil
}

func (a *app) clusterGroup() *cobra.Command {
	return a.apiGroup(clusterKind.name, clusterKind.short, clusterKind.long, clusterKind.example,
		append(a.instanceVerbs(clusterKind), a.clusterOpen(), a.clusterClose())...)
}

func (a *app) gatewayGroup() *cobra.Command {
	return a.apiGroup(gatewayKind.name, gatewayKind.short, gatewayKind.long, gatewayKind.example, a.instanceVerbs(gatewayKind)...)
}

func (a *app) instanceVerbs(k instanceKind) []*cobra.Command {
	return []*cobra.Command{a.instanceList(k), a.instanceShow(k), a.instanceCreate(k), a.instanceDelete(k)}
}

// managed is call for a verb of the native API.
func (a *app) managed(fn func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return a.call(func(ctx context.Context, s *session, args []string) error {
		own, err := s.under(native.Prefix)
		if err != nil {
			return err
		}
		return fn(ctx, own, args)
	})
}

func (a *app) instanceList(k instanceKind) *cobra.Command {
	var page pageFlags
	cmd := &cobra.Command{
		Use: use("list"), Args: takes(), Short: k.listShort, Long: k.list, Example: k.exampleList,
		RunE: a.managed(func(ctx context.Context, s *session, _ []string) error {
			return a.list(ctx, s, instanceNoun, "/"+k.plural, url.Values{}, page)
		}),
	}
	page.add(cmd, maxPage)
	return cmd
}

func (a *app) instanceShow(k instanceKind) *cobra.Command {
	return &cobra.Command{
		Use: use("show", argID), Args: takes(argID), Short: k.showShort, Long: k.show, Example: k.exampleShow,
		RunE: a.managed(func(ctx context.Context, s *session, args []string) error {
			return a.showInstance(ctx, s, k, args[0])
		}),
	}
}

func (a *app) showInstance(ctx context.Context, s *session, k instanceKind, id string) error {
	i, err := s.readOne(ctx, http.MethodGet, "/"+k.plural+"/"+id, nil, nil)
	if err != nil {
		return err
	}
	return a.printOne(instanceNoun, i)
}

func (a *app) instanceCreate(k instanceKind) *cobra.Command {
	var (
		body      native.NewInstance
		addresses addressesValue
		ports     portsValue
	)
	cmd := &cobra.Command{
		Use: use("create"), Args: takes(), Short: k.createShort, Long: k.create, Example: k.exampleCreate,
		RunE: a.managed(func(ctx context.Context, s *session, _ []string) error {
			body.Addresses, body.Ports = addresses.list, ports.list
			i, err := s.readOne(ctx, http.MethodPost, "/"+k.plural, nil, body)
			if err != nil {
				return err
			}
			return a.printOne(instanceNoun, i)
		}),
	}
	cmd.Flags().StringVar(&body.ID, "id", "", "`ID` to have, otherwise one is made up")
	cmd.Flags().StringVar(&body.Name, "name", "", "`NAME` for people")
	cmd.Flags().StringVar(&body.VPC, "vpc", "", "`ID` of the VPC it is in")
	cmd.Flags().StringVar(&body.Subnet, "subnet", "", "`ID` of its subnet")
	cmd.Flags().Var(&addresses, "address", "`ADDRESS` of a node in the VPC; may be repeated")
	cmd.Flags().Var(&ports, "port", "`PORT` it answers on; may be repeated")
	if k.name == gatewayKind.name {
		cmd.Flags().StringVar(&body.ServiceName, "service-name", "", "`NAME` of its endpoint service, up to 16 letters, digits, hyphens and underscores")
	}
	need(cmd, "name", "vpc", "subnet", "address")
	return cmd
}

func (a *app) instanceDelete(k instanceKind) *cobra.Command {
	var ignoreMissing bool
	cmd := &cobra.Command{
		Use: use("delete", argID+repeated), Args: takes(argID + repeated), Short: k.removeShort, Long: k.remove, Example: k.exampleRemove,
		RunE: a.managed(func(ctx context.Context, s *session, args []string) error {
			return a.deleteEach(ctx, s, k.name+" delete", "/"+k.plural+"/", args, ignoreMissing)
		}),
	}
	cmd.Flags().BoolVar(&ignoreMissing, "ignore-missing", false, "one that does not exist is no failure")
	return cmd
}

// The parts of the paths of CSS (CSS API reference, Enabling the VPC Endpoint
// Service).
const (
	cssPath    = "/v1.0"
	cssService = "/vpcepservice"
)

func (a *app) clusterOpen() *cobra.Command {
	var dns bool
	cmd := &cobra.Command{
		Use: use("open", argID), Args: takes(argID), Short: "Give a cluster its endpoint service", Long: helpClusterOpen, Example: exampleClusterOpen,
		RunE: a.managed(func(ctx context.Context, s *session, args []string) error {
			return a.switchCluster(ctx, s, args[0], http.MethodPost, "/open", map[string]bool{"endpoint_with_dns_name": dns})
		}),
	}
	cmd.Flags().BoolVar(&dns, "dns", false, "give the cluster's own endpoint a private domain name too")
	return cmd
}

func (a *app) clusterClose() *cobra.Command {
	return &cobra.Command{
		Use: use("close", argID), Args: takes(argID), Short: "Take the endpoint service away from a cluster", Long: helpClusterClose, Example: exampleClusterClose,
		RunE: a.managed(func(ctx context.Context, s *session, args []string) error {
			return a.switchCluster(ctx, s, args[0], http.MethodPut, "/close", nil)
		}),
	}
}

// switchCluster opens or closes a cluster over CSS and prints what it is then. It
// looks first: of a cluster that is missing CSS says that it is forbidden.
func (a *app) switchCluster(ctx context.Context, s *session, id, method, what string, body any) error {
	if _, err := s.readOne(ctx, http.MethodGet, "/"+clusterKind.plural+"/"+id, nil, nil); err != nil {
		return err
	}
	vendor, err := a.session.under(cssPath)
	if err != nil {
		return err
	}
	if _, err := vendor.do(ctx, method, "/"+clusterKind.plural+"/"+id+cssService+what, nil, body); err != nil {
		return err
	}
	return a.showInstance(ctx, s, clusterKind, id)
}

// addressesValue is a flag that takes an address, and may be repeated.
type addressesValue struct{ list []netip.Addr }

// String returns what was given.
func (v *addressesValue) String() string { return joined(v.list, netip.Addr.String) }

// Type names the value in help.
func (v *addressesValue) Type() string { return "address" }

// Set takes one address, or several with commas between.
func (v *addressesValue) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		address, err := netip.ParseAddr(part)
		if err != nil {
			return fmt.Errorf("an address is needed, such as 10.0.0.7")
		}
		v.list = append(v.list, address)
	}
	return nil
}

// portsValue is a flag that takes a port, and may be repeated.
type portsValue struct{ list []uint16 }

// String returns what was given.
func (v *portsValue) String() string {
	return joined(v.list, func(p uint16) string { return strconv.Itoa(int(p)) })
}

// Type names the value in help.
func (v *portsValue) Type() string { return "port" }

// Set takes one port, or several with commas between.
func (v *portsValue) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.ParseUint(part, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("a port from 1 to 65535 is needed")
		}
		v.list = append(v.list, uint16(port))
	}
	return nil
}

func joined[T any](list []T, show func(T) string) string {
	parts := make([]string, len(list))
	for n, v := range list {
		parts[n] = show(v)
	}
	return strings.Join(parts, ",")
}

package app

import (
	"fmt"
	"net/netip"

	"github.com/sallyport-net/sallyport/internal/agentapi"
	"github.com/sallyport-net/sallyport/internal/config"
	"github.com/sallyport-net/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/internal/identity"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// directory makes the directory of accounts from the configuration.
func directory(cfg *config.Config) (*identity.Directory, error) {
	accounts := make([]identity.Account, 0, len(cfg.Identity.Domains))
	for _, d := range cfg.Identity.Domains {
		a := identity.Account{ID: sallyport.DomainID(d.ID), Name: d.Name}
		for _, p := range d.Projects {
			a.Projects = append(a.Projects, identity.Project{ID: sallyport.ProjectID(p.ID), Name: p.Name})
		}
		for _, u := range d.Users {
			a.Users = append(a.Users, user(u))
		}
		accounts = append(accounts, a)
	}
	return identity.NewDirectory(accounts)
}

func user(u config.User) identity.User {
	out := identity.User{ID: sallyport.UserID(u.ID), Name: u.Name, Password: string(u.Password)}
	for _, r := range u.Roles {
		out.Roles = append(out.Roles, sallyport.Role(r))
	}
	for _, k := range u.AccessKeys {
		out.Keys = append(out.Keys, identity.Key{Access: k.Access, Secret: string(k.Secret)})
	}
	return out
}

// networks makes what the use cases know of networks from the configuration.
func networks(cfg *config.Config) control.Networks {
	n := control.Networks{
		AllowUnknown: cfg.Networks.Unknown == config.UnknownAllow,
		VPCs:         map[sallyport.VPCID]control.VPC{},
		Backends:     map[sallyport.PortID]control.Backend{},
	}
	for _, v := range cfg.Networks.VPCs {
		vpc := control.VPC{
			Attach:  attachment(v.Attach),
			Subnets: map[sallyport.SubnetID]netip.Prefix{},
		}
		for _, s := range v.Subnets {
			vpc.Subnets[sallyport.SubnetID(s.ID)] = s.CIDR
		}
		n.VPCs[sallyport.VPCID(v.ID)] = vpc
	}
	for _, b := range cfg.Backends {
		n.Backends[sallyport.PortID(b.PortID)] = control.Backend{
			VPC: sallyport.VPCID(b.VPC), Addresses: b.Addresses, Balance: agentapi.Balance(b.Balance),
			Check: check(b.Check), TLVs: b.ProxyTLVs,
		}
	}
	return n
}

// check makes a health check of the configuration's; nil stays nil.
func check(k *config.Check) *agentapi.Check {
	if k == nil {
		return nil
	}
	return &agentapi.Check{
		Kind: agentapi.CheckKind(k.Type), Port: uint16(k.Port), // the configuration has checked the range
		Path: k.Path, Interval: k.Interval, Timeout: k.Timeout,
	}
}

func publicServices(cfg *config.Config) []control.PublicService {
	backends := map[string]string{}
	for _, b := range cfg.Backends {
		backends[b.PortID] = b.VPC
	}
	var out []control.PublicService
	for _, p := range cfg.PublicServices {
		s := control.PublicService{
			ID: sallyport.ServiceID(p.ID), Name: p.Name, Owner: sallyport.DomainID(p.Owner),
			Kind: sallyport.ServiceKind(p.ServiceType), Approval: p.Approval, PortID: sallyport.PortID(p.PortID),
			VPCID: sallyport.VPCID(backends[p.PortID]),
		}
		for _, m := range p.Ports {
			s.Ports = append(s.Ports, sallyport.PortMapping{
				Client: uint16(m.ClientPort), Server: uint16(m.ServerPort), Protocol: m.Protocol,
			})
		}
		out = append(out, s)
	}
	return out
}

// instances makes the clusters and gateways of the configuration. Each belongs to
// the account that its project belongs to.
func instances(cfg *config.Config) ([]control.ConfiguredInstance, error) {
	owners := map[string]string{}
	for _, d := range cfg.Identity.Domains {
		for _, p := range d.Projects {
			owners[p.ID] = d.ID
		}
	}
	out := make([]control.ConfiguredInstance, 0, len(cfg.Clusters)+len(cfg.Gateways))
	add := func(n sallyport.NewInstance, project string, ports ...int) error {
		owner, ok := owners[project]
		if !ok {
			return fmt.Errorf("%s %s: project %s belongs to no account of the configuration", n.Kind, n.ID, project)
		}
		for _, p := range ports {
			n.Ports = append(n.Ports, uint16(p)) // the configuration has checked the range
		}
		out = append(out, control.ConfiguredInstance{
			NewInstance: n, ProjectID: sallyport.ProjectID(project), DomainID: sallyport.DomainID(owner),
		})
		return nil
	}
	for _, c := range cfg.Clusters {
		err := add(sallyport.NewInstance{
			ID: sallyport.InstanceID(c.ID), Kind: sallyport.InstanceCluster, Name: c.Name, VPCID: sallyport.VPCID(c.VPC),
			SubnetID: sallyport.SubnetID(c.Subnet), Addresses: c.Addresses,
		}, c.Project, c.Port)
		if err != nil {
			return nil, err
		}
	}
	for _, g := range cfg.Gateways {
		err := add(sallyport.NewInstance{
			ID: sallyport.InstanceID(g.ID), Kind: sallyport.InstanceGateway, Name: g.Name, VPCID: sallyport.VPCID(g.VPC),
			SubnetID: sallyport.SubnetID(g.Subnet), Addresses: g.Addresses,
		}, g.Project, g.Ports...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// limits makes what bounds the flows of every endpoint.
func limits(cfg *config.Config) agentapi.Limits {
	f := cfg.Forwarding
	return agentapi.Limits{
		Connections: f.Connections, DialTimeout: f.DialTimeout, IdleTimeout: f.IdleTimeout, UDPTimeout: f.UDPTimeout, Drain: f.Drain,
	}
}

// engineOf returns the engine that the configuration fixes, "" where the agent chooses.
func engineOf(cfg *config.Config) agentapi.Engine {
	if cfg.Forwarding.Engine == config.EngineUser {
		return agentapi.EngineUser
	}
	return ""
}

package config

import "regexp"

// maxPortMappings bounds the mappings of one service (VPCEP API reference,
// ports: at most 200).
const maxPortMappings = 200

// maxPorts bounds the ports of one gateway, for the same reason.
const maxPorts = maxPortMappings

// serviceNameForm is the whole name of an operator's own service. Unlike the
// names tenants give it has dots, as in com.example.dns.
var serviceNameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// validateBackends judges the backends and returns them by port id.
func validateBackends(c *Config, nets *networks, f *findings) names {
	ports := names{}
	for i := range c.Backends {
		b, path := &c.Backends[i], item("backends", i)
		ports.id(f, path+".port_id", b.PortID)
		nets.vpc(f, path+".vpc", b.VPC)
		validateAddresses(b.Addresses, path+".addresses", f)
		validateHandling(b, path, f)
	}
	return ports
}

func validatePublicServices(c *Config, backends names, f *findings) {
	ids, fullNames := names{}, names{}
	taken := map[string]map[socket]string{} // port id → server port → path of the mapping
	for i := range c.PublicServices {
		s, path := &c.PublicServices[i], item("public_services", i)
		switch {
		case s.Name == "" && !f.has(path+".name"):
			f.missing(path+".name", "give the whole name clients see, for example com.example.dns")
		case !serviceNameForm.MatchString(s.Name):
			f.at(path+".name", "%s must be 1–128 letters, digits, dots, - and _", quote(s.Name))
		case fullNames.unique(f, path+".name", s.Name):
			ids.id(f, path+".id", s.ID)
		}
		reference(f, path+".owner", s.Owner, "its owner, or a word that stands for it")
		if s.ServiceType != ServiceInterface && s.ServiceType != ServiceGateway {
			f.at(path+".service_type", "%s is not a type of service; write %s or %s", quote(s.ServiceType), ServiceInterface, ServiceGateway)
		}
		if (s.PortID != "" || f.has(path+".port_id")) && reference(f, path+".port_id", s.PortID, "a backend") {
			_, known := backends[s.PortID]
			if !known && c.Networks.Unknown == UnknownRefuse && f.soundUnder("backends") {
				f.at(path+".port_id", "%s is not a backend of this file; declare it under backends, or set networks.unknown: allow", quote(s.PortID))
			}
		}
		used := taken[s.PortID]
		if used == nil {
			used = map[socket]string{}
		}
		validateMappings(s, path, used, f)
		if s.PortID != "" {
			taken[s.PortID] = used
		}
	}
}

// socket is a port of one protocol: 53 over TCP and 53 over UDP are two.
type socket struct {
	port     int
	protocol string
}

// validateMappings judges the port mappings of one service; taken are the
// server ports that other services already use on the same backend, which must
// not repeat (VPCEP API reference, ports).
func validateMappings(s *PublicService, path string, taken map[socket]string, f *findings) {
	switch {
	case len(s.Ports) > 0 && !f.has(path+".port_id"):
		f.missing(path+".port_id", "ports need the backend they lead to")
	case len(s.Ports) == 0 && f.has(path+".port_id"):
		f.missing(path+".ports", "a backend needs at least one port mapping, for example [{client_port: 53, server_port: 53}]")
	case len(s.Ports) > maxPortMappings:
		f.at(path+".ports", "has %d mappings; at most %d are allowed", len(s.Ports), maxPortMappings)
	}
	client, mine := map[socket]bool{}, map[socket]string{}
	for i, m := range s.Ports {
		at := item(path+".ports", i)
		from, to := socket{m.ClientPort, m.Protocol}, socket{m.ServerPort, m.Protocol}
		switch {
		case !validatePort(f, at+".client_port", m.ClientPort):
		case client[from]:
			f.at(at+".client_port", "%d is mapped twice; keep one of them", m.ClientPort)
		default:
			client[from] = true
		}
		if validatePort(f, at+".server_port", m.ServerPort) {
			if other, used := taken[to]; used {
				f.at(at+".server_port", "%d of this backend is used by another service, on line %d (%s)", m.ServerPort, f.line(other), other)
			}
			mine[to] = at + ".server_port"
		}
		if m.Protocol != ProtocolTCP && m.Protocol != ProtocolUDP {
			f.at(at+".protocol", "%s is not carried; write %s or %s", quote(m.Protocol), ProtocolTCP, ProtocolUDP)
		}
	}
	for port, at := range mine {
		if _, used := taken[port]; !used {
			taken[port] = at
		}
	}
}

func validatePort(f *findings, path string, port int) bool {
	switch {
	case port == 0 && !f.has(path):
		f.missing(path, "give a port from 1 to 65535")
	case !validPort(port):
		f.at(path, "%d is not a port; write a number from 1 to 65535", port)
	default:
		return true
	}
	return false
}

// validateInstances judges search clusters and API gateways: they differ in
// their ports only.
func validateInstances(c *Config, projects names, nets *networks, f *findings) {
	strict := len(c.Identity.Domains) > 0 && f.soundUnder("identity")
	instance := func(path, id, name, project, vpc, subnet string, ids, all names) {
		ids.id(f, path+".id", id)
		all.text(f, path+".name", name)
		if reference(f, path+".project", project, "a project") {
			if _, known := projects[project]; !known && strict {
				f.at(path+".project", "%s is not the id of a project of this file; declare it under identity.domains", quote(project))
			}
		}
		nets.vpc(f, path+".vpc", vpc)
		nets.subnet(f, path+".subnet", subnet, vpc)
	}
	ids, all := names{}, names{}
	for i := range c.Clusters {
		k, path := &c.Clusters[i], item("clusters", i)
		instance(path, k.ID, k.Name, k.Project, k.VPC, k.Subnet, ids, all)
		validateAddresses(k.Addresses, path+".addresses", f)
		validatePort(f, path+".port", k.Port)
	}
	ids, all = names{}, names{}
	for i := range c.Gateways {
		g, path := &c.Gateways[i], item("gateways", i)
		instance(path, g.ID, g.Name, g.Project, g.VPC, g.Subnet, ids, all)
		validateAddresses(g.Addresses, path+".addresses", f)
		validateGatewayPorts(g.Ports, path+".ports", f)
	}
}

func validateGatewayPorts(ports []int, path string, f *findings) {
	switch {
	case len(ports) == 0:
		f.at(path, "is empty; list at least one port, or remove the key for 80 and 443")
	case len(ports) > maxPorts:
		f.at(path, "has %d ports; at most %d are allowed", len(ports), maxPorts)
	}
	seen := map[int]bool{}
	for i, port := range ports {
		at := item(path, i)
		if validatePort(f, at, port) && seen[port] {
			f.at(at, "%d is listed twice; keep one of them", port)
		}
		seen[port] = true
	}
}

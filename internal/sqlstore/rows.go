package sqlstore

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Columns are always named, so that a row means the same after a column is added.
const (
	serviceColumns = `id, name, region, system_name, kind, server_type, project_id, domain_id, vpc_id, port_id,
 vip_port_id, pool_id, ip, ip_version, snat_network, ports, tcp_proxy, approval, policy, status, description, tags,
 professional, resources, border_group, on_revoke, managed_by, created_us, updated_us, rev, spec_rev`

	putService = `INSERT INTO services (` + serviceColumns + `)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31)
 ON CONFLICT (id) DO UPDATE SET name=excluded.name, region=excluded.region, system_name=excluded.system_name,
 kind=excluded.kind, server_type=excluded.server_type, project_id=excluded.project_id, domain_id=excluded.domain_id,
 vpc_id=excluded.vpc_id, port_id=excluded.port_id, vip_port_id=excluded.vip_port_id, pool_id=excluded.pool_id,
 ip=excluded.ip, ip_version=excluded.ip_version, snat_network=excluded.snat_network, ports=excluded.ports,
 tcp_proxy=excluded.tcp_proxy, approval=excluded.approval, policy=excluded.policy, status=excluded.status,
 description=excluded.description, tags=excluded.tags, professional=excluded.professional,
 resources=excluded.resources, border_group=excluded.border_group, on_revoke=excluded.on_revoke,
 managed_by=excluded.managed_by,
 created_us=excluded.created_us, updated_us=excluded.updated_us, rev=excluded.rev, spec_rev=excluded.spec_rev`

	removeService = `DELETE FROM services WHERE id = $1`

	endpointColumns = `id, service_id, project_id, domain_id, vpc_id, subnet_id, address, outside, marker, status,
 was_accepted, unattached, fault, enable_dns, enable_whitelist, whitelist, route_tables, tags, description, note,
 specification, ip_version, ipv6_address, policy_statement, policy_document, professional, created_us, updated_us,
 rev, spec_rev, admit_rev`

	addEndpoint = `INSERT INTO endpoints (` + endpointColumns + `)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31)`

	// stepEndpoint writes what a step of the state machine can change, and
	// nothing else: it is the statement of every decision.
	stepEndpoint = `UPDATE endpoints SET status=$2, was_accepted=$3, unattached=$4, fault=$5, updated_us=$6, rev=$7,
 spec_rev=$8, admit_rev=$9 WHERE id=$1`

	editEndpoint = `UPDATE endpoints SET enable_whitelist=$2, whitelist=$3, route_tables=$4, tags=$5, description=$6,
 note=$7, policy_statement=$8, policy_document=$9, professional=$10 WHERE id=$1`

	removeEndpoint = `DELETE FROM endpoints WHERE id = $1`

	permissionColumns = `service_id, id, value, type, description, created_us, rev`

	putPermission = `INSERT INTO permissions (` + permissionColumns + `) VALUES ($1,$2,$3,$4,$5,$6,$7)
 ON CONFLICT (service_id, id) DO UPDATE SET value=excluded.value, type=excluded.type,
 description=excluded.description, created_us=excluded.created_us, rev=excluded.rev`

	removePermission = `DELETE FROM permissions WHERE service_id = $1 AND id = $2`

	subnetColumns = `id, vpc_id, prefix, rev`

	putSubnet = `INSERT INTO subnets (` + subnetColumns + `) VALUES ($1,$2,$3,$4)
 ON CONFLICT (id) DO UPDATE SET vpc_id=excluded.vpc_id, prefix=excluded.prefix, rev=excluded.rev`

	revocationColumns = `token_id, expires_us, rev`

	putRevocation = `INSERT INTO revocations (` + revocationColumns + `) VALUES ($1,$2,$3)
 ON CONFLICT (token_id) DO UPDATE SET expires_us=excluded.expires_us, rev=excluded.rev`

	instanceColumns = `id, kind, name, project_id, domain_id, vpc_id, subnet_id, addresses, ports, service_id,
 endpoint_id, configured, created_us, updated_us, rev`

	putInstance = `INSERT INTO instances (` + instanceColumns + `)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)
 ON CONFLICT (id) DO UPDATE SET kind=excluded.kind, name=excluded.name, project_id=excluded.project_id,
 domain_id=excluded.domain_id, vpc_id=excluded.vpc_id, subnet_id=excluded.subnet_id, addresses=excluded.addresses,
 ports=excluded.ports, service_id=excluded.service_id, endpoint_id=excluded.endpoint_id,
 configured=excluded.configured, created_us=excluded.created_us, updated_us=excluded.updated_us, rev=excluded.rev`

	removeInstance = `DELETE FROM instances WHERE id = $1`

	auditColumns = `rev, at_us, family, operation, action, outcome, reason, object, object_id, service_id, from_status,
 to_status, domain_id, project_id, user_id, user_name, method, source, request_id, detail, hash`

	addAudit = `INSERT INTO audit (` + auditColumns + `)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21)`
)

func serviceRow(s *sallyport.Service) []any {
	return []any{
		string(s.ID), s.Name, s.Region, s.SystemName, string(s.Kind), s.ServerType, string(s.ProjectID), string(s.DomainID),
		string(s.VPCID), string(s.PortID), s.VIPPortID, s.PoolID, s.IP, s.IPVersion, s.SNATNetwork, encode(s.Ports),
		string(s.TCPProxy), flag(s.Approval), flag(s.Policy), int64(s.Status), s.Description, encode(s.Tags),
		flag(s.Professional), encode(s.Resources), s.BorderGroup, string(s.OnRevoke), string(s.ManagedBy),
		s.CreatedAt.UnixMicro(), s.UpdatedAt.UnixMicro(), int64(s.Rev), int64(s.SpecRev),
	}
}

func scanService(rs rows) (*sallyport.Service, error) {
	var (
		s                      sallyport.Service
		ports, tags, resources string
		approval, policy, stat int64
		professional           int64
		created, updated       int64
	)
	err := rs.Scan(&s.ID, &s.Name, &s.Region, &s.SystemName, &s.Kind, &s.ServerType, &s.ProjectID, &s.DomainID,
		&s.VPCID, &s.PortID, &s.VIPPortID, &s.PoolID, &s.IP, &s.IPVersion, &s.SNATNetwork, &ports, &s.TCPProxy,
		&approval, &policy, &stat, &s.Description, &tags, &professional, &resources, &s.BorderGroup, &s.OnRevoke, &s.ManagedBy, &created, &updated, &s.Rev, &s.SpecRev)
	if err != nil {
		return nil, fmt.Errorf("scan service: %w", err)
	}
	s.Approval, s.Policy, s.Status = approval != 0, policy != 0, sallyport.ServiceStatus(stat)
	s.Professional = professional != 0
	s.CreatedAt, s.UpdatedAt = instant(created), instant(updated)
	if err := decode(ports, &s.Ports); err != nil {
		return nil, fmt.Errorf("service %s: ports: %w", s.ID, err)
	}
	if err := decode(tags, &s.Tags); err != nil {
		return nil, fmt.Errorf("service %s: tags: %w", s.ID, err)
	}
	if err := decode(resources, &s.Resources); err != nil {
		return nil, fmt.Errorf("service %s: resources: %w", s.ID, err)
	}
	return &s, nil
}

func endpointRow(e *sallyport.Endpoint) []any {
	return []any{
		string(e.ID), string(e.ServiceID), string(e.ProjectID), string(e.DomainID), string(e.VPCID), string(e.SubnetID),
		addressText(e.Address), flag(e.Outside), int64(e.Marker), int64(e.Status), flag(e.WasAccepted), flag(e.Unattached),
		encodeFault(e.Fault), flag(e.EnableDNS), flag(e.EnableWhitelist), encode(e.Whitelist), encode(e.RouteTables),
		encode(e.Tags), e.Description, e.Note, e.Specification, e.IPVersion, e.IPv6Address, e.PolicyStatement,
		e.PolicyDocument, flag(e.Professional),
		e.CreatedAt.UnixMicro(), e.UpdatedAt.UnixMicro(), int64(e.Rev), int64(e.SpecRev), int64(e.AdmitRev),
	}
}

func stepRow(e *sallyport.Endpoint) []any {
	return []any{
		string(e.ID), int64(e.Status), flag(e.WasAccepted), flag(e.Unattached), encodeFault(e.Fault),
		e.UpdatedAt.UnixMicro(), int64(e.Rev), int64(e.SpecRev), int64(e.AdmitRev),
	}
}

func editRow(e *sallyport.Endpoint) []any {
	return []any{
		string(e.ID), flag(e.EnableWhitelist), encode(e.Whitelist), encode(e.RouteTables), encode(e.Tags),
		e.Description, e.Note, e.PolicyStatement, e.PolicyDocument, flag(e.Professional),
	}
}

func scanEndpoint(rs rows) (*sallyport.Endpoint, error) {
	var (
		e                                         sallyport.Endpoint
		address, fault, white, tables, tags       string
		outside, stat, was, unatt, dns, list, pro int64
		created, updated                          int64
	)
	err := rs.Scan(&e.ID, &e.ServiceID, &e.ProjectID, &e.DomainID, &e.VPCID, &e.SubnetID, &address, &outside, &e.Marker,
		&stat, &was, &unatt, &fault, &dns, &list, &white, &tables, &tags, &e.Description, &e.Note, &e.Specification,
		&e.IPVersion, &e.IPv6Address, &e.PolicyStatement, &e.PolicyDocument, &pro, &created, &updated, &e.Rev, &e.SpecRev, &e.AdmitRev)
	if err != nil {
		return nil, fmt.Errorf("scan endpoint: %w", err)
	}
	e.Status, e.Outside, e.WasAccepted, e.Unattached = sallyport.Status(stat), outside != 0, was != 0, unatt != 0
	e.EnableDNS, e.EnableWhitelist, e.Professional = dns != 0, list != 0, pro != 0
	e.CreatedAt, e.UpdatedAt = instant(created), instant(updated)
	if address != "" {
		if e.Address, err = netip.ParseAddr(address); err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.ID, err)
		}
	}
	if fault != "" {
		if err := json.Unmarshal([]byte(fault), &e.Fault); err != nil {
			return nil, fmt.Errorf("endpoint %s: fault: %w", e.ID, err)
		}
	}
	for _, f := range []struct {
		text string
		to   any
	}{{white, &e.Whitelist}, {tables, &e.RouteTables}, {tags, &e.Tags}} {
		if err := decode(f.text, f.to); err != nil {
			return nil, fmt.Errorf("endpoint %s: list: %w", e.ID, err)
		}
	}
	return &e, nil
}

func permissionRow(p *sallyport.Permission) []any {
	return []any{
		string(p.ServiceID), string(p.ID), p.Value, string(p.Type), p.Description, p.CreatedAt.UnixMicro(), int64(p.Rev),
	}
}

func scanPermission(rs rows) (*sallyport.Permission, error) {
	var (
		p       sallyport.Permission
		created int64
	)
	if err := rs.Scan(&p.ServiceID, &p.ID, &p.Value, &p.Type, &p.Description, &created, &p.Rev); err != nil {
		return nil, fmt.Errorf("scan permission: %w", err)
	}
	p.CreatedAt = instant(created)
	return &p, nil
}

func scanSubnet(rs rows) (*sallyport.SubnetLease, error) {
	var (
		l      sallyport.SubnetLease
		prefix string
	)
	if err := rs.Scan(&l.ID, &l.VPCID, &prefix, &l.Rev); err != nil {
		return nil, fmt.Errorf("scan subnet: %w", err)
	}
	var err error
	if l.Prefix, err = netip.ParsePrefix(prefix); err != nil {
		return nil, fmt.Errorf("subnet %s: %w", l.ID, err)
	}
	return &l, nil
}

func scanRevocation(rs rows) (*sallyport.Revocation, error) {
	var (
		r       sallyport.Revocation
		expires int64
	)
	if err := rs.Scan(&r.TokenID, &expires, &r.Rev); err != nil {
		return nil, fmt.Errorf("scan revocation: %w", err)
	}
	r.ExpiresAt = instant(expires)
	return &r, nil
}

func instanceRow(i *sallyport.Instance) []any {
	return []any{
		string(i.ID), string(i.Kind), i.Name, string(i.ProjectID), string(i.DomainID), string(i.VPCID), string(i.SubnetID),
		encode(i.Addresses), encode(i.Ports), string(i.ServiceID), string(i.EndpointID), flag(i.Configured),
		i.CreatedAt.UnixMicro(), i.UpdatedAt.UnixMicro(), int64(i.Rev),
	}
}

func scanInstance(rs rows) (*sallyport.Instance, error) {
	var (
		i                            sallyport.Instance
		addresses, ports             string
		configured, created, updated int64
	)
	err := rs.Scan(&i.ID, &i.Kind, &i.Name, &i.ProjectID, &i.DomainID, &i.VPCID, &i.SubnetID, &addresses, &ports,
		&i.ServiceID, &i.EndpointID, &configured, &created, &updated, &i.Rev)
	if err != nil {
		return nil, fmt.Errorf("scan instance: %w", err)
	}
	i.Configured, i.CreatedAt, i.UpdatedAt = configured != 0, instant(created), instant(updated)
	if err := decode(addresses, &i.Addresses); err != nil {
		return nil, fmt.Errorf("instance %s: addresses: %w", i.ID, err)
	}
	if err := decode(ports, &i.Ports); err != nil {
		return nil, fmt.Errorf("instance %s: ports: %w", i.ID, err)
	}
	return &i, nil
}

func auditRow(r *sallyport.Record) []any {
	return []any{
		int64(r.Rev), r.At.UnixMicro(), r.Family, r.Operation, r.Action, string(r.Outcome), string(r.Reason),
		string(r.Object), r.ObjectID, string(r.ServiceID), r.From, r.To, string(r.DomainID), string(r.ProjectID),
		string(r.UserID), r.UserName, string(r.Method), r.Source, r.RequestID, r.Detail, r.Hash[:],
	}
}

func scanAudit(rs rows) (sallyport.Record, error) {
	var (
		r    sallyport.Record
		at   int64
		hash []byte
	)
	err := rs.Scan(&r.Rev, &at, &r.Family, &r.Operation, &r.Action, &r.Outcome, &r.Reason, &r.Object, &r.ObjectID,
		&r.ServiceID, &r.From, &r.To, &r.DomainID, &r.ProjectID, &r.UserID, &r.UserName, &r.Method, &r.Source,
		&r.RequestID, &r.Detail, &hash)
	if err != nil {
		return r, fmt.Errorf("scan audit record: %w", err)
	}
	r.At = instant(at)
	copy(r.Hash[:], hash)
	return r, nil
}

// instant turns a stored time back into a value: microseconds, UTC.
func instant(us int64) time.Time { return time.UnixMicro(us).UTC() }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// encode writes a list as JSON; most lists are empty and cost nothing.
func encode[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // lists of strings and plain structs always encode
	}
	return string(b)
}

func encodeFault(f *sallyport.Fault) string {
	if f == nil {
		return ""
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // two strings always encode
	}
	return string(b)
}

func decode(text string, to any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), to)
}

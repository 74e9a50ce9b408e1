package apig

import (
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// timeLayout is the spelling of every time but one: UTC, whole seconds, padded.
// The SDK drops a whole answer for a date such as 2021-8-03.
const timeLayout = "2006-01-02T15:04:05Z"

// Constants of the wire that say the same of every gateway.
const (
	statusRunning     = "Running"
	statusNumber      = 6 // of Running
	instanceType      = "apig"
	instanceSpec      = "BASIC"
	loadBalancer      = "elb"
	enterpriseProject = "0"  // the default one
	availableZones    = "[]" // a list in a string, as the service writes it
	maintainBegin     = "22:00:00"
	maintainEnd       = "02:00:00"
	bandwidthCharging = "bandwidth"
)

// connection is an endpoint of a gateway's service.
type connection struct {
	ID        string `json:"id"`
	Marker    int64  `json:"marker_id"` // at most 2147483647
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
	DomainID  string `json:"domain_id"`
	Status    string `json:"status"`
}

// connectionList is the answer of the list and of a decision.
type connectionList struct {
	Total       int          `json:"total"`
	Size        int          `json:"size"`
	Connections []connection `json:"connections"`
}

// permission is one record of the whitelist.
type permission struct {
	ID         string `json:"id"`
	Permission string `json:"permission"`
	CreatedAt  string `json:"created_at"`
}

// permissionList is the answer of ListEndpointPermissions.
type permissionList struct {
	Total       int          `json:"total"`
	Size        int          `json:"size"`
	Permissions []permission `json:"permissions"`
}

// instance is a gateway as a list shows it.
type instance struct {
	ID                string `json:"id"`
	ProjectID         string `json:"project_id"`
	Name              string `json:"instance_name"`
	Status            string `json:"status"`
	StatusNumber      int    `json:"instance_status"`
	Type              string `json:"type"`
	Spec              string `json:"spec"`
	CreateTime        int64  `json:"create_time"` // milliseconds since 1970
	EnterpriseProject string `json:"enterprise_project_id"`
	ElasticIP         string `json:"eip_address"`
	ChargingMode      int    `json:"charging_mode"` // 0 is by use
	LoadBalancer      string `json:"loadbalancer_provider"`
}

// instanceList is the answer of ListInstancesV2.
type instanceList struct {
	Total     int        `json:"total"`
	Size      int        `json:"size"`
	Instances []instance `json:"instances"`
}

// endpointService is what a gateway shows of its endpoint service.
type endpointService struct {
	Name      string `json:"service_name"`
	CreatedAt string `json:"created_at"`
}

// instanceDetail is the answer of ShowDetailsOfInstanceV2: what clients read, of
// which most says the same of every gateway.
type instanceDetail struct {
	instance
	Description       string            `json:"description"`
	VPCID             string            `json:"vpc_id"`
	SubnetID          string            `json:"subnet_id"`
	SecurityGroup     string            `json:"security_group_id"`
	MaintainBegin     string            `json:"maintain_begin"`
	MaintainEnd       string            `json:"maintain_end"`
	IngressIP         string            `json:"ingress_ip"`
	NATElasticIP      string            `json:"nat_eip_address"`
	BandwidthSize     int               `json:"bandwidth_size"`
	AvailableZones    string            `json:"available_zone_ids"`
	SupportedFeatures []string          `json:"supported_features"`
	Service           *endpointService  `json:"endpoint_service"` // deprecated: always null
	Services          []endpointService `json:"endpoint_services"`
	NodeIPs           nodeIPs           `json:"node_ips"`
	PublicIPs         []ipDetail        `json:"publicips"`
	PrivateIPs        []ipDetail        `json:"privateips"`
	IsReleasable      bool              `json:"is_releasable"`
	IngressCharging   string            `json:"ingress_bandwidth_charging_mode"`
}

type nodeIPs struct {
	LiveData []string `json:"livedata"`
	Shubao   []string `json:"shubao"`
}

type ipDetail struct {
	Address   string `json:"ip_address"`
	Bandwidth int    `json:"bandwidth_size"`
}

func connectionsOf(list []*sallyport.Endpoint, total int) connectionList {
	out := connectionList{Total: total, Size: len(list), Connections: make([]connection, len(list))}
	for n, e := range list {
		out.Connections[n] = connection{
			ID: string(e.ID), Marker: int64(e.Marker), CreatedAt: timeText(e.CreatedAt), UpdatedAt: timeText(e.UpdatedAt),
			DomainID: string(e.DomainID), Status: statusText(e.Status),
		}
	}
	return out
}

// statusText spells the status of an endpoint.
func statusText(s sallyport.Status) string {
	if s == sallyport.StatusPending {
		return "pendingAcceptance"
	}
	return s.String()
}

func permissionsOf(list []*sallyport.Permission, total int) permissionList {
	out := permissionList{Total: total, Size: len(list), Permissions: make([]permission, len(list))}
	for n, p := range list {
		out.Permissions[n] = permission{ID: string(p.ID), Permission: p.Value, CreatedAt: timeText(p.CreatedAt)}
	}
	return out
}

func instanceOf(i *sallyport.Instance) instance {
	return instance{
		ID: string(i.ID), ProjectID: string(i.ProjectID), Name: i.Name, Status: statusRunning, StatusNumber: statusNumber,
		Type: instanceType, Spec: instanceSpec, CreateTime: i.CreatedAt.UnixMilli(), EnterpriseProject: enterpriseProject,
		LoadBalancer: loadBalancer,
	}
}

func detailOf(i *sallyport.Instance, s *sallyport.Service) instanceDetail {
	out := instanceDetail{
		instance: instanceOf(i), VPCID: string(i.VPCID), SubnetID: string(i.SubnetID),
		MaintainBegin: maintainBegin, MaintainEnd: maintainEnd, AvailableZones: availableZones,
		SupportedFeatures: []string{}, NodeIPs: nodeIPs{LiveData: []string{}, Shubao: []string{}},
		Services:  []endpointService{{Name: s.FullName(), CreatedAt: timeText(s.CreatedAt)}},
		PublicIPs: []ipDetail{}, PrivateIPs: make([]ipDetail, len(i.Addresses)),
		IsReleasable: !i.Configured, IngressCharging: bandwidthCharging,
	}
	for n, address := range i.Addresses {
		out.PrivateIPs[n].Address = address.String()
	}
	if len(i.Addresses) > 0 {
		out.IngressIP = i.Addresses[0].String()
	}
	return out
}

func timeText(t time.Time) string { return t.UTC().Format(timeLayout) }

package css

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The spellings of times: those of VPC endpoint objects end in Z, those of
// clusters do not (CSS API reference, examples). Both are UTC.
const (
	endpointTime = "2006-01-02T15:04:05Z"
	clusterTime  = "2006-01-02T15:04:05"
)

// Constants of the wire that say the same of every object.
const (
	// maxSession is how many connections an endpoint carries at a time. It is a
	// string on the wire: the SDK refuses a number.
	maxSession        = "3000"
	specification     = "default"
	statusAvailable   = "200" // of a cluster and of its nodes
	datastoreType     = "elasticsearch"
	datastoreVersion  = "7.10.2"
	nodeType          = "ess"
	enterpriseProject = "0" // the default one
)

// connection is one endpoint of a cluster's service. The casing of the keys is
// mixed, and update_at is spelled so.
type connection struct {
	ID            string  `json:"id"`
	Status        string  `json:"status"`
	MaxSession    string  `json:"maxSession"`
	Specification string  `json:"specificationName"`
	CreatedAt     string  `json:"created_at"`
	UpdatedAt     string  `json:"update_at"`
	DomainID      string  `json:"domain_id"`
	IP            *string `json:"vpcepIp"`          // null until it was accepted
	IPv6          *string `json:"vpcepIpv6Address"` // null where there is none
	DNSName       *string `json:"vpcepDnsName"`     // null where none was asked for
}

// permission is one record of the whitelist.
type permission struct {
	ID         string `json:"id"`
	Permission string `json:"permission"`
	Type       string `json:"permission_type"`
	CreatedAt  string `json:"created_at"`
}

// connectionList is the answer of ShowVpcepConnection.
type connectionList struct {
	Connections []connection `json:"connections"`
	// UpdateSwitch says that the endpoint service is enabled; where it is not, the
	// answer is an error.
	UpdateSwitch bool         `json:"vpcepUpdateSwitch"`
	Total        int          `json:"total_count"`
	ServiceName  string       `json:"vpcServiceName"`
	Permissions  []permission `json:"permissions"`
}

// cluster is a cluster as a list shows it: what clients read, of which most
// says the same of every cluster.
type cluster struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Status            string            `json:"status"`
	Endpoint          string            `json:"endpoint"`
	IPv6Endpoint      string            `json:"ipv6Endpoint"`
	VPCID             string            `json:"vpcId"`
	SubnetID          string            `json:"subnetId"`
	CurrentSubnetIDs  string            `json:"currentSubnetIds"`
	SecurityGroupID   string            `json:"securityGroupId"`
	Created           string            `json:"created"`
	Updated           string            `json:"updated"`
	Instances         []node            `json:"instances"`
	Datastore         datastore         `json:"datastore"`
	Actions           []string          `json:"actions"`
	ActionProgress    map[string]string `json:"actionProgress"`
	HTTPSEnable       bool              `json:"httpsEnable"`
	AuthorityEnable   bool              `json:"authorityEnable"`
	DiskEncrypted     bool              `json:"diskEncrypted"`
	CMKID             string            `json:"cmkId"`
	BackupAvailable   bool              `json:"backupAvailable"`
	BandwidthSize     int               `json:"bandwidthSize"`
	BandwidthID       string            `json:"bandwidthResourceId"`
	ELBWhiteList      elbWhiteList      `json:"elbWhiteList"`
	EnterpriseProject string            `json:"enterpriseProjectId"`
	Period            bool              `json:"period"`
	OrderID           string            `json:"orderId"`
	Tags              []tag             `json:"tags"`
	Description       string            `json:"desc"`
}

// clusterDetail is the answer of ShowClusterDetail: a cluster, and what there is
// to know of its VPC endpoint.
type clusterDetail struct {
	cluster
	VPCEPIP      string `json:"vpcepIp,omitempty"`
	VPCEPIPv6    string `json:"vpcepIpv6Address,omitempty"`
	SupportVPCEP bool   `json:"supportVpcep"`
}

// clusterList is the answer of ListClustersDetails.
type clusterList struct {
	Clusters []cluster `json:"clusters"`
	Total    int       `json:"totalSize"`
}

type node struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Status     string `json:"status"`
	SpecCode   string `json:"specCode"`
	AZCode     string `json:"azCode"`
	IP         string `json:"ip"`
	ResourceID string `json:"resourceId"`
	SubnetID   string `json:"subnetId"`
	Volume     volume `json:"volume"`
}

type volume struct {
	Type        string   `json:"type"`
	Size        int      `json:"size"`
	ResourceIDs []string `json:"resourceIds"`
}

type datastore struct {
	Type         string `json:"type"`
	Version      string `json:"version"`
	SubVersion   string `json:"subVersion"`
	EndOfSupport bool   `json:"isEosCluster"`
	Security     bool   `json:"supportSecuritymode"`
}

type elbWhiteList struct {
	Enable    bool   `json:"enableWhiteList"`
	WhiteList string `json:"whiteList"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// statusText spells the status of an endpoint.
func statusText(s sallyport.Status) string {
	if s == sallyport.StatusPending {
		return "pendingAcceptance"
	}
	return s.String()
}

func (a *api) connectionsOf(list []*sallyport.Endpoint, s *sallyport.Service) []connection {
	out := make([]connection, len(list))
	for n, e := range list {
		c := connection{
			ID: string(e.ID), Status: statusText(e.Status), MaxSession: maxSession, Specification: e.Specification,
			CreatedAt: timeText(e.CreatedAt, endpointTime), UpdatedAt: timeText(e.UpdatedAt, endpointTime),
			DomainID: string(e.DomainID),
		}
		if c.Specification == "" {
			c.Specification = specification
		}
		if e.IPv6Address != "" {
			c.IPv6 = &e.IPv6Address
		}
		if e.ShowsAddress() && e.Address.IsValid() {
			ip := e.Address.String()
			c.IP = &ip
			if e.EnableDNS {
				name := sallyport.DNSName(e.ID, s.Region, a.dnsSuffix)
				c.DNSName = &name
			}
		}
		out[n] = c
	}
	return out
}

func permissionsOf(list []*sallyport.Permission) []permission {
	out := make([]permission, len(list))
	for n, p := range list {
		out[n] = permission{
			ID: string(p.ID), Permission: p.Value, Type: string(p.Type), CreatedAt: timeText(p.CreatedAt, endpointTime),
		}
	}
	return out
}

func clusterOf(i *sallyport.Instance) cluster {
	out := cluster{
		ID: string(i.ID), Name: i.Name, Status: statusAvailable, VPCID: string(i.VPCID), SubnetID: string(i.SubnetID),
		CurrentSubnetIDs: string(i.SubnetID), Created: timeText(i.CreatedAt, clusterTime), Updated: timeText(i.UpdatedAt, clusterTime),
		Instances: make([]node, len(i.Addresses)), Datastore: datastore{Type: datastoreType, Version: datastoreVersion},
		Actions: []string{}, ActionProgress: map[string]string{}, EnterpriseProject: enterpriseProject, Tags: []tag{},
	}
	where := make([]string, 0, len(i.Addresses))
	for n, address := range i.Addresses {
		out.Instances[n] = nodeOf(i, n, address)
		if len(i.Ports) > 0 {
			where = append(where, netip.AddrPortFrom(address, i.Ports[0]).String())
		}
	}
	out.Endpoint = strings.Join(where, ",")
	return out
}

// nodeOf shows one address of a cluster as a node. There are no nodes here, so
// their ids are made from the cluster's: always the same, in the form of a UUID.
func nodeOf(i *sallyport.Instance, n int, address netip.Addr) node {
	h := sha256.Sum256(fmt.Appendf(nil, "node %d of cluster %s", n, i.ID))
	x := hex.EncodeToString(h[:16])
	id := x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
	return node{
		ID: id, Name: fmt.Sprintf("%s-%s-esn-%d-1", i.Name, nodeType, n+1), Type: nodeType, Status: statusAvailable,
		IP: address.String(), ResourceID: id, SubnetID: string(i.SubnetID), Volume: volume{ResourceIDs: []string{}},
	}
}

func timeText(t time.Time, layout string) string { return t.UTC().Format(layout) }

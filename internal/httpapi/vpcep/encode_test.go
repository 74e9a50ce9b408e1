package vpcep

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// resourceError is one element of the error array of a failed endpoint. The
// editions spell its keys in two ways; clients find both.
type resourceError struct {
	ErrorCode    string `json:"error_code"`
	ErrorMessage string `json:"error_message"`
	Code         string `json:"code"`
	Message      string `json:"message"`
}

// endpoint is what appendEndpoint writes.
type endpoint struct {
	ID                  string          `json:"id"`
	ServiceType         string          `json:"service_type"`
	Status              string          `json:"status"`
	IP                  string          `json:"ip,omitempty"`
	IPv6Address         string          `json:"ipv6_address,omitempty"`
	IPVersion           string          `json:"ip_version"`
	ActiveStatus        []string        `json:"active_status"`
	EnableStatus        string          `json:"enable_status"`
	SpecificationName   string          `json:"specification_name"`
	EndpointServiceName string          `json:"endpoint_service_name"`
	EndpointServiceID   string          `json:"endpoint_service_id"`
	MarkerID            int32           `json:"marker_id"`
	EnableDNS           bool            `json:"enable_dns"`
	DNSNames            []string        `json:"dns_names,omitempty"`
	VPCID               string          `json:"vpc_id"`
	SubnetID            string          `json:"subnet_id,omitempty"`
	CreatedAt           string          `json:"created_at"`
	UpdatedAt           string          `json:"updated_at"`
	ProjectID           string          `json:"project_id"`
	Tags                []tag           `json:"tags"`
	Error               []resourceError `json:"error,omitempty"`
	Whitelist           []string        `json:"whitelist"`
	EnableWhitelist     bool            `json:"enable_whitelist"`
	RouteTables         []string        `json:"routetables"`
	Description         string          `json:"description"`
	PolicyStatement     json.RawMessage `json:"policy_statement,omitempty"`
	PolicyDocument      json.RawMessage `json:"policy_document,omitempty"`
	PublicBorderGroup   string          `json:"public_border_group,omitempty"`
}

// connection is what appendConnection writes.
type connection struct {
	ID          string          `json:"id"`
	MarkerID    int32           `json:"marker_id"`
	CreatedAt   string          `json:"created_at"`
	UpdatedAt   string          `json:"updated_at"`
	DomainID    string          `json:"domain_id"`
	Status      string          `json:"status"`
	Error       []resourceError `json:"error,omitempty"`
	Description string          `json:"description"`
}

func connectionOf(e *sallyport.Endpoint) connection {
	return connection{
		ID: string(e.ID), MarkerID: int32(e.Marker), CreatedAt: timeText(e.CreatedAt), UpdatedAt: timeText(e.UpdatedAt),
		DomainID: string(e.DomainID), Status: statusText(e.Status), Error: faultOf(e), Description: e.Note,
	}
}

func endpointOf(v sallyport.EndpointView, suffix string) endpoint {
	e, s := v.Endpoint, v.Service
	out := endpoint{
		ID: string(e.ID), ServiceType: string(s.Kind), Status: statusText(e.Status), IPVersion: orDefault(e.IPVersion, "ipv4"),
		ActiveStatus: []string{"active"}, EnableStatus: "enable", SpecificationName: orDefault(e.Specification, "default"),
		EndpointServiceName: s.FullName(), EndpointServiceID: string(e.ServiceID), MarkerID: int32(e.Marker),
		VPCID: string(e.VPCID), SubnetID: string(e.SubnetID), CreatedAt: timeText(e.CreatedAt), UpdatedAt: timeText(e.UpdatedAt),
		ProjectID: string(e.ProjectID), Tags: tagsOf(e.Tags), Error: faultOf(e), Whitelist: append([]string{}, e.Whitelist...),
		EnableWhitelist: e.EnableWhitelist, RouteTables: append([]string{}, e.RouteTables...), Description: e.Description,
		IPv6Address: e.IPv6Address, PolicyStatement: json.RawMessage(e.PolicyStatement), PolicyDocument: json.RawMessage(e.PolicyDocument),
		PublicBorderGroup: s.BorderGroup,
	}
	if s.Kind == sallyport.KindGateway {
		return out
	}
	out.EnableDNS = e.EnableDNS
	if e.ShowsAddress() && e.Address.IsValid() {
		out.IP = e.Address.String()
		if e.EnableDNS {
			out.DNSNames = []string{"vpcep-" + string(e.ID) + "." + s.Region + "." + suffix}
		}
	}
	return out
}

func faultOf(e *sallyport.Endpoint) []resourceError {
	if e.Status != sallyport.StatusFailed || e.Fault == nil {
		return nil
	}
	return []resourceError{{
		ErrorCode: "EndPoint.2022", ErrorMessage: e.Fault.Message, Code: "EndPoint.2022", Message: e.Fault.Message,
	}}
}

// checkEncoders compares what is written by hand with what encoding/json makes
// of the structs.
func checkEncoders(t *testing.T, v sallyport.EndpointView, suffix string) {
	t.Helper()
	want, err := json.Marshal(connectionOf(v.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(appendConnection(nil, v.Endpoint))); diff != "" {
		t.Errorf("connection (-encoding/json +ours):\n%s", diff)
	}
	if want, err = json.Marshal(endpointOf(v, suffix)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(appendEndpoint(nil, v, suffix))); diff != "" {
		t.Errorf("endpoint (-encoding/json +ours):\n%s", diff)
	}
}

// If this failed, an endpoint or a connection would read otherwise than its
// documented fields say, in one of the states it can be in.
func TestEncodersByStatus(t *testing.T) {
	t.Parallel()
	w := today
	services := w.services()
	for _, s := range services {
		for _, e := range w.endpoints() {
			checkEncoders(t, sallyport.EndpointView{Endpoint: e, Service: s}, "example.internal")
			e.IPv6Address, e.PolicyStatement, e.PolicyDocument = "2001:db8::10", `[{"Effect":"Allow"}]`, `{"a":[1,2]}`
			checkEncoders(t, sallyport.EndpointView{Endpoint: e, Service: s}, "example.internal")
			e.Address = netip.Addr{}
			e.Specification, e.IPVersion, e.SubnetID, e.Fault = "fast", "dualstack", "", nil
			checkEncoders(t, sallyport.EndpointView{Endpoint: e, Service: s}, "example.internal")
		}
	}
}

// If this failed, some text would break the JSON of a list, or read otherwise
// than what was stored.
func FuzzEncoders(f *testing.F) {
	f.Add("705290f3", "eu-west-101", "plain", int64(1649929007), uint8(3), true)
	f.Add("<script>&'\"\\/", "\x00\x01\b\f\n\r\t\x1f\x7f", "结算\u2028\u2029", int64(-1), uint8(5), true)
	f.Add("\xff\xfe", "a\xc3", "\xed\xa0\x80\xf4\x90\x80\x80", int64(253402300799), uint8(4), false)
	f.Add("\ufffd", "", "\U0001f512", int64(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, a, b, c string, seconds int64, n uint8, flag bool) {
		at := time.Unix(seconds%253402300800, 0) // years of four digits
		s := &sallyport.Service{ID: sallyport.ServiceID(a), Name: b, Region: c, Kind: sallyport.KindInterface}
		if n&8 != 0 {
			s.Kind, s.SystemName = sallyport.KindGateway, c
		}
		e := &sallyport.Endpoint{
			ID: sallyport.EndpointID(a), ServiceID: sallyport.ServiceID(b), ProjectID: sallyport.ProjectID(c), DomainID: sallyport.DomainID(a),
			VPCID: sallyport.VPCID(b), SubnetID: sallyport.SubnetID(c), Address: netip.AddrFrom4([4]byte{127, 64, n, 1}),
			Marker: sallyport.Marker(seconds), Status: sallyport.Statuses[int(n)%len(sallyport.Statuses)], WasAccepted: flag,
			EnableDNS: flag, EnableWhitelist: !flag, Whitelist: []string{a, b}, RouteTables: []string{c},
			Tags: []sallyport.Tag{{Key: a, Value: b}, {Key: b, Value: c}}, Description: a + b, Note: b + c,
			Specification: a, IPVersion: b, CreatedAt: at, UpdatedAt: at.Add(time.Hour), IPv6Address: b,
		}
		if flag {
			e.Fault = &sallyport.Fault{Message: c}
			e.PolicyStatement, e.PolicyDocument, s.BorderGroup = mustJSON(t, []string{a}), mustJSON(t, b), a
		}
		if got, want := string(appendString(nil, a+b+c)), mustJSON(t, a+b+c); got != want {
			t.Errorf("appendString(%q) is %s, want %s", a+b+c, got, want)
		}
		checkEncoders(t, sallyport.EndpointView{Endpoint: e, Service: s}, c)
	})
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// If this failed, a page would cost an allocation per item.
func TestEncodersDoNotAllocate(t *testing.T) {
	w := today
	v := sallyport.EndpointView{Endpoint: w.endpoints()[1], Service: w.services()[0]}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = appendEndpoint(buf[:0], v, "example.internal") }); n != 0 {
		t.Errorf("an endpoint takes %v allocations", n)
	}
	if len(buf) > endpointSize {
		t.Errorf("an endpoint with everything takes %d bytes, more than the %d set aside", len(buf), endpointSize)
	}
	if n := testing.AllocsPerRun(100, func() { buf = appendConnection(buf[:0], v.Endpoint) }); n != 0 {
		t.Errorf("a connection takes %v allocations", n)
	}
	if len(buf) > connectionSize {
		t.Errorf("a connection takes %d bytes, more than the %d set aside", len(buf), connectionSize)
	}
}

func BenchmarkConnectionPage(b *testing.B) {
	w := today
	page := make([]*sallyport.Endpoint, sallyport.MaxPage)
	for i := range page {
		page[i] = w.endpoints()[1]
	}
	b.ReportAllocs()
	for b.Loop() {
		appendTotal(appendConnections(make([]byte, 0, pageSize(len(page), connectionSize)), page), len(page))
	}
}

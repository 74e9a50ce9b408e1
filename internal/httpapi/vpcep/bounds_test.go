package vpcep

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// bound is one limit in one request: what has the size of the limit is taken, and
// one more is refused with the code.
type bound struct {
	limit  string // the constant
	n      int    // its value
	what   string
	method string
	path   func(n int) string
	body   func(n int) string
	code   string
}

const (
	ownServices  = "/v1/" + ownerProject + "/vpc-endpoint-services"
	ownEndpoints = "/v1/" + ownerProject + "/vpc-endpoints"
)

// at is a path that does not depend on the size.
func at(path string) func(int) string { return func(int) string { return path } }

// long is a text of n characters, three bytes each.
func long(n int) string { return strings.Repeat("终", n) }

// list is a JSON array of n items.
func list(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// sized puts n characters, or n items, into a body.
func sized(format string, of func(n int) string) func(int) string {
	return func(n int) string { return fmt.Sprintf(format, of(n)) }
}

func serviceBody(member string) string {
	return `{"port_id":"p","vpc_id":"v","server_type":"VM","ports":[{"client_port":1,"server_port":1}],` + member + `}`
}

func endpointBody(member string) string {
	return `{"endpoint_service_id":"s","vpc_id":"v","subnet_id":"n",` + member + `}`
}

func ascii(n int) string { return strings.Repeat("a", n) }

func tagsBody(n int) string {
	return list(n, func(i int) string { return fmt.Sprintf(`{"key":"k%d","value":"v"}`, i) })
}

func filtersBody(n int) string {
	return list(n, func(i int) string { return fmt.Sprintf(`{"key":"k%d","values":[]}`, i) })
}

func uuidOf(i int) string { return fmt.Sprintf("705290f3-0d00-41f2-aedc-%012d", i) }

// policyOf is a JSON string of n bytes.
func policyOf(n int) string { return `"` + ascii(n-2) + `"` }

// statementsOf is a list of one statement, n bytes.
func statementsOf(n int) string {
	const rest = `[{"Effect":"Allow","Action":["*"],"Resource":[""]}]`
	return strings.Replace(rest, `[""]`, `["`+ascii(n-len(rest))+`"]`, 1)
}

var bounds = []bound{
	{"maxServiceName", 16, "of a new service", "POST", at(ownServices), sized(serviceBody(`"service_name":%q`), ascii), "EndPoint.1003"},
	{"maxServiceName", 16, "of an update", "PUT", at(ownServices + "/s"), sized(`{"service_name":%q}`, ascii), "EndPoint.3076"},
	{"maxServiceName", 16, "of a renamed service", "PUT", at(ownServices + "/s/name"), sized(`{"endpoint_service_name":%q}`, ascii), "EndPoint.3076"},
	{"maxHost", 253, "of a service", "POST", at(ownServices), sized(serviceBody(`"ip":%q`), ascii), "EndPoint.3010"},
	{"maxPorts", 200, "of a service", "POST", at(ownServices), sized(`{"port_id":"p","vpc_id":"v","server_type":"VM","ports":%s}`, manyPorts), "EndPoint.3074"},
	{"maxPorts", 200, "of an update", "PUT", at(ownServices + "/s"), sized(`{"ports":%s}`, manyPorts), "EndPoint.3074"},

	{"maxDescription", 128, "of a service", "POST", at(ownServices), sized(serviceBody(`"description":%q`), long), "EndPoint.0002"},
	{"maxDescription", 128, "of an update", "PUT", at(ownServices + "/s"), sized(`{"description":%q}`, long), "EndPoint.0002"},
	{"maxDescription", 128, "of an endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"description":%q`), long), "EndPoint.0002"},
	{"maxDescription", 128, "of a connection", "PUT", at(ownServices + "/s/connections/description"), sized(`{"connections":[{"id":"`+pending+`","description":%q}]}`, long), "EndPoint.0002"},
	{"maxDescription", 128, "of new records", "POST", at(ownServices + "/s/permissions/batch-create"), sized(`{"permissions":[{"permission":"*","description":%q}]}`, long), "EndPoint.0002"},
	{"maxDescription", 128, "of a record", "PUT", at(ownServices + "/s/permissions/p"), sized(`{"permission":{"description":%q}}`, long), "EndPoint.0002"},

	{"maxID", 64, "of a service", "GET", func(n int) string { return ownServices + "/" + ascii(n) }, at(""), "EndPoint.3062"},
	{"maxID", 64, "of an endpoint", "GET", func(n int) string { return ownEndpoints + "/" + ascii(n) }, at(""), "EndPoint.2017"},
	{"maxID", 64, "of a record", "PUT", func(n int) string { return ownServices + "/s/permissions/" + ascii(n) }, at(`{"permission":{"description":""}}`), "EndPoint.3002"},
	{"maxID", 64, "of a resource", "POST", func(n int) string { return "/v1/" + ownerProject + "/endpoint/" + ascii(n) + "/tags/action" }, at(`{"action":"delete","tags":[{"key":"k"}]}`), "EndPoint.2017"},
	{"maxID", 64, "of a VPC", "POST", at(ownEndpoints), sized(`{"endpoint_service_id":"s","subnet_id":"n","vpc_id":%q}`, ascii), "EndPoint.0020"},
	{"maxID", 64, "of a load balancer", "POST", at("/v2/" + ownerProject + "/vpc-endpoint-services/s/add-server-resources"), sized(`{"server_resources":[{"resource_id":%q}]}`, ascii), "EndPoint.0002"},

	{"maxNameFilter", 128, "of services", "GET", func(n int) string { return ownServices + "?endpoint_service_name=" + long(n) }, at(""), "EndPoint.0002"},
	{"maxNameFilter", 128, "of endpoints", "GET", func(n int) string { return ownEndpoints + "?endpoint_service_name=" + long(n) }, at(""), "EndPoint.0002"},
	{"maxNameFilter", 128, "of an edge pool", "GET", func(n int) string { return ownServices + "?public_border_group=" + long(n) }, at(""), "EndPoint.0002"},
	{"maxPermissionFilter", 1000, "of records", "GET", func(n int) string { return ownServices + "/s/permissions?permission=" + long(n) }, at(""), "EndPoint.0002"},

	{"MaxPage", sallyport.MaxPage, "of services", "GET", func(n int) string { return fmt.Sprint(ownServices, "?limit=", n) }, at(""), "EndPoint.0006"},
	{"MaxPage", sallyport.MaxPage, "of public services", "GET", func(n int) string { return fmt.Sprint(ownServices, "/public?limit=", n) }, at(""), "EndPoint.0006"},
	{"MaxPage", sallyport.MaxPage, "of endpoints", "GET", func(n int) string { return fmt.Sprint(ownEndpoints, "?limit=", n) }, at(""), "EndPoint.0006"},
	{"MaxPage", sallyport.MaxPage, "of connections", "GET", func(n int) string { return fmt.Sprint(ownServices, "/s/connections?limit=", n) }, at(""), "EndPoint.0006"},
	{"maxPermissionPage", 500, "of records", "GET", func(n int) string { return fmt.Sprint(ownServices, "/s/permissions?limit=", n) }, at(""), "EndPoint.0006"},
	{"maxSearchPage", 1000, "of a search", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), func(n int) string { return fmt.Sprintf(`{"action":"filter","limit":"%d"}`, n) }, "EndPoint.0006"},
	{"maxOffset", 1<<31 - 1, "of services", "GET", func(n int) string { return fmt.Sprint(ownServices, "?offset=", n) }, at(""), "EndPoint.0010"},
	{"maxOffset", 1<<31 - 1, "of a search", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), func(n int) string { return fmt.Sprintf(`{"action":"filter","offset":%d}`, n) }, "EndPoint.0010"},

	{"maxPermissionBatch", 500, "of an action", "POST", at(ownServices + "/s/permissions/action"), sized(`{"action":"add","permissions":%s}`, func(n int) string { return list(n, func(int) string { return `"*"` }) }), "EndPoint.0016"},
	{"maxPermissionBatch", 500, "of new records", "POST", at(ownServices + "/s/permissions/batch-create"), sized(`{"permissions":%s}`, func(n int) string { return list(n, func(int) string { return `{"permission":"*"}` }) }), "EndPoint.0016"},
	{"maxPermissionBatch", 500, "of records to remove", "POST", at(ownServices + "/s/permissions/batch-delete"), sized(`{"permissions":%s}`, func(n int) string { return list(n, func(int) string { return `{"id":"r"}` }) }), "EndPoint.0016"},
	{"maxDomainID", 64, "of a record", "POST", at(ownServices + "/s/permissions/action"), sized(`{"action":"add","permissions":["iam:domain::%s"]}`, ascii), "EndPoint.3002"},
	{"maxOrgPath", 1024, "of a record", "POST", at(ownServices + "/s/permissions/action"), sized(`{"action":"add","permissions":["organizations:orgPath::%s"]}`, ascii), "EndPoint.3002"},
	{"maxNotes", 500, "of one call", "PUT", at(ownServices + "/s/connections/description"), sized(`{"connections":%s}`, func(n int) string {
		return list(n, func(i int) string { return `{"id":"` + uuidOf(i) + `","description":""}` })
	}), "EndPoint.0016"},

	{"maxWhitelist", 60, "of an endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"whitelist":%s`), addresses), "EndPoint.2045"},
	{"maxWhitelist", 60, "of an update", "PUT", at(ownEndpoints + "/e"), sized(`{"whitelist":%s}`, addresses), "EndPoint.2045"},
	{"maxRouteTables", 100, "of an endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"routetables":%s`), routeTables), "EndPoint.1019"},
	{"maxRouteTables", 100, "of an update", "PUT", at(ownEndpoints + "/e/routetables"), sized(`{"routetables":%s}`, routeTables), "EndPoint.1019"},
	{"maxStatements", 10, "of an endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"policy_statement":%s`), statements), "EndPoint.2048"},
	{"maxStatements", 10, "of an update", "PUT", at(ownEndpoints + "/e/policy"), sized(`{"policy_statement":%s}`, statements), "EndPoint.2048"},
	{"maxPolicy", 20480, "of statements", "PUT", at(ownEndpoints + "/e/policy"), sized(`{"policy_statement": %s }`, statementsOf), "EndPoint.2048"},
	{"maxPolicy", 20480, "of a document", "PUT", at(ownEndpoints + "/e/policy"), sized(`{"policy_document": %s }`, policyOf), "EndPoint.2048"},
	{"maxPolicy", 20480, "of a new endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"policy_document":%s`), policyOf), "EndPoint.2048"},

	{"MaxTags", 20, "of a service", "POST", at(ownServices), sized(serviceBody(`"tags":%s`), tagsBody), "EndPoint.3069"},
	{"MaxTags", 20, "of an endpoint", "POST", at(ownEndpoints), sized(endpointBody(`"tags":%s`), tagsBody), "EndPoint.3069"},
	{"MaxTags", 20, "to set", "POST", at("/v1/" + ownerProject + "/endpoint/e/tags/action"), sized(`{"action":"create","tags":%s}`, tagsBody), "EndPoint.3069"},
	{"MaxTags", 20, "to remove", "POST", at("/v1/" + ownerProject + "/endpoint/e/tags/action"), sized(`{"action":"delete","tags":%s}`, tagsBody), "EndPoint.3069"},
	{"maxTagKey", 128, "of a tag", "POST", at("/v1/" + ownerProject + "/endpoint/e/tags/action"), sized(`{"action":"create","tags":[{"key":%q,"value":"v"}]}`, long), "EndPoint.3072"},
	{"maxTagKey", 128, "of a filter", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","tags":[{"key":%q,"values":[]}]}`, long), "EndPoint.3072"},
	{"maxTagValue", 255, "of a tag", "POST", at("/v1/" + ownerProject + "/endpoint/e/tags/action"), sized(`{"action":"create","tags":[{"key":"k","value":%q}]}`, long), "EndPoint.3073"},
	{"maxTagValue", 255, "of a filter", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","not_tags":[{"key":"k","values":[%q]}]}`, long), "EndPoint.3073"},
	{"maxTagValue", 255, "of a match", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","matches":[{"key":"resource_name","value":%q}]}`, long), "EndPoint.0002"},
	{"maxTagFilters", 20, "of a search", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","tags_any":%s}`, filtersBody), "EndPoint.3069"},
	{"maxTagFilters", 20, "of system tags", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","sys_tags":%s}`, filtersBody), "EndPoint.3069"},
	{"maxTagFilterValues", 10, "of a search", "POST", at("/v1/" + ownerProject + "/endpoint/resource_instances/action"), sized(`{"action":"filter","not_tags_any":[{"key":"k","values":%s}]}`, func(n int) string {
		return list(n, func(i int) string { return fmt.Sprintf(`"v%d"`, i) })
	}), "EndPoint.3069"},
	{"maxServerResources", 100, "of a service", "POST", at("/v2/" + ownerProject + "/vpc-endpoint-services/s/add-server-resources"), sized(`{"server_resources":%s}`, func(n int) string {
		return list(n, func(i int) string { return fmt.Sprintf(`{"resource_id":"lb%d"}`, i) })
	}), "EndPoint.0016"},
}

func addresses(n int) string {
	return list(n, func(i int) string { return fmt.Sprintf(`"10.0.0.%d"`, i+1) })
}

func routeTables(n int) string { return list(n, func(i int) string { return `"` + uuidOf(i) + `"` }) }

func statements(n int) string {
	return list(n, func(int) string { return `{"Effect":"Allow","Action":["*"],"Resource":["*"]}` })
}

// If this failed, something of the documented size would be refused, or a request
// could be larger than anybody reckons with.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := stubbed()
	for _, b := range bounds {
		t.Run(b.limit+" "+b.what, func(t *testing.T) {
			if status, answer := ask(t, h, b.method, b.path(b.n), b.body(b.n)); status >= 300 {
				t.Errorf("with %d the answer is %d %s", b.n, status, answer)
			}
			status, answer := ask(t, h, b.method, b.path(b.n+1), b.body(b.n+1))
			var got errorAnswer
			if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 400 || got.ErrorCode != b.code {
				t.Errorf("with %d the answer is %d %s, want 400 %s", b.n+1, status, answer, b.code)
			}
		})
	}
}

// If this failed, somebody would have named a limit and not shown where it is.
func TestEveryLimitHasABound(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{
		"maxQuoted": true, // refuses nothing: TestQuote
	}
	for _, b := range bounds {
		tested[b.limit] = true
	}
	for name := range constants(t) {
		if strings.HasPrefix(name, "max") && !tested[name] {
			t.Errorf("%s has no row in the table of bounds", name)
		}
	}
}

// constants returns the names of the constants of the package.
func constants(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, id := range s.(*ast.ValueSpec).Names {
					names[id.Name] = true
				}
			}
		}
	}
	return names
}

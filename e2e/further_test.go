package e2e_test

import (
	"fmt"
	"strings"
)

// The operator's own services of the worlds that have some.
const (
	publicOwner    = "OTC"
	gatewayName    = "com.example." + region + ".obs"
	gatewayService = "5b2c1d00-0000-4000-8000-000000000031"
	dnsName        = "com.example." + region + ".DNS"
	publicServices = `
  - {id: ` + gatewayService + `, name: ` + gatewayName + `, owner: ` + publicOwner + `, service_type: gateway}
  - {name: ` + dnsName + `, owner: ` + publicOwner + `, service_type: interface}`
)

// account is an account beside the provider's and the consumer's.
type account struct {
	user
	projects []string // further ones: "id, name"
}

// further gives a world more accounts, and the services of the operator. The
// world's file takes further users of the consumer as its own writes them; a file
// may go on there with accounts and with sections.
func (w *world) further(accounts ...account) {
	var b strings.Builder
	b.WriteString(user{
		"consumer", consumerDomain, consumerID, "cora", "cora-test-password",
		"SPCORA" + w.Run, "cora-secret-of-the-tests-00000001",
	}.yaml("reader"))
	for _, a := range accounts {
		fmt.Fprintf(&b, "\n    - id: %s\n      name: %s\n      projects:\n", a.domainID, a.domain)
		if a.project != "" {
			fmt.Fprintf(&b, "        - {id: %s, name: %s}\n", a.project, region)
		}
		for _, p := range a.projects {
			id, name, _ := strings.Cut(p, ", ")
			fmt.Fprintf(&b, "        - {id: %s, name: %s}\n", id, name)
		}
		fmt.Fprintf(&b, "      users:\n        - %s", a.yaml("admin"))
	}
	b.WriteString("\npublic_services:" + publicServices)
	w.Extra = b.String()
}

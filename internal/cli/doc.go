// Package cli is the command tree of the binary sallyport: what its verbs are
// called, what they take, what they print and with which code they end. serve, dev
// and doctor are functions that the caller passes in; every other verb is done here.
//
// The verbs of the API (service, endpoint, connection, permission, quota, token)
// speak VPCEP v1 and IAM v3 over HTTP, as any other client does, so they work
// against every server of these families and never reach around its checks. Those
// of managed resources (cluster, gateway) speak the native API and CSS; watch and
// endpoint show add what the native API knows of the data plane. The package
// therefore decodes answers by the names of their JSON keys and keeps what it does
// not know: "-o json" prints what the server said.
//
// It may import config, identity (with its aksk) and the wire types of the native
// API of this repository, cobra, pflag, the yaml library and golang.org/x/term. It
// starts no goroutine that outlives [Run]; idle connections are closed before a
// verb returns. It reads no environment, clock or stream but those in [Deps].
package cli

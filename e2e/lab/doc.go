// Package lab proves the data plane in real networks: three VPCs with the same
// addresses, machines on their networks, and the server as it is shipped between
// them, with traffic on every path while decisions are taken, killed and started
// again. It holds tests only and may import everything.
//
// A VPC is a network namespace with a bridge, a machine one behind that bridge; the
// names of all begin with "spt-lab-". Whoever makes a namespace, a server or a flow
// ends it with the test, and TestMain finds what is left. The host's own addresses,
// routes and rules are never touched. The tests need root and are skipped in CI.
package lab

package cli

const helpCluster = `A search cluster is a machine or several that answer on one port. Opening it gives it
an endpoint service of its own, with one endpoint in its own subnet; consumers connect
to the service as to any other, and the owner decides by these verbs' siblings
(connection, permission) or over the CSS API.

Clusters are declared here or in the configuration file of the server. These verbs
speak the native API, but for open and close, which speak CSS.`

const exampleCluster = `  sallyport cluster create --name logs --vpc $VPC --subnet $SUBNET --address 10.0.0.7
  sallyport cluster open $CLUSTER
  sallyport cluster list`

const helpClusterList = `List the clusters of the project, the newest first. SERVICE is empty while a cluster is
not open.`

const exampleClusterList = `  sallyport cluster list
  sallyport cluster list --all -o id`

const helpClusterShow = `Show one cluster, with the name and the id of its endpoint service if it is open.`

const exampleClusterShow = `  sallyport cluster show $CLUSTER
  sallyport cluster show $CLUSTER -o json`

const helpClusterCreate = `Declare a cluster: a VPC, a subnet, the addresses of its nodes there, and the port they
answer on (9200 unless said otherwise). It is not open yet.`

const exampleClusterCreate = `  sallyport cluster create --name logs --vpc $VPC --subnet $SUBNET --address 10.0.0.7 --address 10.0.0.8
  sallyport cluster create --id logs-1 --name logs --vpc $VPC --subnet $SUBNET --address 10.0.0.7 --port 9201`

const helpClusterDelete = `Delete clusters, each with its endpoint service and every endpoint that points at it.
No byte of theirs passes when the answer comes. One that the configuration file declares
is refused.`

const exampleClusterDelete = `  sallyport cluster delete $CLUSTER
  sallyport cluster delete --ignore-missing $CLUSTER`

const helpClusterOpen = `Give a cluster its endpoint service, and an endpoint in the cluster's own subnet, which
needs nobody's approval. Other accounts have to be let in: see permission add.`

const exampleClusterOpen = `  sallyport cluster open $CLUSTER
  sallyport cluster open $CLUSTER --dns`

const helpClusterClose = `Take the endpoint service away from a cluster, with every endpoint that points at it.
No byte of theirs passes when the answer comes. Opened again, it has another service.`

const exampleClusterClose = `  sallyport cluster close $CLUSTER`

const helpGateway = `An API gateway is a machine or several that answer on a few ports. It has an endpoint
service of its own from the start; consumers connect to the service as to any other,
and the owner decides by these verbs' siblings (connection, permission) or over the
APIG API.

Gateways are declared here or in the configuration file of the server. These verbs
speak the native API.`

const exampleGateway = `  sallyport gateway create --name shop --vpc $VPC --subnet $SUBNET --address 10.0.0.9
  sallyport gateway list`

const helpGatewayList = `List the gateways of the project, the newest first, with the ids of their endpoint
services.`

const exampleGatewayList = `  sallyport gateway list
  sallyport gateway list --all -o id`

const helpGatewayShow = `Show one gateway, with the name and the id of its endpoint service.`

const exampleGatewayShow = `  sallyport gateway show $GATEWAY
  sallyport gateway show $GATEWAY -o json`

const helpGatewayCreate = `Declare a gateway: a VPC, a subnet, the addresses of its nodes there, and the ports they
answer on (80 and 443 unless said otherwise). Its endpoint service is there at once,
with your own account on the whitelist.`

const exampleGatewayCreate = `  sallyport gateway create --name shop --vpc $VPC --subnet $SUBNET --address 10.0.0.9
  sallyport gateway create --name shop --vpc $VPC --subnet $SUBNET --address 10.0.0.9 --port 443 --service-name shop`

const helpGatewayDelete = `Delete gateways, each with its endpoint service and every endpoint that points at it. No
byte of theirs passes when the answer comes. One that the configuration file declares is
refused.`

const exampleGatewayDelete = `  sallyport gateway delete $GATEWAY
  sallyport gateway delete --ignore-missing $GATEWAY`

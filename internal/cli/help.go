package cli

// The texts of the help: what a verb is for, what it does to others, and what can
// go wrong. Examples use $SERVICE and $ENDPOINT for ids; a test runs every example
// line through the parser, so none can name a flag that is not there.

const helpRoot = `Sallyport is a self-hosted PrivateLink. An owner publishes an endpoint service,
consumers create endpoints to it from their own networks, and the owner accepts or
rejects each connection; the network carries or cuts the bytes accordingly.

One binary is the server (serve, dev) and its command line client. The client
speaks the public VPCEP and IAM APIs, so it works with other servers of these too. What
they have no words for it asks of the native API: watch, cluster, gateway.

Results go to stdout: a table on a terminal, JSON elsewhere (-o says otherwise).
Everything for people goes to stderr. The exit code is 0 if all was done, 1 if
something failed, and 2 if the command line or a setting is wrong and nothing was
tried. Where the client finds server and credentials: sallyport help environment.`

const exampleRoot = `  # a server with two accounts, in one terminal; it prints what to paste next
  sallyport dev

  # the whole story: publish, let in, connect, accept
  sallyport service create --name web --vpc $VPC --port-id $PORT --port 80:8080
  sallyport permission add $SERVICE $ACCOUNT
  sallyport endpoint create --service $SERVICE --vpc $VPC --subnet $SUBNET
  sallyport connection accept $SERVICE $ENDPOINT`

const helpHelp = `Explain a verb, a group of verbs or a topic. "sallyport VERB --help" is the same.`

const exampleHelp = `  sallyport help connection accept
  sallyport help environment`

const helpServe = `Run the server until it is interrupted: API, console, metrics and the agent that
carries bytes on this machine.

The configuration is one YAML file. Variables (SALLYPORT_LISTEN and others) come
over the file, and the flags below over the variables. SIGHUP reads the file again
and applies identity and networks. A file with mistakes is refused as a whole.

GET /readyz answers 200 once the server serves. On SIGINT and SIGTERM it answers the
requests under way, resets the connections it carries, and ends; a second signal
ends it at once.`

const exampleServe = `  sallyport config check /etc/sallyport/config.yaml
  sallyport serve --config /etc/sallyport/config.yaml

  # the same file on another port, with a log for machines
  sallyport serve --config config.yaml --listen 127.0.0.1:9000 --log-format json`

const helpDev = `Run a server with a built-in configuration: two accounts with keys, a network for
each, and a backend that is whatever listens on this machine. It prints what to paste
into another terminal.

Its secrets are published with the source code. Use it for development only.`

const exampleDev = `  sallyport dev

  # keep the data, and listen elsewhere
  sallyport dev --dir ./dev-data --listen 127.0.0.1:9000

  # begin a configuration of your own
  sallyport dev --print-config > config.yaml`

const helpConfig = `Work with the configuration file of a server, without a server. Both verbs read it
as serve would, with the variables of the server over it.`

const exampleConfig = `  sallyport config check config.yaml
  sallyport config show config.yaml`

const helpConfigCheck = `Read a configuration as serve would and say whether it is right.

Every mistake is reported, each with file, line, key and what to do, and the exit
code is 1. What is allowed but probably not meant is a warning and no failure.`

const exampleConfigCheck = `  sallyport config check /etc/sallyport/config.yaml

  # restart only with a configuration that is right
  sallyport config check /etc/sallyport/config.yaml && systemctl restart sallyport`

const helpConfigShow = `Print a configuration as the server understands it: with defaults filled in, ids
derived and variables applied. Secrets are shown as [secret].`

const exampleConfigShow = `  sallyport config show /etc/sallyport/config.yaml`

const helpHashPassword = `Read a password and print its argon2id hash, which goes into the configuration as
password of a user instead of the text.

On a terminal the password is asked for twice and not shown. Elsewhere it is the
first line of the input.`

const exampleHashPassword = `  sallyport hash-password

  # from a password manager
  pass show sallyport/paula | sallyport hash-password`

const helpVersion = `Print the version of this binary, the Go release it was built with and the commit it
was built from.`

const exampleVersion = `  sallyport version
  sallyport version -o json`

const helpService = `An endpoint service is what an owner publishes: a backend with ports, a whitelist of
accounts that may connect (see permission), and the question whether the owner
decides on each connection (see connection).

These verbs are the owner's, but for describe and public, which are for consumers.`

const exampleService = `  sallyport service create --name web --vpc $VPC --port-id $PORT --port 80:8080
  sallyport service list
  sallyport service public --name dns`

const helpServiceList = `List the services of the project, the newest first.

CONNECTIONS counts endpoints that are accepted or on their way to it. NAME leaves out
the id at its end. The API gives ten at a time; --all reads every page.`

const exampleServiceList = `  sallyport service list --all
  sallyport service list --name web -o json
  sallyport service list --status available -o id`

const helpServiceShow = `Show one service of the project, its backend included.`

const exampleServiceShow = `  sallyport service show $SERVICE
  sallyport service show $SERVICE -o json`

const helpServiceCreate = `Publish a service. Its backend is named by --vpc and --port-id, ids that the server's
configuration gives meaning to; --port says which port an endpoint offers and to
which port of the backend that leads, of TCP unless /udp stands behind it. One port may
be offered in both.

Nobody but your own account may connect until you let others in: see permission add.
With approval, which is the default, each of their endpoints waits for you besides:
see connection accept.

What --tcp-proxy other than close adds is the PROXY protocol (proxy_open, open,
proxy_vni) or a TCP option (toa_open, open) that tells the backend who connects.`

const exampleServiceCreate = `  sallyport service create --name web --vpc $VPC --port-id $PORT --port 80:8080 --wait

  # two ports, no approval, the backend learns client addresses; keep the id
  SERVICE=$(sallyport service create --vpc $VPC --port-id $PORT --port 80:8080 --port 443:8443 --approval=false --tcp-proxy proxy_open -o id)

  # name servers answer on both
  sallyport service create --name dns --vpc $VPC --port-id $PORT --port 53:53/udp --port 53:53/tcp`

const helpServiceUpdate = `Change what is given and leave the rest. --port replaces the whole list of mappings.

Turning approval on or off is about endpoints that come later: those that wait go on
waiting, and those that are accepted stay so.`

const exampleServiceUpdate = `  sallyport service update $SERVICE --approval=false
  sallyport service update $SERVICE --port 80:8080 --port 443:8443
  sallyport service update $SERVICE --description ""`

const helpServiceRename = `Give a service another name: up to 16 letters, digits, hyphens and underscores. The
full name, which holds region and id, changes with it. Endpoints keep working.`

const exampleServiceRename = `  sallyport service rename $SERVICE shop`

const helpServiceDelete = `Delete services. One with connections that are accepted or on their way to it is
refused: reject them first, so that nobody is cut off by accident.

Several ids are deleted one after the other. All are tried; if one fails, the exit
code is 1.`

const exampleServiceDelete = `  sallyport service delete $SERVICE

  # in a script that may run twice
  sallyport service delete --ignore-missing $SERVICE $OTHER`

const helpServiceDescribe = `Show what a consumer may know of a service: that it exists, its name and its type, and
nothing of its backend. It is found by id, or by its full name (region.name.id).`

const exampleServiceDescribe = `  sallyport service describe $SERVICE
  sallyport service describe eu-west-101.web.$SERVICE`

const helpServicePublic = `List the services that the operator of the server offers to every account.`

const exampleServicePublic = `  sallyport service public
  sallyport service public --name dns -o id`

const helpEndpoint = `An endpoint is the consumer's side of a connection: an address in one of your networks
that leads to a service of somebody else.`

const exampleEndpoint = `  sallyport endpoint create --service $SERVICE --vpc $VPC --subnet $SUBNET --wait
  sallyport endpoint list
  sallyport endpoint watch $ENDPOINT`

const helpEndpointList = `List the endpoints of the project, the newest first. The API gives ten at a time; --all
reads every page.`

const exampleEndpointList = `  sallyport endpoint list --all
  sallyport endpoint list --service-name web --vpc $VPC
  sallyport endpoint list --all -o json`

const helpEndpointShow = `Show one endpoint of the project. It has an address once it is accepted.

The table says besides what the data plane last said of it, and which engine carries
each port: kernel, where the packets never enter the server's process, or user, where
it copies the bytes, with the reason. JSON is what the VPCEP API answers; the engines
are in that of endpoint watch.`

const exampleEndpointShow = `  sallyport endpoint show $ENDPOINT`

const helpEndpointCreate = `Connect a network of yours to a service. The owner must have let your account in
(permission add). If the service has approval, the endpoint then waits for its
owner; else it comes up by itself.

--wait ends when it is accepted, waits for its owner, was rejected or has failed;
the last is a failure. --whitelist lets only some addresses of your network use it.

The endpoint is printed even if waiting failed, for it was created.`

const exampleEndpointCreate = `  sallyport endpoint create --service $SERVICE --vpc $VPC --subnet $SUBNET --wait

  # at an address of your choice, for one subnet; keep the id
  ENDPOINT=$(sallyport endpoint create --service $SERVICE --vpc $VPC --subnet $SUBNET --ip 10.0.0.10 --whitelist 10.0.0.0/24 -o id)`

const helpEndpointDelete = `Delete endpoints, in whatever state. Open flows are cut.

Several ids are deleted one after the other. All are tried; if one fails, the exit
code is 1.`

const exampleEndpointDelete = `  sallyport endpoint delete $ENDPOINT
  sallyport endpoint delete --ignore-missing $ENDPOINT $OTHER`

const helpConnection = `A connection is an endpoint seen by the owner of the service: the same thing, the same
id. The owner sees those of every account, and decides.`

const exampleConnection = `  sallyport connection list $SERVICE --status pendingAcceptance
  sallyport connection accept $SERVICE $ENDPOINT
  sallyport connection watch $SERVICE
  sallyport connection reject $SERVICE $ENDPOINT`

const helpConnectionList = `List the connections of a service, the newest first: whose they are (ACCOUNT), their
state, and the marker that tells a backend through which endpoint a flow came.

The API gives ten at a time; --all reads every page.`

const exampleConnectionList = `  sallyport connection list $SERVICE
  sallyport connection list $SERVICE --status pendingAcceptance --all -o id
  sallyport connection list $SERVICE --marker 16777322`

const helpConnectionAccept = `Accept connections: what waits, and also what was rejected or has failed before.

The API takes one endpoint in a request, so several are several requests, one after
the other. All are tried; if one fails, the exit code is 1 and the rest is accepted
all the same. Accepting what is accepted changes nothing and is no failure.

When the answer comes, the connection is open. If the network does not confirm that
in time (504, EndPoint.0013), the decision is kept, and repeating is safe.`

const exampleConnectionAccept = `  sallyport connection accept $SERVICE $ENDPOINT

  # whatever waits
  sallyport connection list $SERVICE --status pendingAcceptance --all -o id | xargs -r sallyport connection accept $SERVICE`

const helpConnectionReject = `Reject connections: what waits is refused, and what is accepted is cut, open flows
included. No further byte passes once the answer is here. No other endpoint notices.

The API takes one endpoint in a request, so several are several requests, one after
the other. All are tried; if one fails, the exit code is 1. Rejecting what is
rejected changes nothing and is no failure.

If the network does not confirm the cut in time (504, EndPoint.0013), that is a
failure here too: the decision is kept, and repeating is safe.`

const exampleConnectionReject = `  sallyport connection reject $SERVICE $ENDPOINT
  sallyport connection reject $SERVICE $ENDPOINT $OTHER`

const helpPermission = `The whitelist of a service says which accounts may create endpoints to it. It does not
accept their connections, and taking an account off it cuts none: for that see
connection. Your own account is always allowed and never listed.

A VALUE is an account id, alone or as iam:domain::ID; * for everyone; or
organizations:orgPath::PATH for a part of an organisation.`

const examplePermission = `  sallyport permission add $SERVICE $ACCOUNT
  sallyport permission list $SERVICE`

const helpPermissionList = `List the whitelist of a service, the newest record first. The API gives ten at a time;
--all reads every page.`

const examplePermissionList = `  sallyport permission list $SERVICE --all
  sallyport permission list $SERVICE --contains $ACCOUNT`

const helpPermissionAdd = `Put accounts on the whitelist of a service and print the whole whitelist. Adding what
is there is no failure.

A VALUE is an account id, alone or as iam:domain::ID; * for everyone (quote it, or
the shell takes it for files); or organizations:orgPath::PATH.`

const examplePermissionAdd = `  sallyport permission add $SERVICE $ACCOUNT
  sallyport permission add $SERVICE iam:domain::$ACCOUNT

  # everyone; with approval you still decide on each connection
  sallyport permission add $SERVICE '*'`

const helpPermissionRemove = `Take accounts off the whitelist of a service and print what is left of it. Removing
what is not there is no failure.

Endpoints that exist stay as they are; connection reject cuts them.`

const examplePermissionRemove = `  sallyport permission remove $SERVICE $ACCOUNT
  sallyport permission remove $SERVICE '*'`

const helpQuota = `Show how many services and endpoints the project has and may have.`

const exampleQuota = `  sallyport quota
  sallyport quota --type endpoint -o json`

const helpToken = `Log in with user and password and print the token alone on a line, in a pipe too. It
is good for a day at most, for the project it was made for.

Scripts that call the API often should make one: a password costs the server some
time with every login, and a token next to none. An access key has no token; it
signs each request instead.`

const exampleToken = `  export OS_TOKEN=$(sallyport token)

  # for another client
  curl -H "X-Auth-Token: $(sallyport token)" http://127.0.0.1:8780/v3/auth/projects`

const helpEnvironment = `Address, credentials and project of the verbs of the API are looked for in this order:

  1. flags
  2. variables
  3. a profile in $XDG_CONFIG_HOME/sallyport/config.yaml, which usually is
     ~/.config/sallyport/config.yaml: the one that --profile or SALLYPORT_PROFILE
     names, else the one called "default", if there is one

Each setting comes from the first of them that has it; where several variables stand
for one, from the first that is set. Three rules keep together what belongs together:

  * The first place that has any credentials decides their kind; if one place has
    several kinds, a token comes before an access key, and that before a user.
  * A secret is taken only from a place that names the same access key or user, or
    none. OS_, HW_ and HUAWEICLOUD_SDK_ keys are never mixed.
  * endpoint and auth_url come from one place, so that a token made at one server is
    not sent to another.

The settings, by their key in a profile:`

const helpEnvironmentMore = `Without endpoint and auth_url the server is http://127.0.0.1:8780. With auth_url alone
the endpoint is read from the catalogue of the identity API.

Without project_id the project is looked up by project_name, else by the name of the
region; without either there must be one only.

A profile file, which nobody else may be able to read (chmod 600):

  profiles:
    default:
      endpoint: http://127.0.0.1:8780
      region: eu-west-101
      domain: provider
      username: paula
    consumer:
      endpoint: http://127.0.0.1:8780
      region: eu-west-101
      access_key: SPCONSUMER0000000001
      secret_key: ...

A password that is nowhere is asked for on a terminal. Flags take secrets too, but
other users of a machine can see command lines.

Besides, HTTP_PROXY, HTTPS_PROXY and NO_PROXY count as for other programs. The
variables of the server (SALLYPORT_LISTEN and others) are another matter: they are in
docs/configuration.md.`

const exampleEnvironment = `  export SALLYPORT_ENDPOINT=http://127.0.0.1:8780 OS_REGION_NAME=eu-west-101
  export OS_USER_DOMAIN_NAME=provider OS_USERNAME=paula
  read -rs OS_PASSWORD && export OS_PASSWORD
  sallyport service list

  # as somebody else
  sallyport endpoint list --profile consumer`

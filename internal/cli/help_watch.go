package cli

const helpConnectionWatch = `Show what every connection of a service carries, again and again until it is
interrupted, which is no failure.

  FLOWS        open now
  IN/S, OUT/S  bytes per second to the backend and to the client
  TOTAL        bytes both ways since the agent opened the endpoint
  RESETS       flows that ended by a reset, those that were cut included
  REFUSED      connections that were not let in; JSON has them by reason
  DIAL ERR     failed attempts to reach the backend
  LAST         how long ago anything came, went or was carried
  ENGINE       kernel, user or both, by port: see endpoint show

On a terminal the table is drawn over the one before; what does not fit into the window
is left out. Elsewhere each look prints one line of JSON for each connection. A rate
needs two looks, so the first has none. Agents tell what changed every second: in less
than that nothing can change here.

A server that is gone for a moment is waited for, and a line on stderr says so. Of a
service with more than 2000 connections the newest are watched; the metrics of the
server have all.`

const exampleConnectionWatch = `  sallyport connection watch $SERVICE
  sallyport connection watch $SERVICE --interval 200ms

  # whoever is refused, and why
  sallyport connection watch $SERVICE -o json | jq -c 'select(.refused | add > 0) | [.endpoint_id, .refused]'`

const helpEndpointWatch = `Show what endpoints of the project carry, again and again until it is interrupted, which
is no failure. Columns, formats and waiting are those of connection watch. Up to 16
endpoints can be named.

One that is deleted meanwhile is left out from then on. If it was the last, the exit
code is 1.`

const exampleEndpointWatch = `  sallyport endpoint watch $ENDPOINT
  sallyport endpoint watch $ENDPOINT $OTHER --interval 5s

  # bytes per second to the backend, for a script
  sallyport endpoint watch $ENDPOINT -o json | jq .bytes_to_backend_per_second`

const helpDoctor = `Look at this machine and say what works, without a server: the operating system, the
privileges of this process, and what else networks and engines need. Run it as the
user that the server runs as, on the machine that carries the bytes.

Each check is ok, warn or fail, and says what to do. With --config the needs are those
of that configuration: what it needs and what is missing is a failure, and the exit
code is 1. What would only make it faster is a warning.`

const exampleDoctor = `  sallyport doctor
  sallyport doctor --config /etc/sallyport/config.yaml

  # the failures alone
  sallyport doctor -c config.yaml -o json | jq '.checks[] | select(.state == "fail")'`

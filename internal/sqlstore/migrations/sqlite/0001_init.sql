-- One row: the position in the log and the hash of its last record. It is
-- updated first in every transaction, which makes revision order commit order.
CREATE TABLE meta (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  batches INTEGER NOT NULL,
  rev     INTEGER NOT NULL,
  head    BLOB NOT NULL
) STRICT;
INSERT INTO meta (one, batches, rev, head) VALUES (1, 0, 0, zeroblob(32));

CREATE TABLE services (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  region      TEXT NOT NULL,
  system_name TEXT NOT NULL,
  kind        TEXT NOT NULL,
  server_type TEXT NOT NULL,
  project_id  TEXT NOT NULL,
  domain_id   TEXT NOT NULL,
  vpc_id      TEXT NOT NULL,
  port_id     TEXT NOT NULL,
  vip_port_id TEXT NOT NULL,
  pool_id     TEXT NOT NULL,
  ip          TEXT NOT NULL,
  ip_version  TEXT NOT NULL,
  snat_network TEXT NOT NULL,
  ports       TEXT NOT NULL,
  tcp_proxy   TEXT NOT NULL,
  approval    INTEGER NOT NULL,
  policy      INTEGER NOT NULL,
  status      INTEGER NOT NULL,
  description TEXT NOT NULL,
  tags        TEXT NOT NULL,
  professional INTEGER NOT NULL,
  resources   TEXT NOT NULL,
  border_group TEXT NOT NULL,
  on_revoke   TEXT NOT NULL,
  managed_by  TEXT NOT NULL,
  created_us  INTEGER NOT NULL,
  updated_us  INTEGER NOT NULL,
  rev         INTEGER NOT NULL,
  spec_rev    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Lists and filters are answered from memory, so no index but the key: a list
-- index would cost half of every decision.
CREATE TABLE endpoints (
  id          TEXT PRIMARY KEY,
  service_id  TEXT NOT NULL,
  project_id  TEXT NOT NULL,
  domain_id   TEXT NOT NULL,
  vpc_id      TEXT NOT NULL,
  subnet_id   TEXT NOT NULL,
  address     TEXT NOT NULL,
  outside     INTEGER NOT NULL,
  marker      INTEGER NOT NULL,
  status      INTEGER NOT NULL,
  was_accepted INTEGER NOT NULL,
  unattached  INTEGER NOT NULL,
  fault       TEXT NOT NULL,
  enable_dns  INTEGER NOT NULL,
  enable_whitelist INTEGER NOT NULL,
  whitelist   TEXT NOT NULL,
  route_tables TEXT NOT NULL,
  tags        TEXT NOT NULL,
  description TEXT NOT NULL,
  note        TEXT NOT NULL,
  specification TEXT NOT NULL,
  ip_version  TEXT NOT NULL,
  ipv6_address TEXT NOT NULL,
  policy_statement TEXT NOT NULL,
  policy_document TEXT NOT NULL,
  professional INTEGER NOT NULL,
  created_us  INTEGER NOT NULL,
  updated_us  INTEGER NOT NULL,
  rev         INTEGER NOT NULL,
  spec_rev    INTEGER NOT NULL,
  admit_rev   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE permissions (
  service_id  TEXT NOT NULL,
  id          TEXT NOT NULL,
  value       TEXT NOT NULL,
  type        TEXT NOT NULL,
  description TEXT NOT NULL,
  created_us  INTEGER NOT NULL,
  rev         INTEGER NOT NULL,
  PRIMARY KEY (service_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
  id          TEXT PRIMARY KEY,
  kind        TEXT NOT NULL,
  name        TEXT NOT NULL,
  project_id  TEXT NOT NULL,
  domain_id   TEXT NOT NULL,
  vpc_id      TEXT NOT NULL,
  subnet_id   TEXT NOT NULL,
  addresses   TEXT NOT NULL,
  ports       TEXT NOT NULL,
  service_id  TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  configured  INTEGER NOT NULL,
  created_us  INTEGER NOT NULL,
  updated_us  INTEGER NOT NULL,
  rev         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subnets (
  id     TEXT PRIMARY KEY,
  vpc_id TEXT NOT NULL,
  prefix TEXT NOT NULL,
  rev    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
  token_id   TEXT PRIMARY KEY,
  expires_us INTEGER NOT NULL,
  rev        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  rev         INTEGER PRIMARY KEY,
  at_us       INTEGER NOT NULL,
  family      TEXT NOT NULL,
  operation   TEXT NOT NULL,
  action      TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  reason      TEXT NOT NULL,
  object      TEXT NOT NULL,
  object_id   TEXT NOT NULL,
  service_id  TEXT NOT NULL,
  from_status TEXT NOT NULL,
  to_status   TEXT NOT NULL,
  domain_id   TEXT NOT NULL,
  project_id  TEXT NOT NULL,
  user_id     TEXT NOT NULL,
  user_name   TEXT NOT NULL,
  method      TEXT NOT NULL,
  source      TEXT NOT NULL,
  request_id  TEXT NOT NULL,
  detail      TEXT NOT NULL,
  hash        BLOB NOT NULL
) STRICT;

CREATE TABLE secrets (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the position in the log and the hash of its last record. It is
-- updated first in every transaction, which makes revision order commit order.
CREATE TABLE meta (
  one     BIGINT PRIMARY KEY CHECK (one = 1),
  batches BIGINT NOT NULL,
  rev     BIGINT NOT NULL,
  head    BYTEA NOT NULL
);
INSERT INTO meta (one, batches, rev, head) VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'));

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
  approval    BIGINT NOT NULL,
  policy      BIGINT NOT NULL,
  status      BIGINT NOT NULL,
  description TEXT NOT NULL,
  tags        TEXT NOT NULL,
  professional BIGINT NOT NULL,
  resources   TEXT NOT NULL,
  border_group TEXT NOT NULL,
  on_revoke   TEXT NOT NULL,
  managed_by  TEXT NOT NULL,
  created_us  BIGINT NOT NULL,
  updated_us  BIGINT NOT NULL,
  rev         BIGINT NOT NULL,
  spec_rev    BIGINT NOT NULL
);

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
  outside     BIGINT NOT NULL,
  marker      BIGINT NOT NULL,
  status      BIGINT NOT NULL,
  was_accepted BIGINT NOT NULL,
  unattached  BIGINT NOT NULL,
  fault       TEXT NOT NULL,
  enable_dns  BIGINT NOT NULL,
  enable_whitelist BIGINT NOT NULL,
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
  professional BIGINT NOT NULL,
  created_us  BIGINT NOT NULL,
  updated_us  BIGINT NOT NULL,
  rev         BIGINT NOT NULL,
  spec_rev    BIGINT NOT NULL,
  admit_rev   BIGINT NOT NULL
);

CREATE TABLE permissions (
  service_id  TEXT NOT NULL,
  id          TEXT NOT NULL,
  value       TEXT NOT NULL,
  type        TEXT NOT NULL,
  description TEXT NOT NULL,
  created_us  BIGINT NOT NULL,
  rev         BIGINT NOT NULL,
  PRIMARY KEY (service_id, id)
);

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
  configured  BIGINT NOT NULL,
  created_us  BIGINT NOT NULL,
  updated_us  BIGINT NOT NULL,
  rev         BIGINT NOT NULL
);

CREATE TABLE subnets (
  id     TEXT PRIMARY KEY,
  vpc_id TEXT NOT NULL,
  prefix TEXT NOT NULL,
  rev    BIGINT NOT NULL
);

CREATE TABLE revocations (
  token_id   TEXT PRIMARY KEY,
  expires_us BIGINT NOT NULL,
  rev        BIGINT NOT NULL
);

CREATE TABLE audit (
  rev         BIGINT PRIMARY KEY,
  at_us       BIGINT NOT NULL,
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
  hash        BYTEA NOT NULL
);

CREATE TABLE secrets (
  name  TEXT PRIMARY KEY,
  value BYTEA NOT NULL
);

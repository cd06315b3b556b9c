-- What the coordinator keeps for itself: who may call, who serves, and what was asked. Of every
-- credential (API token, host token, poll token) only the SHA-256 is here. Money is not here: the
-- books know a user by user_id and a provider by provider_id.
set local role pod_owner;

create schema coordinator;
grant usage on schema coordinator to pod_coordinator, pod_finance;

-- A user of the proxy. The token is the credential, user_id the name the books use.
create table coordinator.user_token (
  token_sha256 bytea primary key check (length(token_sha256) = 32),
  user_id uuid not null unique,
  deposit_code bytea not null unique check (length(deposit_code) = 8),
  created_at timestamptz not null
);

-- An operator. `code` is the suffix of both the enrollment code and the bond's deposit code.
create table coordinator.host (
  provider_id uuid primary key,
  host_token_sha256 bytea not null unique check (length(host_token_sha256) = 32),
  display_name text not null check (length(display_name) between 1 and 80),
  wallet text not null,
  contact_email text,
  code text not null unique check (code ~ '^[A-Za-z0-9]{8}$'),
  enrolled_at timestamptz not null,
  -- The one key its agent signs with.
  agent_pubkey bytea unique check (length(agent_pubkey) = 32),
  key_bound_at timestamptz,
  -- Set when the operator asked to leave: no new requests are routed to it.
  retiring_at timestamptz,
  check ((agent_pubkey is null) = (key_bound_at is null))
);

-- One attempt at pairing an agent's key with an operator. The host token travels to the agent
-- sealed to a key that only the holder of the poll token can derive.
create table coordinator.pairing (
  pair_code text primary key check (pair_code ~ '^[A-Z0-9]{4}-[A-Z0-9]{4}$'),
  poll_token_sha256 bytea not null unique check (length(poll_token_sha256) = 32),
  sealing_key bytea not null check (length(sealing_key) = 32),
  agent_pubkey bytea not null check (length(agent_pubkey) = 32),
  issued_at timestamptz not null,
  expires_at timestamptz not null check (expires_at > issued_at),
  capabilities jsonb,                                 -- what the agent found on its machine
  provider_id uuid references coordinator.host,
  sealed_host_token bytea,
  model_config jsonb,
  claimed_at timestamptz,
  check ((provider_id is null) = (claimed_at is null)),
  check ((provider_id is null) = (sealed_host_token is null)),
  check ((provider_id is null) = (model_config is null))
);
create index pairing_expiry on coordinator.pairing (expires_at);

-- Every request that set money aside. request_id is the id of its hold and of its charge in the
-- books. input_tokens and output_tokens are our own counts, claimed_* what the provider said.
create table coordinator.request (
  request_id uuid primary key,
  user_id uuid not null,
  model text not null,
  streamed boolean not null,
  started_at timestamptz not null,
  outcome text not null check (outcome in ('open', 'settled', 'cut', 'left', 'abandoned', 'failed',
                                           'unsettled', 'lost')),
  job_id uuid,
  provider_id uuid,
  attempts integer not null check (attempts >= 0),
  input_per_1m_microusdc bigint check (input_per_1m_microusdc > 0),
  output_per_1m_microusdc bigint check (output_per_1m_microusdc > 0),
  input_tokens bigint check (input_tokens >= 0),
  output_tokens bigint check (output_tokens >= 0),
  claimed_input_tokens bigint check (claimed_input_tokens >= 0),
  claimed_output_tokens bigint check (claimed_output_tokens >= 0),
  held_microusdc bigint check (held_microusdc >= 0),
  gross_microusdc bigint check (gross_microusdc >= 0),
  first_chunk_ms bigint check (first_chunk_ms >= 0),
  failure text,
  ended_at timestamptz,
  check (gross_microusdc <= held_microusdc),
  check ((outcome in ('open', 'lost')) or ended_at is not null)
);
create index request_user on coordinator.request (user_id, request_id);
create index request_provider on coordinator.request (provider_id, request_id);
create index request_open on coordinator.request (request_id) where outcome = 'open';

grant select, insert, update on coordinator.user_token, coordinator.host, coordinator.request
  to pod_coordinator;
grant select, insert, update, delete on coordinator.pairing to pod_coordinator;
grant select on coordinator.request to pod_finance;

reset role;

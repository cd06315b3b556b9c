-- name: add_user
-- Remember a new user by the hash of its token.
insert into coordinator.user_token (token_sha256, user_id, deposit_code, created_at)
values ($1, $2, $3, $4)

-- name: get_user
-- Find the user a token belongs to.
select user_id, deposit_code from coordinator.user_token where token_sha256 = $1

-- name: add_host
-- Remember a new operator by the hash of its token.
insert into coordinator.host
  (provider_id, host_token_sha256, display_name, wallet, contact_email, code, enrolled_at)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: get_host
-- Find the operator a host token belongs to.
select provider_id, display_name, wallet, code, enrolled_at, agent_pubkey is not null as has_key,
       retiring_at
  from coordinator.host where host_token_sha256 = $1

-- name: lock_host_by_code
-- Find the operator an enrollment code belongs to, to bind a key to it.
select provider_id, agent_pubkey from coordinator.host where code = $1 for update

-- name: get_host_by_key
-- Find the operator an agent's key is bound to.
select provider_id, code from coordinator.host where agent_pubkey = $1

-- name: bind_key
-- Make this the one key the operator's agent signs with.
update coordinator.host set agent_pubkey = $2, key_bound_at = $3 where provider_id = $1

-- name: set_retiring
-- Route no new requests to this operator from now on.
update coordinator.host set retiring_at = clock_timestamp() where provider_id = $1
returning retiring_at

-- name: lock_retiring
-- Since when the operator is leaving, locked.
select retiring_at from coordinator.host where provider_id = $1 for update

-- name: clear_retiring
-- The operator stays, or pairs again: requests may be routed to it.
update coordinator.host set retiring_at = null where provider_id = $1

-- name: get_routing_facts
-- When operators enrolled and whether they are leaving, for those that may be routed to.
select provider_id, enrolled_at, retiring_at
  from coordinator.host where provider_id = any ($1)

-- name: add_pairing
-- Offer a pair code for an agent's key.
insert into coordinator.pairing
  (pair_code, poll_token_sha256, sealing_key, agent_pubkey, issued_at, expires_at)
values ($1, $2, $3, $4, $5, $6)

-- name: forget_pairings
-- Drop pairings that ended before this moment.
delete from coordinator.pairing where expires_at < $1

-- name: get_polled_pairing
-- What an agent that polls is told.
select pair_code, provider_id, sealed_host_token, model_config, expires_at
  from coordinator.pairing where poll_token_sha256 = $1

-- name: set_capabilities
-- Keep what the agent found on its machine.
update coordinator.pairing set capabilities = $2::jsonb
 where pair_code = $1 and capabilities is distinct from $2::jsonb

-- name: lock_pairing
-- Find a pairing to claim it.
select agent_pubkey, sealing_key, provider_id, expires_at, capabilities
  from coordinator.pairing where pair_code = $1 for update

-- name: claim_pairing
-- Give the pairing to an operator; claiming again by the same one replaces what was chosen.
update coordinator.pairing
   set provider_id = $2, sealed_host_token = $3, model_config = $4::jsonb, claimed_at = $5
 where pair_code = $1

-- name: write_requests
-- Write rows of the request log, new or further along.
insert into coordinator.request as r
  (request_id, user_id, model, streamed, started_at, outcome, job_id, provider_id, attempts,
   input_per_1m_microusdc, output_per_1m_microusdc, input_tokens, output_tokens,
   claimed_input_tokens, claimed_output_tokens, held_microusdc, gross_microusdc, first_chunk_ms,
   failure, ended_at)
select * from unnest
  ($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[], $7::uuid[],
   $8::uuid[], $9::integer[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
   $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::text[],
   $20::timestamptz[])
on conflict (request_id) do update set
  outcome = excluded.outcome, job_id = excluded.job_id, provider_id = excluded.provider_id,
  attempts = excluded.attempts, input_per_1m_microusdc = excluded.input_per_1m_microusdc,
  output_per_1m_microusdc = excluded.output_per_1m_microusdc,
  output_tokens = excluded.output_tokens, claimed_input_tokens = excluded.claimed_input_tokens,
  claimed_output_tokens = excluded.claimed_output_tokens,
  held_microusdc = excluded.held_microusdc,
  gross_microusdc = excluded.gross_microusdc, first_chunk_ms = excluded.first_chunk_ms,
  failure = excluded.failure, ended_at = excluded.ended_at

-- name: get_uncharged
-- Requests, from this id on, that were ready to be settled since a moment and the books do not have.
select r.request_id, r.user_id, r.provider_id, r.gross_microusdc, r.ended_at, r.streamed
  from coordinator.request r
  left join lateral (select true as is_there from settlement.charge c
                      where c.request_id = r.request_id limit 1) as c on true
 where r.request_id >= $1::uuid and r.ended_at >= $2::timestamptz
   and r.outcome in ('settled', 'cut', 'left') and r.provider_id is not null
   and r.gross_microusdc is not null and c.is_there is null
 order by r.request_id

-- name: mark_interrupted
-- Rows an earlier life of this process left open, and those that nobody paid for after all.
update coordinator.request r
   set outcome = case when (select true from settlement.charge c
                             where c.request_id = r.request_id limit 1) then 'lost'
                      else 'unsettled' end,
       gross_microusdc = null, ended_at = coalesce(r.ended_at, $2)
 where r.outcome = 'open' or r.request_id = any ($1::uuid[])
returning r.outcome

-- name: get_transactions
-- The settled requests an operator earned by, newest first.
select request_id, model, input_tokens, output_tokens, gross_microusdc, ended_at
  from coordinator.request
 where provider_id = $1 and gross_microusdc > 0 and outcome in ('settled', 'cut', 'left')
   and request_id < $2
 order by request_id desc limit $3

-- Money going out: what was asked for (payout), every message made for it (payout_attempt), which
-- numbers are gone, and whether payouts stand still. A payout's id is also the id of its hold.
set local role pod_owner;

create table settlement.payout_transition (
  from_state text not null,
  to_state text not null,
  primary key (from_state, to_state)
);
-- The same table as settlement/payouts/states.py, which a test compares.
insert into settlement.payout_transition (from_state, to_state) values
  ('awaiting_approval', 'requested'),
  ('awaiting_approval', 'cancelled'),
  ('requested', 'numbered'),
  ('requested', 'cancelled'),
  ('numbered', 'signed'),
  ('numbered', 'paid'),
  ('numbered', 'skipped'),
  ('numbered', 'requested'),
  ('signed', 'sent'),
  ('signed', 'numbered'),
  ('signed', 'paid'),
  ('signed', 'skipped'),
  ('signed', 'requested'),
  ('sent', 'numbered'),
  ('sent', 'paid'),
  ('sent', 'skipped'),
  ('sent', 'requested');

create table settlement.payout (
  payout_id uuid primary key,
  kind text not null check (kind in ('pay', 'fund_bond')),
  provider_id uuid not null,
  account text not null,                             -- whose money is held for it
  amount bigint not null check (amount > 0),
  destination text not null,                         -- a wallet, never a token account
  code bytea not null check (octet_length(code) = 8),
  reference bytea not null unique check (octet_length(reference) = 16),
  idempotency_key text check (length(idempotency_key) between 1 and 255),
  state text not null check (state in ('awaiting_approval', 'requested', 'numbered', 'signed',
                                       'sent', 'paid', 'skipped', 'cancelled')),
  requested_at timestamptz not null,
  needs_approval boolean not null default false,
  approved_at timestamptz,
  approved_by text,
  sequence bigint unique check (sequence >= 0),      -- its number on chain
  destination_account text,                          -- fixed together with the number
  skip_reason text,                                  -- set: the number is to be burned instead
  cancel_reason text,
  outcome_reference text,                            -- the finalized instruction that ended it
  outcome_slot bigint check (outcome_slot >= 0),
  unique (provider_id, idempotency_key),
  unique (outcome_reference, sequence),
  check ((approved_at is null) = (approved_by is null)),
  check (not needs_approval or approved_by is not null
         or state in ('awaiting_approval', 'cancelled')),
  check ((sequence is null) = (destination_account is null)),
  check ((sequence is null) = (state in ('awaiting_approval', 'requested', 'cancelled'))),
  check ((outcome_reference is null) = (outcome_slot is null)),
  check ((outcome_reference is not null) = (state in ('paid', 'skipped'))),
  check ((cancel_reason is not null) = (state = 'cancelled'))
);
create index payout_open on settlement.payout (state, requested_at)
  where state not in ('paid', 'skipped', 'cancelled');
create index payout_of_provider on settlement.payout (provider_id, requested_at);
create unique index one_bond_funding on settlement.payout (provider_id)
  where kind = 'fund_bond' and state not in ('paid', 'skipped', 'cancelled');

create table settlement.payout_attempt (
  payout_id uuid not null references settlement.payout,
  attempt integer not null check (attempt > 0),
  action text not null check (action in ('execute', 'skip')),
  creates_account boolean not null,                  -- we pay the rent of a token account
  message bytea not null,                            -- what is to be signed, and nothing else
  last_valid_height bigint not null check (last_valid_height >= 0),
  built_at timestamptz not null,
  signature text unique,
  wire bytea,                                        -- the signed bytes; these and no others go out
  signed_at timestamptz,
  refusal text,                                      -- why the signer would not sign
  sends integer not null default 0 check (sends >= 0),
  first_sent_at timestamptz,                         -- written before the first send
  last_sent_at timestamptz,
  problem text,                                      -- what the node last answered, for people
  closed_at timestamptz,                             -- dead or decided: never sent again
  primary key (payout_id, attempt),
  check (num_nulls(signature, wire, signed_at) in (0, 3)),
  check (refusal is null or signature is null),
  check ((sends = 0) = (first_sent_at is null) and (sends = 0) = (last_sent_at is null)),
  check (sends = 0 or wire is not null)
);
create unique index one_open_attempt on settlement.payout_attempt (payout_id)
  where closed_at is null;

-- The next number to give out. One row; it is not there before the chain's own base was read.
create table settlement.payout_counter (
  singleton boolean primary key default true check (singleton),
  program_id text not null,
  next_sequence bigint not null check (next_sequence >= 0)
);

-- Numbers the chain used up without an intent of ours: they must never be given out.
create table settlement.payout_number_gone (
  sequence bigint primary key check (sequence >= 0),
  how text not null check (how in ('paid', 'skipped')),
  reference text not null
);

-- While one row is open, no payout moves on. Only a person lifts one.
create table settlement.payout_halt (
  halt_id bigint generated always as identity primary key,
  reason text not null,
  detail text not null,
  raised_at timestamptz not null default clock_timestamp(),
  lifted_at timestamptz,
  lifted_by text,
  check ((lifted_at is null) = (lifted_by is null))
);
create unique index one_open_halt on settlement.payout_halt (reason) where lifted_at is null;

-- What was promised to the payee stays as it was, and states follow the table.
create function settlement.keep_payout_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.payout_id, old.kind, old.provider_id, old.account, old.amount, old.destination, old.code,
      old.reference, old.requested_at, old.needs_approval) is distinct from
     (new.payout_id, new.kind, new.provider_id, new.account, new.amount, new.destination, new.code,
      new.reference, new.requested_at, new.needs_approval) then
    raise exception 'payout %: what was asked for does not change', old.payout_id
      using errcode = 'PL010';
  end if;
  if old.state <> new.state and not exists (
      select from settlement.payout_transition t
       where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'payout %: no way from % to %', old.payout_id, old.state, new.state
      using errcode = 'PL010';
  end if;
  if new.sequence is distinct from old.sequence
     and not (old.state = 'requested' or new.state = 'requested') then
    raise exception 'payout %: its number does not change', old.payout_id using errcode = 'PL010';
  end if;
  if old.state in ('paid', 'skipped', 'cancelled') and new is distinct from old then
    raise exception 'payout % is over', old.payout_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_payout before update on settlement.payout
  for each row execute function settlement.keep_payout_v1();

-- A message is signed once, and signed bytes are never replaced.
create function settlement.keep_attempt_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.action, old.message, old.last_valid_height) is distinct from
     (new.action, new.message, new.last_valid_height)
     or (old.wire is not null and (old.wire, old.signature) is distinct from
                                  (new.wire, new.signature)) then
    raise exception 'attempt % of payout % does not change', old.attempt, old.payout_id
      using errcode = 'PL010';
  end if;
  if old.closed_at is not null and new is distinct from old then
    raise exception 'attempt % of payout % is over', old.attempt, old.payout_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_attempt before update on settlement.payout_attempt
  for each row execute function settlement.keep_attempt_v1();

do $$
declare
  v_table text;
begin
  foreach v_table in array array['payout', 'payout_attempt', 'payout_counter',
                                 'payout_number_gone', 'payout_halt'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

grant select on settlement.payout, settlement.payout_attempt, settlement.payout_halt,
  settlement.payout_transition
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
grant select on settlement.payout_counter, settlement.payout_number_gone
  to pod_indexer, pod_settlement, pod_finance;

-- The coordinator asks for payouts, and takes back what has no number yet.
grant insert (payout_id, kind, provider_id, account, amount, destination, code, reference,
              idempotency_key, state, requested_at, needs_approval)
  on settlement.payout to pod_coordinator, pod_settlement;
grant update (state, cancel_reason) on settlement.payout to pod_coordinator;

-- The worker numbers, builds and sends. It can write neither a signature nor an outcome.
grant update (state, sequence, destination_account, skip_reason, cancel_reason, approved_at,
              approved_by) on settlement.payout to pod_settlement;
grant insert (payout_id, attempt, action, creates_account, message, last_valid_height, built_at)
  on settlement.payout_attempt to pod_settlement;
grant update (sends, first_sent_at, last_sent_at, problem, closed_at)
  on settlement.payout_attempt to pod_settlement;
grant insert, update (next_sequence) on settlement.payout_counter to pod_settlement;
grant update (lifted_at, lifted_by) on settlement.payout_halt to pod_settlement;
grant insert (reason, detail) on settlement.payout_halt to pod_settlement, pod_indexer;

-- The signer signs, for what really is set aside in the books.
grant select on settlement.hold, settlement.account to pod_signer;
grant update (signature, wire, signed_at, refusal) on settlement.payout_attempt to pod_signer;
grant update (state) on settlement.payout to pod_signer;

-- The indexer alone says how a payout ended.
grant update (state, sequence, destination_account, outcome_reference, outcome_slot)
  on settlement.payout to pod_indexer;
grant update (closed_at) on settlement.payout_attempt to pod_indexer;
grant update (next_sequence) on settlement.payout_counter to pod_indexer;
grant insert on settlement.payout_number_gone to pod_indexer;

reset role;

-- Two things that stand beside the books and never in them: deposits that are confirmed and not
-- final yet, so that who paid sees them arrive; and what the vaults held on chain at a slot, against
-- the movements up to it, with what happens when the two differ.
set local role pod_owner;

-- A deposit as the chain shows it before it is final. Nothing here is money: the books know nothing
-- of it, and it may be gone tomorrow. Rows that have ended are deleted after some days.
create table settlement.arrival (
  cluster text not null,
  reference text not null,          -- the movement's name, as the books will know it
  signature bytea not null check (octet_length(signature) = 64),
  slot bigint not null check (slot >= 0),
  vault text not null check (vault in ('till', 'bond')),
  amount bigint not null check (amount > 0),
  user_id uuid,                     -- whose code it carries; nobody's is shown to finance only
  provider_id uuid,
  state text not null default 'arriving' check (state in ('arriving', 'final', 'gone')),
  credited_as text,                 -- what the books took it as, once it was final
  first_seen_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (cluster, reference),
  check (num_nonnulls(user_id, provider_id) <= 1),
  check ((state = 'arriving') = (ended_at is null)),
  check ((state = 'final') = (credited_as is not null))
);
create index arrival_of_user on settlement.arrival (user_id)
  where state = 'arriving' and user_id is not null;
create index arrival_of_provider on settlement.arrival (provider_id)
  where state = 'arriving' and provider_id is not null;
create index arrival_open on settlement.arrival (cluster, slot) where state <> 'final';
create index arrival_ended on settlement.arrival (ended_at) where ended_at is not null;

-- A comparison of one watched account with the movements, and how it ended.
create table settlement.checkpoint (
  checkpoint_id bigint generated always as identity primary key,
  cluster text not null,
  address text not null,
  verdict text not null check (verdict in ('equal', 'different', 'no_data')),
  slot bigint check (slot >= 0),    -- the lowest slot that was compared
  agreeing integer not null check (agreeing >= 0),   -- nodes whose balance was the sum
  sources integer not null check (sources > 0),      -- nodes that were asked; 1: single-source
  problem text,                     -- why there was no data
  checked_at timestamptz not null default clock_timestamp(),
  check ((verdict = 'no_data') = (problem is not null)),
  check (verdict <> 'equal' or agreeing > 0),
  check (verdict = 'no_data' or slot is not null)
);
create index checkpoint_good on settlement.checkpoint (cluster, address, checkpoint_id)
  where verdict = 'equal';

-- What each node said, at its own slot. Microunits.
create table settlement.checkpoint_reading (
  checkpoint_id bigint not null references settlement.checkpoint,
  provider text not null,
  slot bigint not null check (slot >= 0),            -- the context slot of its answer
  balance numeric(20, 0) not null check (balance >= 0),
  movements numeric(40, 0) not null,                 -- their sum up to this slot
  accepted numeric(40, 0) not null,                  -- what persons have accepted beyond it
  difference numeric(40, 0) not null,
  primary key (checkpoint_id, provider),
  check (difference = balance - movements - accepted)
);

-- An account whose balance is not the sum: nothing above the last good checkpoint is credited.
create table settlement.crediting_stop (
  stop_id bigint generated always as identity primary key,
  cluster text not null,
  address text not null,
  above_slot bigint not null check (above_slot >= -1),
  up_to_slot bigint not null,                        -- where the two were found apart
  checkpoint_id bigint not null references settlement.checkpoint,
  difference numeric(40, 0) not null check (difference <> 0),  -- as last seen
  halt_reason text not null,                         -- under which payouts stand still with it
  raised_at timestamptz not null default clock_timestamp(),
  scanned_to_slot bigint,                            -- how far blocks were read looking for it
  lifted_at timestamptz,
  lifted_by text,
  lift_reason text,
  accepted numeric(40, 0) not null default 0,        -- of the difference, by a person
  check (num_nonnulls(lifted_at, lifted_by, lift_reason) in (0, 3)),
  check (accepted = 0 or lifted_at is not null),
  check (up_to_slot > above_slot)
);
create unique index one_open_stop on settlement.crediting_stop (cluster, address)
  where lifted_at is null;

-- Signatures that a listing should have shown and did not.
create table settlement.hidden_signature (
  cluster text not null,
  address text not null,
  signature bytea not null check (octet_length(signature) = 64),
  slot bigint not null,
  stop_id bigint not null references settlement.crediting_stop,
  found_in text not null,                            -- whose listing or blocks showed it
  found_at timestamptz not null default clock_timestamp(),
  primary key (cluster, address, signature)
);

-- Lets an account be credited again, and payouts move that stood still for it. The indexer proves
-- that the two are equal; a person says why, and takes over the difference that was last seen.
create function settlement.lift_crediting_stop_v1(
  p_stop bigint, p_by text, p_reason text, p_checkpoint bigint) returns numeric
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_by_indexer constant boolean := settlement.caller_role_v1() = 'pod_indexer';
  v_stop settlement.crediting_stop;
  v_accepted numeric := 0;
begin
  select * into v_stop from settlement.crediting_stop where stop_id = p_stop for update;
  if v_stop.stop_id is null or v_stop.lifted_at is not null then
    raise exception 'there is no open stop %', p_stop using errcode = 'PL010';
  end if;
  if coalesce(btrim(p_by), '') = '' or coalesce(btrim(p_reason), '') = '' then
    raise exception 'who lifts a stop says so, and why' using errcode = 'PL010';
  end if;
  if v_by_indexer and not exists (
      select from settlement.checkpoint c
       where c.checkpoint_id = p_checkpoint and c.checkpoint_id > v_stop.checkpoint_id
         and (c.cluster, c.address) = (v_stop.cluster, v_stop.address)
         and c.verdict = 'equal' and c.slot > v_stop.above_slot) then
    raise exception 'checkpoint % proves nothing about stop %', p_checkpoint, p_stop
      using errcode = 'PL010';
  end if;
  if not v_by_indexer then
    v_accepted := v_stop.difference;
  end if;
  update settlement.crediting_stop
     set lifted_at = clock_timestamp(), lifted_by = p_by, lift_reason = p_reason,
         accepted = v_accepted
   where stop_id = p_stop;
  update settlement.payout_halt set lifted_at = clock_timestamp(), lifted_by = p_by
   where reason = v_stop.halt_reason and lifted_at is null;
  return v_accepted;
end
$$;

create function settlement.keep_stop_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if old.lifted_at is not null
     or (old.stop_id, old.cluster, old.address, old.above_slot, old.up_to_slot, old.checkpoint_id,
         old.halt_reason, old.raised_at) is distinct from
        (new.stop_id, new.cluster, new.address, new.above_slot, new.up_to_slot, new.checkpoint_id,
         new.halt_reason, new.raised_at)
     or new.scanned_to_slot < old.scanned_to_slot then
    raise exception 'stop %: what happened does not change', old.stop_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_stop before update on settlement.crediting_stop
  for each row execute function settlement.keep_stop_v1();

do $$
declare
  v_table text;
begin
  foreach v_table in array array['checkpoint', 'checkpoint_reading', 'hidden_signature'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  create trigger nothing_lost before delete or truncate on settlement.crediting_stop
    for each statement execute function settlement.refuse_change_v1();
end
$$;

grant select on settlement.arrival, settlement.checkpoint, settlement.checkpoint_reading,
  settlement.crediting_stop, settlement.hidden_signature
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert, delete, update (slot, state, credited_as, ended_at)
  on settlement.arrival to pod_indexer;
grant insert on settlement.checkpoint, settlement.checkpoint_reading, settlement.hidden_signature
  to pod_indexer;
grant insert (cluster, address, above_slot, up_to_slot, checkpoint_id, difference, halt_reason),
  update (difference, scanned_to_slot) on settlement.crediting_stop to pod_indexer;
grant execute on function settlement.lift_crediting_stop_v1(bigint, text, text, bigint)
  to pod_indexer, pod_finance;

reset role;

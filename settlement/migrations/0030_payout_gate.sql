-- The gate before numbering: after a restore, and whenever the chain has used numbers that the books
-- do not know, no payout has a new number before everything that may still happen has been seen.
set local role pod_owner;

create table settlement.payout_gate (
  gate_id bigint generated always as identity primary key,
  era integer not null references settlement.era,
  reason text not null check (reason in ('restored', 'unknown numbers')),
  opened_at timestamptz not null default clock_timestamp(),
  dead_above_height bigint not null check (dead_above_height >= 0),
                                                     -- no blockhash of before lives above it
  safe_slot bigint check (safe_slot >= 0),           -- finalized, and beyond that height
  passed_at timestamptz,
  next_number bigint check (next_number >= 0),       -- where numbering went on
  check ((passed_at is null) = (next_number is null)),
  check (passed_at is null or safe_slot is not null)
);
create unique index one_closed_gate on settlement.payout_gate ((true)) where passed_at is null;

create function settlement.keep_gate_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if old.passed_at is not null
     or (old.gate_id, old.era, old.reason, old.opened_at, old.dead_above_height) is distinct from
        (new.gate_id, new.era, new.reason, new.opened_at, new.dead_above_height)
     or (old.safe_slot is not null and new.safe_slot is distinct from old.safe_slot) then
    raise exception 'gate %: what happened does not change', old.gate_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_gate before update on settlement.payout_gate
  for each row execute function settlement.keep_gate_v1();
create trigger nothing_lost before delete or truncate on settlement.payout_gate
  for each statement execute function settlement.refuse_change_v1();

-- Whether payouts may have happened that the books do not know: a gate is closed, or this era, which
-- a restore began, has passed none yet.
create function settlement.payout_gate_closed_v1() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from settlement.payout_gate g where g.passed_at is null)
      or (e.era > 1 and not exists (select from settlement.payout_gate g where g.era = e.era))
    from (select max(x.era) as era from settlement.era x) as e
$$;
grant execute on function settlement.payout_gate_closed_v1()
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;

-- Whoever numbers or takes back, in whatever version: not while the gate is closed. What was paid
-- under a number that the books forgot would be paid, or given back, a second time.
create function settlement.gate_before_numbers_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if settlement.payout_gate_closed_v1() then
    raise exception 'payout %: the gate before numbers is closed', new.payout_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger gate_before_numbers before update of sequence on settlement.payout
  for each row when (new.state = 'numbered' and old.state = 'requested')
  execute function settlement.gate_before_numbers_v1();
-- The indexer cancels only what it has just seen paid.
create trigger gate_before_cancels before update of state on settlement.payout
  for each row when (new.state = 'cancelled' and old.state <> 'cancelled'
                     and current_user <> 'pod_indexer')
  execute function settlement.gate_before_numbers_v1();

-- A payment that the books forgot: of a payout that had no number when they were saved.
insert into settlement.payout_transition (from_state, to_state) values ('requested', 'paid');

grant select on settlement.payout_gate
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
grant insert (era, reason, dead_above_height), update (safe_slot, passed_at, next_number)
  on settlement.payout_gate to pod_settlement;
-- The indexer ends a payout that the books forgot having paid, and gives up one that was paid under
-- another number.
grant update (cancel_reason, skip_reason) on settlement.payout to pod_indexer;

reset role;

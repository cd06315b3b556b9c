-- Up to which slot each watched address has been read, and what comparing the books with the chain
-- found.
set local role pod_owner;

create table settlement.frontier (
  cluster text not null,
  address text not null,
  slot bigint not null check (slot >= 0),
  advanced_at timestamptz not null default clock_timestamp(),
  primary key (cluster, address)
);

create function settlement.keep_frontier_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if new.slot < old.slot then
    raise exception 'the frontier of % stands at %: it does not go back to %', old.address,
      old.slot, new.slot using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_frontier before update on settlement.frontier
  for each row execute function settlement.keep_frontier_v1();

create table settlement.reconcile_run (
  run_id uuid primary key,
  cluster text not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  verdict text not null check (verdict in ('equal', 'different', 'no_data')),
  problem text,                                      -- why there was no data
  sources integer not null check (sources > 0),      -- how many nodes could have been asked
  check (finished_at >= started_at),
  check ((verdict = 'no_data') = (problem is not null))
);
create index reconcile_run_latest on settlement.reconcile_run (cluster, finished_at);

create table settlement.reconcile_line (
  run_id uuid not null references settlement.reconcile_run,
  vault text not null check (vault in ('till', 'bond')),
  address text not null,
  slot bigint not null check (slot >= 0),
  books bigint not null,
  chain numeric(20, 0) not null check (chain >= 0),  -- a u64 does not fit a bigint
  difference numeric(20, 0) not null,
  primary key (run_id, vault),
  check (difference = chain - books)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['reconcile_run', 'reconcile_line'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  create trigger nothing_lost before delete or truncate on settlement.frontier
    for each statement execute function settlement.refuse_change_v1();
end
$$;

grant select on settlement.frontier, settlement.reconcile_run, settlement.reconcile_line
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert (cluster, address, slot), update (slot, advanced_at)
  on settlement.frontier to pod_indexer;
grant insert on settlement.reconcile_run, settlement.reconcile_line to pod_settlement;

reset role;

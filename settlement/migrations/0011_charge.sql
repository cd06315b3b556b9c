-- Paid requests at speed: holds that are spent in parts, a leaner journal row in partitions by time,
-- one hash per batch that is cheap to make. Before this nothing was vouched for (there was no seal),
-- so the chains are made anew in the new form from the same rows; where they stood is kept.
set local role pod_owner;

-- What a deployment's books are after a restore: a new era, in which every writer begins a chain of
-- its own, so that two histories that parted at the restore are never taken for one.
create table settlement.era (
  era integer primary key check (era > 0),
  begun_at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null
);
insert into settlement.era (era, actor, reason) values (1, 'migration', 'the first');

alter table settlement.writer
  add column era integer not null default 1 references settlement.era,
  add column head_rows bigint not null default 0,   -- how many rows its batches have together
  add column leases_until timestamptz,               -- it is known to be alive up to then
  drop constraint writer_name_key,
  add unique (name, era),
  set (fillfactor = 50);
alter table settlement.batch add column rows_before bigint not null default 0;

-- A lease is a hold for many requests of a user; it is spent in parts, and it alone expires.
alter table settlement.hold
  drop constraint hold_purpose_check,
  add constraint hold_purpose_check check (purpose in ('request', 'lease', 'payout')),
  add column expires_at timestamptz,
  add constraint only_leases_expire check ((purpose = 'lease') = (expires_at is not null)),
  drop constraint hold_check,
  add constraint hold_adds_up check (captured + released <= amount and
    case state when 'open' then released = 0 and (captured = 0 or purpose = 'lease')
         when 'voided' then captured = 0 and released = amount
         else captured + released = amount end),
  set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index hold_expiring on settlement.hold (expires_at)
  where state = 'open' and purpose = 'lease';
alter table settlement.txn
  drop constraint txn_hold_id_key,
  add column refunds uuid;                           -- the request that it pays back, or a part
create index txn_of_hold on settlement.txn (hold_id) where hold_id is not null;

-- Whether requests may be paid to it: a copy of its kind, as `floored` is, beside what is locked.
alter table settlement.balance add column earns boolean not null default false;
update settlement.balance b set earns = true
  from settlement.account a where a.account_id = b.account_id and a.kind = 'host';
alter table settlement.balance alter column earns drop default,
  set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Views and the check of the books are made anew below.
drop view settlement.entry;
drop view settlement.hold_flow;
drop function settlement.settle_v1(integer, integer, smallint[], uuid[], bigint[], bigint[],
  bigint[], integer[], text[]);
drop function settlement.apply_v1(integer, integer, jsonb);
drop function settlement.batch_leaves_v1(integer, bigint);
drop function settlement.batch_hash_v1(integer, integer, bigint, integer, bytea, bytea);
drop function settlement.merkle_root_v1(bytea[]);
drop function settlement.check_books_v1();
drop function settlement.open_writer_v1(text);
create table settlement.charge_before as table settlement.charge;
drop table settlement.charge;

-- The hot journal: one row for a settled request, two linked transfers folded into one. No foreign
-- keys on purpose: each would cost a lookup and a lock per row, and the functions that write it look
-- the accounts up. When it was recorded stands in its batch. Kept in a partition for each day of its
-- id, which says when the request was admitted: unique indexes other than the key are the
-- partition's own, so what they promise holds within a day (and across days by the balance's lock).
create table settlement.charge (
  request_id uuid not null,
  hold_id uuid not null,                            -- what it was captured from; nil: nothing
  user_account bigint not null,
  operator_account bigint not null,
  gross bigint not null,
  operator_share bigint not null,
  treasury_share bigint not null,
  user_entry bigint not null,
  operator_entry bigint not null,
  treasury_entry bigint not null,                   -- of its writer's treasury account
  user_balance_after bigint not null,
  batch_seq bigint not null,
  writer_id integer not null,
  ord integer not null,
  split_bps integer not null check (split_bps between 0 and 10000),
  constraint gross_is_shared check (gross = operator_share + treasury_share
    and least(operator_share, treasury_share) >= 0),
  -- The floor of gross * split_bps / 10000, without passing what a bigint holds.
  constraint treasury_share_is_floored check (treasury_share =
    gross / 10000 * split_bps + gross % 10000 * split_bps / 10000),
  constraint three_accounts check (user_account <> operator_account),
  primary key (request_id)
) partition by range (request_id);

-- How much of a paid request went back to its user, all refunds together: never more than was paid.
create table settlement.refund (
  request_id uuid primary key,
  user_account bigint not null references settlement.account,
  gross bigint not null,
  refunded bigint not null check (refunded > 0),
  constraint refunds_stay_within_gross check (refunded <= gross)
);

-- Which request a client's attempt is: whoever sends the same again is told the first one's id.
create table settlement.request_name (
  user_id uuid not null,
  fingerprint bytea not null check (octet_length(fingerprint) = 32),
  request_id uuid not null unique,
  named_at timestamptz not null default clock_timestamp(),
  primary key (user_id, fingerprint)
);

-- Which days have a partition, and what became of those that have not any more.
create table settlement.charge_day (
  day date primary key,
  partition text not null unique,
  state text not null default 'attached' check (state in ('attached', 'archived')),
  archived_at timestamptz,
  archive jsonb,                                    -- what the archive's manifest says
  check ((state = 'archived') = (archived_at is not null)),
  check ((archived_at is null) = (archive is null))
);

-- Ids that may be settled: not below what is kept at hand, not above what has a partition.
create table settlement.charge_window (
  singleton boolean primary key default true check (singleton),
  low uuid not null,
  high uuid not null,
  check (low <= high)
);

-- The smallest version-7 id of a moment (RFC 9562: 48 bits of milliseconds come first).
create function settlement.uuid_floor_v1(p_at timestamptz) returns uuid
language sql immutable as $$
  select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0')
          || '00000000000000000000')::uuid
$$;

-- Makes the partition of a day (in UTC) if there is none. Not for callers: see the next function.
create function settlement.make_charge_day_v1(p_day date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_name constant text := 'charge_' || to_char(p_day, 'YYYYMMDD');
  v_index text;
begin
  insert into settlement.charge_day (day, partition) values (p_day, v_name) on conflict do nothing;
  if not found then
    return;
  end if;
  -- Analysed and frozen early: on empty statistics plans are made for a table that is not there.
  execute format('create table settlement.%I partition of settlement.charge for values from (%L)
    to (%L) with (autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2)',
    v_name, settlement.uuid_floor_v1(p_day::timestamp at time zone 'utc'),
    settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc'));
  foreach v_index in array array['writer_id, batch_seq, ord', 'user_account, user_entry',
                                 'operator_account, operator_entry'] loop
    execute format('create unique index on settlement.%I (%s)', v_name, v_index);
  end loop;
  execute format('create trigger only_grows before update or delete or truncate on settlement.%I
    for each statement execute function settlement.refuse_change_v1()', v_name);
  execute format('grant select on settlement.%I to pod_coordinator, pod_indexer, pod_settlement,
    pod_finance', v_name);
end
$$;

-- Makes partitions up to so many days ahead, and lets ids of those days be settled. Returns how many
-- it made. Called by whoever opens a writer and, day by day, by the settlement worker.
create function settlement.ensure_charge_days_v1(p_days_ahead integer default 3) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  v_today constant date := current_date;
  v_before bigint;
begin
  if p_days_ahead is null or p_days_ahead not between 1 and 31 then
    raise exception 'between 1 and 31 days ahead, not %', p_days_ahead using errcode = 'PL012';
  end if;
  if (select max(day) from settlement.charge_day) >= v_today + p_days_ahead then
    return 0;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('podledger:charge-days', 0));
  select count(*) into v_before from settlement.charge_day;
  -- From the day after the last one there is: a gap would refuse a day's ids.
  perform settlement.make_charge_day_v1(day::date)
     from generate_series(coalesce((select max(day) + 1 from settlement.charge_day), v_today - 1),
                          v_today + p_days_ahead, interval '1 day') as day;
  insert into settlement.charge_window as x (low, high)
  select settlement.uuid_floor_v1(min(day)::timestamp at time zone 'utc'),
         settlement.uuid_floor_v1((max(day) + 1)::timestamp at time zone 'utc')
    from settlement.charge_day where state = 'attached'
  on conflict (singleton) do update set high = excluded.high;
  return (select count(*) from settlement.charge_day) - v_before;
end
$$;
grant execute on function settlement.ensure_charge_days_v1(integer)
  to pod_coordinator, pod_indexer, pod_settlement;

-- The days of charges that are there already, without a gap up to today.
do $$
declare
  v_first uuid := (select request_id from settlement.charge_before order by request_id limit 1);
  v_untimely uuid := (select request_id from settlement.charge_before
    where get_byte(uuid_send(request_id), 6) / 16 <> 7
       or request_id >= settlement.uuid_floor_v1(now() + interval '1 day') limit 1);
begin
  if v_untimely is not null then
    raise exception 'request % was not named by its time: these books cannot be migrated',
      v_untimely;
  end if;
  if v_first is not null then
    perform settlement.make_charge_day_v1((to_timestamp(('x' || lpad(left(replace(v_first::text,
      '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0) at time zone 'utc')::date);
  end if;
  perform settlement.ensure_charge_days_v1();
end
$$;

insert into settlement.charge (request_id, hold_id, user_account, operator_account, gross,
  operator_share, treasury_share, user_entry, operator_entry, treasury_entry, user_balance_after,
  batch_seq, writer_id, ord, split_bps)
select request_id, request_id, user_account, operator_account, gross, operator_share,
       treasury_share, user_entry, operator_entry, treasury_entry, user_balance_after, batch_seq,
       writer_id, ord, split_bps
  from settlement.charge_before order by writer_id, batch_seq, ord;
drop table settlement.charge_before;

create trigger only_grows before update or delete or truncate on settlement.charge
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.era
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.charge_day
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.charge_window
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.refund
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.request_name
  for each statement execute function settlement.refuse_change_v1();
grant select on settlement.era, settlement.charge, settlement.charge_day, settlement.charge_window,
  settlement.refund, settlement.request_name
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert (user_id, fingerprint, request_id) on settlement.request_name to pod_coordinator;

reset role;

-- Days of charges that are over leave the journal for files. A day is closed, added up, written and
-- read back outside, and only then taken out; what it added up to stays, so that balances and every
-- later entry are still what the journal says.
set local role pod_owner;

-- Makes the partition of a day (in UTC) if there is none. Not for callers: see ensure_charge_days_v1.
-- It is made beside the journal and then attached, which waits for nobody who reads or settles.
create or replace function settlement.make_charge_day_v1(p_day date) returns void
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
  execute format('create table settlement.%I (like settlement.charge including all)
    with (autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2)', v_name);
  foreach v_index in array array['writer_id, batch_seq, ord', 'user_account, user_entry',
                                 'operator_account, operator_entry'] loop
    execute format('create unique index on settlement.%I (%s)', v_name, v_index);
  end loop;
  execute format('create trigger only_grows before update or delete or truncate on settlement.%I
    for each statement execute function settlement.refuse_change_v1()', v_name);
  execute format('grant select on settlement.%I to pod_coordinator, pod_indexer, pod_settlement,
    pod_finance', v_name);
  execute format('alter table settlement.charge attach partition settlement.%I
    for values from (%L) to (%L)', v_name,
    settlement.uuid_floor_v1(p_day::timestamp at time zone 'utc'),
    settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc'));
end
$$;

-- Where the rows of a day that is folded stood in each writer's chain, and when they were recorded.
-- While it is folded, the last row of the last writer says how far that is.
create table settlement.archived_span (
  day date not null references settlement.charge_day,
  writer_id integer not null references settlement.writer,
  first_seq bigint not null,
  last_seq bigint not null,
  last_ord integer not null,
  n bigint not null check (n > 0),
  first_at timestamptz not null,
  last_at timestamptz not null,
  primary key (day, writer_id)
);
create index archived_span_end on settlement.archived_span (writer_id, last_seq);

-- What they added up to, by account. Its entries of a day need not be neighbours: `numbers` is the
-- sum of their numbers, by which one that is missing or there twice is noticed.
create table settlement.archived_entry_sum (
  day date not null,
  writer_id integer not null,
  account_id bigint not null,
  first_entry bigint not null,
  last_entry bigint not null,
  n bigint not null check (n > 0),
  numbers numeric not null,
  dr bigint not null check (dr >= 0),
  cr bigint not null check (cr >= 0),
  primary key (day, writer_id, account_id),
  foreign key (day, writer_id) references settlement.archived_span
) with (fillfactor = 70);
create index archived_entry_sum_account on settlement.archived_entry_sum (account_id);

-- What they spent of each hold.
create table settlement.archived_hold (
  day date not null references settlement.charge_day,
  hold_id uuid not null,
  n bigint not null check (n > 0),
  captured bigint not null check (captured >= 0),
  primary key (hold_id, day)
) with (fillfactor = 70);

-- Of the seals' tree, where a kept hash stands over leaves of which some are archived and some are
-- not: the subtrees of the archived ones, for proofs of the others. Level and index, then the hash.
create table settlement.archived_node (
  level smallint not null check (level between 0 and 7),
  index bigint not null check (index >= 0),
  hash bytea not null check (length(hash) = 32),
  primary key (index, level)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['archived_span', 'archived_entry_sum', 'archived_hold',
                                 'archived_node'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
    execute format('grant select on settlement.%I to pod_coordinator, pod_indexer, pod_settlement,
      pod_finance', v_table);
  end loop;
end
$$;

-- The oldest day that is attached, if it is this one; its name. Raises PL014 for any other.
create function settlement.oldest_charge_day_v1(p_day date) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_oldest record;
begin
  select day, partition into v_oldest from settlement.charge_day where state = 'attached'
   order by day limit 1 for update;
  if v_oldest.day is distinct from p_day then
    raise exception 'the oldest day there is is %, not %', v_oldest.day, p_day
      using errcode = 'PL014';
  end if;
  return v_oldest.partition;
end
$$;

-- Moves the window of ids that may be settled past a day. Whoever was settling by the old window has
-- committed when this returns, and whoever comes after sees the new one: nothing is written to the
-- day any more. Raises PL012 for a day that is not over for a day, PL014 for any but the oldest.
create function settlement.close_charge_day_v1(p_day date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  v_low constant uuid := settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc');
begin
  if p_day is null or p_day > current_date - 2 then
    raise exception 'requests of % may still be settled', p_day using errcode = 'PL012';
  end if;
  if (select low from settlement.charge_window) >= v_low then
    return;
  end if;
  -- In the order of ensure_charge_days_v1 and open_writer_v2. A batch locks its writer's head before
  -- it reads the window; this waits for all of them, also for writers opened at this very moment.
  perform pg_advisory_xact_lock(hashtextextended('podledger:charge-days', 0));
  lock table settlement.writer in exclusive mode;
  perform settlement.oldest_charge_day_v1(p_day);
  update settlement.charge_window set low = v_low;
end
$$;

-- Adds the next so many rows of a closed day up, from where the last call stopped; returns how many
-- they were: 0 when all are. In steps, for one long statement would keep dead rows of the balances
-- alive for as long as it runs. Raises PL014 while the day is open, or not the oldest.
create function settlement.fold_charge_day_v1(p_day date, p_rows integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_partition constant text := settlement.oldest_charge_day_v1(p_day);
  v_from record;
  v_n integer;
begin
  if (select low from settlement.charge_window)
     < settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc') then
    raise exception 'requests of % may still be settled', p_day using errcode = 'PL014';
  end if;
  select writer_id, last_seq, last_ord into v_from from settlement.archived_span
   where day = p_day order by writer_id desc limit 1;
  execute format($fold$
    with page as materialized (
      select c.*, w.treasury_account, b.created_at
        from (select * from settlement.%I
               where (writer_id, batch_seq, ord) > ($2, $3, $4)
               order by writer_id, batch_seq, ord limit $5) as c
        join settlement.writer w using (writer_id)
        join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
    ),
    spans as (
      insert into settlement.archived_span as x (day, writer_id, first_seq, last_seq, last_ord, n,
        first_at, last_at)
      select $1, writer_id, min(batch_seq), max(batch_seq),
             (array_agg(ord order by batch_seq desc, ord desc))[1], count(*), min(created_at),
             max(created_at)
        from page group by writer_id
      on conflict (day, writer_id) do update
         set last_seq = excluded.last_seq, last_ord = excluded.last_ord, n = x.n + excluded.n,
             last_at = excluded.last_at
    ),
    entries as (
      insert into settlement.archived_entry_sum as x (day, writer_id, account_id, first_entry,
        last_entry, n, numbers, dr, cr)
      select $1, e.writer_id, e.account_id, min(e.entry), max(e.entry), count(*), sum(e.entry),
             sum(e.dr), sum(e.cr)
        from (select writer_id, user_account as account_id, user_entry as entry, gross as dr,
                     0::bigint as cr from page
              union all select writer_id, operator_account, operator_entry, 0, operator_share
                          from page
              union all select writer_id, treasury_account, treasury_entry, 0, treasury_share
                          from page) as e
       group by e.writer_id, e.account_id
      on conflict (day, writer_id, account_id) do update
         set first_entry = least(x.first_entry, excluded.first_entry),
             last_entry = greatest(x.last_entry, excluded.last_entry), n = x.n + excluded.n,
             numbers = x.numbers + excluded.numbers, dr = x.dr + excluded.dr,
             cr = x.cr + excluded.cr
    ),
    holds as (
      insert into settlement.archived_hold as x (day, hold_id, n, captured)
      select $1, hold_id, count(*), sum(gross) from page
       where hold_id <> '00000000-0000-0000-0000-000000000000' group by hold_id
      on conflict (hold_id, day) do update
         set n = x.n + excluded.n, captured = x.captured + excluded.captured
    )
    select count(*) from page $fold$, v_partition)
    into v_n using p_day, coalesce(v_from.writer_id, -1), coalesce(v_from.last_seq, 0),
                   coalesce(v_from.last_ord, 0), p_rows;
  return v_n;
end
$$;

-- Keeps subtrees of archived leaves; again is no change.
create function settlement.keep_archived_nodes_v1(p_levels smallint[], p_indexes bigint[],
  p_hashes bytea[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into settlement.archived_node (level, index, hash)
  select * from unnest(p_levels, p_indexes, p_hashes) on conflict do nothing
$$;

-- Takes a day out of the journal, once its file is written and was read back: from here on what it
-- added up to counts in its place. The manifest must say what was added up, and name a seal that
-- holds every row. Raises PL014 when the day is not ready, PL015 when the manifest is not its own.
create function settlement.archive_charge_day_v1(p_day date, p_manifest jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_partition constant text := settlement.oldest_charge_day_v1(p_day);
  v_seal constant integer := (p_manifest #>> '{seal,seal_no}')::integer;
  v_left boolean;
  v_folded jsonb;
begin
  execute format('select exists (select from settlement.%I where (writer_id, batch_seq, ord) > (
    select writer_id, last_seq, last_ord from settlement.archived_span where day = $1
     union all select -1, 0, 0 order by 1 desc limit 1))', v_partition) into v_left using p_day;
  if v_left or (select low from settlement.charge_window)
               < settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc') then
    raise exception '% is not added up', p_day using errcode = 'PL014';
  end if;
  select jsonb_build_object('rows', coalesce(sum(s.n), 0), 'gross', coalesce(sum(t.gross), 0),
           'operator_share', coalesce(sum(t.operators), 0),
           'treasury_share', coalesce(sum(t.treasury), 0))
    into v_folded
    from settlement.archived_span s
    join settlement.writer w using (writer_id)
   cross join lateral (
     select sum(e.dr) as gross, sum(e.cr) filter (where e.account_id = w.treasury_account)
              as treasury, sum(e.cr) filter (where e.account_id <> w.treasury_account) as operators
       from settlement.archived_entry_sum e
      where e.day = s.day and e.writer_id = s.writer_id) as t
   where s.day = p_day;
  if v_folded is distinct from p_manifest -> 'sums'
     or p_day::text is distinct from p_manifest ->> 'day' then
    raise exception 'the manifest is not that of %', p_day using errcode = 'PL015',
      detail = v_folded::text;
  end if;
  if (v_folded ->> 'rows')::bigint > 0 and not exists (
      select from settlement.seal s
       where s.seal_no = v_seal and encode(s.hash, 'hex') = p_manifest #>> '{seal,hash}'
         and not exists (select from settlement.archived_span a where a.day = p_day
           and a.last_seq > coalesce((select max(c.to_seq) from settlement.seal_cut c
                 where c.writer_id = a.writer_id and c.seal_no <= v_seal), 0))) then
    raise exception 'seal % does not hold all of %', v_seal, p_day using errcode = 'PL015';
  end if;
  update settlement.charge_day
     set state = 'archived', archived_at = clock_timestamp(), archive = p_manifest
   where day = p_day;
  -- Last, for it stops everybody who settles until this has committed.
  execute format('alter table settlement.charge detach partition settlement.%I', v_partition);
  execute format('drop table settlement.%I', v_partition);
end
$$;
grant execute on function settlement.close_charge_day_v1(date),
  settlement.fold_charge_day_v1(date, integer),
  settlement.keep_archived_nodes_v1(smallint[], bigint[], bytea[]),
  settlement.archive_charge_day_v1(date, jsonb) to pod_settlement;

reset role;

-- The daily road of paid requests: hold, charge and void for one request each, many at a time,
-- decided and written by sets instead of one after the other.
set local role pod_owner;

-- Answers exactly what settlement.apply_v1 would for the same operations, or nothing at all (no
-- row) when they are not of the everyday kind: then nothing was written, and the caller asks
-- apply_v1 in the same transaction. That is so when an id is named twice, when an account both
-- pays and earns, when two holds of one account are too much (the second may have fitted once the
-- first was refused), or when a turnover is near the end of what a number holds.
--
-- Verbs: 1 hold, 2 charge, 3 void. Raises what apply_v1 raises, in the same order of locks.
create function settlement.settle_v1(
  p_writer integer, p_epoch integer, p_verbs smallint[], p_ids uuid[], p_accounts bigint[],
  p_operators bigint[], p_amounts bigint[], p_bps integer[], p_reasons text[])
returns table (codes text[], available bigint[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made once, when nothing is known of the tables yet. Every join here is a look by key for
-- each row asked for; reading a whole table or index would cost what the table has grown to.
set enable_seqscan = off set enable_mergejoin = off set enable_hashjoin = off
set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
  -- Far from 2^63 - 1, whatever a batch adds to it.
  c_large constant bigint := 8000000000000000000;
  c_large_amount constant bigint := 1000000000000000;
  w settlement.writer;
  v_seq bigint;
  v_now timestamptz;
  v_accounts bigint[];
  v_codes text[];
  v_available bigint[];
  v_leaves bytea[];
  v_unusual boolean;
  v_wanted bigint;
  v_written bigint;
  v_root bytea;
  v_hash bytea;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the books need READ COMMITTED' using errcode = 'PL002';
  end if;
  select * into w from settlement.writer x where x.writer_id = p_writer for update;
  if w.epoch is distinct from p_epoch then
    raise exception 'epoch % of writer % is over', p_epoch, p_writer using errcode = 'PL001';
  end if;
  if w.head_seq > 0 and not exists (select from settlement.batch x where x.writer_id = p_writer
                                    and x.seq = w.head_seq and x.hash = w.head_hash) then
    raise exception 'writer % has lost its head', p_writer using errcode = 'PL001';
  end if;

  v_accounts := array(
    select a from unnest(p_accounts || p_operators || w.treasury_account) as a where a is not null
    union select x.account_id from settlement.hold x where x.hold_id = any (p_ids));
  perform from settlement.balance x where x.account_id = any (v_accounts)
    order by x.account_id for update;
  perform from settlement.hold x where x.hold_id = any (p_ids) order by x.hold_id for update;
  v_seq := w.head_seq + 1;
  v_now := clock_timestamp();

  with
  asked as materialized (
    select o.verb, o.id, o.account, o.operator, o.amount, o.bps, o.reason, o.ord,
           x.hold_id is not null as known, x.account_id as holder, x.amount as set_aside,
           x.purpose, x.writer_id as owner, x.state,
           case when o.verb = 1 then o.account else x.account_id end as payer
      from unnest(p_verbs, p_ids, p_accounts, p_operators, p_amounts, p_bps, p_reasons)
           with ordinality as o (verb, id, account, operator, amount, bps, reason, ord)
      left join settlement.hold x on x.hold_id = o.id
  ),
  -- What can be said without asking who else wants the same money; null where that matters.
  judged as materialized (
    select k.*, b.cr - b.dr as net, b.cr - b.dr - b.held as free, b.floored,
           b.version as payer_version, e.version as earner_version,
           coalesce(greatest(b.dr, b.cr), 0) > c_large or coalesce(e.cr, 0) > c_large
             or coalesce(k.amount, 0) > c_large_amount as large,
           case k.verb when 1 then placed.available_after when 2 then c.user_available_after
                       else voided.available_after end as told,
           case
             when k.verb = 1 and k.known then
               case when (k.holder, k.set_aside, k.purpose, k.owner)
                         is not distinct from (k.account, k.amount, 'request', p_writer)
                    then 'replayed' else 'conflict' end
             when k.verb = 1 and p.account_id is null then 'account_unknown'
             when k.verb = 1 and p.closed_at is not null then 'account_closed'
             when k.verb = 1 then null
             when k.verb = 2 and c.request_id is not null then
               case when (c.user_account, c.operator_account, c.gross, c.split_bps)
                         is not distinct from (k.account, k.operator, k.amount, k.bps)
                    then 'replayed' else 'conflict' end
             when not k.known then 'hold_unknown'
             when k.verb = 2 and (u.kind, o.kind) is distinct from ('user', 'host')
               then 'account_unknown'
             when k.verb = 2 and (k.holder <> k.account or k.purpose <> 'request'
                                  or k.owner <> p_writer) then 'conflict'
             when k.verb = 3 and k.purpose = 'request' and k.owner <> p_writer then 'conflict'
             when k.verb = 3 and k.state = 'voided' and voided.reason = k.reason then 'replayed'
             when k.state <> 'open' then 'hold_closed'
             when k.verb = 3 then null
             when k.amount > k.set_aside then 'hold_exceeded'
             when u.closed_at is not null or o.closed_at is not null then 'account_closed'
           end as code
      from asked k
      left join settlement.account p on p.account_id = k.payer
      left join settlement.balance b on b.account_id = k.payer
      left join settlement.account u on u.account_id = case when k.verb = 2 then k.account end
      left join settlement.account o on o.account_id = k.operator
      left join settlement.balance e on e.account_id = k.operator
      left join settlement.charge c
        on c.request_id = case when k.verb = 2 and k.state = 'captured' then k.id end
      -- The limits keep these a look by key each, however the tables are thought to be.
      left join lateral (select available_after from settlement.hold_event y
                          where k.verb = 1 and k.known and y.hold_id = k.id and y.event = 'placed'
                          limit 1) as placed on true
      left join lateral (select available_after, reason from settlement.hold_event y
                          where k.verb = 3 and k.state = 'voided' and y.hold_id = k.id
                            and y.event = 'voided' limit 1) as voided on true
  ),
  -- Holds meet what is free once everything asked before them was granted.
  decided as materialized (
    select j.*, coalesce(j.code,
             case when j.verb = 1 and j.floored and j.free + coalesce(j.before, 0) < j.amount
                  then 'insufficient' else 'applied' end) as verdict
      from (select x.*, sum(case when x.code is not null then 0 when x.verb = 1 then -x.amount
                                 when x.verb = 2 then x.set_aside - x.amount else x.set_aside end)
                          over (partition by x.payer order by x.ord
                                rows between unbounded preceding and 1 preceding) as before
              from judged x) as j
  ),
  answered as materialized (
    select d.*, d.free + sum(case when d.verdict <> 'applied' then 0 when d.verb = 1 then -d.amount
                                  when d.verb = 2 then d.set_aside - d.amount else d.set_aside end)
                         over (partition by d.payer order by d.ord) as left_over
      from decided d
  ),
  unusual as materialized (
    select count(*) <> count(distinct d.id) or bool_or(d.large)
           or (select count(distinct x.payer) + count(distinct x.operator) from asked x)
              <> (select count(distinct x.a) from (select payer as a from asked
                                                   union all select operator from asked) as x)
           or exists (select from decided x where x.verdict = 'insufficient'
                       group by x.payer having count(*) > 1)
           or (select cr from settlement.balance where account_id = w.treasury_account) > c_large
           as so
      from decided d
  ),
  done as materialized (
    select f.*, row_number() over (order by f.ord) as place
      from answered f
     where f.verdict = 'applied' and not (select so from unusual)
  ),
  paid as materialized (
    select f.*, div(f.amount::numeric * f.bps, 10000)::bigint as share,
           f.payer_version + row_number() over (partition by f.payer order by f.ord) as user_entry,
           f.earner_version + row_number() over (partition by f.operator order by f.ord)
             as operator_entry,
           t.version + row_number() over (order by f.ord) as treasury_entry,
           f.net - sum(f.amount) over (partition by f.payer order by f.ord) as balance_after
      from done f
     cross join (select version from settlement.balance
                  where account_id = w.treasury_account) as t
     where f.verb = 2
  ),
  placed as (
    insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id, epoch)
    select f.id, f.account, f.amount, 'request', p_writer, p_epoch from done f where f.verb = 1
    on conflict do nothing
    returning hold_id
  ),
  noted as (
    insert into settlement.hold_event (hold_id, event, reason, available_after, writer_id, epoch,
      batch_seq, ord, recorded_at)
    select f.id, case f.verb when 1 then 'placed' else 'voided' end,
           case f.verb when 3 then f.reason end, f.left_over, p_writer, p_epoch, v_seq, f.place,
           v_now
      from done f where f.verb <> 2
    returning hold_id
  ),
  charged as (
    insert into settlement.charge (request_id, user_account, operator_account, treasury_account,
      gross, operator_share, treasury_share, split_bps, user_entry, operator_entry, treasury_entry,
      user_balance_after, user_available_after, writer_id, epoch, batch_seq, ord, recorded_at)
    select f.id, f.account, f.operator, w.treasury_account, f.amount, f.amount - f.share, f.share,
           f.bps, f.user_entry, f.operator_entry, f.treasury_entry, f.balance_after, f.left_over,
           p_writer, p_epoch, v_seq, f.place, v_now
      from paid f
    returning *
  ),
  ended as (
    update settlement.hold x
       set state = case f.verb when 2 then 'captured' else 'voided' end,
           captured = case f.verb when 2 then f.amount else 0 end,
           released = case f.verb when 2 then x.amount - f.amount else x.amount end
      from done f where f.verb <> 1 and x.hold_id = f.id
    returning x.hold_id
  ),
  -- No balance moves but by the rows just written.
  moved as (
    update settlement.balance x
       set dr = x.dr + d.dr, cr = x.cr + d.cr, held = x.held + d.held, version = x.version + d.n
      from (select s.account_id, sum(s.dr)::bigint as dr, sum(s.cr)::bigint as cr,
                   sum(s.held)::bigint as held, sum(s.n)::bigint as n
              from (select user_account as account_id, gross as dr, 0::bigint as cr,
                           0::bigint as held, 1 as n from charged
                    union all select operator_account, 0, operator_share, 0, 1 from charged
                    union all select treasury_account, 0, treasury_share, 0, 1 from charged
                    union all
                    select f.payer, 0, 0, case f.verb when 1 then f.amount else -f.set_aside end, 0
                      from done f) as s
             group by s.account_id) as d
     where x.account_id = d.account_id
    returning x.account_id
  ),
  -- The same leaves as settlement.batch_leaves_v1 reads back.
  leaves as (
    select c.ord, settlement.leaf_v1(concat_ws('|', 'charge/1', c.request_id, c.user_account,
             c.operator_account, c.treasury_account, c.gross, c.operator_share, c.treasury_share,
             c.split_bps, c.user_entry, c.operator_entry, c.treasury_entry, c.user_balance_after,
             c.user_available_after, c.writer_id, c.epoch, c.batch_seq, c.ord,
             extract(epoch from c.recorded_at))) as leaf
      from charged c
    union all
    select f.place, settlement.leaf_v1(concat_ws('|', 'hold/1', f.id,
             case f.verb when 1 then 'placed' else 'voided' end, f.payer,
             case f.verb when 1 then f.amount else f.set_aside end,
             case f.verb when 1 then 'request' else f.purpose end,
             coalesce(to_json(case f.verb when 3 then f.reason end)::text, '-'), f.left_over,
             p_writer, p_epoch, v_seq, f.place, extract(epoch from v_now)))
      from done f where f.verb <> 2
  )
  select (select so from unusual), (select array_agg(leaf order by ord) from leaves),
         (select count(*) from done where verb = 1), (select count(*) from placed),
         array_agg(d.verdict order by d.ord),
         array_agg(case d.verdict when 'applied' then d.left_over when 'replayed' then d.told
                                  when 'insufficient' then d.free + coalesce(d.before, 0) end
                   order by d.ord)
    into v_unusual, v_leaves, v_wanted, v_written, v_codes, v_available
    from answered d;
  if v_unusual then
    return;
  end if;
  if v_written <> v_wanted then
    raise exception 'another writer took the same name' using errcode = '40001';
  end if;
  if v_leaves is not null then
    v_root := settlement.merkle_root_v1(v_leaves);
    v_hash := settlement.batch_hash_v1(p_writer, p_epoch, v_seq, cardinality(v_leaves), w.head_hash,
                                       v_root);
    insert into settlement.batch (writer_id, seq, epoch, n, root, prev_hash, hash, created_at)
    values (p_writer, v_seq, p_epoch, cardinality(v_leaves), v_root, w.head_hash, v_hash, v_now);
    update settlement.writer x set head_seq = v_seq, head_hash = v_hash
     where x.writer_id = p_writer;
  end if;
  return query select v_codes, v_available;
end
$$;
grant execute on function settlement.settle_v1(integer, integer, smallint[], uuid[], bigint[],
  bigint[], bigint[], integer[], text[]) to pod_coordinator, pod_indexer, pod_settlement;

reset role;

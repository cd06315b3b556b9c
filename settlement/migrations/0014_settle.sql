-- The daily road of paid requests, many at a time, decided and written by sets.
set local role pod_owner;

-- Writes the rows of charges whose balances have moved; m_: the accounts that did, each with its
-- number of entries and its balance from before. A part of settle_v2, apart because its plan must be
-- another: every set here is in memory and joined by hashing, however few rows are foretold.
create function settlement.write_charges_v2(
  w settlement.writer, p_requests uuid[], p_holds uuid[], p_users bigint[], p_operators bigint[],
  p_gross bigint[], p_bps integer[], m_account bigint[], m_version bigint[], m_balance bigint[],
  out written bigint, out leaves bytea, out balances bigint[])
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
set jit = off as $$
#variable_conflict use_column
declare
  v_writer constant integer := w.writer_id;
  v_seq constant bigint := w.head_seq + 1;
  v_treasury_entry constant bigint := m_version[array_position(m_account, w.treasury_account)];
begin
  with
  standing as materialized (
    select * from unnest(m_account, m_version, m_balance) as m (account_id, version, balance)
  ),
  added as (
    insert into settlement.charge (request_id, hold_id, user_account, operator_account, gross,
      operator_share, treasury_share, user_entry, operator_entry, treasury_entry,
      user_balance_after, batch_seq, writer_id, ord, split_bps)
    select p.id, p.hold, p.payer, p.operator, p.gross, p.gross - p.share, p.share,
           u.version + p.user_place, o.version + p.operator_place, v_treasury_entry + p.ord,
           u.balance - p.spent, v_seq, v_writer, p.ord, p.bps
      from (select d.*, d.gross / 10000 * d.bps + d.gross % 10000 * d.bps / 10000 as share,
                   row_number() over (partition by d.payer order by d.ord) as user_place,
                   sum(d.gross) over (partition by d.payer order by d.ord
                                      rows unbounded preceding) as spent,
                   row_number() over (partition by d.operator order by d.ord) as operator_place
              from unnest(p_requests, p_holds, p_users, p_operators, p_gross, p_bps)
                   with ordinality as d (id, hold, payer, operator, gross, bps, ord)) as p
      join standing u on u.account_id = p.payer
      join standing o on o.account_id = p.operator
    returning ord, user_balance_after, settlement.charge_leaf_v2(request_id, hold_id,
      user_account, operator_account, gross, operator_share, treasury_share, split_bps,
      user_entry, operator_entry, treasury_entry, user_balance_after, writer_id, batch_seq, ord)
      as leaf
  )
  select count(*), string_agg(leaf, ''::bytea order by ord),
         array_agg(user_balance_after order by ord)
    into written, leaves, balances from added;
end
$$;

-- Charges first, then holds and voids, in one batch: what charges give back can be set aside again.
-- Answers exactly what settlement.apply_v2 would for the same operations in that order, or raises
-- PL011 when they are not of the everyday kind: the caller then asks apply_v2. That is so when a
-- charge is anything but new and covered by its hold (so everything a charge says is that it is
-- done), when a hold's id is named twice, when two holds of one account are too much (the second
-- may have fitted once the first was refused), when what somebody else set aside is given back, or when an
-- amount is large. A charge of a name that is there raises 23505, which means the same.
--
-- Hold verbs: 1 hold, 3 void. Raises what settlement.claim_head_v2 raises, and 40001 when another
-- writer took the same name at the same moment (do it again: it will be a plain answer).
create function settlement.settle_v2(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea,
  p_requests uuid[], p_request_holds uuid[], p_users bigint[], p_operators bigint[],
  p_gross bigint[], p_bps integer[],
  p_verbs integer[], p_holds uuid[], p_accounts bigint[], p_amounts bigint[], p_purposes text[],
  p_expiries timestamptz[], p_reasons text[])
returns table (balances bigint[], codes text[], available bigint[], head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made once, when nothing is known of the tables yet. Every table is looked into by key
-- for each row asked for; reading a whole one would cost what the table has grown to.
set enable_seqscan = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
set jit = off as $$
#variable_conflict use_column
declare
  -- Far from 2^63 - 1, whatever a batch adds to it.
  c_large constant bigint := 8000000000000000000;
  c_large_amount constant bigint := 1000000000000000;
  w constant settlement.writer :=
    settlement.claim_head_v2(p_writer, p_epoch, p_seen_seq, p_seen_hash);
  v_seq constant bigint := w.head_seq + 1;
  v_treasury constant bigint := w.treasury_account;
  v_charges constant integer := cardinality(p_requests);
  v_touched bigint[];
  v_unusual boolean;
  v_balances bigint[];
  v_codes text[];
  v_available bigint[];
  v_leaves bytea := '';
  v_more bytea;
  v_n bigint := 0;
  v_now timestamptz;
  m_account bigint[];
  m_version bigint[];
  m_balance bigint[];
  v_wanted bigint;
  v_written bigint;
  v_closed record;
begin
  if cardinality(p_verbs) > 0 then
    -- Locks go by account, then by hold; charges alone take theirs as they go, in the same order.
    v_touched := array(
      select a from unnest(p_accounts || p_operators || v_treasury) as a where a is not null
      union select x.account_id from settlement.hold x
             where x.hold_id = any (p_holds || p_request_holds));
    perform from settlement.balance x where x.account_id = any (v_touched)
      order by x.account_id for update;
    perform from settlement.hold x where x.hold_id = any (p_holds || p_request_holds)
      order by x.hold_id for update;
  end if;

  if v_charges > 0 then
    with
    span as materialized (
      select x.low, least(x.high, settlement.uuid_floor_v1(
               clock_timestamp() + interval '5 minutes')) as high
        from settlement.charge_window x
    ),
    asked as materialized (
      select o.id, o.hold, o.payer, o.operator, o.gross,
             o.gross / 10000 * o.bps + o.gross % 10000 * o.bps / 10000 as share
        from unnest(p_requests, p_request_holds, p_users, p_operators, p_gross, p_bps)
             as o (id, hold, payer, operator, gross, bps)
       cross join span k
       where o.id >= k.low and o.id < k.high and get_byte(uuid_send(o.id), 6) / 16 = 7
         and o.gross between 0 and c_large_amount
    ),
    -- A lease stays open and may be spent again; any other hold ends and gives back the rest. Only
    -- this writer spends its holds, so its head's lock is what keeps others away.
    taken as (
      update settlement.hold x
         set captured = x.captured + t.total,
             released = case x.purpose when 'lease' then 0 else x.amount - t.total end,
             state = case x.purpose when 'lease' then 'open' else 'captured' end
        from (select hold, payer, sum(gross)::bigint as total, count(*) as n from asked
               group by hold, payer order by hold) as t
       where x.hold_id = t.hold and x.account_id = t.payer and x.state = 'open'
         and x.purpose <> 'payout' and x.writer_id = p_writer and x.captured + t.total <= x.amount
         and (x.purpose = 'lease' or t.n = 1)
      returning x.account_id, t.n,
                case x.purpose when 'lease' then t.total else x.amount end as held
    ),
    moved as (
      update settlement.balance x
         set dr = x.dr + d.dr, cr = x.cr + d.cr, held = x.held - d.held, version = x.version + d.n
        from (select s.account_id, sum(s.dr)::bigint as dr, sum(s.cr)::bigint as cr,
                     sum(s.held)::bigint as held, sum(s.n)::bigint as n
                from (select payer as account_id, gross as dr, 0::bigint as cr, 0::bigint as held,
                             1 as n from asked
                      union all select account_id, 0, 0, held, 0 from taken
                      union all select operator, 0, gross - share, 0, 1 from asked
                      union all select v_treasury, 0, share, 0, 1 from asked) as s
               -- Nothing moves where a hold did not give what was asked of it. (Said here and not
               -- of x: what is said of x is asked again, without CTEs, after waiting for its row.)
               cross join (select sum(n) as n from taken) as t
               where t.n = v_charges
               group by s.account_id order by s.account_id) as d
       where x.account_id = d.account_id and greatest(x.dr, x.cr) <= c_large
         and (x.earns or d.cr = 0 or x.account_id = v_treasury)
      returning x.account_id, x.version - d.n as version, x.cr - x.dr + d.dr as balance
    )
    select array_agg(account_id), array_agg(version), array_agg(balance),
           coalesce((select sum(n) from taken), 0)
      into m_account, m_version, m_balance, v_n from moved;
    -- A request that was settled by a post of its name is not settled again. Looked for now that the
    -- balances are ours: such a post moves one of them.
    if v_n = v_charges and not exists (
        select from unnest(p_requests) as r (id) cross join lateral (
          select from settlement.txn y where y.txn_id = r.id limit 1) as t) then
      select c.written, c.leaves, c.balances into v_n, v_leaves, v_balances
        from settlement.write_charges_v2(w, p_requests, p_request_holds, p_users, p_operators,
          p_gross, p_bps, m_account, m_version, m_balance) as c;
    end if;
    if v_balances is null or v_n <> v_charges then
      raise exception 'not of the everyday kind' using errcode = 'PL011';
    end if;
  end if;

  v_now := clock_timestamp();
  if cardinality(p_verbs) > 0 then
    with
    asked as materialized (
      select o.verb, o.id, o.account, o.amount, o.purpose as wanted_purpose, o.expires_at as until,
             o.reason, o.ord, x.hold_id is not null as known, x.account_id as holder,
             x.amount as set_aside, x.amount - x.captured as rest, x.purpose, x.writer_id as owner,
             x.epoch, x.expires_at, x.state,
             case when o.verb = 1 then o.account else x.account_id end as payer
        from unnest(p_verbs, p_holds, p_accounts, p_amounts, p_purposes, p_expiries, p_reasons)
             with ordinality as o (verb, id, account, amount, purpose, expires_at, reason, ord)
        left join settlement.hold x on x.hold_id = o.id
    ),
    -- What can be said without asking who else wants the same money; null where that matters.
    judged as materialized (
      select k.*, b.cr - b.dr - b.held as free, b.floored,
             coalesce(greatest(b.dr, b.cr), 0) > c_large
               or coalesce(k.amount, 1) not between 1 and c_large_amount
               or (k.verb = 3 and k.purpose <> 'payout' and k.owner <> p_writer) as large,
             case k.verb when 1 then placed.available_after else voided.available_after end as told,
             case
               when k.verb = 1 and k.known then
                 case when (k.holder, k.set_aside, k.purpose, k.owner, k.expires_at)
                           is not distinct from
                           (k.account, k.amount, k.wanted_purpose, p_writer, k.until)
                      then 'replayed' else 'conflict' end
               when k.verb = 1 and p.kind is distinct from 'user' then 'account_unknown'
               when k.verb = 1 and p.closed_at is not null then 'account_closed'
               when k.verb = 1 then null
               when not k.known then 'hold_unknown'
               when k.state <> 'open' and voided.reason = k.reason then 'replayed'
               when k.state <> 'open' then 'hold_closed'
             end as code
        from asked k
        left join settlement.account p on p.account_id = k.payer
        left join settlement.balance b on b.account_id = k.payer
        -- The limits keep these a look by key each, however the tables are thought to be.
        left join lateral (select available_after from settlement.hold_event y
                            where k.verb = 1 and k.known and y.hold_id = k.id
                              and y.event = 'placed' limit 1) as placed on true
        left join lateral (select available_after, reason from settlement.hold_event y
                            where k.verb = 3 and k.state <> 'open' and y.hold_id = k.id
                              and y.event = 'voided' limit 1) as voided on true
    ),
    -- Holds meet what is free once everything asked before them was granted.
    decided as materialized (
      select j.*, coalesce(j.code,
               case when j.verb = 1 and j.floored and j.free + coalesce(j.before, 0) < j.amount
                    then 'insufficient' else 'applied' end) as verdict
        from (select x.*, sum(case when x.code is not null then 0
                                   when x.verb = 1 then -x.amount else x.rest end)
                            over (partition by x.payer order by x.ord
                                  rows between unbounded preceding and 1 preceding) as before
                from judged x) as j
    ),
    answered as materialized (
      select d.*, d.free + sum(case when d.verdict <> 'applied' then 0
                                    when d.verb = 1 then -d.amount else d.rest end)
                           over (partition by d.payer order by d.ord) as left_over
        from decided d
    ),
    unusual as materialized (
      select count(*) <> count(distinct d.id) or bool_or(d.large)
             or exists (select from decided x where x.verdict = 'insufficient'
                         group by x.payer having count(*) > 1) as so
        from decided d
    ),
    done as materialized (
      select f.*, v_n + row_number() over (order by f.ord) as place
        from answered f
       where f.verdict = 'applied' and not (select so from unusual)
    ),
    placed as (
      insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id, epoch,
        expires_at)
      select f.id, f.account, f.amount, f.wanted_purpose, p_writer, p_epoch, f.until
        from done f where f.verb = 1
      on conflict do nothing
      returning hold_id
    ),
    noted as (
      insert into settlement.hold_event (hold_id, event, reason, available_after, writer_id, epoch,
        batch_seq, ord, recorded_at)
      select f.id, case f.verb when 1 then 'placed' else 'voided' end,
             case f.verb when 3 then f.reason end, f.left_over, p_writer, p_epoch, v_seq, f.place,
             v_now
        from done f
      returning hold_id
    ),
    ended as (
      update settlement.hold x
         set state = case when x.captured = 0 then 'voided' else 'captured' end,
             released = x.amount - x.captured
        from done f where f.verb = 3 and x.hold_id = f.id
      returning x.hold_id
    ),
    moved as (
      update settlement.balance x set held = x.held + d.held
        from (select f.payer, sum(case f.verb when 1 then f.amount else -f.rest end)::bigint as held
                from done f group by f.payer) as d
       where x.account_id = d.payer
      returning x.account_id
    )
    select (select so from unusual),
           (select count(*) from done where verb = 1) - (select count(*) from placed),
           (select count(*) from done),
           (select string_agg(settlement.hold_leaf_v2(f.id,
              case f.verb when 1 then 'placed' else 'voided' end, f.payer,
              case f.verb when 1 then f.amount else f.set_aside end,
              case f.verb when 1 then f.wanted_purpose else f.purpose end,
              case f.verb when 1 then f.until else f.expires_at end,
              case f.verb when 3 then f.reason end, f.left_over::bigint, p_writer, p_epoch, v_seq,
              f.place::integer), ''::bytea order by f.place) from done f),
           array_agg(d.verdict order by d.ord),
           array_agg(case d.verdict when 'applied' then d.left_over when 'replayed' then d.told
                                    when 'insufficient' then d.free + coalesce(d.before, 0) end
                     order by d.ord)
      into v_unusual, v_wanted, v_written, v_more, v_codes, v_available
      from answered d;
    if v_unusual is distinct from false then
      raise exception 'not of the everyday kind' using errcode = 'PL011';
    elsif v_wanted <> 0 then
      raise exception 'another writer took the same name' using errcode = '40001';
    end if;
    v_n := v_n + v_written;
    v_leaves := v_leaves || coalesce(v_more, '');
  end if;

  if v_n = 0 then
    return query select v_balances, v_codes, v_available, w.head_seq, w.head_hash;
    return;
  end if;
  v_closed := settlement.close_batch_v2(w, v_n::integer, v_leaves, v_now);
  return query select v_balances, v_codes, v_available, v_closed.seq, v_closed.hash;
end
$$;
grant execute on function settlement.settle_v2(integer, integer, bigint, bytea, uuid[], uuid[],
  bigint[], bigint[], bigint[], integer[], integer[], uuid[], bigint[], bigint[], text[], timestamptz[],
  text[]) to pod_coordinator, pod_indexer, pod_settlement;

reset role;

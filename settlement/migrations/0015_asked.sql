-- What a list of operations asks for, as columns; and how the holds it names stand. Both are parts of
-- settlement.apply_v2, apart so that each can be read at once.
set local role pod_owner;

-- One element per operation; q_: one per transfer, those of operation i being q_first[i] to q_last[i].
-- `problem` is what is wrong with an operation whatever the books say. Amounts that no bigint holds
-- are cut off at the largest.
create function settlement.asked_v2(
  p_operations jsonb, out verbs text[], out ids uuid[], out holds uuid[], out accounts text[],
  out operators text[], out amounts bigint[], out bps integer[], out purposes text[],
  out expiries timestamptz[], out reasons text[], out refs text[], out reverse uuid[],
  out refunds uuid[],
  out hashes bytea[], out problems text[], out q_first integer[], out q_last integer[],
  out q_debit text[], out q_credit text[], out q_amount bigint[])
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  c_max constant numeric := 9223372036854775807;
  c_meta_bytes constant integer := 16384;
begin
  select array_agg(o.verb order by o.n), array_agg(o.id order by o.n),
         array_agg(case when o.verb in ('hold', 'void') then o.id else o.hold end order by o.n),
         array_agg(o.account order by o.n), array_agg(o.operator order by o.n),
         array_agg(least(o.amount, c_max)::bigint order by o.n), array_agg(o.split_bps order by o.n),
         array_agg(o.purpose order by o.n), array_agg(o.expires_at order by o.n),
         array_agg(o.reason order by o.n), array_agg(o.external_ref order by o.n),
         array_agg(o.reverses order by o.n), array_agg(o.refunds order by o.n),
         array_agg(case when o.moves then sha256(convert_to(
           jsonb_strip_nulls(o.op - 'id')::text, 'UTF8')) end order by o.n),
         array_agg(case
           when o.id is null then 'malformed'
           when o.amount > c_max or l.largest > c_max then 'overflow'
           when o.moves and (l.n = 0 or l.wrong) then 'malformed'
           when o.moves and octet_length(o.op ->> 'meta') > c_meta_bytes then 'meta_too_large'
           when o.moves then null
           when o.verb = 'hold' and (o.amount > 0 and o.purpose in ('request', 'lease', 'payout')
             and (o.purpose = 'lease') = (o.expires_at is not null)) is not true then 'malformed'
           when o.verb = 'charge' and (o.amount >= 0 and o.split_bps between 0 and 10000)
             is not true then 'malformed'
           when o.verb = 'void' and coalesce(o.reason, '') = '' then 'malformed'
           when o.verb not in ('hold', 'charge', 'void') then 'malformed' end order by o.n),
         array_agg(l.before + 1 order by o.n), array_agg(l.before + l.n order by o.n)
    into verbs, ids, holds, accounts, operators, amounts, bps, purposes, expiries, reasons, refs,
         reverse, refunds, hashes, problems, q_first, q_last
    from (select e.op, e.n, x.*, coalesce(x.verb, '') in ('post', 'capture') as moves
            from jsonb_array_elements(p_operations) with ordinality as e (op, n)
           cross join lateral jsonb_to_record(e.op) as x (verb text, id uuid, hold uuid,
             account text, operator text, amount numeric, split_bps integer, purpose text,
             expires_at timestamptz, reason text, external_ref text, reverses uuid, refunds uuid)) as o
    join (select e.n as at, count(t.amount)::integer as n, max(t.amount) as largest,
                 bool_or(t.is_there and (t.amount > 0 and t.debit <> t.credit) is not true) as wrong,
                 (sum(count(t.amount)) over (order by e.n) - count(t.amount))::integer as before
            from jsonb_array_elements(p_operations) with ordinality as e (op, n)
            left join lateral (select true as is_there, y.* from jsonb_to_recordset(
              e.op -> 'transfers') as y (debit text, credit text, amount numeric)) as t on true
           group by e.n) as l on l.at = o.n;
  select array_agg(t.debit order by e.n, t.leg), array_agg(t.credit order by e.n, t.leg),
         array_agg(least(t.amount, c_max)::bigint order by e.n, t.leg)
    into q_debit, q_credit, q_amount
    from jsonb_array_elements(p_operations) with ordinality as e (op, n)
   cross join lateral rows from (jsonb_to_recordset(e.op -> 'transfers')
         as (debit text, credit text, amount numeric)) with ordinality
         as t (debit, credit, amount, leg)
   where t.amount is not null;
end
$$;

-- How holds stand, in the order asked; `accounts` are places in p_accounts. `free_for_all` is a lease
-- whose writer is fenced and whose time is over, or what a writer of an era before set aside for
-- requests: anybody may give it back.
create function settlement.holds_v2(
  p_holds uuid[], p_accounts bigint[], out accounts integer[], out amounts bigint[],
  out captured bigint[], out purposes text[], out writers integer[], out expiries timestamptz[],
  out states text[], out placed bigint[], out reasons text[], out voided bigint[],
  out free_for_all boolean[])
language sql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
  select array_agg(p.n::integer order by d.n), array_agg(x.amount order by d.n),
         array_agg(x.captured order by d.n), array_agg(x.purpose order by d.n),
         array_agg(x.writer_id order by d.n), array_agg(x.expires_at order by d.n),
         array_agg(case when p.n is not null then x.state end order by d.n),
         array_agg(e.available_after order by d.n), array_agg(v.reason order by d.n),
         array_agg(v.available_after order by d.n),
         array_agg(x.purpose <> 'payout' and (w.era < (select max(era) from settlement.era)
                   or (x.purpose = 'lease' and x.epoch < w.epoch
                       and x.expires_at < clock_timestamp())) order by d.n)
    from unnest(p_holds) with ordinality as d (id, n)
    left join settlement.hold x on x.hold_id = d.id
    left join settlement.writer w on w.writer_id = x.writer_id
    left join unnest(p_accounts) with ordinality as p (id, n) on p.id = x.account_id
    -- One look by key for each, however the tables are thought to be (hence the limits).
    left join lateral (select available_after from settlement.hold_event y
                        where y.hold_id = d.id and y.event = 'placed' limit 1) as e on true
    left join lateral (select reason, available_after from settlement.hold_event y
                        where y.hold_id = d.id and y.event = 'voided' limit 1) as v on true
$$;

-- How requests that are to be refunded stand, in the order asked: who paid, how much, and what went
-- back already. Nothing for those nobody paid, or whose day is not kept at hand.
create function settlement.refunds_v2(
  p_requests uuid[], p_accounts bigint[], p_low uuid, p_high uuid, out users integer[],
  out gross bigint[], out refunded bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  perform from settlement.refund x where x.request_id = any (p_requests)
    order by x.request_id for update;
  select array_agg(p.n::integer order by d.n), array_agg(coalesce(f.gross, c.gross) order by d.n),
         array_agg(coalesce(f.refunded, 0) order by d.n)
    into users, gross, refunded
    from unnest(p_requests) with ordinality as d (id, n)
    left join settlement.refund f on f.request_id = d.id
    left join lateral (select y.user_account, y.gross from settlement.charge y
                        where y.request_id = d.id and y.request_id >= p_low
                          and y.request_id < p_high limit 1) as c on true
    left join unnest(p_accounts) with ordinality as p (id, n)
      on p.id = coalesce(f.user_account, c.user_account);
end
$$;

-- The charges that are there of these names, in the order asked; nothing for those outside the
-- window of ids that may be settled.
create function settlement.charges_v2(
  p_requests uuid[], p_low uuid, p_high uuid, out inside boolean[], out holds uuid[],
  out users bigint[], out operators bigint[], out gross bigint[], out bps integer[],
  out balances bigint[])
language sql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
  select array_agg(d.id >= p_low and d.id < p_high and get_byte(uuid_send(d.id), 6) / 16 = 7
                   order by d.n),
         array_agg(c.hold_id order by d.n), array_agg(c.user_account order by d.n),
         array_agg(c.operator_account order by d.n), array_agg(c.gross order by d.n),
         array_agg(c.split_bps order by d.n), array_agg(c.user_balance_after order by d.n)
    from unnest(p_requests) with ordinality as d (id, n)
    left join lateral (select * from settlement.charge y where y.request_id = d.id
                          and y.request_id >= p_low and y.request_id < p_high limit 1) as c on true
$$;

reset role;

-- Deposits seen on chain, many at a time, written by sets.
set local role pod_owner;

-- Books posts of one transfer each that say `verb`, `kind`, `event_at` (whole seconds),
-- `effective_on` (its day in UTC), `actor` chain, `slot`, `external_ref` and, where there are any,
-- `source` and `code` as `meta`: what settlement.apply_v2 would write for them, with the same hashes,
-- when it would apply every one. Otherwise raises PL011, or 23505 for a name or reference that is
-- there: the caller then asks apply_v2. So it is for any other kind, amounts that are large or none,
-- accounts that are unknown, closed, of another asset, that pay and have a floor, or both pay and
-- are paid. Raises what settlement.claim_head_v2 raises.
--
-- Accounts are named once each; p_debits and p_credits are places in p_names. Locks: writer head,
-- balances by id.
create function settlement.book_deposits_v1(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea, p_names text[],
  p_ids uuid[], p_kinds text[], p_debits integer[], p_credits integer[], p_amounts bigint[],
  p_slots bigint[], p_event_at timestamptz[], p_refs text[], p_sources text[], p_codes text[])
returns table (head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made when the tables are still empty and kept: see settlement.apply_v2. What is asked
-- meets what is known of the accounts by their places, so that no sets are joined in memory.
set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
  -- Far from 2^63 - 1, whatever a run adds to it.
  c_large constant bigint := 8000000000000000000;
  c_large_amount constant bigint := 1000000000000000;
  w constant settlement.writer :=
    settlement.claim_head_v2(p_writer, p_epoch, p_seen_seq, p_seen_hash);
  v_seq constant bigint := w.head_seq + 1;
  v_n constant integer := cardinality(p_ids);
  -- By place in p_names.
  v_names text[];
  v_ids bigint[];
  v_versions bigint[];
  v_usual boolean;
  v_now timestamptz;
  v_leaves bytea;
  v_closed record;
begin
  select bool_and(o.kind in ('deposit_credited', 'deposit_suspended', 'bond_received')
                  and o.amount between 1 and c_large_amount and o.slot >= 0 and o.ref is not null
                  and get_byte(uuid_send(o.id), 6) / 16 <> 7  -- a name that no charge can have
                  and o.at between '2020-01-01Z' and '2100-01-01Z'
                  and extract(microseconds from o.at) % 1000000 = 0
                  and length(coalesce(o.source, '')) <= 100 and length(coalesce(o.code, '')) <= 100
                  and o.debit between 1 and cardinality(p_names)
                  and o.credit between 1 and cardinality(p_names)
                  and o.debit is not null and o.credit is not null and o.kind is not null
                  and o.amount is not null and o.slot is not null and o.id is not null
                  and o.at is not null)
         and not p_debits && p_credits
    into v_usual
    from unnest(p_ids, p_kinds, p_debits, p_credits, p_amounts, p_slots, p_event_at, p_refs,
                p_sources, p_codes)
         as o (id, kind, debit, credit, amount, slot, at, ref, source, code);
  select array_agg(x.account_id order by d.n), array_agg(to_json(d.name)::text order by d.n)
    into v_ids, v_names
    from unnest(p_names) with ordinality as d (name, n)
    left join settlement.account x on x.name = d.name;
  if v_usual is not true then
    raise exception 'not of the everyday kind' using errcode = 'PL011';
  end if;

  with moved as (
    update settlement.balance x
       set dr = x.dr + d.dr, cr = x.cr + d.cr, version = x.version + d.n
      from (select s.place, v_ids[s.place] as account_id, sum(s.dr)::bigint as dr,
                   sum(s.cr)::bigint as cr, count(*) as n
              from (select o.debit as place, o.amount as dr, 0::bigint as cr
                      from unnest(p_debits, p_amounts) as o (debit, amount)
                    union all
                    select o.credit, 0::bigint, o.amount
                      from unnest(p_credits, p_amounts) as o (credit, amount)) as s
             group by s.place order by 2) as d
     where x.account_id = d.account_id and greatest(x.dr, x.cr) <= c_large
       and (d.dr = 0 or not x.floored)
    returning d.place, x.version - d.n as version
  )
  select array_agg(m.version order by m.place) into v_versions from moved m;
  -- Whether an account is open is asked now that its balance is ours.
  if coalesce(cardinality(v_versions), 0) <> cardinality(p_names)
     or exists (select from unnest(v_ids) as d (id)
                  join settlement.account x on x.account_id = d.id
                 where x.closed_at is not null or x.asset <> 'USDC') then
    raise exception 'not of the everyday kind' using errcode = 'PL011';
  end if;

  v_now := clock_timestamp();
  with
  asked as materialized (
    select o.*, v_ids[o.debit] as debit_id, v_ids[o.credit] as credit_id,
           v_versions[o.debit] + row_number() over (partition by o.debit order by o.ord)
             as debit_entry,
           v_versions[o.credit] + row_number() over (partition by o.credit order by o.ord)
             as credit_entry,
           to_char(o.at at time zone 'utc', 'YYYY-MM-DD') as day,
           to_json(o.ref)::text as told_ref,
           '{' || concat_ws(', ', '"code": ' || to_json(o.code)::text,
                                  '"source": ' || to_json(o.source)::text) || '}' as meta
      from unnest(p_ids, p_kinds, p_debits, p_credits, p_amounts, p_slots, p_event_at, p_refs,
                  p_sources, p_codes) with ordinality
           as o (id, kind, debit, credit, amount, slot, at, ref, source, code, ord)
  ),
  -- The content as jsonb writes it: the shortest keys first, those as long in their order.
  hashed as materialized (
    select a.*, sha256(convert_to(
             '{"kind": "' || a.kind || case a.meta when '{}' then '"' else '", "meta": ' || a.meta end
             || ', "slot": ' || a.slot
             || ', "verb": "post", "actor": "chain", "event_at": "'
             || to_char(a.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00'
             || '", "transfers": [{"debit": ' || v_names[a.debit] || ', "amount": ' || a.amount
             || ', "credit": ' || v_names[a.credit] || '}], "effective_on": "' || a.day
             || '", "external_ref": ' || a.told_ref || '}', 'UTF8')) as content
      from asked a
  ),
  posted as (
    insert into settlement.txn (txn_id, kind, slot, event_at, recorded_at, effective_on,
      external_ref, actor, meta, content_sha256, writer_id, epoch, batch_seq, ord)
    select h.id, h.kind, h.slot, h.at, v_now, h.day::date, h.ref, 'chain', h.meta::jsonb, h.content,
           p_writer, p_epoch, v_seq, h.ord
      from hashed h order by h.ord
  ),
  moved as (
    insert into settlement.transfer (txn_id, leg, debit, credit, amount, debit_entry, credit_entry)
    select h.id, 1, h.debit_id, h.credit_id, h.amount, h.debit_entry, h.credit_entry
      from hashed h order by h.ord
  )
  select string_agg(settlement.leaf_v1(
           '["txn/1", "' || h.id || '", "' || h.kind || '", ' || h.slot || ', '
           || extract(epoch from h.at) || ', ' || extract(epoch from v_now) || ', "' || h.day
           || '", ' || h.told_ref || ', null, null, null, null, null, "chain", null, ' || h.meta
           || ', "' || encode(h.content, 'hex') || '", ' || p_writer || ', ' || p_epoch || ', '
           || v_seq || ', ' || h.ord || ', [[' || h.debit_id || ', ' || h.credit_id || ', '
           || h.amount || ', ' || h.debit_entry || ', ' || h.credit_entry || ']]]'),
         ''::bytea order by h.ord)
    into v_leaves from hashed h;
  v_closed := settlement.close_batch_v2(w, v_n, v_leaves, v_now);
  return query select v_closed.seq, v_closed.hash;
end
$$;
grant execute on function settlement.book_deposits_v1(integer, integer, bigint, bytea, text[],
  uuid[], text[], integer[], integer[], bigint[], bigint[], timestamptz[], text[], text[], text[])
  to pod_indexer;

reset role;

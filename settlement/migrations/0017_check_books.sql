-- The check of the books as a whole, for holds that are spent in parts and chains in their new form.
set local role pod_owner;

-- One row for each rule of the books that is broken; none when they are right.
create function settlement.check_books_v1() returns table (rule text, detail text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select 'zero sum', format('%s: debits %s, credits %s', a.asset, sum(b.dr), sum(b.cr))
    from settlement.balance b join settlement.account a using (account_id)
   group by a.asset having sum(b.dr) <> sum(b.cr)
  union all
  select 'floor', format('%s has %s - %s - %s held', a.name, b.cr, b.dr, b.held)
    from settlement.balance b join settlement.account a using (account_id)
   where a.floored and b.cr::numeric - b.dr - b.held < 0
  union all
  select 'floor flag', a.name
    from settlement.account a join settlement.account_kind k using (kind)
    left join settlement.balance b using (account_id)
   where (a.floored, b.floored, a.asset, b.earns)
         is distinct from (k.floored, k.floored, k.asset, a.kind = 'host')
  union all
  select 'held is open holds', format('%s: held %s, open %s', a.name, b.held, coalesce(h.open, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(amount - captured) as open from settlement.hold
                where state = 'open' group by account_id) as h using (account_id)
   where b.held <> coalesce(h.open, 0)
  union all
  select 'balance is its entries', format('%s: %s/%s/%s, entries say %s/%s/%s', a.name, b.dr, b.cr,
         b.version, coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(dr) as dr, sum(cr) as cr, count(*) as n
                 from settlement.entry group by account_id) as e using (account_id)
   where (b.dr, b.cr, b.version) <> (coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
  union all
  select 'entries are numbered', format('account %s: %s entries from %s to %s', account_id,
         count(*), min(entry), max(entry))
    from settlement.entry group by account_id
  having min(entry) <> 1 or max(entry) <> count(*) or count(distinct entry) <> count(*)
  union all
  select 'balance after', format('charge %s of account %s', c.request_id, c.user_account)
    from (select account_id, entry, sum(cr - dr) over (partition by account_id order by entry)
                 as after from settlement.entry) as e
    join settlement.charge c on c.user_account = e.account_id and c.user_entry = e.entry
   where c.user_balance_after <> e.after
  union all
  select 'hold is its events', format('hold %s is %s', h.hold_id, h.state)
    from settlement.hold h
    left join (select hold_id, count(*) as n, sum(spent) as captured
                 from (select hold_id, gross as spent from settlement.charge
                       union all select hold_id, hold_captured from settlement.txn) as s
                group by hold_id) as c on c.hold_id = h.hold_id
    left join settlement.hold_event p on p.hold_id = h.hold_id and p.event = 'placed'
    left join settlement.hold_event v on v.hold_id = h.hold_id and v.event = 'voided'
   where p.hold_id is null or h.captured <> coalesce(c.captured, 0)
      or (h.purpose <> 'lease' and coalesce(c.n, 0) + num_nonnulls(v.hold_id) > 1)
      or h.state <> case when v.hold_id is null and (h.purpose = 'lease' or c.n is null) then 'open'
                         when c.n is null or h.captured = 0 and v.hold_id is not null then 'voided'
                         else 'captured' end
  union all
  select 'batch hash', format('writer %s, batch %s', b.writer_id, b.seq)
    from settlement.batch b
   cross join lateral (select count(*) as n, max(x.ord) as last,
                              settlement.batch_root_v2(string_agg(x.leaf, ''::bytea order by x.ord))
                              as root
                         from settlement.batch_leaves_v2(b.writer_id, b.seq) as x) as r
   where r.n <> b.n or r.last <> b.n or r.root is distinct from b.root
      or b.hash <> settlement.batch_hash_v2(b.writer_id, b.epoch, b.seq, b.n, b.rows_before,
                                            b.created_at, b.prev_hash, b.root)
  union all
  select 'chain', format('writer %s, batch %s', w.writer_id, b.seq)
    from settlement.writer w
    join (select writer_id, seq, prev_hash, lag(seq, 1, 0::bigint) over o as before, rows_before,
                 lag(hash) over o as hash_before,
                 lag(rows_before + n, 1, 0::bigint) over o as rows_expected from settlement.batch
          window o as (partition by writer_id order by seq)) as b using (writer_id)
   where b.seq <> b.before + 1 or b.rows_before <> b.rows_expected
      or b.prev_hash <> coalesce(b.hash_before, settlement.first_link_v2(w.name, w.era))
  union all
  select 'head', format('writer %s is at %s', w.name, w.head_seq)
    from settlement.writer w
    left join lateral (select seq, hash, rows_before + n as rows from settlement.batch
                        where writer_id = w.writer_id order by seq desc limit 1) as b on true
   where (w.head_seq, w.head_hash, w.head_rows) is distinct from
         (coalesce(b.seq, 0), coalesce(b.hash, settlement.first_link_v2(w.name, w.era)),
          coalesce(b.rows, 0))
  union all
  select 'row without batch', format('writer %s, batch %s, %s', r.writer_id, r.batch_seq, r.ord)
    from (select writer_id, batch_seq, null::integer as epoch, null::timestamptz as at, ord
            from settlement.charge
          union all select writer_id, batch_seq, epoch, recorded_at, ord from settlement.txn
          union all select writer_id, batch_seq, epoch, recorded_at, ord
            from settlement.hold_event) as r
    left join settlement.batch b on b.writer_id = r.writer_id and b.seq = r.batch_seq
   where b.seq is null or b.epoch <> r.epoch or b.created_at <> r.at
$$;
grant execute on function settlement.check_books_v1()
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

reset role;

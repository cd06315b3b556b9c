-- What was archived counts in the books: in what is read as entries, and in the check of the whole.
set local role pod_owner;

-- Every movement, one row per account it touched, numbered per account; of an archived day one row
-- for each writer and account, in place of as many `entries`, the last of which gives the number.
create or replace view settlement.entry as
  select t.debit as account_id, t.debit_entry as entry, t.amount as dr, 0::bigint as cr,
         x.kind, x.txn_id as cause_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on, 1::bigint as entries
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select t.credit, t.credit_entry, 0::bigint, t.amount,
         x.kind, x.txn_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on, 1::bigint
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select c.user_account, c.user_entry, c.gross, 0::bigint, 'charge', c.request_id, null,
         null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select c.operator_account, c.operator_entry, 0::bigint, c.operator_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select w.treasury_account, c.treasury_entry, 0::bigint, c.treasury_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c join settlement.writer w using (writer_id)
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select s.account_id, s.last_entry, s.dr, s.cr, 'charges_archived',
         md5(format('charges_archived|%s|%s', s.day, s.writer_id))::uuid, null, null::bigint,
         p.last_at, p.last_at, s.writer_id, p.last_seq, p.last_ord,
         (p.last_at at time zone 'utc')::date, s.n
    from settlement.archived_span p
    join settlement.charge_day d on d.day = p.day and d.state = 'archived'
    join settlement.archived_entry_sum s on s.day = p.day and s.writer_id = p.writer_id;

-- One row for each rule of the books that is broken; none when they are right.
create or replace function settlement.check_books_v1() returns table (rule text, detail text)
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
    left join (select account_id, sum(dr) as dr, sum(cr) as cr, sum(entries) as n
                 from settlement.entry group by account_id) as e using (account_id)
   where (b.dr, b.cr, b.version) <> (coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
  union all
  select 'entries are numbered', format('account %s: %s entries from %s to %s', account_id,
         sum(n), min(first), max(last))
    from (select account_id, count(*) as n, min(entry) as first, max(entry) as last,
                 sum(entry) as numbers, count(distinct entry) as kinds
            from settlement.entry where kind <> 'charges_archived' group by account_id
          union all
          select s.account_id, s.n, s.first_entry, s.last_entry, s.numbers, s.n
            from settlement.archived_entry_sum s
            join settlement.charge_day d on d.day = s.day and d.state = 'archived') as e
   group by account_id
  having min(first) <> 1 or max(last) <> sum(n) or sum(kinds) <> sum(n)
      or sum(numbers) <> sum(n) * (sum(n) + 1) / 2
  union all
  select 'balance after', format('charge %s of account %s', c.request_id, c.user_account)
    from (select account_id, entry, kind, sum(cr - dr) over o as after,
                 -- Between archived entries nothing can be said of where the account stood.
                 count(*) filter (where kind = 'charges_archived') over o
                   < count(*) filter (where kind = 'charges_archived') over (
                       partition by account_id) as before_archived
            from settlement.entry
          window o as (partition by account_id order by entry)) as e
    join settlement.charge c on c.user_account = e.account_id and c.user_entry = e.entry
   where c.user_balance_after <> e.after and e.kind = 'charge' and not e.before_archived
  union all
  select 'hold is its events', format('hold %s is %s', h.hold_id, h.state)
    from settlement.hold h
    left join (select hold_id, sum(times) as n, sum(spent) as captured
                 from (select hold_id, gross as spent, 1 as times from settlement.charge
                       union all select hold_id, hold_captured, 1 from settlement.txn
                       union all select a.hold_id, a.captured, a.n from settlement.archived_hold a
                                   join settlement.charge_day d
                                     on d.day = a.day and d.state = 'archived') as s
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
   where b.hash <> settlement.batch_hash_v2(b.writer_id, b.epoch, b.seq, b.n, b.rows_before,
                                            b.created_at, b.prev_hash, b.root)
      -- Of a batch with archived rows the seals' tree knows the leaves; here they are counted.
      or case when r.n = b.n then r.last <> b.n or r.root is distinct from b.root
              else r.n > b.n or r.last > b.n or not exists (
                select from settlement.archived_span s
                  join settlement.charge_day d on d.day = s.day and d.state = 'archived'
                 where s.writer_id = b.writer_id and b.seq between s.first_seq and s.last_seq) end
  union all
  select 'archived rows', format('writer %s: %s of its batches'' rows are there, %s are archived',
         w.writer_id, r.there, a.n)
    from settlement.writer w
   cross join lateral (
     select (select count(*) from settlement.charge c where c.writer_id = w.writer_id)
            + (select count(*) from settlement.hold_event e where e.writer_id = w.writer_id)
            + (select count(*) from settlement.txn x where x.writer_id = w.writer_id) as there) as r
   cross join lateral (
     select coalesce(sum(s.n), 0) as n from settlement.archived_span s
       join settlement.charge_day d on d.day = s.day and d.state = 'archived'
      where s.writer_id = w.writer_id) as a
   where a.n > 0 and r.there + a.n <> w.head_rows
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
  union all
  select 'refund is its posts', format('request %s: %s refunded, posts say %s', r.request_id,
         r.refunded, coalesce(p.amount, 0))
    from settlement.refund r
    left join (select x.refunds, f.user_account, sum(t.amount) as amount
                 from settlement.txn x
                 join settlement.refund f on f.request_id = x.refunds
                 join settlement.transfer t on t.txn_id = x.txn_id and t.credit = f.user_account
                group by x.refunds, f.user_account) as p on p.refunds = r.request_id
   where r.refunded <> coalesce(p.amount, 0)
  union all
  select 'refund is its posts', format('nothing is remembered of what %s refunds', x.txn_id)
    from settlement.txn x
   where x.refunds is not null
     and not exists (select from settlement.refund r where r.request_id = x.refunds)
  union all
  select 'what is named is there', format('%s %s', r.kind, r.name)
    from (select 'balance of account' as kind, b.account_id::text as name from settlement.balance b
           where not exists (select from settlement.account a where a.account_id = b.account_id)
          union all select 'hold', h.hold_id::text from settlement.hold h
           where not exists (select from settlement.account a where a.account_id = h.account_id)
              or not exists (select from settlement.writer w where w.writer_id = h.writer_id)
          union all select 'event of hold', e.hold_id::text from settlement.hold_event e
           where not exists (select from settlement.hold h where h.hold_id = e.hold_id)
          union all select 'capture of hold', x.hold_id::text from settlement.txn x
           where x.hold_id is not null
             and not exists (select from settlement.hold h where h.hold_id = x.hold_id)
          union all select 'batch', format('%s of writer %s', b.seq, b.writer_id)
            from settlement.batch b
           where not exists (select from settlement.writer w where w.writer_id = b.writer_id)) as r
$$;

reset role;

-- name: books
-- Which books these are: a state of the check is good for no others.
select format('%s/%s', (select system_identifier from pg_control_system()),
              (select oid from pg_database where datname = current_database())) as books

-- name: heads
-- How far each writer is; read together with a page, the cut that the page belongs to.
select writer_id, name, epoch, head_seq, head_hash, treasury_account from settlement.writer
 order by writer_id

-- name: batches
-- One page of a writer's batches, after a number and up to the cut.
select writer_id, seq, epoch, n, root, prev_hash, hash, created_at from settlement.batch
 where writer_id = $1::integer and seq > $2::bigint and seq <= $3::bigint
 order by seq limit $4::integer

-- name: charges
-- The charges of a range of a writer's batches.
select c.request_id as row_id, c.writer_id, c.epoch, c.batch_seq, c.ord, c.recorded_at,
       h.account_id as hold_account, h.amount as hold_amount, c.user_account, c.operator_account,
       c.treasury_account, c.gross, c.operator_share, c.treasury_share, c.split_bps, c.user_entry,
       c.operator_entry, c.treasury_entry, c.user_balance_after, c.user_available_after
  from settlement.charge c
  -- The limits, here and below, keep each look one by key, however large the tables are thought.
  left join lateral (select account_id, amount from settlement.hold y
                      where y.hold_id = c.request_id limit 1) as h on true
 where c.writer_id = $1::integer and c.batch_seq between $2::bigint and $3::bigint

-- name: hold_events
-- The holds placed and given back in a range of a writer's batches.
select e.hold_id as row_id, e.writer_id, e.epoch, e.batch_seq, e.ord, e.recorded_at,
       h.account_id as hold_account, h.amount as hold_amount, e.event, e.reason, h.purpose,
       e.available_after as left_over
  from settlement.hold_event e
  left join lateral (select account_id, amount, purpose from settlement.hold y
                      where y.hold_id = e.hold_id limit 1) as h on true
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint

-- name: txns
-- All other events of a range of a writer's batches.
select x.txn_id as row_id, x.writer_id, x.epoch, x.batch_seq, x.ord, x.recorded_at,
       h.account_id as hold_account, h.amount as hold_amount, x.kind, x.slot, x.event_at,
       x.effective_on, x.external_ref, x.reverses, x.hold_id, x.hold_captured,
       x.available_after as left_over, x.actor, x.reason, x.meta, x.content_sha256
  from settlement.txn x
  left join lateral (select account_id, amount from settlement.hold y
                      where y.hold_id = x.hold_id limit 1) as h on true
 where x.writer_id = $1::integer and x.batch_seq between $2::bigint and $3::bigint

-- name: transfers
-- The transfers of those events, in their order.
select t.txn_id, t.debit, t.credit, t.amount, t.debit_entry, t.credit_entry
  from settlement.transfer t where t.txn_id = any ($1::uuid[])
 order by t.txn_id, t.leg

-- name: hold_page
-- One page of holds, each with what its events say it is.
select h.hold_id, h.state, h.captured, h.released,
       case when p.hold_id is null or num_nonnulls(c.request_id, x.txn_id, v.hold_id) > 1
              then 'nothing that its events allow'
            when (h.writer_id, h.epoch) <> (p.writer_id, p.epoch) then 'of another writer'
            when v.hold_id is not null then 'voided'
            when num_nonnulls(c.request_id, x.txn_id) = 1 then 'captured'
            else 'open' end as told,
       coalesce(c.gross, x.hold_captured, 0) as told_captured,
       case when num_nonnulls(c.request_id, x.txn_id, v.hold_id) = 0 then 0
            else h.amount - coalesce(c.gross, x.hold_captured, 0) end as told_released
  from settlement.hold h
  left join lateral (select y.hold_id, y.writer_id, y.epoch from settlement.hold_event y
                      where y.hold_id = h.hold_id and y.event = 'placed' limit 1) as p on true
  left join lateral (select y.hold_id from settlement.hold_event y
                      where y.hold_id = h.hold_id and y.event = 'voided' limit 1) as v on true
  left join lateral (select y.request_id, y.gross from settlement.charge y
                      where y.request_id = h.hold_id limit 1) as c on true
  left join lateral (select y.txn_id, y.hold_captured from settlement.txn y
                      where y.hold_id = h.hold_id limit 1) as x on true
 where $1::uuid is null or h.hold_id > $1::uuid
 order by h.hold_id limit $2::integer

-- name: account_page
-- One page of accounts with what the books say they have.
select a.account_id, a.name, a.asset, b.dr, b.cr, b.held, b.version, k.floored,
       (a.floored, b.floored, a.asset) is not distinct from (k.floored, k.floored, k.asset)
         as as_charted
  from settlement.account a
  left join settlement.balance b using (account_id)
  left join settlement.account_kind k using (kind)
 where a.account_id > $1::bigint
 order by a.account_id limit $2::integer

-- name: accounts_of
-- The same for accounts that history names and the pages did not have.
select a.account_id, a.name, a.asset, b.dr, b.cr, b.held, b.version, k.floored,
       (a.floored, b.floored, a.asset) is not distinct from (k.floored, k.floored, k.asset)
         as as_charted
  from settlement.account a
  left join settlement.balance b using (account_id)
  left join settlement.account_kind k using (kind)
 where a.account_id = any ($1::bigint[])

-- name: stray_row
-- A row that belongs to no batch: of a writer there is not, or beyond its last batch.
with gap as (
  select coalesce(lag(w.writer_id) over (order by w.writer_id), -2147483648) as above,
         w.writer_id as below from settlement.writer w
  union all
  select coalesce(max(w.writer_id), -2147483648), 2147483647 from settlement.writer w
),
area as (
  select w.writer_id as above, w.writer_id as below, w.head_seq + 1 as first,
         9223372036854775807 as last from settlement.writer w
  union all
  select w.writer_id, w.writer_id, -9223372036854775808, 0 from settlement.writer w
  union all
  select above + 1, below - 1, -9223372036854775808, 9223372036854775807 from gap
   where below > above + 1
)
select s.* from area a
 cross join lateral (
   (select c.writer_id, c.batch_seq, c.ord, c.request_id as row_id from settlement.charge c
     where c.writer_id between a.above and a.below
       and c.batch_seq between a.first and a.last order by c.writer_id, c.batch_seq, c.ord limit 1)
   union all
   (select e.writer_id, e.batch_seq, e.ord, e.hold_id from settlement.hold_event e
     where e.writer_id between a.above and a.below
       and e.batch_seq between a.first and a.last order by e.writer_id, e.batch_seq, e.ord limit 1)
   union all
   (select x.writer_id, x.batch_seq, x.ord, x.txn_id from settlement.txn x
     where x.writer_id between a.above and a.below
       and x.batch_seq between a.first and a.last order by x.writer_id, x.batch_seq, x.ord limit 1)
   union all
   (select b.writer_id, b.seq, null, null from settlement.batch b
     where b.writer_id between a.above and a.below
       and b.seq between a.first and a.last order by b.writer_id, b.seq limit 1)
 ) as s
 order by s.writer_id, s.batch_seq, s.ord
 limit 1

-- name: books
-- Which books these are: a state of the check is good for no others.
select format('%s/%s', (select system_identifier from pg_control_system()),
              (select oid from pg_database where datname = current_database())) as books

-- name: heads
-- How far each writer is; read together with a page, the cut that the page belongs to.
select writer_id, name, era, treasury_account, head_seq, head_hash, head_rows
  from settlement.writer order by writer_id

-- name: batches
-- One page of a writer's batches, after a number and up to the cut.
select writer_id, seq, epoch, n, rows_before, root, prev_hash, hash, created_at
  from settlement.batch
 where writer_id = $1::integer and seq > $2::bigint and seq <= $3::bigint
 order by seq limit $4::integer

-- name: charges
-- The charges of a range of a writer's batches: one look into an index of each partition.
select request_id, writer_id, batch_seq, ord, hold_id, user_account, operator_account, gross,
       operator_share, treasury_share, split_bps, user_entry, operator_entry, treasury_entry,
       user_balance_after
  from settlement.charge
 where writer_id = $1::integer and batch_seq between $2::bigint and $3::bigint

-- name: hold_events
-- The holds placed and given back in a range of a writer's batches, and how each stands now.
select e.hold_id, e.writer_id, e.batch_seq, e.ord, e.epoch, e.recorded_at, e.event, e.reason,
       e.available_after, h.account_id, h.amount, h.purpose, h.expires_at, h.writer_id, h.epoch,
       h.state, h.captured, h.released
  from settlement.hold_event e
  -- The limits, here and below, keep each look one by key, however large the tables are thought.
  left join lateral (select * from settlement.hold y
                      where y.hold_id = e.hold_id limit 1) as h on true
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint

-- name: txns
-- All other events of a range of a writer's batches.
select x.txn_id, x.writer_id, x.batch_seq, x.ord, x.epoch, x.recorded_at, x.kind, x.slot,
       x.event_at, x.effective_on, x.external_ref, x.reverses, x.refunds, x.hold_id, x.hold_captured,
       x.available_after, x.actor, x.reason, x.meta, x.content_sha256, h.account_id, h.amount,
       h.writer_id
  from settlement.txn x
  left join lateral (select account_id, amount, writer_id from settlement.hold y
                      where y.hold_id = x.hold_id limit 1) as h on true
 where x.writer_id = $1::integer and x.batch_seq between $2::bigint and $3::bigint

-- name: transfers
-- The transfers of those events, in their order.
select t.txn_id, t.debit, t.credit, t.amount, t.debit_entry, t.credit_entry
  from settlement.transfer t where t.txn_id = any ($1::uuid[])
 order by t.txn_id, t.leg

-- name: hold_page
-- One page of holds: how many they are, the last, and the first that nobody placed.
with page as (
  select h.hold_id from settlement.hold h where $1::uuid is null or h.hold_id > $1::uuid
   order by h.hold_id limit $2::integer
)
select count(*) as n, max(p.hold_id::text)::uuid as last,
       min(p.hold_id::text) filter (where e.hold_id is null) as unplaced
  from page p
  left join lateral (select y.hold_id from settlement.hold_event y
                      where y.hold_id = p.hold_id and y.event = 'placed' limit 1) as e on true

-- name: holds
-- How these holds stand.
select hold_id, state, captured, released from settlement.hold where hold_id = any ($1::uuid[])

-- name: holds_before
-- Of these holds, those that were placed; and by which batch.
select h.hold_id, h.account_id as account, h.amount, h.purpose, e.writer_id as writer, e.batch_seq
  from settlement.hold h
 cross join lateral (select y.writer_id, y.batch_seq from settlement.hold_event y
                      where y.hold_id = h.hold_id and y.event = 'placed' limit 1) as e
 where h.hold_id = any ($1::uuid[])

-- name: held_now
-- What all open holds set aside, by account.
select account_id, sum(amount - captured)::bigint as held from settlement.hold
 where state = 'open' group by account_id

-- name: archived_up_to
-- The first seal that has every row of the days that are archived; 0 when none is.
select coalesce(max(c.seal_no), 0)
  from settlement.archived_span s
  join settlement.charge_day d on d.day = s.day and d.state = 'archived'
 cross join lateral (select y.seal_no from settlement.seal_cut y
                      where y.writer_id = s.writer_id and y.to_seq >= s.last_seq
                      order by y.to_seq limit 1) as c

-- name: account_page
-- One page of accounts with what the books say they have.
select a.account_id, a.name, a.asset, b.dr, b.cr, b.held, b.version, k.floored,
       (a.floored, b.floored, a.asset, b.earns) is not distinct from
         (k.floored, k.floored, k.asset, a.kind = 'host') as as_charted
  from settlement.account a
  left join settlement.balance b using (account_id)
  left join settlement.account_kind k using (kind)
 where a.account_id > $1::bigint
 order by a.account_id limit $2::integer

-- name: accounts_of
-- The same for accounts that history names and the pages did not have.
select a.account_id, a.name, a.asset, b.dr, b.cr, b.held, b.version, k.floored,
       (a.floored, b.floored, a.asset, b.earns) is not distinct from
         (k.floored, k.floored, k.asset, a.kind = 'host') as as_charted
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

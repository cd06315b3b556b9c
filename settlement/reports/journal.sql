-- name: cut
-- How far each writer has written, at one moment: what lies at or below it never changes.
select writer_id, name, head_seq as seq from settlement.writer
 where head_seq > 0 order by writer_id

-- name: batch_sizes
-- One page of a writer's batches and how many rows each has, after a number and up to the cut.
select seq, n from settlement.batch
 where writer_id = $1::integer and seq > $2::bigint and seq <= $3::bigint
 order by seq limit $4::integer

-- name: legs
-- The movements of a range of a writer's batches, each cause's together, debits first.
select e.batch_seq, e.ord, e.account_id, e.entry, e.dr, e.cr, e.kind, e.cause_id, e.external_ref,
       e.slot, e.event_at, e.recorded_at, e.effective_on
  from settlement.entry e
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint
 order by e.batch_seq, e.ord, e.cr > 0, e.account_id, e.entry

-- name: touched
-- By account, of such a range: first day up to a last one, what it moved before another, its numbers.
select e.account_id, sum(e.entries)::bigint as entries, max(e.entry) as newest,
       min(e.effective_on) filter (where $5::date is null or e.effective_on <= $5::date)
         as first_day,
       coalesce(sum(e.dr) filter (where e.effective_on < $4::date), 0)::bigint as dr_before,
       coalesce(sum(e.cr) filter (where e.effective_on < $4::date), 0)::bigint as cr_before
  from settlement.entry e
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint
 group by e.account_id

-- name: accounts
-- What these accounts are called and where reports put them.
select a.account_id, a.name, k.side, k.asset, k.gl_code
  from settlement.account a join settlement.account_kind k using (kind)
 where a.account_id = any ($1::bigint[])

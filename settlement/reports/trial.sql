-- name: turnovers
-- By account, of a range of a writer's batches: what was recorded at or before a moment.
select e.account_id, sum(e.entries)::bigint as entries, max(e.entry) as newest,
       coalesce(sum(e.dr) filter (where e.recorded_at <= $4::timestamptz), 0)::bigint as dr,
       coalesce(sum(e.cr) filter (where e.recorded_at <= $4::timestamptz), 0)::bigint as cr,
       bool_or(e.recorded_at <= $4::timestamptz) as moved
  from settlement.entry e
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint
 group by e.account_id

-- name: archived_around
-- Whether some archived entries were recorded before a moment, and some of the same day after it.
select exists (
  select from settlement.archived_span p
    join settlement.charge_day d on d.day = p.day and d.state = 'archived'
   where p.first_at <= $1::timestamptz and p.last_at > $1::timestamptz)

-- name: standings
-- Every account that ever moved and where it stands, all at one moment.
select a.account_id, a.name, k.side, k.asset, k.gl_code, b.dr, b.cr
  from settlement.balance b
  join settlement.account a using (account_id)
  join settlement.account_kind k using (kind)
 where b.version > 0

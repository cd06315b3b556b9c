-- name: turnovers
-- By account, of a range of a writer's batches: what was recorded at or before a moment.
select e.account_id, sum(e.dr)::bigint as dr, sum(e.cr)::bigint as cr
  from settlement.entry e
 where e.writer_id = $1::integer and e.batch_seq between $2::bigint and $3::bigint
   and e.recorded_at <= $4::timestamptz
 group by e.account_id

-- name: standings
-- Every account that ever moved and where it stands, all at one moment.
select a.account_id, a.name, k.side, k.asset, k.gl_code, b.dr, b.cr
  from settlement.balance b
  join settlement.account a using (account_id)
  join settlement.account_kind k using (kind)
 where b.version > 0

-- name: account
-- The account of this name and where it stands; its newest entry has the number `entries`.
select a.account_id, a.name, k.side, k.asset, k.gl_code, b.dr, b.cr, b.held, b.version as entries
  from settlement.account a
  join settlement.account_kind k using (kind)
  join settlement.balance b using (account_id)
 where a.name = $1::text

-- name: before
-- What an account's entries up to and including a number add up to.
select coalesce(sum(e.dr), 0)::bigint as dr, coalesce(sum(e.cr), 0)::bigint as cr,
       coalesce(sum(e.entries), 0)::bigint as entries
  from settlement.entry e
 where e.account_id = $1::bigint and e.entry <= $2::bigint

-- name: brought_forward
-- The last entry of an account that is in the archive, of which only sums are told.
select coalesce(max(s.last_entry), 0)
  from settlement.archived_entry_sum s
  join settlement.charge_day d on d.day = s.day and d.state = 'archived'
 where s.account_id = $1::bigint

-- name: archived_around
-- Whether some of an account's archived entries were recorded before a moment, and some after it.
select exists (
  select from settlement.archived_entry_sum s
    join settlement.charge_day d on d.day = s.day and d.state = 'archived'
    join settlement.archived_span p on p.day = s.day and p.writer_id = s.writer_id
   where s.account_id = $1::bigint and p.first_at <= $2::timestamptz and p.last_at > $2::timestamptz)

-- name: recorded
-- What was recorded of an account at or before a moment; and which of its entries there are at all.
select coalesce(sum(e.dr) filter (where e.recorded_at <= $2::timestamptz), 0)::bigint as dr,
       coalesce(sum(e.cr) filter (where e.recorded_at <= $2::timestamptz), 0)::bigint as cr,
       coalesce(sum(e.entries) filter (where e.recorded_at <= $2::timestamptz), 0)::bigint
         as entries,
       coalesce(sum(e.entries), 0)::bigint as seen, coalesce(max(e.entry), 0) as newest
  from settlement.entry e
 where e.account_id = $1::bigint

-- name: at_slot
-- By slot what has one; what has none, up to the newest time known at or below that slot.
with known as (
  select max(k.event_at) as newest from settlement.entry k where k.slot <= $2::bigint
),
told as (
  select e.entry, e.entries, e.dr, e.cr,
         e.slot <= $2::bigint or (e.slot is null and e.event_at <= n.newest) as counts
    from settlement.entry e cross join known n where e.account_id = $1::bigint
)
select (select newest from known) as known_at,
       coalesce(sum(t.dr) filter (where t.counts), 0)::bigint as dr,
       coalesce(sum(t.cr) filter (where t.counts), 0)::bigint as cr,
       coalesce(sum(t.entries) filter (where t.counts), 0)::bigint as entries,
       coalesce(sum(t.entries), 0)::bigint as seen, coalesce(max(t.entry), 0) as newest
  from told t

-- name: first_since
-- The first entry of an account that was recorded at or after a moment.
select min(e.entry) from settlement.entry e
 where e.account_id = $1::bigint and e.recorded_at >= $2::timestamptz

-- name: last_until
-- The last entry of an account that was recorded at or before a moment.
select max(e.entry) from settlement.entry e
 where e.account_id = $1::bigint and e.recorded_at <= $2::timestamptz

-- name: lines
-- One page of an account's entries in their order, after a number and up to another.
select e.entry, e.dr, e.cr, e.kind, e.cause_id, e.external_ref, e.slot, e.event_at, e.recorded_at
  from settlement.entry e
 where e.account_id = $1::bigint and e.entry > $2::bigint and e.entry <= $3::bigint
 order by e.entry limit $4::integer

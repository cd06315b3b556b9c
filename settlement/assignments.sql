-- name: unassigned
-- Movements in an account that nobody has been named for, oldest first, after an entry of it.
select t.credit_entry as entry, x.external_ref as reference, t.amount, x.slot, x.event_at,
       extract(epoch from clock_timestamp() - x.event_at)::bigint as age_seconds,
       x.meta ->> 'source' as source, x.meta ->> 'code' as code
  from settlement.account a
  join settlement.transfer t on t.credit = a.account_id
  join settlement.txn x using (txn_id)
 where a.name = $1::text and t.credit_entry > $2::bigint
   and starts_with(x.external_ref, 'chain:')
   and not exists (select from settlement.txn y
                    where y.external_ref = 'assigned:' || x.external_ref)
 order by t.credit_entry
 limit $3::integer

-- name: booked_movement
-- What the books credited for a movement.
select c.name as account, t.amount
  from settlement.txn x
  join settlement.transfer t using (txn_id)
  join settlement.account c on c.account_id = t.credit
 where x.external_ref = $1::text
 order by t.leg

-- name: assigned_to
-- Whom a movement was assigned to: by whom, when and why, one row for each who got some of it.
select x.txn_id, x.actor, x.reason, x.recorded_at, c.name as account, t.amount
  from settlement.txn x
  join settlement.transfer t using (txn_id)
  join settlement.account c on c.account_id = t.credit
 where x.external_ref = 'assigned:' || $1::text
 order by t.leg

-- name: accounts_open
-- Which of these accounts there are, and are not closed.
select name from settlement.account where name = any ($1::text[]) and closed_at is null

-- name: notify
-- Tells the other processes something about an account.
select pg_notify($1::text, $2::text)

-- name: elsewhere
-- Whether another writer has set money of this account aside in a lease, and what is available.
select exists (select from settlement.hold h
                where h.account_id = b.account_id and h.state = 'open' and h.purpose = 'lease'
                  and h.writer_id <> $2::integer) as is_leased,
       b.cr - b.dr - b.held as available
  from settlement.account a join settlement.balance b using (account_id)
 where a.name = $1::text

-- name: lease_amount
-- How large a lease is; no row when it was never placed.
select amount from settlement.hold where hold_id = $1::uuid

-- name: available
-- What accounts have available now.
select a.name, b.cr - b.dr - b.held as available
  from settlement.account a join settlement.balance b using (account_id)
 where a.name = any ($1::text[])

-- name: abandoned
-- What earlier lives of a writer, in any era, left set aside for requests, and whose it is.
select h.hold_id, a.name as account
  from settlement.writer mine
  join settlement.writer w on w.name = mine.name
  join settlement.hold h on h.writer_id = w.writer_id
  join settlement.account a using (account_id)
 where mine.writer_id = $1::integer and h.purpose <> 'payout' and h.state = 'open'
   and (w.era < mine.era or h.epoch < $2::integer)
 order by a.name, h.hold_id

-- name: last_alive
-- Until when earlier lives of the writer of this name said they would be alive.
select max(leases_until) from settlement.writer where name = $1::text

-- name: booked
-- Which of these references the books have already.
select external_ref from settlement.txn where external_ref = any ($1::text[])

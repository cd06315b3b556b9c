-- name: open_account
-- Opens the account of this name and kind, or finds the one there is.
select settlement.open_account_v1($1::text, $2::text)

-- name: open_writer
-- Starts a new life of a writer; older lives of it are fenced.
select writer_id, epoch, treasury, head_seq, head_hash from settlement.open_writer_v2($1::text)

-- name: apply
-- Applies operations in order: what became of each, and the writer's chain after it.
select codes, told, head_seq, head_hash from settlement.apply_v2($1::integer, $2::integer,
  $3::bigint, $4::bytea, $5::jsonb)

-- name: settle
-- Settles charges, then holds and voids, by sets; raises PL011 when they must take `apply`.
select balances, codes, available, head_seq, head_hash from settlement.settle_v2($1::integer,
  $2::integer, $3::bigint, $4::bytea, $5::uuid[], $6::uuid[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::integer[], $11::integer[], $12::uuid[], $13::bigint[], $14::bigint[],
  $15::text[], $16::timestamptz[], $17::text[])

-- name: keep_leases
-- Says that a writer is alive: until then its leases do not expire.
select settlement.keep_leases_v1($1::integer, $2::integer, $3::timestamptz)

-- name: ensure_charge_days
-- Makes the partitions of the days to come; how many were missing.
select settlement.ensure_charge_days_v1($1::integer)

-- name: account_ids
-- The ids of the accounts of these names, where there are any.
select name, account_id from settlement.account where name = any ($1::text[])

-- name: balance
-- Turnovers, holds and number of entries of one account.
select b.dr, b.cr, b.held, b.version
  from settlement.balance b join settlement.account a using (account_id)
 where a.name = $1::text

-- name: balance_at_slot
-- What the movements up to and including a slot add up to.
select coalesce(sum(e.dr), 0)::bigint as dr, coalesce(sum(e.cr), 0)::bigint as cr,
       count(*)::bigint as version
  from settlement.entry e
  join settlement.account a using (account_id)
 where a.name = $1::text and e.slot <= $2::bigint

-- name: entries_after
-- One page of an account's entries in their order, after an entry number.
select e.entry, e.dr, e.cr, e.kind, e.cause_id, e.external_ref, e.slot, e.event_at, e.recorded_at
  from settlement.entry e
  join settlement.account a using (account_id)
 where a.name = $1::text and e.entry > $2::bigint
 order by e.entry
 limit $3::integer

-- name: abandoned_holds
-- Request holds and leases that earlier lives of a writer left open, also those of an earlier era.
select h.hold_id from settlement.writer mine
  join settlement.writer w on w.name = mine.name
  join settlement.hold h on h.writer_id = w.writer_id
 where mine.writer_id = $1::integer and h.purpose <> 'payout' and h.state = 'open'
   and (w.era < mine.era or h.epoch < $2::integer)
 order by h.hold_id

-- name: broken_rules
-- What is wrong with the books; no row when nothing is.
select rule, detail from settlement.check_books_v1()

-- name: hold_counter
-- Keeps numbers from being given out while we look which ones the chain used.
select next_sequence from settlement.payout_counter for update;

-- name: by_sequence
-- The payout of a number, locked.
select * from settlement.payout where sequence = $1 for update;

-- name: by_reference
-- The payout that a payment names, locked.
select * from settlement.payout where reference = $1 for update;

-- name: remember
-- A payout without a number was paid: the books were saved before it had one, and restored.
update settlement.payout
   set state = $3, sequence = $4, destination_account = $5, outcome_reference = $6,
       outcome_slot = $7
 where payout_id = $1 and state = $2 returning state;

-- name: never_again
-- What nobody had approved when the books were saved was approved afterwards, and paid.
update settlement.payout set state = $3, cancel_reason = $4
 where payout_id = $1 and state = $2 returning state;

-- name: finish
-- How a payout ended, by the finalized instruction that ended it.
update settlement.payout set state = $3, outcome_reference = $4, outcome_slot = $5
 where payout_id = $1 and state = $2 returning state;

-- name: lose_number
-- The chain used this payout's number for something else: it needs another one.
update settlement.payout set state = 'requested', sequence = null, destination_account = null
 where payout_id = $1 and state = $2 returning state;

-- name: close_attempts
-- Nothing of it is sent again; its message ends with the last payout in it.
with closed as (
  update settlement.payout_attempt set closed_at = clock_timestamp()
   where payout_id = $1 and closed_at is null returning message_id)
update settlement.payout_message m set closed_at = clock_timestamp(), ended = 'decided'
  from closed
 where m.message_id = closed.message_id and m.closed_at is null and not exists (
    select from settlement.payout_attempt o
     where o.message_id = m.message_id and o.payout_id <> $1 and o.closed_at is null);

-- name: number_gone
-- A number the chain used up without an intent of ours.
insert into settlement.payout_number_gone (sequence, how, reference) values ($1, $2, $3)
on conflict do nothing;

-- name: is_gone
-- Whether this very payment was seen to use up a number that no payout has.
select exists (select from settlement.payout_number_gone
                where sequence = $1 and how = 'paid' and reference = $2);

-- name: borne_by
-- Which account a movement that is in the books was booked against.
select a.name from settlement.txn x
  join settlement.transfer t using (txn_id)
  join settlement.account a on a.account_id = t.debit
 where x.external_ref = $1 order by t.leg desc limit 1;

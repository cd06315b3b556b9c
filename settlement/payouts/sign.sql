-- name: to_sign
-- Messages of this payer that nobody has signed or refused yet.
select message_id from settlement.payout_message
 where closed_at is null and wire is null and refusal is null and payer = $1
 order by message_id limit $2;

-- name: lock_signed_for
-- The payouts that are in a message, locked in the order of their numbers.
select p.* from settlement.payout p
 where p.payout_id in (select a.payout_id from settlement.payout_attempt a
                        where a.message_id = $1 and a.closed_at is null)
 order by p.sequence for update;

-- name: message
-- One message, locked.
select message, members from settlement.payout_message
 where message_id = $1 and closed_at is null and wire is null and refusal is null for update;

-- name: placed
-- Who is in a message, in its order.
select payout_id, action, creates_account, closed_at from settlement.payout_attempt
 where message_id = $1 order by position;

-- name: money_is_held
-- For which payouts the books have set aside what they would spend, for the account they name.
select p.payout_id from settlement.payout p
  join settlement.hold h on h.hold_id = p.payout_id
  join settlement.account a using (account_id)
 where p.payout_id = any ($1::uuid[]) and h.state = 'open' and h.purpose = 'payout'
   and h.amount = p.amount and a.name = p.account;

-- name: store_signature
-- Written before anybody can send it.
update settlement.payout_message set signature = $2, wire = $3, signed_at = $4
 where message_id = $1 and wire is null returning message_id;

-- name: refuse
-- Why this message is not signed.
update settlement.payout_message set refusal = $2 where message_id = $1;

-- name: said
-- What became of the open messages of these payouts.
select a.payout_id, m.signature, m.refusal
  from settlement.payout_attempt a join settlement.payout_message m using (message_id)
 where a.payout_id = any($1) and a.closed_at is null;

-- name: to_sign
-- Messages nobody has signed or refused yet.
select a.payout_id, a.attempt from settlement.payout_attempt a
  join settlement.payout p using (payout_id)
 where a.closed_at is null and a.wire is null and a.refusal is null and p.state = 'numbered'
 order by p.sequence limit $1;

-- name: message
-- One message, locked.
select action, message, creates_account from settlement.payout_attempt
 where payout_id = $1 and attempt = $2 and closed_at is null and wire is null
   and refusal is null for update;

-- name: money_is_held
-- Whether the books have set aside what this payout would spend, for the account it names.
select exists (
  select from settlement.payout p
    join settlement.hold h on h.hold_id = p.payout_id
    join settlement.account a using (account_id)
   where p.payout_id = $1 and h.state = 'open' and h.purpose = 'payout'
     and h.amount = p.amount and a.name = p.account);

-- name: store_signature
-- Written before anybody can send it.
update settlement.payout_attempt set signature = $3, wire = $4, signed_at = $5
 where payout_id = $1 and attempt = $2 and wire is null returning attempt;

-- name: refuse
-- Why this message is not signed.
update settlement.payout_attempt set refusal = $3 where payout_id = $1 and attempt = $2;

-- name: said
-- What became of the open messages of these payouts.
select payout_id, signature, refusal from settlement.payout_attempt
 where payout_id = any($1) and closed_at is null;

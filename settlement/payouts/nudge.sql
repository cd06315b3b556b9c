-- name: unsigned
-- Payouts with a message that the signer has not looked at, oldest numbers first.
select a.payout_id from settlement.payout_attempt a
  join settlement.payout_message m using (message_id)
  join settlement.payout p using (payout_id)
 where a.closed_at is null and m.closed_at is null and m.wire is null and m.refusal is null
   and p.state = 'numbered'
 order by p.sequence limit $1;
